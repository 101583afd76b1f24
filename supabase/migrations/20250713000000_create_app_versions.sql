-- A version of an app is what is uploaded, released and run. It begins as a draft that only its publisher sees; once
-- released, it never changes but in status.

create table public.app_versions (
  app_id uuid not null references public.applications (id) on delete restrict,
  version text not null constraint app_versions_version_semver check (private.is_semver(version)),
  version_key text collate "C" not null generated always as (private.semver_key(version)) stored,
  manifest jsonb constraint app_versions_manifest_object check (private.is_object(manifest)),
  has_backend boolean not null generated always as (coalesce(manifest -> 'runtime' ? 'backend', true)) stored,
  status text not null default 'draft'
    constraint app_versions_status check (status in ('draft', 'published', 'deprecated', 'archived')),
  status_reason text constraint app_versions_status_reason_length check (length(status_reason) <= 1000),
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  published_by uuid references auth.users (id) on delete set null,
  published_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (app_id, version),
  constraint app_versions_manifest_version check (
    manifest is null or (manifest ->> 'version') is not distinct from version),
  constraint app_versions_published check (status = 'draft' or (manifest is not null and published_at is not null))
);
comment on table public.app_versions is 'Versions of apps: draft, then published, deprecated, archived.';
comment on column public.app_versions.version_key is 'Sorts by semantic-version precedence: order by version_key desc is newest first.';
comment on column public.app_versions.manifest is 'The validated manifest, as the uploads function stored it.';
comment on column public.app_versions.has_backend is
  'Whether there is something to run. False where the manifest says what the version consists of, and that is a frontend alone.';
comment on column public.app_versions.status_reason is 'Why it was deprecated or archived, for those who run it.';

create index app_versions_newest_idx on public.app_versions (app_id, version_key desc) where status = 'published';
create index app_versions_created_by_idx on public.app_versions (created_by);
create index app_versions_published_by_idx on public.app_versions (published_by);

-- Triggers

create trigger set_updated_at before update on public.app_versions
  for each row execute function private.set_updated_at();

create function private.guard_new_version()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if new.status <> 'draft' then
    perform private.raise_error('SW022', 'A version begins as a draft.', 'status');
  end if;
  return new;
end;
$$;

create trigger guard_new_version before insert on public.app_versions
  for each row execute function private.guard_new_version();

create function private.guard_version_content()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform private.raise_error('SW020',
    format('Version %s is %s: only a draft can be changed. Upload a new version.', old.version, old.status),
    case when old.version <> new.version or old.app_id <> new.app_id then 'version' else 'manifest' end);
  return null;
end;
$$;

create trigger guard_version_content before update on public.app_versions
  for each row when (
    old.status <> 'draft'
    and (old.app_id, old.version, old.manifest, old.published_at)
      is distinct from (new.app_id, new.version, new.manifest, new.published_at))
  execute function private.guard_version_content();

create function private.guard_version_deletion()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if old.status not in ('draft', 'archived') then
    perform private.raise_error('SW022',
      format('Version %s is %s: archive it before it is deleted.', old.version, old.status), 'status');
  end if;
  return old;
end;
$$;

create trigger guard_version_deletion before delete on public.app_versions
  for each row execute function private.guard_version_deletion();

-- Predicates

create function private.can_run_app(p_app_id uuid, p_company_id uuid)
returns boolean
language plpgsql
stable
security definer -- asked inside triggers for apps and companies that the caller may not see
set search_path = ''
as $$
begin
  return exists (
    select from public.applications a
    where a.id = p_app_id and a.status = 'active'
      and (a.publisher_company_id = p_company_id
        or exists (
          select from public.app_assignments s
          where s.app_id = a.id and s.company_id = p_company_id)));
end;
$$;
comment on function private.can_run_app is 'The app is active, and the company publishes it or is assigned it.';

-- Grants

grant select, insert (app_id, version), update (status, status_reason), delete on public.app_versions to authenticated;
grant select, insert, update, delete on public.app_versions to service_role;

-- Row security

alter table public.app_versions enable row level security;

create policy "Publishers read all versions, companies the released ones" on public.app_versions
  for select to authenticated
  using (
    app_id = any ((select private.my_app_ids())::uuid[])
    and (status in ('published', 'deprecated') or app_id = any ((select private.my_published_app_ids())::uuid[])));

create policy "Owners and admins of the publisher create versions" on public.app_versions
  for insert to authenticated
  with check (app_id = any ((select private.my_published_app_ids('admin'))::uuid[]));

create policy "Owners and admins of the publisher release and retire versions" on public.app_versions
  for update to authenticated
  using (app_id = any ((select private.my_published_app_ids('admin'))::uuid[]))
  with check (app_id = any ((select private.my_published_app_ids('admin'))::uuid[]));

create policy "Owners and admins of the publisher delete versions" on public.app_versions
  for delete to authenticated
  using (app_id = any ((select private.my_published_app_ids('admin'))::uuid[]));
