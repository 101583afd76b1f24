-- What the packages function reads: each answer is one statement, under the caller's row security, so that what a caller
-- may not see is simply not there.

-- Functions: one package

create function private.read_package(p_namespace text, p_name text)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(p) - '{name_key,company_id,is_public}'::text[] || jsonb_build_object('versions', coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', v.id, 'version', v.version, 'status', v.status, 'status_reason', v.status_reason, 'is_public', v.is_public,
      'sha256', v.sha256, 'size', v.size, 'published_at', v.published_at, 'created_at', v.created_at,
      'download_count', v.download_count) order by v.version_key desc)
    from public.package_versions v where v.package_id = p.id), '[]'))
  from public.packages p
  where p.namespace = p_namespace and p.name = p_name
$$;

create function public.read_package(namespace text, name text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$ select private.read_package($1, $2) $$;
comment on function public.read_package is
  'A package with all versions that the caller sees, newest first; null if there is none. For everybody, as row security allows.';

create function private.read_package_version(p_namespace text, p_name text, p_version text)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(v) - '{version_key,company_id}'::text[] || jsonb_build_object(
    'namespace', p.namespace, 'name', p.name, 'kind', p.kind, 'visibility', p.visibility,
    'files', coalesce((
      select jsonb_agg(jsonb_build_object(
        'path', f.path, 'content_type', f.content_type, 'sha256', f.sha256, 'size', f.size, 'proto_package', f.proto_package)
        order by f.path)
      from public.package_files f where f.version_id = v.id), '[]'),
    'dependencies', coalesce((
      select jsonb_agg(jsonb_build_object(
        'namespace', d.dependency_namespace, 'name', d.dependency_name, 'range', d.version_range, 'import_path', d.import_path,
        'source', d.source, 'resolution', d.resolution, 'from_file', d.from_file)
        order by d.source desc, d.dependency_namespace, d.dependency_name, d.from_file, d.import_path)
      from public.package_dependencies d where d.version_id = v.id), '[]'))
  from public.packages p
  join public.package_versions v on v.package_id = p.id
  where p.namespace = p_namespace and p.name = p_name and v.version_key = private.semver_key(p_version)
$$;

create function public.read_package_version(namespace text, name text, version text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$ select private.read_package_version($1, $2, $3) $$;
comment on function public.read_package_version is
  'A version with its content, where that is in the row, its dependencies and the list of its files; null if there is none. '
  'For everybody, as row security allows.';

-- Functions: many packages

create function private.search_packages(p_query text, p_namespace text, p_kind text, p_limit integer, p_offset integer)
returns jsonb
language sql
stable
set search_path = ''
as $$
  with found as (
    select p.*, count(*) over () as total
    from public.packages p
    where (p_namespace is null or p.namespace = p_namespace)
      and (p_kind is null or p.kind = p_kind)
      and (coalesce(p_query, '') = '' or strpos(
        lower(p.namespace || '/' || p.name || ' ' || p.description || ' ' || array_to_string(p.keywords, ' ')), lower(p_query)) > 0)
    -- Who names a package finds it before all that mention it.
    order by
      lower(p_query) in (lower(p.name), lower(p.namespace || '/' || p.name)) desc nulls last,
      (strpos(lower(p.name), lower(p_query)) > 0) desc nulls last,
      p.download_count desc, p.namespace, p.name
    limit least(greatest(p_limit, 0), 100) offset greatest(p_offset, 0)
  )
  select jsonb_build_object('total', coalesce(max(total), 0), 'packages', coalesce(jsonb_agg(jsonb_build_object(
    'namespace', namespace, 'name', name, 'kind', kind, 'visibility', visibility, 'description', description,
    'keywords', keywords, 'license', license, 'latest_version', latest_version, 'download_count', download_count,
    'updated_at', updated_at)), '[]'))
  from found
$$;

create function public.search_packages(
  query text default '', namespace text default null, kind text default null, max_results integer default 20, skip integer default 0)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$ select private.search_packages($1, $2, $3, $4, $5) $$;
comment on function public.search_packages is
  'Packages whose name, description or keywords contain the query, best first: {total, packages}, 100 at most. For everybody, '
  'as row security allows.';

create function private.list_package_candidates(p_roots text[])
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  most_packages constant integer := 20000;
  most_needs constant integer := 250000;
  reached text[];
  answer jsonb;
  named bigint;
begin
  -- Asked for by whoever comes, and held in the memory of those who resolve it: what nobody means is not even collected.
  if cardinality(p_roots) > most_packages then
    perform private.raise_error('SW120', format('A resolution begins with %s packages at most.', most_packages), 'roots');
  end if;
  with recursive reachable (id) as (
    select root from unnest(p_roots) root
    union
    select d.dependency_namespace || '/' || d.dependency_name
    from reachable r
    join public.packages p on p.namespace = split_part(r.id, '/', 1) and p.name = split_part(r.id, '/', 2)
    join public.package_versions v on v.package_id = p.id and v.status in ('published', 'deprecated')
    join public.package_dependencies d on d.version_id = v.id and d.resolution = 'package'
  )
  select array_agg(id) into reached from (select id from reachable limit most_packages + 1) first_ones;
  if cardinality(reached) > most_packages then
    perform private.raise_error('SW120', format('More than %s packages can be reached from here.', most_packages), 'roots');
  end if;
  with candidates as (
    select r.id, v.version, v.version_key, v.status, v.status_reason, v.dependencies_parsed_at, needs.ranges, needs.named
    from unnest(reached) r (id)
    join public.packages p on p.namespace = split_part(r.id, '/', 1) and p.name = split_part(r.id, '/', 2)
    join public.package_versions v on v.package_id = p.id and v.status in ('published', 'deprecated')
    cross join lateral (
      select count(*) as named,
        coalesce(jsonb_object_agg(d.dependency_namespace || '/' || d.dependency_name, d.version_range), '{}') as ranges
      from public.package_dependencies d
      where d.version_id = v.id and d.resolution = 'package' and d.source = 'yaml') needs
  )
  select coalesce(jsonb_object_agg(id, versions), '{}'), sum(packages.named) into answer, named
  from (
    select id, jsonb_agg(jsonb_build_object(
      'version', version, 'status', status, 'reason', status_reason, 'parsed', dependencies_parsed_at is not null, 'dependencies', ranges)
      order by version_key desc) as versions, sum(candidates.named) as named
    from candidates group by id) packages;
  if named > most_needs then
    perform private.raise_error('SW120', format('The packages that can be reached from here name more than %s dependencies.', most_needs), 'roots');
  end if;
  return answer;
end;
$$;

create function public.list_package_candidates(roots text[])
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$ select private.list_package_candidates($1) $$;
comment on function public.list_package_candidates is
  'All that a resolution may need: for each package that can be reached from these ("namespace/name"), its versions that '
  'resolve, newest first, with their dependencies. For everybody, as row security allows. Error: SW120 (roots), too many.';

create function private.list_package_changes(p_namespace text, p_name text, p_limit integer, p_offset integer)
returns jsonb
language plpgsql
stable
security definer -- strangers hear what changed of what is public, and not who did it
set search_path = ''
as $$
declare
  package public.packages;
  is_own boolean;
  public_since timestamptz;
begin
  select * into package from public.packages where namespace = p_namespace and name = p_name;
  is_own := coalesce(
    private.is_service() or private.is_superadmin() or package.company_id = any (private.my_company_ids()), false);
  if package.id is null or not (package.is_public or is_own) then
    return null;
  end if;
  -- How the package described itself before stays its own.
  select greatest(max(created_at) filter (where change = 'visibility'), min(created_at) filter (where change = 'published'))
  into public_since
  from public.package_version_changes where package_id = package.id;
  return coalesce((
    select jsonb_agg(
      jsonb_build_object(
        'change', change, 'reason', reason, 'details', details, 'created_at', created_at, 'version', version)
        || case when is_own then jsonb_build_object('changed_by', changed_by) else '{}' end
      order by created_at desc)
    from (
      select c.*, v.version
      from public.package_version_changes c left join public.package_versions v on v.id = c.version_id
      where c.package_id = package.id and (is_own or v.is_public or (c.version_id is null and c.created_at >= public_since))
      order by c.created_at desc
      limit least(greatest(p_limit, 0), 100) offset greatest(p_offset, 0)) page), '[]');
end;
$$;

create function public.list_package_changes(namespace text, name text, max_results integer default 100, skip integer default 0)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$ select private.list_package_changes($1, $2, $3, $4) $$;
comment on function public.list_package_changes is
  'The changelog of a package, newest first, 100 at most: [{change, reason, details, created_at, version}], for members of its '
  'company with changed_by; of what is public for everybody, null for what the caller does not see.';

create function private.list_package_dependents(p_namespace text, p_name text, p_limit integer, p_offset integer)
returns jsonb
language sql
stable
set search_path = ''
as $$
  with dependents as (
    select distinct on (p.id) p.namespace, p.name, v.version, v.status, d.version_range, d.source, d.import_path
    from public.package_dependencies d
    join public.package_versions v on v.id = d.version_id and v.status in ('published', 'deprecated')
    join public.packages p on p.id = v.package_id
    where d.dependency_namespace = p_namespace and d.dependency_name = p_name
    order by p.id, v.version_key desc, d.source desc
  )
  select jsonb_build_object(
    'total', (select count(*) from dependents),
    'dependents', coalesce(jsonb_agg(jsonb_build_object(
      'namespace', namespace, 'name', name, 'version', version, 'status', status, 'range', version_range, 'import_path', import_path)
      order by namespace, name), '[]'))
  from (
    select * from dependents order by namespace, name
    limit least(greatest(p_limit, 0), 100) offset greatest(p_offset, 0)) page
$$;

create function public.list_package_dependents(namespace text, name text, max_results integer default 100, skip integer default 0)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$ select private.list_package_dependents($1, $2, $3, $4) $$;
comment on function public.list_package_dependents is
  'Packages that need this one, each with the newest of its versions that does: {total, dependents}, 100 at most. For everybody, '
  'as row security allows.';

-- Functions: downloads

create function private.count_package_downloads(p_counts jsonb)
returns void
language plpgsql
security definer -- counts are nobody's to write
set search_path = ''
as $$
begin
  -- In one order everywhere, so that two instances that count at once do not wait for each other in a circle.
  perform from public.package_versions
  where id in (select key::uuid from jsonb_each(p_counts)) order by id for no key update;
  update public.package_versions v set download_count = v.download_count + c.value::bigint
  from jsonb_each_text(p_counts) c where v.id = c.key::uuid;
  perform from public.packages
  where id in (select package_id from public.package_versions where id in (select key::uuid from jsonb_each(p_counts)))
  order by id for no key update;
  update public.packages p set download_count = p.download_count + c.total
  from (
    select v.package_id, sum(e.value::bigint) as total
    from jsonb_each_text(p_counts) e join public.package_versions v on v.id = e.key::uuid
    group by v.package_id) c
  where p.id = c.package_id;
end;
$$;

create function public.count_package_downloads(counts jsonb)
returns void
language sql
security invoker
set search_path = ''
as $$ select private.count_package_downloads($1) $$;
comment on function public.count_package_downloads is 'For the service: adds downloads, {version id: count}.';

grant execute on function
  private.read_package(text, text), public.read_package(text, text),
  private.read_package_version(text, text, text), public.read_package_version(text, text, text),
  private.search_packages(text, text, text, integer, integer), public.search_packages(text, text, text, integer, integer),
  private.list_package_candidates(text[]), public.list_package_candidates(text[]),
  private.list_package_changes(text, text, integer, integer), public.list_package_changes(text, text, integer, integer),
  private.list_package_dependents(text, text, integer, integer), public.list_package_dependents(text, text, integer, integer),
  private.semver_key(text)
to anon, authenticated, service_role;
-- For SW120.
grant execute on function private.raise_error(text, text, text), private.shortened(text, integer) to anon;
grant execute on function private.count_package_downloads(jsonb), public.count_package_downloads(jsonb) to service_role;

-- Triggers: caches hear of what changed

create function private.announce_package()
returns trigger
language plpgsql
security definer -- reads the package's name whatever the caller sees
set search_path = ''
as $$
declare
  changed record := case tg_op when 'DELETE' then old else new end;
begin
  if tg_table_name = 'packages' then
    perform pg_notify('package_changes', changed.namespace || '/' || changed.name);
  else
    perform pg_notify('package_changes', namespace || '/' || name) from public.packages where id = changed.package_id;
  end if;
  return null;
end;
$$;
comment on function private.announce_package is
  'Tells the channel package_changes the name of a package that changed, "namespace/name", at the end of the transaction.';

create trigger announce_new_package after insert or delete on public.packages
  for each row execute function private.announce_package();
create trigger announce_package after update on public.packages
  for each row when (old.download_count = new.download_count)
  execute function private.announce_package();
create trigger announce_new_package_version after insert or delete on public.package_versions
  for each row execute function private.announce_package();
create trigger announce_package_version after update on public.package_versions
  for each row when (old.download_count = new.download_count)
  execute function private.announce_package();
