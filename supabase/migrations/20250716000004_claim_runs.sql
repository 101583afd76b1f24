-- Runs that executors claim.

create function private.begin_claim(p_executor_id text, p_max_runs integer, p_lease interval)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  -- Whose claim, in which twentieth of a second.
  moment text := p_executor_id || ' ' || (date_part('epoch', clock_timestamp()) * 20)::bigint;
begin
  if p_lease is null or p_lease not between '1 second' and '1 day' then
    perform private.raise_error('SW001', 'lease takes 1 second to 1 day.', 'lease');
  end if;
  if coalesce(p_max_runs, 0) not between 1 and 1000 then
    perform private.raise_error('SW001', 'max_runs takes 1 to 1000.', 'max_runs');
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    -- A snapshot from before the locks could not see what others hold.
    raise feature_not_supported using message = 'Runs are claimed in read committed transactions.';
  end if;
  if moment = current_setting('stowage.looked_at', true) then
    return false;
  end if;
  perform private.see_executor(p_executor_id);
  perform private.look_at_clock();
  moment := set_config('stowage.looked_at', moment, false);
  return true;
end;
$$;
comment on function private.begin_claim is
  'What precedes every claim: inputs checked, the executor seen, lanes woken; a connection that claims without a pause '
  'looks for the last two twenty times a second. True if it looked. Errors: SW001 (lease, max_runs, executor_id).';

create function private.start_runs(p_runs uuid[], p_executor_id text, p_lease interval)
returns setof public.app_runs
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  perform set_config('stowage.queue', 'on', true);
  return query
    with noted as (
      insert into private.run_claims (executor_id, looked_at_after, run_ids)
      select p_executor_id, now() + p_lease, p_runs[n : n + 399] from generate_series(1, cardinality(p_runs), 400) n
    )
    update public.app_runs r
    set status = 'running', executor_id = p_executor_id, attempt = r.attempt + 1, started_at = now(),
      lease_expires_at = now() + p_lease, updated_at = now()
    where r.id = any (p_runs) and r.status = 'pending'
    returning r.*;
  perform set_config('stowage.queue', '', true);
end;
$$;
comment on function private.start_runs is 'Runs that were taken out of the queue become running.';

create function private.claim_app_runs(p_executor_id text, p_max_runs integer, p_lease interval)
returns setof public.app_runs
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
-- Few rows by their keys, whatever the planner remembers of tables that are empty at times.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  -- Assigned, not performed, which would be a statement.
  looked constant boolean := private.begin_claim(p_executor_id, p_max_runs, p_lease);
begin
  return query
    select * from private.start_runs(
      case when p_max_runs = 1 then array_remove(array[private.take_waiting_run()], null)
        else private.take_waiting_runs(p_max_runs) end,
      p_executor_id, p_lease) r
    order by r.priority desc, r.run_after, r.id;
end;
$$;

create function public.claim_app_runs(executor_id text, max_runs integer default 1, lease interval default '60 seconds')
returns setof public.app_runs
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return query select * from private.claim_app_runs($1, $2, $3);
end;
$$;
comment on function public.claim_app_runs is
  'For the service: up to max_runs waiting runs that are due become running, held by the executor until the lease ends. '
  'Companies take turns, and none exceeds its max_concurrent_runs. Errors: SW001 (executor_id, max_runs, lease).';

grant execute on function
  private.claim_app_runs(text, integer, interval), public.claim_app_runs(text, integer, interval)
to service_role;
