-- The queue over app_runs. Users ask for runs and cancel them; executors claim runs for the time of a lease, extend it
-- while they work, and finish what they hold. Every change of status is a compare-and-set on status and holder, so that
-- of two who act on a run one wins and the other learns that it lost.

-- Lanes: one row a company, locked while its runs are claimed. Under the lock the number of running runs cannot grow
-- but by us, so that max_concurrent_runs holds exactly; who was served longest ago comes first. Nobody is granted it.

create table private.company_lanes (
  company_id uuid primary key references public.companies (id) on delete cascade,
  served_at timestamptz not null default '-infinity'
);

create function private.create_company_lane()
returns trigger
language plpgsql
security definer -- lanes are nobody's to write
set search_path = ''
as $$
begin
  insert into private.company_lanes (company_id) values (new.id);
  return null;
end;
$$;

create trigger create_company_lane after insert on public.companies
  for each row execute function private.create_company_lane();

insert into private.company_lanes (company_id) select id from public.companies;

-- Rules

create function private.retry_delay(attempt integer)
returns interval
language sql
volatile
set search_path = ''
return least(interval '2 seconds' * power(2, least(attempt, 20) - 1), interval '10 minutes') * (0.5 + random() / 2);
comment on function private.retry_delay is
  'How long a run waits after this attempt: doubling from 2 seconds to 10 minutes, less up to a half at random.';

create function private.attempt_entry(run public.app_runs, outcome text, error text)
returns jsonb
language sql
stable
set search_path = ''
return jsonb_build_object(
  'attempt', run.attempt, 'executor_id', run.executor_id, 'started_at', run.started_at,
  'ended_at', now(), 'outcome', outcome, 'error', error);
comment on function private.attempt_entry is 'One entry of app_runs.attempt_history.';

create function private.check_lease(lease interval)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if lease is null or lease not between '1 second' and '1 day' then
    perform private.raise_error('SW001', 'lease takes 1 second to 1 day.', 'lease');
  end if;
end;
$$;

-- For users

create function private.request_app_run(
  p_app_id uuid, p_company_id uuid, p_version text, p_run_type text, p_config jsonb, p_priority integer,
  p_run_after timestamptz, p_idempotency_key text, p_max_attempts integer)
returns public.app_runs
language plpgsql
security definer -- members ask for runs, but do not write app_runs
set search_path = ''
as $$
declare
  run public.app_runs;
  company public.companies;
  queued bigint;
begin
  if not (private.is_service() or coalesce(p_company_id = any (private.my_company_ids()), false)) then
    perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
  end if;
  if not private.is_service() and coalesce(p_run_type not in ('manual', 'test'), true) then
    perform private.raise_error('SW001', 'run_type takes manual or test.', 'run_type');
  end if;
  if not private.is_service() and starts_with(p_idempotency_key, 'cron:') then
    perform private.raise_error('SW001', 'Keys that begin with cron: are those of schedules.', 'idempotency_key');
  end if;
  if p_config is null or not private.is_object(p_config) then
    perform private.raise_error('SW001', 'config must be a JSON object.', 'config');
  end if;
  if coalesce(p_priority, 1000) not between -100 and 100 then
    perform private.raise_error('SW001', 'priority takes -100 to 100.', 'priority');
  end if;
  if coalesce(p_max_attempts, 0) not between 1 and 25 then
    perform private.raise_error('SW001', 'max_attempts takes 1 to 25.', 'max_attempts');
  end if;

  -- Requests of one company take turns: the limit and the idempotency key hold exactly.
  select * into company from public.companies where id = p_company_id for no key update;
  if not found then
    perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
  end if;
  if p_idempotency_key is not null then
    select * into run from public.app_runs
    where company_id = p_company_id and idempotency_key = p_idempotency_key;
    if found then
      if run.app_id is distinct from p_app_id or run.config is distinct from p_config
        or run.run_type is distinct from p_run_type
        or (p_version is not null and run.version is distinct from p_version)
      then
        perform private.raise_error('SW043',
          'This idempotency key belongs to a run that was asked for with other values.', 'idempotency_key');
      end if;
      return run;
    end if;
  end if;
  select count(*) into queued from (
    select from public.app_runs
    where company_id = p_company_id and status = 'pending'
    limit company.max_queued_runs
  ) waiting;
  if queued >= company.max_queued_runs then
    perform private.raise_error('SW041',
      format('The company has %s runs waiting, as many as it may.', company.max_queued_runs), 'company_id');
  end if;

  insert into public.app_runs (
    app_id, company_id, version, run_type, config, priority, run_after, idempotency_key, max_attempts)
  values (
    p_app_id, p_company_id, p_version, p_run_type, p_config, p_priority, coalesce(p_run_after, now()),
    p_idempotency_key, p_max_attempts)
  returning * into run;
  return run;
end;
$$;

create function public.request_app_run(
  app_id uuid,
  company_id uuid,
  version text default null,
  run_type text default 'manual',
  config jsonb default '{}',
  priority integer default 0,
  run_after timestamptz default now(),
  idempotency_key text default null,
  max_attempts integer default 3)
returns public.app_runs
language sql
security invoker
set search_path = ''
as $$ select * from private.request_app_run($1, $2, $3, $4, $5, $6, $7, $8, $9) $$;
comment on function public.request_app_run is
  'Asks for a run of an app for a company of the caller; without a version, of the newest published one. A test run may '
  'use a draft of the publisher. Errors: SW001 (a named input), SW002 (company_id), SW040 (app_id, version), '
  'SW041 queue is full, SW043 (idempotency_key).';

create function private.find_my_run(p_run_id uuid)
returns public.app_runs
language plpgsql
security definer -- locks the row, which members may not
set search_path = ''
as $$
declare
  run public.app_runs;
begin
  select * into run from public.app_runs where id = p_run_id for no key update;
  if not found or not (private.is_service() or run.company_id = any (private.my_company_ids())) then
    perform private.raise_error('SW002', 'There is no such run among yours.', 'run_id');
  end if;
  return run;
end;
$$;
comment on function private.find_my_run is 'The run, locked, if it is of a company of the caller. Error: SW002.';

create function private.cancel_app_run(p_run_id uuid)
returns public.app_runs
language plpgsql
security definer -- members cancel runs, but do not write app_runs
set search_path = ''
as $$
declare
  run public.app_runs := private.find_my_run(p_run_id);
begin
  if run.status = 'pending' then
    update public.app_runs
    set status = 'cancelled', cancel_requested_at = now(), error_message = 'Cancelled before it started.'
    where id = run.id
    returning * into run;
  elsif run.status = 'running' and run.cancel_requested_at is null then
    update public.app_runs set cancel_requested_at = now() where id = run.id returning * into run;
  end if;
  return run;
end;
$$;

create function public.cancel_app_run(run_id uuid)
returns public.app_runs
language sql
security invoker
set search_path = ''
as $$ select * from private.cancel_app_run($1) $$;
comment on function public.cancel_app_run is
  'Cancels a waiting run at once, and asks the executor of a running one to stop it (cancel_requested_at); a finished run '
  'is returned as it is. Error: SW002.';

create function private.retry_app_run(p_run_id uuid)
returns public.app_runs
language plpgsql
security definer -- members retry runs, but do not write app_runs
set search_path = ''
as $$
declare
  run public.app_runs := private.find_my_run(p_run_id);
  again public.app_runs;
begin
  if run.status in ('pending', 'running') then
    perform private.raise_error('SW042', format('The run is %s: only a finished run is run again.', run.status), 'run_id');
  end if;
  again := private.request_app_run(
    run.app_id, run.company_id, run.version, case run.run_type when 'test' then 'test' else 'manual' end,
    run.config, run.priority, now(), null, run.max_attempts);
  update public.app_runs set retry_of = run.id where id = again.id returning * into again;
  return again;
end;
$$;

create function public.retry_app_run(run_id uuid)
returns public.app_runs
language sql
security invoker
set search_path = ''
as $$ select * from private.retry_app_run($1) $$;
comment on function public.retry_app_run is
  'Asks for a new run like a finished one; retry_of names the old one. Errors: SW002, SW042 not finished, and those of request_app_run.';

grant execute on function
  private.request_app_run(uuid, uuid, text, text, jsonb, integer, timestamptz, text, integer),
  public.request_app_run(uuid, uuid, text, text, jsonb, integer, timestamptz, text, integer),
  private.cancel_app_run(uuid), public.cancel_app_run(uuid),
  private.retry_app_run(uuid), public.retry_app_run(uuid)
to authenticated, service_role;

-- For executors

create function private.claim_app_runs(p_executor_id text, p_max_runs integer, p_lease interval)
returns setof public.app_runs
language plpgsql
security definer -- locks lanes, which are nobody's
set search_path = ''
as $$
declare
  lane record;
  run public.app_runs;
  claimed integer := 0;
  idle_lanes uuid[] := '{}';
begin
  perform private.check_lease(p_lease);
  if coalesce(p_max_runs, 0) not between 1 and 1000 then
    perform private.raise_error('SW001', 'max_runs takes 1 to 1000.', 'max_runs');
  end if;
  perform private.register_executor(p_executor_id, null, null, null);

  while claimed < p_max_runs loop
    select l.company_id, c.max_concurrent_runs into lane
    from private.company_lanes l
    join public.companies c on c.id = l.company_id
    where l.company_id <> all (idle_lanes)
      and exists (
        select from public.app_runs r
        where r.company_id = l.company_id and r.status = 'pending' and r.run_after <= now())
    order by l.served_at, l.company_id
    limit 1
    for no key update of l skip locked;
    exit when not found;

    if (select count(*) from public.app_runs r where r.company_id = lane.company_id and r.status = 'running')
      >= lane.max_concurrent_runs
    then
      idle_lanes := idle_lanes || lane.company_id;
      continue;
    end if;
    update public.app_runs r
    set status = 'running', executor_id = p_executor_id, attempt = r.attempt + 1, started_at = now(),
      lease_expires_at = now() + p_lease
    where r.id = (
      select p.id from public.app_runs p
      where p.company_id = lane.company_id and p.status = 'pending' and p.run_after <= now()
      order by p.priority desc, p.run_after, p.id
      limit 1
      for no key update skip locked)
    returning * into run;
    if not found then
      idle_lanes := idle_lanes || lane.company_id;
      continue;
    end if;
    update private.company_lanes set served_at = clock_timestamp() where company_id = lane.company_id;
    claimed := claimed + 1;
    return next run;
  end loop;
end;
$$;

create function public.claim_app_runs(executor_id text, max_runs integer default 1, lease interval default '60 seconds')
returns setof public.app_runs
language sql
security invoker
set search_path = ''
as $$ select * from private.claim_app_runs($1, $2, $3) $$;
comment on function public.claim_app_runs is
  'For the service: up to max_runs waiting runs that are due become running, held by the executor until the lease ends. '
  'Companies take turns, and none exceeds its max_concurrent_runs. Errors: SW001 (executor_id, max_runs, lease).';

create function private.extend_app_run_leases(p_executor_id text, p_run_ids uuid[], p_lease interval)
returns table (run_id uuid, lease_expires_at timestamptz, cancel_requested boolean)
language plpgsql
security definer -- registers the executor
set search_path = ''
as $$
begin
  perform private.check_lease(p_lease);
  perform private.register_executor(p_executor_id, null, null, null);
  return query
    update public.app_runs r
    set lease_expires_at = now() + p_lease
    where r.id = any (p_run_ids) and r.executor_id = p_executor_id and r.status = 'running'
    returning r.id, r.lease_expires_at, r.cancel_requested_at is not null;
end;
$$;

create function public.extend_app_run_leases(executor_id text, run_ids uuid[], lease interval default '60 seconds')
returns table (run_id uuid, lease_expires_at timestamptz, cancel_requested boolean)
language sql
security invoker
set search_path = ''
as $$ select * from private.extend_app_run_leases($1, $2, $3) $$;
comment on function public.extend_app_run_leases is
  'For the service: an executor''s heartbeat. A run that is not in the answer is no longer held and must be dropped; one '
  'with cancel_requested must be stopped and finished as cancelled. Errors: SW001 (executor_id, lease).';

create function private.finish_app_run(
  p_run_id uuid, p_executor_id text, p_status text, p_error_message text, p_logs_path text, p_output_path text,
  p_metadata jsonb, p_retry boolean, p_attempt integer)
returns text
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
declare
  run public.app_runs;
  retried boolean;
begin
  if coalesce(p_status not in ('success', 'failed', 'cancelled', 'timeout'), true) then
    perform private.raise_error('SW001', 'status takes success, failed, cancelled or timeout.', 'status');
  end if;
  select * into run from public.app_runs
  where id = p_run_id and executor_id = p_executor_id and status = 'running'
    and (p_attempt is null or attempt = p_attempt)
  for no key update;
  if not found then
    return 'not_held';
  end if;
  retried := coalesce(p_retry, false) and p_status in ('failed', 'timeout')
    and run.attempt < run.max_attempts and run.cancel_requested_at is null;
  update public.app_runs
  set
    status = case when retried then 'pending' else p_status end,
    lease_expires_at = null,
    run_after = case when retried then now() + private.retry_delay(run.attempt) else run_after end,
    attempt_history = case when retried
      then attempt_history || private.attempt_entry(run, p_status, left(p_error_message, 1000))
      else attempt_history end,
    error_message = left(p_error_message, 10000),
    logs_path = coalesce(p_logs_path, logs_path),
    output_path = coalesce(p_output_path, output_path),
    metadata = metadata || coalesce(p_metadata, '{}')
  where id = run.id;
  return case when retried then 'retrying' else 'finished' end;
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
language sql
security invoker
set search_path = ''
as $$ select private.finish_app_run($1, $2, $3, $4, $5, $6, $7, $8, $9) $$;
comment on function public.finish_app_run is
  'For the service: ends a run that the executor holds. Answers finished; retrying, if retry was asked for and attempts are '
  'left; not_held, if the run is another''s or over, and nothing changed. Errors: SW001 (status), 23514 (paths).';

create function private.release_app_runs(p_executor_id text, p_run_ids uuid[])
returns setof uuid
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
begin
  return query
    update public.app_runs r
    set status = case when r.cancel_requested_at is null then 'pending' else 'cancelled' end,
      lease_expires_at = null,
      attempt = r.attempt - 1,
      run_after = now(),
      attempt_history = r.attempt_history || private.attempt_entry(r, 'released', null)
    where r.id = any (p_run_ids) and r.executor_id = p_executor_id and r.status = 'running'
    returning r.id;
end;
$$;

create function public.release_app_runs(executor_id text, run_ids uuid[])
returns setof uuid
language sql
security invoker
set search_path = ''
as $$ select private.release_app_runs($1, $2) $$;
comment on function public.release_app_runs is
  'For the service: an executor that stops gives back what it holds, without the attempt being counted. Answers the runs given back.';

create function private.release_expired_app_runs(p_max_runs integer)
returns setof public.app_runs
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
declare
  lost public.app_runs;
  run public.app_runs;
  message text;
begin
  for lost in
    select * from public.app_runs
    where status = 'running' and lease_expires_at < now()
    order by lease_expires_at
    limit least(greatest(coalesce(p_max_runs, 0), 0), 10000)
    for no key update skip locked
  loop
    message := format('Executor %s was lost during attempt %s.', lost.executor_id, lost.attempt);
    update public.app_runs
    set
      status = case
        when lost.cancel_requested_at is not null then 'cancelled'
        when lost.attempt < lost.max_attempts then 'pending'
        else 'failed'
      end,
      lease_expires_at = null,
      run_after = now() + private.retry_delay(lost.attempt),
      attempt_history = attempt_history || private.attempt_entry(lost, 'lost', message),
      error_message = message
    where id = lost.id
    returning * into run;
    return next run;
  end loop;
end;
$$;

create function public.release_expired_app_runs(max_runs integer default 100)
returns setof public.app_runs
language sql
security invoker
set search_path = ''
as $$ select * from private.release_expired_app_runs($1) $$;
comment on function public.release_expired_app_runs is
  'For the service: runs whose lease ended wait for their next attempt with a delay, or fail if it was the last. Any '
  'executor may call it, at any time. Answers the runs as they are then.';

grant execute on function
  private.claim_app_runs(text, integer, interval), public.claim_app_runs(text, integer, interval),
  private.extend_app_run_leases(text, uuid[], interval), public.extend_app_run_leases(text, uuid[], interval),
  private.finish_app_run(uuid, text, text, text, text, text, jsonb, boolean, integer),
  public.finish_app_run(uuid, text, text, text, text, text, jsonb, boolean, integer),
  private.release_app_runs(text, uuid[]), public.release_app_runs(text, uuid[]),
  private.release_expired_app_runs(integer), public.release_expired_app_runs(integer)
to service_role;
