-- An upload is a promise of a file: what it will be called, how large it is and what it hashes to. The database grants it a
-- place and a part of the quota; the uploads function checks the bytes; then the file's row and the upload's end are one
-- transaction. Until then nobody sees the file.

-- Tables

create table public.app_uploads (
  id uuid primary key default gen_random_uuid(),
  app_id uuid not null references public.applications (id) on delete cascade,
  company_id uuid not null references public.companies (id) on delete cascade,
  version text not null constraint app_uploads_version_semver check (private.is_semver(version)),
  file_name text not null constraint app_uploads_file_name_format check (private.is_safe_path(file_name)),
  file_path text not null constraint app_uploads_file_path_format check (private.is_safe_path(file_path)),
  file_type text not null
    constraint app_uploads_file_type check (file_type in ('manifest', 'source', 'build', 'asset', 'dist', 'config')),
  content_type text not null,
  file_size bigint not null constraint app_uploads_file_size_range check (file_size between 1 and 104857600),
  replaces_bytes bigint,
  checksum text not null constraint app_uploads_checksum_format check (checksum ~ '^sha256:[0-9a-f]{64}$'),
  staging_path text not null generated always as ('app_' || app_id::text || '/staging/' || id::text) stored,
  status text not null default 'pending'
    constraint app_uploads_status check (status in ('pending', 'verifying', 'completed', 'failed', 'cancelled', 'expired')),
  error_code text,
  error_message text constraint app_uploads_error_message_length check (length(error_message) <= 2000),
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '2 hours',
  verifying_until timestamptz,
  completed_at timestamptz,
  file_id uuid references public.app_storage (id) on delete set null,
  constraint app_uploads_verifying check ((status = 'verifying') = (verifying_until is not null)),
  constraint app_uploads_completed check ((status = 'completed') = (completed_at is not null))
);
comment on table public.app_uploads is
  'Uploads under way and past: begin_app_upload, then the bytes through a signed URL to staging_path, then verification.';
comment on column public.app_uploads.company_id is 'The publisher of the app, whose quota the file counts against.';
comment on column public.app_uploads.replaces_bytes is
  'Size of the file that is at file_path now, which an open upload need not find room for; null if there is none. Kept by triggers.';
comment on column public.app_uploads.file_path is 'Where the verified file goes: app_{appId}/{version}/{file_name}.';
comment on column public.app_uploads.expires_at is 'A signed upload URL lives two hours, and so does the promise.';

create unique index app_uploads_open_key on public.app_uploads (lower(file_path)) where status in ('pending', 'verifying');
create index app_uploads_app_id_version_idx on public.app_uploads (app_id, version);
create index app_uploads_company_id_idx on public.app_uploads (company_id, status);
create index app_uploads_created_by_idx on public.app_uploads (created_by);
create index app_uploads_file_id_idx on public.app_uploads (file_id);
create index app_uploads_expires_at_idx on public.app_uploads (expires_at) where status in ('pending', 'verifying');

-- Triggers

create trigger set_updated_at before update on public.app_uploads
  for each row execute function private.set_updated_at();

create function private.change_upload_status()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if (old.status, new.status) not in (
    ('pending', 'verifying'), ('pending', 'failed'), ('pending', 'cancelled'), ('pending', 'expired'),
    ('verifying', 'pending'), ('verifying', 'completed'), ('verifying', 'failed'), ('verifying', 'cancelled'),
    ('verifying', 'expired')
  ) then
    perform private.raise_error('SW033', format('An upload that is %s does not become %s.', old.status, private.shortened(new.status)), 'status');
  end if;
  if new.status <> 'verifying' then
    new.verifying_until := null;
  end if;
  if new.status = 'completed' then
    new.completed_at := now();
  end if;
  return new;
end;
$$;

create trigger change_upload_status before update on public.app_uploads
  for each row when (old.status is distinct from new.status)
  execute function private.change_upload_status();

create function private.guard_release_during_upload()
returns trigger
language plpgsql
security definer -- looks at uploads of everybody
set search_path = ''
as $$
begin
  if exists (
    select from public.app_uploads
    where app_id = new.app_id and version = new.version and status = 'verifying' and verifying_until > now()
  ) then
    perform private.raise_error('SW023', format('A file of version %s is being uploaded.', new.version), 'status');
  end if;
  return new;
end;
$$;

create trigger guard_release_during_upload before update on public.app_versions
  for each row when (old.status = 'draft' and new.status <> 'draft')
  execute function private.guard_release_during_upload();

-- Grants

grant select on public.app_uploads to authenticated;
grant select, insert, update, delete on public.app_uploads to service_role;

-- Row security

alter table public.app_uploads enable row level security;

create policy "Publishers read the uploads of their apps" on public.app_uploads
  for select to authenticated
  using (app_id = any ((select private.my_published_app_ids())::uuid[]));

-- Functions

create function private.begin_app_upload(
  p_app_id uuid, p_version text, p_file_name text, p_file_type text, p_content_type text, p_file_size bigint, p_checksum text)
returns public.app_uploads
language plpgsql
security definer -- publishers ask for uploads, but do not write app_uploads
set search_path = ''
as $$
declare
  app public.applications;
  company public.companies;
  upload public.app_uploads;
  version_status text;
  target_path text := 'app_' || p_app_id || '/' || p_version || '/' || p_file_name;
  size_limit bigint;
  replaced bigint;
begin
  select * into app from public.applications where id = p_app_id;
  if not found or not (private.is_service() or p_app_id = any (private.my_published_app_ids('admin'))) then
    -- Members of the publisher see the app and are told why; for everybody else there is none.
    if app.id = any (private.my_published_app_ids()) then
      perform private.raise_error('SW003', 'Owners and admins of the publisher upload files.', 'app_id');
    end if;
    perform private.raise_error('SW002', 'There is no such app among those that your companies publish.', 'app_id');
  end if;
  if app.status = 'suspended' then
    perform private.raise_error('SW003', 'The app is suspended.', 'app_id');
  end if;
  if not coalesce(private.is_semver(p_version), false) then
    perform private.raise_error('SW001', 'version must be a semantic version such as 1.4.0.', 'version');
  end if;
  if not coalesce(private.is_safe_path(p_file_name) and private.is_safe_path(target_path), false) then
    perform private.raise_error('SW001',
      'file_name must be a relative path of letters, digits, spaces and ._@+=,()- without "..", of 400 characters at most.',
      'file_name');
  end if;
  if coalesce(p_file_type not in ('manifest', 'source', 'build', 'asset', 'dist', 'config'), true) then
    perform private.raise_error('SW001',
      'file_type takes manifest, source, build, asset, dist or config.', 'file_type');
  end if;
  if not exists (
    select from storage.buckets where id = 'app-storage' and p_content_type = any (allowed_mime_types)
  ) then
    perform private.raise_error('SW001', 'content_type is not one that app-storage takes.', 'content_type');
  end if;
  if coalesce(p_file_size, 0) < 1 then
    perform private.raise_error('SW001', 'file_size must be at least 1 byte.', 'file_size');
  end if;
  select file_size_limit into size_limit from storage.buckets where id = 'app-storage';
  if p_file_size > size_limit then
    perform private.raise_error('SW034',
      format('file_size is more than the %s bytes (%s) that app-storage takes.', size_limit, pg_size_pretty(size_limit)),
      'file_size');
  end if;
  if not coalesce(p_checksum ~ '^sha256:[0-9a-f]{64}$', false) then
    perform private.raise_error('SW001', 'checksum must be sha256: and 64 lower-case hexadecimal digits.', 'checksum');
  end if;

  -- Uploads of one company take turns here, so that the quota holds exactly.
  select * into company from public.companies where id = app.publisher_company_id for no key update;
  -- Before the version, as those who verify and complete it.
  select * into upload from public.app_uploads
  where lower(file_path) = lower(target_path) and status in ('pending', 'verifying')
  for no key update;
  insert into public.app_versions (app_id, version) values (p_app_id, p_version) on conflict do nothing;
  select status into version_status from public.app_versions where app_id = p_app_id and version = p_version for share;
  if version_status <> 'draft' then
    perform private.raise_error('SW020',
      format('Version %s is %s: its files cannot change. Upload a new version.', p_version, version_status), 'version');
  end if;

  if upload.id is not null then
    if upload.status = 'verifying' and upload.verifying_until > now() then
      perform private.raise_error('SW032', 'Another upload of this file is being verified.', 'file_name');
    end if;
    if upload.status = 'pending' and upload.expires_at > now()
      and (upload.file_path, upload.file_type, upload.content_type, upload.file_size, upload.checksum, upload.created_by)
        is not distinct from (target_path, p_file_type, p_content_type, p_file_size, p_checksum, auth.uid())
    then
      return upload;
    end if;
    update public.app_uploads
    set status = case status when 'pending' then 'cancelled' else 'failed' end,
      error_code = 'superseded', error_message = 'A later upload of the same file took its place.'
    where id = upload.id;
  end if;
  if exists (
    select from public.app_storage where lower(file_path) = lower(target_path) and file_path <> target_path
  ) then
    perform private.raise_error('SW001', 'A file whose name differs only in case is there already.', 'file_name');
  end if;

  -- The lock lets nobody delete the file before this upload is there to be seen.
  select file_size into replaced from public.app_storage where file_path = target_path for share;
  perform private.require_storage(
    company, greatest(p_file_size - coalesce(replaced, 0), 0), case when replaced is null then 1 else 0 end);
  perform private.keep_object('app-storage', target_path, 'file_name');

  insert into public.app_uploads (
    app_id, company_id, version, file_name, file_path, file_type, content_type, file_size, replaces_bytes, checksum)
  values (
    p_app_id, company.id, p_version, p_file_name, target_path, p_file_type, p_content_type, p_file_size, replaced, p_checksum)
  returning * into upload;
  return upload;
end;
$$;

create function public.begin_app_upload(
  app_id uuid, version text, file_name text, file_type text, content_type text, file_size bigint, checksum text)
returns public.app_uploads
language sql
security invoker
set search_path = ''
as $$ select * from private.begin_app_upload($1, $2, $3, $4, $5, $6, $7) $$;
comment on function public.begin_app_upload is
  'Promises a file of a draft version, which is created if there is none. The same call again answers the same upload; '
  'another for the same file takes its place. Errors: SW001 (a named input), SW002 and SW003 (app_id), SW020 (version), '
  'SW030 and SW060 quota (file_size), SW032 being verified, SW034 too large, SW061 the file that was there is being deleted, '
  'SW125 was published before (version).';

create function private.find_my_upload(p_upload_id uuid)
returns public.app_uploads
language plpgsql
security definer -- locks the row, which publishers may not
set search_path = ''
as $$
declare
  upload public.app_uploads;
begin
  -- Not before it is known whose it is: who waits for a lock knows that there is something, and keeps its owner waiting.
  if private.is_service() or exists (
    select from public.app_uploads u
    where u.id = p_upload_id and u.app_id = any (private.my_published_app_ids('admin')))
  then
    select * into upload from public.app_uploads where id = p_upload_id for no key update;
  end if;
  if upload.id is null then
    perform private.raise_error('SW002', 'There is no such upload among those of your apps.', 'upload_id');
  end if;
  return upload;
end;
$$;
comment on function private.find_my_upload is
  'The upload, locked, if it is of an app that the caller publishes as owner or admin. Error: SW002.';

create function private.start_app_upload_verification(p_upload_id uuid, p_lease interval)
returns public.app_uploads
language plpgsql
security definer -- publishers have uploads verified, but do not write app_uploads
set search_path = ''
as $$
declare
  upload public.app_uploads := private.find_my_upload(p_upload_id);
  version_status text;
begin
  if upload.status = 'completed' then
    return upload;
  end if;
  if upload.status = 'verifying' and upload.verifying_until > now() then
    perform private.raise_error('SW032', 'The upload is being verified.', 'upload_id');
  end if;
  if upload.status = 'expired' or (upload.status = 'pending' and upload.expires_at <= now()) then
    perform private.raise_error('SW031', 'The upload has expired: begin it again.', 'upload_id');
  end if;
  if upload.status in ('failed', 'cancelled') then
    perform private.raise_error('SW033', format('The upload is %s: begin it again.', upload.status), 'upload_id');
  end if;
  -- Whoever releases the version waits for this lock, and then sees that a file is being verified.
  select status into version_status from public.app_versions
  where app_id = upload.app_id and version = upload.version
  for share;
  if version_status is distinct from 'draft' then
    perform private.raise_error('SW020',
      format('Version %s is no draft any more: its files cannot change.', upload.version), 'version');
  end if;
  update public.app_uploads
  set status = 'verifying', verifying_until = now() + least(greatest(p_lease, '1 second'), '1 hour')
  where id = upload.id
  returning * into upload;
  return upload;
end;
$$;

create function public.start_app_upload_verification(upload_id uuid, lease interval default '10 minutes')
returns public.app_uploads
language sql
security invoker
set search_path = ''
as $$ select * from private.start_app_upload_verification($1, $2) $$;
comment on function public.start_app_upload_verification is
  'One request takes the verification of an upload, for the time of the lease; a completed one is answered as it is. '
  'Errors: SW002, SW020, SW031 expired, SW032 another request has it, SW033 it failed or was cancelled.';

create function private.cancel_app_upload(p_upload_id uuid)
returns public.app_uploads
language plpgsql
security definer -- publishers cancel uploads, but do not write app_uploads
set search_path = ''
as $$
declare
  upload public.app_uploads := private.find_my_upload(p_upload_id);
begin
  if upload.status = 'verifying' and upload.verifying_until > now() then
    perform private.raise_error('SW032', 'The upload is being verified.', 'upload_id');
  end if;
  if upload.status = 'completed' then
    perform private.raise_error('SW033', 'The upload is completed.', 'upload_id');
  end if;
  if upload.status in ('pending', 'verifying') then
    update public.app_uploads set status = 'cancelled' where id = upload.id returning * into upload;
  end if;
  return upload;
end;
$$;

create function public.cancel_app_upload(upload_id uuid)
returns public.app_uploads
language sql
security invoker
set search_path = ''
as $$ select * from private.cancel_app_upload($1) $$;
comment on function public.cancel_app_upload is
  'Gives up an upload that nobody is verifying, and its part of the quota; one that is over already is answered as it is. Errors: SW002, SW032, SW033.';

create function private.complete_app_upload(p_upload_id uuid, p_content_type text, p_metadata jsonb, p_manifest jsonb)
returns public.app_storage
language plpgsql
security definer -- writes the version's manifest, which is nobody's
set search_path = ''
as $$
declare
  upload public.app_uploads;
  file public.app_storage;
begin
  select * into upload from public.app_uploads where id = p_upload_id for no key update;
  if not found then
    perform private.raise_error('SW002', 'There is no such upload.', 'upload_id');
  end if;
  if upload.status = 'completed' then
    select * into file from public.app_storage where id = upload.file_id;
    return file;
  end if;
  if upload.status <> 'verifying' then
    perform private.raise_error('SW033', format('The upload is %s.', upload.status), 'upload_id');
  end if;
  insert into public.app_storage as f (app_id, file_path, file_type, file_size, version, checksum, content_type, metadata)
  values (
    upload.app_id, upload.file_path, upload.file_type, upload.file_size, upload.version, upload.checksum,
    p_content_type, coalesce(p_metadata, '{}'))
  on conflict (file_path) do update set
    file_type = excluded.file_type,
    file_size = excluded.file_size,
    checksum = excluded.checksum,
    content_type = excluded.content_type,
    metadata = excluded.metadata
  returning * into file;
  if p_manifest is not null then
    update public.app_versions set manifest = p_manifest where app_id = upload.app_id and version = upload.version;
  end if;
  update public.app_uploads set status = 'completed', file_id = file.id where id = upload.id;
  return file;
end;
$$;

create function public.complete_app_upload(
  upload_id uuid, content_type text, metadata jsonb default '{}', manifest jsonb default null)
returns public.app_storage
language sql
security invoker
set search_path = ''
as $$ select * from private.complete_app_upload($1, $2, $3, $4) $$;
comment on function public.complete_app_upload is
  'For the service, after the bytes were verified and the object moved to file_path: the file''s row, the version''s manifest '
  'and the end of the upload, at once. Errors: SW002, SW020, SW033 not being verified, 23514 (manifest of another version).';

create function private.check_app_upload(p_upload_id uuid, p_content_type text, p_metadata jsonb, p_manifest jsonb)
returns void
language plpgsql
security definer -- as complete_app_upload
set search_path = ''
as $$
begin
  perform private.complete_app_upload(p_upload_id, p_content_type, p_metadata, p_manifest);
  -- Takes all of it back.
  raise triggered_action_exception;
exception when triggered_action_exception then
  null;
end;
$$;

create function public.check_app_upload(
  upload_id uuid, content_type text, metadata jsonb default '{}', manifest jsonb default null)
returns void
language sql
security invoker
set search_path = ''
as $$ select private.check_app_upload($1, $2, $3, $4) $$;
comment on function public.check_app_upload is
  'For the service, before the object takes the place of the file that is there: raises what complete_app_upload would, and '
  'changes nothing.';

create function private.fail_app_upload(p_upload_id uuid, p_error_code text, p_error_message text)
returns public.app_uploads
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
declare
  upload public.app_uploads;
begin
  update public.app_uploads
  set status = 'failed', error_code = p_error_code, error_message = left(p_error_message, 2000)
  where id = p_upload_id and status in ('pending', 'verifying')
  returning * into upload;
  if not found then
    select * into upload from public.app_uploads where id = p_upload_id;
    if not found then
      perform private.raise_error('SW002', 'There is no such upload.', 'upload_id');
    end if;
  end if;
  return upload;
end;
$$;

create function public.fail_app_upload(upload_id uuid, error_code text, error_message text)
returns public.app_uploads
language sql
security invoker
set search_path = ''
as $$ select * from private.fail_app_upload($1, $2, $3) $$;
comment on function public.fail_app_upload is
  'For the service: the bytes were refused, and why. An upload that is over already is answered as it is. Error: SW002.';

create function private.expire_app_uploads(p_max_uploads integer)
returns setof public.app_uploads
language sql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
  update public.app_uploads
  set status = 'expired'
  where id in (
    select id from public.app_uploads
    where (status = 'pending' and expires_at < now())
      or (status = 'verifying' and verifying_until < now() and expires_at < now())
    order by expires_at
    limit least(greatest(coalesce(p_max_uploads, 0), 0), 10000)
    for no key update skip locked)
  returning *
$$;

create function public.expire_app_uploads(max_uploads integer default 100)
returns setof public.app_uploads
language sql
security invoker
set search_path = ''
as $$ select * from private.expire_app_uploads($1) $$;
comment on function public.expire_app_uploads is
  'For the service: promises that were not kept in time end. What is at their staging_path is queued for deletion.';

grant execute on function
  private.begin_app_upload(uuid, text, text, text, text, bigint, text),
  public.begin_app_upload(uuid, text, text, text, text, bigint, text),
  private.start_app_upload_verification(uuid, interval), public.start_app_upload_verification(uuid, interval),
  private.cancel_app_upload(uuid), public.cancel_app_upload(uuid)
to authenticated, service_role;
grant execute on function
  private.complete_app_upload(uuid, text, jsonb, jsonb), public.complete_app_upload(uuid, text, jsonb, jsonb),
  private.check_app_upload(uuid, text, jsonb, jsonb), public.check_app_upload(uuid, text, jsonb, jsonb),
  private.fail_app_upload(uuid, text, text), public.fail_app_upload(uuid, text, text),
  private.expire_app_uploads(integer), public.expire_app_uploads(integer)
to service_role;
