-- The queue over app_builds, as executors use it: they claim builds for the time of a lease, extend it while they build,
-- and finish what they hold. Every change of status is a compare-and-set on status and holder. Publishers ask for a build
-- by inserting a row, and cancel it by an update; both are in the table's own migration.

-- Trigger: a publisher's queue has a limit

create function private.limit_queued_builds()
returns trigger
language plpgsql
security definer -- counts builds whatever the caller sees
set search_path = ''
as $$
declare
  publisher public.companies;
  queued integer;
begin
  -- Of an app that is not the caller's, row security says less.
  if not (private.is_service() or new.app_id = any (private.my_published_app_ids('admin'))) then
    return new;
  end if;
  -- Requests of one publisher take turns: the limit holds exactly.
  select c.* into publisher
  from public.companies c
  where c.id = (select a.publisher_company_id from public.applications a where a.id = new.app_id)
  for no key update;
  if not found then
    return new;
  end if;
  perform private.require_room(publisher.id, 'app_id');
  select count(*) into queued from (
    select from public.app_builds b join public.applications a on a.id = b.app_id
    where a.publisher_company_id = publisher.id and b.build_status = 'pending'
    limit publisher.max_queued_builds
  ) waiting;
  if queued >= publisher.max_queued_builds then
    perform private.raise_error('SW095',
      format('The publisher has %s builds waiting, as many as it may.', publisher.max_queued_builds), 'app_id');
  end if;
  return new;
end;
$$;

create trigger limit_queued_builds before insert on public.app_builds
  for each row execute function private.limit_queued_builds();

-- Functions

create function private.build_attempt_entry(build public.app_builds, outcome text, error text)
returns jsonb
language sql
stable
set search_path = ''
return jsonb_build_object(
  'attempt', build.attempt, 'executor_id', build.executor_id, 'started_at', build.started_at,
  'ended_at', now(), 'outcome', outcome, 'error', error);
comment on function private.build_attempt_entry is 'One entry of app_builds.attempt_history.';

create function private.claim_app_builds(p_executor_id text, p_max_builds integer, p_lease interval)
returns setof public.app_builds
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
begin
  perform private.check_lease(p_lease);
  if coalesce(p_max_builds, 0) not between 1 and 1000 then
    perform private.raise_error('SW001', 'max_builds takes 1 to 1000.', 'max_builds');
  end if;
  perform private.register_executor(p_executor_id, null, null, null);
  return query
    update public.app_builds b
    set build_status = 'building', executor_id = p_executor_id, attempt = b.attempt + 1, started_at = now(),
      lease_expires_at = now() + p_lease, error_message = null,
      -- From the first moment, so that the log can be read while it grows.
      build_logs = 'app_' || b.app_id || '/builds/' || b.id || '/build.log'
    where b.id = any (array(
      select p.id
      from public.app_builds p
      join public.applications a on a.id = p.app_id
      where p.build_status = 'pending' and p.build_after <= now() and p.attempt < p.max_attempts and a.status = 'active'
      -- The publisher of whom least is being built comes first.
      order by (
        select count(*) from public.app_builds r join public.applications o on o.id = r.app_id
        where r.build_status = 'building' and o.publisher_company_id = a.publisher_company_id), p.created_at, p.id
      limit p_max_builds
      for no key update of p skip locked))
    returning b.*;
end;
$$;

create function public.claim_app_builds(executor_id text, max_builds integer default 1, lease interval default '60 seconds')
returns setof public.app_builds
language sql
security invoker
set search_path = ''
as $$ select * from private.claim_app_builds($1, $2, $3) $$;
comment on function public.claim_app_builds is
  'For the service: up to max_builds pending builds of active apps become building, held by the executor until the lease '
  'ends. Publishers of whom less is being built come first. Errors: SW001 (executor_id, max_builds, lease).';

create function private.extend_app_build_leases(p_executor_id text, p_build_ids uuid[], p_lease interval)
returns table (build_id uuid, lease_expires_at timestamptz)
language plpgsql
security definer -- registers the executor
set search_path = ''
as $$
begin
  perform private.check_lease(p_lease);
  perform private.register_executor(p_executor_id, null, null, null);
  return query
    update public.app_builds b
    set lease_expires_at = now() + p_lease
    where b.id = any (p_build_ids) and b.executor_id = p_executor_id and b.build_status = 'building'
      and b.lease_expires_at is not null
    returning b.id, b.lease_expires_at;
end;
$$;

create function public.extend_app_build_leases(executor_id text, build_ids uuid[], lease interval default '60 seconds')
returns table (build_id uuid, lease_expires_at timestamptz)
language sql
security invoker
set search_path = ''
as $$ select * from private.extend_app_build_leases($1, $2, $3) $$;
comment on function public.extend_app_build_leases is
  'For the service: an executor''s heartbeat. A build that is not in the answer was cancelled, or is another''s, and must be '
  'dropped. Errors: SW001 (executor_id, lease).';

create function private.finish_app_build(
  p_build_id uuid, p_executor_id text, p_status text, p_error_message text, p_build_path text, p_file_size bigint,
  p_checksum text, p_source_checksum text, p_retry boolean, p_attempt integer)
returns text
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
declare
  build public.app_builds;
  retried boolean;
begin
  if coalesce(p_status not in ('success', 'failed', 'cancelled'), true) then
    perform private.raise_error('SW001', 'status takes success, failed or cancelled.', 'status');
  end if;
  if p_status = 'success' and (p_build_path is null or p_file_size is null or p_checksum is null or p_source_checksum is null) then
    perform private.raise_error('SW001',
      'A successful build has build_path, file_size, checksum and source_checksum.', 'build_path');
  end if;
  select * into build from public.app_builds
  where id = p_build_id and executor_id = p_executor_id and build_status = 'building' and lease_expires_at is not null
    and (p_attempt is null or attempt = p_attempt)
  for no key update;
  if not found then
    return 'not_held';
  end if;
  retried := coalesce(p_retry, false) and p_status = 'failed' and build.attempt < build.max_attempts;
  if retried then
    update public.app_builds
    set build_status = 'pending', error_message = left(p_error_message, 10000),
      build_after = now() + private.retry_delay(build.attempt),
      attempt_history = attempt_history || private.build_attempt_entry(build, p_status, left(p_error_message, 1000))
    where id = build.id;
    return 'retrying';
  end if;
  update public.app_builds
  set build_status = p_status, error_message = left(p_error_message, 10000), build_path = p_build_path,
    file_size = p_file_size, checksum = p_checksum, source_checksum = p_source_checksum
  where id = build.id;
  return 'finished';
end;
$$;

create function public.finish_app_build(
  build_id uuid,
  executor_id text,
  status text,
  error_message text default null,
  build_path text default null,
  file_size bigint default null,
  checksum text default null,
  source_checksum text default null,
  retry boolean default false,
  attempt integer default null)
returns text
language sql
security invoker
set search_path = ''
as $$ select private.finish_app_build($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) $$;
comment on function public.finish_app_build is
  'For the service: ends a build that the executor holds. Answers finished; retrying, if retry was asked for and attempts '
  'are left; not_held, if the build is another''s or over, and nothing changed. Errors: SW001 (status, build_path), 23514.';

create function private.release_app_builds(p_executor_id text, p_build_ids uuid[])
returns setof uuid
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
begin
  return query
    update public.app_builds b
    set build_status = 'pending', attempt = b.attempt - 1, build_after = now(),
      attempt_history = b.attempt_history || private.build_attempt_entry(b, 'released', null)
    where b.id = any (p_build_ids) and b.executor_id = p_executor_id and b.build_status = 'building'
      and b.lease_expires_at is not null
    returning b.id;
end;
$$;

create function public.release_app_builds(executor_id text, build_ids uuid[])
returns setof uuid
language sql
security invoker
set search_path = ''
as $$ select private.release_app_builds($1, $2) $$;
comment on function public.release_app_builds is
  'For the service: an executor that stops gives back what it builds, without the attempt being counted. Answers the builds given back.';

create function private.release_expired_app_builds(p_max_builds integer)
returns setof public.app_builds
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
declare
  lost public.app_builds;
  build public.app_builds;
  message text;
begin
  for lost in
    select * from public.app_builds
    where build_status = 'building' and lease_expires_at < now()
    order by lease_expires_at
    limit least(greatest(coalesce(p_max_builds, 0), 0), 10000)
    for no key update skip locked
  loop
    message := format('Executor %s was lost during attempt %s.', lost.executor_id, lost.attempt);
    update public.app_builds
    set build_status = case when lost.attempt < lost.max_attempts then 'pending' else 'failed' end,
      build_after = now() + private.retry_delay(lost.attempt),
      attempt_history = attempt_history || private.build_attempt_entry(lost, 'lost', message),
      error_message = message
    where id = lost.id
    returning * into build;
    return next build;
  end loop;
end;
$$;

create function public.release_expired_app_builds(max_builds integer default 100)
returns setof public.app_builds
language sql
security invoker
set search_path = ''
as $$ select * from private.release_expired_app_builds($1) $$;
comment on function public.release_expired_app_builds is
  'For the service: builds whose lease ended wait for their next attempt with a delay, or fail if it was the last. Any '
  'executor may call it, at any time. Answers the builds as they are then.';

grant execute on function
  private.claim_app_builds(text, integer, interval), public.claim_app_builds(text, integer, interval),
  private.extend_app_build_leases(text, uuid[], interval), public.extend_app_build_leases(text, uuid[], interval),
  private.finish_app_build(uuid, text, text, text, text, bigint, text, text, boolean, integer),
  public.finish_app_build(uuid, text, text, text, text, bigint, text, text, boolean, integer),
  private.release_app_builds(text, uuid[]), public.release_app_builds(text, uuid[]),
  private.release_expired_app_builds(integer), public.release_expired_app_builds(integer)
to service_role;
