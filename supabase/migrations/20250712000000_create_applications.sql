-- Apps belong to the company that publishes them; a company sees the apps that it publishes or is assigned, and no other.

create table public.applications (
  id uuid primary key default gen_random_uuid(),
  slug text not null constraint applications_slug_format check (private.is_slug(slug)),
  name text not null constraint applications_name_length check (length(trim(name)) between 1 and 200),
  description text not null default '' constraint applications_description_length check (length(description) <= 10000),
  publisher_company_id uuid not null references public.companies (id) on delete restrict,
  status text not null default 'active' constraint applications_status check (status in ('active', 'suspended', 'archived')),
  visibility text not null default 'private' constraint applications_visibility check (visibility in ('private', 'public')),
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- With the id, which row security asks for in each statement, so that it need not go to the table for it.
  constraint applications_publisher_slug_key unique (publisher_company_id, slug) include (id)
);
comment on table public.applications is 'Apps. Only active ones run; only superadmins suspend one, or lift that.';
comment on column public.applications.visibility is
  'A public app may be assigned to a company by its own owners and admins; a private one by superadmins alone.';

create table public.app_assignments (
  app_id uuid not null references public.applications (id) on delete cascade,
  company_id uuid not null references public.companies (id) on delete cascade,
  assigned_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  primary key (app_id, company_id)
);
comment on table public.app_assignments is 'Which companies may see and run which apps. The publisher needs no row.';

create index applications_created_by_idx on public.applications (created_by);
create index app_assignments_company_id_idx on public.app_assignments (company_id) include (app_id);
create index app_assignments_assigned_by_idx on public.app_assignments (assigned_by);

-- Triggers

create trigger set_updated_at before update on public.applications
  for each row execute function private.set_updated_at();

create function private.guard_assignment()
returns trigger
language plpgsql
security definer -- reads apps that the caller does not see yet
set search_path = ''
as $$
begin
  -- One answer for a private app and for none, so that ids cannot be probed.
  if not (private.is_service() or private.is_superadmin()) and not exists (
    select from public.applications
    where id = new.app_id and visibility = 'public' and status = 'active'
  ) then
    perform private.raise_error('SW002', 'There is no public app with this id.', 'app_id');
  end if;
  return new;
end;
$$;

create trigger guard_assignment before insert on public.app_assignments
  for each row execute function private.guard_assignment();

-- Predicates

create function private.my_published_app_ids(minimum_role text default 'member')
returns uuid[]
language plpgsql
stable
security definer -- policies of applications call it
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  companies constant uuid[] := private.my_company_ids(minimum_role);
begin
  return array(select id from public.applications where publisher_company_id = any (companies));
end;
$$;
comment on function private.my_published_app_ids is
  'Apps published by companies in which the signed-in user has at least this role; all for a superadmin.';

create function private.my_assigned_app_ids()
returns uuid[]
language plpgsql
stable
security definer -- policies of applications call it
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  companies constant uuid[] := private.my_company_ids();
begin
  return array(select app_id from public.app_assignments where company_id = any (companies));
end;
$$;
comment on function private.my_assigned_app_ids is 'Apps assigned to the companies of the signed-in user.';

create function private.my_app_ids()
returns uuid[]
language plpgsql
stable
security definer -- policies of applications call it
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  companies constant uuid[] := private.my_company_ids();
begin
  return array(
    select id from public.applications where publisher_company_id = any (companies)
    union all
    select app_id from public.app_assignments where company_id = any (companies));
end;
$$;
comment on function private.my_app_ids is
  'Apps that the companies of the signed-in user publish or are assigned: what most reading of apps depends on, in one answer.';

grant execute on function private.my_published_app_ids(text), private.my_assigned_app_ids(), private.my_app_ids()
to authenticated, service_role;

-- Grants

grant select, delete on public.applications, public.app_assignments to authenticated;
grant insert (slug, name, description, publisher_company_id, status, visibility) on public.applications to authenticated;
grant update (slug, name, description, publisher_company_id, status, visibility) on public.applications to authenticated;
grant insert (app_id, company_id) on public.app_assignments to authenticated;
grant select, insert, update, delete on public.applications, public.app_assignments to service_role;

-- Row security

alter table public.applications enable row level security;
alter table public.app_assignments enable row level security;

create policy "Companies read the apps that they publish or are assigned" on public.applications
  for select to authenticated
  using (
    publisher_company_id = any ((select private.my_company_ids())::uuid[])
    or id = any ((select private.my_assigned_app_ids())::uuid[]));

create policy "Owners and admins create apps of their companies" on public.applications
  for insert to authenticated
  with check (
    publisher_company_id = any ((select private.my_company_ids('admin'))::uuid[])
    and (status <> 'suspended' or (select private.is_superadmin())));

create policy "Owners and admins update apps that are not suspended" on public.applications
  for update to authenticated
  using (
    publisher_company_id = any ((select private.my_company_ids('admin'))::uuid[])
    and (status <> 'suspended' or (select private.is_superadmin())))
  with check (
    publisher_company_id = any ((select private.my_company_ids('admin'))::uuid[])
    and (status <> 'suspended' or (select private.is_superadmin())));

create policy "Owners and admins delete apps that are not suspended" on public.applications
  for delete to authenticated
  using (
    publisher_company_id = any ((select private.my_company_ids('admin'))::uuid[])
    and (status <> 'suspended' or (select private.is_superadmin())));

create policy "Companies read their assignments, publishers those of theirs" on public.app_assignments
  for select to authenticated
  using (
    company_id = any ((select private.my_company_ids())::uuid[])
    or app_id = any ((select private.my_published_app_ids())::uuid[]));

create policy "Owners and admins assign apps to their companies" on public.app_assignments
  for insert to authenticated
  with check (company_id = any ((select private.my_company_ids('admin'))::uuid[]));

create policy "Owners and admins remove assignments of their companies" on public.app_assignments
  for delete to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]));

-- Functions

create function private.search_public_apps(p_query text, p_limit integer, p_offset integer)
returns table (id uuid, slug text, name text, description text, publisher_slug text, publisher_name text)
language sql
stable
security definer -- the catalogue is public, the tables behind it are not
set search_path = ''
as $$
  select a.id, a.slug, a.name, a.description, c.slug, c.name
  from public.applications a
  join public.companies c on c.id = a.publisher_company_id
  where a.visibility = 'public' and a.status = 'active'
    and (p_query = '' or strpos(lower(a.name || ' ' || a.slug || ' ' || a.description), lower(p_query)) > 0)
  order by a.name, a.id
  limit least(greatest(p_limit, 0), 100) offset greatest(p_offset, 0)
$$;

create function public.search_public_apps(query text default '', max_results integer default 20, skip integer default 0)
returns table (id uuid, slug text, name text, description text, publisher_slug text, publisher_name text)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.search_public_apps($1, $2, $3) $$;
comment on function public.search_public_apps is
  'The public catalogue, for everybody: active public apps whose name, slug or description contains the query; 100 at most.';

create function private.list_app_customers(p_app_id uuid)
returns table (company_id uuid, slug text, name text, assigned_at timestamptz)
language sql
stable
security definer -- names of companies that the publisher is no member of
set search_path = ''
as $$
  select c.id, c.slug, c.name, s.created_at
  from public.app_assignments s
  join public.companies c on c.id = s.company_id
  where s.app_id = p_app_id and s.app_id = any (private.my_published_app_ids())
  order by s.created_at, c.id
$$;

create function public.list_app_customers(app_id uuid)
returns table (company_id uuid, slug text, name text, assigned_at timestamptz)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.list_app_customers($1) $$;
comment on function public.list_app_customers is
  'For the members of an app''s publisher: the companies that are assigned the app. Empty for everybody else.';

grant execute on function
  private.search_public_apps(text, integer, integer), public.search_public_apps(text, integer, integer)
to anon, authenticated, service_role;
grant execute on function private.list_app_customers(uuid), public.list_app_customers(uuid) to authenticated, service_role;
