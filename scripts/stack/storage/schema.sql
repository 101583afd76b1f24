-- The `storage` schema as hosted projects have it after the Storage server's newest migration.
--
-- Applied once to a new database, as `supabase_storage_admin`, which owns everything here. Names, columns,
-- signatures, grants and guards are the platform's, because migrations and policies rely on them; the bodies
-- are this project's own.

create schema if not exists storage;

grant usage on schema storage to postgres, anon, authenticated, service_role;
alter default privileges in schema storage grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges in schema storage grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges in schema storage grant all on sequences to postgres, anon, authenticated, service_role;

set search_path = storage;

-- Types ---------------------------------------------------------------------------------------------------------

create type storage.buckettype as enum ('STANDARD', 'ANALYTICS', 'VECTOR');

-- Tables --------------------------------------------------------------------------------------------------------

-- The platform's record of its own migrations. Present because tools look for it; nothing here writes it.
create table storage.migrations (
  id integer primary key,
  name varchar(100) unique not null,
  hash varchar(40) not null,
  executed_at timestamp default current_timestamp
);

create table storage.buckets (
  id text primary key,
  name text not null,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  owner_id text,
  type storage.buckettype not null default 'STANDARD',
  versioning_status text not null default 'DISABLED',
  constraint buckets_versioning_status_check check (versioning_status in ('DISABLED', 'ENABLED', 'SUSPENDED')),
  constraint buckets_versioning_standard_only_check check (type = 'STANDARD' or versioning_status = 'DISABLED'),
  constraint buckets_versioning_dark_check check (versioning_status = 'DISABLED')
);
comment on column storage.buckets.owner is 'Field is deprecated, use owner_id instead';

create table storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text,
  name text,
  owner uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now(),
  metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  version text,
  owner_id text,
  user_metadata jsonb,
  archived_at timestamptz,
  is_delete_marker boolean not null default false,
  is_versioned boolean not null default false,
  constraint "objects_bucketId_fkey" foreign key (bucket_id) references storage.buckets (id)
);
comment on column storage.objects.owner is 'Field is deprecated, use owner_id instead';

create table storage.s3_multipart_uploads (
  id text primary key,
  in_progress_size bigint not null default 0,
  upload_signature text not null,
  bucket_id text not null references storage.buckets (id),
  key text collate "C" not null,
  version text not null,
  owner_id text,
  created_at timestamptz not null default now(),
  user_metadata jsonb,
  metadata jsonb
);

create table storage.s3_multipart_uploads_parts (
  id uuid primary key default gen_random_uuid(),
  upload_id text not null references storage.s3_multipart_uploads (id) on delete cascade,
  size bigint not null default 0,
  part_number integer not null,
  bucket_id text not null references storage.buckets (id),
  key text collate "C" not null,
  etag text not null,
  owner_id text,
  version text not null,
  created_at timestamptz not null default now()
);

create table storage.buckets_analytics (
  name text not null,
  type storage.buckettype not null default 'ANALYTICS',
  format text not null default 'ICEBERG',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  id uuid primary key default gen_random_uuid(),
  deleted_at timestamptz
);

create table storage.buckets_vectors (
  id text primary key,
  type storage.buckettype not null default 'VECTOR',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table storage.vector_indexes (
  id text primary key default gen_random_uuid(),
  name text collate "C" not null,
  bucket_id text not null references storage.buckets_vectors (id),
  data_type text not null,
  dimension integer not null,
  distance_metric text not null,
  metadata_configuration jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- Indexes -------------------------------------------------------------------------------------------------------

create unique index bname on storage.buckets (name);
create unique index bucketid_objname on storage.objects (bucket_id, name);
create index name_prefix_search on storage.objects (name text_pattern_ops);
create index idx_objects_bucket_id_name on storage.objects (bucket_id, (name collate "C"));
create index idx_objects_bucket_id_name_lower on storage.objects (bucket_id, (lower(name) collate "C"));
create index idx_multipart_uploads_list on storage.s3_multipart_uploads (bucket_id, (key collate "C"), created_at);
create unique index buckets_analytics_unique_name_idx on storage.buckets_analytics (name) where deleted_at is null;
create unique index vector_indexes_name_bucket_id_idx on storage.vector_indexes (name, bucket_id);

-- Helpers that policies use ---------------------------------------------------------------------------------------

create function storage.foldername(name text) returns text[]
language plpgsql immutable as $$
declare
  segments text[] := string_to_array(name, '/');
begin
  return segments[1 : array_length(segments, 1) - 1];
end;
$$;

create function storage.filename(name text) returns text
language plpgsql immutable as $$
declare
  segments text[] := string_to_array(name, '/');
begin
  return segments[array_length(segments, 1)];
end;
$$;

-- A name without a dot is its own extension, as on the platform.
create function storage.extension(name text) returns text
language plpgsql immutable as $$
begin
  return split_part(storage.filename(name), '.', -1);
end;
$$;

-- What the Storage server is doing in this transaction, such as `storage.object.list`; null in plain SQL.
create function storage.operation() returns text
language plpgsql stable as $$
begin
  return current_setting('storage.operation', true);
end;
$$;

create function storage.allow_only_operation(expected_operation text) returns boolean
language sql stable as $$
  select coalesce(
    nullif(regexp_replace(expected_operation, '^storage\.', ''), '')
      = regexp_replace(storage.operation(), '^storage\.', ''),
    false
  );
$$;

create function storage.allow_any_operation(expected_operations text[]) returns boolean
language sql stable as $$
  select coalesce(bool_or(storage.allow_only_operation(expected)), false)
  from unnest(expected_operations) as expected;
$$;

-- The part of a key up to and with the first delimiter after the prefix; null for a key directly under the prefix.
create function storage.get_common_prefix(p_key text, p_prefix text, p_delimiter text) returns text
language sql immutable as $$
  select case
    when at > 0 then left(p_key, length(p_prefix) + at)
  end
  from (select position(p_delimiter in substr(p_key, length(p_prefix) + 1)) as at) as delimiter;
$$;

create function storage.get_size_by_bucket() returns table (size bigint, bucket_id text)
language plpgsql stable as $$
begin
  return query
    select sum((o.metadata ->> 'size')::bigint)::bigint, o.bucket_id
    from storage.objects o
    group by o.bucket_id;
end;
$$;

-- Answers whether row security lets the caller insert such an object, by doing it and taking it back: always raises,
-- PT200 if the row was accepted.
create function storage.can_insert_object(bucketid text, name text, owner uuid, metadata jsonb) returns void
language plpgsql as $$
begin
  insert into storage.objects (bucket_id, name, owner, metadata) values (bucketid, name, owner, metadata);
  raise sqlstate 'PT200' using message = 'ROLLBACK', detail = 'rollback successful insert';
end;
$$;

-- Listing ---------------------------------------------------------------------------------------------------------
-- Each step asks the index for the next key only and then jumps over a whole folder, so that a listing costs what it
-- returns, not what the folders hold.

-- Version 1: relative names, folders and files, offset paging, case-insensitive. `levels` is kept for callers only.
create function storage.search(
  prefix text, bucketname text, limits integer default 100, levels integer default 1, offsets integer default 0,
  search text default '', sortcolumn text default 'name', sortorder text default 'asc'
) returns table (
  name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb
)
language plpgsql stable as $$
declare
  row_limit integer := least(coalesce(limits, 100), 1500);
  full_prefix text := coalesce(prefix, '') || coalesce(search, '');
  low text := lower(coalesce(prefix, '') || coalesce(search, ''));
  high text := chr(1114111);
  relative_from integer := length(coalesce(prefix, '')) + 1;
  first_token integer := coalesce(array_length(string_to_array(coalesce(prefix, ''), '/'), 1), 1);
  last_token integer := coalesce(array_length(string_to_array(full_prefix, '/'), 1), 1);
  ascending boolean := lower(coalesce(sortorder, 'asc')) = 'asc';
  direction text := case when lower(coalesce(sortorder, 'asc')) = 'asc' then 'asc' else 'desc' end;
  to_skip integer := coalesce(offsets, 0);
  emitted integer := 0;
  seek_key text;
  seek_name text := '';
  entry storage.objects;
  folder text;
begin
  if lower(coalesce(sortcolumn, 'name')) in ('updated_at', 'created_at', 'last_accessed_at') then
    return query execute format(
      $query$
        with matches as (
          select
            array_to_string(o.path_tokens[$1:$2], '/') as relative, array_length(o.path_tokens, 1) = $2 as is_file, o.*
          from storage.objects o
          where o.bucket_id = $4 and o.name ilike $3 || '%%'
        )
        (
          select relative, null::uuid, null::timestamptz, null::timestamptz, null::timestamptz, null::jsonb
          from matches where not is_file group by relative order by relative %2$s
        )
        union all
        (
          select relative, id, updated_at, created_at, last_accessed_at, metadata
          from matches where is_file order by %1$I %2$s
        )
        limit $5 offset $6
      $query$,
      lower(sortcolumn), direction
    ) using first_token, last_token, full_prefix, bucketname, row_limit, to_skip;
    return;
  end if;

  if low <> '' then
    high := left(low, -1) || chr(ascii(right(low, 1)) + 1);
  end if;
  seek_key := case when ascending then low else high end;

  while emitted < row_limit loop
    if ascending then
      select o.* into entry from storage.objects o
      where o.bucket_id = bucketname
        and lower(o.name) collate "C" < high
        and (lower(o.name) collate "C", o.name collate "C") > (seek_key, seek_name)
      order by lower(o.name) collate "C", o.name collate "C" limit 1;
    else
      select o.* into entry from storage.objects o
      where o.bucket_id = bucketname
        and lower(o.name) collate "C" >= low
        and (lower(o.name) collate "C", o.name collate "C") < (seek_key, seek_name)
      order by lower(o.name) collate "C" desc, o.name collate "C" desc limit 1;
    end if;
    exit when not found;

    folder := storage.get_common_prefix(entry.name, full_prefix, '/');
    if to_skip > 0 then
      to_skip := to_skip - 1;
    else
      emitted := emitted + 1;
      name := substr(coalesce(rtrim(folder, '/'), entry.name), relative_from);
      id := case when folder is null then entry.id end;
      updated_at := case when folder is null then entry.updated_at end;
      created_at := case when folder is null then entry.created_at end;
      last_accessed_at := case when folder is null then entry.last_accessed_at end;
      metadata := case when folder is null then entry.metadata end;
      return next;
    end if;

    if folder is null then
      seek_key := lower(entry.name);
      seek_name := entry.name;
    else
      -- '0' is the character after '/': past everything in the folder. Downwards, before all of it.
      seek_key := case when ascending then left(lower(folder), -1) || '0' else lower(folder) end;
      seek_name := '';
    end if;
  end loop;
end;
$$;

-- Full names, one level below the prefix, bytewise order. A folder comes without its delimiter. `start_after` that
-- ends with the delimiter names a folder (continue behind it), any other value a file.
create function storage.list_objects_with_delimiter(
  _bucket_id text, prefix_param text, delimiter_param text, max_keys integer default 100,
  start_after text default '', next_token text default '', sort_order text default 'asc'
) returns table (
  name text, id uuid, metadata jsonb, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz
)
language plpgsql stable as $$
declare
  low text := coalesce(prefix_param, '');
  high text := chr(1114111);
  ascending boolean := lower(coalesce(sort_order, 'asc')) = 'asc';
  cursor_key text := coalesce(nullif(next_token, ''), start_after, '');
  behind_delimiter text := chr(ascii(delimiter_param) + 1);
  emitted integer := 0;
  seek text;
  inclusive boolean := true;
  entry storage.objects;
  folder text;
begin
  if low <> '' then
    high := left(low, -1) || chr(ascii(right(low, 1)) + 1);
  end if;

  if cursor_key = '' then
    seek := case when ascending then low else high end;
  elsif right(cursor_key, 1) = delimiter_param then
    seek := case when ascending then left(cursor_key, -1) || behind_delimiter else cursor_key end;
  else
    seek := cursor_key;
    inclusive := false;
  end if;

  while emitted < max_keys loop
    if ascending then
      select o.* into entry from storage.objects o
      where o.bucket_id = _bucket_id
        and o.name collate "C" < high
        and o.name collate "C" >= seek
        and (inclusive or o.name collate "C" <> seek)
      order by o.name collate "C" limit 1;
    else
      select o.* into entry from storage.objects o
      where o.bucket_id = _bucket_id and o.name collate "C" >= low and o.name collate "C" < seek
      order by o.name collate "C" desc limit 1;
    end if;
    exit when not found;

    folder := storage.get_common_prefix(entry.name, low, delimiter_param);
    emitted := emitted + 1;
    name := coalesce(rtrim(folder, delimiter_param), entry.name);
    id := case when folder is null then entry.id end;
    metadata := case when folder is null then entry.metadata end;
    updated_at := case when folder is null then entry.updated_at end;
    created_at := case when folder is null then entry.created_at end;
    last_accessed_at := case when folder is null then entry.last_accessed_at end;
    return next;

    inclusive := folder is not null;
    seek := case
      when folder is null then entry.name
      when ascending then left(folder, -1) || behind_delimiter
      else folder
    end;
  end loop;
end;
$$;

-- Sorted by a timestamp, a folder counts with the creation of its first object. The cursor is (timestamp in
-- milliseconds, name), the precision that JavaScript hands back.
create function storage.search_by_timestamp(
  p_prefix text, p_bucket_id text, p_limit integer, p_level integer, p_start_after text,
  p_sort_order text, p_sort_column text, p_sort_column_after text
) returns table (
  key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
  metadata jsonb
)
language plpgsql stable as $$
begin
  return query execute format(
    $query$
      with matches as (
        select o.*, storage.get_common_prefix(o.name, $1, '/') as folder
        from storage.objects o
        where o.bucket_id = $2 and starts_with(o.name, $1)
      ),
      entries as (
        select
          rtrim(folder, '/') as name, null::uuid as id, min(created_at) as updated_at, min(created_at) as created_at,
          null::timestamptz as last_accessed_at, null::jsonb as metadata
        from matches where folder is not null group by folder
        union all
        select name, id, updated_at, created_at, last_accessed_at, metadata from matches where folder is null
      )
      select split_part(e.name, '/', $3), e.name, e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata
      from entries e
      where $5 = ''
        or (date_trunc('milliseconds', e.%1$I), e.name collate "C")
          %3$s (coalesce(nullif($6, '')::timestamptz, 'epoch'), $5)
      order by coalesce(date_trunc('milliseconds', e.%1$I), 'epoch') %2$s, e.name collate "C" %2$s
      limit $4
    $query$,
    p_sort_column, p_sort_order, case when p_sort_order = 'asc' then '>' else '<' end
  ) using coalesce(p_prefix, ''), p_bucket_id, p_level, p_limit, coalesce(p_start_after, ''), p_sort_column_after;
end;
$$;

-- Version 2: full names, cursor paging, case-sensitive.
create function storage.search_v2(
  prefix text, bucket_name text, limits integer default 100, levels integer default 1, start_after text default '',
  sort_order text default 'asc', sort_column text default 'name', sort_column_after text default ''
) returns table (
  key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
  metadata jsonb
)
language plpgsql stable as $$
declare
  row_limit integer := least(coalesce(limits, 100), 1500);
  direction text := case when lower(sort_order) = 'desc' then 'desc' else 'asc' end;
begin
  if lower(sort_column) in ('updated_at', 'created_at') then
    return query
      select * from storage.search_by_timestamp(
        prefix, bucket_name, row_limit, levels, start_after, direction, lower(sort_column), sort_column_after
      );
  else
    return query
      select split_part(l.name, '/', levels), l.name, l.id, l.updated_at, l.created_at, l.last_accessed_at, l.metadata
      from storage.list_objects_with_delimiter(
        bucket_name, coalesce(prefix, ''), '/', row_limit, start_after, '', direction
      ) l;
  end if;
end;
$$;

create function storage.list_multipart_uploads_with_delimiter(
  bucket_id text, prefix_param text, delimiter_param text, max_keys integer default 100,
  next_key_token text default '', next_upload_token text default ''
) returns table (key text, id text, created_at timestamptz)
language plpgsql as $$
begin
  return query
    select distinct on (entry.name collate "C") entry.name, entry.id, entry.created_at
    from (
      select
        coalesce(storage.get_common_prefix(u.key, prefix_param, delimiter_param), u.key) as name, u.id, u.created_at
      from storage.s3_multipart_uploads u
      where u.bucket_id = list_multipart_uploads_with_delimiter.bucket_id and u.key ilike prefix_param || '%'
    ) as entry
    where (next_upload_token = '' or entry.id collate "C" > next_upload_token)
      and (next_key_token = '' or next_upload_token <> '' or entry.name collate "C" > next_key_token)
    order by entry.name collate "C", entry.created_at
    limit max_keys;
end;
$$;

-- Triggers and guards -----------------------------------------------------------------------------------------------

create function storage.update_updated_at_column() returns trigger
language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end;
$$;

create trigger update_objects_updated_at before update on storage.objects
  for each row execute function storage.update_updated_at_column();

create function storage.enforce_bucket_name_length() returns trigger
language plpgsql as $$
begin
  if length(new.name) > 100 then
    raise exception 'bucket name "%" is too long (% characters). Max is 100.', new.name, length(new.name);
  end if;
  return new;
end;
$$;

create trigger enforce_bucket_name_length_trigger before insert or update of name on storage.buckets
  for each row execute function storage.enforce_bucket_name_length();

-- A row deleted by hand would leave its file behind, so only the Storage server, which sets the flag, may delete.
create function storage.protect_delete() returns trigger
language plpgsql as $$
begin
  if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
    raise exception 'Direct deletion from storage tables is not allowed. Use the Storage API instead.'
      using errcode = '42501', hint = 'This prevents accidental data loss from orphaned objects.';
  end if;
  return null;
end;
$$;

create trigger protect_buckets_delete before delete on storage.buckets
  for each statement execute function storage.protect_delete();
create trigger protect_objects_delete before delete on storage.objects
  for each statement execute function storage.protect_delete();

-- Grants and row security -------------------------------------------------------------------------------------------
-- The default privileges above already gave everything to the API roles: row security without a policy is what keeps
-- buckets and objects closed.

alter table storage.migrations enable row level security;
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
alter table storage.s3_multipart_uploads enable row level security;
alter table storage.s3_multipart_uploads_parts enable row level security;
alter table storage.buckets_analytics enable row level security;
alter table storage.buckets_vectors enable row level security;
alter table storage.vector_indexes enable row level security;

grant all on storage.buckets, storage.objects to postgres with grant option;
revoke all on storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts from anon, authenticated;
grant select on storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts to anon, authenticated;

reset search_path;
