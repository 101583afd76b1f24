-- The queue: asking, claiming, holding, finishing, giving up.
begin;
\ir tests.inc
\ir queue.inc
select plan(162);

create function pg_temp.run_of(name text) returns app_runs language sql as $$
  select r from app_runs r where id = pg_temp.id(name)::uuid
$$;

-- Asking

select pg_temp.learn('asked', 'customer member', $$
  select id from request_app_run('{private app}', '{customer company}', config => '{"rows": 3}') $$);
select pg_temp.answers('customer member', $$
  select concat_ws(' ', version, run_type, status, priority, attempt, max_attempts, run_after = now(), config, requested_by = '{customer member}')
  from app_runs where id = '{asked}' $$, '1.0.0 manual pending 0 0 3 t {"rows": 3} t', 'asks for a run of the newest published version');
select pg_temp.answers(actor, $$ select status from request_app_run('{private app}', '{customer company}', version => '1.1.0') $$, 'pending',
  'asks for a run of a version by name')
from unnest(array['customer member', 'customer admin', 'customer owner', 'superadmin', 'service']) actor;
-- One answer for all that is not the caller's, so that ids cannot be probed.
select pg_temp.refuses(actor, format($$ select request_app_run('%s', %s) $$, app, company), 'SW002', 'There is no such company among yours.',
  format('cannot ask for a run of %s for %s', app, what), 'company_id')
from unnest(array['nobody', 'outsider', 'publisher owner']) actor, unnest(array['{private app}', gen_random_uuid()::text]) app,
  (values ($$'{customer company}'$$, 'the customer'), (quote_literal(gen_random_uuid()), 'nobody'), ('null', 'null')) companies (company, what);
select pg_temp.refuses('customer member', format($$ select request_app_run(%s, '{customer company}') $$, app), 'SW040',
  'The app is not active, or it is not assigned to this company.', 'cannot ask for a run of ' || what, 'app_id')
from (values ($$'{unassigned app}'$$, 'an app that is not assigned'), (quote_literal(gen_random_uuid()), 'an app that does not exist'),
  ($$'{outsider app}'$$, 'an outsider''s app'), ('null', 'no app')) apps (app, what);
select pg_temp.refuses('anonymous', $$ select request_app_run('{private app}', '{customer company}') $$, '42501',
  'permission denied for function request_app_run', 'cannot ask for a run');
select pg_temp.refuses('customer member', format($$ select request_app_run('{private app}', '{customer company}', %s) $$, argument), 'SW001',
  message, 'cannot ask with ' || argument, field)
from (values
  ($$run_type => 'cron'$$, 'run_type takes manual or test.', 'run_type'), ($$run_type => 'webhook'$$, 'run_type takes manual or test.', 'run_type'),
  ($$run_type => null$$, 'run_type takes manual or test.', 'run_type'), ($$config => '[]'$$, 'config must be a JSON object.', 'config'),
  ($$config => null$$, 'config must be a JSON object.', 'config'), ('priority => 101', 'priority takes -100 to 100.', 'priority'),
  ('priority => -101', 'priority takes -100 to 100.', 'priority'), ('priority => null', 'priority takes -100 to 100.', 'priority'),
  ('max_attempts => 0', 'max_attempts takes 1 to 25.', 'max_attempts'), ('max_attempts => 26', 'max_attempts takes 1 to 25.', 'max_attempts'),
  ('max_attempts => null', 'max_attempts takes 1 to 25.', 'max_attempts'),
  ($$run_after => 'infinity'$$, 'run_after takes times from 1970 to 9999.', 'run_after'),
  ($$run_after => '-infinity'$$, 'run_after takes times from 1970 to 9999.', 'run_after'),
  ($$run_after => '10000-01-01Z'$$, 'run_after takes times from 1970 to 9999.', 'run_after')) bad (argument, message, field);
select pg_temp.answers('service', $$ select run_type from request_app_run('{private app}', '{customer company}', run_type => 'webhook') $$,
  'webhook', 'asks for a run that a webhook caused');
select pg_temp.refuses('customer member', format($$ select request_app_run('{private app}', '{customer company}', '%s', run_type => 'test') $$, version),
  'SW040', format('The app has no released version %s.', version), 'cannot run ' || what, 'version')
from (values ('2.0.0', 'the publisher''s draft as a test'), ('0.9.0', 'an archived version'), ('5.5.5', 'a version that does not exist')) bad (version, what);
select pg_temp.answers('publisher member',
  $$ select status from request_app_run('{private app}', '{publisher company}', '2.0.0', run_type => 'test') $$, 'pending', 'tests a draft');

-- Idempotency

select pg_temp.learn('once', 'customer member',
  $$ select id from request_app_run('{private app}', '{customer company}', config => '{"a": 1}', idempotency_key => 'key') $$);
select pg_temp.answers(actor, $$
  select id from request_app_run('{private app}', '{customer company}', config => '{"a": 1}', idempotency_key => 'key') $$, '{once}',
  'gets the same run for the same key')
from unnest(array['customer member', 'customer owner', 'service']) actor;
select pg_temp.refuses('customer member', format($$ select request_app_run('%s', '{customer company}', %s, idempotency_key => 'key') $$, app, arguments),
  'SW043', 'This idempotency key belongs to a run that was asked for with other values.', 'cannot use the key again with ' || what, 'idempotency_key')
from (values ('{private app}', $$config => '{"a": 2}'$$, 'another config'), ('{public app}', $$config => '{"a": 1}'$$, 'another app'),
  ('{private app}', $$config => '{"a": 1}', version => '1.1.0'$$, 'another version'),
  ('{private app}', $$config => '{"a": 1}', run_type => 'test'$$, 'another type')) other (app, arguments, what);
select pg_temp.answers('publisher member', $$
  select (id <> '{once}')::text from request_app_run('{private app}', '{publisher company}', config => '{"a": 1}', idempotency_key => 'key') $$,
  'true', 'gets a run of the own company for the key of another one');
select pg_temp.allows('service', $$ select from request_app_run('{private app}', '{customer company}', idempotency_key => repeat('k', 200)) $$,
  'uses a key of 200 characters');

-- The queue has a limit

select pg_temp.allows('superadmin', $$
  update companies set max_queued_runs = (select count(*) from app_runs where company_id = '{customer company}' and status = 'pending')
  where id = '{customer company}' $$, 'limits the queue to what waits');
select pg_temp.refuses('customer owner', $$ select request_app_run('{private app}', '{customer company}') $$, 'SW041',
  format('The company has %s runs waiting, as many as it may.', (select max_queued_runs from companies where id = pg_temp.id('customer company')::uuid)),
  'cannot ask for one run more', 'company_id');
select pg_temp.answers('customer owner',
  $$ select id from request_app_run('{private app}', '{customer company}', config => '{"a": 1}', idempotency_key => 'key') $$, '{once}',
  'still gets the run of a key');
select pg_temp.allows('customer member', $$ select from cancel_app_run('{asked}') $$, 'cancels a waiting run');
select pg_temp.allows('customer member', $$ select from request_app_run('{private app}', '{customer company}') $$, 'asks for another one in its place');
update companies set max_queued_runs = 1000 where id = pg_temp.id('customer company')::uuid;

-- Cancelling and running again

select pg_temp.answers('customer member', $$
  select concat_ws(' ', status, cancel_requested_at = now(), completed_at = now(), error_message) from app_runs where id = '{asked}' $$,
  'cancelled t t Cancelled before it started.', 'sees the cancelled run, and why');
select pg_temp.answers('customer admin', $$ select status from cancel_app_run('{asked}') $$, 'cancelled', 'cancels it again, which changes nothing');
select pg_temp.refuses(actor, format($$ select %s('%s') $$, function, run), 'SW002', 'There is no such run among yours.',
  format('cannot %s %s', function, what), 'run_id')
from unnest(array['nobody', 'outsider', 'publisher owner']) actor, unnest(array['cancel_app_run', 'retry_app_run']) function,
  (values ('{once}', 'a run of the customer'), (gen_random_uuid()::text, 'a run that does not exist')) runs (run, what);
select pg_temp.refuses('customer member', $$ select retry_app_run('{once}') $$, 'SW042',
  'The run is pending: only a finished run is run again.', 'cannot run a waiting run again', 'run_id');
select pg_temp.answers('customer member', $$
  select concat_ws(' ', status, retry_of = '{asked}', version, config, run_type, requested_by = '{customer member}', idempotency_key is null)
  from retry_app_run('{asked}') $$, 'pending t 1.0.0 {"rows": 3} manual t t', 'runs a finished run again, as a new run');
select pg_temp.answers('service', $$ select status from retry_app_run('{asked}') $$, 'pending', 'runs a finished run again');
select pg_temp.create_run('cron run', 'private app', 'customer company', 'failed', '1.1.0', 'cron');
select pg_temp.answers('customer member', $$ select run_type || ' ' || version from retry_app_run('{cron run}') $$, 'manual 1.1.0',
  'runs a scheduled run again, of the same version');
update app_versions set status = 'archived' where app_id = pg_temp.id('private app')::uuid and version = '1.1.0';
select pg_temp.refuses('customer member', $$ select retry_app_run('{cron run}') $$, 'SW040', 'The app has no released version 1.1.0.',
  'cannot run a run again whose version is archived', 'version');

-- Claiming is for the service

select pg_temp.refuses(actor, format('select %s', call), '42501', format('permission denied for function %s', split_part(call, '(', 1)),
  'cannot call ' || split_part(call, '(', 1))
from unnest(array['anonymous', 'customer owner', 'superadmin']) actor, unnest(array[
  $$claim_app_runs('x')$$, $$extend_app_run_leases('x', '{}')$$, $$finish_app_run(gen_random_uuid(), 'x', 'success')$$,
  $$release_app_runs('x', '{}')$$, $$release_expired_app_runs()$$, $$register_executor('x')$$]) call;
select pg_temp.refuses('service', format('select claim_app_runs(%s)', arguments), 'SW001', message, 'cannot claim with ' || left(arguments, 30), field)
from (values
  ($$''$$, 'executor_id takes 1 to 200 characters.', 'executor_id'), ('null', 'executor_id takes 1 to 200 characters.', 'executor_id'),
  ($$repeat('x', 201)$$, 'executor_id takes 1 to 200 characters.', 'executor_id'), ($$'x', 0$$, 'max_runs takes 1 to 1000.', 'max_runs'),
  ($$'x', 1001$$, 'max_runs takes 1 to 1000.', 'max_runs'), ($$'x', null$$, 'max_runs takes 1 to 1000.', 'max_runs'),
  ($$'x', 1, '0 seconds'$$, 'lease takes 1 second to 1 day.', 'lease'), ($$'x', 1, '25 hours'$$, 'lease takes 1 second to 1 day.', 'lease'),
  ($$'x', 1, null$$, 'lease takes 1 second to 1 day.', 'lease')) bad (arguments, message, field);

-- Order, one company: priority, then time; what is due only

update app_runs set status = 'cancelled' where status = 'pending' and run_after <> 'infinity';
select pg_temp.create_run(name, 'private app', 'customer company') from unnest(array['first', 'second', 'urgent', 'later', 'low']) name;
update app_runs set run_after = now() - interval '3 minutes' where id = pg_temp.id('first')::uuid;
update app_runs set run_after = now() - interval '2 minutes' where id = pg_temp.id('second')::uuid;
update app_runs set priority = 10 where id = pg_temp.id('urgent')::uuid;
update app_runs set run_after = now() + interval '1 second', priority = 100 where id = pg_temp.id('later')::uuid;
update app_runs set priority = -1, run_after = now() - interval '1 hour' where id = pg_temp.id('low')::uuid;
select is(pg_temp.claimed($$'{executor}', 10, '90 seconds'$$), 'urgent, first, second, low',
  'runs that are due are claimed by priority, then by time');
select is(pg_temp.claimed($$'{executor}', 10$$), 'none', 'a claimed run is not claimed again, and one that is not due not yet');
select pg_temp.answers('service', $$
  select concat_ws(' ', status, executor_id = '{executor}', attempt, started_at = now(), lease_expires_at = now() + interval '90 seconds')
  from app_runs where id = '{first}' $$, 'running t 1 t t', 'finds a claimed run held by the executor until the lease ends');
select pg_temp.answers('service', $$ select capacity || ' ' || (last_seen_at = now()) from executors where id = '{executor}' $$, '1 true',
  'finds the executor registered by its claim');

-- Holding

select pg_temp.answers('service', $$
  select string_agg(concat_ws(' ', run_id, lease_expires_at = now() + interval '5 minutes', cancel_requested), ', ')
  from extend_app_run_leases('{executor}', array['{first}', '{later}', gen_random_uuid()]::uuid[], '5 minutes') $$, '{first} t f',
  'extends the lease of what it holds, and of nothing else');
select pg_temp.finds_nothing('service', $$ select from extend_app_run_leases('other', array['{first}']::uuid[]) $$,
  'cannot extend what another executor holds');
select pg_temp.answers('customer member', $$
  select status || ' ' || (cancel_requested_at = now()) from cancel_app_run('{second}') $$, 'running true', 'asks a running run to stop');
select pg_temp.answers('service', $$ select cancel_requested from extend_app_run_leases('{executor}', array['{second}']::uuid[]) $$, 'true',
  'is told with the next heartbeat');
select pg_temp.refuses('service', $$ select extend_app_run_leases('{executor}', '{}', '1 millisecond') $$, 'SW001',
  'lease takes 1 second to 1 day.', 'cannot extend a lease by less than a second', 'lease');

-- Finishing

select pg_temp.answers('service', $$ select finish_app_run('{first}', 'other', 'success') $$, 'not_held', 'cannot finish what another executor holds');
select pg_temp.answers('service', $$ select finish_app_run('{first}', '{executor}', 'success', attempt => 2) $$, 'not_held',
  'cannot finish another attempt than the one it holds');
select is((pg_temp.run_of('first')).status, 'running', 'what is not held is not changed');
select pg_temp.answers('service', $$
  select finish_app_run('{first}', '{executor}', 'success', logs_path => 'app_{private app}/runs/{first}/stdout.log',
    output_path => 'app_{private app}/runs/{first}/outputs', metadata => '{"exit_code": 0}', attempt => 1) $$, 'finished', 'finishes a run');
select pg_temp.answers('customer member', $$
  select concat_ws(' ', status, completed_at = now(), lease_expires_at is null, duration_ms, logs_path is not null, output_path is not null,
    metadata, attempt_history, executor_id = '{executor}')
  from app_runs where id = '{first}' $$, 'success t t 0 t t {"exit_code": 0} [] t', 'sees how the run ended');
select pg_temp.answers('service', $$ select finish_app_run('{first}', '{executor}', 'failed') $$, 'not_held', 'cannot finish a run twice');
select pg_temp.refuses('service', format($$ select finish_app_run('{low}', '{executor}', %s) $$, quote_nullable(status)), 'SW001',
  'status takes success, failed, cancelled or timeout.', 'cannot finish a run as ' || coalesce(status, 'null'), 'status')
from unnest(array['pending', 'running', 'lost', null]) status;
select pg_temp.refuses('service', $$ select finish_app_run('{low}', '{executor}', 'success', logs_path => 'elsewhere') $$, '23514',
  'new row for relation "app_runs" violates check constraint "app_runs_logs_path_format"', 'cannot finish a run with logs that lie elsewhere');
select pg_temp.answers('service', $$ select finish_app_run('{second}', '{executor}', 'cancelled', 'Stopped.') $$, 'finished', 'finishes a run as cancelled');

-- Failing and trying again

select pg_temp.answers('service', $$ select finish_app_run('{low}', '{executor}', 'failed', 'Out of luck.', retry => true) $$, 'retrying',
  'finishes a run that is tried again');
select pg_temp.answers('customer member', $$
  select concat_ws(' ', status, attempt, lease_expires_at is null, completed_at is null, error_message,
    run_after between now() + interval '1 second' and now() + interval '2 seconds')
  from app_runs where id = '{low}' $$, 'pending 1 t t Out of luck. t', 'sees it wait for one to two seconds');
select pg_temp.answers('customer member', $$
  select attempt_history - 0 || jsonb_build_array(attempt_history -> 0 ->> 'attempt', attempt_history -> 0 ->> 'outcome',
    attempt_history -> 0 ->> 'error', attempt_history -> 0 ->> 'executor_id' = '{executor}',
    (attempt_history -> 0 ->> 'ended_at')::timestamptz = now(), (attempt_history -> 0 ->> 'started_at')::timestamptz = now())
  from app_runs where id = '{low}' $$, '["1", "failed", "Out of luck.", true, true, true]', 'sees the attempt in its history');
update app_runs set run_after = now() where id = pg_temp.id('low')::uuid;
select is(pg_temp.claimed($$'other', 1$$), 'low', 'it is claimed again');
select pg_temp.answers('service', $$ select finish_app_run('{low}', 'other', 'timeout', 'Slow.', retry => true) $$, 'retrying', 'times out, and tries again');
update app_runs set run_after = now() where id = pg_temp.id('low')::uuid;
select is(pg_temp.claimed($$'other', 1$$), 'low', 'it is claimed for the last time');
select pg_temp.answers('service', $$ select finish_app_run('{low}', 'other', 'failed', 'Enough.', retry => true) $$, 'finished',
  'cannot try again when no attempt is left');
select pg_temp.answers('customer member', $$
  select concat_ws(' ', status, attempt, error_message, jsonb_array_length(attempt_history)) from app_runs where id = '{low}' $$,
  'failed 3 Enough. 2', 'sees that it failed for good, and the two attempts before');
select pg_temp.create_run('success', 'private app', 'customer company');
select is(pg_temp.claimed($$'{executor}'$$), 'success', 'a run is claimed');
select pg_temp.answers('service', $$ select finish_app_run('{success}', '{executor}', 'success', retry => true) $$, 'finished', 'cannot try a success again');
select is_empty($$
  select attempt, private.retry_delay(attempt) from generate_series(1, 25) attempt, generate_series(1, 20)
  where private.retry_delay(attempt) not between least(interval '2 seconds' * power(2, attempt - 1), interval '10 minutes') / 2
    and least(interval '2 seconds' * power(2, attempt - 1), interval '10 minutes')
$$, 'delays double from two seconds to ten minutes, less up to a half');

-- Giving back

select pg_temp.create_run(name, 'private app', 'customer company') from unnest(array['given back', 'given up']) name;
update app_runs set run_after = now() - interval '1 minute' where id = pg_temp.id('given back')::uuid;
select is(pg_temp.claimed($$'{executor}', 2$$), 'given back, given up', 'two runs are claimed');
select pg_temp.allows('customer member', $$ select from cancel_app_run('{given up}') $$, 'asks one of them to stop');
select pg_temp.finds_nothing('service', $$ select release_app_runs('other', array['{given back}']::uuid[]) $$, 'cannot give back what another holds');
select pg_temp.allows('service', $$ select release_app_runs('{executor}', array['{given back}', '{given up}', '{success}']::uuid[]) $$,
  'gives back what it holds', 2);
select pg_temp.answers('customer member', $$
  select concat_ws(' ', status, attempt, run_after = now(), lease_expires_at is null, attempt_history -> 0 ->> 'outcome')
  from app_runs where id = '{given back}' $$, 'pending 0 t t released', 'sees it wait, the attempt not counted');
select pg_temp.answers('customer member', $$ select status from app_runs where id = '{given up}' $$, 'cancelled', 'sees the other one cancelled');

-- Lost executors

select is(pg_temp.claimed($$'{executor}', 1, '1 second'$$), 'given back', 'it is claimed again');
select pg_temp.finds_nothing('service', $$ select from release_expired_app_runs() $$, 'cannot take a run whose lease has not ended');
update app_runs set lease_expires_at = now() - interval '1 second' where id = pg_temp.id('given back')::uuid;
select pg_temp.answers('service', $$
  select concat_ws(' ', id = '{given back}', status, attempt, lease_expires_at is null, error_message,
    run_after between now() + interval '1 second' and now() + interval '2 seconds', attempt_history -> 1 ->> 'outcome')
  from release_expired_app_runs() $$, 't pending 1 t Executor {executor} was lost during attempt 1. t lost', 'takes back a run whose lease has ended');
select pg_temp.answers('service', $$ select finish_app_run('{given back}', '{executor}', 'success') $$, 'not_held',
  'cannot finish a run that was taken back');
update app_runs set run_after = now(), max_attempts = 2 where id = pg_temp.id('given back')::uuid;
select is(pg_temp.claimed($$'other'$$), 'given back', 'another executor claims it for the last time');
update app_runs set lease_expires_at = now() - interval '1 second' where id = pg_temp.id('given back')::uuid;
select pg_temp.answers('service', $$ select status || ' ' || (completed_at = now()) || ' ' || error_message from release_expired_app_runs() $$,
  'failed true Executor other was lost during attempt 2.', 'fails a run whose last attempt was lost');
select pg_temp.create_run('abandoned', 'private app', 'customer company', 'running');
update app_runs set lease_expires_at = now() - interval '1 second', cancel_requested_at = now() where id = pg_temp.id('abandoned')::uuid;
select pg_temp.answers('service', $$ select status from release_expired_app_runs() $$, 'cancelled', 'cancels a lost run that was asked to stop');
select pg_temp.create_run('lost ' || letter, 'private app', 'customer company', 'running') from unnest(array['a', 'b', 'c']) letter;
update app_runs set lease_expires_at = now() - interval '1 second' where id in (select value::uuid from world where name like 'lost %');
select pg_temp.allows('service', $$ select from release_expired_app_runs(2) $$, 'takes back as many as asked for', 2);
select pg_temp.allows('service', $$ select from release_expired_app_runs(2) $$, 'takes back the rest', 1);

-- Companies take turns, and none exceeds what it may run at once

select pg_temp.answers('service', $$ select finish_app_run('{urgent}', '{executor}', 'success') $$, 'finished', 'finishes what it still holds');
update app_runs set run_after = 'infinity' where status = 'pending';
insert into app_assignments (app_id, company_id) values (pg_temp.id('private app')::uuid, pg_temp.id('outsider company')::uuid);
select pg_temp.create_run('customer ' || letter, 'private app', 'customer company') from unnest(array['a', 'b', 'c', 'd']) letter;
select pg_temp.create_run('outsider ' || letter, 'private app', 'outsider company') from unnest(array['a', 'b']) letter;
select pg_temp.create_run('publisher ' || letter, 'private app', 'publisher company') from unnest(array['a']) letter;
select is(
  (select string_agg(company, ' ' order by company) from (
    select split_part(name, ' ', 1) as company from unnest(string_to_array(pg_temp.claimed($$'{executor}', 3$$), ', ')) name) claimed),
  'customer outsider publisher', 'of three companies that wait each gets one of the first three runs');
select is(
  (select string_agg(company, ' ' order by company) from (
    select split_part(name, ' ', 1) as company from unnest(string_to_array(pg_temp.claimed($$'{executor}', 2$$), ', ')) name) claimed),
  'customer outsider', 'and the two that still wait one each of the next two');
update companies set max_concurrent_runs = 3 where id = pg_temp.id('customer company')::uuid;
select is(split_part(pg_temp.claimed($$'{executor}', 10$$), ' ', 1), 'customer', 'a company gets as many as it may run at once');
select is(
  (select count(*) from app_runs where company_id = pg_temp.id('customer company')::uuid and status = 'running'), 3::bigint,
  'and not one more, though it waits');
select pg_temp.answers('service', $$ select count(*) from claim_app_runs('{executor}', 10) $$, '0', 'gets nothing while the company is at its limit');
update companies set max_concurrent_runs = 0 where id = pg_temp.id('outsider company')::uuid;
select pg_temp.create_run('outsider c', 'private app', 'outsider company');
select is(pg_temp.claimed($$'{executor}', 10$$), 'none', 'a company that may run nothing runs nothing');

select * from finish();
rollback;
