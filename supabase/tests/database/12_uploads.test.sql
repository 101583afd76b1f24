-- Uploads: the promise, the quota, the verification, the end.
begin;
\ir tests.inc
select plan(173);

-- What else the database holds is not expired here.
update app_uploads set expires_at = 'infinity' where status in ('pending', 'verifying');

-- A call of begin_app_upload for a file of the draft, with some arguments replaced.
create function pg_temp.begin_upload(overrides jsonb default '{}') returns text language sql as $$
  select format('begin_app_upload(%s)', string_agg(format('%I => %s', key, quote_nullable(value #>> '{}')), ', '))
  from jsonb_each(jsonb_build_object(
    'app_id', '{private app}', 'version', '2.0.0', 'file_name', 'lib/new.js', 'file_type', 'dist', 'content_type', 'text/javascript',
    'file_size', 1000, 'checksum', pg_temp.checksum('new')) || overrides)
$$;
create function pg_temp.upload(name text) returns app_uploads language sql as $$
  select u from app_uploads u where id = pg_temp.id(name)::uuid
$$;

-- Beginning

select pg_temp.learn('upload', 'publisher admin', 'select id from ' || pg_temp.begin_upload());
select pg_temp.answers('publisher admin', $$
  select concat_ws(' ', status, created_by = '{publisher admin}', company_id = '{publisher company}', expires_at = now() + interval '2 hours',
    file_path = 'app_{private app}/2.0.0/lib/new.js', staging_path = 'app_{private app}/staging/{upload}', file_size)
  from app_uploads where id = '{upload}' $$, 'pending t t t t t 1000', 'is promised a place for a file');
select pg_temp.answers('publisher admin', 'select id from ' || pg_temp.begin_upload(), '{upload}', 'gets the same promise for the same call');
select pg_temp.allows(actor, 'select from ' || pg_temp.begin_upload(jsonb_build_object('file_name', replace(actor, ' ', '-'))), 'begins an upload')
from unnest(array['publisher owner', 'superadmin', 'service']) actor;
select pg_temp.answers('publisher owner', 'select version from ' || pg_temp.begin_upload('{"version": "6.0.0"}'), '6.0.0',
  'begins an upload of a version that does not exist yet');
select pg_temp.answers('publisher owner',
  $$ select status || ' ' || (created_by = '{publisher owner}') from app_versions where app_id = '{private app}' and version = '6.0.0' $$,
  'draft true', 'created it by that, as a draft');

-- Who may

select pg_temp.refuses(actor, 'select ' || pg_temp.begin_upload(jsonb_build_object('app_id', app)), 'SW002',
  'There is no such app among those that your companies publish.', 'cannot upload to ' || what, 'app_id')
from unnest(array['nobody', 'outsider', 'customer owner']) actor,
  (values ('{private app}', 'an app of another publisher'), (gen_random_uuid()::text, 'an app that does not exist')) apps (app, what);
select pg_temp.refuses('publisher member', 'select ' || pg_temp.begin_upload(), 'SW003', 'Owners and admins of the publisher upload files.',
  'cannot upload, and is told why', 'app_id');
select pg_temp.refuses('anonymous', 'select ' || pg_temp.begin_upload(), '42501', 'permission denied for function begin_app_upload', 'cannot upload');
select pg_temp.refuses(actor, 'select ' || pg_temp.begin_upload(jsonb_build_object('app_id', app)), 'SW002',
  'There is no such app among those that your companies publish.', 'cannot upload to ' || coalesce(app, 'null'), 'app_id')
from unnest(array['superadmin', 'service', 'publisher owner']) actor, unnest(array[gen_random_uuid()::text, null]) app;

-- What may be promised

select pg_temp.refuses('publisher owner', 'select ' || pg_temp.begin_upload(overrides), code, message,
  'cannot begin an upload with ' || left(overrides::text, 60), (select max(key) from jsonb_object_keys(overrides) key))
from (values
  ('{"version": "latest"}'::jsonb, 'SW001', 'version must be a semantic version such as 1.4.0.'),
  ('{"version": null}', 'SW001', 'version must be a semantic version such as 1.4.0.'),
  ('{"file_type": "binary"}', 'SW001', 'file_type takes manifest, source, build, asset, dist or config.'),
  ('{"file_type": null}', 'SW001', 'file_type takes manifest, source, build, asset, dist or config.'),
  ('{"content_type": "text/x-evil"}', 'SW001', 'content_type is not one that app-storage takes.'),
  ('{"content_type": null}', 'SW001', 'content_type is not one that app-storage takes.'),
  ('{"file_size": 0}', 'SW001', 'file_size must be at least 1 byte.'), ('{"file_size": -1}', 'SW001', 'file_size must be at least 1 byte.'),
  ('{"file_size": null}', 'SW001', 'file_size must be at least 1 byte.'),
  ('{"file_size": 104857601}', 'SW034', 'file_size is more than the 104857600 bytes (100 MB) that app-storage takes.'),
  ('{"checksum": "sha256:0"}', 'SW001', 'checksum must be sha256: and 64 lower-case hexadecimal digits.'),
  ('{"checksum": null}', 'SW001', 'checksum must be sha256: and 64 lower-case hexadecimal digits.'),
  ('{"version": "1.0.0"}', 'SW020', 'Version 1.0.0 is published: its files cannot change. Upload a new version.'),
  ('{"version": "1.1.0"}', 'SW020', 'Version 1.1.0 is deprecated: its files cannot change. Upload a new version.'),
  ('{"version": "0.9.0"}', 'SW020', 'Version 0.9.0 is archived: its files cannot change. Upload a new version.')) bad (overrides, code, message);
select pg_temp.refuses('publisher owner', 'select ' || pg_temp.begin_upload(jsonb_build_object('file_name', name)), 'SW001',
  'file_name must be a relative path of letters, digits, spaces and ._@+=,()- without "..", of 400 characters at most.',
  'cannot begin an upload of ' || left(coalesce(quote_literal(name), 'null'), 40), 'file_name')
from unnest(array['', '..', '../x', '/x', 'a/../b', 'a//b', 'a/', 'a\b', 'ü', null, repeat('a', 513), repeat('a', 500)]) name;
select pg_temp.allows('publisher owner', 'select from ' || pg_temp.begin_upload(jsonb_build_object('file_name', repeat('a', 400), 'version', '2.0.0')),
  'begins an upload of a name of 400 characters');
select pg_temp.allows('publisher owner', 'select from ' || pg_temp.begin_upload('{"file_size": 104857600, "file_name": "large"}'),
  'begins an upload of 100 MiB');
select pg_temp.allows('publisher owner', 'select from ' || pg_temp.begin_upload(jsonb_build_object('content_type', type, 'file_name', replace(type, '/', '-'))),
  'begins an upload of ' || type)
from unnest((select allowed_mime_types from storage.buckets where id = 'app-storage')) type;
select pg_temp.refuses('publisher owner', 'select ' || pg_temp.begin_upload('{"file_name": "DIST/Index.js"}'), 'SW001',
  'A file whose name differs only in case is there already.', 'cannot upload a name that differs from a file''s only in case', 'file_name');

-- Another upload of the same file takes its place

select pg_temp.learn('later', 'publisher admin', 'select id from ' || pg_temp.begin_upload(jsonb_build_object('checksum', pg_temp.checksum('later'))));
select pg_temp.answers('publisher member', $$ select status || ' ' || error_code || ': ' || error_message from app_uploads where id = '{upload}' $$,
  'cancelled superseded: A later upload of the same file took its place.', 'sees the first one cancelled, and why');
select isnt(pg_temp.id('upload'), pg_temp.id('later'), 'the later upload is another one');
select pg_temp.learn('owner''s', 'publisher owner', 'select id from ' || pg_temp.begin_upload(jsonb_build_object('checksum', pg_temp.checksum('later'))));
select is((pg_temp.upload('later')).status, 'cancelled', 'the same file of somebody else takes its place too');
select pg_temp.learn('cased', 'publisher owner', 'select id from ' || pg_temp.begin_upload(jsonb_build_object('file_name', 'LIB/new.js')));
select is((pg_temp.upload('owner''s')).status, 'cancelled', 'so does one whose name differs only in case');
select pg_temp.allows('operator', $$ update app_uploads set expires_at = now() where id = '{cased}' $$, 'lets the promise run out');
select pg_temp.answers('publisher owner', 'select id <> ''{cased}'' from ' || pg_temp.begin_upload(jsonb_build_object('file_name', 'LIB/new.js')), 'true',
  'begins again, and is promised anew');

-- Verification

select pg_temp.learn('file', 'publisher owner', 'select id from ' || pg_temp.begin_upload('{"file_name": "file.js"}'));
select pg_temp.refuses(actor, format($$ select start_app_upload_verification('%s') $$, upload), 'SW002',
  'There is no such upload among those of your apps.', 'cannot have verified ' || what, 'upload_id')
from unnest(array['nobody', 'outsider', 'customer owner', 'publisher member']) actor,
  (values ('{file}', 'an upload of the publisher'), (gen_random_uuid()::text, 'an upload that does not exist')) uploads (upload, what);
select pg_temp.answers('publisher admin', $$
  select status || ' ' || (verifying_until = now() + interval '5 minutes') from start_app_upload_verification('{file}', '5 minutes') $$,
  'verifying true', 'has an upload verified, for the time of a lease');
select pg_temp.refuses('publisher owner', $$ select start_app_upload_verification('{file}') $$, 'SW032', 'The upload is being verified.',
  'cannot have it verified twice at the same time', 'upload_id');
select pg_temp.refuses('publisher owner', 'select ' || pg_temp.begin_upload('{"file_name": "file.js"}'), 'SW032',
  'Another upload of this file is being verified.', 'cannot begin an upload of a file that is being verified', 'file_name');
select pg_temp.refuses('publisher owner', $$ select cancel_app_upload('{file}') $$, 'SW032', 'The upload is being verified.',
  'cannot cancel an upload that is being verified', 'upload_id');
select pg_temp.allows('operator', $$ update app_uploads set verifying_until = now() where id = '{file}' $$, 'lets the verification''s time run out');
select pg_temp.answers('publisher owner', $$ select status from start_app_upload_verification('{file}') $$, 'verifying',
  'has it verified again when the first one''s time ran out');

-- Completing and failing are for the service

select pg_temp.refuses(actor, 'select ' || call, '42501', format('permission denied for function %s', split_part(call, '(', 1)),
  'cannot call ' || split_part(call, '(', 1))
from unnest(array['anonymous', 'publisher owner', 'superadmin']) actor, unnest(array[
  $$complete_app_upload('{file}', 'text/javascript')$$, $$fail_app_upload('{file}', 'a', 'b')$$, 'expire_app_uploads()',
  $$check_app_upload('{file}', 'text/javascript')$$]) call;
select pg_temp.refuses('service', format($$ select %s $$, call), 'SW002', 'There is no such upload.', 'cannot call ' || call, 'upload_id')
from unnest(array[$$complete_app_upload(null, 'text/javascript')$$, $$fail_app_upload(null, 'a', 'b')$$]) call;
select pg_temp.refuses('service', $$ select complete_app_upload('{file}', 'text/javascript', manifest => '{"version": "9.9.9"}') $$, '23514',
  'new row for relation "app_versions" violates check constraint "app_versions_manifest_version"', 'cannot store a manifest of another version');
select pg_temp.refuses('service', $$ select check_app_upload('{file}', 'text/javascript', manifest => '{"version": "9.9.9"}') $$, '23514',
  'new row for relation "app_versions" violates check constraint "app_versions_manifest_version"', 'is told so before, too');
select pg_temp.refuses('service', $$ select check_app_upload(null, 'text/javascript') $$, 'SW002', 'There is no such upload.',
  'cannot check an upload that is not there', 'upload_id');
select pg_temp.allows('service', $$ select check_app_upload('{file}', 'text/javascript', '{"entries": 3}', '{"version": "2.0.0", "name": "new"}') $$,
  'is told that it may be completed');
select is((pg_temp.upload('file')).status, 'verifying', 'the upload is not completed by that');
select pg_temp.finds_nothing('service', $$ select from app_storage where file_path = 'app_{private app}/2.0.0/file.js' $$,
  'finds no file of it yet');
select pg_temp.answers('service', $$
  select concat_ws(' ', file_path = 'app_{private app}/2.0.0/file.js', file_type, file_size, checksum = pg_temp.checksum('new'), content_type, metadata, is_released)
  from complete_app_upload('{file}', 'application/javascript', '{"entries": 3}', format('{"version": "2.0.0", "name": "new"}')::jsonb) $$,
  't dist 1000 t application/javascript {"entries": 3} f', 'completes an upload, and gets the file');
select pg_temp.answers('publisher member', $$
  select concat_ws(' ', u.status, u.completed_at = now(), u.verifying_until is null, u.file_id = f.id, v.manifest ->> 'name')
  from app_uploads u join app_storage f on f.file_path = u.file_path join app_versions v on v.app_id = f.app_id and v.version = f.version
  where u.id = '{file}' $$, 'completed t t t new', 'sees the upload, the file and the manifest belong together');
select pg_temp.answers('service', $$ select id = (select file_id from app_uploads where id = '{file}') from complete_app_upload('{file}', 'x/y') $$, 'true',
  'completes it again, and gets the same file');
select pg_temp.answers('publisher owner', $$ select status from start_app_upload_verification('{file}') $$, 'completed',
  'is told that it is completed, when it has it verified again');
select pg_temp.answers('service', $$ select status from fail_app_upload('{file}', 'late', 'Too late.') $$, 'completed', 'cannot fail what is completed');
select pg_temp.refuses('publisher owner', $$ select cancel_app_upload('{file}') $$, 'SW033', 'The upload is completed.',
  'cannot cancel what is completed', 'upload_id');

-- A file of a draft is replaced

select pg_temp.learn('again', 'publisher owner', 'select id from ' || pg_temp.begin_upload(jsonb_build_object(
  'file_name', 'file.js', 'file_size', 2000, 'checksum', pg_temp.checksum('again'))));
select pg_temp.refuses('service', $$ select complete_app_upload('{again}', 'text/javascript') $$, 'SW033', 'The upload is pending.',
  'cannot complete what was not verified', 'upload_id');
select pg_temp.allows('publisher owner', $$ select from start_app_upload_verification('{again}') $$, 'has another content of the file verified');
select pg_temp.answers('service', $$
  select (id = (select file_id from app_uploads where id = '{file}')) || ' ' || file_size from complete_app_upload('{again}', 'text/javascript') $$,
  'true 2000', 'replaces the file, whose row stays the same');

-- Failing

select pg_temp.learn('bad', 'publisher owner', 'select id from ' || pg_temp.begin_upload('{"file_name": "bad.js"}'));
select pg_temp.allows('publisher owner', $$ select from start_app_upload_verification('{bad}') $$, 'has a file verified');
select pg_temp.answers('service', $$
  select concat_ws(' ', status, error_code, length(error_message), verifying_until is null) from fail_app_upload('{bad}', 'checksum', repeat('a', 3000)) $$,
  'failed checksum 2000 t', 'refuses it, with a reason of bounded length');
select pg_temp.refuses('publisher owner', $$ select start_app_upload_verification('{bad}') $$, 'SW033', 'The upload is failed: begin it again.',
  'cannot have a refused upload verified again', 'upload_id');
select pg_temp.refuses('service', $$ select complete_app_upload('{bad}', 'text/javascript') $$, 'SW033', 'The upload is failed.',
  'cannot complete a refused upload', 'upload_id');
select pg_temp.allows('publisher owner', 'select from ' || pg_temp.begin_upload('{"file_name": "bad.js"}'), 'begins it again');

-- Cancelling

select pg_temp.learn('unwanted', 'publisher owner', 'select id from ' || pg_temp.begin_upload('{"file_name": "unwanted.js"}'));
select pg_temp.refuses(actor, $$ select cancel_app_upload('{unwanted}') $$, 'SW002', 'There is no such upload among those of your apps.',
  'cannot cancel an upload of the publisher', 'upload_id')
from unnest(array['outsider', 'customer owner', 'publisher member']) actor;
select pg_temp.answers('publisher admin', $$ select status from cancel_app_upload('{unwanted}') $$, 'cancelled', 'cancels an upload');
select pg_temp.answers('publisher admin', $$ select status from cancel_app_upload('{unwanted}') $$, 'cancelled', 'cancels it again, which changes nothing');
select pg_temp.refuses('publisher admin', $$ select start_app_upload_verification('{unwanted}') $$, 'SW033',
  'The upload is cancelled: begin it again.', 'cannot have a cancelled upload verified', 'upload_id');
select pg_temp.learn('left', 'publisher owner', 'select id from ' || pg_temp.begin_upload('{"file_name": "left.js"}'));
select pg_temp.allows('publisher owner', $$ select from start_app_upload_verification('{left}') $$, 'has a file verified by a request that dies');
update app_uploads set verifying_until = now() where id = pg_temp.id('left')::uuid;
select pg_temp.answers('publisher owner', $$ select status from cancel_app_upload('{left}') $$, 'cancelled',
  'cancels an upload that nobody verifies any more');

-- Expiry

select pg_temp.learn('forgotten', 'publisher owner', 'select id from ' || pg_temp.begin_upload('{"file_name": "forgotten.js"}'));
select pg_temp.learn('stuck', 'publisher owner', 'select id from ' || pg_temp.begin_upload('{"file_name": "stuck.js"}'));
select pg_temp.allows('publisher owner', $$ select from start_app_upload_verification('{stuck}') $$, 'has a file verified');
update app_uploads set expires_at = now() - interval '1 second' where id in (pg_temp.id('forgotten')::uuid, pg_temp.id('stuck')::uuid);
select pg_temp.refuses('publisher owner', $$ select start_app_upload_verification('{forgotten}') $$, 'SW031',
  'The upload has expired: begin it again.', 'cannot have an expired upload verified', 'upload_id');
-- The one in another case, whose time was let run out, was replaced above.
select pg_temp.answers('service', $$ select string_agg(id::text || ' ' || status, ', ') from expire_app_uploads() $$, '{forgotten} expired',
  'ends promises whose time ran out, but none that is being verified');
update app_uploads set verifying_until = now() - interval '1 second' where id = pg_temp.id('stuck')::uuid;
select pg_temp.answers('service', $$ select string_agg(id::text || ' ' || status, ', ') from expire_app_uploads() $$, '{stuck} expired',
  'ends a verification that never ended, when the promise''s time ran out too');
select pg_temp.finds_nothing('service', $$ select from expire_app_uploads() $$, 'finds nothing more to end');
select pg_temp.refuses('publisher owner', $$ select start_app_upload_verification('{stuck}') $$, 'SW031',
  'The upload has expired: begin it again.', 'cannot have it verified any more', 'upload_id');

-- A version that is released meanwhile

select pg_temp.create_version('private app', '8.0.0');
select pg_temp.learn('late', 'publisher owner', 'select id from ' || pg_temp.begin_upload('{"version": "8.0.0"}'));
update app_versions set status = 'published' where app_id = pg_temp.id('private app')::uuid and version = '8.0.0';
select pg_temp.refuses('publisher owner', $$ select start_app_upload_verification('{late}') $$, 'SW020',
  'Version 8.0.0 is no draft any more: its files cannot change.', 'cannot add a file to a version that was released meanwhile', 'version');

-- Quota

select pg_temp.create_company('small company');
select pg_temp.add_member('small company', 'nobody', 'owner');
select pg_temp.create_app('small app', 'small company');
update companies set storage_quota_bytes = 1000 where id = pg_temp.id('small company')::uuid;
create function pg_temp.begin_small(name text, size integer) returns text language sql as $$
  select pg_temp.begin_upload(jsonb_build_object('app_id', '{small app}', 'version', '1.0.0', 'file_name', name, 'file_size', size))
$$;
select pg_temp.refuses('nobody', 'select ' || pg_temp.begin_small('a', 1001), 'SW030',
  'The company''s storage quota is 1000 bytes, of which 0 are in use: 1001 more do not fit.', 'cannot upload more than the quota', 'file_size');
select pg_temp.learn('a', 'nobody', 'select id from ' || pg_temp.begin_small('a', 600));
select pg_temp.refuses('nobody', 'select ' || pg_temp.begin_small('b', 401), 'SW030',
  'The company''s storage quota is 1000 bytes, of which 600 are in use: 401 more do not fit.', 'cannot upload what does not fit beside a promised file', 'file_size');
select pg_temp.answers('nobody', 'select id from ' || pg_temp.begin_small('a', 600), '{a}', 'gets the promise again, without it counting twice');
select pg_temp.allows('nobody', 'select from ' || pg_temp.begin_small('a', 1000), 'begins a larger one in its place');
select pg_temp.learn('a', 'nobody', 'select id from ' || pg_temp.begin_small('a', 600));
select pg_temp.allows('nobody', 'select from ' || pg_temp.begin_small('b', 400), 'uploads what fits exactly');
select pg_temp.allows('nobody', $$ select from start_app_upload_verification('{a}') $$, 'has the first one verified');
update app_uploads set expires_at = now() - interval '1 second' where company_id = pg_temp.id('small company')::uuid and status in ('pending', 'verifying');
select pg_temp.refuses('nobody', 'select ' || pg_temp.begin_small('c', 401), 'SW030',
  'The company''s storage quota is 1000 bytes, of which 600 are in use: 401 more do not fit.',
  'has what expired back, but not what is still being verified', 'file_size');
select pg_temp.allows('service', $$ select from complete_app_upload('{a}', 'text/javascript') $$, 'completes it');
select pg_temp.refuses('nobody', 'select ' || pg_temp.begin_small('c', 401), 'SW030',
  'The company''s storage quota is 1000 bytes, of which 600 are in use: 401 more do not fit.', 'cannot upload what does not fit beside a file', 'file_size');
select pg_temp.allows('nobody', 'select from ' || pg_temp.begin_small('a', 1000), 'replaces a file by one that fits in its place');
select pg_temp.refuses('service', 'select ' || pg_temp.begin_small('a', 1001), 'SW030',
  'The company''s storage quota is 1000 bytes, of which 600 are in use: 401 more do not fit.', 'cannot upload past the quota of a company either', 'file_size');

-- Every change of status

create temp table status_changes on commit drop as
select row_number() over (order by old_status, new_status) as number, old_status, new_status,
  (old_status, new_status) in (('pending', 'verifying'), ('pending', 'failed'), ('pending', 'cancelled'), ('pending', 'expired'),
    ('verifying', 'pending'), ('verifying', 'completed'), ('verifying', 'failed'), ('verifying', 'cancelled'), ('verifying', 'expired')) as allowed
from unnest(array['pending', 'verifying', 'completed', 'failed', 'cancelled', 'expired']) old_status,
  unnest(array['pending', 'verifying', 'completed', 'failed', 'cancelled', 'expired']) new_status
where old_status <> new_status;
insert into app_uploads (app_id, company_id, version, file_name, file_path, file_type, content_type, file_size, checksum, status, verifying_until, completed_at)
select pg_temp.id('private app')::uuid, pg_temp.id('publisher company')::uuid, '2.0.0', 'c' || number, 'c/' || number, 'dist', 'text/css', 1,
  pg_temp.checksum('c'), old_status, case old_status when 'verifying' then now() end, case old_status when 'completed' then now() end
from status_changes;
select case
  when allowed then pg_temp.allows('service', statement, format('changes an upload from %s to %s', old_status, new_status))
  else pg_temp.refuses('service', statement, 'SW033', format('An upload that is %s does not become %s.', old_status, new_status),
    format('cannot change an upload from %s to %s', old_status, new_status), 'status')
  end
from status_changes, format($$ update app_uploads set status = '%s', verifying_until = now() where app_id = '{private app}' and file_path = 'c/%s' $$,
  new_status, number) statement;

select * from finish();
rollback;
