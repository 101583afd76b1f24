-- Companies are the tenants. Membership lives in a table and nowhere else, so that revoking it takes effect with the
-- next statement; superadmins are a table too, which only the service writes.

create table public.companies (
  id uuid primary key default gen_random_uuid(),
  slug text not null constraint companies_slug_format check (private.is_slug(slug)),
  name text not null constraint companies_name_length check (length(trim(name)) between 1 and 200),
  settings jsonb not null default '{}'
    constraint companies_settings_object check (private.is_object(settings) and pg_column_size(settings) <= 65536),
  storage_quota_bytes bigint not null default 10737418240
    constraint companies_storage_quota_bytes_range check (storage_quota_bytes >= 0),
  storage_quota_objects bigint not null default 1000000
    constraint companies_storage_quota_objects_range check (storage_quota_objects >= 0),
  max_concurrent_runs integer not null default 10
    constraint companies_max_concurrent_runs_range check (max_concurrent_runs between 0 and 10000),
  max_queued_runs integer not null default 1000
    constraint companies_max_queued_runs_range check (max_queued_runs between 0 and 10000000),
  max_queued_builds integer not null default 50
    constraint companies_max_queued_builds_range check (max_queued_builds between 0 and 100000),
  max_schedules integer not null default 1000
    constraint companies_max_schedules_range check (max_schedules between 0 and 100000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint companies_slug_key unique (slug)
);
comment on table public.companies is 'Tenants: they publish apps, and run the apps that they are assigned.';
comment on column public.companies.storage_quota_bytes is
  'Bytes that the files and builds of its apps, the logs and outputs of its runs, and its packages may take. Set by superadmins.';
comment on column public.companies.storage_quota_objects is 'How many objects these may be. Set by superadmins.';
comment on column public.companies.max_concurrent_runs is 'Runs that execute at the same time; further ones wait. Set by superadmins.';
comment on column public.companies.max_queued_runs is 'Runs that may wait; further requests are refused. Set by superadmins.';
comment on column public.companies.max_queued_builds is
  'Builds of apps it publishes that may wait; further requests are refused. Set by superadmins.';
comment on column public.companies.max_schedules is 'Schedules that it may have, active or not; further ones are refused. Set by superadmins.';

create table private.company_founders (
  company_id uuid primary key references public.companies (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade
);
comment on table private.company_founders is
  'Who founded which company, whoever owns it now: an owner could be appointed to many by others, and appoint others to many.';

create table public.company_members (
  company_id uuid not null references public.companies (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null default 'member' constraint company_members_role check (role in ('owner', 'admin', 'member')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (company_id, user_id)
);
comment on table public.company_members is
  'Who belongs to a company. Members run apps; admins also schedule, assign and publish; owners also appoint owners. '
  'The last owner neither leaves nor can be deleted as a user (SW010): appoint another first.';

create table public.superadmins (
  user_id uuid primary key references auth.users (id) on delete cascade,
  created_at timestamptz not null default now()
);
comment on table public.superadmins is 'Users who may do everything. Only the service adds or removes one.';

create index company_founders_user_id_idx on private.company_founders (user_id);
create index company_members_user_id_idx on public.company_members (user_id) include (company_id, role);

-- Triggers

create trigger set_updated_at before update on public.companies
  for each row execute function private.set_updated_at();

create trigger set_updated_at before update on public.company_members
  for each row execute function private.set_updated_at();

create function private.guard_last_owner()
returns trigger
language plpgsql
security definer -- counts owners whom the caller may not see
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and new.role = 'owner' and new.company_id = old.company_id then
    return new;
  end if;
  -- The lock makes two owners who leave at once take turns. No company: it is being deleted with its members.
  perform from public.companies where id = old.company_id for no key update;
  if found and not exists (
    select from public.company_members
    where company_id = old.company_id and role = 'owner' and user_id <> old.user_id
  ) then
    perform private.raise_error('SW010', 'A company keeps at least one owner: appoint another owner first.', 'role');
  end if;
  return case tg_op when 'UPDATE' then new else old end;
end;
$$;

create trigger guard_last_owner before update or delete on public.company_members
  for each row when (old.role = 'owner') execute function private.guard_last_owner();

create function private.guard_company_limits()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not (private.is_service() or private.is_superadmin()) then
    perform private.raise_error('SW003', 'Limits of a company are set by superadmins.', (
      select min(change.key) from jsonb_each(to_jsonb(new)) change
      where change.key ~ '^(storage_quota|max)_' and change.value <> to_jsonb(old) -> change.key));
  end if;
  return new;
end;
$$;

create trigger guard_company_limits before update on public.companies
  for each row when (
    (old.storage_quota_bytes, old.storage_quota_objects, old.max_concurrent_runs, old.max_queued_runs, old.max_queued_builds,
      old.max_schedules)
    is distinct from
      (new.storage_quota_bytes, new.storage_quota_objects, new.max_concurrent_runs, new.max_queued_runs, new.max_queued_builds,
        new.max_schedules))
  execute function private.guard_company_limits();

-- Predicates. Each answers for the caller once a statement: policies write `= any ((select private.f())::uuid[])`, which
-- becomes an index condition. In PL/pgSQL, because the planner must not inline them; with generic plans, because making a
-- plan anew takes longer than the answer, and by indexes, because it knows not how few rows that answer is; a superadmin
-- gets every id.

create function private.is_superadmin()
returns boolean
language plpgsql
stable
security definer -- reads superadmins, which row security hides
set search_path = ''
as $$
begin
  return exists (select from public.superadmins where user_id = auth.uid());
end;
$$;
comment on function private.is_superadmin is 'The signed-in user is a superadmin.';

create function private.my_company_ids(minimum_role text default 'member')
returns uuid[]
language plpgsql
stable
security definer -- reads company_members, whose policies call this
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  caller constant uuid := auth.uid();
begin
  return array(
    select company_id from public.company_members
    where user_id = caller
      and case minimum_role
        when 'owner' then role = 'owner'
        when 'admin' then role in ('owner', 'admin')
        else true
      end
    union all
    select id from public.companies where exists (select from public.superadmins where user_id = caller));
end;
$$;
comment on function private.my_company_ids is
  'Companies in which the signed-in user has at least this role (member < admin < owner); all for a superadmin.';

grant execute on function private.is_superadmin(), private.my_company_ids(text) to authenticated, service_role;

-- Grants

grant select on public.companies, public.company_members, public.superadmins to authenticated;
grant
  insert (
    slug, name, settings, storage_quota_bytes, storage_quota_objects, max_concurrent_runs, max_queued_runs, max_queued_builds,
    max_schedules),
  update (
    slug, name, settings, storage_quota_bytes, storage_quota_objects, max_concurrent_runs, max_queued_runs, max_queued_builds,
    max_schedules)
on public.companies to authenticated;
grant delete on public.companies to authenticated;
grant insert (company_id, user_id, role), update (role), delete on public.company_members to authenticated;
grant select, insert, update, delete on public.companies, public.company_members, public.superadmins to service_role;

-- Row security

alter table public.companies enable row level security;
alter table public.company_members enable row level security;
alter table public.superadmins enable row level security;

create policy "Members read their companies" on public.companies
  for select to authenticated
  using (id = any ((select private.my_company_ids())::uuid[]));

create policy "Superadmins create companies" on public.companies
  for insert to authenticated
  with check ((select private.is_superadmin()));

create policy "Owners and admins update their companies" on public.companies
  for update to authenticated
  using (id = any ((select private.my_company_ids('admin'))::uuid[]))
  with check (id = any ((select private.my_company_ids('admin'))::uuid[]));

create policy "Superadmins delete companies" on public.companies
  for delete to authenticated
  using ((select private.is_superadmin()));

create policy "Members read the members of their companies" on public.company_members
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

create policy "Owners add anyone, admins add admins and members" on public.company_members
  for insert to authenticated
  with check (
    company_id = any ((select private.my_company_ids('owner'))::uuid[])
    or (role <> 'owner' and company_id = any ((select private.my_company_ids('admin'))::uuid[])));

create policy "Owners change any role, admins those of admins and members" on public.company_members
  for update to authenticated
  using (
    company_id = any ((select private.my_company_ids('owner'))::uuid[])
    or (role <> 'owner' and company_id = any ((select private.my_company_ids('admin'))::uuid[])))
  with check (
    company_id = any ((select private.my_company_ids('owner'))::uuid[])
    or (role <> 'owner' and company_id = any ((select private.my_company_ids('admin'))::uuid[])));

create policy "Owners remove anyone, admins admins and members, all themselves" on public.company_members
  for delete to authenticated
  using (
    user_id = (select auth.uid())
    or company_id = any ((select private.my_company_ids('owner'))::uuid[])
    or (role <> 'owner' and company_id = any ((select private.my_company_ids('admin'))::uuid[])));

create policy "Superadmins read superadmins, everybody their own row" on public.superadmins
  for select to authenticated
  using (user_id = (select auth.uid()) or (select private.is_superadmin()));

-- Functions

create function private.create_company(p_slug text, p_name text)
returns public.companies
language plpgsql
security definer -- the first owner cannot be appointed by a policy that asks for an owner
set search_path = ''
as $$
declare
  founder constant uuid := auth.uid();
  -- Each company brings a quota of its own.
  most_companies constant integer := 20;
  company public.companies;
begin
  if founder is null then
    perform private.raise_error('SW003', 'Sign in to create a company.');
  end if;
  if not coalesce(private.is_slug(p_slug), false) then
    perform private.raise_error('SW001',
      'slug takes 1 to 63 lower-case letters, digits and inner hyphens.', 'slug');
  end if;
  if coalesce(length(trim(p_name)), 0) not between 1 and 200 then
    perform private.raise_error('SW001', 'name takes 1 to 200 characters.', 'name');
  end if;
  if not private.is_superadmin() then
    -- What one user founds at once takes turns: the limit holds exactly.
    perform pg_advisory_xact_lock(hashtext('stowage.create_company'), hashtext(founder::text));
    if (select count(*) from private.company_founders where user_id = founder) >= most_companies then
      perform private.raise_error('SW011',
        format('You have founded %s companies, as many as one user may: ask a superadmin for more.', most_companies));
    end if;
  end if;
  insert into public.companies (slug, name) values (p_slug, p_name) returning * into company;
  insert into private.company_founders (company_id, user_id) values (company.id, founder);
  insert into public.company_members (company_id, user_id, role) values (company.id, founder, 'owner');
  return company;
end;
$$;

create function public.create_company(slug text, name text)
returns public.companies
language sql
security invoker
set search_path = ''
as $$ select * from private.create_company(slug, name) $$;
comment on function public.create_company is
  'Creates a company with the caller as its owner. Errors: SW001 (slug, name), SW003 not signed in, SW011 the caller has '
  'founded as many as one user may, 23505 slug is taken.';

grant execute on function private.create_company(text, text), public.create_company(text, text) to authenticated;
