-- The queue, many at a time: asking in bulk, finishing in bulk, finishing and claiming in one call; and what keeps the
-- narrow tables beside app_runs in step with it.
begin;
\ir tests.inc
\ir queue.inc
select plan(56);

select ok(pg_temp.queue_is_in_step(), 'the world''s runs are in step');

-- Asking

create temporary table batch (run_id uuid);
grant all on batch to authenticated, service_role;
select pg_temp.allows('customer member', $$
  insert into batch select request_app_runs('[
    {"app_id": "{private app}", "company_id": "{customer company}", "priority": 5},
    {"app_id": "{private app}", "company_id": "{customer company}", "config": {"n": 2}, "retry_failures": true},
    {"app_id": "{private app}", "company_id": "{customer company}", "version": "1.0.0", "run_type": "test", "max_attempts": 1}
  ]') $$, 'asks for three runs in a call', 3);
select pg_temp.answers('customer member', $$
  select string_agg(concat_ws(' ', version, run_type, priority, config, retry_failures, max_attempts, requested_by = '{customer member}'), ', '
    order by priority desc, max_attempts desc)
  from app_runs join batch on run_id = id $$,
  '1.0.0 manual 5 {} f 3 t, 1.0.0 manual 0 {"n": 2} t 3 t, 1.0.0 test 0 {} f 1 t', 'gets what was asked for, with the defaults');
select pg_temp.refuses(actor, $$ select request_app_runs('[{"app_id": "{private app}", "company_id": "{customer company}"}]') $$, 'SW002',
  'There is no such company among yours.', 'cannot ask in bulk for the customer', 'company_id')
from unnest(array['nobody', 'outsider', 'publisher owner']) actor;
select pg_temp.refuses('anonymous', $$ select request_app_runs('[]') $$, '42501', 'permission denied for function request_app_runs',
  'cannot ask in bulk');
select pg_temp.refuses('customer member', format($$ select request_app_runs('%s') $$, runs), 'SW001', message, 'cannot ask for ' || what, field)
from (values
  ('[]', 'runs takes an array of 1 to 10000 requests.', 'nothing', 'runs'),
  ('{}', 'runs takes an array of 1 to 10000 requests.', 'an object', 'runs'),
  ('[{"app_id": "{private app}", "company_id": "{customer company}", "run_type": "cron"}]', 'run_type takes manual or test.', 'another type', 'run_type'),
  ('[{"app_id": "{private app}", "company_id": "{customer company}", "config": []}]', 'config must be a JSON object.', 'another config', 'config'),
  ('[{"app_id": "{private app}", "company_id": "{customer company}", "priority": 101}]', 'priority takes -100 to 100.', 'too much priority', 'priority'),
  ('[{"app_id": "{private app}", "company_id": "{customer company}", "max_attempts": 0}]', 'max_attempts takes 1 to 25.', 'no attempt', 'max_attempts'),
  ('[{"app_id": "{private app}", "company_id": "{customer company}", "run_after": "infinity"}]', 'run_after takes times from 1970 to 9999.', 'never', 'run_after'),
  ('[{"app_id": "{private app}", "company_id": "{customer company}"}, 1]', 'runs takes objects, one a request.', 'a number', 'runs'),
  ('[null]', 'runs takes objects, one a request.', 'nothing among others', 'runs')
) bad (runs, message, what, field);
select pg_temp.refuses('customer member', $$ select request_app_runs('[
  {"app_id": "{private app}", "company_id": "{customer company}"}, {"app_id": "{unassigned app}", "company_id": "{customer company}"}]') $$,
  'SW040', 'The app is not active, or it is not assigned to this company.', 'cannot slip in an app that is not assigned', 'app_id');
select pg_temp.refuses('customer member', format($$ select request_app_runs(
    '[{"app_id": "{private app}", "company_id": "{customer company}"%s}, {%s}, {"nothing": 1}]') $$, first, second), 'SW001', message,
  'cannot ask with ' || what, field)
from (values
  (', "prio": 1', '"app_id": null', 'runs[0].prio is not an input. There are app_id, company_id, version, run_type, config, priority, '
    'run_after, idempotency_key, max_attempts, retry_failures.', 'what is no input', 'runs[0].prio'),
  (', "idempotency_key": "new"', '"a b": 1', 'runs[1].a b is not an input. There are app_id, company_id, version, run_type, config, '
    'priority, run_after, idempotency_key, max_attempts, retry_failures.', 'what is no input beside a key', 'runs[1].a b')
) bad (first, second, message, what, field);
select pg_temp.refuses(actor, format($$ select request_app_runs(
    '[{"app_id": "{private app}", "company_id": "{customer company}"%s}, {%s}]') $$, first, second), 'SW001', field || ' is required.',
  'cannot leave it out', field)
from (values
  ('customer member', '', '"app_id": "{private app}"', 'runs[1].company_id'),
  ('service', '', '"app_id": "{private app}"', 'runs[1].company_id'),
  ('customer member', ', "idempotency_key": "new"', '"app_id": "{private app}", "company_id": null', 'runs[1].company_id'),
  ('customer member', '', '"company_id": "{customer company}"', 'runs[1].app_id'),
  ('customer member', '', '', 'runs[1].app_id'),
  ('outsider', '', '"app_id": "{private app}"', 'runs[1].company_id')
) bad (actor, first, second, field);
select is((select count(*) from app_runs where created_at = now() and status = 'pending' and config = '{}' and max_attempts = 3
  and run_type = 'manual' and id not in (select run_id from batch) and run_after = now()), 0::bigint, 'a refused call leaves nothing');
select pg_temp.answers('customer member', $$
  select count(distinct id) || ' ' || count(*) from request_app_runs('[
    {"app_id": "{private app}", "company_id": "{customer company}", "idempotency_key": "twice", "run_after": "9999-12-31T00:00:00Z"},
    {"app_id": "{private app}", "company_id": "{customer company}", "idempotency_key": "twice", "run_after": "9999-12-31T00:00:00Z"}]') id $$,
  '1 2', 'gets one run for one key');
update companies set max_queued_runs = 6 where id = pg_temp.id('customer company')::uuid;
select pg_temp.refuses('customer member', $$ select request_app_runs(jsonb_agg(jsonb_build_object(
    'app_id', '{private app}', 'company_id', '{customer company}'))) from generate_series(1, 7) $$,
  'SW041', format('The company has %s runs waiting, and may have 6: there is no room for 7 more.',
    (select count(*) from app_runs where status = 'pending' and company_id = pg_temp.id('customer company')::uuid)),
  'cannot ask for more than the queue takes', 'company_id');
update companies set max_queued_runs = 1000 where id = pg_temp.id('customer company')::uuid;
select ok(pg_temp.queue_is_in_step(), 'asking keeps the queue in step');

-- Claiming and finishing

update app_runs set priority = 50 where id in (select run_id from batch) and priority = 5;
create temporary table turns as select 1 as turn, pg_temp.turn('[]', 1) as answer;
select is((select concat_ws(' ', answer -> 'finished', jsonb_array_length(answer -> 'claimed'),
    (select priority from app_runs where id = (answer #>> '{claimed,0,id}')::uuid),
    answer #>> '{claimed,0,attempt}', answer #>> '{claimed,0,version}', answer #>> '{claimed,0,was_held}') from turns where turn = 1),
  '{} 1 50 1 1.0.0 false', 'a claim by one call gets the run with the greatest priority');
select set_eq($$ select jsonb_object_keys(answer #> '{claimed,0}') from turns where turn = 1 $$,
  array['id', 'app_id', 'company_id', 'version', 'build_id', 'run_type', 'config', 'attempt', 'was_held'],
  'and what it takes to execute it');
insert into turns select 2, pg_temp.turn(format('[{"run_id": "%s", "attempt": 1, "status": "success"}]', answer #>> '{claimed,0,id}'), 10)
from turns where turn = 1;
select is((select (answer -> 'finished')::text from turns where turn = 2),
  (select jsonb_build_object(answer #>> '{claimed,0,id}', 'finished')::text from turns where turn = 1), 'the next call finishes it');
select is((select jsonb_array_length(answer -> 'claimed') from turns where turn = 2), 2, 'and claims the rest');
select is((select concat_ws(' ', status, attempt, completed_at = now(), duration_ms, executor_id) from app_runs
  where id = (select (answer #>> '{claimed,0,id}')::uuid from turns where turn = 1)), 'success 1 t 0 batcher', 'what is finished is recorded');
select ok(pg_temp.queue_is_in_step(), 'a turn keeps the queue in step');
insert into turns select 3, pg_temp.turn('[]', 5);
select is((select (answer -> 'claimed')::text from turns where turn = 3), '[]', 'nothing is left to claim');

select pg_temp.refuses('service', $$ select finish_app_runs('batcher', '[{"run_id": "00000000-0000-4000-8000-000000000000", "status": "pending"}]') $$, 'SW001',
  'status takes success, failed, cancelled or timeout.', 'cannot finish as pending', 'status');
select pg_temp.refuses('service', $$ select finish_app_runs('batcher', '[{"status": "success"}]') $$, 'SW001',
  'Every result says which run it is of.', 'cannot finish what has no name', 'run_id');
select pg_temp.refuses('service', $$ select finish_and_claim_app_runs('batcher', '[{"status": "success"}]', 1) $$, 'SW001',
  'Every result says which run it is of.', 'nor while it claims', 'run_id');
select pg_temp.refuses('service', $$ select finish_app_runs('batcher', '{}') $$, 'SW001', 'results takes an array of at most 1000 results.',
  'cannot finish an object', 'results');
select pg_temp.refuses(actor, $$ select finish_app_runs('batcher', '[]') $$, '42501', 'permission denied for function finish_app_runs',
  'cannot finish runs')
from unnest(array['anonymous', 'customer owner', 'superadmin']) actor;
select pg_temp.refuses(actor, $$ select finish_and_claim_app_runs('batcher', '[]') $$, '42501',
  'permission denied for function finish_and_claim_app_runs', 'cannot finish and claim runs')
from unnest(array['anonymous', 'customer owner', 'superadmin']) actor;
select pg_temp.answers('service', format($$ select string_agg(value, ' ') from json_each_text(finish_app_runs('other', '%s')) $$,
  (select jsonb_agg(jsonb_build_object('run_id', run -> 'id', 'status', 'success')) from turns, jsonb_array_elements(answer -> 'claimed') run where turn = 2)),
  'not_held not_held', 'cannot finish what another holds');
select pg_temp.refuses('service', format($$ select finish_app_runs('batcher', '%s') $$,
  (select jsonb_agg(jsonb_build_object('run_id', run -> 'id', 'status', 'success', 'logs_path', 'elsewhere')) from turns, jsonb_array_elements(answer -> 'claimed') run where turn = 2)),
  '23514', 'new row for relation "app_runs" violates check constraint "app_runs_logs_path_format"', 'cannot put logs elsewhere');
select pg_temp.answers('service', format($$ select string_agg(value, ' ' order by value) from json_each_text(finish_app_runs('batcher', '%s')) $$,
  (select jsonb_agg(jsonb_build_object('run_id', run -> 'id', 'status', 'failed', 'error_message', 'It broke.')) from turns, jsonb_array_elements(answer -> 'claimed') run where turn = 2)),
  'finished retrying', 'fails one run, and the one that asked for it is tried again');
select is((select concat_ws(' ', status, attempt, error_message, attempt_history -> 0 ->> 'outcome',
    run_after between now() + interval '1 second' and now() + interval '2 seconds') from app_runs join batch on run_id = id where retry_failures),
  'pending 1 It broke. failed t', 'with a delay, and its history');
select ok(pg_temp.queue_is_in_step(), 'failing keeps the queue in step');

-- What is written directly

update app_runs set priority = 7, run_after = now() where id = (select run_id from app_runs join batch on run_id = id where retry_failures);
select ok(pg_temp.queue_is_in_step(), 'a new priority reaches the queue');
insert into turns select 4, pg_temp.turn('[]', 1);
select is((select (answer #>> '{claimed,0,attempt}') from turns where turn = 4), '2', 'and the run is claimed for its second attempt');
update app_runs set status = 'failed' where id = (select (answer #>> '{claimed,0,id}')::uuid from turns where turn = 4);
delete from app_runs where status = 'pending' and company_id = pg_temp.id('customer company')::uuid;
select ok(pg_temp.queue_is_in_step(), 'an end and deletions reach the queue');

-- Order

update companies set max_queued_runs = 1000 where id = pg_temp.id('customer company')::uuid;
select pg_temp.answers('customer member', $$
  select array_agg(id order by ordinality) = array_agg(id order by id) from request_app_runs((
    select jsonb_agg('{"app_id": "{private app}", "company_id": "{customer company}", "run_after": "9999-12-31T00:00:00Z"}'::jsonb)
    from generate_series(1, 20))) with ordinality as run (id, ordinality) $$,
  'true', 'gets ids in the order of what was asked for');
insert into batch select request_app_runs((
  select jsonb_agg(jsonb_build_object(
    'app_id', pg_temp.id('private app'), 'company_id', pg_temp.id('customer company'), 'config', jsonb_build_object('turn', n)))
  from generate_series(1, 4) n));
select is(
  (select array_agg(r.config ->> 'turn' order by n) from generate_series(1, 3) n, claim_app_runs('one by one', sign(n)::integer) r),
  '{1,2,3}', 'they are claimed in that order');

select * from finish();
rollback;
