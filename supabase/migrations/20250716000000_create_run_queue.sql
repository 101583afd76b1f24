-- The queue over app_runs. Users ask for runs and cancel them; executors claim runs for the time of a lease, extend it
-- while they work, and finish what they hold. Every change of status is a compare-and-set on status and holder, so that
-- of two who act on a run one wins and the other learns that it lost.
--
-- app_runs tells people about runs, and says who holds one. Which runs wait is in a narrow table beside it, so that claims
-- look at no finished run and the wide row changes without touching an index. Whoever takes a run out of the queue deletes
-- its narrow row first and writes the wide row after; whoever ends what is held needs the wide row alone.
--
-- Fairness. Each company is a lane. A claim goes round the ring of lanes that have work, from where the same connection
-- left off, and takes equally from each. Nothing is written for that: the place in the ring is a setting of the session.
--
-- max_concurrent_runs holds exactly because a claim adds to a lane's load under an advisory lock that lasts until it
-- commits. A claim that finds the lock taken passes on to the next lane: claims never wait for each other. One that found
-- no free lane with work tries again a few times, a millisecond apart, before it answers that there is nothing. Runs that
-- end are noted beside the load, for which nobody waits, and a claim that would find the lane full subtracts them.

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

create table private.lane_loads (
  lane integer primary key references private.company_lanes (lane) on delete cascade,
  held integer not null default 0
)
with (fillfactor = 30, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
comment on table private.lane_loads is 'How many runs of a company are held, at most. Written under the lock of the lane, by claims above all.';
comment on column private.lane_loads.held is 'Less what lane_returns says of the lane, it is exact.';

create table private.lane_returns (
  lane integer not null,
  id bigint not null generated always as identity,
  runs integer not null,
  primary key (lane, id)
)
with (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table private.lane_returns is 'Runs that are held no more and still counted in lane_loads.';

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
comment on table private.waiting_runs is 'One row a run that waits. Follows app_runs.';
comment on column private.waiting_runs.is_due is 'A run that waits for its time is not due until a claim after that time says so.';

create table private.run_claims (
  looked_at_after timestamptz not null,
  id bigint not null generated always as identity,
  executor_id text not null,
  run_ids uuid[] not null,
  primary key (looked_at_after, id)
)
with (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- A few hundred ids a row at most: on their page, without a try to compress what is random.
alter table private.run_claims alter column run_ids set storage plain;
comment on table private.run_claims is
  'Who was given which runs in a call. The reaper looks through it for leases that ended, and forgets what is over.';
comment on column private.run_claims.looked_at_after is 'No lease of these runs ends before.';

-- Indexes

create index company_lanes_ready_idx on private.company_lanes (lane) include (max_concurrent_runs) where is_ready;
create index company_lanes_parked_until_idx on private.company_lanes (parked_until) where parked_until is not null;
create index waiting_runs_not_due_idx on private.waiting_runs (run_after) where not is_due;

-- Triggers: lanes

create function private.create_company_lane()
returns trigger
language plpgsql
security definer -- lanes are nobody's to write
set search_path = ''
as $$
begin
  with created as (
    insert into private.company_lanes (company_id, max_concurrent_runs) values (new.id, new.max_concurrent_runs)
    returning lane
  )
  insert into private.lane_loads (lane) select lane from created;
  return null;
end;
$$;

create trigger create_company_lane after insert on public.companies
  for each row execute function private.create_company_lane();

create function private.forget_lane()
returns trigger
language plpgsql
security definer -- the queue's tables are nobody's to write
set search_path = ''
as $$
begin
  delete from private.lane_returns where lane = old.lane;
  return null;
end;
$$;

create trigger forget_lane after delete on private.company_lanes
  for each row execute function private.forget_lane();

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
    (old.max_concurrent_runs, old.max_queued_runs, old.storage_quota_bytes, old.storage_quota_objects)
      is distinct from (new.max_concurrent_runs, new.max_queued_runs, new.storage_quota_bytes, new.storage_quota_objects))
  execute function private.change_company_lane();

insert into private.company_lanes (company_id, max_concurrent_runs) select id, max_concurrent_runs from public.companies;
insert into private.lane_loads (lane) select lane from private.company_lanes;

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
begin
  if run.status = 'pending' then
    -- Not waiting for a claim that has the queue's row and waits for the one that is being written.
    perform from private.waiting_runs w
    where w.lane = (select lane from private.company_lanes where company_id = run.company_id)
      and w.is_due in (true, false) and w.rank = -run.priority and w.run_after = run.run_after and w.run_id = run.id
    for update nowait;
    perform private.drop_waiting_run(run);
  elsif run.status = 'running' then
    perform private.end_hold(run);
  end if;
end;
$$;

create function private.lane_lock_space()
returns integer
language sql
immutable
set search_path = ''
return 1937010551;
comment on function private.lane_lock_space is 'The first key of the advisory locks under which runs are claimed; the second is the lane.';

create function private.note_claim(run public.app_runs)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into private.run_claims (executor_id, looked_at_after, run_ids)
  values (run.executor_id, run.lease_expires_at, array[run.id]);
end;
$$;

create function private.join_queue(run public.app_runs, p_may_wait boolean)
returns void
language plpgsql
set search_path = ''
as $$
declare
  run_lane constant integer := (select lane from private.company_lanes where company_id = run.company_id);
begin
  if run.status = 'pending' then
    if not p_may_wait then
      perform from private.company_lanes where lane = run_lane for no key update skip locked;
      if not found then
        perform private.wait_again(run_lane, run, run.run_after);
        return;
      end if;
    end if;
    -- As a request does it: under the lock of the lane, a claim that finds it empty cannot overlook what is added.
    update private.company_lanes
    set is_ready = is_ready or (run.run_after <= now() and parked_until is null)
    where lane = run_lane;
    insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
    values (run_lane, run.run_after <= now(), -run.priority, run.run_after, run.id);
  elsif run.status = 'running' then
    -- Not waiting for a claim, which does not wait either.
    if not pg_try_advisory_xact_lock(private.lane_lock_space(), run_lane) then
      raise lock_not_available using message = 'The company''s runs are being claimed in this moment.';
    end if;
    update private.lane_loads set held = held + 1 where lane = run_lane;
    perform private.note_claim(run);
  end if;
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
    perform private.join_queue(new, true);
    if current_setting('request.headers', true) like '%"x-idempotency-key"%' then
      perform private.remember_creation(new.id::text);
    end if;
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
