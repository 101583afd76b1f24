-- Leases: heartbeats extend them, executors that stop give runs back, and the reaper takes those whose holder was lost.

create function private.extend_app_run_leases(p_executor_id text, p_run_ids uuid[], p_lease interval)
returns table (run_id uuid, lease_expires_at timestamptz, cancel_requested boolean)
language plpgsql
security definer -- registers the executor
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  perform private.check_lease(p_lease);
  perform private.see_executor(p_executor_id);
  perform set_config('stowage.queue', 'on', true);
  return query
    with held as materialized (
      -- Locked in the order of ids, as finish_app_runs does it.
      select l.id, l.lease_expires_at from public.app_runs l
      where l.id = any (p_run_ids) and l.executor_id = p_executor_id and l.status = 'running'
      order by l.id
      for no key update
    ),
    noted as (
      insert into private.run_claims (executor_id, looked_at_after, run_ids)
      -- The reaper does not expect a lease to become shorter.
      select p_executor_id, now() + p_lease, array[held.id] from held where held.lease_expires_at > now() + p_lease
    )
    update public.app_runs r
    set lease_expires_at = now() + p_lease
    where r.id = any (array(select held.id from held)) and r.executor_id = p_executor_id and r.status = 'running'
    returning r.id, r.lease_expires_at, r.cancel_requested_at is not null;
  perform set_config('stowage.queue', '', true);
end;
$$;

create function public.extend_app_run_leases(executor_id text, run_ids uuid[], lease interval default '60 seconds')
returns table (run_id uuid, lease_expires_at timestamptz, cancel_requested boolean)
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return query select * from private.extend_app_run_leases($1, $2, $3);
end;
$$;
comment on function public.extend_app_run_leases is
  'For the service: an executor''s heartbeat. A run that is not in the answer is no longer held and must be dropped; one '
  'with cancel_requested must be stopped and finished as cancelled. Errors: SW001 (executor_id, lease).';

grant execute on function
  private.extend_app_run_leases(text, uuid[], interval), public.extend_app_run_leases(text, uuid[], interval)
to service_role;

create function private.release_app_runs(p_executor_id text, p_run_ids uuid[])
returns setof uuid
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  held public.app_runs;
begin
  perform set_config('stowage.queue', 'on', true);
  for held in
    select * from public.app_runs
    where id = any (p_run_ids) and executor_id = p_executor_id and status = 'running'
    order by id
    for no key update
  loop
    perform private.end_hold(held, case when held.cancel_requested_at is null then now() end);
    update public.app_runs
    set status = case when held.cancel_requested_at is null then 'pending' else 'cancelled' end,
      completed_at = case when held.cancel_requested_at is null then null else greatest(now(), started_at) end,
      duration_ms = case when held.cancel_requested_at is null then null
        else private.duration_ms(started_at, greatest(now(), started_at)) end,
      lease_expires_at = null,
      updated_at = now(),
      attempt = held.attempt - 1,
      run_after = now(),
      attempt_history = held.attempt_history || private.attempt_entry(held, 'released', null)
    where id = held.id;
    return next held.id;
  end loop;
  perform set_config('stowage.queue', '', true);
end;
$$;

create function public.release_app_runs(executor_id text, run_ids uuid[])
returns setof uuid
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return query select * from private.release_app_runs($1, $2);
end;
$$;
comment on function public.release_app_runs is
  'For the service: an executor that stops gives back what it holds, without the attempt being counted. Answers the runs given back.';

create function private.forget_claims(p_max_claims integer)
returns integer
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  forgotten integer;
begin
  with old as materialized (
    select ctid as row_id, executor_id, run_ids from private.run_claims
    where looked_at_after < now()
    order by looked_at_after
    limit p_max_claims
    for update skip locked
  ),
  -- By their ids: joined to the claims, they would be looked through for each of them.
  held as materialized (
    select id, executor_id, lease_expires_at from public.app_runs
    where id = any (array(select unnest(run_ids) from old)) and status = 'running'
  ),
  lasting as materialized (
    select old.row_id, min(r.lease_expires_at) as lease_expires_at
    from (select row_id, executor_id, unnest(run_ids) as id from old) old
    join held r on r.id = old.id and r.executor_id = old.executor_id
    group by old.row_id
  ),
  kept as (
    update private.run_claims c set looked_at_after = l.lease_expires_at
    from lasting l
    where c.ctid = l.row_id and c.looked_at_after <> l.lease_expires_at
  ),
  gone as (
    delete from private.run_claims
    where ctid = any (array(select row_id from old where row_id not in (select row_id from lasting)))
    returning 1
  )
  select count(*) into forgotten from gone;
  return forgotten;
end;
$$;
comment on function private.forget_claims is
  'Looks through the oldest claims: those of which nothing runs any more go, the others are looked at again when the first '
  'of their leases ends. Returns how many went.';

create function private.release_expired_app_runs(p_max_runs integer)
returns setof public.app_runs
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  lost public.app_runs;
  run public.app_runs;
  next_run_after timestamptz;
  message text;
begin
  -- A busy executor makes thousands a minute.
  for round in 1 .. 100 loop
    exit when private.forget_claims(1000) = 0;
  end loop;
  perform set_config('stowage.queue', 'on', true);
  for lost in
    select r.*
    from public.app_runs r
    where r.id = any (array(select unnest(run_ids) from private.run_claims where looked_at_after < now()))
      and r.status = 'running' and r.lease_expires_at < now()
    order by r.lease_expires_at
    limit least(greatest(coalesce(p_max_runs, 0), 0), 10000)
    for no key update of r skip locked
  loop
    message := format('Executor %s was lost during attempt %s.', lost.executor_id, lost.attempt);
    next_run_after := case
      when lost.cancel_requested_at is null and lost.attempt < lost.max_attempts then now() + private.retry_delay(lost.attempt)
    end;
    update public.app_runs
    set
      status = case
        when lost.cancel_requested_at is not null then 'cancelled'
        when next_run_after is not null then 'pending'
        else 'failed'
      end,
      completed_at = case when next_run_after is null then greatest(now(), started_at) end,
      duration_ms = case when next_run_after is null then private.duration_ms(started_at, greatest(now(), started_at)) end,
      lease_expires_at = null,
      updated_at = now(),
      run_after = coalesce(next_run_after, run_after),
      attempt_history = attempt_history || private.attempt_entry(lost, 'lost', message),
      error_message = message
    where id = lost.id
    returning * into run;
    perform private.end_hold(run, next_run_after);
    return next run;
  end loop;
  perform set_config('stowage.queue', '', true);
end;
$$;

create function public.release_expired_app_runs(max_runs integer default 100)
returns setof public.app_runs
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return query select * from private.release_expired_app_runs($1);
end;
$$;
comment on function public.release_expired_app_runs is
  'For the service: runs whose lease ended wait for their next attempt with a delay, or fail if it was the last. Any '
  'executor may call it, at any time. Answers the runs as they are then.';

grant execute on function
  private.release_app_runs(text, uuid[]), public.release_app_runs(text, uuid[]),
  private.release_expired_app_runs(integer), public.release_expired_app_runs(integer)
to service_role;
