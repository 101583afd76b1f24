-- What a cron expression means, when it is due next, and how a wrong one is refused. A differential test compares the
-- same function with another implementation (scripts/test/cron); here stand the rules, one example each.
begin;
\ir tests.inc

create temp table cases (
  number integer generated always as identity,
  rule text, expression text, zone text, after timestamptz, expected timestamptz
) on commit drop;
create temp table wrong (
  number integer generated always as identity,
  rule text, expression text, message text
) on commit drop;
grant select on cases, wrong to public;

insert into cases (rule, expression, zone, after, expected) values
  -- Fields
  ('every minute', '* * * * *', 'UTC', '2025-07-18 10:00:30Z', '2025-07-18 10:01Z'),
  ('strictly after', '0 10 * * *', 'UTC', '2025-07-18 10:00Z', '2025-07-19 10:00Z'),
  ('a moment before', '0 10 * * *', 'UTC', '2025-07-18 09:59:59.999999Z', '2025-07-18 10:00Z'),
  ('a step', '*/20 * * * *', 'UTC', '2025-07-18 10:41Z', '2025-07-18 11:00Z'),
  ('a step over a range', '10-40/15 * * * *', 'UTC', '2025-07-18 10:26Z', '2025-07-18 10:40Z'),
  ('a list in any order', '45,5,20-22 * * * *', 'UTC', '2025-07-18 10:22Z', '2025-07-18 10:45Z'),
  ('the last minute of the hour', '59 23 * * *', 'UTC', '2025-07-18 23:59Z', '2025-07-19 23:59Z'),
  ('the last hour of the day', '0 23 * * *', 'UTC', '2025-07-18 23:30Z', '2025-07-19 23:00Z'),
  ('leading zeros', '05 09 01 02 *', 'UTC', '2025-07-18Z', '2026-02-01 09:05Z'),
  ('names of months, in any case', '0 0 1 Feb,OCT *', 'UTC', '2025-07-18Z', '2025-10-01Z'),
  ('a range of names', '0 0 1 nov-dec *', 'UTC', '2025-07-18Z', '2025-11-01Z'),
  ('names of days', '0 0 * * mon-fri', 'UTC', '2025-07-18 12:00Z', '2025-07-21Z'),
  ('Sunday as 0', '0 0 * * 0', 'UTC', '2025-07-18Z', '2025-07-20Z'),
  ('Sunday as 7', '0 0 * * 7', 'UTC', '2025-07-18Z', '2025-07-20Z'),
  ('a week that ends on Sunday', '0 0 * * sat-sun', 'UTC', '2025-07-19 12:00Z', '2025-07-20Z'),
  ('a step over the week', '0 0 * * */3', 'UTC', '2025-07-18Z', '2025-07-19Z'),
  ('? for either day', '0 0 ? * 1', 'UTC', '2025-07-18Z', '2025-07-21Z'),
  ('spaces and tabs', E'  0\t12  *  * * \n', 'UTC', '2025-07-18Z', '2025-07-18 12:00Z'),
  -- Macros
  ('@hourly', '@hourly', 'UTC', '2025-07-18 10:30Z', '2025-07-18 11:00Z'),
  ('@daily', '@daily', 'UTC', '2025-07-18 10:30Z', '2025-07-19Z'),
  ('@midnight', '@midnight', 'UTC', '2025-07-18 10:30Z', '2025-07-19Z'),
  ('@weekly', '@weekly', 'UTC', '2025-07-18 10:30Z', '2025-07-20Z'),
  ('@monthly', '@monthly', 'UTC', '2025-07-18 10:30Z', '2025-08-01Z'),
  ('@yearly', '@yearly', 'UTC', '2025-07-18 10:30Z', '2026-01-01Z'),
  ('@annually', ' @Annually ', 'UTC', '2025-07-18 10:30Z', '2026-01-01Z'),
  -- Days
  ('either of two restricted days: the day of the week', '0 0 13 * 5', 'UTC', '2025-07-18Z', '2025-07-25Z'),
  ('either of two restricted days: the day of the month', '0 0 20 * 5', 'UTC', '2025-07-18Z', '2025-07-20Z'),
  ('both days, where one begins with *', '0 0 */2 * 1', 'UTC', '2025-07-18Z', '2025-07-21Z'),
  ('both days, where the other begins with *', '0 0 13 * */5', 'UTC', '2025-07-18Z', '2026-02-13Z'),
  ('the 31st, in months that have one', '0 0 31 * *', 'UTC', '2025-08-31Z', '2025-10-31Z'),
  ('a day that the month lacks, beside one that has it', '0 0 30 2,6 *', 'UTC', '2025-07-18Z', '2026-06-30Z'),
  ('a leap day', '0 0 29 2 *', 'UTC', '2025-07-18Z', '2028-02-29Z'),
  ('a leap day across 2100, which has none', '0 0 29 2 *', 'UTC', '2096-02-29Z', '2104-02-29Z'),
  ('a leap day across 2000, which has one', '0 0 29 2 *', 'UTC', '1996-02-29Z', '2000-02-29Z'),
  ('a leap day on a Sunday, forty years on', '0 0 29 2 */7', 'UTC', '2088-02-29Z', '2128-02-29Z'),
  ('a year''s end', '59 23 31 12 *', 'UTC', '2025-12-31 23:59Z', '2026-12-31 23:59Z'),
  ('before 1970', '30 12 * * 4', 'UTC', '1960-02-29 23:59Z', '1960-03-03 12:30Z'),
  -- Zones
  ('in a zone ahead', '0 9 * * *', 'Asia/Tokyo', '2025-07-18Z', '2025-07-19Z'),
  ('on a date that UTC has not reached', '0 0 1 1 *', 'Pacific/Kiritimati', '2025-12-31Z', '2025-12-31 10:00Z'),
  ('in a zone that is 45 minutes off', '0 12 * * *', 'Asia/Kathmandu', '2025-07-18Z', '2025-07-18 06:15Z'),
  ('in summer', '0 12 * * *', 'Europe/Berlin', '2025-07-18Z', '2025-07-18 10:00Z'),
  ('in winter', '0 12 * * *', 'Europe/Berlin', '2025-12-18Z', '2025-12-18 11:00Z'),
  -- A fixed time in a gap: 02:00 to 03:00 on 30 March 2025 in Berlin, which begins at 01:00Z
  ('a fixed time in a gap runs at its end', '30 2 * * *', 'Europe/Berlin', '2025-03-29 12:00Z', '2025-03-30 01:00Z'),
  ('and then as ever', '30 2 * * *', 'Europe/Berlin', '2025-03-30 01:00Z', '2025-03-31 00:30Z'),
  ('the first minute of a gap', '0 2 * * *', 'Europe/Berlin', '2025-03-29 12:00Z', '2025-03-30 01:00Z'),
  ('the end of a gap is not in it', '0 3 * * *', 'Europe/Berlin', '2025-03-29 12:00Z', '2025-03-30 01:00Z'),
  ('a list is no fixed time', '30 2,14 * * *', 'Europe/Berlin', '2025-03-29 14:00Z', '2025-03-30 12:30Z'),
  ('a step is no fixed time', '30 2-2/1 * * *', 'Europe/Berlin', '2025-03-29 13:00Z', '2025-03-31 00:30Z'),
  ('a * that comes once is no fixed time', '*/60 2 * * *', 'Europe/Berlin', '2025-03-29 13:00Z', '2025-03-31 00:00Z'),
  ('the clock skips what is in a gap', '*/15 * * * *', 'Europe/Berlin', '2025-03-30 00:45Z', '2025-03-30 01:00Z'),
  ('a gap at midnight', '0 0 * * *', 'America/Havana', '2025-03-08 12:00Z', '2025-03-09 05:00Z'),
  ('a gap up to midnight: the next date', '30 23 * * *', 'America/Nuuk', '2025-03-29 12:00Z', '2025-03-30 01:00Z'),
  ('a gap of thirty minutes', '15 2 * * *', 'Australia/Lord_Howe', '2025-10-04 00:00Z', '2025-10-04 15:30Z'),
  ('beside a gap of thirty minutes', '45 2 * * *', 'Australia/Lord_Howe', '2025-10-04 00:00Z', '2025-10-04 15:45Z'),
  ('a date that was skipped', '0 10 * * *', 'Pacific/Apia', '2011-12-29 20:30Z', '2011-12-30 20:00Z'),
  ('a date that was skipped, alone', '0 10 30 12 *', 'Pacific/Apia', '2011-12-01Z', '2012-12-29 20:00Z'),
  ('every hour over a date that was skipped', '0 * * * *', 'Pacific/Apia', '2011-12-30 09:00Z', '2011-12-30 10:00Z'),
  -- An overlap: 02:00 to 03:00 twice on 26 October 2025 in Berlin, from 00:00Z and from 01:00Z
  ('a fixed time in an overlap runs the first time', '30 2 * * *', 'Europe/Berlin', '2025-10-25 12:00Z', '2025-10-26 00:30Z'),
  ('and not again', '30 2 * * *', 'Europe/Berlin', '2025-10-26 00:30Z', '2025-10-27 01:30Z'),
  ('not even from between', '30 2 * * *', 'Europe/Berlin', '2025-10-26 01:10Z', '2025-10-27 01:30Z'),
  ('the clock runs what it shows twice', '*/30 2 * * *', 'Europe/Berlin', '2025-10-26 00:30Z', '2025-10-26 01:00Z'),
  ('twice', '*/30 2 * * *', 'Europe/Berlin', '2025-10-26 01:00Z', '2025-10-26 01:30Z'),
  ('a list runs twice as well', '10 2,14 * * *', 'Europe/Berlin', '2025-10-26 00:10Z', '2025-10-26 01:10Z'),
  ('what is behind the overlap waits for it', '0 3,4 * * *', 'Europe/Berlin', '2025-10-26 00:10Z', '2025-10-26 02:00Z'),
  ('an overlap of thirty minutes', '*/15 1 * * *', 'Australia/Lord_Howe', '2025-04-05 14:45Z', '2025-04-05 15:00Z'),
  ('an overlap over midnight', '0,30 0,23 * * *', 'Atlantic/Azores', '2025-10-26 00:30Z', '2025-10-26 01:00Z'),
  -- Never
  ('only in gaps: never', '0,30 2 8-14 3 */7', 'America/New_York', '2025-07-18Z', null),
  ('after infinity', '* * * * *', 'UTC', 'infinity', null),
  ('after minus infinity', '* * * * *', 'UTC', '-infinity', null),
  ('after the calendar''s end', '* * * * *', 'UTC', '9999-01-01Z', null),
  ('after nothing', '* * * * *', 'UTC', null, null);

insert into wrong (rule, expression, message) values
  ('nothing', '', 'A cron expression has five fields (minute, hour, day of month, month, day of week), not 0.'),
  ('null', null, 'A cron expression takes 1 to 200 characters.'),
  ('too long', repeat('1,', 100) || '1 * * * *', 'A cron expression takes 1 to 200 characters.'),
  ('four fields', '* * * *', 'A cron expression has five fields (minute, hour, day of month, month, day of week), not 4.'),
  ('six fields', '0 * * * * *', 'A cron expression has five fields (minute, hour, day of month, month, day of week), not 6.'),
  ('an unknown macro', '@fortnightly',
    '@fortnightly is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.'),
  ('@reboot', '@reboot', '@reboot is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.'),
  ('a macro with more', '@every 5m', '@every is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.'),
  ('a minute', '61 * * * *', 'minute: 61 is not between 0 and 59.'),
  ('an hour', '0 24 * * *', 'hour: 24 is not between 0 and 23.'),
  ('the end of a range', '0 20-24 * * *', 'hour: 24 is not between 0 and 23.'),
  ('a day of the month', '0 0 0 * *', 'day of month: 0 is not between 1 and 31.'),
  ('a month', '0 0 1 13 *', 'month: 13 is not between 1 and 12.'),
  ('a day of the week', '0 0 * * 8', 'day of week: 8 is not between 0 and 7.'),
  ('a word', 'soon * * * *', 'minute: soon is not a number.'),
  ('a name in the wrong field', '0 0 * mon *',
    'month: mon is neither a number nor one of jan, feb, mar, apr, may, jun, jul, aug, sep, oct, nov, dec.'),
  ('a whole name', '0 0 * * monday',
    'day of week: monday is neither a number nor one of sun, mon, tue, wed, thu, fri, sat.'),
  ('a negative number', '-5 * * * *', 'minute: a value is missing.'),
  ('a fraction', '0.5 * * * *', 'minute: 0.5 is not a number.'),
  ('a number past all bounds', '99999999999999999999 * * * *', 'minute: 99999999999999999999 is not a number.'),
  ('a list that ends in a comma', '1, * * * *', 'minute: a value is missing.'),
  ('a list that begins with a comma', ',1 * * * *', 'minute: a value is missing.'),
  ('a range without an end', '1- * * * *', 'minute: a value is missing.'),
  ('a range of three', '1-2-3 * * * *', 'minute: 2-3 is not a number.'),
  ('a range backwards', '0 22-2 * * *', 'hour: 22-2 ends before it begins.'),
  ('a week backwards', '0 0 * * fri-mon', 'day of week: fri-mon ends before it begins.'),
  ('a step of nothing', '*/0 * * * *', 'minute: a step of 0 is not between 1 and 60.'),
  ('a step too long', '0 */25 * * *', 'hour: a step of 25 is not between 1 and 24.'),
  ('a step over more than a week', '0 0 * * */8', 'day of week: a step of 8 is not between 1 and 7.'),
  ('a step that is missing', '*/ * * * *', 'minute: a value is missing.'),
  ('two steps', '*/5/5 * * * *', 'minute: 5/5 is not a number.'),
  ('a step from one value', '5/15 * * * *', 'minute: 5/15 has a step but no range; write 5-59/15.'),
  ('? for a minute', '? * * * *', 'minute: ? is not a number.'),
  ('? in a list', '0 0 ?,1 * *', 'day of month: ? is not a number.'),
  ('the last day', '0 0 L * *', 'day of month: l is not a number.'),
  ('30 February', '0 0 30 2 *', 'day of month: no such day is in any of the months; this never comes true.'),
  ('31 June and September', '0 0 31 jun,sep *', 'day of month: no such day is in any of the months; this never comes true.'),
  ('30 February, a Monday', '0 0 30 2 */1', 'day of month: no such day is in any of the months; this never comes true.');

select plan((select count(*) from cases)::integer + (select count(*) from wrong)::integer + 21);

select is(next_cron_run(expression, zone, after), expected, format('%s: %s in %s', rule, regexp_replace(trim(expression), '\s+', ' ', 'g'), zone))
from cases order by number;

select pg_temp.refuses(
  'customer member', format('select next_cron_run(%L, ''UTC'')', expression), 'SW050', message,
  'gives ' || rule || ' for an expression', 'expression')
from wrong order by number;

-- Zones

select pg_temp.refuses(
  'customer member', format('select next_cron_run(''* * * * *'', %L)', zone), 'SW051',
  format('There is no time zone %s; names are like UTC or Europe/Berlin.', coalesce(zone, 'null')),
  'gives ' || why || ' for a zone', 'timezone')
from (values
  ('Mars/Olympus', 'an unknown name'), ('CEST', 'an abbreviation'), ('europe/berlin', 'a name in lower case'),
  ('UTC+3', 'a POSIX rule'), ('Foo/Bar-3', 'a POSIX rule that looks like a name'), ('', 'nothing'), (null, 'null'),
  ('posix/Europe/Berlin', 'a file of the zone database')) as zones (zone, why);

select is(
  (select count(*) from pg_timezone_names z
    where z.name !~ '^(posix/|right/|posixrules$|Factory$|localtime$)'
      and next_cron_run('* * * * *', z.name, '2025-07-18Z') is distinct from '2025-07-18 00:01Z'),
  0::bigint, 'every zone that Postgres knows works');

select is(
  next_cron_run('0 0 * * *', 'UTC'), date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' + interval '24 hours',
  'without an instant, the next run from now');

set local timezone = 'America/New_York';
select is(
  next_cron_run('30 2 * * *', 'Europe/Berlin', '2025-10-25 12:00Z'), '2025-10-26 00:30Z',
  'the session''s own time zone has no part in it');
reset timezone;

-- Preview

select results_eq(
  $$ select preview_cron_runs('30 2 * * *', 'Europe/Berlin', 3, '2025-03-29 00:00Z') $$,
  $$ values ('2025-03-29 01:30Z'::timestamptz), ('2025-03-30 01:00Z'), ('2025-03-31 00:30Z') $$,
  'a preview lists the next runs, over a clock change');
select results_eq(
  $$ select preview_cron_runs('*/30 * * * *', 'Europe/Berlin', 5, '2025-10-26 00:00Z') $$,
  $$ select generate_series('2025-10-26 00:30Z'::timestamptz, '2025-10-26 02:30Z', '30 minutes') $$,
  'a preview runs through both passes of an overlap');
select is(
  (select count(*) from preview_cron_runs('* * * * *', 'UTC')), 5::bigint, 'a preview is of five runs unless told');
select is(
  (select count(*) from preview_cron_runs('0,30 2 8-14 3 */7', 'America/New_York', 3)), 0::bigint,
  'a preview of what never comes is empty');
select pg_temp.refuses(
  'customer member', 'select preview_cron_runs(''* * * * *'', ''UTC'', 1001)', 'SW001', 'count takes 1 to 1000.',
  'asks for too long a preview', 'count');
select pg_temp.refuses(
  'customer member', 'select preview_cron_runs(''* * * * *'', ''Nowhere'')', 'SW051',
  'There is no time zone Nowhere; names are like UTC or Europe/Berlin.', 'previews an unknown zone', 'timezone');

-- Who may ask

select pg_temp.allows('service', 'select next_cron_run(''* * * * *'', ''UTC'')', 'asks for the next run');
select pg_temp.allows('nobody', 'select preview_cron_runs(''* * * * *'', ''UTC'', 1)', 'asks for a preview');
select pg_temp.refuses(
  'anonymous', 'select next_cron_run(''* * * * *'', ''UTC'')', '42501', 'permission denied for function next_cron_run',
  'asks for the next run');
select pg_temp.refuses(
  'anonymous', 'select preview_cron_runs(''* * * * *'', ''UTC'')', '42501',
  'permission denied for function preview_cron_runs', 'asks for a preview');

select * from finish();
rollback;
