-- Documents of the manifest store: what handlers are, in all their versions. The store's own rules (every field, by name) are
-- in supabase/functions/_shared/manifest_store; here stands what must hold whoever writes. A row is its document: the key
-- columns are generated from it, so that the two cannot disagree, and an upsert is one statement that sends the document alone.
--
-- Who: the service writes. Superadmins read, and so do the users whom they name in manifest_readers.

-- Rules

create function private.is_manifest_id(value jsonb)
returns boolean
language sql
immutable
set search_path = ''
return coalesce(jsonb_typeof(value) = 'string' and value #>> '{}' ~ '^[!-~]{1,255}$', false);
comment on function private.is_manifest_id is
  'What names a handler, a GType or a transformer: 1 to 255 printable ASCII characters without spaces.';
grant execute on function private.is_manifest_id(jsonb) to service_role;

-- Tables

create table public.manifest_readers (
  user_id uuid primary key references auth.users (id) on delete cascade,
  created_at timestamptz not null default now()
);
comment on table public.manifest_readers is 'Users who may read the documents of the manifest store. Superadmins add and remove them.';

create table public.handler_manifests (
  handler_id text collate "C" not null generated always as (document ->> 'handlerId') stored
    constraint handler_manifests_handler_id_format check (private.is_manifest_id(document -> 'handlerId')),
  version text collate "C" not null generated always as (document ->> 'version') stored
    constraint handler_manifests_version_format check (jsonb_typeof(document -> 'version') = 'string' and private.is_semver(version)),
  version_key text collate "C" not null generated always as (private.semver_key(document ->> 'version')) stored,
  created_at_ms bigint not null generated always as ((document ->> 'createdAt')::bigint) stored
    constraint handler_manifests_created_at_ms_range check (created_at_ms between 0 and 9007199254740991),
  document jsonb not null
    constraint handler_manifests_document_size check (private.is_object(document) and pg_column_size(document) <= 4194304),
  stored_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (handler_id, version)
);
comment on table public.handler_manifests is
  'What a handler''s version takes, answers, runs and needs; kept by the manifest store (docs/manifest-store.md).';
comment on column public.handler_manifests.created_at_ms is
  'Milliseconds since 1970, as the document says. The newest version is that with the greatest; then by version_key, then by version.';

create table public.hook_manifests (
  handler_id text collate "C" not null generated always as (document ->> 'handlerId') stored
    constraint hook_manifests_handler_id_format check (private.is_manifest_id(document -> 'handlerId')),
  document jsonb not null
    constraint hook_manifests_document_size check (private.is_object(document) and pg_column_size(document) <= 4194304),
  stored_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (handler_id)
);
comment on table public.hook_manifests is
  'The hooks of a handler, as last analysed; kept by the manifest store.';

create table public.gtypes (
  ref text collate "C" not null generated always as (document ->> 'ref') stored
    constraint gtypes_ref_format check (private.is_manifest_id(document -> 'ref')),
  document jsonb not null
    constraint gtypes_document_size check (private.is_object(document) and pg_column_size(document) <= 4194304),
  stored_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (ref)
);
comment on table public.gtypes is
  'Runtime types by their reference; kept by the manifest store.';

create table public.transformers (
  id text collate "C" not null generated always as (document ->> 'id') stored
    constraint transformers_id_format check (private.is_manifest_id(document -> 'id')),
  handler_id text collate "C" not null generated always as (document ->> 'handlerId') stored
    constraint transformers_handler_id_format check (private.is_manifest_id(document -> 'handlerId')),
  document jsonb not null
    constraint transformers_document_size check (private.is_object(document) and pg_column_size(document) <= 4194304),
  stored_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (id)
);
comment on table public.transformers is
  'Steps that lead a handler''s data from one version to another; kept by the manifest store.';

create table public.version_graphs (
  handler_id text collate "C" not null generated always as (document ->> 'handlerId') stored
    constraint version_graphs_handler_id_format check (private.is_manifest_id(document -> 'handlerId')),
  document jsonb not null
    constraint version_graphs_document_size check (private.is_object(document) and pg_column_size(document) <= 4194304),
  stored_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (handler_id)
);
comment on table public.version_graphs is
  'The version history of a handler; kept by the manifest store.';

create table public.timescape_metadata (
  handler_id text collate "C" not null generated always as (document ->> 'handlerId') stored
    constraint timescape_metadata_handler_id_format check (private.is_manifest_id(document -> 'handlerId')),
  version text collate "C" not null generated always as (document ->> 'version') stored
    constraint timescape_metadata_version_format check (jsonb_typeof(document -> 'version') = 'string' and private.is_semver(version)),
  document jsonb not null
    constraint timescape_metadata_document_size check (private.is_object(document) and pg_column_size(document) <= 4194304),
  stored_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (handler_id, version)
);
comment on table public.timescape_metadata is
  'Compatibility, deployment and traffic of a handler''s version; kept by the manifest store.';

-- Indexes

create index handler_manifests_newest_idx on public.handler_manifests
  (handler_id, created_at_ms desc, version_key desc);
create index transformers_handler_id_idx on public.transformers (handler_id, id);

-- Triggers

create trigger set_updated_at before update on public.handler_manifests
  for each row execute function private.set_updated_at();
create trigger set_updated_at before update on public.hook_manifests
  for each row execute function private.set_updated_at();
create trigger set_updated_at before update on public.gtypes
  for each row execute function private.set_updated_at();
create trigger set_updated_at before update on public.transformers
  for each row execute function private.set_updated_at();
create trigger set_updated_at before update on public.version_graphs
  for each row execute function private.set_updated_at();
create trigger set_updated_at before update on public.timescape_metadata
  for each row execute function private.set_updated_at();

-- Predicates

create function private.is_manifest_reader()
returns boolean
language plpgsql
stable
security definer -- reads manifest_readers, which row security hides
set search_path = ''
as $$
begin
  return private.is_superadmin() or exists (select from public.manifest_readers where user_id = auth.uid());
end;
$$;
comment on function private.is_manifest_reader is 'The signed-in user may read the manifest store.';

grant execute on function private.is_manifest_reader() to authenticated, service_role;

-- Grants. updated_at is the trigger's, and the keys are generated.

grant select, insert (user_id), delete on public.manifest_readers to authenticated;
grant select, insert, update, delete on public.manifest_readers to service_role;
grant select on
  public.handler_manifests, public.hook_manifests, public.gtypes, public.transformers, public.version_graphs,
  public.timescape_metadata
to authenticated;
grant select, insert, update, delete on
  public.handler_manifests, public.hook_manifests, public.gtypes, public.transformers, public.version_graphs,
  public.timescape_metadata
to service_role;

-- Row security

alter table public.manifest_readers enable row level security;
alter table public.handler_manifests enable row level security;
alter table public.hook_manifests enable row level security;
alter table public.gtypes enable row level security;
alter table public.transformers enable row level security;
alter table public.version_graphs enable row level security;
alter table public.timescape_metadata enable row level security;

create policy "Superadmins read manifest readers, everybody their own row" on public.manifest_readers
  for select to authenticated
  using (user_id = (select auth.uid()) or (select private.is_superadmin()));

create policy "Superadmins add manifest readers" on public.manifest_readers
  for insert to authenticated
  with check ((select private.is_superadmin()));

create policy "Superadmins remove manifest readers" on public.manifest_readers
  for delete to authenticated
  using ((select private.is_superadmin()));

create policy "Manifest readers and superadmins read handler manifests" on public.handler_manifests
  for select to authenticated
  using ((select private.is_manifest_reader()));

create policy "Manifest readers and superadmins read hook manifests" on public.hook_manifests
  for select to authenticated
  using ((select private.is_manifest_reader()));

create policy "Manifest readers and superadmins read GTypes" on public.gtypes
  for select to authenticated
  using ((select private.is_manifest_reader()));

create policy "Manifest readers and superadmins read transformers" on public.transformers
  for select to authenticated
  using ((select private.is_manifest_reader()));

create policy "Manifest readers and superadmins read version graphs" on public.version_graphs
  for select to authenticated
  using ((select private.is_manifest_reader()));

create policy "Manifest readers and superadmins read timescape metadata" on public.timescape_metadata
  for select to authenticated
  using ((select private.is_manifest_reader()));

-- Functions

create function private.manifest_store_stats()
returns table (
  manifest_count bigint, hook_manifest_count bigint, gtype_count bigint, transformer_count bigint, version_graph_count bigint,
  timescape_metadata_count bigint)
language sql
stable
set search_path = ''
as $$
  select
    (select count(*) from public.handler_manifests), (select count(*) from public.hook_manifests),
    (select count(*) from public.gtypes), (select count(*) from public.transformers),
    (select count(*) from public.version_graphs), (select count(*) from public.timescape_metadata)
$$;

create function public.manifest_store_stats()
returns table (
  manifest_count bigint, hook_manifest_count bigint, gtype_count bigint, transformer_count bigint, version_graph_count bigint,
  timescape_metadata_count bigint)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.manifest_store_stats() $$;
comment on function public.manifest_store_stats is
  'How many documents of each kind the manifest store holds, at one moment: as many as the caller may read.';

create function private.clear_manifest_store()
returns void
language plpgsql
security definer -- one transaction for all who may call it, the service
set search_path = ''
as $$
begin
  -- The API refuses deletes without a condition, inside functions too.
  delete from public.handler_manifests where true;
  delete from public.hook_manifests where true;
  delete from public.gtypes where true;
  delete from public.transformers where true;
  delete from public.version_graphs where true;
  delete from public.timescape_metadata where true;
end;
$$;

create function public.clear_manifest_store()
returns void
language sql
security invoker
set search_path = ''
as $$ select private.clear_manifest_store() $$;
comment on function public.clear_manifest_store is
  'For the service: deletes every document of the manifest store, all or nothing. Readers stay.';

grant execute on function private.manifest_store_stats(), public.manifest_store_stats() to authenticated, service_role;
grant execute on function private.clear_manifest_store(), public.clear_manifest_store() to service_role;
