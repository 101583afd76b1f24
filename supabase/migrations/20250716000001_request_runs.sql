-- Runs that users ask for, one or many in a call.

create function private.count_queue(p_company_id uuid, p_runs integer)
returns void
language plpgsql
set search_path = ''
as $$
declare
  queue_lane integer;
  max_queued bigint;
  queued bigint;
begin
  select max_queued_runs into max_queued from public.companies where id = p_company_id;
  if not found then
    perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
  end if;
  perform private.require_room(p_company_id, 'company_id');
  select lane into queue_lane from private.company_lanes where company_id = p_company_id for no key update;
  select count(*) into queued
  from (select from private.waiting_runs where lane = queue_lane limit max_queued) waiting;
  if queued + p_runs > max_queued then
    perform private.raise_error('SW041',
      case when queued >= max_queued
        then format('The company has %s runs waiting, as many as it may.', max_queued)
        else format('The company has %s runs waiting, and may have %s: there is no room for %s more.',
          queued, max_queued, p_runs)
      end, 'company_id');
  end if;
  update private.company_lanes set queue_credit = max_queued - queued where lane = queue_lane;
end;
$$;
comment on function private.count_queue is
  'Counts the waiting runs of the company again, for so many more. Errors: SW002, SW041, SW113 (company_id).';

create function private.enter_queue(p_company_id uuid, p_runs integer, p_is_due boolean)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  queue_lane integer;
begin
  for try in 1 .. 2 loop
    update private.company_lanes
    set queue_credit = queue_credit - p_runs, is_ready = is_ready or (p_is_due and parked_until is null)
    where company_id = p_company_id and queue_credit >= p_runs
    returning lane into queue_lane;
    exit when found;
    perform private.count_queue(p_company_id, p_runs);
  end loop;
  return queue_lane;
end;
$$;
comment on function private.enter_queue is
  'Makes room in the queue of the company, which takes turns from here on, and returns its lane. Errors: SW002, SW041, SW113.';

create function private.request_app_run(
  p_app_id uuid, p_company_id uuid, p_version text, p_run_type text, p_config jsonb, p_priority integer,
  p_run_after timestamptz, p_idempotency_key text, p_max_attempts integer, p_retry_failures boolean default false,
  p_retry_of uuid default null, p_is_remembered boolean default true)
returns public.app_runs
language plpgsql
security definer -- members ask for runs, but do not write app_runs
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  run public.app_runs;
  run_at constant timestamptz := coalesce(p_run_after, now());
  run_lane integer;
  run_version text;
  setting text; -- takes what set_config answers: "perform" costs a statement, an assignment does not
  is_service constant boolean := private.is_service();
  run_type_is_unknown constant boolean := coalesce(p_run_type not in ('manual', 'cron', 'webhook', 'test'), true);
begin
  if not (is_service or coalesce(p_company_id = any (private.my_company_ids()), false)) then
    perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
  end if;
  if not is_service and coalesce(p_run_type not in ('manual', 'test'), true) then
    perform private.raise_error('SW001', 'run_type takes manual or test.', 'run_type');
  end if;
  if not is_service and starts_with(p_idempotency_key, 'cron:') then
    perform private.raise_error('SW001', 'Keys that begin with cron: are those of schedules.', 'idempotency_key');
  end if;
  if p_config is null or jsonb_typeof(p_config) <> 'object' then
    perform private.raise_error('SW001', 'config must be a JSON object.', 'config');
  end if;
  if coalesce(p_priority, 1000) not between -100 and 100 then
    perform private.raise_error('SW001', 'priority takes -100 to 100.', 'priority');
  end if;
  if coalesce(p_max_attempts, 0) not between 1 and 25 then
    perform private.raise_error('SW001', 'max_attempts takes 1 to 25.', 'max_attempts');
  end if;
  if run_at not between '1970-01-01Z' and '9999-12-31Z' then
    perform private.raise_error('SW001', 'run_after takes times from 1970 to 9999.', 'run_after');
  end if;

  -- Requests of one company take turns: the limit and the idempotency key hold exactly.
  if p_idempotency_key is not null then
    perform from private.company_lanes where company_id = p_company_id for no key update;
    select * into run from public.app_runs
    where company_id = p_company_id and idempotency_key = p_idempotency_key;
    if found then
      if run.app_id is distinct from p_app_id or run.config is distinct from p_config
        or run.run_type is distinct from p_run_type
        or (p_version is not null and run.version is distinct from p_version)
      then
        perform private.raise_error('SW043',
          'This idempotency key belongs to a run that was asked for with other values.', 'idempotency_key');
      end if;
      return run;
    end if;
  end if;

  -- Most ask for the newest version of an app that is assigned to them, and their company has room and work already.
  -- That is one statement each; whatever else there is, the functions below know.
  if p_version is null and p_run_type <> 'cron' then
    select (
      select case when v.has_backend then v.version end from public.app_versions v
      where v.app_id = p_app_id and v.status = 'published' order by v.version_key desc limit 1)
    into run_version
    from public.applications a join public.app_assignments s on s.app_id = a.id
    where a.id = p_app_id and a.status = 'active' and s.app_id = p_app_id and s.company_id = p_company_id
    for share of a for key share of s;
  end if;
  update private.company_lanes set queue_credit = queue_credit - 1
  where company_id = p_company_id and queue_credit > 0
    and (is_ready or parked_until is not null or run_at > now())
  returning lane into run_lane;
  if not found then
    run_lane := private.enter_queue(p_company_id, 1, run_at <= now());
  end if;
  if run_version is null then
    run_version := private.resolve_run_version(p_app_id, p_company_id, p_version, p_run_type);
  end if;

  setting := set_config('stowage.queue', 'on', true);
  insert into public.app_runs (
    app_id, company_id, version, run_type, config, priority, run_after, idempotency_key, max_attempts, retry_failures,
    retry_of, requested_by)
  values (
    p_app_id, p_company_id, run_version, p_run_type, p_config, p_priority, run_at, p_idempotency_key, p_max_attempts,
    coalesce(p_retry_failures, false), p_retry_of, case when not is_service then auth.uid() end)
  returning * into run;
  setting := set_config('stowage.queue', '', true);
  -- Most keep these rules, which are the only ones left that what was asked for can break.
  if pg_column_size(p_config) > 65536 or p_idempotency_key is not null or run_type_is_unknown then
    perform private.check_run(run);
  end if;
  insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
  values (run_lane, run_at <= now(), -p_priority, run_at, run.id);
  if p_is_remembered and current_setting('request.headers', true) like '%"x-idempotency-key"%' then
    perform private.remember_creation(run.id::text);
  end if;
  return run;
end;
$$;

create function public.request_app_run(
  app_id uuid,
  company_id uuid,
  version text default null,
  run_type text default 'manual',
  config jsonb default '{}',
  priority integer default 0,
  run_after timestamptz default now(),
  idempotency_key text default null,
  max_attempts integer default 3)
returns public.app_runs
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.request_app_run($1, $2, $3, $4, $5, $6, $7, $8, $9);
end;
$$;
comment on function public.request_app_run is
  'Asks for a run of an app for a company of the caller; without a version, of the newest published one. A test run may '
  'use a draft of the publisher. Errors: SW001 (a named input), SW002 (company_id), SW040 (app_id, version), '
  'SW041 queue is full, SW043 (idempotency_key).';

create type private.run_request as (
  app_id uuid, company_id uuid, version text, run_type text, config jsonb, priority integer, run_after timestamptz,
  idempotency_key text, max_attempts integer, retry_failures boolean);

create function private.request_app_runs(p_runs jsonb)
returns uuid[]
language plpgsql
security definer -- members ask for runs, but do not write app_runs
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  inputs constant text[] := array['app_id', 'company_id', 'version', 'run_type', 'config', 'priority', 'run_after',
    'idempotency_key', 'max_attempts', 'retry_failures'];
  defaults constant private.run_request := (null, null, null, 'manual', '{}', 0, now(), null, 3, false);
  requests private.run_request[];
  request private.run_request;
  is_service constant boolean := private.is_service();
  companies constant uuid[] := case when not is_service then private.my_company_ids() end;
  broken record;
  wrong_place text;
  company record;
  run public.app_runs;
  any_is_new boolean := false;
  -- Runs of one call have ids that follow each other: they go to one place of each index, and are claimed in this order.
  first_id constant text := private.time_ordered_uuid();
  first_part constant text := left(first_id, 24);
  first_count constant bigint := ('x0' || substr(first_id, 26))::bit(48)::bigint;
  ids uuid[];
  setting text;
begin
  if p_runs is null or jsonb_typeof(p_runs) <> 'array' or jsonb_array_length(p_runs) not between 1 and 10000 then
    perform private.raise_error('SW001', 'runs takes an array of 1 to 10000 requests.', 'runs');
  end if;
  begin
    requests := array(select r from jsonb_populate_recordset(defaults, p_runs) r);
  exception when invalid_parameter_value then
    perform private.raise_error('SW001', 'runs takes objects, one a request.', 'runs');
  end;

  -- One look at all of them, for what any of them breaks.
  select
    bool_or(r.idempotency_key is not null) as has_keys,
    (select bool_or(one - inputs <> '{}') from jsonb_array_elements(p_runs) one) as unknown_input,
    bool_or(r.app_id is null or r.company_id is null) as incomplete,
    bool_or(not is_service and r.company_id <> all (companies)) as company_id,
    bool_or(not is_service and coalesce(r.run_type not in ('manual', 'test'), true)) as users_run_type,
    bool_or(coalesce(jsonb_typeof(r.config) <> 'object', true)) as config,
    bool_or(coalesce(r.priority not between -100 and 100, true)) as priority,
    bool_or(coalesce(r.max_attempts not between 1 and 25, true)) as max_attempts,
    bool_or(r.run_after not between '1970-01-01Z' and '9999-12-31Z') as run_after,
    bool_or(coalesce(r.run_type not in ('manual', 'cron', 'webhook', 'test'), true)) as run_type,
    bool_or(pg_column_size(r.config) > 524288) as config_size
  into broken
  from unnest(requests) r;

  if broken.unknown_input then
    select format('runs[%s].%s', each.place - 1, private.shortened(name)) into wrong_place
    from jsonb_array_elements(p_runs) with ordinality as each (request, place), jsonb_object_keys(each.request - inputs) name
    order by each.place limit 1;
    perform private.raise_error('SW001',
      format('%s is not an input. There are %s.', wrong_place, array_to_string(inputs, ', ')), wrong_place);
  end if;
  if broken.incomplete then
    select format('runs[%s].%s', each.place - 1, case when each.app_id is null then 'app_id' else 'company_id' end) into wrong_place
    from unnest(requests) with ordinality as each (
      app_id, company_id, version, run_type, config, priority, run_after, idempotency_key, max_attempts, retry_failures, place)
    where each.app_id is null or each.company_id is null
    order by each.place limit 1;
    perform private.raise_error('SW001', format('%s is required.', wrong_place), wrong_place);
  end if;

  -- One with a key is either new or not: that is asked one by one. The header's key is that of the call, not of each run.
  if broken.has_keys then
    foreach request in array requests loop
      run := private.request_app_run(
        request.app_id, request.company_id, request.version, request.run_type, request.config, request.priority,
        request.run_after, request.idempotency_key, request.max_attempts, request.retry_failures,
        p_is_remembered => false);
      ids := ids || run.id;
      any_is_new := any_is_new or run.created_at = now();
    end loop;
    if any_is_new and current_setting('request.headers', true) like '%"x-idempotency-key"%' then
      perform private.remember_creation(ids[1]::text);
    end if;
    return ids;
  end if;

  if broken.company_id then
    perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
  end if;
  if broken.users_run_type then
    perform private.raise_error('SW001', 'run_type takes manual or test.', 'run_type');
  end if;
  if broken.config then
    perform private.raise_error('SW001', 'config must be a JSON object.', 'config');
  end if;
  if broken.priority then
    perform private.raise_error('SW001', 'priority takes -100 to 100.', 'priority');
  end if;
  if broken.max_attempts then
    perform private.raise_error('SW001', 'max_attempts takes 1 to 25.', 'max_attempts');
  end if;
  if broken.run_after then
    perform private.raise_error('SW001', 'run_after takes times from 1970 to 9999.', 'run_after');
  end if;
  if broken.run_type then
    perform private.raise_error('SW001', 'run_type takes manual, cron, webhook or test.', 'run_type');
  end if;
  if broken.config_size then
    perform private.raise_error('SW001', 'config takes at most 512 KiB.', 'config');
  end if;

  -- In the order of ids, so that two who ask for many companies at once do not wait for each other in a circle.
  for company in
    select r.company_id as id, count(*)::integer as runs, bool_or(coalesce(r.run_after, now()) <= now()) as is_due
    from unnest(requests) r group by r.company_id order by r.company_id
  loop
    perform private.enter_queue(company.id, company.runs, company.is_due);
  end loop;

  setting := set_config('stowage.queue', 'on', true);
  with kinds as materialized (
    select k.*, l.lane,
      private.resolve_run_version(k.app_id, k.company_id, k.wanted, k.run_type) as version
    from (select distinct r.app_id, r.company_id, r.version as wanted, r.run_type from unnest(requests) r) k
    join private.company_lanes l on l.company_id = k.company_id
  ),
  asked as materialized (
    select (first_part || lpad(to_hex(first_count + r.ordinality), 12, '0'))::uuid as id, k.lane, k.version as run_version,
      coalesce(r.run_after, now()) as run_at, r.*
    from unnest(requests) with ordinality as r
    join kinds k on k.app_id = r.app_id and k.company_id = r.company_id and k.run_type = r.run_type
      and k.wanted is not distinct from r.version
  ),
  new_runs as (
    insert into public.app_runs (
      id, app_id, company_id, version, run_type, config, priority, run_after, max_attempts, retry_failures, requested_by)
    select id, app_id, company_id, run_version, run_type, config, priority, run_at, max_attempts,
      coalesce(retry_failures, false), case when not is_service then (select auth.uid()) end
    from asked
  ),
  waiting as (
    insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
    select lane, run_at <= now(), -priority, run_at, id from asked
  )
  select array_agg(id order by ordinality) into ids from asked;
  setting := set_config('stowage.queue', '', true);
  if current_setting('request.headers', true) like '%"x-idempotency-key"%' then
    perform private.remember_creation(ids[1]::text);
  end if;
  return ids;
end;
$$;

create function public.request_app_runs(runs jsonb)
returns setof uuid
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return query select unnest(private.request_app_runs($1));
end;
$$;
comment on function public.request_app_runs is
  'Asks for many runs at once: an array of objects with the inputs of request_app_run, and retry_failures. Answers their '
  'ids in the same order. All or none: an error, as request_app_run has them, or SW001 (runs), concerns the whole. What is '
  'no input, or is missing, is named with its place: SW001 (runs[1].company_id).';

grant execute on function
  private.request_app_run(uuid, uuid, text, text, jsonb, integer, timestamptz, text, integer, boolean, uuid, boolean),
  public.request_app_run(uuid, uuid, text, text, jsonb, integer, timestamptz, text, integer),
  private.request_app_runs(jsonb), public.request_app_runs(jsonb)
to authenticated, service_role;
