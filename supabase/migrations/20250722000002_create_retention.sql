-- How long things are kept: the operator says it for all, a company for itself, and for single apps. What is too old goes in
-- bounded steps, each a transaction of its own; the objects of what goes are queued by the triggers of the rows, so that rows
-- and objects go together however a step ends.

-- Types

create type private.retention_candidate as (
  kind text, id uuid, detail text, company_id uuid, app_id uuid, objects bigint, bytes bigint);

-- Tables

create table public.retention_policies (
  id uuid primary key default gen_random_uuid(),
  company_id uuid references public.companies (id) on delete cascade,
  app_id uuid references public.applications (id) on delete cascade,
  kind text not null constraint retention_policies_kind check (
    kind in (
      'logs', 'outputs', 'runs', 'builds', 'versions', 'uploads', 'cron_skips', 'webhook_deliveries', 'downloads',
      'download_tokens')),
  keep_days integer constraint retention_policies_keep_days_range check (keep_days between 1 and 36500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint retention_policies_scope_key unique nulls not distinct (company_id, app_id, kind),
  constraint retention_policies_app_of_company check (app_id is null or company_id is not null)
);
comment on table public.retention_policies is
  'How many days what is kept. The most specific policy counts: of company and app, of the company, of all (without a company).';
comment on column public.retention_policies.kind is
  'logs: standard output and error of finished runs. outputs: their other outputs. runs: finished runs, with all that they put '
  'out. builds: finished builds, but the newest '
  'successful one of a version that can run. versions: after that time a deprecated version is archived, and an archived one '
  'loses its files and builds; never the newest, nor one that a run or an active webhook needs. uploads: rows of uploads that '
  'are over. cron_skips, webhook_deliveries: these rows. downloads: the download log, whose counts stay. download_tokens: tokens '
  'that expired, were revoked or used up, once the log does not name them.';
comment on column public.retention_policies.company_id is
  'Whose: for builds, versions and uploads the app''s publisher, for downloads and their tokens the company that they are noted '
  'for, for the others the company that runs the app.';
comment on column public.retention_policies.keep_days is 'Null: for ever.';

create index retention_policies_app_id_idx on public.retention_policies (app_id);

insert into public.retention_policies (kind, keep_days) values
  ('logs', 30), ('outputs', 90), ('runs', null), ('builds', 90), ('versions', null), ('uploads', 30), ('cron_skips', 90),
  ('webhook_deliveries', 30), ('downloads', 365), ('download_tokens', 90);

-- Triggers

create trigger set_updated_at before update on public.retention_policies
  for each row execute function private.set_updated_at();

create function private.guard_retention_policy()
returns trigger
language plpgsql
security definer -- asks for apps whatever the caller sees
set search_path = ''
as $$
begin
  -- Of a company that is not the caller's, row security says less.
  if new.app_id is not null and new.company_id is not null
    and (private.is_service() or new.company_id = any (private.my_company_ids('admin')))
    and not exists (
      select from public.applications a
      where a.id = new.app_id and (
        a.publisher_company_id = new.company_id
        or exists (select from public.app_assignments s where s.app_id = a.id and s.company_id = new.company_id)))
  then
    perform private.raise_error('SW002', 'There is no such app among those of the company.', 'app_id');
  end if;
  return new;
end;
$$;

create trigger guard_retention_policy before insert or update on public.retention_policies
  for each row execute function private.guard_retention_policy();

-- Grants

grant
  select, insert (company_id, app_id, kind, keep_days), update (company_id, app_id, kind, keep_days), delete
on public.retention_policies to authenticated;
grant select, insert, update, delete on public.retention_policies to service_role;

-- Row security

alter table public.retention_policies enable row level security;

create policy "Members read the policies of their companies and those for all" on public.retention_policies
  for select to authenticated
  using (company_id is null or company_id = any ((select private.my_company_ids())::uuid[]));

create policy "Owners and admins add policies, superadmins those for all" on public.retention_policies
  for insert to authenticated
  with check (
    company_id = any ((select private.my_company_ids('admin'))::uuid[])
    or (company_id is null and (select private.is_superadmin())));

create policy "Owners and admins change policies, superadmins those for all" on public.retention_policies
  for update to authenticated
  using (
    company_id = any ((select private.my_company_ids('admin'))::uuid[])
    or (company_id is null and (select private.is_superadmin())))
  with check (
    company_id = any ((select private.my_company_ids('admin'))::uuid[])
    or (company_id is null and (select private.is_superadmin())));

create policy "Owners and admins remove policies, superadmins those for all" on public.retention_policies
  for delete to authenticated
  using (
    company_id = any ((select private.my_company_ids('admin'))::uuid[])
    or (company_id is null and (select private.is_superadmin())));

-- Functions

create function private.kept_since(p_kind text, p_company_id uuid, p_app_id uuid)
returns timestamptz
language sql
stable
security definer -- reads policies of everybody
set search_path = ''
as $$
  select now() - make_interval(days => keep_days)
  from public.retention_policies
  where kind = p_kind and (company_id is null or company_id = p_company_id) and (app_id is null or app_id = p_app_id)
  order by company_id nulls last, app_id nulls last
  limit 1
$$;
comment on function private.kept_since is 'What is older goes; null if nothing does.';

create function private.may_go_since(p_kind text, p_company_id uuid)
returns timestamptz
language sql
stable
security definer -- reads policies of everybody
set search_path = ''
as $$
  select now() - make_interval(days => min(keep_days))
  from public.retention_policies
  where kind = p_kind and (company_id is null or company_id = p_company_id)
$$;
comment on function private.may_go_since is 'What is younger stays, whatever the app: the bound of the index scan.';

create function private.useless_since(p_kind text)
returns timestamptz
language sql
stable
set search_path = ''
return now() - case p_kind
  when 'executors' then interval '30 days'
  when 'api_creations' then interval '24 hours'
  -- No window is longer than a day.
  when 'api_request_counts' then interval '2 days'
end;
comment on function private.useless_since is 'What was last of use before that goes, whatever policies say; null for what they are about.';

create function private.old_outputs(p_kind text, p_limit integer)
returns setof private.retention_candidate
language sql
stable
security definer -- looks at rows of everybody
set search_path = ''
as $$
  select p_kind, o.id, o.output_name, o.company_id, r.app_id, private.output_objects(o)::bigint,
    case when o.output_path is null then 0 else coalesce(o.file_size, 0) end
  from public.companies c
  cross join lateral private.may_go_since(p_kind, c.id) bound
  join public.app_outputs o on o.company_id = c.id and o.created_at < bound
  join public.app_runs r on r.id = o.run_id
  where (o.output_type in ('stdout', 'stderr')) = (p_kind = 'logs')
    and r.status in ('success', 'failed', 'cancelled', 'timeout')
    and o.created_at < private.kept_since(p_kind, c.id, r.app_id)
  limit p_limit
$$;

-- What a run put out goes first, row by row, so that a step stays small whatever a run left; the runs that nothing is left
-- of go after.
create function private.old_runs(p_step text, p_limit integer, p_dry_run boolean)
returns setof private.retention_candidate
language plpgsql
stable
security definer -- looks at rows of everybody
set search_path = ''
as $$
begin
  if p_step = 'runs' then
    return query
      select 'runs', r.id, r.version, r.company_id, r.app_id, 0::bigint, 0::bigint
      from public.companies c
      cross join lateral private.may_go_since('runs', c.id) bound
      join public.app_runs r on r.company_id = c.id and r.created_at < bound
      where r.status in ('success', 'failed', 'cancelled', 'timeout')
        and r.completed_at < private.kept_since('runs', c.id, r.app_id)
        and (p_dry_run or not exists (select from public.app_outputs o where o.run_id = r.id))
      limit p_limit;
    return;
  end if;
  return query
    select p_step, o.id, o.output_name, o.company_id, r.app_id, private.output_objects(o)::bigint,
      case when o.output_path is null then 0 else coalesce(o.file_size, 0) end
    from public.companies c
    cross join lateral private.may_go_since('runs', c.id) bound
    join public.app_runs r on r.company_id = c.id and r.created_at < bound
    join public.app_outputs o on o.run_id = r.id
    where r.status in ('success', 'failed', 'cancelled', 'timeout')
      and r.completed_at < private.kept_since('runs', c.id, r.app_id)
      -- What goes by a policy of its own is that one's.
      and o.created_at >= coalesce(
        private.kept_since(case when o.output_type in ('stdout', 'stderr') then 'logs' else 'outputs' end, c.id, r.app_id),
        '-infinity')
    limit p_limit;
end;
$$;

create function private.old_builds(p_limit integer)
returns setof private.retention_candidate
language sql
stable
security definer -- looks at rows of everybody
set search_path = ''
as $$
  select 'builds', b.id, b.build_version, a.publisher_company_id, a.id,
    private.build_objects(b)::bigint, private.build_bytes(b)
  from public.app_builds b
  join public.applications a on a.id = b.app_id
  join public.app_versions v on v.app_id = b.app_id and v.version = b.build_version
  where b.build_status in ('success', 'failed', 'cancelled')
    and b.completed_at < private.kept_since('builds', a.publisher_company_id, a.id)
    and not (
      b.build_status = 'success' and v.status <> 'archived'
      and not exists (
        select from public.app_builds n
        where n.app_id = b.app_id and n.build_version = b.build_version and n.build_status = 'success'
          and (n.created_at, n.id) > (b.created_at, b.id)))
    and not exists (select from public.app_runs r where r.build_id = b.id and r.status in ('pending', 'running'))
  limit p_limit
$$;

-- A deprecated version is archived first: from then on nobody asks for a run of it, and only what was asked for before has
-- to be looked for.
create function private.old_versions(p_status text, p_limit integer)
returns setof private.retention_candidate
language sql
stable
security definer -- looks at rows of everybody
set search_path = ''
as $$
  select 'versions', null::uuid, v.version, a.publisher_company_id, a.id,
    case p_status when 'deprecated' then 0 else f.objects + b.objects end,
    case p_status when 'deprecated' then 0 else f.bytes + b.bytes end
  from public.app_versions v
  join public.applications a on a.id = v.app_id
  cross join lateral (
    select count(*) as objects, coalesce(sum(file_size), 0)::bigint as bytes
    from public.app_storage where app_id = v.app_id and version = v.version) f
  cross join lateral (
    select count(*) as rows, coalesce(sum(private.build_objects(x)), 0)::bigint as objects,
      coalesce(sum(private.build_bytes(x)), 0)::bigint as bytes
    from public.app_builds x where app_id = v.app_id and build_version = v.version) b
  where v.status = p_status
    and v.updated_at < private.kept_since('versions', a.publisher_company_id, a.id)
    and (p_status = 'deprecated' or f.objects > 0 or b.rows > 0)
    -- Schedules run the newest published one; where none is published any more, the newest may be again.
    and exists (
      select from public.app_versions n
      where n.app_id = v.app_id and n.status in ('published', 'deprecated') and n.version_key > v.version_key)
    and not exists (
      select from public.app_runs r
      where r.app_id = v.app_id and r.version = v.version and r.status in ('pending', 'running'))
    and not exists (
      select from public.app_webhooks w where w.app_id = v.app_id and w.version = v.version and w.is_active)
    and not exists (
      select from public.app_builds u
      where u.app_id = v.app_id and u.build_version = v.version and u.build_status in ('pending', 'building'))
  limit p_limit
$$;

create function private.old_rows(p_kind text, p_limit integer)
returns setof private.retention_candidate
language plpgsql
stable
security definer -- looks at rows of everybody
set search_path = ''
as $$
declare
  useless_since constant timestamptz := private.useless_since(p_kind);
begin
  case p_kind
    when 'uploads' then
      return query
        select p_kind, u.id, null::text, u.company_id, u.app_id, 0::bigint, 0::bigint
        from public.app_uploads u
        where u.status not in ('pending', 'verifying') and u.updated_at < private.kept_since(p_kind, u.company_id, u.app_id)
        limit p_limit;
    when 'cron_skips' then
      return query
        select p_kind, k.id, null::text, k.company_id, s.app_id, 0::bigint, 0::bigint
        from public.app_cron_skips k
        join public.app_cron_schedules s on s.id = k.schedule_id
        where k.created_at < private.kept_since(p_kind, k.company_id, s.app_id)
        limit p_limit;
    when 'webhook_deliveries' then
      return query
        select p_kind, d.webhook_id, d.delivery_id, d.company_id, w.app_id, 0::bigint, 0::bigint
        from public.app_webhook_deliveries d
        join public.app_webhooks w on w.id = d.webhook_id
        where d.last_received_at < private.kept_since(p_kind, d.company_id, w.app_id)
        limit p_limit;
    when 'downloads' then
      return query
        select p_kind, d.id, null::text, d.company_id, d.app_id, 0::bigint, 0::bigint
        from public.companies c
        cross join lateral private.may_go_since(p_kind, c.id) bound
        join public.app_downloads d on d.company_id = c.id and d.created_at < bound
        where d.created_at < private.kept_since(p_kind, c.id, d.app_id)
        limit p_limit;
    when 'download_tokens' then
      return query
        select p_kind, t.id, t.label, t.company_id, t.app_id, 0::bigint, 0::bigint
        from public.companies c
        cross join lateral private.may_go_since(p_kind, c.id) bound
        join public.app_download_tokens t on t.company_id = c.id and t.created_at < bound
        where least(t.expires_at, t.revoked_at, case when t.download_count >= t.max_downloads then t.last_used_at end)
            < private.kept_since(p_kind, c.id, t.app_id)
          and not exists (select from public.app_downloads d where d.token_id = t.id)
        limit p_limit;
    -- What is nobody's to say: it is the operator's, or of no use.
    when 'executors' then
      return query
        select p_kind, null::uuid, e.id, null::uuid, null::uuid, 0::bigint, 0::bigint
        from public.executors e
        where e.last_seen_at < useless_since
          and not exists (select from private.run_claims c where c.executor_id = e.id)
          and not exists (select from public.app_builds b where b.build_status = 'building' and b.executor_id = e.id)
        limit p_limit;
    when 'api_creations' then
      return query
        select p_kind, k.caller, k.idempotency_key, null::uuid, null::uuid, 0::bigint, 0::bigint
        from private.api_creations k
        where k.created_at < useless_since
        limit p_limit;
    when 'api_request_counts' then
      return query
        select p_kind, k.caller, null::text, null::uuid, null::uuid, 0::bigint, 0::bigint
        from private.api_request_counts k
        where k.window_began_at < useless_since
        limit p_limit;
  end case;
end;
$$;

create function private.delete_candidates(p_candidates private.retention_candidate[], p_kind text)
returns void
language plpgsql
security definer -- rows of everybody
set search_path = ''
as $$
declare
  ids uuid[] := array(select c.id from unnest(p_candidates) c);
  useless_since constant timestamptz := private.useless_since(p_kind);
begin
  case p_kind
    when 'logs', 'outputs', 'run_outputs' then
      delete from public.app_outputs where id = any (ids);
    when 'runs' then
      delete from public.app_runs where id = any (ids);
    when 'builds' then
      delete from public.app_builds where id = any (ids);
    when 'uploads' then
      delete from public.app_uploads where id = any (ids);
    when 'cron_skips' then
      delete from public.app_cron_skips where id = any (ids);
    when 'webhook_deliveries' then
      delete from public.app_webhook_deliveries d using unnest(p_candidates) c
      where d.webhook_id = c.id and d.delivery_id = c.detail;
    when 'downloads' then
      perform private.delete_downloads(ids);
    when 'download_tokens' then
      delete from public.app_download_tokens where id = any (ids);
    when 'executors' then
      delete from public.executors e using unnest(p_candidates) c
      where e.id = c.detail and e.last_seen_at < useless_since;
    when 'api_creations' then
      delete from private.api_creations k using unnest(p_candidates) c
      where k.caller = c.id and k.idempotency_key = c.detail and k.created_at < useless_since;
    when 'api_request_counts' then
      delete from private.api_request_counts k using unnest(p_candidates) c
      where k.caller = c.id and k.window_began_at < useless_since;
    when 'deprecated' then
      update public.app_versions v
      set status = 'archived', status_reason = coalesce(v.status_reason, 'Deprecated for longer than such versions are kept.')
      from unnest(p_candidates) c
      where v.app_id = c.app_id and v.version = c.detail and v.status = 'deprecated';
    when 'archived' then
      delete from public.app_storage f using unnest(p_candidates) c where f.app_id = c.app_id and f.version = c.detail;
      delete from public.app_builds b using unnest(p_candidates) c where b.app_id = c.app_id and b.build_version = c.detail;
  end case;
end;
$$;

create function private.apply_retention(p_max_rows integer, p_dry_run boolean)
returns table (kind text, company_id uuid, app_id uuid, rows bigint, objects bigint, bytes bigint)
language plpgsql
security definer -- rows of everybody
set search_path = ''
as $$
declare
  left_rows integer := p_max_rows;
  step text;
  candidates private.retention_candidate[];
  company uuid;
begin
  if coalesce(p_max_rows, 0) not between 1 and 10000 then
    perform private.raise_error('SW001', 'max_rows takes 1 to 10000.', 'max_rows');
  end if;
  if not p_dry_run then
    -- Two who apply policies at once take turns: what one deletes the other does not report.
    perform pg_advisory_xact_lock(hashtext('stowage.apply_retention'));
    perform private.expire_app_uploads(p_max_rows);
    -- Each is locked until the end, and there are only so many locks.
    for company in select distinct c.company_id from private.storage_changes c limit 1000 loop
      perform private.fold_storage_changes(company);
    end loop;
  end if;
  foreach step in array array[
    'logs', 'outputs', 'run_outputs', 'runs', 'builds', 'deprecated', 'archived', 'uploads', 'cron_skips', 'webhook_deliveries',
    'downloads', 'download_tokens', 'executors', 'api_creations', 'api_request_counts']
  loop
    exit when left_rows <= 0;
    candidates := case
      when step in ('logs', 'outputs') then array(select c from private.old_outputs(step, left_rows) c)
      when step in ('run_outputs', 'runs') then array(select c from private.old_runs(step, left_rows, p_dry_run) c)
      when step = 'builds' then array(select c from private.old_builds(left_rows) c)
      when step in ('deprecated', 'archived') then array(select c from private.old_versions(step, left_rows) c)
      else array(select c from private.old_rows(step, left_rows) c)
    end;
    continue when cardinality(candidates) = 0;
    left_rows := left_rows - cardinality(candidates);
    if not p_dry_run then
      perform private.delete_candidates(candidates, step);
    end if;
    return query
      select
        case step
          when 'deprecated' then 'versions archived' when 'archived' then 'versions emptied'
          when 'run_outputs' then 'outputs of runs' else step
        end,
        c.company_id, c.app_id, count(*), sum(c.objects)::bigint, sum(c.bytes)::bigint
      from unnest(candidates) c
      group by c.company_id, c.app_id
      order by c.company_id, c.app_id;
  end loop;
end;
$$;

create function public.apply_retention(max_rows integer default 1000, dry_run boolean default false)
returns table (kind text, company_id uuid, app_id uuid, rows bigint, objects bigint, bytes bigint)
language sql
security invoker
set search_path = ''
as $$ select * from private.apply_retention($1, $2) $$;
comment on function public.apply_retention is
  'For the service: ends uploads whose time is over, and deletes at most max_rows rows that are older than their policies keep '
  'them, or of no more use (executors that were not seen for 30 days; what the API remembers for a day); their objects are queued for deletion (claim_object_deletions). Answers what went, or would go, by kind, company and '
  'app; nothing when nothing is left. Errors: SW001 (max_rows).';

grant execute on function private.apply_retention(integer, boolean), public.apply_retention(integer, boolean) to service_role;
