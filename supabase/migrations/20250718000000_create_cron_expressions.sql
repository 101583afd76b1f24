-- What a cron expression means, and the next time of one.
--
-- An expression has five fields: minute, hour, day of month, month, day of week. A field is a list of *, values, ranges
-- (1-5) and steps of either (*/15, 8-18/2); months and days of the week have English names of three letters; 7 is
-- Sunday, like 0; ? stands for * in the two day fields. A step needs a range, and a range does not run backwards.
-- Macros: @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.
--
-- Days. If one of the two day fields begins with * or ?, a day must satisfy both; else, either.
--
-- Clock changes. An expression whose minute and hour are each one value, without * and /, has a fixed time: it runs once
-- a day. Where its time is skipped it runs at the end of the gap (not if its whole date is skipped), where its time comes
-- twice, the first time. All other expressions follow the clock on the wall: what it skips does not run, and what it
-- shows twice runs twice.
--
-- Errors, besides those of the foundations: SW050 invalid cron expression; SW051 unknown time zone.

-- Types

create type private.cron as (
  -- One bit a value.
  minutes bigint,
  hours bigint,
  days bigint,
  months bigint,
  weekdays bigint,
  either_day boolean,
  every_day boolean,
  fixed_time boolean
);
comment on type private.cron is 'A cron expression, parsed: bit n of a mask stands for the value n.';

-- Tables

create table private.time_zones (
  name text primary key
);
comment on table private.time_zones is
  'Names of the time zones when this was migrated: pg_timezone_names reads some 600 files each time that it is asked.';

insert into private.time_zones (name)
select name from pg_catalog.pg_timezone_names where name !~ '^(posix/|right/|posixrules$|Factory$|localtime$)';

-- Parsing

create function private.parse_cron_value(token text, part text, names text[], field text)
returns integer
language plpgsql
immutable
set search_path = ''
as $$
declare
  position integer := array_position(names, token);
begin
  if position is not null then
    -- Months count from 1, days of the week from 0.
    return position - case part when 'day of week' then 1 else 0 end;
  end if;
  if token ~ '^[0-9]{1,4}$' then
    return token::integer;
  end if;
  perform private.raise_error('SW050', case
    when token = '' then format('%s: a value is missing.', part)
    when names is null then format('%s: %s is not a number.', part, token)
    else format('%s: %s is neither a number nor one of %s.', part, token, array_to_string(names, ', '))
  end, field);
end;
$$;

create function private.parse_cron_part(input text, part text, lowest integer, highest integer, names text[], field text)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
declare
  mask bigint := 0;
  item text;
  span text;
  low integer;
  high integer;
  step integer;
  longest_step constant integer := case part when 'day of week' then 7 else highest - lowest + 1 end;
begin
  -- One number, as most parts are.
  if length(input) in (1, 2) and translate(input, '0123456789', '') = '' and input::integer between lowest and highest then
    return 1::bigint << input::integer;
  end if;
  foreach item in array string_to_array(input, ',') loop
    span := split_part(item, '/', 1);
    if span = '*' then
      low := lowest;
      -- Sunday is 0 here; a step over the week does not come to 7.
      high := case part when 'day of week' then 6 else highest end;
    else
      low := private.parse_cron_value(split_part(span, '-', 1), part, names, field);
      high := low;
      if strpos(span, '-') > 0 then
        high := private.parse_cron_value(substr(span, strpos(span, '-') + 1), part, names, field);
        -- A week may end on Sunday.
        if part = 'day of week' and right(span, 4) = '-sun' then
          high := 7;
        end if;
      elsif strpos(item, '/') > 0 then
        perform private.raise_error('SW050',
          format('%s: %s has a step but no range; write %s-%s/%s.',
            part, item, span, highest, substr(item, strpos(item, '/') + 1)), field);
      end if;
      if low not between lowest and highest or high not between lowest and highest then
        perform private.raise_error('SW050', format('%s: %s is not between %s and %s.',
          part, case when low between lowest and highest then high else low end, lowest, highest), field);
      end if;
      if low > high then
        perform private.raise_error('SW050', format('%s: %s ends before it begins.', part, span), field);
      end if;
    end if;
    step := 1;
    if strpos(item, '/') > 0 then
      step := private.parse_cron_value(substr(item, strpos(item, '/') + 1), part, null, field);
      if step not between 1 and longest_step then
        perform private.raise_error('SW050',
          format('%s: a step of %s is not between 1 and %s.', part, step, longest_step), field);
      end if;
    end if;
    if step = 1 then
      mask := mask | (((1::bigint << (high - low + 1)) - 1) << low);
    else
      while low <= high loop
        mask := mask | (1::bigint << low);
        low := low + step;
      end loop;
    end if;
  end loop;
  return mask;
end;
$$;

create function private.parse_cron(expression text, field text)
returns private.cron
language plpgsql
immutable
set search_path = ''
as $$
declare
  every_minute constant bigint := (1::bigint << 60) - 1;
  every_hour constant bigint := (1::bigint << 24) - 1;
  each_day constant bigint := (1::bigint << 32) - 2;
  each_month constant bigint := (1::bigint << 13) - 2;
  each_weekday constant bigint := (1::bigint << 7) - 1;
  months_of_31 constant bigint := 5546; -- bits 1, 3, 5, 7, 8, 10, 12
  february constant bigint := 4;
  parts text[];
  free_day boolean;
  free_weekday boolean;
  cron private.cron;
begin
  if expression is null or length(expression) > 200 then
    perform private.raise_error('SW050', 'A cron expression takes 1 to 200 characters.', field);
  end if;
  parts := string_to_array(lower(expression), ' ');
  if cardinality(parts) <> 5 or array_position(parts, '') is not null then
    parts := regexp_split_to_array(regexp_replace(lower(expression), '^\s+|\s+$', '', 'g'), '\s+');
    parts := case when cardinality(parts) <> 1 then parts else
      case parts[1]
        when '@yearly' then '{0,0,1,1,*}'
        when '@annually' then '{0,0,1,1,*}'
        when '@monthly' then '{0,0,1,*,*}'
        when '@weekly' then '{0,0,*,*,0}'
        when '@daily' then '{0,0,*,*,*}'
        when '@midnight' then '{0,0,*,*,*}'
        when '@hourly' then '{0,*,*,*,*}'
        else parts
      end
    end;
    if parts[1] ~ '^@' then
      perform private.raise_error('SW050', format(
        '%s is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.', parts[1]), field);
    end if;
    if cardinality(parts) <> 5 then
      perform private.raise_error('SW050', format(
        'A cron expression has five fields (minute, hour, day of month, month, day of week), not %s.',
        case when parts = '{""}' then 0 else cardinality(parts) end), field);
    end if;
  end if;

  free_day := left(parts[3], 1) in ('*', '?');
  free_weekday := left(parts[5], 1) in ('*', '?');
  cron.minutes := case parts[1] when '*' then every_minute
    else private.parse_cron_part(parts[1], 'minute', 0, 59, null, field) end;
  cron.hours := case parts[2] when '*' then every_hour
    else private.parse_cron_part(parts[2], 'hour', 0, 23, null, field) end;
  cron.days := case when parts[3] in ('*', '?') then each_day
    else private.parse_cron_part(parts[3], 'day of month', 1, 31, null, field) end;
  cron.months := case parts[4] when '*' then each_month
    else private.parse_cron_part(parts[4], 'month', 1, 12,
      '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}', field) end;
  if parts[5] in ('*', '?') then
    cron.weekdays := each_weekday;
  else
    cron.weekdays := private.parse_cron_part(parts[5], 'day of week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}', field);
    cron.weekdays := (cron.weekdays | (cron.weekdays >> 7)) & each_weekday;
  end if;
  cron.either_day := not free_day and not free_weekday;
  cron.every_day := cron.days = each_day and cron.weekdays = each_weekday and cron.months = each_month;
  cron.fixed_time := (cron.minutes & (cron.minutes - 1)) = 0 and (cron.hours & (cron.hours - 1)) = 0
    and parts[1] !~ '[*/]' and parts[2] !~ '[*/]';

  if not cron.either_day and (cron.days & ((1::bigint << case
    when cron.months & months_of_31 <> 0 then 32
    when cron.months <> february then 31
    else 30 end) - 1)) = 0
  then
    perform private.raise_error('SW050', 'day of month: no such day is in any of the months; this never comes true.', field);
  end if;
  return cron;
end;
$$;
comment on function private.parse_cron is
  'The expression as masks. Error: SW050, whose message begins with the name of the field that is wrong; DETAIL names '
  'the input given as field.';

-- Calendar and clock

create function private.next_cron_day(cron private.cron, day integer)
returns integer
language plpgsql
immutable
set search_path = ''
as $$
declare
  epoch constant date := '1970-01-01';
  each_day constant bigint := (1::bigint << 32) - 2;
  each_month constant bigint := (1::bigint << 13) - 2;
  start date := epoch + day;
  year integer;
  month integer;
  last_year integer;
  later_months bigint;
  first_day integer;
  fitting bigint;
  weekdays bigint;
begin
  if cron.days = each_day and cron.months = each_month and not cron.either_day then
    weekdays := (cron.weekdays | (cron.weekdays << 7)) >> (((day % 7) + 11) % 7);
    return day + bit_count(((weekdays & -weekdays) - 1)::bit(64));
  end if;
  year := date_part('year', start);
  month := date_part('month', start);
  -- Only days that have not gone by.
  fitting := -1::bigint << date_part('day', start)::integer;
  -- Any leap day on any day of the week comes within 40 years.
  last_year := year + 41;
  loop
    later_months := cron.months >> month;
    if later_months = 0 then
      year := year + 1;
      month := 1;
      fitting := -1;
      continue when year <= last_year;
      return null;
    end if;
    if later_months & 1 = 0 then
      month := month + bit_count(((later_months & -later_months) - 1)::bit(64));
      fitting := -1;
    end if;
    first_day := make_date(year, month, 1) - epoch;
    -- The week, repeated, and shifted so that bit 1 is the weekday of the first of the month.
    weekdays := (cron.weekdays * 4432676798593) >> (((first_day % 7) + 11) % 7) << 1;
    fitting := fitting
      & case when cron.either_day then cron.days | weekdays else cron.days & weekdays end
      & ((2::bigint << make_date(year + month / 12, month % 12 + 1, 1) - epoch - first_day) - 2);
    if fitting <> 0 then
      return first_day - 1 + bit_count(((fitting & -fitting) - 1)::bit(64));
    end if;
    month := month + 1;
    fitting := -1;
  end loop;
end;
$$;
comment on function private.next_cron_day is
  'The first day from this one on (both in days since 1970) that the three day fields take; null if none comes.';

create function private.find_clock_change(zone text, low timestamptz, high timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  seconds bigint := ceil(date_part('epoch', high) - date_part('epoch', low));
  wall timestamp := low at time zone zone;
  half interval;
begin
  -- Invariant: at low the clock has not changed yet, `seconds` later it has.
  while seconds > 1 loop
    half := make_interval(secs => seconds / 2);
    if ((low + half) at time zone zone) = wall + half then
      low := low + half;
      wall := wall + half;
      seconds := seconds - seconds / 2;
    else
      seconds := seconds / 2;
    end if;
  end loop;
  return date_trunc('second', low + interval '1 second');
end;
$$;
comment on function private.find_clock_change is
  'When the clock of the zone changes, between two instants with one change between them.';

create function private.next_cron_match(cron private.cron, zone text, after timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  epoch constant timestamp := '1970-01-01';
  one_day constant interval := '24 hours'; -- '1 day' would follow the session's time zone
  -- The shape of the expression, out of the record once.
  minutes constant bigint := cron.minutes;
  hours constant bigint := cron.hours;
  every_day constant boolean := cron.every_day;
  fixed_time constant boolean := cron.fixed_time;
  wall timestamp := after at time zone zone;
  again timestamptz;
  change timestamptz;
  -- Minutes since 1970 on the clock on the wall.
  clock integer;
  last_clock integer;
  day integer;
  fitting_day integer;
  hour integer;
  rest bigint;
  found timestamptz;
  seen timestamp;
begin
  if after is null or after not between '1900-01-01' and '2900-01-01' then
    return null;
  end if;
  clock := floor(date_part('epoch', wall) / 60)::integer + 1;
  last_clock := clock + 60 * 24 * 366 * 50;
  if not fixed_time then
    -- Postgres takes an ambiguous time for its second occurrence.
    again := wall at time zone zone;
    if again > after then
      change := private.find_clock_change(zone, after, again);
    end if;
  end if;

  loop
    -- The calendar: the first fitting minute from `clock` on.
    day := floor(clock::double precision / 1440);
    if not every_day then
      fitting_day := private.next_cron_day(cron, day);
      if fitting_day is null then
        return null;
      end if;
      if fitting_day > day then
        day := fitting_day;
        clock := day * 1440;
      end if;
    end if;
    hour := (clock - day * 1440) / 60;
    rest := case when (hours >> hour) & 1 = 1 then minutes >> (clock % 60 + 60) % 60 else 0 end;
    if rest <> 0 then
      clock := clock + bit_count(((rest & -rest) - 1)::bit(64))::integer;
    else
      rest := hours >> (hour + 1);
      if rest = 0 then
        clock := (day + 1) * 1440;
        continue;
      end if;
      clock := day * 1440 + 60 * (hour + 1 + bit_count(((rest & -rest) - 1)::bit(64))::integer)
        + bit_count(((minutes & -minutes) - 1)::bit(64))::integer;
    end if;

    -- The clock: when it shows that minute.
    if clock > last_clock then
      return null;
    end if;
    wall := epoch + make_interval(mins => clock);
    found := wall at time zone zone;
    seen := found at time zone zone;
    if seen = wall then
      -- Did the clock change in the day before, and show it already?
      seen := (found - one_day) at time zone zone;
      if seen <> wall - one_day then
        again := found + (wall - one_day - seen);
        if again < found and (again at time zone zone) = wall and (fixed_time or again > after) then
          found := again;
        end if;
      end if;
    else
      -- It never does. Postgres took the time as if the clock had not changed yet.
      found := private.find_clock_change(zone, found - (seen - wall), found);
      if not fixed_time then
        seen := found at time zone zone;
        clock := ceil(date_part('epoch', seen) / 60);
        continue;
      end if;
      if seen - wall >= one_day then
        found := null;
      end if;
    end if;
    if change is not null and found >= change then
      -- Before that the clock goes back: look again at what it shows then.
      wall := change at time zone zone;
      clock := ceil(date_part('epoch', wall) / 60);
      change := null;
      continue;
    end if;
    if found > after then
      return found;
    end if;
    clock := clock + 1;
  end loop;
end;
$$;
comment on function private.next_cron_match is
  'The first instant after the given one at which the expression is due; null if none comes within 50 years, or the '
  'instant is null or outside the years 1900 to 2900.';

create function private.refuse_unknown_time_zone(zone text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  -- A zone that came with a newer Postgres is not in private.time_zones, but good.
  if not exists (select from pg_catalog.pg_timezone_names where name = zone) then
    perform private.raise_error('SW051',
      format('There is no time zone %s; names are like UTC or Europe/Berlin.', coalesce(private.shortened(zone), 'null')), 'timezone');
  end if;
end;
$$;

create function private.next_cron_run(p_expression text, p_timezone text, p_after timestamptz)
returns timestamptz
language plpgsql
stable
security definer -- reads the names of time zones
set search_path = ''
as $$
declare
  cron private.cron := private.parse_cron(p_expression, 'expression');
begin
  if not exists (select from private.time_zones where name = p_timezone) then
    perform private.refuse_unknown_time_zone(p_timezone);
  end if;
  return private.next_cron_match(cron, p_timezone, p_after);
end;
$$;

create function public.next_cron_run(expression text, timezone text, after timestamptz default now())
returns timestamptz
language sql
stable
security invoker
set search_path = ''
as $$ select private.next_cron_run($1, $2, $3) $$;
comment on function public.next_cron_run is
  'When a five-field cron expression is due next in an IANA time zone, after an instant; null if it is not within 50 '
  'years. A fixed time runs once a day whatever the clock does, everything else follows the clock. '
  'Errors: SW050 (expression), SW051 (timezone).';

create function private.preview_cron_runs(p_expression text, p_timezone text, p_count integer, p_after timestamptz)
returns setof timestamptz
language plpgsql
stable
security definer -- reads the names of time zones
set search_path = ''
as $$
declare
  cron private.cron := private.parse_cron(p_expression, 'expression');
  due timestamptz := p_after;
begin
  if not exists (select from private.time_zones where name = p_timezone) then
    perform private.refuse_unknown_time_zone(p_timezone);
  end if;
  if coalesce(p_count, 0) not between 1 and 1000 then
    perform private.raise_error('SW001', 'count takes 1 to 1000.', 'count');
  end if;
  for i in 1 .. p_count loop
    due := private.next_cron_match(cron, p_timezone, due);
    exit when due is null;
    return next due;
  end loop;
end;
$$;

create function public.preview_cron_runs(
  expression text, timezone text, count integer default 5, after timestamptz default now())
returns setof timestamptz
language sql
stable
security invoker
set search_path = ''
as $$ select private.preview_cron_runs($1, $2, $3, $4) $$;
comment on function public.preview_cron_runs is
  'The next times of a cron expression, in order, as next_cron_run finds them. '
  'Errors: SW001 (count takes 1 to 1000), SW050 (expression), SW051 (timezone).';

grant execute on function
  private.next_cron_run(text, text, timestamptz), public.next_cron_run(text, text, timestamptz),
  private.preview_cron_runs(text, text, integer, timestamptz), public.preview_cron_runs(text, text, integer, timestamptz)
to authenticated, service_role;
