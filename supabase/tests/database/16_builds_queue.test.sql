-- The queue of builds: claiming, holding, finishing, giving up.
begin;
\ir tests.inc
select plan(57);

-- What else the database holds shall wait, and keep what it has.
update app_builds set build_after = 'infinity' where build_status = 'pending';
update app_builds set lease_expires_at = 'infinity' where build_status = 'building' and lease_expires_at is not null;

-- The names of the world's builds that a call got, in order.
create function pg_temp.got(call text, actor text default 'service') returns text language plpgsql as $$
declare
  names text;
begin
  perform pg_temp.become(actor);
  execute pg_temp.fill(format(
    $q$ select coalesce(string_agg(w.name, ', ' order by w.name), 'none')
        from %s c join world w on w.value = to_jsonb(c) ->> 'id' $q$, call)) into names;
  perform pg_temp.become('operator');
  return names;
end;
$$;
create function pg_temp.build_of(name text) returns app_builds language sql as $$
  select b from app_builds b where id = pg_temp.id(name)::uuid
$$;
create function pg_temp.ask(new_name text, app text, age interval, attempts integer default 3) returns void language sql as $$
  with asked as (
    insert into app_builds (app_id, build_version, created_at, build_after, max_attempts)
    values (pg_temp.id(app)::uuid, '1.0.0', now() - age, now() - age, attempts)
    returning id)
  select pg_temp.remember(new_name, id) from asked
$$;
create function pg_temp.finish(arguments text) returns text language sql immutable as $$
  select format($q$ select finish_app_build(%s) $q$, arguments)
$$;

-- Who may

select pg_temp.refuses(actor, format('select %s', call), '42501', format('permission denied for function %s', split_part(call, '(', 1)),
  'cannot call ' || split_part(call, '(', 1))
from unnest(array['anonymous', 'publisher owner', 'superadmin']) actor,
  unnest(array[$$claim_app_builds('x')$$, $$extend_app_build_leases('x', '{}')$$,
    $$finish_app_build(gen_random_uuid(), 'x', 'failed')$$, $$release_app_builds('x', '{}')$$, 'release_expired_app_builds()']) call;
select pg_temp.refuses('service', format($$ select claim_app_builds(%s) $$, arguments), 'SW001', message, 'cannot claim with ' || arguments, field)
from (values
  ($$'x', 0$$, 'max_builds takes 1 to 1000.', 'max_builds'), ($$'x', 1001$$, 'max_builds takes 1 to 1000.', 'max_builds'),
  ($$'x', 1, '0 seconds'$$, 'lease takes 1 second to 1 day.', 'lease'), ($$'', 1$$, 'executor_id takes 1 to 200 characters.', 'executor_id')
) bad (arguments, message, field);

-- A publisher's queue has a limit

select pg_temp.allows('superadmin', $$
  update companies set max_queued_builds = (
    select count(*) from app_builds b join applications a on a.id = b.app_id
    where a.publisher_company_id = '{publisher company}' and b.build_status = 'pending') + 1
  where id = '{publisher company}' $$, 'lets one build more wait than do');
select pg_temp.refuses('publisher admin', $$
  insert into app_builds (app_id, build_version) values ('{private app}', '1.0.0'), ('{public app}', '1.0.0') $$, 'SW095',
  format('The publisher has %s builds waiting, as many as it may.', (select max_queued_builds from companies where id = pg_temp.id('publisher company')::uuid)),
  'cannot ask for two at once', 'app_id');
select pg_temp.learn('one more', 'publisher admin', $$ insert into app_builds (app_id, build_version) values ('{private app}', '1.0.0') returning id $$);
select pg_temp.refuses(actor, $$ insert into app_builds (app_id, build_version) values ('{public app}', '1.0.0') $$, 'SW095',
  format('The publisher has %s builds waiting, as many as it may.', (select max_queued_builds from companies where id = pg_temp.id('publisher company')::uuid)),
  'cannot ask for a second, of another app', 'app_id')
from unnest(array['publisher admin', 'service']) actor;
select pg_temp.refuses('outsider', $$ insert into app_builds (app_id, build_version) values ('{public app}', '1.0.0') $$, '42501',
  'new row violates row-level security policy for table "app_builds"', 'cannot learn that the queue is full');
select pg_temp.allows('publisher admin', $$
  update app_builds set build_status = 'cancelled' where id = '{one more}' $$, 'cancels what waits');
select pg_temp.allows('publisher admin', $$ insert into app_builds (app_id, build_version) values ('{private app}', '1.0.0') $$, 'asks for another one in its place');
update app_builds set build_status = 'cancelled' where build_status = 'pending' and build_after <= now()
  and requested_by = pg_temp.id('publisher admin')::uuid;
update companies set max_queued_builds = 50 where id = pg_temp.id('publisher company')::uuid;

-- Claiming: the oldest first, but publishers take turns

select pg_temp.ask('oldest', 'private app', '5 minutes');
select pg_temp.ask('older', 'public app', '4 minutes');
select pg_temp.ask('stranger', 'outsider app', '3 minutes');
select pg_temp.ask('later', 'private app', '-5 minutes');
select is(pg_temp.got($$claim_app_builds('{executor}', 1, '1 minute')$$), 'oldest', 'the build asked for first is claimed first');
select is(pg_temp.got($$claim_app_builds('other', 1, '1 minute')$$), 'stranger', 'then one of a publisher of whom nothing is being built');
select is(pg_temp.got($$claim_app_builds('{executor}', 10, '1 minute')$$), 'older', 'then what is left; one that waits for its time is not');
select pg_temp.answers('service', $$
  select concat_ws(' ', build_status, attempt, executor_id = '{executor}', started_at = now(), lease_expires_at = now() + interval '1 minute',
    build_logs = 'app_{private app}/builds/{oldest}/build.log')
  from app_builds where id = '{oldest}' $$, 'building 1 t t t t', 'sees what a claim writes');
select pg_temp.answers('superadmin', $$ select last_seen_at = now() from executors where id = '{executor}' $$, 'true', 'sees the executor, which was seen');
select pg_temp.ask('suspended', 'unassigned app', '6 minutes');
update applications set status = 'suspended' where id = pg_temp.id('unassigned app')::uuid;
select is(pg_temp.got($$claim_app_builds('{executor}', 10)$$), 'none', 'nothing of a suspended app is claimed');

-- Holding

select pg_temp.answers('service', $$
  select count(*) || ' ' || bool_and(build_id = '{oldest}' and lease_expires_at = now() + interval '1 hour')
  from extend_app_build_leases('{executor}', '{{oldest},{stranger},{later}}', '1 hour') $$, '1 true',
  'extends what the executor holds, and nothing else');
select pg_temp.refuses('service', $$ select extend_app_build_leases('{executor}', '{}', '2 days') $$, 'SW001',
  'lease takes 1 second to 1 day.', 'cannot extend for days', 'lease');
select pg_temp.allows('publisher admin', $$ update app_builds set build_status = 'cancelled' where id = '{older}' $$, 'cancels a build that is going');
select pg_temp.answers('service', $$ select lease_expires_at is null from app_builds where id = '{older}' $$, 'true', 'sees no lease on it');
select pg_temp.finds_nothing('service', $$ select from extend_app_build_leases('{executor}', '{{older}}') $$, 'is told by the heartbeat that it is not held');

-- Finishing

select pg_temp.refuses('service', pg_temp.finish(arguments), 'SW001', message, 'cannot finish with ' || arguments, field)
from (values
  ($$'{oldest}', '{executor}', 'building'$$, 'status takes success, failed or cancelled.', 'status'),
  ($$'{oldest}', '{executor}', null$$, 'status takes success, failed or cancelled.', 'status'),
  ($$'{oldest}', '{executor}', 'success', build_path => 'app_{private app}/builds/{oldest}/build.tar.gz'$$,
    'A successful build has build_path, file_size, checksum and source_checksum.', 'build_path')) bad (arguments, message, field);
select pg_temp.answers('service', pg_temp.finish(arguments), 'not_held', 'does not finish with ' || arguments)
from unnest(array[$$'{oldest}', 'other', 'failed'$$, $$'{oldest}', '{executor}', 'failed', attempt => 2$$,
  $$'{older}', '{executor}', 'failed'$$, $$'{later}', '{executor}', 'failed'$$]) arguments;
create temp table success_arguments on commit drop as select pg_temp.fill(format($$'{oldest}', '{executor}', 'success',
  build_path => 'app_{private app}/builds/{oldest}/build.tar.gz', file_size => 12, checksum => '%s', source_checksum => '%s', attempt => 1$$,
  pg_temp.checksum('build'), pg_temp.checksum('source'))) as text;
select pg_temp.answers('service', pg_temp.finish(text), 'finished', 'finishes what it holds') from success_arguments;
select pg_temp.answers('service', pg_temp.finish(text), 'not_held', 'does not finish it twice') from success_arguments;
select pg_temp.answers('customer member', $$
  select concat_ws(' ', build_status, file_size, checksum is not null, completed_at is not null) from app_builds where id = '{oldest}' $$,
  'success 12 t t', 'sees the build');
select pg_temp.refuses('service', $$ update app_builds set checksum = null where id = '{oldest}' $$, 'SW022',
  'A build that is success does not change.', 'cannot change the checksum of a finished build', 'build_status');

-- Trying again

select pg_temp.ask('flaky', 'private app', '2 minutes', 2);
select pg_temp.got($$claim_app_builds('{executor}', 10)$$);
select pg_temp.answers('service', $$ select finish_app_build('{flaky}', '{executor}', 'failed', 'registry away', retry => true) $$, 'retrying',
  'fails a build for now');
select is((b).build_status || ' ' || ((b).build_after > now())::text || ' ' || ((b).attempt_history -> 0 ->> 'outcome') || ' ' || (b).error_message,
  'pending true failed registry away', 'it waits for its next attempt') from pg_temp.build_of('flaky') b;
update app_builds set build_after = now() where id = pg_temp.id('flaky')::uuid;
select pg_temp.got($$claim_app_builds('{executor}', 10)$$);
select pg_temp.answers('service', $$ select finish_app_build('{flaky}', '{executor}', 'failed', 'registry away', retry => true) $$, 'finished',
  'fails it for good on the last attempt');

-- Giving back

select pg_temp.ask('unlucky', 'private app', '1 minute', 1);
select pg_temp.got($$claim_app_builds('{executor}', 10)$$);
select pg_temp.answers('service', $$ select count(*)::text from release_app_builds('{executor}', '{{unlucky},{stranger}}') $$, '1',
  'gives back what the executor holds, and nothing else');
select is((b).build_status || ' ' || (b).attempt || ' ' || ((b).attempt_history -> 0 ->> 'outcome'), 'pending 0 released',
  'the attempt is not counted') from pg_temp.build_of('unlucky') b;
select pg_temp.got($$claim_app_builds('{executor}', 10)$$);
select is(pg_temp.got('release_expired_app_builds()'), 'none', 'nothing is taken from who holds a lease');
update app_builds set lease_expires_at = now() - interval '1 second' where id in (pg_temp.id('unlucky')::uuid, pg_temp.id('stranger')::uuid);
select is(pg_temp.got('release_expired_app_builds()'), 'stranger, unlucky', 'what lost executors held is given back');
select is((b).build_status || ' ' || ((b).build_after > now())::text || ' ' || ((b).attempt_history -> 0 ->> 'outcome'), 'pending true lost',
  'one with attempts left waits') from pg_temp.build_of('stranger') b;
select is((b).build_status || ' ' || (b).error_message, pg_temp.fill('failed Executor {executor} was lost during attempt 1.'),
  'one without fails, and says why') from pg_temp.build_of('unlucky') b;

select * from finish();
rollback;
