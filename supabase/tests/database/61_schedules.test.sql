-- Schedules: when they are due next, and the tick that makes runs of due times. The tick is simulated in the past, where
-- no other schedule of the database is due.
begin;
\ir tests.inc
select plan(85);

-- A schedule of the customer, due at a given time.
create function pg_temp.create_schedule(
  new_name text, expression text, due timestamptz default null, zone text default 'UTC',
  missed text default 'run_once', overlap text default 'allow', lateness interval default '1 hour')
returns uuid language plpgsql as $$
declare
  new_id uuid;
begin
  insert into app_cron_schedules (
    app_id, company_id, cron_expression, timezone, missed_policy, overlap_policy, max_lateness, config)
  values (
    pg_temp.id('private app')::uuid, pg_temp.id('customer company')::uuid, expression, zone, missed, overlap, lateness,
    '{"answer": 42}')
  returning id into new_id;
  if due is not null then
    update app_cron_schedules set next_run_at = due where id = new_id;
  end if;
  perform pg_temp.remember(new_name, new_id);
  return new_id;
end;
$$;

-- What a tick at that time did with a schedule: one line a run or skip, times of the day in UTC.
create function pg_temp.tick(schedule text, tick_at timestamptz) returns text language plpgsql as $$
declare
  lines text;
begin
  perform pg_temp.become('service');
  select string_agg(format('%s-%s %s %s', to_char(due_at at time zone 'UTC', 'HH24:MI'),
    to_char(last_due_at at time zone 'UTC', 'HH24:MI'), coalesce(due_count::text, 'many'),
    coalesce(skip_reason, case when run_id is not null then 'run' end)), '; ' order by due_at)
  into lines
  from private.enqueue_due_app_runs(1000, tick_at)
  where schedule_id = pg_temp.id(schedule)::uuid;
  perform pg_temp.become('operator');
  return coalesce(lines, 'nothing');
end;
$$;

create function pg_temp.schedule(wanted text) returns app_cron_schedules language sql as $$
  select * from app_cron_schedules where id = pg_temp.id(wanted)::uuid
$$;

create function pg_temp.run_count(schedule text) returns bigint language sql as $$
  select count(*) from app_runs where run_type = 'cron' and metadata ->> 'schedule_id' = pg_temp.id(schedule)
$$;

do $$
declare
  helper regprocedure;
begin
  for helper in select oid::regprocedure from pg_proc where pronamespace = pg_my_temp_schema() loop
    execute format('grant execute on function %s to public', helper);
  end loop;
end;
$$;

-- The next run comes from triggers

select pg_temp.learn('daily', 'customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression, timezone)
  values ('{private app}', '{customer company}', '30 2 * * *', 'Europe/Berlin') returning id $$);
select is(
  (pg_temp.schedule('daily')).next_run_at, next_cron_run('30 2 * * *', 'Europe/Berlin'), 'a new schedule knows its next run');

select pg_temp.allows('customer admin', $$
  update app_cron_schedules set cron_expression = E'\t0  12 * * * ' where id = '{daily}' $$, 'changes the expression');
select is((pg_temp.schedule('daily')).cron_expression, '0 12 * * *', 'white space is made regular');
select is(
  (pg_temp.schedule('daily')).next_run_at, next_cron_run('0 12 * * *', 'Europe/Berlin'), 'and the next run follows');
select pg_temp.allows('customer admin', $$
  update app_cron_schedules set timezone = 'Asia/Tokyo' where id = '{daily}' $$, 'changes the zone');
select is(
  (pg_temp.schedule('daily')).next_run_at, next_cron_run('0 12 * * *', 'Asia/Tokyo'), 'and the next run follows the zone');

update app_cron_schedules set next_run_at = '2021-01-01Z' where id = pg_temp.id('daily')::uuid;
select is((pg_temp.schedule('daily')).next_run_at, '2021-01-01Z', 'an operator may set the next run');
select pg_temp.allows('customer admin', $$
  update app_cron_schedules set config = '{"a": 1}' where id = '{daily}' $$, 'changes the config');
select is((pg_temp.schedule('daily')).next_run_at, '2021-01-01Z', 'which does not move the next run');
select pg_temp.allows('customer admin', $$
  update app_cron_schedules set is_active = false where id = '{daily}' $$, 'switches the schedule off');
select is((pg_temp.schedule('daily')).next_run_at, null, 'an inactive schedule has no next run');
select is(pg_temp.tick('daily', '2021-02-01Z'), 'nothing', 'and is not due');
select pg_temp.allows('customer admin', $$
  update app_cron_schedules set is_active = true where id = '{daily}' $$, 'switches the schedule on');
select is(
  (pg_temp.schedule('daily')).next_run_at, next_cron_run('0 12 * * *', 'Asia/Tokyo'),
  'and it counts from now, not from when it was switched off');

select pg_temp.refuses('customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression)
  values ('{private app}', '{customer company}', '61 * * * *') $$,
  'SW050', 'minute: 61 is not between 0 and 59.', 'schedules by a wrong expression', 'cron_expression');
select pg_temp.refuses('customer admin', $$
  update app_cron_schedules set cron_expression = '* * 30 2 *' where id = '{daily}' $$,
  'SW050', 'day of month: no such day is in any of the months; this never comes true.',
  'changes a schedule to 30 February', 'cron_expression');
select pg_temp.refuses('customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression, timezone)
  values ('{private app}', '{customer company}', '0,30 2 8-14 3 */7', 'America/New_York') $$,
  'SW050', 'The expression never comes true in America/New_York.',
  'schedules what the clock always skips', 'cron_expression');
select pg_temp.refuses('customer admin', $$
  update app_cron_schedules set timezone = 'CEST' where id = '{daily}' $$,
  'SW051', 'There is no time zone CEST; names are like UTC or Europe/Berlin.',
  'changes a schedule to an unknown zone', 'timezone');
select pg_temp.refuses('customer admin', $$
  update app_cron_schedules set cron_expression = '61 * * * *', is_active = false where id = '{daily}' $$,
  'SW050', 'minute: 61 is not between 0 and 59.', 'hides a wrong expression in an inactive schedule', 'cron_expression');
select pg_temp.refuses('customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression)
  values ('{unassigned app}', '{customer company}', '@daily') $$,
  'SW040', 'The app is not active, or it is not assigned to this company.', 'schedules an app that is not assigned', 'app_id');
select is(
  (select count(*) from app_cron_schedules where company_id = pg_temp.id('customer company')::uuid), 1::bigint,
  'nothing was left of what was refused');

-- On time

select pg_temp.create_schedule('quarters', '*/15 * * * *', '2021-03-01 10:00Z');
select is(pg_temp.tick('quarters', '2021-03-01 09:59:59Z'), 'nothing', 'before its time a schedule is not due');
select is(pg_temp.tick('quarters', '2021-03-01 10:00Z'), '10:00-10:00 1 run', 'at its time it runs');
select is(pg_temp.tick('quarters', '2021-03-01 10:00:01Z'), 'nothing', 'once');
select is((pg_temp.schedule('quarters')).next_run_at, '2021-03-01 10:15Z', 'the next run is known');
select is((pg_temp.schedule('quarters')).last_run_at, '2021-03-01 10:00Z', 'and when the last one was enqueued');
select is(
  (select array[run_type, status, company_id::text, app_id::text, version, config ->> 'answer', metadata ->> 'due_at',
     metadata ->> 'schedule_id', coalesce(requested_by::text, 'nobody')]
   from app_runs where id = (pg_temp.schedule('quarters')).last_run_id),
  array['cron', 'pending', pg_temp.id('customer company'), pg_temp.id('private app'), '1.0.0', '42', '2021-03-01T10:00:00Z',
    pg_temp.id('quarters'), 'nobody'],
  'the run is a cron run of the newest version, with the schedule''s config, and says what it is due to');

update app_cron_schedules set next_run_at = '2021-03-01 10:00Z' where id = pg_temp.id('quarters')::uuid;
select is(pg_temp.tick('quarters', '2021-03-01 10:00:30Z'), 'nothing', 'a due time that is set back does not run again');
select is(pg_temp.run_count('quarters'), 1::bigint, 'there is one run of it');
select is((pg_temp.schedule('quarters')).next_run_at, '2021-03-01 10:15Z', 'and the schedule goes on');

-- Missed

select pg_temp.create_schedule('skipping', '*/15 * * * *', '2021-03-02 10:00Z', missed => 'skip');
select is(pg_temp.tick('skipping', '2021-03-02 10:00:59Z'), '10:00-10:00 1 run', 'skip: less than a minute late is on time');
select is(
  pg_temp.tick('skipping', '2021-03-02 11:50Z'), '10:15-11:45 7 missed', 'skip: what is later is skipped, in one stretch');
select is((pg_temp.schedule('skipping')).next_run_at, '2021-03-02 12:00Z', 'skip: and the schedule goes on');
select is(
  pg_temp.tick('skipping', '2021-03-02 13:00:10Z'), '12:00-12:45 4 missed; 13:00-13:00 1 run',
  'skip: the one that is on time runs');
select is(
  (select string_agg(format('%s %s %s %s', to_char(first_due_at at time zone 'UTC', 'HH24:MI'),
     to_char(last_due_at at time zone 'UTC', 'HH24:MI'), due_count, reason), '; ' order by first_due_at)
   from app_cron_skips where schedule_id = pg_temp.id('skipping')::uuid),
  '10:15 11:45 7 missed; 12:00 12:45 4 missed', 'every skip is recorded');

select pg_temp.create_schedule('catching up', '*/15 * * * *', '2021-03-03 10:00Z', missed => 'run_once');
select is(
  pg_temp.tick('catching up', '2021-03-03 11:50Z'), '10:00-11:30 7 missed; 11:45-11:45 1 run',
  'run_once: the latest missed one runs, the others are skipped');
select is((pg_temp.schedule('catching up')).last_run_at, '2021-03-03 11:50Z', 'run_once: it was enqueued late');
select is(
  pg_temp.tick('catching up', '2021-03-03 12:30:05Z'), '12:00-12:15 2 missed; 12:30-12:30 1 run',
  'run_once: one that is on time makes up for those before');

select pg_temp.create_schedule('rare', '0 3 * * *', '2021-03-03 03:00Z', missed => 'run_once');
select is(pg_temp.tick('rare', '2021-03-03 22:00Z'), '03:00-03:00 1 run', 'run_once: a daily job runs, hours late');

select pg_temp.create_schedule('complete', '*/15 * * * *', '2021-03-04 08:00Z', missed => 'run_all');
select is(
  pg_temp.tick('complete', '2021-03-04 10:10Z'),
  '08:00-09:00 5 too_late; 09:15-09:15 1 run; 09:30-09:30 1 run; 09:45-09:45 1 run; 10:00-10:00 1 run',
  'run_all: all run that are at most max_lateness late');
select is(
  (select message from app_cron_skips where schedule_id = pg_temp.id('complete')::uuid), 'Later than 01:00:00.',
  'run_all: the others say why not');
select pg_temp.create_schedule('exact', '0 * * * *', '2021-03-04 08:00Z', missed => 'run_all', lateness => '2 hours');
select is(
  pg_temp.tick('exact', '2021-03-04 10:00Z'), '08:00-08:00 1 run; 09:00-09:00 1 run; 10:00-10:00 1 run',
  'run_all: exactly max_lateness is not too late');

update companies set max_queued_runs = 10000 where id = pg_temp.id('customer company')::uuid;
select pg_temp.create_schedule('dense', '* * * * *', '2021-03-05 00:00Z', missed => 'run_all', lateness => '1 day');
select is(
  (select count(*) from regexp_matches(pg_temp.tick('dense', '2021-03-05 04:00:30Z'), ' run', 'g')), 100::bigint,
  'run_all: a tick enqueues a hundred runs of a schedule at most');
select is((pg_temp.schedule('dense')).next_run_at, '2021-03-05 01:40Z', 'and leaves the others due');
select is(
  (select count(*) from regexp_matches(pg_temp.tick('dense', '2021-03-05 04:00:31Z'), ' run', 'g'))
    + (select count(*) from regexp_matches(pg_temp.tick('dense', '2021-03-05 04:00:32Z'), ' run', 'g')),
  141::bigint, 'the next ticks enqueue them');
select is(
  (select count(distinct metadata ->> 'due_at') from app_runs where metadata ->> 'schedule_id' = pg_temp.id('dense')),
  241::bigint, 'each once');

select pg_temp.create_schedule('forgotten', '* * * * *', '2020-01-01 00:00Z');
select is(
  pg_temp.tick('forgotten', '2021-03-06 00:00:10Z'), '00:00-23:59 many missed; 00:00-00:00 1 run',
  'a long outage of a dense schedule is skipped without counting it out');

-- Overlap

select pg_temp.create_schedule('alone', '*/15 * * * *', '2021-03-07 10:00Z', overlap => 'skip');
select is(pg_temp.tick('alone', '2021-03-07 10:00Z'), '10:00-10:00 1 run', 'overlap skip: the first one runs');
select is(pg_temp.tick('alone', '2021-03-07 10:15Z'), '10:15-10:15 1 overlap', 'overlap skip: not while it is waiting');
select is(
  (select message from app_cron_skips where schedule_id = pg_temp.id('alone')::uuid),
  format('Run %s was unfinished.', (pg_temp.schedule('alone')).last_run_id), 'overlap skip: the record names the run');
update app_runs
set status = 'running', attempt = 1, executor_id = 'x', started_at = now(), lease_expires_at = now() + interval '1 hour'
where id = (pg_temp.schedule('alone')).last_run_id;
select is(pg_temp.tick('alone', '2021-03-07 10:30Z'), '10:30-10:30 1 overlap', 'overlap skip: not while it is running');
update app_runs set status = 'failed' where id = (pg_temp.schedule('alone')).last_run_id;
select is(pg_temp.tick('alone', '2021-03-07 10:45Z'), '10:45-10:45 1 run', 'overlap skip: again once it is over');
update app_cron_schedules set missed_policy = 'run_all' where id = pg_temp.id('alone')::uuid;
update app_runs set status = 'cancelled' where id = (pg_temp.schedule('alone')).last_run_id;
select is(
  pg_temp.tick('alone', '2021-03-07 11:40Z'), '11:00-11:00 1 run; 11:15-11:30 2 overlap',
  'overlap skip: of many that are missed, one runs');

select pg_temp.create_schedule('beside', '*/15 * * * *', '2021-03-07 12:00Z', overlap => 'allow');
select is(pg_temp.tick('beside', '2021-03-07 12:00Z'), '12:00-12:00 1 run', 'overlap allow: the first one runs');
select is(
  pg_temp.tick('beside', '2021-03-07 12:15Z'), '12:15-12:15 1 run', 'overlap allow: and the next one beside it');

-- Refused

update companies set max_queued_runs = 0 where id = pg_temp.id('customer company')::uuid;
select pg_temp.create_schedule('crowded', '*/15 * * * *', '2021-03-08 10:00Z', missed => 'run_all');
select is(pg_temp.tick('crowded', '2021-03-08 10:50Z'), '10:00-10:45 4 queue_full', 'a full queue is recorded, not raised');
select is(
  (select message from app_cron_skips where schedule_id = pg_temp.id('crowded')::uuid),
  'The company has 0 runs waiting, as many as it may.', 'with the reason');
select is((pg_temp.schedule('crowded')).next_run_at, '2021-03-08 11:00Z', 'and the schedule goes on');
select is((pg_temp.schedule('crowded')).is_active, true, 'active as before');
update companies set max_queued_runs = 10000 where id = pg_temp.id('customer company')::uuid;

select pg_temp.create_app('empty app', 'customer company');
insert into app_cron_schedules (app_id, company_id, cron_expression)
values (pg_temp.id('empty app')::uuid, pg_temp.id('customer company')::uuid, '@hourly');
select pg_temp.remember('empty', id) from app_cron_schedules where app_id = pg_temp.id('empty app')::uuid;
update app_cron_schedules set next_run_at = '2021-03-08 10:00Z' where id = pg_temp.id('empty')::uuid;
select is(pg_temp.tick('empty', '2021-03-08 10:00:01Z'), '10:00-10:00 1 not_runnable', 'an app without a version is recorded');
select is(
  (select message from app_cron_skips where schedule_id = pg_temp.id('empty')::uuid),
  'The app has no published version.', 'with the reason');

select pg_temp.refuses('customer admin', $$
  update app_cron_schedules
  set config = jsonb_build_object('text', (select string_agg(gen_random_uuid()::text, '') from generate_series(1, 20000)))
  where id = '{daily}' $$,
  '23514', 'new row for relation "app_cron_schedules" violates check constraint "app_cron_schedules_config_size"',
  'gives a config that no run takes');

-- The due time has been run, with another config.
update app_cron_schedules set next_run_at = '2021-03-01 10:00Z', config = '{}' where id = pg_temp.id('quarters')::uuid;
select is(
  pg_temp.tick('quarters', '2021-03-01 10:00:30Z'), '10:00-10:00 1 failed', 'any other refusal is recorded');
select is(
  (select message from app_cron_skips
   where schedule_id = pg_temp.id('quarters')::uuid and first_due_at = '2021-03-01 10:00Z'),
  'This idempotency key belongs to a run that was asked for with other values.', 'with its reason');

-- A zone that a newer database no longer has.
select pg_temp.create_schedule('broken', '@hourly', '2021-03-08 10:00Z');
alter table app_cron_schedules disable trigger plan_changed_schedule;
update app_cron_schedules set timezone = 'Atlantis/Centre' where id = pg_temp.id('broken')::uuid;
alter table app_cron_schedules enable trigger plan_changed_schedule;
select pg_temp.create_schedule('unbroken', '@hourly', '2021-03-08 11:00Z');
select is(
  pg_temp.tick('broken', '2021-03-08 11:00:01Z'), '10:00-10:00 many invalid', 'a zone that is gone is recorded');
select is(
  array[(pg_temp.schedule('broken')).is_active, (pg_temp.schedule('broken')).next_run_at is null], array[false, true],
  'and the schedule is switched off');
select is(pg_temp.run_count('unbroken'), 1::bigint, 'while others run');
select pg_temp.refuses('customer admin', $$
  update app_cron_schedules set is_active = true where id = '{broken}' $$,
  'SW051', 'There is no time zone Atlantis/Centre; names are like UTC or Europe/Berlin.',
  'switches it on as it is', 'timezone');

-- One schedule that cannot be reckoned with does not keep the others from running: as if its constraint were not there

select pg_temp.create_schedule('poison', '* * * * *', '2000-01-01 12:00Z', missed => 'run_all');
select pg_temp.create_schedule('healthy', '* * * * *', '2000-01-01 12:00Z', missed => 'run_all');
alter table app_cron_schedules drop constraint app_cron_schedules_max_lateness_range;
update app_cron_schedules set max_lateness = '-70000000 months 2100000000 days' where id = pg_temp.id('poison')::uuid;
select is(pg_temp.tick('healthy', '2000-01-01 12:00:30Z'), '12:00-12:00 1 run', 'the healthy one runs in the same tick');
select is((pg_temp.schedule('poison')).is_active, false, 'the other one is switched off');
select is((select reason || ': ' || message from app_cron_skips where schedule_id = pg_temp.id('poison')::uuid), 'invalid: timestamp out of range',
  'and its company is told why');

-- An app that a company loses

delete from app_assignments where app_id = pg_temp.id('private app')::uuid and company_id = pg_temp.id('customer company')::uuid;
select is(
  (select count(*) from app_cron_schedules
   where app_id = pg_temp.id('private app')::uuid and (is_active or next_run_at is not null)), 0::bigint,
  'without the assignment no schedule of the app is due any more');
select pg_temp.refuses('customer admin', $$
  update app_cron_schedules set is_active = true where id = '{daily}' $$,
  'SW040', 'The app is not active, or it is not assigned to this company.',
  'switches on a schedule of an app that is gone', 'app_id');

-- Who may tick, and who sees what was skipped

select pg_temp.allows('service', 'select count(*) from enqueue_due_app_runs(1)', 'ticks');
select pg_temp.refuses('service', 'select enqueue_due_app_runs(0)', 'SW001', 'max_schedules takes 1 to 1000.',
  'ticks for nothing', 'max_schedules');
select pg_temp.refuses(actor, 'select enqueue_due_app_runs()', '42501',
  'permission denied for function enqueue_due_app_runs', 'ticks')
from unnest(array['anonymous', 'customer owner', 'superadmin']) actor;
select pg_temp.refuses('superadmin', 'select private.enqueue_due_app_runs(1, now())', '42501',
  'permission denied for function enqueue_due_app_runs', 'ticks at a time of their choice');
select pg_temp.answers(actor, $$
  select string_agg(distinct reason, ', ') from app_cron_skips where schedule_id = '{skipping}' $$, expected,
  'sees what the customer''s schedule skipped, or nothing')
from (values ('customer member', 'missed'), ('superadmin', 'missed'), ('service', 'missed'),
  ('publisher owner', null), ('outsider', null)) as readers (actor, expected);

-- pg_cron

select is(
  private.tick_by_pg_cron(), exists (select from pg_extension where extname = 'pg_cron'),
  'pg_cron ticks where it is, and nothing breaks where it is not');

select * from finish();
rollback;
