-- Schedules that people can trust: a schedule knows when it is due, and a tick turns due times into runs, each exactly
-- once. What does not run leaves a row that says why.

-- Tables

create table public.app_cron_skips (
  id uuid primary key default gen_random_uuid(),
  schedule_id uuid not null references public.app_cron_schedules (id) on delete cascade,
  company_id uuid not null references public.companies (id) on delete cascade,
  first_due_at timestamptz not null,
  last_due_at timestamptz not null,
  due_count integer constraint app_cron_skips_due_count_range check (due_count > 0),
  reason text not null constraint app_cron_skips_reason check (
    reason in ('missed', 'too_late', 'overlap', 'queue_full', 'storage_full', 'not_runnable', 'invalid', 'failed')),
  message text not null constraint app_cron_skips_message_length check (length(message) <= 2000),
  created_at timestamptz not null default now(),
  constraint app_cron_skips_due_at_key unique (schedule_id, first_due_at),
  constraint app_cron_skips_due_at_order check (first_due_at <= last_due_at)
);
comment on table public.app_cron_skips is
  'Due times of schedules that were not run, and why. Written by enqueue_due_app_runs; kept as retention_policies say.';
comment on column public.app_cron_skips.due_count is
  'How many due times there were from first_due_at to last_due_at; null where there were more than are counted.';
comment on column public.app_cron_skips.reason is
  'missed: nothing ticked, and missed_policy skipped it. too_late: later than max_lateness. overlap: the run before was '
  'unfinished. queue_full, storage_full, not_runnable: the run was refused (SW041, SW113, SW040). invalid: the expression or time zone is not '
  'understood any more, and the schedule was switched off. failed: any other refusal.';

-- As app_runs_config_object: what no run would take is refused before it is due.
alter table public.app_cron_schedules
  add constraint app_cron_schedules_config_size check (pg_column_size(config) <= 262144);

-- Indexes

create index app_cron_skips_company_id_created_at_idx on public.app_cron_skips (company_id, created_at desc);

-- Grants

grant select on public.app_cron_skips to authenticated;
grant select, insert, update, delete on public.app_cron_skips to service_role;

-- Row security

alter table public.app_cron_skips enable row level security;

create policy "Members read what the schedules of their companies skipped" on public.app_cron_skips
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

-- Trigger: the number of a company's schedules has a limit

create function private.limit_schedules()
returns trigger
language plpgsql
security definer -- counts schedules whatever the caller sees
set search_path = ''
as $$
declare
  company public.companies;
  schedules integer;
begin
  -- Of a company that is not the caller's, row security says less.
  if not (private.is_service() or new.company_id = any (private.my_company_ids('admin'))) then
    return new;
  end if;
  -- Those who schedule for one company take turns: the limit holds exactly.
  select * into company from public.companies where id = new.company_id for no key update;
  select count(*) into schedules
  from (select from public.app_cron_schedules where company_id = new.company_id limit company.max_schedules) taken;
  if schedules >= company.max_schedules then
    perform private.raise_error('SW053',
      format('The company has %s schedules, as many as it may (max_schedules).', company.max_schedules), 'company_id');
  end if;
  return new;
end;
$$;

create trigger limit_new_schedule before insert on public.app_cron_schedules
  for each row execute function private.limit_schedules();

create trigger limit_changed_schedule before update on public.app_cron_schedules
  for each row when (old.company_id is distinct from new.company_id)
  execute function private.limit_schedules();

-- Triggers: a schedule knows when it is due next

create function private.plan_schedule()
returns trigger
language plpgsql
security definer -- reads the names of time zones
set search_path = ''
as $$
declare
  cron private.cron;
begin
  -- What cannot be understood any more can still be switched off.
  if tg_op = 'INSERT' or (old.cron_expression, old.timezone) is distinct from (new.cron_expression, new.timezone)
    or new.is_active
  then
    new.cron_expression := trim(regexp_replace(new.cron_expression, '\s+', ' ', 'g'));
    cron := private.parse_cron(new.cron_expression, 'cron_expression');
    if not exists (select from private.time_zones where name = new.timezone) then
      perform private.refuse_unknown_time_zone(new.timezone);
    end if;
  end if;
  new.next_run_at := null;
  if new.is_active then
    -- From now: what an inactive schedule did not run is not missed.
    new.next_run_at := private.next_cron_match(cron, new.timezone, now());
    if new.next_run_at is null then
      perform private.raise_error('SW050',
        format('The expression never comes true in %s.', new.timezone), 'cron_expression');
    end if;
  end if;
  return new;
end;
$$;

create trigger plan_new_schedule before insert on public.app_cron_schedules
  for each row execute function private.plan_schedule();

create trigger plan_changed_schedule before update on public.app_cron_schedules
  for each row when (
    (old.cron_expression, old.timezone, old.is_active) is distinct from (new.cron_expression, new.timezone, new.is_active))
  execute function private.plan_schedule();

comment on column public.app_cron_schedules.next_run_at is
  'When it is due next; null while it is inactive. Kept by triggers and by enqueue_due_app_runs.';
comment on column public.app_cron_schedules.last_run_at is 'When the last run was enqueued.';

-- Schedules from before these triggers.
update public.app_cron_schedules
set next_run_at = private.next_cron_run(cron_expression, timezone, now())
where is_active;

-- The tick

create function private.last_cron_match(cron private.cron, zone text, since timestamptz, until timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  stretch interval := '1 hour';
  latest timestamptz;
  due timestamptz;
begin
  -- From the near past into the far one, so that a long outage of a dense schedule is not counted out.
  loop
    due := private.next_cron_match(cron, zone, greatest(until - stretch, since));
    while due <= until loop
      latest := due;
      due := private.next_cron_match(cron, zone, due);
    end loop;
    if latest is not null or until - stretch <= since then
      return coalesce(latest, since);
    end if;
    stretch := stretch * 4;
  end loop;
end;
$$;
comment on function private.last_cron_match is
  'The last due time that is not after `until`; `since`, itself one, if there is none between.';

create function private.record_cron_skip(
  schedule public.app_cron_schedules, cron private.cron, first_due_at timestamptz, last_due_at timestamptz,
  reason text, message text)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  counted_at_most constant integer := 1000;
  due timestamptz := first_due_at;
  due_count integer := 1;
begin
  while due < last_due_at and due_count <= counted_at_most loop
    due := private.next_cron_match(cron, schedule.timezone, due);
    due_count := due_count + 1;
  end loop;
  due_count := case when due_count <= counted_at_most then due_count end;
  insert into public.app_cron_skips (schedule_id, company_id, first_due_at, last_due_at, due_count, reason, message)
  values (schedule.id, schedule.company_id, first_due_at, last_due_at, due_count, reason, left(message, 2000))
  on conflict on constraint app_cron_skips_due_at_key do nothing;
  return due_count;
end;
$$;

create function private.enqueue_due_run(schedule public.app_cron_schedules, due_at timestamptz)
returns table (run_id uuid, is_new boolean, skip_reason text, message text)
language plpgsql
set search_path = ''
as $$
declare
  due_text constant text := to_char(due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
  run public.app_runs;
  code text;
begin
  if schedule.overlap_policy = 'skip' and exists (
    select from public.app_runs r where r.id = schedule.last_run_id and r.status in ('pending', 'running')
  ) then
    return query select null::uuid, false, 'overlap', format('Run %s was unfinished.', schedule.last_run_id);
    return;
  end if;
  -- The key makes a due time run once even if next_run_at were set back.
  run := public.request_app_run(
    app_id => schedule.app_id, company_id => schedule.company_id, run_type => 'cron', config => schedule.config,
    idempotency_key => format('cron:%s:%s', schedule.id, due_text));
  is_new := not run.metadata ? 'schedule_id';
  if is_new then
    update public.app_runs r
    set metadata = r.metadata || jsonb_build_object('schedule_id', schedule.id, 'due_at', due_text)
    where r.id = run.id;
  end if;
  return query select run.id, is_new, null::text, null::text;
exception
  -- Another transaction's doing: nothing was decided, the next tick tries again. One that changes the app may be about to
  -- switch this schedule off, which the tick holds: only this one is put off, not the others.
  when lock_not_available then
    return query select null::uuid, false, null::text, null::text;
  when transaction_rollback or insufficient_resources or operator_intervention then
    raise;
  when others then
    code := sqlstate;
    return query select null::uuid, false,
      case code when 'SW041' then 'queue_full' when 'SW113' then 'storage_full' when 'SW040' then 'not_runnable' else 'failed' end,
      case when code like 'SW%' then sqlerrm else format('%s (%s)', sqlerrm, code) end;
end;
$$;

create function private.enqueue_due_app_runs(p_max_schedules integer, p_now timestamptz)
returns table (
  schedule_id uuid, due_at timestamptz, last_due_at timestamptz, due_count integer, run_id uuid, skip_reason text)
language plpgsql
security definer -- schedules and runs of every company
set search_path = ''
as $$
declare
  on_time constant interval := '1 minute';
  runs_at_once constant integer := 100;
  schedule public.app_cron_schedules;
  cron private.cron;
  due timestamptz;
  latest timestamptz;
  late_before timestamptz;
  runs integer;
  outcome record;
begin
  if coalesce(p_max_schedules, 0) not between 1 and 1000 then
    perform private.raise_error('SW001', 'max_schedules takes 1 to 1000.', 'max_schedules');
  end if;
  for schedule in
    with due_schedules as materialized (
      select * from public.app_cron_schedules
      where is_active and next_run_at <= p_now
      order by next_run_at
      limit p_max_schedules
      for no key update skip locked
    )
    -- Enqueuing locks the company: ticks that go through companies in one order do not deadlock.
    select * from due_schedules order by company_id, next_run_at, id
  loop
    due := schedule.next_run_at;
    begin
      cron := private.parse_cron(schedule.cron_expression, 'cron_expression');
      latest := private.last_cron_match(cron, schedule.timezone, due, p_now);
      late_before := p_now - schedule.max_lateness;
    -- Whatever is wrong with the values of one schedule, the others are enqueued.
    exception when sqlstate 'SW050' or data_exception then
      insert into public.app_cron_skips (schedule_id, company_id, first_due_at, last_due_at, reason, message)
      values (schedule.id, schedule.company_id, due, due, 'invalid', left(sqlerrm, 2000))
      on conflict on constraint app_cron_skips_due_at_key do nothing;
      update public.app_cron_schedules s set is_active = false where s.id = schedule.id;
      return query select schedule.id, due, due, null::integer, null::uuid, 'invalid';
      continue;
    end;

    -- What is over before anything is enqueued.
    outcome := null;
    if schedule.missed_policy = 'run_all' then
      if due < late_before then
        latest := private.last_cron_match(cron, schedule.timezone, due, late_before);
        due_count := private.record_cron_skip(schedule, cron, due, latest, 'too_late',
          format('Later than %s.', schedule.max_lateness));
        return query select schedule.id, due, latest, due_count, null::uuid, 'too_late';
        due := private.next_cron_match(cron, schedule.timezone, latest);
      end if;
    elsif schedule.missed_policy = 'skip' and latest <= p_now - on_time then
      due_count := private.record_cron_skip(schedule, cron, due, latest, 'missed', 'Nothing ticked at that time.');
      return query select schedule.id, due, latest, due_count, null::uuid, 'missed';
      due := private.next_cron_match(cron, schedule.timezone, latest);
    elsif due < latest then
      -- All but the latest, which is on time or the one that is caught up.
      latest := private.last_cron_match(cron, schedule.timezone, due, latest - interval '1 microsecond');
      due_count := private.record_cron_skip(schedule, cron, due, latest, 'missed', 'Nothing ticked at that time.');
      return query select schedule.id, due, latest, due_count, null::uuid, 'missed';
      due := private.next_cron_match(cron, schedule.timezone, latest);
    end if;

    runs := 0;
    while due <= p_now and runs < runs_at_once loop
      select * into strict outcome from private.enqueue_due_run(schedule, due);
      if outcome.skip_reason is not null then
        -- What holds for this one holds for all that are due now.
        latest := private.last_cron_match(cron, schedule.timezone, due, p_now);
        due_count := private.record_cron_skip(schedule, cron, due, latest, outcome.skip_reason, outcome.message);
        return query select schedule.id, due, latest, due_count, null::uuid, outcome.skip_reason;
        due := private.next_cron_match(cron, schedule.timezone, latest);
        exit;
      end if;
      exit when outcome.run_id is null;
      if outcome.is_new then
        return query select schedule.id, due, due, 1, outcome.run_id, null::text;
      end if;
      schedule.last_run_id := outcome.run_id;
      schedule.last_run_at := p_now;
      runs := runs + 1;
      due := private.next_cron_match(cron, schedule.timezone, due);
    end loop;

    update public.app_cron_schedules s
    set next_run_at = due, last_run_id = schedule.last_run_id, last_run_at = schedule.last_run_at
    where s.id = schedule.id;
  end loop;
end;
$$;
comment on function private.enqueue_due_app_runs is 'public.enqueue_due_app_runs at another time than now: for simulations.';

create function public.enqueue_due_app_runs(max_schedules integer default 100)
returns table (
  schedule_id uuid, due_at timestamptz, last_due_at timestamptz, due_count integer, run_id uuid, skip_reason text)
language sql
security invoker
set search_path = ''
as $$ select * from private.enqueue_due_app_runs($1, now()) $$;
comment on function public.enqueue_due_app_runs is
  'For the service: turns the due times of schedules into runs, each once however many call it. A due time counts as '
  'missed when it is a minute late: call it more often. Answers a row a run (run_id), and a row for each stretch of due '
  'times, from due_at to last_due_at, that was skipped (skip_reason, also in app_cron_skips); due_count is null where '
  'there were more than are counted. While the answer has rows, there may be more. Error: SW001 (max_schedules).';

grant execute on function
  private.enqueue_due_app_runs(integer, timestamptz), public.enqueue_due_app_runs(integer)
to service_role;

-- Where the database can tick by itself, it does; elsewhere executors tick. Both together do no harm.

create function private.tick_by_pg_cron()
returns boolean
language plpgsql
set search_path = ''
as $function$
begin
  if not exists (select from pg_catalog.pg_available_extensions where name = 'pg_cron') then
    return false;
  end if;
  -- The library has to be loaded at the server's start, and serves one database: neither is ours to change.
  if not exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    create extension pg_cron with schema pg_catalog;
  end if;
  -- Commits between, because a tick keeps the requests of the companies that it enqueues for waiting.
  perform cron.schedule('stowage-enqueue-due-app-runs', '* * * * *',
    'do $$ begin while (select count(*) from public.enqueue_due_app_runs()) > 0 loop commit; end loop; end $$');
  return true;
exception when others then
  raise notice 'pg_cron cannot tick here (%); executors do.', sqlerrm;
  return false;
end;
$function$;
comment on function private.tick_by_pg_cron is
  'Has pg_cron call enqueue_due_app_runs every minute. False where there is no pg_cron that works: executors tick there. '
  'An operator who adds pg_cron later calls it again.';

select private.tick_by_pg_cron();
