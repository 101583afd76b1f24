-- Leases: heartbeats extend them, executors that stop give runs back, and the reaper takes those whose holder was lost.

create function private.extend_app_run_leases(p_executor_id text, p_run_ids uuid[], p_lease interval)
returns table (run_id uuid, lease_expires_at timestamptz, cancel_requested boolean)
language plpgsql
security definer -- registers the executor
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  perform private.check_lease(p_lease);
  perform private.see_executor(p_executor_id);
  return query
    update public.app_runs r
    set lease_expires_at = now() + p_lease
    -- Locked in the order of ids, as finish_app_runs does it.
    where r.id = any (array(
        select l.id from public.app_runs l
        where l.id = any (p_run_ids) and l.executor_id = p_executor_id and l.status = 'running'
        order by l.id
        for no key update))
      and r.executor_id = p_executor_id and r.status = 'running'
    returning r.id, r.lease_expires_at, r.cancel_requested_at is not null;
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

create function private.end_hold(p_run_id uuid, p_waits_until timestamptz, p_attempt integer)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  freed integer;
begin
  -- Whoever gives a run back waits for no request that is under way: the next claim after that time finds the run due.
  if p_waits_until is null then
    delete from private.live_runs where run_id = p_run_id and executor_id is not null returning lane into freed;
  else
    update private.live_runs
    set is_held = false, is_due = false, executor_id = null, run_after = p_waits_until, attempt = p_attempt
    where run_id = p_run_id and executor_id is not null
    returning lane into freed;
  end if;
  perform private.unpark_lane(freed);
end;
$$;
comment on function private.end_hold is 'The run is held no more: it is over, or (p_waits_until) it waits for its next attempt.';

create function private.release_app_runs(p_executor_id text, p_run_ids uuid[])
returns setof uuid
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  held public.app_runs;
begin
  perform set_config('stowage.queue', 'on', true);
  for held in
    select r.*
    from private.live_runs h
    join public.app_runs r on r.id = h.run_id
    where h.run_id = any (p_run_ids) and h.executor_id = p_executor_id
    order by r.id
    for update of h
    for no key update of r
  loop
    perform private.end_hold(held.id, case when held.cancel_requested_at is null then now() end, held.attempt - 1);
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

create function private.release_expired_app_runs(p_max_runs integer)
returns setof public.app_runs
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  lost public.app_runs;
  run public.app_runs;
  next_run_after timestamptz;
  message text;
begin
  perform set_config('stowage.queue', 'on', true);
  for lost in
    select r.*
    from private.live_runs h
    join public.app_runs r on r.id = h.run_id
    where h.executor_id is not null and r.lease_expires_at < now()
    order by r.lease_expires_at
    limit least(greatest(coalesce(p_max_runs, 0), 0), 10000)
    for update of h skip locked
    for no key update of r skip locked
  loop
    message := format('Executor %s was lost during attempt %s.', lost.executor_id, lost.attempt);
    next_run_after := now() + private.retry_delay(lost.attempt);
    perform private.end_hold(lost.id,
      case when lost.cancel_requested_at is null and lost.attempt < lost.max_attempts then next_run_after end, lost.attempt);
    update public.app_runs
    set
      status = case
        when lost.cancel_requested_at is not null then 'cancelled'
        when lost.attempt < lost.max_attempts then 'pending'
        else 'failed'
      end,
      completed_at = case
        when lost.cancel_requested_at is null and lost.attempt < lost.max_attempts then null
        else greatest(now(), started_at)
      end,
      duration_ms = case
        when lost.cancel_requested_at is null and lost.attempt < lost.max_attempts then null
        else private.duration_ms(started_at, greatest(now(), started_at))
      end,
      lease_expires_at = null,
      updated_at = now(),
      run_after = next_run_after,
      attempt_history = attempt_history || private.attempt_entry(lost, 'lost', message),
      error_message = message
    where id = lost.id
    returning * into run;
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
