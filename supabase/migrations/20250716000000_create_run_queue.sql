-- The queue over app_runs. Users ask for runs and cancel them; executors claim runs for the time of a lease, extend it
-- while they work, and finish what they hold. Every change of status is a compare-and-set on status and holder, so that
-- of two who act on a run one wins and the other learns that it lost.
--
-- app_runs tells people about runs; which of them wait and which are held is in two narrow tables beside it, so that
-- claims look at no finished run and the wide row changes without touching an index. Whoever moves a run moves its narrow
-- row first and the wide row after.
--
-- Fairness. Each company is a lane. A claim goes round the ring of lanes that have work, from where the same connection
-- left off, and takes equally from each. Nothing is written for that: the place in the ring is a setting of the session.
--
-- max_concurrent_runs holds exactly because a claim counts a lane's held runs under an advisory lock that lasts until it
-- commits. A claim that finds the lock taken passes on to the next lane: claims never wait for each other. One that found
-- no free lane with work tries again a few times, a millisecond apart, before it answers that there is nothing.

-- Tables. Nobody is granted them.

create table private.company_lanes (
  company_id uuid primary key references public.companies (id) on delete cascade,
  lane integer not null generated always as identity,
  max_concurrent_runs integer not null,
  queue_credit integer not null default 0,
  is_ready boolean not null default false,
  parked_until timestamptz,
  constraint company_lanes_lane_key unique (lane),
  constraint company_lanes_parked check (parked_until is null or not is_ready)
)
-- Each request for a run updates its lane in place.
with (fillfactor = 30, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
comment on table private.company_lanes is 'One row a company: its place in the ring that claims go round.';
comment on column private.company_lanes.max_concurrent_runs is 'As in companies; kept by a trigger.';
comment on column private.company_lanes.queue_credit is
  'Requests that max_queued_runs allows before the waiting runs are counted again: never more than there is room.';
comment on column private.company_lanes.is_ready is
  'Runs of the company may be due. Set with each request; cleared by a claim that finds none, under the lock of the row.';
comment on column private.company_lanes.parked_until is
  'The company runs as many as it may: claims leave it out until one finishes, and look again at this time at the latest.';

create table private.waiting_runs (
  lane integer not null,
  is_due boolean not null,
  -- The negative priority: the index is read forwards.
  rank smallint not null,
  run_after timestamptz not null,
  run_id uuid not null,
  primary key (lane, is_due, rank, run_after, run_id)
)
with (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table private.waiting_runs is
  'One row a pending run. A run that waits for its time is not due until a claim after that time says so.';

create table private.held_runs (
  run_id uuid primary key,
  lane integer not null
)
with (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table private.held_runs is 'One row a running run.';

-- Indexes

create index company_lanes_ready_idx on private.company_lanes (lane) include (max_concurrent_runs) where is_ready;
create index company_lanes_parked_until_idx on private.company_lanes (parked_until) where parked_until is not null;
create index waiting_runs_not_due_idx on private.waiting_runs (run_after) where not is_due;
create index held_runs_lane_idx on private.held_runs (lane);

-- Triggers: lanes

create function private.create_company_lane()
returns trigger
language plpgsql
security definer -- lanes are nobody's to write
set search_path = ''
as $$
begin
  insert into private.company_lanes (company_id, max_concurrent_runs) values (new.id, new.max_concurrent_runs);
  return null;
end;
$$;

create trigger create_company_lane after insert on public.companies
  for each row execute function private.create_company_lane();

create function private.change_company_lane()
returns trigger
language plpgsql
security definer -- lanes are nobody's to write
set search_path = ''
as $$
begin
  -- Claims look again, and the next request counts again.
  update private.company_lanes
  set max_concurrent_runs = new.max_concurrent_runs, queue_credit = 0, is_ready = true, parked_until = null
  where company_id = new.id;
  return null;
end;
$$;

create trigger change_company_lane after update on public.companies
  for each row when (
    (old.max_concurrent_runs, old.max_queued_runs) is distinct from (new.max_concurrent_runs, new.max_queued_runs))
  execute function private.change_company_lane();

insert into private.company_lanes (company_id, max_concurrent_runs) select id, max_concurrent_runs from public.companies;

-- Triggers: what is written into app_runs directly reaches the queue. Its own functions write both sides themselves.

create function private.drop_waiting_run(run public.app_runs)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  delete from private.waiting_runs w
  where w.lane = (select l.lane from private.company_lanes l where l.company_id = run.company_id)
    and w.is_due in (true, false) and w.rank = -run.priority and w.run_after = run.run_after and w.run_id = run.id;
  return found;
end;
$$;
comment on function private.drop_waiting_run is
  'Takes the run out of the queue. Waits for a claim that is about to take it; false if that claim, or another change, was first.';

create function private.leave_queue(run public.app_runs)
returns void
language plpgsql
set search_path = ''
as $$
declare
  run_lane constant integer := (select lane from private.company_lanes where company_id = run.company_id);
begin
  if run.status = 'pending' then
    -- Not waiting for a claim that has the queue's row and waits for the one that is being written.
    perform from private.waiting_runs w
    where w.lane = run_lane and w.is_due in (true, false) and w.rank = -run.priority and w.run_after = run.run_after
      and w.run_id = run.id
    for update nowait;
    perform private.drop_waiting_run(run);
  elsif run.status = 'running' then
    delete from private.held_runs where run_id = run.id;
    perform private.unpark_lane(run_lane);
  end if;
end;
$$;

create function private.join_queue(run public.app_runs)
returns void
language plpgsql
set search_path = ''
as $$
declare
  run_lane integer;
begin
  if run.status = 'pending' then
    -- As a request does it: under the lock of the lane, a claim that finds it empty cannot overlook what is added.
    update private.company_lanes
    set is_ready = is_ready or (run.run_after <= now() and parked_until is null)
    where company_id = run.company_id
    returning lane into run_lane;
    insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
    values (run_lane, run.run_after <= now(), -run.priority, run.run_after, run.id);
  elsif run.status = 'running' then
    insert into private.held_runs (run_id, lane)
    select run.id, l.lane from private.company_lanes l where l.company_id = run.company_id;
  end if;
end;
$$;

create function private.wait_again(run public.app_runs)
returns void
language plpgsql
set search_path = ''
as $$
begin
  -- The next claim after run_after finds it due: whoever gives a run back waits for no request that is under way.
  insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
  select l.lane, false, -run.priority, run.run_after, run.id
  from private.company_lanes l where l.company_id = run.company_id and run.status = 'pending';
end;
$$;

create function private.follow_run()
returns trigger
language plpgsql
security definer -- the queue's tables are nobody's to write
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    perform private.join_queue(new);
  else
    perform private.leave_queue(old);
  end if;
  return null;
end;
$$;

-- An update is followed by guard_run.
create trigger follow_new_run after insert on public.app_runs
  for each row when (current_setting('stowage.queue', true) is distinct from 'on' or current_user <> 'postgres')
  execute function private.follow_run();

create trigger follow_deleted_run after delete on public.app_runs
  for each row when (old.status in ('pending', 'running'))
  execute function private.follow_run();

create function private.announce_lane()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform pg_notify('stowage_runs', '');
  return null;
end;
$$;

-- Executors with a connection of their own can wait for work instead of asking again and again.
create trigger announce_lane after update of is_ready on private.company_lanes
  for each row when (new.is_ready and not old.is_ready)
  execute function private.announce_lane();

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

create function private.see_executor(p_executor_id text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  seen timestamptz;
begin
  select last_seen_at into seen from public.executors where id = p_executor_id;
  if not found then
    perform private.register_executor(p_executor_id, null, null, null);
  elsif seen < now() - interval '1 second' then
    -- One of its connections is enough to say so.
    update public.executors set last_seen_at = now()
    where id = (select id from public.executors where id = p_executor_id for no key update skip locked);
  end if;
end;
$$;
comment on function private.see_executor is
  'The executor is alive: registered if it is new, last_seen_at at most a second old. Error: SW001 (executor_id).';

-- Lanes

create function private.unpark_lane(p_lane integer)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if exists (select from private.company_lanes where lane = p_lane and parked_until is not null) then
    -- Somebody else has the row: a claim looks at parked_until soon.
    update private.company_lanes set is_ready = true, parked_until = null
    where lane = (
      select lane from private.company_lanes
      where lane = p_lane and parked_until is not null
      for no key update skip locked);
  end if;
end;
$$;
comment on function private.unpark_lane is 'A run of the company ended: claims look at it again.';

create function private.unpark_lanes()
returns boolean
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  update private.company_lanes set is_ready = true, parked_until = null
  where lane = any (array(
    select l.lane from private.company_lanes l
    where l.parked_until is not null
      and (select count(*) from private.held_runs h where h.lane = l.lane) < l.max_concurrent_runs
    for no key update skip locked));
  return found;
end;
$$;
comment on function private.unpark_lanes is
  'Companies that were full for a claim which could not see that a run ended. True if there were any.';

create function private.settle_lanes(p_lanes integer[])
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  quiet record;
begin
  -- A request holds the row's lock until it commits: under the lock, what this does not see is not there.
  for quiet in
    select lane, max_concurrent_runs from private.company_lanes
    where lane = any (p_lanes) and is_ready
    for no key update skip locked
  loop
    if not exists (select from private.waiting_runs where lane = quiet.lane and is_due) then
      update private.company_lanes set is_ready = false where lane = quiet.lane;
    elsif (select count(*) from private.held_runs where lane = quiet.lane) >= quiet.max_concurrent_runs then
      update private.company_lanes
      set is_ready = false, parked_until = clock_timestamp() + interval '250 milliseconds'
      where lane = quiet.lane;
    end if;
  end loop;
end;
$$;
comment on function private.settle_lanes is 'Takes lanes that gave a claim nothing out of the ring, if they are empty or full.';

create function private.wake_lanes()
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  woken integer[];
begin
  with due as (
    select w.ctid as row_id, l.lane
    from private.waiting_runs w
    join private.company_lanes l on l.lane = w.lane
    where not w.is_due and w.run_after <= now()
    order by w.run_after
    limit 1000
    for no key update of l skip locked
    for update of w skip locked
  ),
  moved as (
    update private.waiting_runs w set is_due = true
    where w.ctid = any (array(select row_id from due))
    returning w.lane
  )
  select array_agg(distinct lane) into woken from moved;
  update private.company_lanes set is_ready = true
  where lane = any (woken) and not is_ready and parked_until is null;
  update private.company_lanes set is_ready = true, parked_until = null
  where lane = any (array(
    select lane from private.company_lanes
    where parked_until <= statement_timestamp()
    for no key update skip locked));
end;
$$;
comment on function private.wake_lanes is
  'Runs whose time has come become due, and companies whose time is over are looked at again. Waits for nobody.';

create function private.place_in_ring()
returns integer
language plpgsql
set search_path = ''
as $$
declare
  place constant text := current_setting('stowage.lane', true);
begin
  if place <> '' then
    return place;
  end if;
  -- A new connection begins anywhere, lest those that make one call each all begin with the same company.
  return coalesce((select trunc(random() * max(lane)) from private.company_lanes), 0);
end;
$$;
comment on function private.place_in_ring is 'The lane that this connection was at last.';

create function private.take_waiting_runs(p_max_runs integer)
returns uuid[]
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  lock_space constant integer := 1937010551;
  -- A large claim takes several from each of fewer companies: it is cheaper, and leaves lanes to others.
  lanes_at_once constant integer := 8 + p_max_runs / 100;
  place integer := private.place_in_ring();
  lap_start integer := place;
  wraps integer := 0;
  tries integer := 1;
  ring integer[];
  limits integer[];
  ring_size integer;
  free integer[];
  free_limits integer[];
  taken uuid[];
  taken_lanes integer[];
  runs uuid[] := '{}';
  missing integer := p_max_runs;
  progress boolean := false;
  some_locked boolean := false;
begin
  loop
    ring_size := least(missing, lanes_at_once);
    select array_agg(lane), array_agg(max_concurrent_runs) into ring, limits
    from (
      (select lane, max_concurrent_runs from private.company_lanes
        where is_ready and lane > place order by lane limit ring_size)
      union all
      (select lane, max_concurrent_runs from private.company_lanes
        where is_ready and lane <= place order by lane limit ring_size)
      limit ring_size
    ) next_lanes;
    if ring is null then
      exit when runs <> '{}' or tries = 5 or not private.unpark_lanes();
      tries := tries + 1;
      continue;
    end if;

    select array_agg(lane), array_agg(max_concurrent_runs) into free, free_limits
    from unnest(ring, limits) as l (lane, max_concurrent_runs)
    where pg_try_advisory_xact_lock(lock_space, lane);
    some_locked := some_locked or cardinality(free) is distinct from cardinality(ring);

    if free is not null then
      -- A new statement sees what the last holders of these locks committed.
      with gone as (
        delete from private.waiting_runs
        where ctid = any (array(
          select w.ctid
          from unnest(free, free_limits) as l (lane, max_concurrent_runs),
          lateral (
            select q.ctid from private.waiting_runs q
            where q.lane = l.lane and q.is_due
            order by q.rank, q.run_after, q.run_id
            limit (
              select greatest(0, least((missing + cardinality(free) - 1) / cardinality(free), l.max_concurrent_runs - count(*)))
              from private.held_runs h where h.lane = l.lane)
            for update skip locked
          ) w
          limit missing))
        returning run_id, lane
      ),
      held as (
        insert into private.held_runs (run_id, lane) select g.run_id, g.lane from gone g
      )
      select array_agg(g.run_id), array_agg(g.lane) into taken, taken_lanes from gone g;

      if taken is not null then
        runs := runs || taken;
        missing := p_max_runs - cardinality(runs);
        progress := true;
      end if;
      if missing > 0 then
        perform private.settle_lanes(array(select unnest(free) except select unnest(taken_lanes)));
      end if;
    end if;

    if ring[cardinality(ring)] <= place then
      wraps := wraps + 1;
    end if;
    place := ring[cardinality(ring)];
    exit when missing = 0;
    if cardinality(ring) < ring_size or wraps = 2 or (wraps = 1 and place >= lap_start) then
      if not progress then
        exit when runs <> '{}' or tries = 5 or not (some_locked or private.unpark_lanes());
        tries := tries + 1;
        perform pg_sleep(0.001);
      end if;
      progress := false;
      some_locked := false;
      wraps := 0;
      lap_start := place;
    end if;
  end loop;

  perform set_config('stowage.lane', place::text, false);
  return runs;
end;
$$;
comment on function private.take_waiting_runs is
  'Moves up to so many due runs from waiting to held, round the ring of companies, and returns their ids.';

create function private.start_runs(p_runs uuid[], p_executor_id text, p_lease interval)
returns setof public.app_runs
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  perform set_config('stowage.queue', 'on', true);
  return query
    update public.app_runs r
    set status = 'running', executor_id = p_executor_id, attempt = r.attempt + 1, started_at = now(),
      lease_expires_at = now() + p_lease, updated_at = now()
    where r.id = any (p_runs)
    returning r.*;
  perform set_config('stowage.queue', '', true);
end;
$$;
comment on function private.start_runs is 'Runs that were moved to held become running.';

create function private.take_waiting_run()
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  lock_space constant integer := 1937010551;
  place integer := private.place_in_ring();
  lap_start integer := place;
  wrapped boolean := false;
  lap_is_over boolean;
  some_locked boolean := false;
  tries integer := 1;
  run_limit integer;
  row_id tid;
  taken uuid;
begin
  loop
    lap_is_over := false;
    select lane, max_concurrent_runs into place, run_limit from private.company_lanes
    where is_ready and lane > place order by lane limit 1;
    if not found then
      lap_is_over := wrapped;
      wrapped := true;
      place := 0;
    elsif pg_try_advisory_xact_lock(lock_space, place) then
      -- A new statement sees what the last holder of the lock committed.
      select q.ctid, q.run_id into row_id, taken
      from private.waiting_runs q
      where q.lane = place and q.is_due
        and (select count(*) from private.held_runs h where h.lane = place) < run_limit
      order by q.rank, q.run_after, q.run_id
      limit 1
      for update skip locked;
      if found then
        delete from private.waiting_runs where ctid = row_id;
        insert into private.held_runs (run_id, lane) values (taken, place);
        exit;
      end if;
      perform private.settle_lanes(array[place]);
    else
      some_locked := true;
    end if;
    if lap_is_over or (wrapped and place >= lap_start) then
      exit when tries = 5 or not (some_locked or private.unpark_lanes());
      tries := tries + 1;
      perform pg_sleep(0.001);
      some_locked := false;
      wrapped := false;
      lap_start := place;
    end if;
  end loop;
  perform set_config('stowage.lane', place::text, false);
  return taken;
end;
$$;
comment on function private.take_waiting_run is 'take_waiting_runs for one run, which most claims ask for: its id, or null.';

-- For users

create function private.count_queue(p_company_id uuid, p_runs integer)
returns void
language plpgsql
set search_path = ''
as $$
declare
  queue_lane integer;
  max_queued bigint;
  queued bigint;
begin
  select max_queued_runs into max_queued from public.companies where id = p_company_id;
  if not found then
    perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
  end if;
  select lane into queue_lane from private.company_lanes where company_id = p_company_id for no key update;
  select count(*) into queued
  from (select from private.waiting_runs where lane = queue_lane limit max_queued) waiting;
  if queued + p_runs > max_queued then
    perform private.raise_error('SW041',
      case when queued >= max_queued
        then format('The company has %s runs waiting, as many as it may.', max_queued)
        else format('The company has %s runs waiting, and may have %s: there is no room for %s more.',
          queued, max_queued, p_runs)
      end, 'company_id');
  end if;
  update private.company_lanes set queue_credit = max_queued - queued where lane = queue_lane;
end;
$$;
comment on function private.count_queue is
  'Counts the waiting runs of the company again, for so many more. Errors: SW002 (company_id), SW041 (company_id).';

create function private.enter_queue(p_company_id uuid, p_runs integer, p_is_due boolean)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  queue_lane integer;
begin
  for try in 1 .. 2 loop
    update private.company_lanes
    set queue_credit = queue_credit - p_runs, is_ready = is_ready or (p_is_due and parked_until is null)
    where company_id = p_company_id and queue_credit >= p_runs
    returning lane into queue_lane;
    exit when found;
    perform private.count_queue(p_company_id, p_runs);
  end loop;
  return queue_lane;
end;
$$;
comment on function private.enter_queue is
  'Makes room in the queue of the company, which takes turns from here on, and returns its lane. Errors: SW002, SW041.';

create function private.request_app_run(
  p_app_id uuid, p_company_id uuid, p_version text, p_run_type text, p_config jsonb, p_priority integer,
  p_run_after timestamptz, p_idempotency_key text, p_max_attempts integer, p_retry_failures boolean default false,
  p_retry_of uuid default null)
returns public.app_runs
language plpgsql
security definer -- members ask for runs, but do not write app_runs
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  run public.app_runs;
  run_at constant timestamptz := coalesce(p_run_after, now());
  run_lane integer;
  run_version text;
  is_service constant boolean := private.is_service();
begin
  if not (is_service or coalesce(p_company_id = any (private.my_company_ids()), false)) then
    perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
  end if;
  if not is_service and coalesce(p_run_type not in ('manual', 'test'), true) then
    perform private.raise_error('SW001', 'run_type takes manual or test.', 'run_type');
  end if;
  if not is_service and starts_with(p_idempotency_key, 'cron:') then
    perform private.raise_error('SW001', 'Keys that begin with cron: are those of schedules.', 'idempotency_key');
  end if;
  if p_config is null or jsonb_typeof(p_config) <> 'object' then
    perform private.raise_error('SW001', 'config must be a JSON object.', 'config');
  end if;
  if coalesce(p_priority, 1000) not between -100 and 100 then
    perform private.raise_error('SW001', 'priority takes -100 to 100.', 'priority');
  end if;
  if coalesce(p_max_attempts, 0) not between 1 and 25 then
    perform private.raise_error('SW001', 'max_attempts takes 1 to 25.', 'max_attempts');
  end if;

  -- Requests of one company take turns: the limit and the idempotency key hold exactly.
  if p_idempotency_key is not null then
    perform from private.company_lanes where company_id = p_company_id for no key update;
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
  run_lane := private.enter_queue(p_company_id, 1, run_at <= now());
  run_version := private.resolve_run_version(p_app_id, p_company_id, p_version, p_run_type);

  perform set_config('stowage.queue', 'on', true);
  insert into public.app_runs (
    app_id, company_id, version, run_type, config, priority, run_after, idempotency_key, max_attempts, retry_failures,
    retry_of)
  values (
    p_app_id, p_company_id, run_version, p_run_type, p_config, p_priority, run_at, p_idempotency_key, p_max_attempts,
    coalesce(p_retry_failures, false), p_retry_of)
  returning * into run;
  perform set_config('stowage.queue', '', true);
  perform private.check_run(run);
  insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
  values (run_lane, run_at <= now(), -p_priority, run_at, run.id);
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
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.request_app_run($1, $2, $3, $4, $5, $6, $7, $8, $9);
end;
$$;
comment on function public.request_app_run is
  'Asks for a run of an app for a company of the caller; without a version, of the newest published one. A test run may '
  'use a draft of the publisher. Errors: SW001 (a named input), SW002 (company_id), SW040 (app_id, version), '
  'SW041 queue is full, SW043 (idempotency_key).';

create type private.run_request as (
  app_id uuid, company_id uuid, version text, run_type text, config jsonb, priority integer, run_after timestamptz,
  idempotency_key text, max_attempts integer, retry_failures boolean);

create function private.request_app_runs(p_runs jsonb)
returns uuid[]
language plpgsql
security definer -- members ask for runs, but do not write app_runs
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  defaults constant private.run_request := (null, null, null, 'manual', '{}', 0, now(), null, 3, false);
  requests private.run_request[];
  request private.run_request;
  is_service constant boolean := private.is_service();
  companies uuid[] := '{}';
  company record;
  run public.app_runs;
  ids uuid[];
begin
  if p_runs is null or jsonb_typeof(p_runs) <> 'array' or jsonb_array_length(p_runs) not between 1 and 10000 then
    perform private.raise_error('SW001', 'runs takes an array of 1 to 10000 requests.', 'runs');
  end if;
  requests := array(select r from jsonb_populate_recordset(defaults, p_runs) r);

  -- One with a key is either new or not: that is asked one by one.
  if exists (select from unnest(requests) r where r.idempotency_key is not null) then
    foreach request in array requests loop
      run := private.request_app_run(
        request.app_id, request.company_id, request.version, request.run_type, request.config, request.priority,
        request.run_after, request.idempotency_key, request.max_attempts, request.retry_failures);
      ids := ids || run.id;
    end loop;
    return ids;
  end if;

  if not is_service then
    companies := private.my_company_ids();
    if exists (select from unnest(requests) r where r.company_id is null or r.company_id <> all (companies)) then
      perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
    end if;
    if exists (select from unnest(requests) r where coalesce(r.run_type not in ('manual', 'test'), true)) then
      perform private.raise_error('SW001', 'run_type takes manual or test.', 'run_type');
    end if;
  end if;
  if exists (select from unnest(requests) r where r.config is null or jsonb_typeof(r.config) <> 'object') then
    perform private.raise_error('SW001', 'config must be a JSON object.', 'config');
  end if;
  if exists (select from unnest(requests) r where coalesce(r.priority, 1000) not between -100 and 100) then
    perform private.raise_error('SW001', 'priority takes -100 to 100.', 'priority');
  end if;
  if exists (select from unnest(requests) r where coalesce(r.max_attempts, 0) not between 1 and 25) then
    perform private.raise_error('SW001', 'max_attempts takes 1 to 25.', 'max_attempts');
  end if;
  if exists (select from unnest(requests) r where coalesce(r.run_type not in ('manual', 'cron', 'webhook', 'test'), true)) then
    perform private.raise_error('SW001', 'run_type takes manual, cron, webhook or test.', 'run_type');
  end if;
  if exists (select from unnest(requests) r where pg_column_size(r.config) > 524288) then
    perform private.raise_error('SW001', 'config takes at most 512 KiB.', 'config');
  end if;

  -- In the order of ids, so that two who ask for many companies at once do not wait for each other in a circle.
  for company in
    select r.company_id as id, count(*)::integer as runs, bool_or(coalesce(r.run_after, now()) <= now()) as is_due
    from unnest(requests) r group by r.company_id order by r.company_id
  loop
    perform private.enter_queue(company.id, company.runs, company.is_due);
  end loop;

  perform set_config('stowage.queue', 'on', true);
  with kinds as materialized (
    select k.*, l.lane,
      private.resolve_run_version(k.app_id, k.company_id, k.wanted, k.run_type) as version
    from (select distinct r.app_id, r.company_id, r.version as wanted, r.run_type from unnest(requests) r) k
    join private.company_lanes l on l.company_id = k.company_id
  ),
  asked as materialized (
    select gen_random_uuid() as id, k.lane, k.version as run_version, coalesce(r.run_after, now()) as run_at, r.*
    from unnest(requests) with ordinality as r
    join kinds k on k.app_id = r.app_id and k.company_id = r.company_id and k.run_type = r.run_type
      and k.wanted is not distinct from r.version
  ),
  new_runs as (
    insert into public.app_runs (
      id, app_id, company_id, version, run_type, config, priority, run_after, max_attempts, retry_failures, requested_by)
    select id, app_id, company_id, run_version, run_type, config, priority, run_at, max_attempts,
      coalesce(retry_failures, false), (select auth.uid())
    from asked
  ),
  waiting as (
    insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
    select lane, run_at <= now(), -priority, run_at, id from asked
  )
  select array_agg(id order by ordinality) into ids from asked;
  perform set_config('stowage.queue', '', true);
  return ids;
end;
$$;

create function public.request_app_runs(runs jsonb)
returns setof uuid
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return query select unnest(private.request_app_runs($1));
end;
$$;
comment on function public.request_app_runs is
  'Asks for many runs at once: an array of objects with the inputs of request_app_run, and retry_failures. Answers their '
  'ids in the same order. All or none: an error, as request_app_run has them, or SW001 (runs), concerns the whole.';

create function private.find_my_run(p_run_id uuid)
returns public.app_runs
language plpgsql
security definer -- asks for runs that the caller may not see
set search_path = ''
as $$
declare
  run public.app_runs;
begin
  select * into run from public.app_runs where id = p_run_id;
  if not found or not (private.is_service() or run.company_id = any (private.my_company_ids())) then
    perform private.raise_error('SW002', 'There is no such run among yours.', 'run_id');
  end if;
  return run;
end;
$$;
comment on function private.find_my_run is 'The run, if it is of a company of the caller. Error: SW002.';

create function private.stop_run(p_run_id uuid, p_message text)
returns public.app_runs
language plpgsql
set search_path = ''
as $$
declare
  run public.app_runs;
  stopped public.app_runs;
begin
  loop
    select * into run from public.app_runs where id = p_run_id;
    exit when not found or run.status not in ('pending', 'running');
    -- A claim, a finish or a retry may be first: then the run is looked at again.
    if run.status = 'running' then
      update public.app_runs set cancel_requested_at = coalesce(cancel_requested_at, now())
      where id = run.id and status = 'running'
      returning * into stopped;
    elsif private.drop_waiting_run(run) then
      perform set_config('stowage.queue', 'on', true);
      update public.app_runs
      set status = 'cancelled', cancel_requested_at = now(), completed_at = now(), updated_at = now(),
        error_message = p_message
      where id = run.id and status = 'pending'
      returning * into stopped;
      perform set_config('stowage.queue', '', true);
    end if;
    if stopped.id is not null then
      return stopped;
    end if;
  end loop;
  return run;
end;
$$;
comment on function private.stop_run is 'Cancels a waiting run, asks the executor of a running one to stop it, returns the run as it is then.';

create function private.cancel_app_run(p_run_id uuid)
returns public.app_runs
language plpgsql
security definer -- members cancel runs, but do not write app_runs
set search_path = ''
as $$
declare
  run public.app_runs := private.find_my_run(p_run_id);
begin
  return private.stop_run(run.id, 'Cancelled before it started.');
end;
$$;

create function public.cancel_app_run(run_id uuid)
returns public.app_runs
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.cancel_app_run($1);
end;
$$;
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
begin
  if run.status in ('pending', 'running') then
    perform private.raise_error('SW042', format('The run is %s: only a finished run is run again.', run.status), 'run_id');
  end if;
  return private.request_app_run(
    run.app_id, run.company_id, run.version, case run.run_type when 'test' then 'test' else 'manual' end,
    run.config, run.priority, now(), null, run.max_attempts, run.retry_failures, run.id);
end;
$$;

create function public.retry_app_run(run_id uuid)
returns public.app_runs
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.retry_app_run($1);
end;
$$;
comment on function public.retry_app_run is
  'Asks for a new run like a finished one; retry_of names the old one. Errors: SW002, SW042 not finished, and those of request_app_run.';

grant execute on function
  private.request_app_run(uuid, uuid, text, text, jsonb, integer, timestamptz, text, integer, boolean, uuid),
  public.request_app_run(uuid, uuid, text, text, jsonb, integer, timestamptz, text, integer),
  private.request_app_runs(jsonb), public.request_app_runs(jsonb),
  private.cancel_app_run(uuid), public.cancel_app_run(uuid),
  private.retry_app_run(uuid), public.retry_app_run(uuid)
to authenticated, service_role;

-- Triggers: an app that a company loses stops running for it

create function private.stop_runs(p_app_id uuid, p_company_id uuid, p_reason text)
returns void
language plpgsql
security definer -- runs of every company that the caller may not see
set search_path = ''
as $$
declare
  run_id uuid;
begin
  for run_id in
    select r.id
    from (select w.run_id from private.waiting_runs w union all select h.run_id from private.held_runs h) unfinished
    join public.app_runs r on r.id = unfinished.run_id
    where r.app_id = p_app_id and r.company_id = coalesce(p_company_id, r.company_id)
    order by r.id
  loop
    perform private.stop_run(run_id, p_reason);
  end loop;
  update public.app_cron_schedules
  set is_active = false
  where app_id = p_app_id and company_id = coalesce(p_company_id, company_id) and is_active;
end;
$$;
comment on function private.stop_runs is
  'Cancels what waits, asks what runs to stop, and switches schedules off: of one company, or of all (null).';

create function private.stop_runs_of_assignment()
returns trigger
language plpgsql
security definer -- as stop_runs
set search_path = ''
as $$
begin
  perform private.stop_runs(old.app_id, old.company_id, 'The app is no longer assigned to the company.');
  return null;
end;
$$;

create trigger stop_runs after delete on public.app_assignments
  for each row execute function private.stop_runs_of_assignment();

create function private.stop_runs_of_app()
returns trigger
language plpgsql
security definer -- as stop_runs
set search_path = ''
as $$
begin
  perform private.stop_runs(new.id, null, format('The app was %s.', new.status));
  return null;
end;
$$;

create trigger stop_runs after update on public.applications
  for each row when (old.status = 'active' and new.status <> 'active')
  execute function private.stop_runs_of_app();

-- For executors

create function private.begin_claim(p_executor_id text, p_max_runs integer, p_lease interval)
returns void
language plpgsql
set search_path = ''
as $$
declare
  seen boolean;
  wake boolean;
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
  select
    exists (select from public.executors where id = p_executor_id and last_seen_at >= now() - interval '1 second'),
    exists (select from private.waiting_runs where not is_due and run_after <= now())
      or exists (select from private.company_lanes where parked_until <= statement_timestamp())
  into seen, wake;
  if not seen then
    perform private.see_executor(p_executor_id);
  end if;
  if wake then
    perform private.wake_lanes();
  end if;
end;
$$;
comment on function private.begin_claim is
  'What precedes every claim: inputs checked, the executor seen, lanes woken. Errors: SW001 (lease, max_runs, executor_id).';

create function private.claim_app_runs(p_executor_id text, p_max_runs integer, p_lease interval)
returns setof public.app_runs
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
-- Few rows by their keys, whatever the planner remembers of tables that are empty at times.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  perform private.begin_claim(p_executor_id, p_max_runs, p_lease);
  return query
    select * from private.start_runs(
      case when p_max_runs = 1 then array[private.take_waiting_run()] else private.take_waiting_runs(p_max_runs) end,
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

create type private.run_result as (
  run_id uuid, attempt integer, status text, error_message text, logs_path text, output_path text, metadata jsonb,
  retry boolean);

create function private.finish_one_run(result private.run_result, p_executor_id text)
returns text
language plpgsql
set search_path = ''
as $$
declare
  run public.app_runs;
  ended_id uuid;
  run_lane integer;
  parked boolean;
  retried boolean := false;
begin
  if coalesce(result.status not in ('success', 'failed', 'cancelled', 'timeout'), true) then
    perform private.raise_error('SW001', 'status takes success, failed, cancelled or timeout.', 'status');
  end if;
  if result.status in ('failed', 'timeout') then
    select * into run from public.app_runs
    where id = result.run_id and executor_id = p_executor_id and status = 'running'
      and (result.attempt is null or attempt = result.attempt)
    for no key update;
    if not found then
      return 'not_held';
    end if;
    retried := (coalesce(result.retry, false) or run.retry_failures)
      and run.attempt < run.max_attempts and run.cancel_requested_at is null;
  end if;
  perform set_config('stowage.queue', 'on', true);
  if retried then
    update public.app_runs
    set
      status = 'pending',
      lease_expires_at = null,
      updated_at = now(),
      run_after = now() + private.retry_delay(run.attempt),
      attempt_history = attempt_history || private.attempt_entry(run, result.status, left(result.error_message, 1000)),
      error_message = left(result.error_message, 10000),
      logs_path = coalesce(result.logs_path, logs_path),
      output_path = coalesce(result.output_path, output_path),
      metadata = metadata || coalesce(result.metadata, '{}')
    where id = run.id
    returning * into run;
    ended_id := run.id;
  else
    update public.app_runs
    set
      status = result.status,
      completed_at = greatest(now(), started_at),
      duration_ms = extract(epoch from greatest(now(), started_at) - started_at) * 1000,
      lease_expires_at = null,
      updated_at = now(),
      error_message = left(result.error_message, 10000),
      logs_path = coalesce(result.logs_path, logs_path),
      output_path = coalesce(result.output_path, output_path),
      metadata = metadata || coalesce(result.metadata, '{}')
    where id = result.run_id and executor_id = p_executor_id and status = 'running'
      and (result.attempt is null or attempt = result.attempt)
    returning id into ended_id;
  end if;
  perform set_config('stowage.queue', '', true);
  if ended_id is null then
    return 'not_held';
  end if;
  if result.logs_path is not null or result.output_path is not null or result.metadata is not null then
    perform private.check_run(r) from public.app_runs r where r.id = ended_id;
  end if;
  delete from private.held_runs h where h.run_id = ended_id
  returning h.lane, exists (select from private.company_lanes l where l.lane = h.lane and l.parked_until is not null)
  into run_lane, parked;
  if retried then
    perform private.wait_again(run);
  end if;
  if parked then
    perform private.unpark_lane(run_lane);
  end if;
  return case when retried then 'retrying' else 'finished' end;
end;
$$;
comment on function private.finish_one_run is 'finish_app_run, for a result in one piece.';

create function private.finish_app_run(
  p_run_id uuid, p_executor_id text, p_status text, p_error_message text, p_logs_path text, p_output_path text,
  p_metadata jsonb, p_retry boolean, p_attempt integer)
returns text
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
-- Few rows by their keys, whatever the planner remembers of tables that are empty at times.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return private.finish_one_run(
    row(p_run_id, p_attempt, p_status, p_error_message, p_logs_path, p_output_path, p_metadata, p_retry)::private.run_result,
    p_executor_id);
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
  outcomes text[] := '{}';
  finished uuid[];
  freed integer[];
begin
  if p_results is null or jsonb_typeof(p_results) <> 'array' or jsonb_array_length(p_results) > 1000 then
    perform private.raise_error('SW001', 'results takes an array of at most 1000 results.', 'results');
  end if;
  results := array(select r from jsonb_populate_recordset(null::private.run_result, p_results) r order by r.run_id);
  if exists (
    select from unnest(results) r
    where coalesce(r.status not in ('success', 'failed', 'cancelled', 'timeout'), true)
  ) then
    perform private.raise_error('SW001', 'status takes success, failed, cancelled or timeout.', 'status');
  end if;

  -- What may be tried again is asked one by one. All are locked in the order of ids, as heartbeats lock them.
  if exists (select from unnest(results) r where r.status in ('failed', 'timeout')) then
    foreach result in array results loop
      ids := ids || result.run_id;
      outcomes := outcomes || private.finish_one_run(result, p_executor_id);
    end loop;
    return (select json_object_agg(o.run_id, o.outcome) from unnest(ids, outcomes) as o (run_id, outcome));
  end if;

  perform set_config('stowage.queue', 'on', true);
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
    returning r.id,
      case when d.logs_path is not null or d.output_path is not null or d.metadata is not null
        then private.check_run(r) end
  ),
  gone as (
    delete from private.held_runs h using done where h.run_id = done.id returning h.lane
  )
  select array(select id from done), array(select lane from gone) into finished, freed;
  perform set_config('stowage.queue', '', true);
  if exists (select from private.company_lanes where parked_until is not null and lane = any (freed)) then
    perform private.unpark_lane(lane) from private.company_lanes where parked_until is not null and lane = any (freed);
  end if;
  return (
    select coalesce(json_object_agg(r.run_id,
      case when cardinality(finished) = cardinality(results) or r.run_id = any (finished) then 'finished' else 'not_held' end), '{}')
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
  'run id to finished, retrying or not_held. Errors: SW001 (results, status), 23514 (paths): then nothing changed.';

create function private.start_and_describe_runs(p_runs uuid[], p_executor_id text, p_lease interval)
returns json
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  claimed json;
begin
  perform set_config('stowage.queue', 'on', true);
  with started as (
    update public.app_runs r
    set status = 'running', executor_id = p_executor_id, attempt = r.attempt + 1, started_at = now(),
      lease_expires_at = now() + p_lease, updated_at = now()
    where r.id = any (p_runs)
    returning r.id, r.app_id, r.company_id, r.version, r.build_id, r.run_type, r.config, r.metadata, r.priority,
      r.attempt, r.max_attempts, r.lease_expires_at
  )
  select json_agg(s) into claimed from started s;
  perform set_config('stowage.queue', '', true);
  return claimed;
end;
$$;
comment on function private.start_and_describe_runs is 'start_runs, and what an executor needs to know of them.';

create function private.finish_and_claim_app_runs(p_executor_id text, p_results jsonb, p_max_runs integer, p_lease interval)
returns json
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
-- Few rows by their keys, whatever the planner remembers of tables that are empty at times.
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  -- One run for another is what executors ask for most.
  one_result constant boolean := p_max_runs = 1 and jsonb_typeof(p_results) = 'array' and jsonb_array_length(p_results) = 1;
  result private.run_result;
  taken uuid;
  finished json;
  claimed json;
begin
  perform private.begin_claim(p_executor_id, p_max_runs, p_lease);
  if one_result then
    result := jsonb_populate_record(result, p_results -> 0);
    finished := json_build_object(result.run_id, private.finish_one_run(result, p_executor_id));
  else
    finished := private.finish_app_runs(p_executor_id, p_results);
  end if;
  if p_max_runs = 1 then
    taken := private.take_waiting_run();
    if taken is not null then
      perform set_config('stowage.queue', 'on', true);
      update public.app_runs
      set status = 'running', executor_id = p_executor_id, attempt = attempt + 1, started_at = now(),
        lease_expires_at = now() + p_lease, updated_at = now()
      where id = taken
      returning json_build_array(json_build_object(
        'id', id, 'app_id', app_id, 'company_id', company_id, 'version', version, 'build_id', build_id,
        'run_type', run_type, 'config', config, 'metadata', metadata, 'priority', priority, 'attempt', attempt,
        'max_attempts', max_attempts, 'lease_expires_at', lease_expires_at))
      into claimed;
      perform set_config('stowage.queue', '', true);
    end if;
  else
    claimed := private.start_and_describe_runs(private.take_waiting_runs(p_max_runs), p_executor_id, p_lease);
  end if;
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
  'where a run has what it takes to execute it. '
  'Errors: those of both; then nothing changed.';

create function private.release_app_runs(p_executor_id text, p_run_ids uuid[])
returns setof uuid
language plpgsql
security definer -- the queue's tables are nobody's
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  held public.app_runs;
  run public.app_runs;
begin
  perform set_config('stowage.queue', 'on', true);
  for held in
    select * from public.app_runs
    where id = any (p_run_ids) and executor_id = p_executor_id and status = 'running'
    order by id
    for no key update
  loop
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
    where id = held.id
    returning * into run;
    perform private.leave_queue(held);
    perform private.wait_again(run);
    return next run.id;
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
  message text;
begin
  perform set_config('stowage.queue', 'on', true);
  for lost in
    select r.*
    from private.held_runs h
    join public.app_runs r on r.id = h.run_id
    where r.status = 'running' and r.lease_expires_at < now()
    order by r.lease_expires_at
    limit least(greatest(coalesce(p_max_runs, 0), 0), 10000)
    for no key update of r skip locked
  loop
    message := format('Executor %s was lost during attempt %s.', lost.executor_id, lost.attempt);
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
      run_after = now() + private.retry_delay(lost.attempt),
      attempt_history = attempt_history || private.attempt_entry(lost, 'lost', message),
      error_message = message
    where id = lost.id
    returning * into run;
    perform private.leave_queue(lost);
    perform private.wait_again(run);
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
  private.claim_app_runs(text, integer, interval), public.claim_app_runs(text, integer, interval),
  private.extend_app_run_leases(text, uuid[], interval), public.extend_app_run_leases(text, uuid[], interval),
  private.finish_app_run(uuid, text, text, text, text, text, jsonb, boolean, integer),
  public.finish_app_run(uuid, text, text, text, text, text, jsonb, boolean, integer),
  private.finish_app_runs(text, jsonb), public.finish_app_runs(text, jsonb),
  private.finish_and_claim_app_runs(text, jsonb, integer, interval),
  public.finish_and_claim_app_runs(text, jsonb, integer, interval),
  private.release_app_runs(text, uuid[]), public.release_app_runs(text, uuid[]),
  private.release_expired_app_runs(integer), public.release_expired_app_runs(integer)
to service_role;
