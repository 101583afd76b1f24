-- Demonstration data for a local database: two companies, their people and two apps. Everybody's password is
-- stowage-demo. Applied by `npm start` and `supabase start` on a fresh database, and never on a hosted project.

with people (id, email) as (
  values
    ('5eed0000-0000-4000-8000-000000000001'::uuid, 'ada@northwind.example'),
    ('5eed0000-0000-4000-8000-000000000002'::uuid, 'alan@northwind.example'),
    ('5eed0000-0000-4000-8000-000000000003'::uuid, 'grace@harbour.example'),
    ('5eed0000-0000-4000-8000-000000000004'::uuid, 'linus@harbour.example'),
    ('5eed0000-0000-4000-8000-000000000005'::uuid, 'root@stowage.example')
),
users as (
  insert into auth.users (
    instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
    confirmation_token, recovery_token, email_change_token_new, email_change)
  select
    '00000000-0000-0000-0000-000000000000', id, 'authenticated', 'authenticated', email,
    extensions.crypt('stowage-demo', extensions.gen_salt('bf')), now(),
    '{"provider": "email", "providers": ["email"]}', '{}', '', '', '', ''
  from people
  returning id, email
)
insert into auth.identities (provider_id, user_id, identity_data, provider)
select id::text, id, jsonb_build_object('sub', id, 'email', email, 'email_verified', true), 'email'
from users;

insert into public.superadmins (user_id) values ('5eed0000-0000-4000-8000-000000000005');

insert into public.companies (id, slug, name) values
  ('5eed0000-0000-4000-8000-00000000c001', 'northwind', 'Northwind Analytics'),
  ('5eed0000-0000-4000-8000-00000000c002', 'harbour', 'Harbour Trading');

insert into public.company_members (company_id, user_id, role) values
  ('5eed0000-0000-4000-8000-00000000c001', '5eed0000-0000-4000-8000-000000000001', 'owner'),
  ('5eed0000-0000-4000-8000-00000000c001', '5eed0000-0000-4000-8000-000000000002', 'member'),
  ('5eed0000-0000-4000-8000-00000000c002', '5eed0000-0000-4000-8000-000000000003', 'owner'),
  ('5eed0000-0000-4000-8000-00000000c002', '5eed0000-0000-4000-8000-000000000004', 'member');

insert into public.applications (id, slug, name, description, publisher_company_id, visibility) values
  (
    '5eed0000-0000-4000-8000-00000000a001', 'regional-sales', 'Regional sales',
    'Totals, trends and outliers of monthly sales by region, with a chart.',
    '5eed0000-0000-4000-8000-00000000c001', 'public'
  ),
  (
    '5eed0000-0000-4000-8000-00000000a002', 'ledger-check', 'Ledger check',
    'Looks for entries that do not balance.',
    '5eed0000-0000-4000-8000-00000000c001', 'private'
  );

insert into public.app_versions (app_id, version) values
  ('5eed0000-0000-4000-8000-00000000a001', '1.0.0'),
  ('5eed0000-0000-4000-8000-00000000a002', '0.1.0');

insert into public.app_assignments (app_id, company_id) values
  ('5eed0000-0000-4000-8000-00000000a001', '5eed0000-0000-4000-8000-00000000c002');
