-- Files of drafts can be taken out again. Users do not write app_storage; the object is removed by whoever calls, through
-- the Storage API, once the row is gone: the other order could leave a released version without its bytes.

create function private.delete_app_file(p_app_id uuid, p_file_id uuid)
returns text
language plpgsql
security definer -- owners and admins delete files of drafts, but do not write app_storage
set search_path = ''
as $$
declare
  file public.app_storage;
  version_status text;
begin
  select * into file from public.app_storage where id = p_file_id and app_id = p_app_id;
  if not found or not (private.is_service() or file.app_id = any (private.my_published_app_ids('admin'))) then
    -- As the policies of app_storage: whoever sees the file is told why, nobody else that there is one.
    if file.app_id = any (private.my_published_app_ids())
      or (file.is_released and file.file_type <> 'source' and file.app_id = any (private.my_assigned_app_ids()))
    then
      perform private.raise_error('SW003', 'Owners and admins of the publisher delete files of drafts.', 'file_id');
    end if;
    perform private.raise_error('SW002', 'There is no such file among those of your apps.', 'file_id');
  end if;
  perform private.refuse_if_suspended(file.app_id);
  -- The lock keeps the version a draft until the file is gone.
  select v.status into version_status from public.app_versions v
  where v.app_id = file.app_id and v.version = file.version
  for share;
  if version_status <> 'draft' then
    perform private.raise_error('SW020',
      format('Version %s is %s: its files cannot change. Upload a new version.', file.version, version_status), 'version');
  end if;
  delete from public.app_storage where id = file.id;
  return file.file_path;
end;
$$;

create function public.delete_app_file(app_id uuid, file_id uuid)
returns text
language sql
security invoker
set search_path = ''
as $$ select private.delete_app_file($1, $2) $$;
comment on function public.delete_app_file is
  'For owners and admins of the publisher: deletes the row of a draft''s file, and returns the name of its object in '
  'app-storage, which the caller removes. Errors: SW002 and SW003 (file_id), SW003 (app_id) suspended, SW020 (version).';

grant execute on function private.delete_app_file(uuid, uuid), public.delete_app_file(uuid, uuid) to authenticated, service_role;
