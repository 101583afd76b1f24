-- Objects are deleted through the Storage API, rows in SQL, and no transaction spans both. So whoever removes the row of an
-- object queues the object's name in the same transaction, by a trigger, whatever removed the row; a sweeper claims names,
-- deletes the objects and clears the queue. A crash anywhere leaves a name in the queue, never an object of which nothing
-- tells. A name that a row names again is dropped from the queue, and one that is being deleted cannot be taken.

-- Tables. Nobody is granted it.

create table private.object_deletions (
  bucket_id text not null,
  name text not null,
  delete_after timestamptz not null default now(),
  written_until timestamptz,
  claim_id uuid,
  claimed_until timestamptz,
  attempts integer not null default 0,
  queued_at timestamptz not null default now(),
  primary key (bucket_id, name),
  constraint object_deletions_claim check ((claim_id is null) = (claimed_until is null))
);
comment on table private.object_deletions is 'Objects that no row names any more, until they are gone.';
comment on column private.object_deletions.written_until is
  'Somebody holds a signed URL to this name until then: it is deleted now, and once more.';
comment on column private.object_deletions.attempts is 'How often it was claimed.';

create index object_deletions_attempts_delete_after_idx on private.object_deletions (attempts, delete_after);

-- Predicates

create function private.is_uuid(value text)
returns boolean
language sql
immutable
set search_path = ''
return value ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

create function private.who_names_object(p_bucket_id text, p_name text)
returns text
language plpgsql
stable
security definer -- looks at rows of everybody
set search_path = ''
as $$
declare
  folder text := split_part(p_name, '/', 2);
  id_text text := split_part(split_part(p_name, '/', 3), '.', 1);
  folder_id uuid := case when private.is_uuid(id_text) then id_text::uuid end;
begin
  if p_bucket_id = 'app-storage' and exists (select from public.app_storage f where f.file_path = p_name)
    or exists (
      select from public.app_outputs o where o.output_path = p_name and o.output_bucket = p_bucket_id)
  then
    return 'row';
  end if;
  if p_bucket_id = 'packages' then
    return (
      select 'row'
      where exists (select from public.package_versions v where v.storage_path = p_name)
        or exists (select from public.package_files f where f.storage_path = p_name));
  end if;
  if folder = 'staging' then
    return (
      select 'upload' from public.app_uploads u
      where u.id = folder_id and u.status in ('pending', 'verifying')
        and p_bucket_id = 'app-storage' and p_name in (u.staging_path, u.staging_path || '.verifying'));
  elsif folder = 'builds' then
    return (
      select case
        when p_name = case p_bucket_id when 'app-storage' then b.build_path when 'app-logs' then b.build_logs end then 'row'
        when b.build_status in ('pending', 'building') then 'build'
      end
      from public.app_builds b where b.id = folder_id);
  elsif folder = 'runs' then
    return (
      select case
        when r.status in ('pending', 'running') then 'run'
        when p_bucket_id = 'app-logs' and (
          r.logs_path = p_name
          or exists (select from public.app_outputs o where o.run_id = r.id and o.output_data -> 'parts' ? p_name)) then 'row'
      end
      from public.app_runs r where r.id = folder_id);
  end if;
  return (
    select 'upload' from public.app_uploads u
    where lower(u.file_path) = lower(p_name) and u.file_path = p_name and u.status in ('pending', 'verifying')
      and p_bucket_id = 'app-storage'
    limit 1);
end;
$$;
comment on function private.who_names_object is
  'row: a row is there for the object. upload, build, run: there is none yet, but what would write one is under way. Null: nobody.';

-- Queueing

create function private.delete_object(p_bucket_id text, p_name text, p_written_until timestamptz default null)
returns void
language sql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
  insert into private.object_deletions as d (bucket_id, name, written_until)
  values (p_bucket_id, p_name, p_written_until)
  on conflict (bucket_id, name) do update set
    delete_after = least(d.delete_after, excluded.delete_after),
    written_until = greatest(d.written_until, excluded.written_until)
$$;

create function private.keep_object(p_bucket_id text, p_name text, p_field text)
returns void
language plpgsql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
begin
  delete from private.object_deletions
  where bucket_id = p_bucket_id and name = p_name and (claimed_until is null or claimed_until <= now());
  if exists (select from private.object_deletions where bucket_id = p_bucket_id and name = p_name) then
    perform private.raise_error('SW061', 'What was under this name is being deleted: try again in a minute.', p_field);
  end if;
end;
$$;
comment on function private.keep_object is 'Takes a name for a new object. Error: SW061 the old one is being deleted at this moment.';

-- Triggers

create function private.queue_deletion_of_file()
returns trigger
language plpgsql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
begin
  if tg_op <> 'INSERT' then
    perform private.delete_object('app-storage', old.file_path);
  end if;
  if tg_op <> 'DELETE' then
    perform private.keep_object('app-storage', new.file_path, 'file_path');
  end if;
  return null;
end;
$$;

create trigger queue_deletion after insert or delete on public.app_storage
  for each row execute function private.queue_deletion_of_file();

create trigger queue_deletion_of_renamed after update on public.app_storage
  for each row when (old.file_path <> new.file_path)
  execute function private.queue_deletion_of_file();

create function private.queue_deletion_of_build()
returns trigger
language plpgsql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
begin
  if old.build_path is not null then
    perform private.delete_object('app-storage', old.build_path);
  end if;
  if old.build_logs is not null then
    perform private.delete_object('app-logs', old.build_logs);
  end if;
  return null;
end;
$$;

create trigger queue_deletion after delete on public.app_builds
  for each row execute function private.queue_deletion_of_build();

create function private.output_names(output public.app_outputs)
returns table (bucket_id text, name text)
language sql
immutable
set search_path = ''
as $$
  select output.output_bucket, output.output_path where output.output_path is not null
  union
  select 'app-logs', part
  from jsonb_array_elements_text(
    case jsonb_typeof(output.output_data -> 'parts') when 'array' then output.output_data -> 'parts' else '[]' end) part
  where output.output_type in ('stdout', 'stderr')
$$;

-- A log that is gone is named by its run no more: it would be kept for it.
create function private.forget_log()
returns trigger
language plpgsql
security definer -- runs are nobody's to write
set search_path = ''
as $$
begin
  perform set_config('stowage.queue', 'on', true);
  update public.app_runs set logs_path = null, updated_at = now()
  where id = old.run_id and logs_path = old.output_path and status in ('success', 'failed', 'cancelled', 'timeout');
  perform set_config('stowage.queue', '', true);
  return null;
end;
$$;

create trigger forget_log after delete on public.app_outputs
  for each row when (old.output_type = 'stdout' and old.output_path is not null)
  execute function private.forget_log();

-- A log that only the run names.
create function private.queue_deletion_of_run_log()
returns trigger
language plpgsql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
begin
  perform private.delete_object('app-logs', old.logs_path);
  return null;
end;
$$;

create trigger queue_deletion after delete on public.app_runs
  for each row when (old.logs_path is not null)
  execute function private.queue_deletion_of_run_log();

-- Nobody takes a name in a run's folder but the run's executor, and as long as the run goes on nothing there is deleted:
-- what it names again is dropped from the queue when it is looked at.
create function private.queue_deletion_of_output()
returns trigger
language plpgsql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
begin
  perform private.delete_object(bucket_id, name)
  from (
    select bucket_id, name from private.output_names(old)
    except
    select bucket_id, name from private.output_names(new) where tg_op = 'UPDATE'
  ) gone;
  return null;
end;
$$;

create trigger queue_deletion after delete on public.app_outputs
  for each row execute function private.queue_deletion_of_output();

create trigger queue_deletion_of_replaced after update on public.app_outputs
  for each row when (
    (old.output_bucket, old.output_path, old.output_data -> 'parts')
      is distinct from (new.output_bucket, new.output_path, new.output_data -> 'parts'))
  execute function private.queue_deletion_of_output();

-- A signed URL lives two hours from its making, which a repeated beginning may ask for until the upload expires; and a
-- request that began in time may take a while.
create function private.queue_deletion_of_upload()
returns trigger
language plpgsql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
declare
  written_until timestamptz := old.expires_at + interval '3 hours';
begin
  perform private.delete_object('app-storage', old.staging_path, written_until);
  perform private.delete_object('app-storage', old.staging_path || '.verifying');
  -- A verification that died may have come as far as the final path. What a row names stays.
  if tg_op = 'DELETE' or new.status <> 'completed' then
    perform private.delete_object('app-storage', old.file_path);
  end if;
  return null;
end;
$$;

create trigger queue_deletion after update on public.app_uploads
  for each row when (
    old.status in ('pending', 'verifying') and new.status not in ('pending', 'verifying'))
  execute function private.queue_deletion_of_upload();

create trigger queue_deletion_of_deleted after delete on public.app_uploads
  for each row when (old.status in ('pending', 'verifying'))
  execute function private.queue_deletion_of_upload();

-- Functions. All for the service.

create function private.claim_object_deletions(p_max_objects integer, p_lease interval)
returns table (claim_id uuid, bucket_id text, name text)
language plpgsql
security definer -- the queue is nobody's
set search_path = ''
as $$
declare
  claim uuid := gen_random_uuid();
begin
  perform private.check_lease(p_lease);
  if coalesce(p_max_objects, 0) not between 1 and 1000 then
    perform private.raise_error('SW001', 'max_objects takes 1 to 1000.', 'max_objects');
  end if;
  return query
    with due as (
      select d.bucket_id, d.name, private.who_names_object(d.bucket_id, d.name) as named_by
      from private.object_deletions d
      where d.delete_after <= now() and (d.claimed_until is null or d.claimed_until <= now())
      -- What Storage does not delete, whatever the reason, is not in the way of the others.
      order by d.attempts, d.delete_after, d.bucket_id, d.name
      limit p_max_objects
      for no key update skip locked
    ),
    kept as (
      delete from private.object_deletions d using due
      where (d.bucket_id, d.name) = (due.bucket_id, due.name) and due.named_by = 'row'
    ),
    -- What is under way is looked at again later, behind all others.
    postponed as (
      update private.object_deletions d
      set delete_after = now() + interval '10 minutes'
      from due
      where (d.bucket_id, d.name) = (due.bucket_id, due.name) and due.named_by <> 'row'
    )
    update private.object_deletions d
    set claim_id = claim, claimed_until = now() + p_lease, attempts = d.attempts + 1
    from due
    where (d.bucket_id, d.name) = (due.bucket_id, due.name) and due.named_by is null
    returning claim, d.bucket_id, d.name;
end;
$$;

create function public.claim_object_deletions(max_objects integer default 100, lease interval default '5 minutes')
returns table (claim_id uuid, bucket_id text, name text)
language sql
security invoker
set search_path = ''
as $$ select * from private.claim_object_deletions($1, $2) $$;
comment on function public.claim_object_deletions is
  'For the service: names of objects to delete through the Storage API, the caller''s until the lease ends. Fewer than asked '
  'for may be due and free. Errors: SW001 (max_objects, lease).';

create function private.finish_object_deletions(p_claim_id uuid, p_bucket_id text, p_names text[])
returns integer
language plpgsql
security definer -- the queue is nobody's
set search_path = ''
as $$
declare
  finished integer;
begin
  with mine as (
    select bucket_id, name, written_until from private.object_deletions
    where claim_id = p_claim_id and bucket_id = p_bucket_id and name = any (p_names)
    for no key update
  ),
  gone as (
    delete from private.object_deletions d using mine
    where (d.bucket_id, d.name) = (mine.bucket_id, mine.name)
      and (mine.written_until is null or mine.written_until <= now())
      -- Storage may have answered that all is well, and have kept some.
      and not exists (select from storage.objects o where o.bucket_id = d.bucket_id and o.name = d.name)
    returning 1
  ),
  again as (
    update private.object_deletions d
    set delete_after = d.written_until, claim_id = null, claimed_until = null
    from mine
    where (d.bucket_id, d.name) = (mine.bucket_id, mine.name) and mine.written_until > now()
    returning 1
  )
  select (select count(*) from gone) + (select count(*) from again) into finished;
  return finished;
end;
$$;

create function public.finish_object_deletions(claim_id uuid, bucket_id text, names text[])
returns integer
language sql
security invoker
set search_path = ''
as $$ select private.finish_object_deletions($1, $2, $3) $$;
comment on function public.finish_object_deletions is
  'For the service: these objects of a claim are gone. Answers how many of them were still the claim''s, and are gone.';

create function private.object_deletion_backlog()
returns table (waiting bigint, due bigint, claimed bigint, oldest_due timestamptz, most_attempts integer)
language sql
stable
security definer -- the queue is nobody's
set search_path = ''
as $$
  select count(*), count(*) filter (where delete_after <= now()), count(*) filter (where claimed_until > now()),
    min(delete_after) filter (where delete_after <= now()), coalesce(max(attempts), 0)
  from private.object_deletions
$$;

create function public.object_deletion_backlog()
returns table (waiting bigint, due bigint, claimed bigint, oldest_due timestamptz, most_attempts integer)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.object_deletion_backlog() $$;
comment on function public.object_deletion_backlog is 'For the service: how much waits to be deleted, and since when.';

grant execute on function
  private.claim_object_deletions(integer, interval), public.claim_object_deletions(integer, interval),
  private.finish_object_deletions(uuid, text, text[]), public.finish_object_deletions(uuid, text, text[]),
  private.object_deletion_backlog(), public.object_deletion_backlog()
to service_role;
