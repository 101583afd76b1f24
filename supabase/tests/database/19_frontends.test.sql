-- Versions that are a frontend alone: there is nothing to run, and whoever asks is told before anything waits.
begin;
\ir tests.inc
select plan(24);

create function pg_temp.refusal(app_version text) returns text language sql as
  $$ select format('Version %s has no backend: its files are for browsers, and there is nothing to run.', app_version) $$;

-- What a version has

insert into app_versions (app_id, version, manifest)
select pg_temp.id('private app')::uuid, '9.0.' || n, jsonb_build_object('version', '9.0.' || n) || manifest
from (values
  (0, '{"type": "frontend", "runtime": {"frontend": {}}}'::jsonb), (1, '{"type": "frontend", "runtime": {}}'),
  (2, '{"type": "backend", "runtime": {"backend": {}}}'), (3, '{"type": "both", "runtime": {"backend": {}, "frontend": {}}}'),
  (4, '{}')) given (n, manifest);
insert into app_versions (app_id, version) values (pg_temp.id('private app')::uuid, '9.0.5');
select is(
  (select string_agg(has_backend::text, ' ' order by version) from app_versions
    where app_id = pg_temp.id('private app')::uuid and version like '9.0.%'),
  'false false true true true true', 'a version has a backend unless its manifest says what it consists of, and names none');
update app_versions set manifest = '{"version": "9.0.5", "runtime": {"frontend": {}}}'
where app_id = pg_temp.id('private app')::uuid and version = '9.0.5';
select is((select has_backend from app_versions where app_id = pg_temp.id('private app')::uuid and version = '9.0.5'), false,
  'a draft that becomes a frontend has none any more');

-- Asked for by its version

select pg_temp.refuses('publisher member', $$
  select request_app_run('{private app}', '{publisher company}', '9.0.0', 'test') $$, 'SW040', pg_temp.refusal('9.0.0'),
  'cannot try out a draft that is a frontend', 'version');
select pg_temp.allows('publisher member', $$ select request_app_run('{private app}', '{publisher company}', '9.0.3', 'test') $$,
  'tries out a draft that is both');
select pg_temp.refuses('outsider', $$ select request_app_run('{private app}', '{outsider company}', '9.0.0') $$, 'SW040',
  'The app is not active, or it is not assigned to this company.', 'is not told what the version has', 'app_id');
select pg_temp.allows('customer member', $$ select request_app_run('{private app}', '{customer company}') $$,
  'runs the newest version, which is older');

-- The newest

select pg_temp.add_file('private app', '9.0.0', 'source.zip', 'source');
create temporary table frontend_schedule as
with made as (
  insert into app_cron_schedules (app_id, company_id, cron_expression)
  values (pg_temp.id('private app')::uuid, pg_temp.id('customer company')::uuid, '* * * * *') returning id
)
select id from made;
update app_versions set status = 'published' where app_id = pg_temp.id('private app')::uuid and version = '9.0.0';
select pg_temp.refuses(actor, statement, 'SW040', pg_temp.refusal('9.0.0'), 'cannot ' || what, 'version')
from (values
  ('customer member', $$ select request_app_run('{private app}', '{customer company}') $$, 'run it'),
  ('customer member', $$ select request_app_run('{private app}', '{customer company}', idempotency_key => 'once') $$, 'run it by a key'),
  ('customer member', $$ select request_app_run('{private app}', '{customer company}', '9.0.0') $$, 'run it by its version'),
  ('publisher owner', $$ select request_app_run('{private app}', '{publisher company}') $$, 'run its own'),
  ('service', $$ select request_app_run('{private app}', '{customer company}', run_type => 'cron') $$, 'run it as due'),
  ('service', $$ insert into app_runs (app_id, company_id) values ('{private app}', '{customer company}') $$, 'insert a run of it'),
  ('customer member', $$ select request_app_runs('[{"app_id": "{private app}", "company_id": "{customer company}"}]') $$, 'run it in bulk'),
  ('customer admin', $$ insert into app_cron_schedules (app_id, company_id, cron_expression)
    values ('{private app}', '{customer company}', '@daily') $$, 'schedule it'),
  ('customer admin', $$ select create_app_webhook('{private app}', '{customer company}', 'Orders') $$, 'make a webhook for it'),
  ('customer admin', $$ select create_app_webhook('{private app}', '{customer company}', 'Orders', '9.0.0') $$, 'make one for the version')
) asked (actor, statement, what);
select is((select count(*) from app_runs where app_id = pg_temp.id('private app')::uuid and version = '9.0.0'), 0::bigint,
  'nothing waits that nobody could run');
select pg_temp.allows('customer admin', $$ select create_app_webhook('{private app}', '{customer company}', 'Orders', '1.0.0') $$,
  'makes a webhook for a version that runs');
select pg_temp.allows('customer member', $$ select request_app_run('{private app}', '{customer company}', '1.0.0') $$,
  'runs the version that runs');

-- What was there before

select is(
  (select skip_reason from private.enqueue_due_app_runs(1000, now() + interval '60 seconds')
    where schedule_id = (select id from frontend_schedule)),
  'not_runnable', 'a schedule from before the frontend skips');
select is(
  (select message from app_cron_skips where schedule_id = (select id from frontend_schedule)), pg_temp.refusal('9.0.0'),
  'and says why');
update app_cron_schedules set is_active = false where id = (select id from frontend_schedule);
select pg_temp.refuses('customer admin', format($$ update app_cron_schedules set is_active = true where id = '%s' $$, id), 'SW040',
  pg_temp.refusal('9.0.0'), 'cannot switch it on again', 'version')
from frontend_schedule;
select pg_temp.allows('customer admin', format($$ update app_cron_schedules set cron_expression = '@daily' where id = '%s' $$, id),
  'changes it otherwise')
from frontend_schedule;
select pg_temp.allows('customer admin', format($$ delete from app_cron_schedules where id = '%s' $$, id), 'deletes it')
from frontend_schedule;

select * from finish();
rollback;
