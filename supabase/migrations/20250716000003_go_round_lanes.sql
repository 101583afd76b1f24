-- The ring of companies: which are looked at by claims, and what one takes from them (20250716000000 says how).

create function private.count_held_runs(p_lane integer)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
  return (select held from private.lane_loads where lane = p_lane)
    - coalesce((select sum(runs) from private.lane_returns where lane = p_lane), 0);
end;
$$;

create function private.unload_lanes(p_lanes integer[])
returns boolean
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  with gone as (
    delete from private.lane_returns where lane = any (p_lanes) returning lane, runs
  ),
  returned as (
    select lane, sum(runs) as runs from gone group by lane
  )
  update private.lane_loads o set held = o.held - r.runs
  from returned r
  where o.lane = r.lane;
  return found;
end;
$$;
comment on function private.unload_lanes is
  'Subtracts what has ended from the loads of these lanes, whose locks the caller has. True if there was anything.';

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

create function private.wait_again(p_lane integer, run public.app_runs, p_run_after timestamptz)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  -- Whoever has the run waits for no request that is under way: the next claim after that time finds it due.
  insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
  values (p_lane, false, -run.priority, p_run_after, run.id);
end;
$$;
comment on function private.wait_again is 'Puts the run into the queue without the lock of the lane''s row.';

create function private.end_hold(run public.app_runs, p_waits_until timestamptz default null)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  freed integer;
begin
  insert into private.lane_returns (lane, runs)
  select lane, 1 from private.company_lanes where company_id = run.company_id
  returning lane into freed;
  if p_waits_until is not null then
    perform private.wait_again(freed, run, p_waits_until);
  end if;
  perform private.unpark_lane(freed);
end;
$$;
comment on function private.end_hold is 'The run is held no more: it is over, or (p_waits_until) it waits for its next attempt.';

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
    where l.parked_until is not null and private.count_held_runs(l.lane) < l.max_concurrent_runs
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
    elsif private.count_held_runs(quiet.lane) >= quiet.max_concurrent_runs then
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

create function private.look_at_clock()
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  if exists (select from private.waiting_runs where not is_due and run_after <= now())
    or exists (select from private.company_lanes where parked_until <= statement_timestamp())
  then
    perform private.wake_lanes();
  end if;
end;
$$;
comment on function private.look_at_clock is 'wake_lanes, if any time has come.';

create function private.first_place()
returns integer
language plpgsql
set search_path = ''
as $$
begin
  -- A new connection begins anywhere, lest those that make one call each all begin with the same company.
  return coalesce((select trunc(random() * max(lane)) from private.company_lanes), 0);
end;
$$;
comment on function private.first_place is 'Where a connection that has claimed nothing yet enters the ring. Then stowage.lane says where it is.';

create function private.look_again(tries integer)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  if tries = 1 then
    -- This connection may have looked a moment ago.
    perform private.look_at_clock();
  end if;
  if tries < 5 and (private.unpark_lanes() or exists (select from private.company_lanes where is_ready)) then
    -- Others have these lanes, for as long as a commit takes.
    perform pg_sleep(0.001 * tries);
    return true;
  end if;
  return false;
end;
$$;
comment on function private.look_again is 'Whether a claim that found nothing in a lap should go round once more, after a short pause.';

create function private.take_waiting_runs(p_max_runs integer)
returns uuid[]
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  -- A large claim takes several from each of fewer companies: it is cheaper, and leaves lanes to others. Where there are
  -- few runs in each, more companies are asked each time.
  lanes_at_once integer := 4 + p_max_runs / 100;
  place integer := coalesce(nullif(current_setting('stowage.lane', true), '')::integer, private.first_place());
  wanted integer;
  after integer;
  upto integer;
  lanes integer[];
  limits integer[];
  share integer;
  exhausted integer[] := '{}';
  tries integer := 1;
  taken uuid[];
  taken_lanes integer[];
  spent integer[];
  runs uuid[] := '{}';
  missing integer := p_max_runs;
  setting text;
begin
  loop
    -- In the order of the ring, until enough are locked: what comes after our place, then what comes before it.
    wanted := least(missing, lanes_at_once);
    lanes := '{}';
    limits := '{}';
    after := place;
    upto := null;
    loop
      select lanes || array_agg(lane), limits || array_agg(max_concurrent_runs) into lanes, limits
      from (
        select lane, max_concurrent_runs
        from (
          select lane, max_concurrent_runs from private.company_lanes
          where is_ready and lane > after and (upto is null or lane <= upto) order by lane
        ) ring
        where lane <> all (exhausted) and pg_try_advisory_xact_lock(private.lane_lock_space(), lane)
        limit wanted - cardinality(lanes)
      ) free;
      exit when cardinality(lanes) = wanted or after = 0;
      upto := after;
      after := 0;
    end loop;
    if lanes = '{}' then
      exit when runs <> '{}' or not private.look_again(tries);
      tries := tries + 1;
      exhausted := '{}';
      continue;
    end if;

    -- A new statement sees what the last holders of these locks committed.
    share := (missing + cardinality(lanes) - 1) / cardinality(lanes);
    with gone as (
      delete from private.waiting_runs
      where ctid = any (array(
        select w.ctid
        from unnest(lanes, limits) as l (lane, max_concurrent_runs),
        lateral (
          select q.ctid from private.waiting_runs q
          where q.lane = l.lane and q.is_due
          order by q.rank, q.run_after, q.run_id
          limit coalesce((
            select greatest(0, least(share, l.max_concurrent_runs - o.held))
            from private.lane_loads o where o.lane = l.lane), 0)
          for update skip locked
        ) w
        limit missing))
      returning run_id, lane
    ),
    loaded as (
      update private.lane_loads o set held = o.held + g.runs
      from (select lane, count(*) as runs from gone group by lane) g
      where o.lane = g.lane
    )
    select array_agg(g.run_id), array_agg(g.lane) into taken, taken_lanes from gone g;
    runs := runs || taken;
    missing := p_max_runs - coalesce(cardinality(runs), 0);
    place := lanes[cardinality(lanes)];
    exit when missing = 0;
    lanes_at_once := 2 * lanes_at_once;

    spent := array(
      select l.lane from unnest(lanes) as l (lane)
      where (select count(*) from unnest(taken_lanes) as t (lane) where t.lane = l.lane) < share);
    if not private.unload_lanes(spent) then
      exhausted := exhausted || spent;
      perform private.settle_lanes(spent);
    end if;
  end loop;

  setting := set_config('stowage.lane', place::text, false);
  return runs;
end;
$$;
comment on function private.take_waiting_runs is
  'Takes up to so many due runs out of the queue, round the ring of companies, and returns their ids: for start_runs and hand_out_runs.';

create function private.take_waiting_run()
returns uuid
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  place integer := coalesce(nullif(current_setting('stowage.lane', true), '')::integer, private.first_place());
  wrapped boolean := false;
  tries integer := 1;
  run_limit integer;
  taken uuid;
  setting text;
begin
  loop
    -- In the order of the ring, until one is locked.
    select lane, max_concurrent_runs into place, run_limit
    from (
      select lane, max_concurrent_runs from private.company_lanes where is_ready and lane > place order by lane
    ) ring
    where pg_try_advisory_xact_lock(private.lane_lock_space(), lane)
    limit 1;
    if not found then
      place := 0;
      if wrapped then
        exit when not private.look_again(tries);
        tries := tries + 1;
      end if;
      wrapped := true;
      continue;
    end if;
    -- A new statement sees what the last holder of the lock committed.
    with gone as (
      delete from private.waiting_runs
      where ctid = (
        select q.ctid from private.waiting_runs q
        where q.lane = place and q.is_due
          and (select o.held from private.lane_loads o where o.lane = place) < run_limit
        order by q.rank, q.run_after, q.run_id
        limit 1
        for update skip locked)
      returning run_id
    ),
    loaded as (
      update private.lane_loads set held = held + 1 where lane = place and exists (select from gone)
    )
    select run_id into taken from gone;
    exit when found;
    if private.unload_lanes(array[place]) then
      place := place - 1;
    else
      perform private.settle_lanes(array[place]);
    end if;
  end loop;
  setting := set_config('stowage.lane', place::text, false);
  return taken;
end;
$$;
comment on function private.take_waiting_run is 'take_waiting_runs for one run, which most claims ask for: its id, or null.';
