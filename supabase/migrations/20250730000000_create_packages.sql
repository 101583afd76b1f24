-- Packages have names in namespaces, and namespaces belong to companies. A name that could be taken for another one is
-- refused, so that nobody installs a stranger's package by a slip of the pen. Public packages are everybody's to read,
-- without signing in; private ones the company's.

-- Rules

create function private.is_package_name(value text)
returns boolean
language sql
immutable
set search_path = ''
return length(value) <= 100 and value ~ '^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$';
comment on function private.is_package_name is
  'Letters, digits and single ".", "-" and "_" between them, 1 to 100 characters: no path, and safe in URLs.';

create function private.package_name_key(value text)
returns text
language sql
immutable
set search_path = ''
return translate(lower(value), '_.', '--');
comment on function private.package_name_key is
  'What is the same for names that people take for each other: case, and which of "-", "_" and "." is used, do not count.';

create function private.sha256_hex(value text)
returns text
language sql
immutable
set search_path = ''
return encode(sha256(convert_to(value, 'UTF8')), 'hex');
comment on function private.sha256_hex is 'SHA-256 of the text as UTF-8, 64 hexadecimal digits.';

-- Tables

create table public.package_namespaces (
  name text primary key constraint package_namespaces_name_format check (
    private.is_package_name(name) and length(name) <= 63
    -- Paths of the packages function.
    and name not in ('jobs', 'resolve', 'search', 'stats')),
  name_key text not null generated always as (private.package_name_key(name)) stored,
  company_id uuid references public.companies (id) on delete restrict,
  is_reserved boolean not null default false,
  is_public boolean not null default false,
  description text not null default '' constraint package_namespaces_description_length check (length(description) <= 1000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint package_namespaces_name_key_key unique (name_key),
  constraint package_namespaces_owner check (is_reserved = (company_id is null))
);
comment on table public.package_namespaces is
  'Where packages have their names. One belongs to the company that claims it first; reserved ones, such as featured, to nobody: '
  'superadmins publish there.';
comment on column public.package_namespaces.is_public is 'Everybody may read a package in it, or it is reserved; kept by triggers.';

create table public.packages (
  id uuid primary key default gen_random_uuid(),
  namespace text not null,
  name text not null constraint packages_name_format check (private.is_package_name(name)),
  name_key text not null generated always as (private.package_name_key(name)) stored,
  company_id uuid,
  kind text not null default 'manifest' constraint packages_kind_format check (kind ~ '^[a-z][a-z0-9-]{0,62}$'),
  visibility text not null default 'private' constraint packages_visibility check (visibility in ('private', 'public')),
  description text not null default '' constraint packages_description_length check (length(description) <= 10000),
  keywords text[] not null default '{}' constraint packages_keywords_count check (cardinality(keywords) <= 50),
  license text not null default '' constraint packages_license_length check (length(license) <= 200),
  homepage text not null default '' constraint packages_homepage_format check (
    homepage = '' or (length(homepage) <= 2000 and homepage ~ '^https?://[^[:space:]]+$')),
  repository text not null default '' constraint packages_repository_format check (
    repository = '' or (length(repository) <= 2000 and repository ~ '^https?://[^[:space:]]+$')),
  is_public boolean not null default false,
  latest_version text,
  download_count bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint packages_namespace_fkey foreign key (namespace) references public.package_namespaces (name) on delete restrict,
  constraint packages_company_id_fkey foreign key (company_id) references public.companies (id) on delete restrict,
  constraint packages_namespace_name_key unique (namespace, name),
  constraint packages_namespace_name_key_key unique (namespace, name_key),
  -- Of what nobody owns, nobody but superadmins could read the private part.
  constraint packages_reserved_is_public check (company_id is not null or visibility = 'public')
);
comment on table public.packages is 'Packages: what all versions have in common. Created by publishing the first version.';
comment on column public.packages.company_id is 'Who owns the namespace; null in reserved ones. Kept by triggers.';
comment on column public.packages.kind is 'What it is for: manifest, protobuf, transformer, …';
comment on column public.packages.is_public is
  'Everybody may read it: it is meant to be public, and a version of it was published. Nobody hears the name of what is a draft '
  'alone. Kept by triggers.';
comment on column public.packages.latest_version is
  'Highest published version that is no pre-release; else the highest pre-release, else the highest deprecated one. Kept by triggers.';
comment on column public.packages.download_count is 'Downloads, counted by the packages function in batches.';

create index package_namespaces_company_id_idx on public.package_namespaces (company_id);
create index packages_company_id_idx on public.packages (company_id);
create index packages_download_count_idx on public.packages (download_count desc, id) where is_public;

-- Triggers

create trigger set_updated_at before update on public.package_namespaces
  for each row execute function private.set_updated_at();

create trigger set_updated_at before update on public.packages
  for each row when (old.download_count = new.download_count)
  execute function private.set_updated_at();

create function private.guard_new_namespace()
returns trigger
language plpgsql
security definer -- sees the names that are taken, whoever has them
set search_path = ''
as $$
declare
  taken text;
begin
  select name into taken from public.package_namespaces where name_key = private.package_name_key(new.name);
  if found then
    perform private.raise_error('SW100',
      format('The namespace %s is taken.', new.name)
        || case taken when new.name then '' else format(' It could be mistaken for %s.', taken) end,
      'name');
  end if;
  new.is_public := new.is_reserved;
  return new;
end;
$$;

create trigger guard_new_namespace before insert on public.package_namespaces
  for each row execute function private.guard_new_namespace();

create function private.guard_namespace_identity()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform private.raise_error('SW001', 'A namespace keeps its name and its owner.', 'name');
  return null;
end;
$$;

create trigger guard_namespace_identity before update on public.package_namespaces
  for each row when (
    (old.name, old.company_id, old.is_reserved) is distinct from (new.name, new.company_id, new.is_reserved))
  execute function private.guard_namespace_identity();

create function private.guard_package()
returns trigger
language plpgsql
security definer -- asks who owns the namespace whatever the caller sees, and marks it public
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and (new.id, new.namespace, new.name) is distinct from (old.id, old.namespace, old.name) then
    perform private.raise_error('SW001', 'A package keeps its name.', 'name');
  end if;
  select company_id into new.company_id from public.package_namespaces where name = new.namespace;
  new.is_public := new.visibility = 'public'
    and exists (select from public.package_versions where package_id = new.id and status <> 'draft');
  if new.is_public then
    update public.package_namespaces set is_public = true where name = new.namespace and not is_public;
  end if;
  return new;
end;
$$;

create trigger guard_package before insert or update of id, namespace, name, company_id, visibility, is_public on public.packages
  for each row execute function private.guard_package();

create function private.hide_namespace()
returns trigger
language plpgsql
security definer -- is_public is nobody's to write
set search_path = ''
as $$
begin
  -- First this, then a look: what somebody else makes public at the same moment is seen by whoever comes second.
  perform from public.package_namespaces where name = old.namespace for update;
  update public.package_namespaces set is_public = false
  where name = old.namespace and not is_reserved
    and not exists (select from public.packages where namespace = old.namespace and is_public);
  return null;
end;
$$;

create trigger hide_namespace_of_hidden after update on public.packages
  for each row when (old.is_public and not new.is_public)
  execute function private.hide_namespace();

create trigger hide_namespace_of_deleted after delete on public.packages
  for each row when (old.is_public)
  execute function private.hide_namespace();

-- Grants

grant select on public.package_namespaces, public.packages to anon, authenticated;
grant insert (name, company_id, is_reserved, description), update (description), delete on public.package_namespaces to authenticated;
grant update (visibility, description, keywords, license, homepage, repository) on public.packages to authenticated;
grant select, insert, update, delete on public.package_namespaces, public.packages to service_role;
grant execute on function private.is_package_name(text), private.package_name_key(text), private.sha256_hex(text)
to authenticated, service_role;

-- Row security

alter table public.package_namespaces enable row level security;
alter table public.packages enable row level security;

create policy "Anybody reads namespaces with public packages" on public.package_namespaces
  for select to anon
  using (is_public);

create policy "Users read public namespaces, members those of their companies" on public.package_namespaces
  for select to authenticated
  using (is_public or company_id = any ((select private.my_company_ids())::uuid[]));

create policy "Owners and admins claim namespaces, superadmins reserve them" on public.package_namespaces
  for insert to authenticated
  with check (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()));

create policy "Owners and admins describe namespaces, superadmins any" on public.package_namespaces
  for update to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()))
  with check (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()));

create policy "Owners and admins give namespaces up, superadmins any" on public.package_namespaces
  for delete to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()));

create policy "Anybody reads public packages" on public.packages
  for select to anon
  using (is_public);

create policy "Users read public packages, members those of their companies" on public.packages
  for select to authenticated
  using (
    is_public or company_id = any ((select private.my_company_ids())::uuid[])
    or (select private.is_superadmin()));

create policy "Owners and admins describe their packages, superadmins any" on public.packages
  for update to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()))
  with check (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()));
