-- Where the content of packages lies: in the row when it is small, in the bucket packages when it is large. Settings say where
-- the border is, and for what part of the versions the background job keeps it. Wherever it lies it counts against the quota
-- of the company that owns the package; and an object that no row names any more is queued for deletion.

-- Tables

create table private.package_settings (
  id boolean primary key default true constraint package_settings_one_row check (id),
  inline_limit_bytes integer not null default 102400
    constraint package_settings_inline_limit_bytes_range check (inline_limit_bytes between 0 and 10485760),
  move_percentage integer not null default 0
    constraint package_settings_move_percentage_range check (move_percentage between 0 and 100),
  dual_read boolean not null default true,
  fallback_count bigint not null default 0,
  last_fallback_at timestamptz
);
comment on table private.package_settings is
  'One row. move_percentage: for how many of a hundred versions the background job moves content to where it belongs. '
  'dual_read: what the database lacks is looked up in the legacy directory; '
  'fallback_count says how often that happened, and so when it is safe to turn off.';
insert into private.package_settings default values;

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ('packages', 'packages', false, 10485760, array['text/yaml', 'text/plain', 'application/octet-stream'])
on conflict (id) do update set
  public = excluded.public,
  file_size_limit = excluded.file_size_limit,
  allowed_mime_types = excluded.allowed_mime_types;

-- Triggers: usage

create function private.account_package_version()
returns trigger
language plpgsql
security definer -- the journal is nobody's to write
set search_path = ''
as $$
begin
  case tg_op
    when 'INSERT' then
      perform private.note_storage_change(new.company_id, 'packages', new.size, 1);
    when 'UPDATE' then
      perform private.note_storage_change(new.company_id, 'packages', new.size - old.size, 0);
    else
      -- Its files go with it, after it: they cannot say whose they were.
      perform private.note_storage_change(old.company_id, 'packages', -old.size - coalesce(sum(f.size), 0)::bigint, -1 - count(*))
      from public.package_files f where f.version_id = old.id;
      return old;
  end case;
  return null;
end;
$$;

create trigger account_added after insert on public.package_versions
  for each row when (new.company_id is not null)
  execute function private.account_package_version();

create trigger account_changed after update on public.package_versions
  for each row when (new.company_id is not null and old.size <> new.size)
  execute function private.account_package_version();

create trigger account_removed before delete on public.package_versions
  for each row when (old.company_id is not null)
  execute function private.account_package_version();

create function private.account_package_file()
returns trigger
language plpgsql
security definer -- the journal is nobody's to write
set search_path = ''
as $$
begin
  perform private.note_storage_change(
    v.company_id, 'packages',
    case when tg_op = 'DELETE' then -old.size when tg_op = 'INSERT' then new.size else new.size - old.size end,
    case tg_op when 'INSERT' then 1 when 'DELETE' then -1 else 0 end)
  from public.package_versions v
  where v.id = case tg_op when 'DELETE' then old.version_id else new.version_id end and v.company_id is not null;
  return null;
end;
$$;

create trigger account_added after insert on public.package_files
  for each row execute function private.account_package_file();

create trigger account_changed after update on public.package_files
  for each row when (old.size <> new.size)
  execute function private.account_package_file();

create trigger account_removed after delete on public.package_files
  for each row execute function private.account_package_file();

-- Triggers: objects

create function private.queue_deletion_of_package()
returns trigger
language plpgsql
security definer -- the queue is nobody's to write
set search_path = ''
as $$
begin
  perform private.delete_object('packages', old.storage_path);
  return null;
end;
$$;

create trigger queue_deletion after delete on public.package_versions
  for each row when (old.storage_path is not null)
  execute function private.queue_deletion_of_package();

create trigger queue_deletion_of_moved after update on public.package_versions
  for each row when (old.storage_path is not null and old.storage_path is distinct from new.storage_path)
  execute function private.queue_deletion_of_package();

create trigger queue_deletion after delete on public.package_files
  for each row when (old.storage_path is not null)
  execute function private.queue_deletion_of_package();

create trigger queue_deletion_of_moved after update on public.package_files
  for each row when (old.storage_path is not null and old.storage_path is distinct from new.storage_path)
  execute function private.queue_deletion_of_package();

-- Predicates

create function private.is_rolled_out(p_id uuid, p_percentage integer)
returns boolean
language sql
immutable
set search_path = ''
return ('x' || left(md5(p_id::text), 8))::bit(32)::bigint % 100 < p_percentage;
comment on function private.is_rolled_out is 'The id is among this part of all; who is in at one percentage is in at every higher one.';

-- Functions: settings

create function private.package_settings()
returns jsonb
language sql
stable
security definer -- nobody reads the table itself
set search_path = ''
as $$ select to_jsonb(s) - 'id' from private.package_settings s $$;

create function public.package_settings()
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$ select private.package_settings() $$;
comment on function public.package_settings is 'For the service: {inline_limit_bytes, move_percentage, dual_read, fallback_count, last_fallback_at}.';

create function private.change_package_settings(p_inline_limit_bytes integer, p_move_percentage integer, p_dual_read boolean)
returns jsonb
language plpgsql
security definer -- nobody writes the table itself
set search_path = ''
as $$
begin
  if p_inline_limit_bytes not between 0 and 10485760 then
    perform private.raise_error('SW001', 'inline_limit_bytes takes 0 to 10485760.', 'inline_limit_bytes');
  end if;
  if p_move_percentage not between 0 and 100 then
    perform private.raise_error('SW001', 'move_percentage takes 0 to 100.', 'move_percentage');
  end if;
  update private.package_settings set
    inline_limit_bytes = coalesce(p_inline_limit_bytes, inline_limit_bytes),
    move_percentage = coalesce(p_move_percentage, move_percentage),
    dual_read = coalesce(p_dual_read, dual_read)
  where id;
  return private.package_settings();
end;
$$;

create function public.change_package_settings(
  inline_limit_bytes integer default null, move_percentage integer default null, dual_read boolean default null)
returns jsonb
language sql
security invoker
set search_path = ''
as $$ select private.change_package_settings($1, $2, $3) $$;
comment on function public.change_package_settings is
  'For the service: changes what is given, and answers all settings. Errors: SW001 (a named input).';

create function private.count_package_fallbacks(p_count integer)
returns void
language sql
security definer -- nobody writes the table itself
set search_path = ''
as $$
  update private.package_settings
  set fallback_count = fallback_count + greatest(p_count, 0), last_fallback_at = now()
  where id and p_count > 0
$$;

create function public.count_package_fallbacks(count integer)
returns void
language sql
security invoker
set search_path = ''
as $$ select private.count_package_fallbacks($1) $$;
comment on function public.count_package_fallbacks is
  'For the service: so many reads found in the legacy directory what the database lacks.';

-- Functions: the background job

create function private.list_package_moves(p_limit integer)
returns table (
  part text, id uuid, namespace text, name text, version text, path text, sha256 text, size bigint, content_type text,
  target text, content text, storage_path text)
language sql
stable
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
  select w.*
  from private.package_settings s
  cross join lateral (
    select 'yaml', v.id, p.namespace, p.name, v.version, p.name || '-' || v.version || '.yaml', v.sha256, v.size, 'text/yaml',
      case when v.size > s.inline_limit_bytes then 'storage' else 'row' end, v.yaml_content, v.storage_path
    from public.package_versions v join public.packages p on p.id = v.package_id
    where (v.size > s.inline_limit_bytes) = (v.yaml_content is not null) and private.is_rolled_out(v.id, s.move_percentage)
    union all
    select 'file', f.id, p.namespace, p.name, v.version, f.path, f.sha256, f.size, f.content_type,
      case when f.size > s.inline_limit_bytes then 'storage' else 'row' end, f.content, f.storage_path
    from public.package_files f
    join public.package_versions v on v.id = f.version_id
    join public.packages p on p.id = v.package_id
    where (f.size > s.inline_limit_bytes) = (f.content is not null) and private.is_rolled_out(v.id, s.move_percentage)
  ) w
  -- By chance, so that what cannot be moved, being damaged, holds nothing up for ever.
  order by random()
  limit least(greatest(p_limit, 0), 100)
$$;

create function public.list_package_moves(max_results integer default 20)
returns table (
  part text, id uuid, namespace text, name text, version text, path text, sha256 text, size bigint, content_type text,
  target text, content text, storage_path text)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.list_package_moves($1) $$;
comment on function public.list_package_moves is
  'For the service: content that lies elsewhere than the settings say, of the versions that are rolled out, and where it goes.';

create function private.move_package_content(p_part text, p_id uuid, p_content text, p_storage_path text)
returns boolean
language plpgsql
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
begin
  -- Compared with what it was, so that two jobs, or a job and a new draft, do no harm to each other.
  if p_part = 'yaml' then
    update public.package_versions set yaml_content = p_content, storage_path = p_storage_path
    where id = p_id and (yaml_content is null) <> (p_content is null);
  else
    update public.package_files set content = p_content, storage_path = p_storage_path
    where id = p_id and (content is null) <> (p_content is null);
  end if;
  return found;
end;
$$;

create function public.move_package_content(part text, id uuid, content text default null, storage_path text default null)
returns boolean
language sql
security invoker
set search_path = ''
as $$ select private.move_package_content($1, $2, $3, $4) $$;
comment on function public.move_package_content is
  'For the service, after the bytes are where they go and were read back: content moves to the row, or storage_path names it. '
  'False if somebody else moved it, or it is no more. Error: 23514, the content has another checksum.';

create function private.list_unparsed_package_versions(p_limit integer)
returns table (
  id uuid, company_id uuid, namespace text, name text, version text, sha256 text, yaml_content text, storage_path text)
language sql
stable
security definer -- one statement for all who may call it, the service
set search_path = ''
as $$
  select v.id, v.company_id, p.namespace, p.name, v.version, v.sha256, v.yaml_content, v.storage_path
  from public.package_versions v join public.packages p on p.id = v.package_id
  where v.dependencies_parsed_at is null
  -- By chance, so that what cannot be read, being damaged, holds nothing up for ever.
  order by random()
  limit least(greatest(p_limit, 0), 500)
$$;

create function public.list_unparsed_package_versions(max_results integer default 100)
returns table (
  id uuid, company_id uuid, namespace text, name text, version text, sha256 text, yaml_content text, storage_path text)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.list_unparsed_package_versions($1) $$;
comment on function public.list_unparsed_package_versions is 'For the service: versions whose dependencies are not known yet, some of them, in no order.';

grant execute on function
  private.package_settings(), public.package_settings(),
  private.change_package_settings(integer, integer, boolean), public.change_package_settings(integer, integer, boolean),
  private.count_package_fallbacks(integer), public.count_package_fallbacks(integer),
  private.list_package_moves(integer), public.list_package_moves(integer),
  private.move_package_content(text, uuid, text, text), public.move_package_content(text, uuid, text, text),
  private.list_unparsed_package_versions(integer), public.list_unparsed_package_versions(integer)
to service_role;
