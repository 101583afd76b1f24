-- Schedules as rows: defaults, constraints, and whose app they may run. What they mean is tested with the tick.
begin;
\ir tests.inc
select plan(38);

select pg_temp.learn('schedule', 'customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '0 4 * * *') returning id $$);
select pg_temp.answers('customer member', $$
  select concat_ws(' ', timezone, is_active, missed_policy, overlap_policy, max_lateness, config, created_by = '{customer admin}',
    last_run_at is null, last_run_id is null, next_run_at > now())
  from app_cron_schedules where id = '{schedule}' $$, 'UTC t run_once skip 01:00:00 {} t t t t', 'sees what a schedule begins with');
update app_cron_schedules set updated_at = now() - interval '1 day' where id = pg_temp.id('schedule')::uuid;
select pg_temp.answers('customer admin', $$
  update app_cron_schedules set config = '{"a": 1}' where id = '{schedule}' returning updated_at = now() $$, 'true',
  'changes a schedule, and updated_at with it');

select pg_temp.refuses('customer admin', format($$ update app_cron_schedules set %s where id = '{schedule}' $$, change), '23514',
  format('new row for relation "app_cron_schedules" violates check constraint "app_cron_schedules_%s"', name), 'cannot set ' || change)
from (values
  ($$config = '[]'$$, 'config_object'), ($$missed_policy = 'cry'$$, 'missed_policy'), ($$overlap_policy = 'queue'$$, 'overlap_policy'),
  ($$max_lateness = '-1 second'$$, 'max_lateness_range'), ($$max_lateness = '32 days'$$, 'max_lateness_range'),
  ($$max_lateness = '-70000000 months 2100000000 days'$$, 'max_lateness_range'), ($$max_lateness = '2 days -1 hour'$$, 'max_lateness_range'),
  ($$max_lateness = '1 month'$$, 'max_lateness_range'), ($$max_lateness = 'infinity'$$, 'max_lateness_range')) bad (change, name);
select pg_temp.allows('customer admin', format($$ update app_cron_schedules set %s where id = '{schedule}' $$, change), 'sets ' || change)
from unnest(array[$$missed_policy = 'skip'$$, $$missed_policy = 'run_all'$$, $$overlap_policy = 'allow'$$, $$max_lateness = '0'$$,
  $$max_lateness = '31 days'$$, 'is_active = false', 'is_active = true']) change;

-- Whose app, whose company

select pg_temp.refuses('customer admin', format($$ insert into app_cron_schedules (app_id, company_id, cron_expression) values (%s, '@daily') $$, ids),
  'SW040', 'The app is not active, or it is not assigned to this company.', 'cannot schedule ' || what, 'app_id')
from (values
  ($$'{unassigned app}', '{customer company}'$$, 'an app that is not assigned'),
  ($$'{private app}', '{publisher company}'$$, 'the app for its publisher'),
  ($$'{private app}', '{outsider company}'$$, 'the app for a company that it is not assigned to'),
  (format($$'%s', '{customer company}'$$, gen_random_uuid()), 'an app that does not exist')) bad (ids, what);
select pg_temp.refuses('service', format($$ update app_cron_schedules set %s where id = '{schedule}' $$, change), 'SW040',
  'The app is not active, or it is not assigned to this company.', 'cannot set ' || change, 'app_id')
from unnest(array[$$app_id = '{unassigned app}'$$, $$company_id = '{outsider company}'$$]) change;

-- How many a company may have

select pg_temp.allows('superadmin', $$
  update companies set max_schedules = (select count(*) from app_cron_schedules where company_id = '{customer company}') + 1
  where id = '{customer company}' $$, 'lets a company have one schedule more than it has');
select pg_temp.refuses('customer owner', $$ update companies set max_schedules = 100 where id = '{customer company}' $$, 'SW003',
  'Limits of a company are set by superadmins.', 'cannot let it have more', 'max_schedules');
select pg_temp.refuses('customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression)
  select '{private app}', '{customer company}', '@daily' from generate_series(1, 2) $$, 'SW053',
  format('The company has %s schedules, as many as it may (max_schedules).',
    (select max_schedules from companies where id = pg_temp.id('customer company')::uuid)), 'cannot add two at once', 'company_id');
select pg_temp.learn('one more', 'customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression, is_active)
  values ('{private app}', '{customer company}', '@daily', false) returning id $$);
select pg_temp.refuses(actor, $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '@daily') $$, 'SW053',
  format('The company has %s schedules, as many as it may (max_schedules).',
    (select max_schedules from companies where id = pg_temp.id('customer company')::uuid)), 'cannot add another one', 'company_id')
from unnest(array['customer admin', 'superadmin', 'service']) actor;
select pg_temp.learn('elsewhere', 'publisher admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{publisher company}', '@daily') returning id $$);
select pg_temp.refuses('service', $$ update app_cron_schedules set company_id = '{customer company}' where id = '{elsewhere}' $$, 'SW053',
  format('The company has %s schedules, as many as it may (max_schedules).',
    (select max_schedules from companies where id = pg_temp.id('customer company')::uuid)), 'cannot move one there', 'company_id');
select pg_temp.refuses('customer member', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '@daily') $$, '42501',
  'new row violates row-level security policy for table "app_cron_schedules"', 'cannot schedule, whatever there is room for');
select pg_temp.allows('customer admin', $$ update app_cron_schedules set is_active = true where id = '{one more}' $$, 'changes what there is');
select pg_temp.allows('customer admin', $$ delete from app_cron_schedules where id = '{one more}' $$, 'deletes one');
select pg_temp.allows('customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '@daily') $$,
  'adds one in its place');

-- Its last run may go

select pg_temp.create_run('run', 'private app', 'customer company', 'success');
select pg_temp.allows('service', $$ update app_cron_schedules set last_run_id = '{run}' where id = '{schedule}' $$, 'notes the last run');
select pg_temp.allows('service', $$ delete from app_runs where id = '{run}' $$, 'deletes that run');
select pg_temp.answers('customer member', $$ select last_run_id is null from app_cron_schedules where id = '{schedule}' $$, 'true',
  'sees the schedule without it');

select * from finish();
rollback;
