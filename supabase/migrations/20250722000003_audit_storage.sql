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

create function private.audit_storage_rows(p_source text, p_after uuid, p_max_rows integer)
returns table (id uuid, problem text, bucket_id text, name text, row_size bigint, object_size bigint, checksum text, kept boolean)
language plpgsql
stable
security definer -- looks at rows and objects of everybody
set search_path = ''
as $$
begin
  return query
    with page as (
      select f.id, 'app-storage' as bucket_id, f.file_path as name, f.file_size as size, f.checksum,
        -- Only a draft's or an archived version's files can be taken away.
        v.status in ('published', 'deprecated') as kept,
        exists (
          select from public.app_uploads u
          where lower(u.file_path) = lower(f.file_path) and u.file_path = f.file_path and u.status in ('pending', 'verifying')
        ) as busy
      from (
        select * from public.app_storage x
        where p_source = 'app_storage' and x.id > p_after order by x.id limit p_max_rows) f
      join public.app_versions v on v.app_id = f.app_id and v.version = f.version
      union all
      select b.id, 'app-storage', b.build_path, b.file_size, b.checksum, false,
        b.build_status in ('pending', 'building') or b.build_path is null
      from (
        select * from public.app_builds x
        where p_source = 'app_builds' and x.id > p_after order by x.id limit p_max_rows) b
      union all
      select o.id, o.output_bucket, o.output_path,
        -- Of a log in parts, output_path is the last one.
        case when o.output_data ? 'parts' then null else o.file_size end, null, false,
        o.output_path is null or r.status in ('pending', 'running')
      from (
        select * from public.app_outputs x
        where p_source = 'app_outputs' and x.id > p_after order by x.id limit p_max_rows) o
      join public.app_runs r on r.id = o.run_id
    )
    select p.id,
      case
        when p.busy then null
        when o.id is null then 'row_without_object'
        when p.size <> (o.metadata ->> 'size')::bigint then 'size_mismatch'
      end,
      p.bucket_id, p.name, p.size, (o.metadata ->> 'size')::bigint, case when not p.busy then p.checksum end, p.kept
    from page p
    left join storage.objects o on o.bucket_id = p.bucket_id and o.name = p.name
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
  'For the service: the next rows of app_storage, app_builds or app_outputs by id, and which of them have no object '
  '(row_without_object) or one of another size (size_mismatch). kept: the row is of a released version and stays whatever is '
  'found. A row that something is under way for has no problem, and no checksum to be compared.';

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

create function private.repair_storage_row(p_source text, p_id uuid, p_problem text)
returns text
language plpgsql
security definer -- rows of everybody
set search_path = ''
as $$
declare
  output public.app_outputs;
  version_status text;
begin
  case p_source
    when 'app_storage' then
      select v.status into version_status
      from public.app_storage f
      join public.app_versions v on v.app_id = f.app_id and v.version = f.version
      where f.id = p_id;
      if version_status in ('published', 'deprecated') then
        return 'kept';
      end if;
      delete from public.app_storage where id = p_id;
    when 'app_builds' then
      delete from public.app_builds where id = p_id and build_status in ('success', 'failed', 'cancelled');
    when 'app_outputs' then
      select * into output from public.app_outputs where id = p_id for no key update;
      if p_problem = 'size_mismatch' then
        update public.app_outputs
        set file_size = (
          select (o.metadata ->> 'size')::bigint from storage.objects o
          where o.bucket_id = output.output_bucket and o.name = output.output_path)
        where id = p_id;
        return case when found then 'corrected' else 'gone' end;
      end if;
      update public.app_outputs
      set output_bucket = null, output_path = null, file_size = null,
        output_data = coalesce(output_data, '{}') - 'parts' || jsonb_build_object('lost', output.output_path)
      where id = p_id;
      return case when found then 'marked' else 'gone' end;
    else
      perform private.raise_error('SW001', 'source takes app_storage, app_builds or app_outputs.', 'source');
  end case;
  return case when found then 'removed' else 'gone' end;
end;
$$;

create function public.repair_storage_row(source text, id uuid, problem text)
returns text
language sql
security invoker
set search_path = ''
as $$ select private.repair_storage_row($1, $2, $3) $$;
comment on function public.repair_storage_row is
  'For the service: what can be done about a row whose object is missing or another. Files and builds are removed, and what is '
  'left of them queued for deletion; outputs are marked (output_data.lost), or get the object''s size. Answers removed, marked, '
  'corrected, gone (somebody was faster), or kept: files of a released version, which only a backup brings back. Error: SW001 (source).';

grant execute on function
  private.audit_storage_objects(text, text, integer, interval), public.audit_storage_objects(text, text, integer, interval),
  private.audit_storage_rows(text, uuid, integer), public.audit_storage_rows(text, uuid, integer),
  private.queue_orphans(text, text[], interval), public.queue_orphans(text, text[], interval),
  private.repair_storage_row(text, uuid, text), public.repair_storage_row(text, uuid, text)
to service_role;
