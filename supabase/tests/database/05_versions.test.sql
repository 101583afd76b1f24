-- Versions: their names, their order, their life, and that a released one never changes.
begin;
\ir tests.inc
select plan(194);

-- Semantic versions: semver.org's own lists of valid and invalid ones

select ok(private.is_semver(version), version || ' is a semantic version') from unnest(array[
  '0.0.4', '1.2.3', '10.20.30', '1.1.2-prerelease+meta', '1.1.2+meta', '1.1.2+meta-valid', '1.0.0-alpha', '1.0.0-beta',
  '1.0.0-alpha.beta', '1.0.0-alpha.beta.1', '1.0.0-alpha.1', '1.0.0-alpha0.valid', '1.0.0-alpha.0valid',
  '1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay', '1.0.0-rc.1+build.1', '2.0.0-rc.1+build.123', '1.2.3-beta',
  '10.2.3-DEV-SNAPSHOT', '1.2.3-SNAPSHOT-123', '1.0.0', '2.0.0', '1.1.7', '2.0.0+build.1848', '2.0.1-alpha.1227',
  '1.0.0-alpha+beta', '1.2.3----RC-SNAPSHOT.12.9.1--.12+788', '1.2.3----R-S.12.9.1--.12+meta', '1.2.3----RC-SNAPSHOT.12.9.1--.12',
  '1.0.0+0.build.1-rc.10000aaa-kk-0.1', '99999999999999999999999.999999999999999999.99999999999999999', '1.0.0-0A.is.legal'
]) version;
select ok(not private.is_semver(version), quote_literal(replace(version, e'\n', '\n')) || ' is no semantic version') from unnest(array[
  '1', '1.2', '1.2.3-0123', '1.2.3-0123.0123', '1.1.2+.123', '+invalid', '-invalid', '-invalid+invalid', '-invalid.01', 'alpha',
  'alpha.beta', 'alpha.beta.1', 'alpha.1', 'alpha+beta', 'alpha_beta', 'alpha.', 'alpha..', 'beta', '1.0.0-alpha_beta', '-alpha.',
  '1.0.0-alpha..', '1.0.0-alpha..1', '1.0.0-alpha...1', '1.0.0-alpha....1', '1.0.0-alpha.....1', '1.0.0-alpha......1',
  '1.0.0-alpha.......1', '01.1.1', '1.01.1', '1.1.01', '1.2.3.DEV', '1.2-SNAPSHOT', '1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788',
  '1.2-RC-SNAPSHOT', '-1.0.3-gamma+b7718', '+justmeta', '9.8.7+meta+meta', '9.8.7-whatever+meta+meta',
  '99999999999999999999999.999999999999999999.99999999999999999----RC-SNAPSHOT.12.09.1--------------------------------..12',
  '', ' 1.0.0', '1.0.0 ', e'1.0.0\n', 'v1.0.0', '1.0.0-ä', '１.0.0', '1.0.0+' || repeat('a', 60)
]) version;
select is(private.is_semver(null), null, 'no version is neither a semantic version nor not one');

-- Precedence: each of the list is smaller than all after it

create temp table ordered_versions on commit drop as
select version, number from unnest(array[
  '0.0.0-0', '0.0.0', '0.0.1', '0.1.0', '0.9.0', '0.10.0', '1.0.0-0', '1.0.0-1', '1.0.0-2', '1.0.0-10', '1.0.0-10.a', '1.0.0---',
  '1.0.0--1', '1.0.0-A', '1.0.0-Z', '1.0.0-a', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.1.1', '1.0.0-alpha.1.a',
  '1.0.0-alpha.2', '1.0.0-alpha.10', '1.0.0-alpha.beta', '1.0.0-alpha-1', '1.0.0-alpha1', '1.0.0-beta', '1.0.0-beta.2',
  '1.0.0-beta.11', '1.0.0-rc.1', '1.0.0', '1.0.1', '1.2.0', '1.10.0', '2.0.0', '2.1.0', '2.1.1', '9.0.0', '10.0.0', '99.0.0',
  '100.0.0', '12345678901234567890.0.0']) with ordinality as list (version, number);
select is_empty($$
  select smaller.version, greater.version
  from ordered_versions smaller join ordered_versions greater on smaller.number < greater.number
  where private.semver_key(smaller.version) >= private.semver_key(greater.version) collate "C"
$$, 'keys of versions sort by the precedence of semantic versions, each pair of the list');
select is(private.semver_key('1.0.0-a+x'), private.semver_key('1.0.0-a'), 'build metadata has no part in precedence');
select isnt(private.semver_key('1.0.0'), private.semver_key('1.0.0-a'), 'a pre-release has');

-- A new version

select pg_temp.answers('publisher admin',
  $$ insert into app_versions (app_id, version) values ('{unassigned app}', '2.0.0')
     returning status || ' ' || (created_by = '{publisher admin}') || ' ' || (published_at is null) $$,
  'draft true true', 'creates a version, which is a draft');
select pg_temp.refuses('publisher admin', $$ insert into app_versions (app_id, version) values ('{private app}', '1.0') $$, '23514',
  'new row for relation "app_versions" violates check constraint "app_versions_version_semver"', 'cannot create a version 1.0');
select pg_temp.refuses('publisher admin', $$ insert into app_versions (app_id, version) values ('{private app}', '1.0.0') $$, '23505',
  'duplicate key value violates unique constraint "app_versions_pkey"', 'cannot create a version twice');
select pg_temp.refuses('service', format($$
  insert into app_versions (app_id, version, status, manifest, published_at)
  values ('{private app}', '7.0.0', '%s', '{"version": "7.0.0"}', now()) $$, status), 'SW022',
  'A version begins as a draft.', 'cannot create a version that is ' || status, 'status')
from unnest(array['published', 'deprecated', 'archived']) status;
select pg_temp.refuses('service', format($$ update app_versions set %s where app_id = '{private app}' and version = '2.0.0' $$, change),
  '23514', format('new row for relation "app_versions" violates check constraint "%s"', constraint_name), 'cannot set ' || change)
from (values
  ($$manifest = '[]'$$, 'app_versions_manifest_object'),
  ($$manifest = '{"version": "2.0.1"}'$$, 'app_versions_manifest_version'),
  ($$status_reason = repeat('a', 1001)$$, 'app_versions_status_reason_length')) bad (change, constraint_name);
select pg_temp.refuses('service', $$ update app_versions set manifest = '{}' where app_id = '{private app}' and version = '2.0.0' $$,
  '23514', 'new row for relation "app_versions" violates check constraint "app_versions_manifest_version"',
  'cannot store a manifest without a version');

-- Every change of status, tried by the service, by a superadmin and by an owner of the publisher

create temp table status_changes on commit drop as
select row_number() over (order by old_status, new_status) as number, old_status, new_status,
  (old_status, new_status) in (('draft', 'published'), ('published', 'deprecated'), ('deprecated', 'published'),
    ('published', 'archived'), ('deprecated', 'archived')) as allowed
from unnest(array['draft', 'published', 'deprecated', 'archived']) old_status,
  unnest(array['draft', 'published', 'deprecated', 'archived']) new_status
where old_status <> new_status;
select pg_temp.create_version('private app', '3.0.' || number, old_status) from status_changes;
select case
  when allowed then pg_temp.allows(actor, statement, format('changes a version from %s to %s', old_status, new_status))
  else pg_temp.refuses(actor, statement, 'SW022', format('A version that is %s does not become %s.', old_status, new_status),
    format('cannot change a version from %s to %s', old_status, new_status), 'status')
  end
from status_changes,
  format($$ update app_versions set status = '%s' where app_id = '{private app}' and version = '3.0.%s' $$, new_status, number) statement,
  unnest(array['service']) actor;
select pg_temp.refuses(actor, $$ update app_versions set status = 'draft' where app_id = '{private app}' and version = '1.0.0' $$, 'SW022',
  'A version that is published does not become draft.', 'cannot make a published version a draft again', 'status')
from unnest(array['publisher owner', 'superadmin', 'operator']) actor;
select pg_temp.refuses('service', $$ update app_versions set status = 'lost' where app_id = '{private app}' and version = '1.0.0' $$, 'SW022',
  'A version that is published does not become lost.', 'cannot invent a status', 'status');

-- Releasing

insert into app_versions (app_id, version) values (pg_temp.id('private app')::uuid, '4.0.0');
select pg_temp.refuses('publisher owner', $$ update app_versions set status = 'published' where app_id = '{private app}' and version = '4.0.0' $$,
  'SW021', 'Version 4.0.0 has no manifest.', 'cannot release a version without a manifest', 'manifest');
update app_versions set manifest = pg_temp.manifest('4.0.0') where app_id = pg_temp.id('private app')::uuid and version = '4.0.0';
select pg_temp.refuses('publisher owner', $$ update app_versions set status = 'published' where app_id = '{private app}' and version = '4.0.0' $$,
  'SW021', 'Version 4.0.0 has no files to run or serve.', 'cannot release a version without files', 'version');
select pg_temp.add_file('private app', '4.0.0', 'config.json', 'config');
select pg_temp.refuses('publisher owner', $$ update app_versions set status = 'published' where app_id = '{private app}' and version = '4.0.0' $$,
  'SW021', 'Version 4.0.0 has no files to run or serve.', 'cannot release a version that is configuration alone', 'version');
select pg_temp.add_file('private app', '4.0.0', 'source.zip', 'source');
select pg_temp.learn('verifying', 'publisher owner', $$
  select id from begin_app_upload('{private app}', '4.0.0', 'late.js', 'dist', 'text/javascript', 4, pg_temp.checksum('late')) $$);
select pg_temp.allows('publisher owner', $$ select from start_app_upload_verification('{verifying}') $$, 'has a file verified');
select pg_temp.refuses('publisher owner', $$ update app_versions set status = 'published' where app_id = '{private app}' and version = '4.0.0' $$,
  'SW023', 'A file of version 4.0.0 is being uploaded.', 'cannot release a version while a file is being verified', 'status');
select pg_temp.allows('service', $$ select from fail_app_upload('{verifying}', 'test', 'Refused.') $$, 'refuses the file');
select pg_temp.allows('publisher admin', $$ update app_versions set status = 'published' where app_id = '{private app}' and version = '4.0.0' $$,
  'releases the version then');
select pg_temp.answers('publisher admin', $$
  select published_by = '{publisher admin}' and published_at = now() from app_versions where app_id = '{private app}' and version = '4.0.0' $$,
  'true', 'is named as who released it, and when');
select pg_temp.answers('customer member', $$ select string_agg(file_path, ',' order by file_path) from app_storage where version = '4.0.0' $$,
  'app_{private app}/4.0.0/config.json', 'sees the files of the released version, but not its source');
select pg_temp.allows('publisher admin', $$
  update app_versions set status = 'archived', status_reason = 'Broken' where app_id = '{private app}' and version = '4.0.0' $$, 'archives it');
select pg_temp.answers('customer member', $$ select count(*) from app_storage where version = '4.0.0' $$, '0', 'sees no file of it any more');

-- What is released does not change, whoever asks

select pg_temp.refuses(actor, format(statement, status, version), 'SW020',
  format(message, version, status), format('cannot %s of a version that is %s', what, status), field)
from (values ('1.0.0', 'published'), ('1.1.0', 'deprecated'), ('0.9.0', 'archived')) versions (version, status),
  unnest(array['service', 'superadmin', 'operator']) actor,
  (values
    ('change a file', $$ update app_storage set checksum = pg_temp.checksum('%1$s') where app_id = '{private app}' and version = '%2$s' $$,
      'Version %s is %s: its files cannot change. Upload a new version.', 'version'),
    ('change a file''s metadata', $$ update app_storage set metadata = '{"%1$s": 1}' where app_id = '{private app}' and version = '%2$s' $$,
      'Version %s is %s: its files cannot change. Upload a new version.', 'version'),
    ('add a file', $$ insert into app_storage (app_id, version, file_path, file_type, file_size, checksum)
      values ('{private app}', '%2$s', 'app_{private app}/%2$s/%1$s', 'dist', 1, pg_temp.checksum('%1$s')) $$,
      'Version %s is %s: its files cannot change. Upload a new version.', 'version')) attempts (what, statement, message, field);
select pg_temp.refuses(actor, format($$ update app_versions set %s where app_id = '{private app}' and version = '%s' $$, change, version),
  'SW020', format('Version %s is %s: only a draft can be changed. Upload a new version.', version, status),
  format('cannot change the %s of a version that is %s', field, status), field)
from (values ('1.0.0', 'published'), ('1.1.0', 'deprecated'), ('0.9.0', 'archived')) versions (version, status),
  unnest(array['service', 'operator']) actor,
  (values ($$manifest = manifest || '{"name": "other"}'$$, 'manifest'), ($$version = '9.9.9'$$, 'version')) changes (change, field);
select pg_temp.refuses(actor, format($$ delete from app_storage where app_id = '{private app}' and version = '%s' $$, version),
  'SW020', format('Version %s is %s: its files stay until it is archived.', version, status),
  'cannot delete the files of a version that is ' || status, 'version')
from (values ('1.0.0', 'published'), ('1.1.0', 'deprecated')) versions (version, status), unnest(array['service', 'superadmin', 'operator']) actor;
select pg_temp.refuses('service', $$ update app_storage set version = '2.0.0' where file_path = 'app_{private app}/1.0.0/dist/index.js' $$, 'SW001',
  'A file does not move to another app or version.', 'cannot move a file to another version', 'version');
select pg_temp.allows('service', $$ update app_storage set is_released = true where file_path = 'app_{private app}/2.0.0/dist/index.js' $$,
  'tries to release a single file');
select pg_temp.answers('customer member', $$ select count(*) from app_storage where file_path = 'app_{private app}/2.0.0/dist/index.js' $$,
  '0', 'does not see it: only the release of its version releases a file');
select pg_temp.allows('service', $$ delete from app_storage where app_id = '{private app}' and version = '0.9.0' $$,
  'deletes the files of an archived version', 2);
select pg_temp.allows('publisher owner', $$ delete from app_versions where app_id = '{private app}' and version = '0.9.0' $$,
  'deletes an archived version then');
select pg_temp.refuses(actor, $$ insert into app_versions (app_id, version) values ('{private app}', '0.9.0') $$, 'SW125',
  'Version 0.9.0 was published before, and its number is not given again: take another.', 'cannot begin it again', 'version')
from unnest(array['publisher owner', 'publisher admin', 'superadmin', 'service', 'operator']) actor;
select pg_temp.refuses('publisher owner', $$ select begin_app_upload('{private app}', '0.9.0', 'a.js', 'dist', 'text/javascript', 1,
  'sha256:' || repeat('0', 64)) $$, 'SW125', 'Version 0.9.0 was published before, and its number is not given again: take another.',
  'cannot upload files for it', 'version');
select pg_temp.refuses(actor, $$ insert into app_versions (app_id, version) values ('{private app}', '0.9.0') $$, '42501',
  'new row violates row-level security policy for table "app_versions"', 'is not told that there was such a version')
from unnest(array['nobody', 'outsider', 'customer owner', 'publisher member']) actor;
select pg_temp.allows('publisher owner', $$ insert into app_versions (app_id, version) values ('{private app}', '0.8.9') $$, 'begins a draft');
select pg_temp.allows('publisher owner', $$ delete from app_versions where app_id = '{private app}' and version = '0.8.9' $$, 'gives it up');
select pg_temp.allows('publisher owner', $$ insert into app_versions (app_id, version) values ('{private app}', '0.8.9') $$,
  'begins it again: it was never published');
select pg_temp.refuses(actor, $$ update app_versions set version = '0.9.0' where app_id = '{private app}' and version = '0.8.9' $$, 'SW125',
  'Version 0.9.0 was published before, and its number is not given again: take another.', 'cannot give a draft its number', 'version')
from unnest(array['service', 'operator']) actor;
select pg_temp.allows('service', $$ update app_versions set version = '0.8.8' where app_id = '{private app}' and version = '0.8.9' $$,
  'gives a draft a number that is free');
select pg_temp.refuses('publisher owner', $$ delete from app_versions where app_id = '{private app}' and version = '2.0.0' $$, '23503',
  'update or delete on table "app_versions" violates foreign key constraint "app_storage_version_fkey" on table "app_storage"',
  'cannot delete a draft that has files');
select pg_temp.refuses('service', $$ delete from app_versions where app_id = '{private app}' and version = '1.1.0' $$, 'SW022',
  'Version 1.1.0 is deprecated: archive it before it is deleted.', 'cannot delete a deprecated version', 'status');

-- Permissions follow the manifest

select set_eq(pg_temp.fill($$ select permission_type, permission_value, is_required from app_permissions where app_id = '{private app}' and version = '2.0.0' $$),
  $$ values ('storage', 'read', false) $$, 'a version has the permissions that its manifest asks for');
select pg_temp.allows('service', format($$ update app_versions set manifest = %L where app_id = '{private app}' and version = '2.0.0' $$,
  pg_temp.manifest('2.0.0', '[{"type": "api", "scope": "maps"}, {"type": "api", "scope": "maps", "required": false},
    {"type": "network", "scope": "a.example", "required": false, "description": "Weather"}]')), 'changes the manifest of a draft');
select set_eq(pg_temp.fill($$ select permission_type, permission_value, is_required, description from app_permissions
    where app_id = '{private app}' and version = '2.0.0' $$),
  $$ values ('api', 'maps', true, null), ('network', 'a.example', false, 'Weather') $$,
  'permissions follow the changed manifest: required unless it says otherwise, and of two alike the stricter one');
select pg_temp.allows('service', $$ update app_versions set manifest = null where app_id = '{private app}' and version = '2.0.0' $$, 'takes the manifest away');
select is_empty(pg_temp.fill($$ select from app_permissions where app_id = '{private app}' and version = '2.0.0' $$),
  'without a manifest there are no permissions');
select pg_temp.refuses('service', format($$ update app_versions set manifest = %L where app_id = '{private app}' and version = '2.0.0' $$,
  pg_temp.manifest('2.0.0', '[{"type": "magic", "scope": "x"}]')), '23514',
  'new row for relation "app_permissions" violates check constraint "app_permissions_permission_type"', 'cannot store a manifest that asks for magic');
select pg_temp.refuses('service', $$ insert into app_permissions (app_id, permission_type, permission_value)
  values ('{private app}', 'api', 'once'), ('{private app}', 'api', 'once') $$, '23505',
  'duplicate key value violates unique constraint "app_permissions_value_key"', 'cannot give an app the same permission twice');

select * from finish();
rollback;
