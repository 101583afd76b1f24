-- The two buckets, both private. Nobody but the service and superadmins writes objects directly: users upload through
-- signed upload URLs. Who reads an object is decided where the rows are that describe it, in the next migration.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  ('app-storage', 'app-storage', false, 104857600, array[
    'application/json',
    'application/javascript',
    'text/javascript',
    'text/html',
    'text/css',
    'application/zip',
    'application/x-tar',
    'application/gzip',
    'application/octet-stream',
    'image/png',
    'image/jpeg',
    'image/svg+xml'
  ]),
  ('app-logs', 'app-logs', false, 52428800, array[
    'text/plain',
    'application/json',
    'text/csv',
    'application/xml',
    'text/xml'
  ])
on conflict (id) do update set
  public = excluded.public,
  file_size_limit = excluded.file_size_limit,
  allowed_mime_types = excluded.allowed_mime_types;

-- Row security

create policy "Superadmins add app files and logs" on storage.objects
  for insert to authenticated
  with check (bucket_id in ('app-storage', 'app-logs') and (select private.is_superadmin()));

create policy "Superadmins change app files and logs" on storage.objects
  for update to authenticated
  using (bucket_id in ('app-storage', 'app-logs') and (select private.is_superadmin()))
  with check (bucket_id in ('app-storage', 'app-logs') and (select private.is_superadmin()));

create policy "Superadmins delete app files and logs" on storage.objects
  for delete to authenticated
  using (bucket_id in ('app-storage', 'app-logs') and (select private.is_superadmin()));
