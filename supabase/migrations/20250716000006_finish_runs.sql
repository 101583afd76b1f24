-- Runs that executors finish: one, many, or while they claim the next.

create type private.run_result as (
  run_id uuid, attempt integer, status text, error_message text, logs_path text, output_path text, metadata jsonb,
  retry boolean);

create function private.fail_run(result private.run_result, p_executor_id text)
returns text
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  run public.app_runs;
  next_run_after timestamptz;
begin
  select * into run from public.app_runs
  where id = result.run_id and executor_id = p_executor_id and status = 'running'
    and (result.attempt is null or attempt = result.attempt)
  for no key update;
  if not found then
    return 'not_held';
  end if;
  if (coalesce(result.retry, false) or run.retry_failures)
    and run.attempt < run.max_attempts and run.cancel_requested_at is null
  then
    next_run_after := now() + private.retry_delay(run.attempt);
  end if;
  perform private.end_hold(run, next_run_after);
  perform set_config('stowage.queue', 'on', true);
  update public.app_runs
  set
    status = case when next_run_after is null then result.status else 'pending' end,
    completed_at = case when next_run_after is null then greatest(now(), started_at) end,
    duration_ms = case when next_run_after is null then private.duration_ms(started_at, greatest(now(), started_at)) end,
    lease_expires_at = null,
    updated_at = now(),
    run_after = coalesce(next_run_after, run_after),
    attempt_history = case when next_run_after is null then attempt_history
      else attempt_history || private.attempt_entry(run, result.status, left(result.error_message, 1000)) end,
    error_message = left(result.error_message, 10000),
    logs_path = coalesce(result.logs_path, logs_path),
    output_path = coalesce(result.output_path, output_path),
    metadata = metadata || coalesce(result.metadata, '{}')
  where id = run.id
  returning * into run;
  perform set_config('stowage.queue', '', true);
  perform private.check_run(run);
  return case when next_run_after is null then 'finished' else 'retrying' end;
end;
$$;
comment on function private.fail_run is 'finish_app_run for failed and timeout, which may be tried again.';

create function private.finish_app_runs(p_executor_id text, p_results jsonb)
returns json
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
-- Few rows of a large table, by their ids, in the order in which they come.
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  results private.run_result[];
  result private.run_result;
  ids uuid[];
  outcomes text[];
  finished uuid[];
  freed integer[];
  some_unnamed boolean;
  some_unknown boolean;
  some_failed boolean;
  setting text; -- takes what set_config answers: "perform" costs a statement, an assignment does not
begin
  if p_results is null or jsonb_typeof(p_results) <> 'array' or jsonb_array_length(p_results) > 1000 then
    perform private.raise_error('SW001', 'results takes an array of at most 1000 results.', 'results');
  end if;
  -- All are locked in the order of ids, as heartbeats lock them.
  select coalesce(array_agg(r order by r.run_id), '{}'), bool_or(r.run_id is null),
    bool_or(coalesce(r.status not in ('success', 'failed', 'cancelled', 'timeout'), true)),
    bool_or(r.status in ('failed', 'timeout'))
  into results, some_unnamed, some_unknown, some_failed
  from jsonb_populate_recordset(null::private.run_result, p_results) r;
  if some_unnamed then
    perform private.raise_error('SW001', 'Every result says which run it is of.', 'run_id');
  end if;
  if some_unknown then
    perform private.raise_error('SW001', 'status takes success, failed, cancelled or timeout.', 'status');
  end if;

  -- What may be tried again is asked one by one.
  if some_failed then
    foreach result in array results loop
      ids := ids || result.run_id;
      outcomes := outcomes || case
        when result.status in ('failed', 'timeout') then private.fail_run(result, p_executor_id)
        else private.finish_app_runs(p_executor_id, jsonb_build_array(to_jsonb(result))) ->> result.run_id::text
      end;
    end loop;
    return (select json_object_agg(o.run_id, o.outcome) from unnest(ids, outcomes) as o (run_id, outcome));
  end if;

  setting := set_config('stowage.queue', 'on', true);
  with done as (
    update public.app_runs r
    set
      status = d.status,
      completed_at = greatest(now(), r.started_at),
      duration_ms = extract(epoch from greatest(now(), r.started_at) - r.started_at) * 1000,
      lease_expires_at = null,
      updated_at = now(),
      error_message = left(d.error_message, 10000),
      logs_path = coalesce(d.logs_path, r.logs_path),
      output_path = coalesce(d.output_path, r.output_path),
      metadata = case when d.metadata is null then r.metadata else r.metadata || d.metadata end
    from unnest(results) d
    where r.id = d.run_id and r.executor_id = p_executor_id and r.status = 'running'
      and (d.attempt is null or r.attempt = d.attempt)
    returning r.id, r.company_id,
      case when d.logs_path is not null or d.output_path is not null or d.metadata is not null
        then private.check_run(r) end
  ),
  returned as (
    insert into private.lane_returns (lane, runs)
    select l.lane, count(*) from done join private.company_lanes l on l.company_id = done.company_id group by l.lane
    returning lane
  )
  select (select array_agg(id) from done), (select array_agg(lane) from returned) into finished, freed;
  setting := set_config('stowage.queue', '', true);
  if exists (select from private.company_lanes where parked_until is not null and lane = any (freed)) then
    perform private.unpark_lane(lane) from unnest(freed) lane;
  end if;
  if cardinality(finished) = cardinality(results) then
    return json_object(finished::text[], array_fill('finished'::text, array[cardinality(finished)]));
  end if;
  return (
    select coalesce(json_object_agg(r.run_id, case when r.run_id = any (finished) then 'finished' else 'not_held' end), '{}')
    from unnest(results) r);
end;
$$;

create function public.finish_app_runs(executor_id text, results jsonb)
returns json
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.finish_app_runs($1, $2);
end;
$$;
comment on function public.finish_app_runs is
  'For the service: ends many runs. results: an array of objects with the inputs of finish_app_run. Answers an object: '
  'run id to finished, retrying or not_held. Errors: SW001 (results, run_id, status), 23514 (paths): then nothing changed.';

create function private.finish_app_run(
  p_run_id uuid, p_executor_id text, p_status text, p_error_message text, p_logs_path text, p_output_path text,
  p_metadata jsonb, p_retry boolean, p_attempt integer)
returns text
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
as $$
declare
  result constant private.run_result :=
    (p_run_id, p_attempt, p_status, p_error_message, p_logs_path, p_output_path, p_metadata, p_retry);
begin
  if p_run_id is null then
    return 'not_held';
  end if;
  return private.finish_app_runs(p_executor_id, jsonb_build_array(to_jsonb(result))) ->> p_run_id::text;
end;
$$;

create function public.finish_app_run(
  run_id uuid,
  executor_id text,
  status text,
  error_message text default null,
  logs_path text default null,
  output_path text default null,
  metadata jsonb default '{}',
  retry boolean default false,
  attempt integer default null)
returns text
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.finish_app_run($1, $2, $3, $4, $5, $6, $7, $8, $9);
end;
$$;
comment on function public.finish_app_run is
  'For the service: ends a run that the executor holds. Answers finished; retrying, if attempts are left and retry was '
  'asked for here or, as retry_failures, by the run; not_held, if the run is another''s or over, and nothing changed. '
  'Errors: SW001 (status), 23514 (paths).';

create function private.hand_out_runs(p_runs uuid[], p_executor_id text, p_lease interval)
returns json
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  claimed json;
  setting text;
begin
  -- As start_runs, but for the answer: functions that return many wide rows put them down in between.
  setting := set_config('stowage.queue', 'on', true);
  with noted as (
    insert into private.run_claims (executor_id, looked_at_after, run_ids)
    select p_executor_id, now() + p_lease, p_runs[n : n + 399] from generate_series(1, cardinality(p_runs), 400) n
  ),
  started as (
    update public.app_runs r
    set status = 'running', executor_id = p_executor_id, attempt = r.attempt + 1, started_at = now(),
      lease_expires_at = now() + p_lease, updated_at = now()
    where r.id = any (p_runs) and r.status = 'pending'
    returning r.id, r.app_id, r.company_id, r.version, r.build_id, r.run_type, r.config, r.attempt,
      r.attempt_history <> '[]' as was_held
  )
  select json_agg(s) into claimed from started s;
  setting := set_config('stowage.queue', '', true);
  return claimed;
end;
$$;
comment on function private.hand_out_runs is
  'Runs that were taken out of the queue become running: a JSON array of what it takes to execute each, or null.';

create function private.take_turn(p_executor_id text, result private.run_result, p_lease interval)
returns json
language plpgsql
set search_path = ''
as $$
declare
  taken uuid;
  freed integer;
  freed_is_parked boolean;
  claimed json;
  setting text;
begin
  with mine as materialized (
    select r.company_id from public.app_runs r
    where r.id = result.run_id and r.executor_id = p_executor_id and r.status = 'running'
      and (result.attempt is null or r.attempt = result.attempt)
    for no key update
  )
  insert into private.lane_returns (lane, runs)
  select l.lane, 1 from private.company_lanes l where l.company_id = (select company_id from mine)
  returning lane, (select l.parked_until is not null from private.company_lanes l where l.lane = lane_returns.lane)
  into freed, freed_is_parked;
  if freed_is_parked then
    perform private.unpark_lane(freed);
  end if;
  taken := private.take_waiting_run();

  -- Two runs, one statement: its start costs more than a row. And what is assigned is evaluated without being one.
  setting := set_config('stowage.queue', 'on', true);
  with changed as (
    update public.app_runs
    set
      status = case when id = taken then 'running' else result.status end,
      executor_id = p_executor_id,
      attempt = case when id = taken then attempt + 1 else attempt end,
      started_at = case when id = taken then now() else started_at end,
      lease_expires_at = case when id = taken then now() + p_lease end,
      completed_at = case when id = taken then null else greatest(now(), started_at) end,
      duration_ms = case when id = taken then null
        else extract(epoch from greatest(now(), started_at) - started_at) * 1000 end,
      updated_at = now(),
      error_message = case when id = taken then error_message else left(result.error_message, 10000) end,
      logs_path = case when id = taken then logs_path else coalesce(result.logs_path, logs_path) end,
      output_path = case when id = taken then output_path else coalesce(result.output_path, output_path) end,
      metadata = case when id = taken or result.metadata is null then metadata else metadata || result.metadata end
    where id = any (array[case when freed is not null then result.run_id end, taken])
    returning id, app_id, company_id, version, build_id, run_type, config, attempt, attempt_history <> '[]' as was_held
  ),
  noted as (
    insert into private.run_claims (executor_id, looked_at_after, run_ids)
    select p_executor_id, now() + p_lease, array[taken] where taken is not null
  )
  select json_build_array(row_to_json(c)) into claimed from changed c where id = taken;
  setting := set_config('stowage.queue', '', true);
  if freed is not null
    and (result.logs_path is not null or result.output_path is not null or result.metadata is not null)
  then
    perform private.check_run(r) from public.app_runs r where r.id = result.run_id;
  end if;
  return json_build_object(
    'finished', json_build_object(result.run_id, case when freed is null then 'not_held' else 'finished' end),
    'claimed', coalesce(claimed, '[]'));
end;
$$;
comment on function private.take_turn is
  'finish_and_claim_app_runs for one run that is not tried again, and one that is claimed: what executors ask for most.';

create function private.finish_and_claim_app_runs(p_executor_id text, p_results jsonb, p_max_runs integer, p_lease interval)
returns json
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
-- Few rows by their keys, whatever the planner remembers of tables that are empty at times.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  -- Assigned, not performed, which would be a statement.
  looked constant boolean := private.begin_claim(p_executor_id, p_max_runs, p_lease);
  result private.run_result;
  finished json;
  claimed json;
begin
  if p_max_runs = 1 and jsonb_typeof(p_results) = 'array' and jsonb_array_length(p_results) = 1 then
    result := jsonb_populate_record(null::private.run_result, p_results -> 0);
    if result.run_id is not null and result.status in ('success', 'cancelled') then
      return private.take_turn(p_executor_id, result, p_lease);
    end if;
  end if;
  finished := private.finish_app_runs(p_executor_id, p_results);
  claimed := private.hand_out_runs(
    case when p_max_runs = 1 then array_remove(array[private.take_waiting_run()], null)
      else private.take_waiting_runs(p_max_runs) end,
    p_executor_id, p_lease);
  return json_build_object('finished', finished, 'claimed', coalesce(claimed, '[]'));
end;
$$;

create function public.finish_and_claim_app_runs(
  executor_id text, results jsonb, max_runs integer default 1, lease interval default '60 seconds')
returns json
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.finish_and_claim_app_runs($1, $2, $3, $4);
end;
$$;
comment on function public.finish_and_claim_app_runs is
  'For the service: finish_app_runs, then claim_app_runs, in one call: {"finished": {run id: outcome}, "claimed": [run, …]}, '
  'where a run has what it takes to execute it: id, app_id, company_id, version, build_id, run_type, config, attempt, and '
  'was_held, whether an earlier attempt may have left something. '
  'Errors: those of both; then nothing changed.';

grant execute on function
  private.finish_app_run(uuid, text, text, text, text, text, jsonb, boolean, integer),
  public.finish_app_run(uuid, text, text, text, text, text, jsonb, boolean, integer),
  private.finish_app_runs(text, jsonb), public.finish_app_runs(text, jsonb),
  private.finish_and_claim_app_runs(text, jsonb, integer, interval),
  public.finish_and_claim_app_runs(text, jsonb, integer, interval)
to service_role;
