-- Whether rows and objects agree, page by page: storage:check walks through the objects of each bucket by name, and through
-- the rows of each table by id. A page is one look at both sides, so that nothing that is under way is mistaken for a fault.
-- All for the service.

create function private.audit_storage_objects(p_bucket_id text, p_after text, p_max_objects integer, p_min_age interval)
returns table (name text, problem text, size bigint, created_at timestamptz)
language sql
stable
security definer -- looks at rows and objects of everybody
set search_path = ''
as $$
  select o.name,
    case
      when o.created_at > now() - p_min_age then null
      when exists (
        select from private.object_deletions d where d.bucket_id = o.bucket_id and d.name = o.name) then null
      when private.who_names_object(o.bucket_id, o.name) is null then 'object_without_row'
    end,
    (o.metadata ->> 'size')::bigint, o.created_at
  from (
    select * from storage.objects
    where bucket_id = p_bucket_id and storage.objects.name collate "C" > coalesce(p_after, '')
    order by storage.objects.name collate "C"
    limit p_max_objects
  ) o
  order by o.name collate "C"
$$;

create function public.audit_storage_objects(
  bucket_id text, after text default '', max_objects integer default 1000, min_age interval default '1 day')
returns table (name text, problem text, size bigint, created_at timestamptz)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.audit_storage_objects($1, $2, $3, $4) $$;
comment on function public.audit_storage_objects is
  'For the service: the bucket''s next objects by name, and which of them no row names (object_without_row). Younger ones, what '
  'is under way and what is queued for deletion are no problem.';

create function private.audit_storage_rows(p_source text, p_after uuid, p_max_rows integer, p_id uuid default null)
returns table (id uuid, problem text, bucket_id text, name text, row_size bigint, object_size bigint, checksum text, kept boolean)
language plpgsql
stable
security definer -- looks at rows and objects of everybody
set search_path = ''
as $$
declare
  first_id constant uuid := coalesce(p_id, p_after);
  last_id constant uuid := coalesce(p_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
begin
  return query
    with page as (
      select f.id, 'app-storage' as bucket_id, f.file_path as name, f.file_size as size, f.checksum,
        -- Only a draft's or an archived version's files can be taken away.
        v.status in ('published', 'deprecated') as kept,
        exists (
          select from public.app_uploads u
          where lower(u.file_path) = lower(f.file_path) and u.file_path = f.file_path and u.status in ('pending', 'verifying')
        ) as busy, null::jsonb as parts
      from (
        select * from public.app_storage x
        where p_source = 'app_storage' and x.id between first_id and last_id and (p_id is not null or x.id > p_after)
        order by x.id limit p_max_rows) f
      join public.app_versions v on v.app_id = f.app_id and v.version = f.version
      union all
      select b.id, place.bucket_id, place.name, place.size, place.checksum, false,
        b.build_status in ('pending', 'building') or place.name is null, null
      from (
        select * from public.app_builds x
        where p_source in ('app_builds', 'app_build_logs') and x.id between first_id and last_id
          and (p_id is not null or x.id > p_after)
        order by x.id limit p_max_rows) b
      cross join lateral (
        select 'app-storage', b.build_path, b.file_size, b.checksum where p_source = 'app_builds'
        union all
        select 'app-logs', b.build_logs, b.build_logs_size, null where p_source = 'app_build_logs'
      ) place (bucket_id, name, size, checksum)
      union all
      select o.id, o.output_bucket, o.output_path, o.file_size, null, false,
        o.output_path is null or r.status in ('pending', 'running'), nullif(o.output_data -> 'parts', '[]')
      from (
        select * from public.app_outputs x
        where p_source = 'app_outputs' and x.id between first_id and last_id and (p_id is not null or x.id > p_after)
        order by x.id limit p_max_rows) o
      join public.app_runs r on r.id = o.run_id
      union all
      select v.id, 'packages', v.storage_path, v.size, 'sha256:' || v.sha256, v.status <> 'draft' and v.yaml_content is null,
        v.storage_path is null, null
      from (
        select * from public.package_versions x
        where p_source = 'package_versions' and x.id between first_id and last_id and (p_id is not null or x.id > p_after)
        order by x.id limit p_max_rows) v
      union all
      select f.id, 'packages', f.storage_path, f.size, 'sha256:' || f.sha256, v.status <> 'draft' and f.content is null,
        f.storage_path is null, null
      from (
        select * from public.package_files x
        where p_source = 'package_files' and x.id between first_id and last_id and (p_id is not null or x.id > p_after)
        order by x.id limit p_max_rows) f
      join public.package_versions v on v.id = f.version_id
    )
    select p.id,
      case
        when p.busy then null
        -- What nobody knew of, and so did not count.
        when p.size is null and p_source in ('app_outputs', 'app_build_logs') and o.size is not null then 'size_mismatch'
        when p.size is null and p_source = 'app_build_logs' then null
        when o.missing > 0 then 'row_without_object'
        when p.size <> o.size then 'size_mismatch'
      end,
      p.bucket_id, p.name, p.size, o.size, case when not p.busy then p.checksum end, p.kept
    from page p
    cross join lateral (
      select count(*) filter (where s.id is null) as missing, sum((s.metadata ->> 'size')::bigint)::bigint as size
      -- Of a log in parts, output_path is the last one.
      from jsonb_array_elements_text(case jsonb_typeof(p.parts) when 'array' then p.parts else jsonb_build_array(p.name) end) part
      left join storage.objects s on s.bucket_id = p.bucket_id and s.name = part
    ) o
    order by p.id;
end;
$$;

create function public.audit_storage_rows(
  source text, after uuid default '00000000-0000-0000-0000-000000000000', max_rows integer default 1000)
returns table (id uuid, problem text, bucket_id text, name text, row_size bigint, object_size bigint, checksum text, kept boolean)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.audit_storage_rows($1, $2, $3) $$;
comment on function public.audit_storage_rows is
  'For the service: the next rows by id, and which of them have no object (row_without_object) or one of another size '
  '(size_mismatch). source takes app_storage, app_builds, app_build_logs, app_outputs, package_versions or package_files. kept: '
  'the row is of a released version and stays whatever is found. A row that something is under way for has no problem, and no '
  'checksum to be compared.';

create function private.queue_orphans(p_bucket_id text, p_names text[], p_min_age interval)
returns integer
language sql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
  select count(private.delete_object(o.bucket_id, o.name) is null)::integer
  from storage.objects o
  where o.bucket_id = p_bucket_id and o.name = any (p_names)
    and o.created_at <= now() - p_min_age
    and private.who_names_object(o.bucket_id, o.name) is null
$$;

create function public.queue_orphans(bucket_id text, names text[], min_age interval default '1 day')
returns integer
language sql
security invoker
set search_path = ''
as $$ select private.queue_orphans($1, $2, $3) $$;
comment on function public.queue_orphans is
  'For the service: queues those of these objects for deletion that, looked at again, no row names. Answers how many.';

create function private.repair_output(p_id uuid)
returns text
language plpgsql
security definer -- rows of everybody
set search_path = ''
as $$
declare
  output public.app_outputs;
  there text[];
  gone text[];
  bytes bigint;
begin
  select * into output from public.app_outputs where id = p_id for no key update;
  select
    coalesce(array_agg(part.name order by part.number) filter (where o.id is not null), '{}'),
    coalesce(array_agg(part.name order by part.number) filter (where o.id is null), '{}'),
    sum((o.metadata ->> 'size')::bigint)
  into there, gone, bytes
  from jsonb_array_elements_text(
    case when jsonb_typeof(output.output_data -> 'parts') = 'array' and output.output_data -> 'parts' <> '[]'
      then output.output_data -> 'parts' else jsonb_build_array(output.output_path) end) with ordinality part (name, number)
  left join storage.objects o on o.bucket_id = output.output_bucket and o.name = part.name;
  if gone = '{}' then
    update public.app_outputs set file_size = bytes where id = p_id;
    return 'corrected';
  end if;
  update public.app_outputs
  set
    output_bucket = case when there <> '{}' then output_bucket end, output_path = there[cardinality(there)], file_size = bytes,
    output_data = coalesce(output_data, '{}') - 'parts'
      || case when there <> '{}' then jsonb_build_object('parts', there) else '{}' end
      || jsonb_build_object('lost', case
        when output.output_data ? 'lost' then output.output_data -> 'lost' || to_jsonb(gone)
        when output.output_data ? 'parts' then to_jsonb(gone)
        else to_jsonb(gone[1])
      end)
  where id = p_id;
  return 'marked';
end;
$$;
comment on function private.repair_output is
  'Its size becomes what its objects have; output_data.lost names those that are not there, of a log in parts as an array.';

create function private.repair_storage_row(p_source text, p_id uuid, p_problem text, p_checksum text)
returns text
language plpgsql
security definer -- rows of everybody
set search_path = ''
as $$
declare
  now_found record;
begin
  if coalesce(p_source not in ('app_storage', 'app_builds', 'app_build_logs', 'app_outputs', 'package_versions', 'package_files'), true)
  then
    perform private.raise_error('SW001',
      'source takes app_storage, app_builds, app_build_logs, app_outputs, package_versions or package_files.', 'source');
  end if;
  if p_problem = 'checksum_mismatch' and p_checksum is null then
    perform private.raise_error('SW001', 'A checksum that differs is named.', 'checksum');
  end if;
  -- Since it was found somebody may have replaced, completed or removed it: it is looked at again, under a lock.
  if p_source = 'package_files' then
    -- As those who publish: the version, then its files.
    perform from public.package_versions where id = (select version_id from public.package_files where id = p_id) for update;
  end if;
  execute format('select from public.%I where id = $1 for update',
    case p_source when 'app_build_logs' then 'app_builds' else p_source end) using p_id;
  select * into now_found from private.audit_storage_rows(p_source, null, 1, p_id);
  if not found then
    return 'gone';
  end if;
  if p_problem = 'checksum_mismatch' and now_found.checksum is distinct from p_checksum
    or p_problem is distinct from 'checksum_mismatch' and coalesce(now_found.problem <> p_problem, true)
  then
    return 'settled';
  end if;
  if now_found.kept then
    return 'kept';
  end if;
  case p_source
    when 'app_storage' then
      delete from public.app_storage where id = p_id;
    when 'app_builds' then
      delete from public.app_builds where id = p_id;
    when 'app_build_logs' then
      update public.app_builds set build_logs_size = now_found.object_size where id = p_id;
      return case p_problem when 'size_mismatch' then 'corrected' else 'marked' end;
    when 'app_outputs' then
      return private.repair_output(p_id);
    when 'package_versions' then
      update public.package_versions set storage_path = null where id = p_id and yaml_content is not null;
      if found then
        return 'corrected';
      end if;
      delete from public.package_versions where id = p_id;
    when 'package_files' then
      update public.package_files set storage_path = null where id = p_id and content is not null;
      if found then
        return 'corrected';
      end if;
      -- A draft without one of its files would be another one.
      delete from public.package_versions v using public.package_files f where f.id = p_id and v.id = f.version_id;
  end case;
  return 'removed';
end;
$$;

create function public.repair_storage_row(source text, id uuid, problem text, checksum text default null)
returns text
language sql
security invoker
set search_path = ''
as $$ select private.repair_storage_row($1, $2, $3, $4) $$;
comment on function public.repair_storage_row is
  'For the service: what can be done about a row whose object is missing or another, looked at once more. Files, builds and '
  'drafts of packages are removed, and what is left of them queued for deletion; outputs and build logs are marked '
  '(output_data.lost, no build_logs_size), or get the object''s size; content that is in the row too stays there alone. Answers '
  'removed, marked, corrected, settled (it is all right by now), gone, or kept: files of a released version, which only a '
  'backup brings back. checksum is the row''s, for a checksum_mismatch. Errors: SW001 (source, checksum).';

grant execute on function
  private.audit_storage_objects(text, text, integer, interval), public.audit_storage_objects(text, text, integer, interval),
  private.audit_storage_rows(text, uuid, integer, uuid), public.audit_storage_rows(text, uuid, integer),
  private.queue_orphans(text, text[], interval), public.queue_orphans(text, text[], interval),
  private.repair_storage_row(text, uuid, text, text), public.repair_storage_row(text, uuid, text, text)
to service_role;
