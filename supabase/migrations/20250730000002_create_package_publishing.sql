-- Publishing is one transaction: the package if it is new, the version, its files, its dependencies. The packages function
-- parses what the database cannot, and calls it for a user, whose right to publish is asked for here.

-- Predicates

create function private.can_publish_packages(p_actor uuid, p_company_id uuid)
returns boolean
language plpgsql
stable
security definer -- asks for a user whom the service names
set search_path = ''
as $$
begin
  return exists (select from public.superadmins where user_id = p_actor)
    or exists (
      select from public.company_members
      where user_id = p_actor and company_id = p_company_id and role in ('owner', 'admin'));
end;
$$;
comment on function private.can_publish_packages is 'The user is owner or admin of the company, or a superadmin.';

-- Functions

create function private.store_package_parts(p_version_id uuid, p_dependencies jsonb, p_files jsonb)
returns void
language plpgsql
security definer -- behind publish_package and save_package_dependencies
set search_path = ''
as $$
begin
  insert into public.package_files (version_id, path, content_type, content, storage_path, sha256, size, proto_package)
  select p_version_id, f.path, coalesce(f.content_type, 'text/plain'), f.content, f.storage_path, f.sha256, f.size, f.proto_package
  from jsonb_to_recordset(p_files) f (
    path text, content_type text, content text, storage_path text, sha256 text, size bigint, proto_package text);
  insert into public.package_dependencies (
    version_id, dependency_namespace, dependency_name, version_range, import_path, source, resolution, from_file)
  select p_version_id, d.namespace, d.name, d.range, d.import_path, d.source, d.resolution, d.from_file
  from jsonb_to_recordset(p_dependencies) d (
    namespace text, name text, range text, import_path text, source text, resolution text, from_file text);
end;
$$;

create function private.publish_package(
  p_actor uuid, p_namespace text, p_name text, p_version text, p_sha256 text, p_size bigint, p_yaml_content text,
  p_storage_path text, p_details jsonb, p_dependencies jsonb, p_files jsonb)
returns table (outcome text, package_id uuid, version_id uuid, abandoned text[])
language plpgsql
security definer -- asks for the rights of a user whom the service names
set search_path = ''
as $$
declare
  owner public.package_namespaces;
  package public.packages;
  existing public.package_versions;
  made public.package_versions;
  wanted text := coalesce(p_details ->> 'status', 'published');
  trial text;
  is_newest boolean;
  old_paths text[] := '{}';
  company public.companies;
  new_bytes bigint;
  new_files integer;
  old_bytes bigint := 0;
  old_files integer := 0;
begin
  -- Everything is done, and undone again: what would be refused is refused.
  if (p_details ->> 'dry_run')::boolean then
    begin
      select p.outcome into trial from private.publish_package(
        p_actor, p_namespace, p_name, p_version, p_sha256, p_size, p_yaml_content, p_storage_path, p_details - 'dry_run',
        p_dependencies, p_files) p;
      raise exception using errcode = 'SW122';
    exception when sqlstate 'SW122' then
      return query select case trial when 'unchanged' then trial else 'valid' end, null::uuid, null::uuid, old_paths;
      return;
    end;
  end if;

  perform set_config('stowage.package_actor', coalesce(p_actor::text, ''), true);
  if not coalesce(private.is_package_name(p_namespace), false) then
    perform private.raise_error('SW001', 'namespace takes letters, digits and single ".", "-" and "_" between them.', 'namespace');
  end if;
  if not coalesce(private.is_package_name(p_name), false) then
    perform private.raise_error('SW001', 'name takes letters, digits and single ".", "-" and "_" between them, 100 at most.', 'name');
  end if;
  if not coalesce(private.is_semver(p_version), false) then
    perform private.raise_error('SW001', 'version must be a semantic version such as 1.4.0.', 'version');
  end if;
  if wanted not in ('draft', 'published') then
    perform private.raise_error('SW001', 'status takes draft or published.', 'status');
  end if;
  if p_yaml_content is not null and private.sha256_hex(p_yaml_content) is distinct from p_sha256 then
    perform private.raise_error('SW103', 'The content does not have the declared checksum.', 'sha256');
  end if;

  -- One answer for a namespace that is somebody else's and for none.
  select * into owner from public.package_namespaces where name = p_namespace;
  if not found or (p_actor is not null and not private.can_publish_packages(p_actor, owner.company_id)) then
    perform private.raise_error('SW104',
      format('The namespace %s is not one in which you publish: claim it, or ask an owner of its company.', p_namespace), 'namespace');
  end if;

  -- Whoever changes a version holds that before the package: so does this, lest they wait for each other in a circle.
  perform from public.package_versions v
  where v.version_key = private.semver_key(p_version)
    and v.package_id = (select p.id from public.packages p where p.namespace = p_namespace and p.name = p_name)
  for update;
  -- A new package refers to its namespace's row, and the first public one changes that: so the namespace is held before the
  -- package, and at once as firmly as it will be.
  if not exists (select from public.packages p where p.namespace = p_namespace and p.name = p_name) then
    if p_details ->> 'visibility' = 'public' and not owner.is_public then
      perform from public.package_namespaces where name = p_namespace for update;
    else
      perform from public.package_namespaces where name = p_namespace for key share;
    end if;
  end if;
  insert into public.packages as p (namespace, name, kind, visibility)
  values (
    p_namespace, p_name, coalesce(p_details ->> 'kind', 'manifest'),
    coalesce(p_details ->> 'visibility', case when owner.is_reserved then 'public' else 'private' end))
  -- Whichever unique index notices first.
  on conflict do nothing;
  -- Publications of one package take turns here.
  select * into package from public.packages p
  where p.namespace = p_namespace and p.name_key = private.package_name_key(p_name)
  for no key update;
  if package.name <> p_name then
    perform private.raise_error('SW100',
      format('The package %s/%s exists, and %s could be mistaken for it.', p_namespace, package.name, p_name), 'name');
  end if;

  select * into existing from public.package_versions v
  where v.package_id = package.id and v.version_key = private.semver_key(p_version)
  for update;
  if found and existing.version <> p_version then
    perform private.raise_error('SW101',
      format('Version %s exists, and differs in build metadata alone.', existing.version), 'version');
  end if;
  -- The draft was read, and checked, and somebody else was quicker.
  if p_details ? 'draft' and coalesce(existing.status, 'draft') = 'draft' and existing.id is distinct from (p_details ->> 'draft')::uuid then
    perform private.raise_error('SW121',
      format('The draft of version %s was replaced or deleted in the meantime.', p_version), 'version');
  end if;
  if existing.status <> 'draft' then
    if existing.sha256 = p_sha256 and not exists (
      (select f.path, f.sha256 from public.package_files f where f.version_id = existing.id
        except select e ->> 'path', e ->> 'sha256' from jsonb_array_elements(p_files) e)
      union all
      (select e ->> 'path', e ->> 'sha256' from jsonb_array_elements(p_files) e
        except select f.path, f.sha256 from public.package_files f where f.version_id = existing.id)
    ) then
      return query select 'unchanged', package.id, existing.id, old_paths;
      return;
    end if;
    perform private.raise_error('SW101',
      format('Version %s of %s/%s is %s with other content: publish a new version.',
        p_version, p_namespace, p_name, existing.status),
      'version');
  end if;

  -- A draft is replaced as a whole.
  old_paths := array(
    select existing.storage_path where existing.storage_path is not null
    union all
    select f.storage_path from public.package_files f where f.version_id = existing.id and f.storage_path is not null);
  -- An import is the operator's, who also sets the quotas; what it brings counts.
  if p_actor is not null and owner.company_id is not null then
    select * into company from public.companies where id = owner.company_id for no key update;
    select p_size + coalesce(sum((e ->> 'size')::bigint), 0), 1 + count(*) into new_bytes, new_files
    from jsonb_array_elements(p_files) e;
    if existing.id is not null then
      select existing.size + coalesce(sum(f.size), 0), 1 + count(*) into old_bytes, old_files
      from public.package_files f where f.version_id = existing.id;
    end if;
    perform private.require_storage(company, new_bytes - old_bytes, new_files - old_files, 'yaml');
  end if;
  delete from public.package_versions where id = existing.id;
  insert into public.package_versions as v (
    package_id, version, yaml_content, storage_path, sha256, size, import_run, dependencies_parsed_at, resolution, resolved_at)
  values (
    package.id, p_version, p_yaml_content, p_storage_path, p_sha256, p_size,
    (p_details ->> 'import_run')::uuid,
    case when p_dependencies is not null then now() end,
    p_details -> 'resolution', case when p_details -> 'resolution' is not null then now() end)
  returning * into made;
  perform private.store_package_parts(made.id, coalesce(p_dependencies, '[]'), p_files);
  if wanted = 'draft' then
    return query select 'drafted', package.id, made.id, old_paths;
    return;
  end if;

  update public.package_versions set status = 'published' where id = made.id;
  -- It was a draft inside this transaction alone.
  delete from public.package_version_changes c where c.version_id = made.id and c.change = 'drafted';
  select p.latest_version = p_version into is_newest from public.packages p where p.id = package.id;
  if is_newest then
    update public.packages p set
      kind = coalesce(p_details ->> 'kind', p.kind),
      description = coalesce(p_details ->> 'description', p.description),
      keywords = case jsonb_typeof(p_details -> 'keywords')
        when 'array' then array(select jsonb_array_elements_text(p_details -> 'keywords')) else p.keywords end,
      license = coalesce(p_details ->> 'license', p.license),
      homepage = coalesce(p_details ->> 'homepage', p.homepage),
      repository = coalesce(p_details ->> 'repository', p.repository)
    where p.id = package.id;
  end if;
  return query select 'published', package.id, made.id, old_paths;
end;
$$;

create function public.publish_package(
  actor uuid, namespace text, name text, version text, sha256 text, size bigint, yaml_content text default null,
  storage_path text default null, details jsonb default '{}', dependencies jsonb default null, files jsonb default '[]')
returns table (outcome text, package_id uuid, version_id uuid, abandoned text[])
language sql
security invoker
set search_path = ''
as $$ select * from private.publish_package($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) $$;
comment on function public.publish_package is
  'For the service, after the content was validated: publishes a version for a user (actor), or as the service itself (null). '
  'details: {kind, description, keywords, license, homepage, repository, visibility (of a new package), status (draft, published), '
  'resolution, import_run, draft (the id of the one that this was read from), dry_run}; dependencies null: parsed later. A draft is '
  'replaced, and its objects are abandoned; what is published already, with the same content, is unchanged. Outcomes: published, drafted, '
  'unchanged; of a dry run, valid or unchanged. Errors: SW001 (a named input), SW100 (name), SW101 (version), SW103 (sha256), '
  'SW104 (namespace), SW105 (dependencies), SW121 (version, another draft), SW030 and SW060 quota (yaml).';

create function private.save_package_dependencies(p_version_id uuid, p_dependencies jsonb, p_error text)
returns void
language plpgsql
security definer -- package_dependencies is nobody's to write
set search_path = ''
as $$
begin
  update public.package_versions
  set dependencies_parsed_at = now(), parse_error = left(p_error, 2000)
  where id = p_version_id and dependencies_parsed_at is null;
  if found then
    perform private.store_package_parts(p_version_id, coalesce(p_dependencies, '[]'), '[]');
  end if;
end;
$$;

create function public.save_package_dependencies(version_id uuid, dependencies jsonb, error text default null)
returns void
language sql
security invoker
set search_path = ''
as $$ select private.save_package_dependencies($1, $2, $3) $$;
comment on function public.save_package_dependencies is
  'For the service: what the background job parsed of a version that had no dependencies yet, or why it could not. Once a version.';

grant execute on function
  private.publish_package(uuid, text, text, text, text, bigint, text, text, jsonb, jsonb, jsonb),
  public.publish_package(uuid, text, text, text, text, bigint, text, text, jsonb, jsonb, jsonb),
  private.save_package_dependencies(uuid, jsonb, text), public.save_package_dependencies(uuid, jsonb, text)
to service_role;
