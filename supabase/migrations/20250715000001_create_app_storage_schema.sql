-- Storage and execution of apps: their files and builds, the runs, what runs put out, schedules and permissions.
-- A reader sees an object in the buckets exactly where row security shows the row that describes it.

-- Tables

create table public.app_storage (
  id uuid primary key default gen_random_uuid(),
  app_id uuid not null,
  file_path text not null,
  file_type text not null
    constraint app_storage_file_type check (file_type in ('manifest', 'source', 'build', 'asset', 'dist', 'config')),
  file_size bigint not null constraint app_storage_file_size_range check (file_size between 0 and 104857600),
  version text not null,
  checksum text not null constraint app_storage_checksum_format check (checksum ~ '^sha256:[0-9a-f]{64}$'),
  content_type text not null default 'application/octet-stream',
  is_released boolean not null default false,
  metadata jsonb not null default '{}' constraint app_storage_metadata_object check (private.is_object(metadata)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint app_storage_app_id_fkey foreign key (app_id) references public.applications (id) on delete restrict,
  constraint app_storage_version_fkey foreign key (app_id, version)
    references public.app_versions (app_id, version) on delete restrict,
  constraint app_storage_file_path_key unique (file_path),
  constraint app_storage_file_path_format check (
    starts_with(file_path, 'app_' || app_id || '/')
    and not starts_with(file_path, 'app_' || app_id || '/staging/')
    and not starts_with(file_path, 'app_' || app_id || '/builds/')
    and not starts_with(file_path, 'app_' || app_id || '/runs/')
    and private.is_safe_path(file_path))
);
comment on table public.app_storage is
  'Files of app versions. Bytes are in the bucket app-storage under file_path; files of a version that is not a draft never change.';
comment on column public.app_storage.file_path is 'Name of the object in app-storage: app_{appId}/{version}/{path}.';
comment on column public.app_storage.file_size is 'Bytes.';
comment on column public.app_storage.checksum is 'sha256:<64 hexadecimal digits> of the bytes.';
comment on column public.app_storage.is_released is 'The version is published or deprecated; kept by triggers.';

create table public.app_builds (
  id uuid primary key default gen_random_uuid(),
  app_id uuid not null,
  build_version text not null,
  build_status text not null default 'pending'
    constraint app_builds_build_status check (build_status in ('pending', 'building', 'success', 'failed', 'cancelled')),
  build_path text,
  file_size bigint constraint app_builds_file_size_range check (file_size between 0 and 104857600),
  checksum text constraint app_builds_checksum_format check (checksum ~ '^sha256:[0-9a-f]{64}$'),
  source_checksum text constraint app_builds_source_checksum_format check (source_checksum ~ '^sha256:[0-9a-f]{64}$'),
  build_config jsonb not null default '{}'
    constraint app_builds_build_config_object check (private.is_object(build_config) and pg_column_size(build_config) <= 65536),
  build_logs text,
  build_logs_size bigint constraint app_builds_build_logs_size_range check (build_logs_size >= 0),
  error_message text constraint app_builds_error_message_length check (length(error_message) <= 10000),
  build_after timestamptz not null default now(),
  attempt integer not null default 0,
  max_attempts integer not null default 3 constraint app_builds_max_attempts_range check (max_attempts between 1 and 25),
  attempt_history jsonb not null default '[]',
  executor_id text,
  lease_expires_at timestamptz,
  is_released boolean not null default false,
  requested_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  started_at timestamptz,
  completed_at timestamptz,
  constraint app_builds_app_id_fkey foreign key (app_id) references public.applications (id) on delete restrict,
  constraint app_builds_build_version_fkey foreign key (app_id, build_version)
    references public.app_versions (app_id, version) on delete restrict,
  constraint app_builds_build_path_key unique (build_path),
  constraint app_builds_build_path_format check (
    starts_with(build_path, 'app_' || app_id || '/builds/' || id || '/') and private.is_safe_path(build_path)),
  constraint app_builds_build_logs_format check (
    starts_with(build_logs, 'app_' || app_id || '/builds/' || id || '/') and private.is_safe_path(build_logs)),
  constraint app_builds_success_has_path check (build_status <> 'success' or build_path is not null),
  constraint app_builds_completed check (
    (build_status in ('success', 'failed', 'cancelled')) = (completed_at is not null)),
  -- Whoever builds without the queue's functions holds no lease, and loses none.
  constraint app_builds_held check (lease_expires_at is null or (build_status = 'building' and executor_id is not null)),
  constraint app_builds_attempts check (attempt between 0 and max_attempts),
  constraint app_builds_duration check (completed_at >= created_at)
);
comment on table public.app_builds is
  'Builds of app versions: what a run needs, installed once. Requested by inserting a pending row.';
comment on column public.app_builds.build_path is 'Name of the packed build in the bucket app-storage: app_{appId}/builds/{id}/….';
comment on column public.app_builds.build_logs is
  'Name of the log in the bucket app-logs: app_{appId}/builds/{id}/…. An object, so that only the publisher reads it.';
comment on column public.app_builds.build_logs_size is
  'Bytes of the log in the bucket, measured whenever the build changes its status; null while there is none.';
comment on column public.app_builds.file_size is 'Bytes of the packed build.';
comment on column public.app_builds.checksum is 'sha256:<64 hexadecimal digits> of the packed build.';
comment on column public.app_builds.source_checksum is
  'Of the version''s files and manifest that it was made from: a build of a draft that was changed since is not run.';
comment on column public.app_builds.build_after is 'Not claimed before; moved into the future between attempts.';
comment on column public.app_builds.attempt_history is
  'One entry an attempt that ended without finishing the build: attempt, executor_id, started_at, ended_at, outcome, error.';
comment on column public.app_builds.executor_id is 'Who holds the build, or held it last.';
comment on column public.app_builds.lease_expires_at is 'When the holder loses the build unless it extends its lease.';
comment on column public.app_builds.is_released is 'The version is published or deprecated; kept by triggers.';

create table public.app_runs (
  -- Ordered by time: a run is found by its id when it is claimed and when it ends, along with those that came with it.
  id uuid primary key default private.time_ordered_uuid(),
  app_id uuid not null,
  company_id uuid not null references public.companies (id) on delete restrict,
  version text not null,
  build_id uuid references public.app_builds (id) on delete set null,
  run_type text not null default 'manual',
  status text not null default 'pending',
  priority integer not null default 0,
  run_after timestamptz not null default now(),
  attempt integer not null default 0,
  max_attempts integer not null default 3,
  retry_failures boolean not null default false,
  executor_id text,
  lease_expires_at timestamptz,
  cancel_requested_at timestamptz,
  started_at timestamptz,
  completed_at timestamptz,
  duration_ms bigint,
  logs_path text,
  output_path text,
  error_message text,
  config jsonb not null default '{}',
  metadata jsonb not null default '{}',
  attempt_history jsonb not null default '[]',
  idempotency_key text,
  requested_by uuid default auth.uid() references auth.users (id) on delete set null,
  retry_of uuid references public.app_runs (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint app_runs_app_id_fkey foreign key (app_id) references public.applications (id) on delete restrict,
  constraint app_runs_version_fkey foreign key (app_id, version)
    references public.app_versions (app_id, version) on delete restrict
)
-- A run is written when it is claimed and when it ends. Both stay on its page, and touch no index, because pages keep
-- room and no index looks at the status: which runs wait and which are held is in narrow tables beside (the run queue).
with (fillfactor = 70);
comment on table public.app_runs is
  'Runs, from request to result. Users ask with request_app_run; executors claim, and finish what they hold.';
comment on column public.app_runs.priority is 'Greater runs first, among the runs of one company.';
comment on column public.app_runs.run_after is 'Not claimed before; moved into the future between attempts.';
comment on column public.app_runs.retry_failures is
  'A failure or time-out of the app itself is tried again too, while attempts are left.';
comment on column public.app_runs.executor_id is 'Who holds the run, or held it last.';
comment on column public.app_runs.lease_expires_at is 'When the holder loses the run unless it extends its lease.';
comment on column public.app_runs.duration_ms is 'Milliseconds from the start of the last attempt to completion. Follows from the two.';
comment on column public.app_runs.logs_path is 'Name of the standard output in the bucket app-logs: app_{appId}/runs/{id}/stdout.log; stderr.log lies beside it.';
comment on column public.app_runs.attempt_history is
  'One entry an attempt that ended without finishing the run: attempt, executor_id, started_at, ended_at, outcome, error.';
comment on column public.app_runs.idempotency_key is 'A second request of the company with the same key gets the same run.';

create table public.app_outputs (
  id uuid primary key default gen_random_uuid(),
  run_id uuid not null references public.app_runs (id) on delete cascade,
  company_id uuid not null references public.companies (id) on delete restrict,
  output_type text not null
    constraint app_outputs_output_type check (output_type in ('stdout', 'stderr', 'file', 'metric', 'result', 'error')),
  output_name text not null constraint app_outputs_output_name_length check (length(output_name) between 1 and 512),
  output_data jsonb,
  output_bucket text constraint app_outputs_output_bucket check (output_bucket in ('app-storage', 'app-logs')),
  output_path text constraint app_outputs_output_path_format check (private.is_safe_path(output_path)),
  file_size bigint constraint app_outputs_file_size_range check (file_size >= 0),
  created_at timestamptz not null default now(),
  constraint app_outputs_run_id_output_key unique (run_id, output_type, output_name),
  constraint app_outputs_has_content check (output_data is not null or output_path is not null),
  constraint app_outputs_bucket_of_path check ((output_bucket is null) = (output_path is null))
);
comment on table public.app_outputs is
  'What runs put out: small results in output_data, everything else as an object.';
comment on column public.app_outputs.output_bucket is
  'Bucket of output_path: app-logs for stdout and stderr; app-storage for files, since app-logs takes text alone.';
comment on column public.app_outputs.output_path is 'Name of the object: app_{appId}/runs/{runId}/….';
comment on column public.app_outputs.company_id is 'The run''s company; filled in by a trigger.';
comment on column public.app_outputs.file_size is 'Bytes.';

create table public.app_cron_schedules (
  id uuid primary key default gen_random_uuid(),
  app_id uuid not null references public.applications (id) on delete restrict,
  company_id uuid not null references public.companies (id) on delete restrict,
  cron_expression text not null
    constraint app_cron_schedules_cron_expression_format check (
      length(cron_expression) <= 200
      and cron_expression ~* '^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9a-z*,/?-]+( +[0-9a-z*,/?-]+){4})$'),
  timezone text not null default 'UTC',
  is_active boolean not null default true,
  last_run_at timestamptz,
  next_run_at timestamptz,
  last_run_id uuid references public.app_runs (id) on delete set null,
  config jsonb not null default '{}' constraint app_cron_schedules_config_object check (private.is_object(config)),
  missed_policy text not null default 'run_once'
    constraint app_cron_schedules_missed_policy check (missed_policy in ('skip', 'run_once', 'run_all')),
  overlap_policy text not null default 'skip'
    constraint app_cron_schedules_overlap_policy check (overlap_policy in ('allow', 'skip')),
  max_lateness interval not null default '1 hour'
    constraint app_cron_schedules_max_lateness_range check (
      private.is_span(max_lateness, '0', '31 days') and extract(month from max_lateness) = 0),
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.app_cron_schedules is 'When companies want apps run: five-field cron expressions in a time zone.';
comment on column public.app_cron_schedules.config is 'The config of each run.';
comment on column public.app_cron_schedules.missed_policy is
  'What happens to due times that nothing ticked for: skipped, run once, or all run that are at most max_lateness late.';
comment on column public.app_cron_schedules.overlap_policy is 'Whether a run is enqueued while the one before is unfinished.';

create table public.app_permissions (
  id uuid primary key default gen_random_uuid(),
  app_id uuid not null references public.applications (id) on delete cascade,
  version text,
  permission_type text not null
    constraint app_permissions_permission_type
      check (permission_type in ('storage', 'network', 'database', 'api', 'system', 'custom')),
  permission_value text not null constraint app_permissions_permission_value_length check (length(permission_value) between 1 and 500),
  description text constraint app_permissions_description_length check (length(description) <= 2000),
  is_required boolean not null default true,
  created_at timestamptz not null default now(),
  constraint app_permissions_version_fkey foreign key (app_id, version)
    references public.app_versions (app_id, version) on delete cascade,
  constraint app_permissions_value_key unique nulls not distinct (app_id, version, permission_type, permission_value)
);
comment on table public.app_permissions is
  'What a version asks for in its manifest; follows app_versions.manifest. Without a version: of the app as a whole.';
comment on column public.app_permissions.permission_value is 'The scope in the manifest, such as a host for network.';

-- Indexes

create unique index app_storage_file_path_folded_key on public.app_storage (lower(file_path));
create index app_storage_app_id_version_idx on public.app_storage (app_id, version);

create index app_builds_app_id_build_version_idx on public.app_builds (app_id, build_version, created_at desc);
create index app_builds_pending_idx on public.app_builds (created_at) where build_status = 'pending';
create index app_builds_building_idx on public.app_builds (app_id) where build_status = 'building';
create index app_builds_requested_by_idx on public.app_builds (requested_by);

create index app_runs_company_id_created_at_idx on public.app_runs (company_id, created_at desc, id desc);
create index app_runs_app_id_version_idx on public.app_runs (app_id, version);
create index app_runs_build_id_idx on public.app_runs (build_id) where build_id is not null;
create index app_runs_requested_by_idx on public.app_runs (requested_by) where requested_by is not null;
create index app_runs_retry_of_idx on public.app_runs (retry_of) where retry_of is not null;
create unique index app_runs_idempotency_key on public.app_runs (company_id, idempotency_key) where idempotency_key is not null;

create index app_outputs_company_id_created_at_idx on public.app_outputs (company_id, created_at desc);
create index app_outputs_output_path_idx on public.app_outputs (output_path);

create index app_cron_schedules_app_id_idx on public.app_cron_schedules (app_id);
create index app_cron_schedules_company_id_idx on public.app_cron_schedules (company_id);
create index app_cron_schedules_created_by_idx on public.app_cron_schedules (created_by);
create index app_cron_schedules_last_run_id_idx on public.app_cron_schedules (last_run_id);
create index app_cron_schedules_due_idx on public.app_cron_schedules (next_run_at) where is_active;

-- Triggers: files

create trigger set_updated_at before update on public.app_storage
  for each row execute function private.set_updated_at();

create function private.guard_app_file()
returns trigger
language plpgsql
security definer -- a file may be the first of its version, which it then creates
set search_path = ''
as $$
declare
  file public.app_storage := case tg_op when 'DELETE' then old else new end;
  version_status text;
begin
  -- Left to row security, whose answer tells nobody which apps and versions there are.
  if not (private.is_service() or private.is_superadmin()) then
    return file;
  end if;
  if tg_op = 'INSERT' and private.is_semver(new.version) then
    insert into public.app_versions (app_id, version) values (new.app_id, new.version) on conflict do nothing;
  end if;
  -- The lock keeps the version a draft until this file is in it.
  select status into version_status from public.app_versions
  where app_id = file.app_id and version = file.version
  for share;
  if tg_op = 'DELETE' then
    if version_status not in ('draft', 'archived') then
      perform private.raise_error('SW020',
        format('Version %s is %s: its files stay until it is archived.', file.version, version_status), 'version');
    end if;
    return old;
  end if;
  new.is_released := coalesce(version_status in ('published', 'deprecated'), false);
  if tg_op = 'UPDATE' then
    if (new.app_id, new.version) is distinct from (old.app_id, old.version) then
      perform private.raise_error('SW001', 'A file does not move to another app or version.', 'version');
    end if;
    -- Release and retirement of the version rewrite this one column.
    old.is_released := new.is_released;
    old.updated_at := new.updated_at;
    if new is not distinct from old then
      return new;
    end if;
  end if;
  if version_status <> 'draft' then
    perform private.raise_error('SW020',
      format('Version %s is %s: its files cannot change. Upload a new version.', file.version, version_status), 'version');
  end if;
  return new;
end;
$$;

create trigger guard_app_file before insert or update or delete on public.app_storage
  for each row execute function private.guard_app_file();

-- Triggers: versions, as far as they concern files, builds and permissions

create function private.refuse_if_suspended(p_app_id uuid)
returns void
language plpgsql
security definer -- asked by triggers whatever the caller sees
set search_path = ''
as $$
begin
  if not (private.is_service() or private.is_superadmin()) and exists (
    select from public.applications where id = p_app_id and status = 'suspended'
  ) then
    perform private.raise_error('SW003', 'The app is suspended.', 'app_id');
  end if;
end;
$$;

create function private.change_version_status()
returns trigger
language plpgsql
security definer -- looks at files and uploads of the version whatever the caller sees
set search_path = ''
as $$
begin
  if (old.status, new.status) not in (
    ('draft', 'published'), ('published', 'deprecated'), ('deprecated', 'published'),
    ('published', 'archived'), ('deprecated', 'archived')
  ) then
    perform private.raise_error('SW022',
      format('A version that is %s does not become %s.', old.status, private.shortened(new.status)), 'status');
  end if;
  if new.status = 'published' and old.status = 'draft' then
    perform private.refuse_if_suspended(new.app_id);
    if new.manifest is null then
      perform private.raise_error('SW021', format('Version %s has no manifest.', new.version), 'manifest');
    end if;
    if not exists (
      select from public.app_storage
      where app_id = new.app_id and version = new.version and file_type in ('source', 'build', 'dist')
    ) then
      perform private.raise_error('SW021', format('Version %s has no files to run or serve.', new.version), 'version');
    end if;
    new.published_at := now();
    new.published_by := auth.uid();
  end if;
  return new;
end;
$$;

create trigger change_version_status before update on public.app_versions
  for each row when (old.status is distinct from new.status)
  execute function private.change_version_status();

create function private.spread_version_status()
returns trigger
language plpgsql
security definer -- the columns it keeps are nobody's to write
set search_path = ''
as $$
declare
  released boolean := new.status in ('published', 'deprecated');
begin
  update public.app_storage set is_released = released
  where app_id = new.app_id and version = new.version and is_released <> released;
  update public.app_builds set is_released = released
  where app_id = new.app_id and build_version = new.version and is_released <> released;
  return null;
end;
$$;

create trigger spread_version_status after update on public.app_versions
  for each row when (old.status is distinct from new.status)
  execute function private.spread_version_status();

create function private.spread_manifest_permissions()
returns trigger
language plpgsql
security definer -- permissions are nobody's to write but the manifest's
set search_path = ''
as $$
begin
  delete from public.app_permissions where app_id = new.app_id and version = new.version;
  insert into public.app_permissions (app_id, version, permission_type, permission_value, description, is_required)
  select distinct on (entry ->> 'type', entry ->> 'scope')
    new.app_id, new.version, entry ->> 'type', entry ->> 'scope', entry ->> 'description',
    coalesce((entry ->> 'required')::boolean, true)
  from jsonb_array_elements(
    case jsonb_typeof(new.manifest -> 'permissions') when 'array' then new.manifest -> 'permissions' else '[]' end) as entry
  order by entry ->> 'type', entry ->> 'scope', coalesce((entry ->> 'required')::boolean, true) desc;
  return null;
end;
$$;

create trigger spread_permissions_of_new_version after insert on public.app_versions
  for each row when (new.manifest is not null)
  execute function private.spread_manifest_permissions();

create trigger spread_permissions_of_manifest after update on public.app_versions
  for each row when (old.manifest is distinct from new.manifest)
  execute function private.spread_manifest_permissions();

-- Triggers: builds

create trigger set_updated_at before update on public.app_builds
  for each row execute function private.set_updated_at();

create function private.guard_build()
returns trigger
language plpgsql
security definer -- reads the version's status whatever the caller sees
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' and new.build_status <> 'pending' then
    perform private.raise_error('SW022', 'A build begins as pending.', 'build_status');
  end if;
  if tg_op = 'UPDATE' and (new.app_id, new.build_version) is distinct from (old.app_id, old.build_version) then
    perform private.raise_error('SW001', 'A build stays with its app and version.', 'build_version');
  end if;
  -- Of an app that is not the caller's, row security says less.
  if tg_op = 'INSERT' and new.app_id = any (private.my_published_app_ids('admin')) then
    perform private.refuse_if_suspended(new.app_id);
  end if;
  new.is_released := exists (
    select from public.app_versions
    where app_id = new.app_id and version = new.build_version and status in ('published', 'deprecated'));
  return new;
end;
$$;

create trigger guard_build before insert or update on public.app_builds
  for each row execute function private.guard_build();

create function private.change_build_status()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (old.build_status, new.build_status) not in (
    ('pending', 'building'), ('pending', 'cancelled'), ('pending', 'failed'), ('building', 'pending'),
    ('building', 'success'), ('building', 'failed'), ('building', 'cancelled')
  ) then
    perform private.raise_error('SW022',
      format('A build that is %s does not become %s.', old.build_status, private.shortened(new.build_status)), 'build_status');
  end if;
  if new.build_status in ('success', 'failed', 'cancelled') then
    -- A transaction that began before the other one has the earlier clock.
    new.completed_at := coalesce(new.completed_at, greatest(now(), new.created_at));
  end if;
  if new.build_status <> 'building' then
    new.lease_expires_at := null;
  end if;
  return new;
end;
$$;

create trigger change_build_status before update on public.app_builds
  for each row when (old.build_status is distinct from new.build_status)
  execute function private.change_build_status();

create function private.guard_finished_build()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform private.raise_error('SW022', format('A build that is %s does not change.', old.build_status), 'build_status');
  return null;
end;
$$;

create trigger guard_finished_build before update on public.app_builds
  for each row when (
    old.build_status in ('success', 'failed', 'cancelled')
    and (old.app_id, old.build_version, old.build_status, old.build_path, old.file_size, old.checksum, old.source_checksum,
        old.build_config, old.build_logs, old.error_message, old.attempt, old.executor_id, old.started_at, old.completed_at)
      is distinct from
        (new.app_id, new.build_version, new.build_status, new.build_path, new.file_size, new.checksum, new.source_checksum,
        new.build_config, new.build_logs, new.error_message, new.attempt, new.executor_id, new.started_at, new.completed_at))
  execute function private.guard_finished_build();

-- Triggers: runs. Whatever anybody writes into app_runs is held to the rules here. The functions of the queue keep them by
-- themselves, for many runs at once, and say so in a setting that lasts until they return: for them the triggers cost
-- their condition alone. The rules are no check constraints because Postgres reads the text of every one of them again
-- for each statement, which took longer than all the rest of a claim (docs/decisions.md, Run queue).

create function private.duration_ms(started_at timestamptz, completed_at timestamptz)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
begin
  return extract(epoch from completed_at - started_at) * 1000;
end;
$$;

create function private.broken_run_rule(run public.app_runs)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case
    when not (run.attempt between 0 and run.max_attempts) then 'app_runs_attempts'
    when not (run.status <> 'pending' or run.attempt < run.max_attempts) then 'app_runs_attempts_left'
    when not ((run.status in ('success', 'failed', 'cancelled', 'timeout')) = (run.completed_at is not null))
      then 'app_runs_completed'
    when not (jsonb_typeof(run.config) = 'object' and pg_column_size(run.config) <= 524288) then 'app_runs_config_object'
    when not (run.completed_at >= run.started_at) then 'app_runs_duration'
    when not (length(run.error_message) <= 10000) then 'app_runs_error_message_length'
    when not ((run.status = 'running') = (run.lease_expires_at is not null)
      and (run.status <> 'running' or (run.executor_id is not null and run.started_at is not null and run.attempt > 0)))
      then 'app_runs_held'
    when not (length(run.idempotency_key) between 1 and 200) then 'app_runs_idempotency_key_length'
    when run.logs_path is not null and not (starts_with(run.logs_path, 'app_' || run.app_id || '/runs/' || run.id || '/')
      and private.is_safe_path(run.logs_path)) then 'app_runs_logs_path_format'
    when not (run.max_attempts between 1 and 25) then 'app_runs_max_attempts_range'
    when not (jsonb_typeof(run.metadata) = 'object') then 'app_runs_metadata_object'
    when run.output_path is not null and not (starts_with(run.output_path, 'app_' || run.app_id || '/runs/' || run.id || '/')
      and private.is_safe_path(run.output_path)) then 'app_runs_output_path_format'
    when not (run.priority between -100 and 100) then 'app_runs_priority_range'
    when not (run.run_type in ('manual', 'cron', 'webhook', 'test')) then 'app_runs_run_type'
    when not (run.status in ('pending', 'running', 'success', 'failed', 'cancelled', 'timeout')) then 'app_runs_status'
  end;
end;
$$;
comment on function private.broken_run_rule is 'The name of the first rule that the run breaks, or null: what a run must always be.';

create function private.check_run(run public.app_runs)
returns void
language plpgsql
set search_path = ''
as $$
declare
  rule constant text := private.broken_run_rule(run);
begin
  if rule is not null then
    raise check_violation using
      message = format('new row for relation "app_runs" violates check constraint "%s"', rule),
      schema = 'public', table = 'app_runs', constraint = rule;
  end if;
end;
$$;
comment on function private.check_run is 'Error: 23514 with the name of the rule, as a check constraint has it.';

create function private.require_runnable_app(p_app_id uuid, p_company_id uuid, p_may_wait boolean default true)
returns void
language plpgsql
security definer -- asks for apps and companies whatever the caller sees
set search_path = ''
as $$
declare
  is_active boolean;
  is_publisher boolean;
begin
  -- One answer for every company that is not the caller's, or it would tell which apps strangers have.
  if private.is_service() or coalesce(p_company_id = any (private.my_company_ids()), false) then
    -- Whoever suspends the app or takes it away waits for this transaction and stops what comes of it, or is waited for.
    if p_may_wait then
      select status = 'active', publisher_company_id = p_company_id into is_active, is_publisher
      from public.applications where id = p_app_id for share;
      perform from public.app_assignments where app_id = p_app_id and company_id = p_company_id for key share;
    else
      select status = 'active', publisher_company_id = p_company_id into is_active, is_publisher
      from public.applications where id = p_app_id for share nowait;
      perform from public.app_assignments where app_id = p_app_id and company_id = p_company_id for key share nowait;
    end if;
    if is_active and (is_publisher or found) then
      return;
    end if;
  end if;
  perform private.raise_error('SW040', 'The app is not active, or it is not assigned to this company.', 'app_id');
end;
$$;
comment on function private.require_runnable_app is
  'The app runs for the company until the transaction ends, or SW040. With p_may_wait false it raises 55P03 while somebody '
  'changes the app: for callers who hold what that change needs.';

create function private.refuse_frontend(p_version text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform private.raise_error('SW040',
    format('Version %s has no backend: its files are for browsers, and there is nothing to run.', p_version), 'version');
end;
$$;
comment on function private.refuse_frontend is 'What is said where a version is to be run that has nothing to run: SW040 (version).';

create function private.require_backend(p_app_id uuid, p_version text default null)
returns void
language plpgsql
security definer -- an app's versions, whatever the caller sees
set search_path = ''
as $$
declare
  version_without text;
begin
  select v.version into version_without from (
    select version, has_backend from public.app_versions
    where app_id = p_app_id and (version = p_version or (p_version is null and status = 'published'))
    order by version_key desc limit 1) v
  where not v.has_backend;
  if found then
    perform private.refuse_frontend(version_without);
  end if;
end;
$$;
comment on function private.require_backend is
  'The version, or without one the newest published, has something to run, or SW040. Where there is none yet, nothing is said.';

create function private.resolve_run_version(p_app_id uuid, p_company_id uuid, p_version text, p_run_type text)
returns text
language plpgsql
security definer -- an app's versions and assignments, whatever the caller sees
set search_path = ''
as $$
declare
  found_version text;
  found_status text;
  found_backend boolean;
begin
  -- A tick holds the schedule, which is switched off along with the app.
  perform private.require_runnable_app(p_app_id, p_company_id, p_run_type is distinct from 'cron');
  if p_version is null then
    select v.version, v.has_backend into found_version, found_backend from public.app_versions v
    where v.app_id = p_app_id and v.status = 'published'
    order by v.version_key desc limit 1;
    if not found then
      perform private.raise_error('SW040', 'The app has no published version.', 'version');
    end if;
    if not found_backend then
      perform private.refuse_frontend(found_version);
    end if;
    return found_version;
  end if;
  select v.status, v.has_backend into found_status, found_backend
  from public.app_versions v where v.app_id = p_app_id and v.version = p_version;
  if found_status in ('published', 'deprecated')
    or (found_status = 'draft' and p_run_type = 'test' and exists (
      select from public.applications where id = p_app_id and publisher_company_id = p_company_id))
  then
    if not found_backend then
      perform private.refuse_frontend(p_version);
    end if;
    return p_version;
  end if;
  perform private.raise_error('SW040', format('The app has no released version %s.', private.shortened(p_version)), 'version');
  return null;
end;
$$;
comment on function private.resolve_run_version is
  'The version that a run of the app for the company gets: the one asked for, or the newest published. Errors: SW040.';

create function private.guard_run()
returns trigger
language plpgsql
security definer -- an app's versions and assignments, whatever the caller sees; the queue's tables
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    if new.status <> 'pending' then
      perform private.raise_error('SW022', 'A run begins as pending.', 'status');
    end if;
    if new.duration_ms is not null then
      raise generated_always using message = 'cannot insert a non-DEFAULT value into column "duration_ms"';
    end if;
    new.version := private.resolve_run_version(new.app_id, new.company_id, new.version, new.run_type);
    perform private.check_run(new);
    return new;
  end if;
  if new.duration_ms is distinct from old.duration_ms then
    raise generated_always using message = 'column "duration_ms" can only be updated to DEFAULT';
  end if;
  if old.status <> new.status then
    if (old.status, new.status) not in (
      ('pending', 'running'), ('pending', 'cancelled'), ('pending', 'failed'),
      ('running', 'pending'), ('running', 'success'), ('running', 'failed'), ('running', 'cancelled'), ('running', 'timeout')
    ) then
      perform private.raise_error('SW022',
        format('A run that is %s does not become %s.', old.status, private.shortened(new.status)), 'status');
    end if;
    new.updated_at := now();
    if new.status in ('success', 'failed', 'cancelled', 'timeout') then
      -- A transaction that began before the claim has the earlier clock.
      new.completed_at := coalesce(new.completed_at, greatest(now(), new.started_at));
      new.lease_expires_at := null;
    end if;
  end if;
  -- The three references become null when their target is deleted.
  if old.status in ('success', 'failed', 'cancelled', 'timeout') and (
    (to_jsonb(new) - '{build_id,requested_by,retry_of}'::text[])
      is distinct from (to_jsonb(old) - '{build_id,requested_by,retry_of}'::text[])
    or (new.build_id is distinct from old.build_id and new.build_id is not null)
    or (new.requested_by is distinct from old.requested_by and new.requested_by is not null)
    or (new.retry_of is distinct from old.retry_of and new.retry_of is not null)
  ) then
    perform private.raise_error('SW022', format('A run that is %s does not change.', old.status), 'status');
  end if;
  if (old.id, old.app_id, old.company_id, old.version) is distinct from (new.id, new.app_id, new.company_id, new.version) then
    perform private.raise_error('SW001', 'A run stays with its app, company and version.', 'app_id');
  end if;
  new.duration_ms := private.duration_ms(new.started_at, new.completed_at);
  perform private.check_run(new);
  if old.status = 'running' and new.status = 'running' then
    if (old.executor_id, old.lease_expires_at) is distinct from (new.executor_id, new.lease_expires_at) then
      perform private.note_claim(new);
    end if;
  elsif (old.status, old.priority, old.run_after) is distinct from (new.status, new.priority, new.run_after) then
    perform private.leave_queue(old);
    -- Who waits for the company might wait for this run.
    perform private.join_queue(new, false);
  elsif new.status = 'pending' then
    -- Claims leave alone what is being changed; one that has it already waits for this change.
    perform from private.waiting_runs w
    where w.lane = (select lane from private.company_lanes where company_id = new.company_id)
      and w.is_due in (true, false) and w.rank = -new.priority and w.run_after = new.run_after and w.run_id = new.id
    for no key update skip locked;
  end if;
  return new;
end;
$$;

-- Nobody but the owner of the queue's functions is believed.
create trigger guard_run before insert or update on public.app_runs
  for each row when (current_setting('stowage.queue', true) is distinct from 'on' or current_user <> 'postgres')
  execute function private.guard_run();

create function private.fill_output_company()
returns trigger
language plpgsql
security definer -- reads the run whatever the caller sees
set search_path = ''
as $$
begin
  -- Left to row security, whose answer tells nobody which runs there are.
  if not (private.is_service() or private.is_superadmin()) then
    return new;
  end if;
  select r.company_id into new.company_id from public.app_runs r where r.id = new.run_id;
  if not found then
    perform private.raise_error('SW002', 'There is no such run.', 'run_id');
  end if;
  if new.output_path is not null and not exists (
    select from public.app_runs r
    where r.id = new.run_id and starts_with(new.output_path, 'app_' || r.app_id || '/runs/' || r.id || '/')
  ) then
    perform private.raise_error('SW001', 'output_path must be in the folder of the run.', 'output_path');
  end if;
  return new;
end;
$$;

create trigger fill_output_company before insert or update on public.app_outputs
  for each row execute function private.fill_output_company();

-- Triggers: schedules

create trigger set_updated_at before update on public.app_cron_schedules
  for each row execute function private.set_updated_at();

create function private.guard_schedule()
returns trigger
language plpgsql
security definer -- asks for apps and companies whatever the caller sees
set search_path = ''
as $$
begin
  perform private.require_runnable_app(new.app_id, new.company_id);
  perform private.require_backend(new.app_id);
  return new;
end;
$$;

create trigger guard_new_schedule before insert on public.app_cron_schedules
  for each row execute function private.guard_schedule();

create trigger guard_changed_schedule before update on public.app_cron_schedules
  for each row when (
    (old.app_id, old.company_id) is distinct from (new.app_id, new.company_id) or (new.is_active and not old.is_active))
  execute function private.guard_schedule();

-- Grants. Tables that only superadmins write among the users are granted whole, and closed by their policies.

grant select, insert, update, delete on
  public.app_storage, public.app_runs, public.app_outputs, public.app_permissions
to authenticated;
grant select, insert (app_id, build_version, build_config), update (build_status), delete on public.app_builds to authenticated;
grant
  select,
  insert (app_id, company_id, cron_expression, timezone, is_active, config, missed_policy, overlap_policy, max_lateness),
  update (cron_expression, timezone, is_active, config, missed_policy, overlap_policy, max_lateness),
  delete
on public.app_cron_schedules to authenticated;
grant select, insert, update, delete on
  public.app_storage, public.app_builds, public.app_runs, public.app_outputs, public.app_cron_schedules, public.app_permissions
to service_role;

-- Row security

alter table public.app_storage enable row level security;
alter table public.app_builds enable row level security;
alter table public.app_runs enable row level security;
alter table public.app_outputs enable row level security;
alter table public.app_cron_schedules enable row level security;
alter table public.app_permissions enable row level security;

create policy "Publishers read all files, companies released ones but sources" on public.app_storage
  for select to authenticated
  using (
    app_id = any ((select private.my_app_ids())::uuid[])
    and ((is_released and file_type <> 'source') or app_id = any ((select private.my_published_app_ids())::uuid[])));

create policy "Superadmins add files" on public.app_storage
  for insert to authenticated
  with check ((select private.is_superadmin()));

create policy "Superadmins change files" on public.app_storage
  for update to authenticated
  using ((select private.is_superadmin()));

create policy "Superadmins delete files" on public.app_storage
  for delete to authenticated
  using ((select private.is_superadmin()));

create policy "Publishers read all builds, companies successful released ones" on public.app_builds
  for select to authenticated
  using (
    app_id = any ((select private.my_app_ids())::uuid[])
    and ((is_released and build_status = 'success') or app_id = any ((select private.my_published_app_ids())::uuid[])));

create policy "Owners and admins of the publisher request builds" on public.app_builds
  for insert to authenticated
  with check (app_id = any ((select private.my_published_app_ids('admin'))::uuid[]));

create policy "Owners and admins of the publisher cancel builds" on public.app_builds
  for update to authenticated
  using (app_id = any ((select private.my_published_app_ids('admin'))::uuid[]))
  with check (build_status = 'cancelled' and app_id = any ((select private.my_published_app_ids('admin'))::uuid[]));

create policy "Superadmins delete builds" on public.app_builds
  for delete to authenticated
  using ((select private.is_superadmin()));

create policy "Members read the runs of their companies" on public.app_runs
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

create policy "Superadmins add runs" on public.app_runs
  for insert to authenticated
  with check ((select private.is_superadmin()));

create policy "Superadmins change runs" on public.app_runs
  for update to authenticated
  using ((select private.is_superadmin()));

create policy "Superadmins delete runs" on public.app_runs
  for delete to authenticated
  using ((select private.is_superadmin()));

create policy "Members read the outputs of their companies' runs" on public.app_outputs
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

create policy "Superadmins add outputs" on public.app_outputs
  for insert to authenticated
  with check ((select private.is_superadmin()));

create policy "Superadmins change outputs" on public.app_outputs
  for update to authenticated
  using ((select private.is_superadmin()));

create policy "Superadmins delete outputs" on public.app_outputs
  for delete to authenticated
  using ((select private.is_superadmin()));

create policy "Members read the schedules of their companies" on public.app_cron_schedules
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

create policy "Owners and admins schedule apps for their companies" on public.app_cron_schedules
  for insert to authenticated
  with check (company_id = any ((select private.my_company_ids('admin'))::uuid[]));

create policy "Owners and admins change schedules of their companies" on public.app_cron_schedules
  for update to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]))
  with check (company_id = any ((select private.my_company_ids('admin'))::uuid[]));

create policy "Owners and admins delete schedules of their companies" on public.app_cron_schedules
  for delete to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]));

create policy "Publishers and companies read permissions of versions they see" on public.app_permissions
  for select to authenticated
  using (
    app_id = any ((select private.my_app_ids())::uuid[])
    -- Row security of app_versions decides which versions there are.
    and (version is null or exists (
      select from public.app_versions v
      where v.app_id = app_permissions.app_id and v.version = app_permissions.version)));

create policy "Superadmins add permissions" on public.app_permissions
  for insert to authenticated
  with check ((select private.is_superadmin()));

create policy "Superadmins change permissions" on public.app_permissions
  for update to authenticated
  using ((select private.is_superadmin()));

create policy "Superadmins delete permissions" on public.app_permissions
  for delete to authenticated
  using ((select private.is_superadmin()));

-- The subqueries run under the reader's own row security, so an object is visible exactly where its row is. Build logs
-- are the exception: customers see a successful build, but only its publisher reads how it came about. The second part of
-- a name says which table has the row, so that an object costs one lookup, and the plan has no hashed alternatives of
-- whole tables (what `offset 0` is for). What a browser would run has no links from here: Storage's links show it in our
-- origin, and whoever holds one may take away what makes it a download; the function downloads gives safe ones.
create policy "Readers see app files and logs where they see their rows" on storage.objects
  for select to authenticated
  using (
    bucket_id in ('app-storage', 'app-logs')
    and (
      case bucket_id || '/' || split_part(objects.name, '/', 2)
        when 'app-storage/runs' then exists (
          select from public.app_outputs o
          where o.output_path = objects.name and o.output_bucket = 'app-storage' offset 0)
        when 'app-storage/builds' then exists (
          select from public.app_builds b where b.build_path = objects.name offset 0)
        when 'app-logs/runs' then exists (
          select from public.app_runs r
          where r.id = substring(objects.name from '^app_[^/]+/runs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/')::uuid
            and starts_with(objects.name, 'app_' || r.app_id || '/runs/') offset 0)
        when 'app-logs/builds' then exists (
          select from public.app_builds b
          where b.build_logs = objects.name
            and b.app_id = any ((select private.my_published_app_ids())::uuid[]) offset 0)
        else bucket_id = 'app-storage' and exists (
          select from public.app_storage f where f.file_path = objects.name offset 0)
      end
      or (select private.is_superadmin()))
    and not (
      (select coalesce(current_setting('storage.operation', true), '')) ~ '^(storage\.)?object\.sign(_many)?$'
      and coalesce(metadata ->> 'mimetype', '') ~* '(html|xml)'));

create unique index app_builds_build_logs_key on public.app_builds (build_logs);

-- Realtime, where the platform has it

do $$
begin
  if exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
    alter publication supabase_realtime add table public.app_runs, public.app_outputs, public.app_builds;
    -- Row security cannot be asked about a row that is gone: Realtime tells every subscriber its id.
    alter publication supabase_realtime set (publish = 'insert, update');
  end if;
end;
$$;
