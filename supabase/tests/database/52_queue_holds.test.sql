-- What is held: until when, by whom, and how many a company; and the ids that runs are claimed in the order of.
begin;
\ir tests.inc
\ir queue.inc
select plan(101);

-- So much time goes by: whatever the queue has a time for is that much nearer, or longer ago.
create function pg_temp.pass(elapsed interval) returns void language sql as $$
  select set_config('stowage.queue', 'on', true);
  update app_runs set lease_expires_at = lease_expires_at - elapsed, started_at = started_at - elapsed where status = 'running';
  update app_runs set run_after = run_after - elapsed where status = 'pending';
  update private.waiting_runs set run_after = run_after - elapsed;
  update private.run_claims set looked_at_after = looked_at_after - elapsed;
  select set_config('stowage.queue', '', true);
$$;
-- What the reaper took of the world's runs, and what became of each.
create function pg_temp.reaped() returns text language plpgsql as $$
declare
  names text;
begin
  perform pg_temp.become('service');
  select coalesce(string_agg(w.name || ' ' || r.status, ', ' order by w.name), 'none') into names
  from release_expired_app_runs() r join world w on w.value = r.id::text;
  perform pg_temp.become('operator');
  return names;
end;
$$;
-- The runs of a company that are running, are counted as held, and are in the queue.
create function pg_temp.load_of(company text) returns text language sql as $$
  select format('%s running, %s counted, %s waiting',
    (select count(*) from app_runs r where r.company_id = l.company_id and r.status = 'running'),
    private.count_held_runs(l.lane),
    (select count(*) from private.waiting_runs w where w.lane = l.lane))
  from private.company_lanes l where l.company_id = pg_temp.id(company)::uuid
$$;
-- Runs that are claimed in this order, whatever their ids.
create function pg_temp.create_runs(names text[], company text) returns void language sql as $$
  select pg_temp.create_run(name, 'private app', company) from unnest(names) name;
  update app_runs set priority = -n from unnest(names) with ordinality as names (name, n) where id = pg_temp.id(name)::uuid
$$;
-- Nothing of the world waits or is held any more.
create function pg_temp.end_all() returns void language sql as $$
  update app_runs set status = 'cancelled'
  where status = 'pending' and run_after <> 'infinity' or status = 'running' and lease_expires_at <> 'infinity'
$$;
-- One result, as JSON, of a run of the world.
create function pg_temp.success(run text, attempt integer default null) returns text language sql as $$
  select jsonb_strip_nulls(jsonb_build_array(
    jsonb_build_object('run_id', pg_temp.id(run), 'attempt', attempt, 'status', 'success')))::text
$$;
-- What a turn answered: the one outcome, and the names of the runs it got with their attempts.
create function pg_temp.told(answer jsonb) returns text language sql as $$
  select (select string_agg(value, ' ') from jsonb_each_text(answer -> 'finished')) || '; ' || coalesce(
    (select string_agg(w.name || ' ' || (c ->> 'attempt'), ', ' order by w.name)
     from jsonb_array_elements(answer -> 'claimed') c join world w on w.value = c ->> 'id'), 'none')
$$;

select pg_temp.create_company('narrow company');
update companies set max_concurrent_runs = 1 where id = pg_temp.id('narrow company')::uuid;
insert into app_assignments (app_id, company_id) values (pg_temp.id('private app')::uuid, pg_temp.id('narrow company')::uuid);

-- A lease that ends earlier than the claim said

select pg_temp.create_run('beaten', 'private app', 'customer company');
select is(pg_temp.claimed($$'{executor}', 1, '10 minutes'$$), 'beaten', 'a run is claimed for ten minutes');
select pg_temp.answers('service', $$
  select lease_expires_at = now() + interval '1 minute' from extend_app_run_leases('{executor}', array['{beaten}']::uuid[], '1 minute') $$,
  'true', 'shortens the lease by a heartbeat');
select ok(pg_temp.queue_is_in_step(), 'the earlier end is noted');
select pg_temp.pass('50 seconds');
select is(pg_temp.reaped(), 'none', 'the run is held until then');
select pg_temp.pass('20 seconds');
select is(pg_temp.reaped(), 'beaten pending', 'and taken back after');

select pg_temp.end_all();
select pg_temp.create_run('shortened', 'private app', 'customer company');
select is(pg_temp.claimed($$'{executor}', 1, '10 minutes'$$), 'shortened', 'another one is claimed for ten minutes');
select pg_temp.allows('service', $$ update app_runs set lease_expires_at = now() + interval '1 minute' where id = '{shortened}' $$,
  'shortens the lease itself');
select ok(pg_temp.queue_is_in_step(), 'that is noted too');
select pg_temp.pass('50 seconds');
select is(pg_temp.reaped(), 'none', 'that run is held until then');
select pg_temp.pass('20 seconds');
select is(pg_temp.reaped(), 'shortened pending', 'and taken back after');

select pg_temp.end_all();
select pg_temp.create_run('prolonged', 'private app', 'customer company');
select is(pg_temp.claimed($$'{executor}', 1, '1 minute'$$), 'prolonged', 'a third one is claimed for a minute');
select pg_temp.allows('service', $$ select from extend_app_run_leases('{executor}', array['{prolonged}']::uuid[], '10 minutes') $$,
  'prolongs the lease');
select pg_temp.pass('2 minutes');
select is(pg_temp.reaped(), 'none', 'the reaper leaves it, and looks again later');
select pg_temp.allows('service', $$ select from extend_app_run_leases('{executor}', array['{prolonged}']::uuid[], '1 minute') $$,
  'shortens the lease again');
select pg_temp.pass('2 minutes');
select is(pg_temp.reaped(), 'prolonged pending', 'the reaper does not wait for the time it had in mind');
select is(pg_temp.load_of('customer company'), '0 running, 0 counted, 1 waiting', 'what was taken back is not counted as held');

-- One run, two claims of one executor

select pg_temp.end_all();
select pg_temp.create_run('again', 'private app', 'customer company');
select is(pg_temp.claimed($$'{executor}', 1, '1 minute'$$), 'again', 'a run is claimed');
select pg_temp.allows('service', $$ select release_app_runs('{executor}', array['{again}']::uuid[]) $$, 'gives it back');
select is(pg_temp.load_of('customer company'), '0 running, 0 counted, 1 waiting', 'it waits');
select is(pg_temp.claimed($$'{executor}', 1, '1 minute'$$), 'again', 'the same executor claims it again');
select is(pg_temp.load_of('customer company'), '1 running, 1 counted, 0 waiting', 'it is held once');
select is((select count(*) from private.run_claims where pg_temp.id('again')::uuid = any (run_ids)), 2::bigint, 'though two claims name it');
select pg_temp.pass('2 minutes');
select is(pg_temp.reaped(), 'again pending', 'it is taken back once');
select is(
  (select string_agg(entry ->> 'outcome', ', ' order by n) from app_runs, jsonb_array_elements(attempt_history) with ordinality as e (entry, n)
   where id = pg_temp.id('again')::uuid), 'released, lost', 'its history has each end once');
select is(pg_temp.load_of('customer company'), '0 running, 0 counted, 1 waiting', 'it waits once and is counted no more');
select is(pg_temp.reaped(), 'none', 'there is nothing left to take back');

-- The journal of claims

select pg_temp.end_all();
create function pg_temp.journal() returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', cardinality(run_ids), 'runs, looked at in', looked_at_after - now()), ', '), 'nothing')
  from private.run_claims where executor_id = 'keeper'
$$;
select pg_temp.create_runs(array['brief', 'lasting'], 'customer company');
select is(pg_temp.claimed($$'keeper', 2, '1 minute'$$), 'brief, lasting', 'two runs are claimed in a call');
select pg_temp.answers('service', $$ select finish_app_run('{brief}', 'keeper', 'success') $$, 'finished', 'finishes one');
select pg_temp.allows('service', $$ select from extend_app_run_leases('keeper', array['{lasting}']::uuid[], '10 minutes') $$, 'prolongs the other');
select is(pg_temp.journal(), '2 runs, looked at in 00:01:00', 'the claim is noted with the end of its leases');
select pg_temp.pass('2 minutes');
select private.forget_claims(1000);
select is(pg_temp.journal(), '2 runs, looked at in 00:08:00', 'it is kept until the one that lasts may end');
select is(pg_temp.reaped(), 'none', 'which is not taken back');
select pg_temp.answers('service', $$ select finish_app_run('{lasting}', 'keeper', 'success') $$, 'finished', 'finishes the other');
select pg_temp.pass('9 minutes');
select private.forget_claims(1000);
select is(pg_temp.journal(), 'nothing', 'then it is forgotten');

-- A company that runs one at a time gets its next run with the result of the last, whether or not a claim saw it full

select pg_temp.end_all();
select pg_temp.create_runs(array['narrow a', 'narrow b', 'narrow c', 'narrow d', 'narrow e'], 'narrow company');
select is(pg_temp.claimed($$'batcher'$$), 'narrow a', 'a company that may run one runs one');
select is(pg_temp.told(pg_temp.turn(pg_temp.success('narrow a', 1), 1)), 'finished; narrow b 1', 'its result brings the next one');
select is(pg_temp.claimed($$'batcher'$$), 'none', 'a claim finds the company full');
select is(pg_temp.told(pg_temp.turn(pg_temp.success('narrow b', 1), 1)), 'finished; narrow c 1', 'the next result brings the next run all the same');
select is(pg_temp.told(pg_temp.turn(pg_temp.success('narrow c', 1), 5)), 'finished; narrow d 1', 'who asks for five gets one');
select is(pg_temp.claimed($$'batcher', 5$$), 'none', 'a claim of five finds the company full');
select is(pg_temp.told(pg_temp.turn(pg_temp.success('narrow d', 1), 5)), 'finished; narrow e 1', 'and a result brings the next run');
select is(pg_temp.load_of('narrow company'), '1 running, 1 counted, 0 waiting', 'one is held at the end');

-- A limit that falls below what is held

select pg_temp.end_all();
update companies set max_concurrent_runs = 3 where id = pg_temp.id('narrow company')::uuid;
select pg_temp.create_runs(array['limited a', 'limited b', 'limited c', 'limited d', 'limited e'], 'narrow company');
select is(pg_temp.claimed($$'batcher', 5$$), 'limited a, limited b, limited c', 'a company that may run three runs three');
update companies set max_concurrent_runs = 1 where id = pg_temp.id('narrow company')::uuid;
select is(pg_temp.claimed($$'batcher', 5$$), 'none', 'it gets nothing when it may run one');
select is(pg_temp.told(pg_temp.turn(pg_temp.success('limited a'), 1)), 'finished; none', 'nor when two are left');
select is(pg_temp.told(pg_temp.turn(pg_temp.success('limited b'), 5)), 'finished; none', 'nor when one is left');
select is(pg_temp.claimed($$'batcher'$$), 'none', 'nor for whoever asks then');
select is(pg_temp.told(pg_temp.turn(pg_temp.success('limited c'), 5)), 'finished; limited d 1', 'it gets one when none is left');
select is(pg_temp.load_of('narrow company'), '1 running, 1 counted, 1 waiting', 'and no more than that');

-- A result that comes too late, for a run that the same turn takes again

select pg_temp.end_all();
select pg_temp.create_run('stale', 'private app', 'customer company');
update app_runs set max_attempts = 5 where id = pg_temp.id('stale')::uuid;
select is(pg_temp.claimed($$'batcher', 1, '1 minute'$$), 'stale', 'a run is claimed');
create function pg_temp.lose_and_answer(attempt integer, max_runs integer) returns text language plpgsql as $$
begin
  perform pg_temp.pass('2 minutes');
  if pg_temp.reaped() <> 'stale pending' then
    return 'The run is not lost.';
  end if;
  perform pg_temp.pass('1 hour');
  return pg_temp.told(pg_temp.turn(pg_temp.success('stale', attempt), max_runs));
end;
$$;
select is(pg_temp.lose_and_answer(1, 1), 'not_held; stale 2', 'the result of a lost attempt ends nothing, and the run is tried again');
select is(pg_temp.lose_and_answer(2, 5), 'not_held; stale 3', 'so it is for whoever asks for five');
select is(pg_temp.lose_and_answer(null, 1), 'not_held; stale 4', 'and for a result that does not say of which attempt it is');
select is((select concat_ws(' ', status, attempt, executor_id, lease_expires_at = now() + interval '60 seconds', completed_at is null)
  from app_runs where id = pg_temp.id('stale')::uuid), 'running 4 batcher t t', 'it is running, for the fourth time');
select is(pg_temp.load_of('customer company'), '1 running, 1 counted, 0 waiting', 'it is held once');
select ok(pg_temp.queue_is_in_step(), 'a late result leaves the queue in step');

-- A lost run that was asked to stop

select pg_temp.end_all();
select pg_temp.create_run('unwanted', 'private app', 'customer company');
select is(pg_temp.claimed($$'batcher', 1, '1 minute'$$), 'unwanted', 'a run is claimed');
select pg_temp.answers('customer member', $$ select status from cancel_app_run('{unwanted}') $$, 'running', 'asks it to stop');
select pg_temp.pass('2 minutes');
select is(pg_temp.reaped(), 'unwanted cancelled', 'lost, it is cancelled, though attempts are left');
select is((select concat_ws(' ', attempt, completed_at = now(), lease_expires_at is null, attempt_history -> 0 ->> 'outcome')
  from app_runs where id = pg_temp.id('unwanted')::uuid), '1 t t lost', 'it ended with its first attempt');
select is(pg_temp.load_of('customer company'), '0 running, 0 counted, 0 waiting', 'nothing of it is left');

-- Runs that the service starts, gives back, hands over and ends by itself

select pg_temp.end_all();
create function pg_temp.changes(change text, expected text, description text) returns setof text language plpgsql as $$
begin
  return next pg_temp.allows('service', change, description);
  return next is(pg_temp.load_of('customer company'), expected, description || ': the load follows');
  return next ok(pg_temp.queue_is_in_step(), description || ': the queue is in step');
end;
$$;
select pg_temp.create_run(name, 'private app', 'customer company') from unnest(array['direct', 'deleted']) name;
create function pg_temp.start(run text) returns text language sql as $$
  select format($q$ update app_runs set status = 'running', executor_id = 'direct', attempt = attempt + 1, started_at = now(),
    lease_expires_at = now() + interval '1 minute' where id = '{%s}' $q$, run)
$$;
select pg_temp.changes(pg_temp.start('direct'), '1 running, 1 counted, 1 waiting', 'starts a run');
select pg_temp.changes($$ update app_runs set executor_id = 'relay' where id = '{direct}' $$, '1 running, 1 counted, 1 waiting',
  'hands it to another executor');
select pg_temp.changes($$ update app_runs set status = 'pending', lease_expires_at = null where id = '{direct}' $$,
  '0 running, 0 counted, 2 waiting', 'gives it back');
select pg_temp.changes(pg_temp.start('direct'), '1 running, 1 counted, 1 waiting', 'starts it again');
select pg_temp.changes($$ update app_runs set status = 'success' where id = '{direct}' $$, '0 running, 0 counted, 1 waiting', 'ends it');
select pg_temp.changes(pg_temp.start('deleted'), '1 running, 1 counted, 0 waiting', 'starts another one');
select pg_temp.changes($$ delete from app_runs where id = '{deleted}' $$, '0 running, 0 counted, 0 waiting', 'deletes it');
select pg_temp.create_runs(array['handed over', 'taken'], 'customer company');
select is(pg_temp.claimed($$'batcher', 2, '1 minute'$$), 'handed over, taken', 'two runs are claimed');
select pg_temp.changes($$ update app_runs set executor_id = 'relay' where id = '{handed over}' $$, '2 running, 2 counted, 0 waiting',
  'hands a claimed run to another executor');
select pg_temp.changes($$ update app_runs set status = 'pending', lease_expires_at = null where id = '{taken}' $$,
  '1 running, 1 counted, 1 waiting', 'gives a claimed run back');
select is(pg_temp.told(pg_temp.turn(pg_temp.success('handed over'), 1)), 'not_held; taken 2',
  'who had the run cannot finish it, and claims the one that was given back');
select pg_temp.pass('55 seconds');
select pg_temp.allows('service', $$ select from extend_app_run_leases('batcher', array['{taken}']::uuid[], '1 minute') $$, 'keeps that one');
select pg_temp.pass('10 seconds');
select is(pg_temp.reaped(), 'handed over pending', 'the lease of who got the run ends as that of a claim does');
select pg_temp.changes($$ update app_runs set status = 'failed' where id = '{taken}' $$, '0 running, 0 counted, 1 waiting', 'ends a claimed run');

-- Ids: of version 7, by the time of the call, and in a call by the order of what was asked for

select pg_temp.end_all();
create temporary table asked (nth integer, place bigint, id uuid, began_at timestamptz, ended_at timestamptz);
do $$
declare
  began_at timestamptz;
begin
  perform pg_temp.become('service');
  for nth in 1 .. 40 loop
    began_at := clock_timestamp();
    create temporary table answered on commit drop as
    select r.ordinality, r.id from request_app_runs((
      select jsonb_agg(jsonb_build_object(
        'app_id', pg_temp.id('private app'), 'run_type', case n % 2 when 0 then 'manual' else 'test' end,
        'company_id', pg_temp.id(case n % 3 when 0 then 'customer company' else 'publisher company' end), 'priority', n % 5)
        order by n)
      from generate_series(1, case nth when 20 then 300 else 3 end) n)) with ordinality as r (id, ordinality)
    where nth % 2 = 0
    union all
    select 1, r.id from request_app_run(pg_temp.id('private app')::uuid, pg_temp.id('customer company')::uuid) r where nth % 2 = 1;
    perform pg_temp.become('operator');
    insert into asked select nth, ordinality, id, began_at, clock_timestamp() from answered;
    drop table answered;
    perform pg_temp.become('service');
  end loop;
  perform pg_temp.become('operator');
end;
$$;
select is_empty($$ select id from asked where id::text !~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' $$,
  'ids have the version and the variant of UUIDv7');
select is_empty($$
  select id from asked
  where ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint
    not between floor(date_part('epoch', began_at) * 1000) and ceil(date_part('epoch', ended_at) * 1000) $$,
  'they begin with the milliseconds of the call');
select is(
  (select concat_ws(' ', count(*) > 0, count(*) filter (where a.id >= b.id))
   from asked a join asked b on a.ended_at + interval '1 millisecond' <= b.began_at), 't 0', 'a later call has greater ids');
select is((select array_agg(place order by id) from asked where nth = 20), array(select generate_series(1, 300)::bigint),
  'the ids of one call ascend in the order of what was asked for, whatever differs');

-- A company that is deleted

select pg_temp.end_all();
select pg_temp.learn('narrow lane', 'operator', $$ select lane from private.company_lanes where company_id = '{narrow company}' $$);
select is((select count(*) from private.lane_loads where lane = pg_temp.id('narrow lane')::integer), 1::bigint, 'a company has a load');
select pg_temp.create_run('waiting', 'private app', 'narrow company');
select pg_temp.create_run('running', 'private app', 'narrow company', 'running');
delete from app_runs where company_id = pg_temp.id('narrow company')::uuid;
delete from companies where id = pg_temp.id('narrow company')::uuid;
select is(
  (select concat_ws(' ', (select count(*) from private.company_lanes where lane = narrow), (select count(*) from private.lane_loads where lane = narrow),
    (select count(*) from private.waiting_runs where lane = narrow))
   from (select pg_temp.id('narrow lane')::integer) l (narrow)), '0 0 0', 'which goes with it, as do its lane and what waited');

select * from finish();
rollback;
