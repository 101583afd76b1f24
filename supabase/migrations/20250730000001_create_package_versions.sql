-- A version of a package is its YAML, and for modules of several files those too. What is published never changes and is
-- never deleted: it is deprecated, which warns, or archived, which hides it from resolution, and stays downloadable by its
-- exact version. Content lies in the row or in object storage, whichever; its SHA-256 is the same.

-- Tables

create table public.package_versions (
  id uuid primary key default gen_random_uuid(),
  package_id uuid not null,
  company_id uuid,
  version text not null constraint package_versions_version_semver check (private.is_semver(version)),
  version_key text collate "C" not null generated always as (private.semver_key(version)) stored,
  is_prerelease boolean not null generated always as (split_part(version, '+', 1) like '%-%') stored,
  status text not null default 'draft'
    constraint package_versions_status check (status in ('draft', 'published', 'deprecated', 'archived')),
  status_reason text constraint package_versions_status_reason_length check (length(status_reason) <= 1000),
  is_public boolean not null default false,
  yaml_content text,
  storage_path text,
  sha256 text not null constraint package_versions_sha256_format check (sha256 ~ '^[0-9a-f]{64}$'),
  size bigint not null constraint package_versions_size_range check (size between 1 and 10485760),
  dependencies_parsed_at timestamptz,
  parse_error text constraint package_versions_parse_error_length check (length(parse_error) <= 2000),
  resolution jsonb constraint package_versions_resolution_object check (private.is_object(resolution)),
  resolved_at timestamptz,
  download_count bigint not null default 0,
  import_run uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  published_at timestamptz,
  constraint package_versions_package_id_fkey foreign key (package_id) references public.packages (id) on delete cascade,
  constraint package_versions_company_id_fkey foreign key (company_id) references public.companies (id) on delete restrict,
  -- Two versions that differ in build metadata alone have no order, and no range tells them apart.
  constraint package_versions_package_id_version_key unique (package_id, version_key),
  constraint package_versions_has_content check (yaml_content is not null or storage_path is not null),
  constraint package_versions_content_checksum check (
    yaml_content is null
    or (private.sha256_hex(yaml_content) = sha256 and octet_length(yaml_content) = size)),
  constraint package_versions_storage_path_format check (private.is_safe_path(storage_path)),
  constraint package_versions_storage_path_key unique (storage_path),
  constraint package_versions_published check (status = 'draft' or published_at is not null)
);
comment on table public.package_versions is
  'Versions of packages. What is not a draft keeps its content for ever; the database computes its checksum anew whenever it is written.';
comment on column public.package_versions.version_key is 'Sorts by semantic-version precedence: order by version_key desc is newest first.';
comment on column public.package_versions.company_id is 'Who owns the package; kept by triggers.';
comment on column public.package_versions.is_public is 'Everybody may read it: the package is public and this is no draft; kept by triggers.';
comment on column public.package_versions.yaml_content is 'The YAML as it was published; null when it lies in object storage alone.';
comment on column public.package_versions.storage_path is 'Object in the bucket packages, if it is there.';
comment on column public.package_versions.size is 'Bytes of the YAML.';
comment on column public.package_versions.status_reason is 'Why it was deprecated or archived, for those who use it.';
comment on column public.package_versions.dependencies_parsed_at is 'Null until package_dependencies says what it needs.';
comment on column public.package_versions.import_run is
  'The import that brought it, which the service may take back; null for what was published here, which nobody deletes.';
comment on column public.package_versions.resolution is
  'What its dependencies resolved to at resolved_at: {"namespace/name": "version"}; of private packages, those of its own company '
  'alone, and none where everybody reads it: what they need themselves is not written in its YAML.';

create table public.package_files (
  id uuid primary key default gen_random_uuid(),
  version_id uuid not null references public.package_versions (id) on delete cascade,
  path text not null constraint package_files_path_format check (private.is_safe_path(path)),
  content_type text not null default 'text/plain',
  content text,
  storage_path text,
  sha256 text not null constraint package_files_sha256_format check (sha256 ~ '^[0-9a-f]{64}$'),
  size bigint not null constraint package_files_size_range check (size between 0 and 10485760),
  proto_package text,
  created_at timestamptz not null default now(),
  constraint package_files_has_content check (content is not null or storage_path is not null),
  constraint package_files_content_checksum check (
    content is null or (private.sha256_hex(content) = sha256 and octet_length(content) = size)),
  constraint package_files_storage_path_format check (private.is_safe_path(storage_path)),
  constraint package_files_storage_path_key unique (storage_path)
);
comment on table public.package_files is
  'Files of a version besides its YAML, such as .proto files: content in the row when small, in object storage when large.';
comment on column public.package_files.proto_package is 'What the file''s package statement says, where it has one.';

create table public.package_dependencies (
  id uuid primary key default gen_random_uuid(),
  version_id uuid not null references public.package_versions (id) on delete cascade,
  dependency_namespace text,
  dependency_name text,
  version_range text constraint package_dependencies_version_range_length check (length(version_range) between 1 and 256),
  import_path text constraint package_dependencies_import_path_length check (length(import_path) between 1 and 512),
  source text not null constraint package_dependencies_source check (source in ('yaml', 'proto')),
  resolution text not null
    constraint package_dependencies_resolution check (resolution in ('package', 'file', 'well_known', 'unresolved')),
  from_file text,
  created_at timestamptz not null default now(),
  constraint package_dependencies_key unique nulls not distinct
    (version_id, dependency_namespace, dependency_name, import_path, from_file),
  constraint package_dependencies_name_format check (
    (resolution = 'package') = (dependency_name is not null)
    and (dependency_name is null) = (dependency_namespace is null)
    and private.is_package_name(dependency_namespace) and private.is_package_name(dependency_name)),
  constraint package_dependencies_range check (source <> 'yaml' or (version_range is not null and resolution = 'package')),
  constraint package_dependencies_import check (source <> 'proto' or import_path is not null)
);
comment on table public.package_dependencies is
  'What a version needs: packages in a range of versions, from its YAML, and files, from the imports of its .proto files.';
comment on column public.package_dependencies.version_range is 'As npm reads it: ^1.2.0, >=1 <3, 1.x || 2.x.';
comment on column public.package_dependencies.resolution is
  'Of an import: a file of the same version, of a package, one that comes with every protobuf compiler, or none that is known.';

create table public.package_version_changes (
  id uuid primary key default gen_random_uuid(),
  package_id uuid not null references public.packages (id) on delete cascade,
  version_id uuid references public.package_versions (id) on delete cascade,
  change text not null constraint package_version_changes_change check (
    change in ('drafted', 'published', 'deprecated', 'restored', 'archived', 'described', 'visibility')),
  reason text,
  details jsonb not null default '{}',
  changed_by uuid references auth.users (id) on delete set null,
  created_at timestamptz not null default clock_timestamp()
);
comment on table public.package_version_changes is 'The changelog: who changed what of a package or a version, when and why. Written by triggers.';
comment on column public.package_version_changes.version_id is 'Null when the package as a whole changed.';

create index package_versions_company_id_idx on public.package_versions (company_id);
create index package_versions_import_run_idx on public.package_versions (import_run) where import_run is not null;
create index package_versions_unparsed_idx on public.package_versions (created_at) where dependencies_parsed_at is null;
create unique index package_files_version_id_path_key on public.package_files (version_id, lower(path));
create index package_dependencies_dependents_idx on public.package_dependencies (dependency_namespace, dependency_name);
create index package_version_changes_package_id_idx on public.package_version_changes (package_id, created_at desc);
create index package_version_changes_version_id_idx on public.package_version_changes (version_id);
create index package_version_changes_changed_by_idx on public.package_version_changes (changed_by);

-- Triggers: versions

create function private.package_actor()
returns uuid
language sql
stable
set search_path = ''
return coalesce(auth.uid(), nullif(current_setting('stowage.package_actor', true), '')::uuid);
comment on function private.package_actor is 'Who changes packages: the caller, or whom the service publishes for.';

create trigger set_updated_at before update on public.package_versions
  for each row when (old.download_count = new.download_count)
  execute function private.set_updated_at();

create function private.fill_package_version()
returns trigger
language plpgsql
security definer -- the columns it keeps follow the package, whatever the caller sees
set search_path = ''
as $$
begin
  select company_id, visibility = 'public' and new.status <> 'draft' into new.company_id, new.is_public
  from public.packages where id = new.package_id;
  if new.status <> 'draft' and new.published_at is null then
    new.published_at := now();
  end if;
  -- Whoever publishes may see more than those who read this.
  if new.resolution is not null then
    new.resolution := coalesce((
      select jsonb_object_agg(resolved.key, resolved.value)
      from jsonb_each(new.resolution) resolved
      join public.packages p on p.namespace = split_part(resolved.key, '/', 1) and p.name = split_part(resolved.key, '/', 2)
      where p.is_public or (not new.is_public and p.company_id = new.company_id)), '{}');
  end if;
  return new;
end;
$$;

create trigger fill_package_version before insert or update of package_id, company_id, is_public, status, resolution
  on public.package_versions
  for each row execute function private.fill_package_version();

create function private.guard_package_content()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform private.raise_error('SW020',
    format('Version %s is %s: its content never changes. Publish a new version.', old.version, old.status), 'version');
  return null;
end;
$$;
comment on function private.guard_package_content is
  'Content may move between the row and object storage, for its checksum stays.';

create trigger guard_package_content before update on public.package_versions
  for each row when (
    old.status <> 'draft'
    and (old.id, old.package_id, old.version, old.sha256, old.size, old.published_at, old.import_run)
      is distinct from (new.id, new.package_id, new.version, new.sha256, new.size, new.published_at, new.import_run))
  execute function private.guard_package_content();

create function private.change_package_version_status()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (old.status, new.status) not in (
    ('draft', 'published'), ('published', 'deprecated'), ('deprecated', 'published'),
    ('published', 'archived'), ('deprecated', 'archived')
  ) then
    perform private.raise_error('SW022',
      format('A version that is %s does not become %s.', old.status, private.shortened(new.status)), 'status');
  end if;
  if new.status = 'deprecated' and coalesce(trim(new.status_reason), '') = '' then
    perform private.raise_error('SW001', 'Say why the version is deprecated, and what to use instead.', 'status_reason');
  end if;
  if new.status = 'published' then
    new.status_reason := null;
  end if;
  return new;
end;
$$;

create trigger change_package_version_status before update on public.package_versions
  for each row when (old.status is distinct from new.status)
  execute function private.change_package_version_status();

create function private.guard_package_version_deletion()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if old.import_run is not null and private.is_service() then
    return old;
  end if;
  perform private.raise_error('SW022',
    format('Version %s is %s: what was published is archived, never deleted.', old.version, old.status), 'status');
  return null;
end;
$$;

create trigger guard_package_version_deletion before delete on public.package_versions
  for each row when (old.status <> 'draft')
  execute function private.guard_package_version_deletion();

create function private.log_package_version_change()
returns trigger
language plpgsql
security definer -- the changelog is nobody's to write
set search_path = ''
as $$
begin
  insert into public.package_version_changes (package_id, version_id, change, reason, changed_by)
  values (
    new.package_id, new.id,
    case
      when new.status = 'draft' then 'drafted'
      when new.status <> 'published' then new.status
      when tg_op = 'UPDATE' and old.status = 'deprecated' then 'restored'
      else 'published'
    end,
    new.status_reason,
    private.package_actor());
  return null;
end;
$$;

create trigger log_new_package_version after insert on public.package_versions
  for each row execute function private.log_package_version_change();

create trigger log_package_version_change after update on public.package_versions
  for each row when (old.status is distinct from new.status)
  execute function private.log_package_version_change();

create function private.keep_latest_version()
returns trigger
language plpgsql
security definer -- latest_version and is_public are nobody's to write
set search_path = ''
as $$
declare
  changed_package_id uuid := case tg_op when 'DELETE' then old.package_id else new.package_id end;
begin
  -- First this, then a new look: what somebody else changes at the same moment is seen by whoever comes second.
  perform from public.packages where id = changed_package_id for no key update;
  update public.packages p
  set latest_version = newest.version, is_public = newest.is_public
  from (
    select
      (select version from public.package_versions v
        where v.package_id = changed_package_id and v.status in ('published', 'deprecated')
        order by v.status = 'published' desc, v.is_prerelease, v.version_key desc
        limit 1) as version,
      own.visibility = 'public' and exists (
        select from public.package_versions v where v.package_id = changed_package_id and v.status <> 'draft') as is_public
    from public.packages own where own.id = changed_package_id) newest
  where p.id = changed_package_id and (p.latest_version, p.is_public) is distinct from (newest.version, newest.is_public);
  return null;
end;
$$;

create trigger keep_latest_version_of_new after insert on public.package_versions
  for each row when (new.status <> 'draft')
  execute function private.keep_latest_version();

create trigger keep_latest_version_of_less after delete on public.package_versions
  for each row when (old.status <> 'draft')
  execute function private.keep_latest_version();

create trigger keep_latest_version after update on public.package_versions
  for each row when (old.status is distinct from new.status)
  execute function private.keep_latest_version();

-- Triggers: what belongs to a version

create function private.guard_package_parts()
returns trigger
language plpgsql
security definer -- reads the version's status whatever the caller sees
set search_path = ''
as $$
declare
  part_of uuid := case tg_op when 'DELETE' then old.version_id else new.version_id end;
  parent public.package_versions;
begin
  -- No version: it is being deleted with its files. Whoever publishes it waits here for the files.
  select * into parent from public.package_versions where id = part_of for share;
  if found and parent.status <> 'draft' then
    perform private.raise_error('SW020',
      format('Version %s is %s: its content never changes. Publish a new version.', parent.version, parent.status), 'version');
  end if;
  return case tg_op when 'DELETE' then old else new end;
end;
$$;

create trigger guard_package_files before insert or delete on public.package_files
  for each row execute function private.guard_package_parts();

create trigger guard_package_file_content before update on public.package_files
  for each row when (
    (old.id, old.version_id, old.path, old.sha256, old.size, old.content_type, old.proto_package)
      is distinct from (new.id, new.version_id, new.path, new.sha256, new.size, new.content_type, new.proto_package))
  execute function private.guard_package_parts();

create function private.guard_package_dependency()
returns trigger
language plpgsql
security definer -- reads the package's name whatever the caller sees
set search_path = ''
as $$
begin
  if exists (
    select from public.package_versions v
    join public.packages p on p.id = v.package_id
    where v.id = new.version_id and p.name_key = private.package_name_key(new.dependency_name)
      and private.package_name_key(p.namespace) = private.package_name_key(new.dependency_namespace)
  ) then
    perform private.raise_error('SW105', 'A package cannot depend on itself.', 'dependencies');
  end if;
  return new;
end;
$$;

create trigger guard_package_dependency before insert or update on public.package_dependencies
  for each row when (new.dependency_name is not null)
  execute function private.guard_package_dependency();

-- Triggers: packages, as far as they concern versions

create function private.change_package_visibility()
returns trigger
language plpgsql
security definer -- asks for versions whatever the caller sees, and keeps their is_public
set search_path = ''
as $$
begin
  if new.visibility = 'private' and not (private.is_service() or private.is_superadmin()) and exists (
    select from public.package_versions where package_id = new.id and status <> 'draft'
  ) then
    perform private.raise_error('SW107',
      'Others may use what was public: the package stays public. Deprecate or archive its versions.', 'visibility');
  end if;
  update public.package_versions set is_public = (new.visibility = 'public' and status <> 'draft') where package_id = new.id;
  return null;
end;
$$;

create trigger change_package_visibility after update on public.packages
  for each row when (old.visibility is distinct from new.visibility)
  execute function private.change_package_visibility();

create function private.log_package_change()
returns trigger
language plpgsql
security definer -- the changelog is nobody's to write
set search_path = ''
as $$
begin
  insert into public.package_version_changes (package_id, change, details, changed_by)
  values (
    new.id,
    case when old.visibility is distinct from new.visibility then 'visibility' else 'described' end,
    (select jsonb_object_agg(n.key, n.value)
      from jsonb_each(to_jsonb(new)) n
      where n.key in ('visibility', 'description', 'keywords', 'license', 'homepage', 'repository', 'kind')
        and n.value is distinct from to_jsonb(old) -> n.key),
    private.package_actor());
  return null;
end;
$$;

create trigger log_package_change after update on public.packages
  for each row when (
    (old.visibility, old.description, old.keywords, old.license, old.homepage, old.repository, old.kind)
      is distinct from (new.visibility, new.description, new.keywords, new.license, new.homepage, new.repository, new.kind))
  execute function private.log_package_change();

-- Grants

grant select on public.package_versions, public.package_files, public.package_dependencies to anon, authenticated;
-- It says who; others hear the rest of it from list_package_changes.
grant select on public.package_version_changes to authenticated;
grant update (status, status_reason), delete on public.package_versions to authenticated;
grant select, insert, update, delete on
  public.package_versions, public.package_files, public.package_dependencies, public.package_version_changes
to service_role;

-- Row security

alter table public.package_versions enable row level security;
alter table public.package_files enable row level security;
alter table public.package_dependencies enable row level security;
alter table public.package_version_changes enable row level security;

create policy "Anybody reads what is published of public packages" on public.package_versions
  for select to anon
  using (is_public);

create policy "Users read public versions, members all of their companies" on public.package_versions
  for select to authenticated
  using (
    is_public or company_id = any ((select private.my_company_ids())::uuid[])
    or (select private.is_superadmin()));

create policy "Owners and admins release and retire versions, superadmins any" on public.package_versions
  for update to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()))
  with check (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()));

create policy "Owners and admins delete versions, superadmins any" on public.package_versions
  for delete to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]) or (select private.is_superadmin()));

-- Whoever sees a version sees what it consists of.
create policy "Anybody reads files of versions that are public" on public.package_files
  for select to anon
  using (exists (select from public.package_versions v where v.id = package_files.version_id));

create policy "Users read files of versions that they see" on public.package_files
  for select to authenticated
  using (exists (select from public.package_versions v where v.id = package_files.version_id));

create policy "Anybody reads dependencies of versions that are public" on public.package_dependencies
  for select to anon
  using (exists (select from public.package_versions v where v.id = package_dependencies.version_id));

create policy "Users read dependencies of versions that they see" on public.package_dependencies
  for select to authenticated
  using (exists (select from public.package_versions v where v.id = package_dependencies.version_id));

create policy "Members read changes of the packages of their companies, superadmins all" on public.package_version_changes
  for select to authenticated
  using (
    (select private.is_superadmin())
    or exists (
      select from public.packages p
      where p.id = package_version_changes.package_id
        and p.company_id = any ((select private.my_company_ids())::uuid[])));
