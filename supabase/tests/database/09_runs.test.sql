-- Runs as rows: what may be inserted, how a run lives, and that a finished one never changes.
begin;
\ir tests.inc
select plan(113);

-- A direct insert

select pg_temp.learn('run', 'service', $$
  insert into app_runs (app_id, company_id) values ('{private app}', '{customer company}') returning id $$);
select pg_temp.answers('service', $$
  select concat_ws(' ', version, run_type, status, priority, attempt, max_attempts, run_after = now(), config, attempt_history)
  from app_runs where id = '{run}' $$, '1.0.0 manual pending 0 0 3 t {} []', 'inserts a run of the newest published version');
select pg_temp.answers('superadmin', $$
  insert into app_runs (app_id, company_id, version) values ('{private app}', '{customer company}', '1.1.0')
  returning version || ' ' || (requested_by = '{superadmin}') $$, '1.1.0 true', 'inserts a run of a deprecated version');
select pg_temp.allows('service', format($$
  insert into app_runs (app_id, company_id, run_type) values ('{private app}', '{customer company}', '%s') $$, type), 'inserts a run of type ' || type)
from unnest(array['manual', 'cron', 'webhook', 'test']) type;
select pg_temp.allows('service', $$ insert into app_runs (app_id, company_id) values ('{private app}', '{publisher company}') $$,
  'inserts a run of the publisher itself, which needs no assignment');
select pg_temp.create_version('private app', '10.0.0', 'published');
select pg_temp.create_version('private app', '9.0.0', 'published');
select pg_temp.create_version('private app', '11.0.0-rc.1', 'published');
select pg_temp.answers('service', $$ insert into app_runs (app_id, company_id) values ('{private app}', '{customer company}') returning version $$,
  '11.0.0-rc.1', 'gets the greatest published version, by precedence and not by text');

-- What can be run

select pg_temp.refuses(actor, format($$
  insert into app_runs (app_id, company_id, version, run_type) values ('{private app}', '{customer company}', '%s', '%s') $$, version, type), 'SW040',
  format('The app has no released version %s.', version), format('cannot insert a %s run of %s', type, what), 'version')
from unnest(array['service', 'superadmin']) actor, (values
  ('2.0.0', 'manual', 'a draft'), ('2.0.0', 'test', 'a draft for a customer'), ('0.9.0', 'manual', 'an archived version'),
  ('0.9.0', 'test', 'an archived version'), ('7.7.7', 'manual', 'a version that does not exist')) bad (version, type, what);
select pg_temp.allows('service', $$
  insert into app_runs (app_id, company_id, version, run_type) values ('{private app}', '{publisher company}', '2.0.0', 'test') $$,
  'inserts a test run of a draft for its publisher');
select pg_temp.refuses('service', $$
  insert into app_runs (app_id, company_id, version) values ('{private app}', '{publisher company}', '2.0.0') $$, 'SW040',
  'The app has no released version 2.0.0.', 'cannot insert an ordinary run of a draft, even for its publisher', 'version');
select pg_temp.create_app('bare app', 'publisher company');
select pg_temp.refuses('service', $$ insert into app_runs (app_id, company_id) values ('{bare app}', '{publisher company}') $$, 'SW040',
  'The app has no published version.', 'cannot insert a run of an app without a published version', 'version');
select pg_temp.refuses('service', format($$ insert into app_runs (app_id, company_id) values (%s) $$, ids), 'SW040',
  'The app is not active, or it is not assigned to this company.', 'cannot insert a run of ' || what, 'app_id')
from (values
  ($$'{unassigned app}', '{customer company}'$$, 'an app that is not assigned'),
  ($$'{private app}', '{outsider company}'$$, 'an app for a company that it is not assigned to'),
  (format($$'%s', '{customer company}'$$, gen_random_uuid()), 'an app that does not exist'),
  (format($$'{private app}', '%s'$$, gen_random_uuid()), 'a company that does not exist')) bad (ids, what);
select pg_temp.refuses('service', format($$
  insert into app_runs (app_id, company_id, status) values ('{private app}', '{customer company}', '%s') $$, status), 'SW022',
  'A run begins as pending.', 'cannot insert a run that is ' || status, 'status')
from unnest(array['running', 'success', 'failed', 'cancelled', 'timeout']) status;

-- Every change of status

create temp table status_changes on commit drop as
select old_status, new_status, 'run ' || translate(row_number() over (order by old_status, new_status)::text, '0123456789', 'abcdefghij') as run,
  (old_status, new_status) in (
    ('pending', 'running'), ('pending', 'cancelled'), ('pending', 'failed'), ('running', 'pending'), ('running', 'success'),
    ('running', 'failed'), ('running', 'cancelled'), ('running', 'timeout')) as allowed
from unnest(array['pending', 'running', 'success', 'failed', 'cancelled', 'timeout']) old_status,
  unnest(array['pending', 'running', 'success', 'failed', 'cancelled', 'timeout']) new_status
where old_status <> new_status;
select pg_temp.create_run(run, 'private app', 'customer company', old_status) from status_changes;
select case
  when allowed then pg_temp.allows('service', statement, format('changes a run from %s to %s', old_status, new_status))
  else pg_temp.refuses('service', statement, 'SW022', format('A run that is %s does not become %s.', old_status, new_status),
    format('cannot change a run from %s to %s', old_status, new_status), 'status')
  end
from status_changes, format(
  $$ update app_runs set status = '%s', lease_expires_at = %s, executor_id = 'x', attempt = 1, started_at = coalesce(started_at, now()) where id = '{%s}' $$,
  new_status, case new_status when 'running' then 'now()' else 'null' end, run) statement;
select is(
  (select string_agg(distinct r.status, ',' order by r.status) from app_runs r join status_changes on r.id = pg_temp.id(run)::uuid
   where allowed and completed_at is not null),
  'cancelled,failed,success,timeout', 'exactly the runs that are over have a time of completion');

-- Duration

select pg_temp.create_run('timed', 'private app', 'customer company', 'running');
select pg_temp.answers('service', $$
  update app_runs set status = 'success', completed_at = started_at + interval '1.5 seconds' where id = '{timed}' returning duration_ms $$,
  '1500', 'finishes a run, whose duration is computed in milliseconds');
select pg_temp.create_run('never started', 'private app', 'customer company');
select pg_temp.answers('service', $$
  update app_runs set status = 'cancelled' where id = '{never started}' returning (duration_ms is null) || ' ' || (completed_at = now()) $$,
  'true true', 'cancels a run that never started, which took no time');
select pg_temp.refuses('service', $$ update app_runs set duration_ms = 1 where id = '{run}' $$, '428C9',
  'column "duration_ms" can only be updated to DEFAULT', 'cannot write a duration');

-- A finished run never changes

select pg_temp.create_run('over', 'private app', 'customer company', 'failed');
select pg_temp.refuses(actor, format($$ update app_runs set %s where id = '{over}' $$, change), 'SW022',
  'A run that is failed does not change.', 'cannot set ' || change || ' of a finished run', 'status')
from unnest(array['service', 'superadmin', 'operator']) actor, unnest(array[
  $$error_message = 'It was fine'$$, 'priority = 1', $$metadata = '{"a": 1}'$$, $$completed_at = now() + interval '1 day'$$,
  $$config = '{"a": 1}'$$, $$attempt_history = '[1]'$$]) change;
select pg_temp.refuses('service', $$ update app_runs set requested_by = '{nobody}' where id = '{over}' $$, 'SW022',
  'A run that is failed does not change.', 'cannot set who requested a finished run', 'status');
select pg_temp.allows('service', $$ delete from app_runs where id = '{over}' $$, 'deletes a finished run');

-- A run stays what it is

select pg_temp.refuses('service', format($$ update app_runs set %s where id = '{run}' $$, change), 'SW001',
  'A run stays with its app, company and version.', 'cannot set ' || change, 'app_id')
from unnest(array[$$company_id = '{publisher company}'$$, $$app_id = '{public app}'$$, $$version = '1.1.0'$$, 'id = gen_random_uuid()']) change;

-- Constraints

select pg_temp.refuses('service', format($$ update app_runs set %s where id = '{run}' $$, change), '23514',
  format('new row for relation "app_runs" violates check constraint "app_runs_%s"', name), 'cannot set ' || left(change, 60))
from (values
  ($$run_type = 'party'$$, 'run_type'), ('priority = 101', 'priority_range'), ('priority = -101', 'priority_range'),
  ('max_attempts = 0', 'attempts_left'), ('max_attempts = 26', 'max_attempts_range'),
  ('attempt = 4', 'attempts'), ('attempt = -1', 'attempts'), ('attempt = 3', 'attempts_left'),
  ($$config = '[]'$$, 'config_object'), ($$config = jsonb_build_object('a', repeat('a', 524288))$$, 'config_object'),
  ($$metadata = '1'$$, 'metadata_object'), ($$idempotency_key = ''$$, 'idempotency_key_length'),
  ($$idempotency_key = repeat('a', 201)$$, 'idempotency_key_length'), ($$error_message = repeat('a', 10001)$$, 'error_message_length'),
  ('lease_expires_at = now()', 'held'), ('completed_at = now()', 'completed'),
  ($$status = 'running', attempt = 1, lease_expires_at = now(), executor_id = 'x'$$, 'held'),
  ($$status = 'running', attempt = 1, lease_expires_at = now(), started_at = now()$$, 'held'),
  ($$status = 'running', attempt = 1, executor_id = 'x', started_at = now()$$, 'held'),
  ($$status = 'running', attempt = 0, lease_expires_at = now(), executor_id = 'x', started_at = now()$$, 'held'),
  ($$status = 'cancelled', started_at = now(), completed_at = now() - interval '1 second'$$, 'duration'),
  ($$logs_path = 'app_{private app}/runs/x/'$$, 'logs_path_format'),
  ($$logs_path = 'app_{public app}/runs/{run}/logs'$$, 'logs_path_format'),
  ($$logs_path = 'app_{private app}/runs/{run}/../x'$$, 'logs_path_format'),
  ($$output_path = 'elsewhere'$$, 'output_path_format')) bad (change, name);

select * from finish();
rollback;
