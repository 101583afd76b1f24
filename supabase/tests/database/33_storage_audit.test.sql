-- Rows and objects compared, and what is done about what is found.
begin;
\ir tests.inc
select plan(66);

update storage.objects set created_at = now() - interval '2 days';
create function pg_temp.found(bucket text) returns text language sql as $$
  select coalesce(string_agg(replace(name, 'app_' || pg_temp.id('private app') || '/', '') || ': ' || problem, ', ' order by name), 'nothing')
  from audit_storage_objects(bucket, pg_temp.fill('app_{private app}/'), 10000, '1 hour')
  where name like pg_temp.fill('app_{private app}/%') and problem is not null
$$;
create function pg_temp.found_rows(source text) returns text language sql as $$
  select coalesce(string_agg(
    concat_ws(' ', replace(name, 'app_' || pg_temp.id('private app') || '/', '') || ':', problem, row_size, object_size, case when kept then 'kept' end),
    ', ' order by name), 'nothing')
  from audit_storage_rows(source, max_rows => 10000)
  where name like pg_temp.fill('app_{private app}/%') and problem is not null
$$;
create function pg_temp.add_old_object(bucket text, template text, size integer default 1) returns void language sql as $$
  insert into storage.objects (bucket_id, name, metadata, created_at)
  values (bucket, pg_temp.fill(template), jsonb_build_object('size', size), now() - interval '2 hours')
$$;
update storage.objects o set metadata = jsonb_build_object('size', f.file_size) from app_storage f where f.file_path = o.name;

select is(pg_temp.found('app-storage') || ', ' || pg_temp.found('app-logs') || ', ' || pg_temp.found_rows('app_storage'),
  'nothing, nothing, nothing', 'the world is in order');

-- Objects without rows

select pg_temp.create_run('run', 'private app', 'customer company', 'running');
select pg_temp.create_run('over', 'private app', 'customer company', 'success');
select pg_temp.create_build('build', 'private app', '1.0.0', 'building');
update app_runs set logs_path = 'app_' || app_id || '/runs/' || id || '/mine.log' where id = pg_temp.id('run')::uuid;
select pg_temp.learn('upload', 'publisher owner', $$
  select id from begin_app_upload('{private app}', '2.0.0', 'up.css', 'dist', 'text/css', 1, pg_temp.checksum('x')) $$);
select pg_temp.add_old_object('app-storage', name) from unnest(array[
  'app_{private app}/1.0.0/orphan', 'app_{private app}/2.0.0/up.css', 'app_{private app}/staging/{upload}', 'app_{private app}/staging/{upload}.verifying',
  'app_{private app}/staging/none', 'app_{private app}/runs/{run}/outputs/a', 'app_{private app}/runs/{over}/outputs/a',
  'app_{private app}/builds/{build}/part']) name;
select pg_temp.add_old_object('app-logs', name) from unnest(array[
  'app_{private app}/runs/{run}/stdout.0001.log', 'app_{private app}/runs/{over}/stdout.log', 'app_{private app}/builds/{over}/build.log']) name;
select pg_temp.add_object('app-storage', 'app_{private app}/1.0.0/young');
select is(pg_temp.found('app-storage'), pg_temp.fill(
  '1.0.0/orphan: object_without_row, runs/{over}/outputs/a: object_without_row, staging/none: object_without_row'),
  'objects that no row names are found, but none that is young or under way');
select is(pg_temp.found('app-logs'),
  (select string_agg(name || ': object_without_row', ', ' order by name) from unnest(array[
    pg_temp.fill('builds/{over}/build.log'), pg_temp.fill('runs/{over}/stdout.log')]) name), 'in the other bucket too');
select is((select count(*) from audit_storage_objects('app-storage', pg_temp.fill('app_{private app}/'), 2)), 2::bigint, 'a page has so many objects');
select is((select min(name collate "C") from audit_storage_objects('app-storage', pg_temp.fill('app_{private app}/1.0.0/orphan'), 1)),
  pg_temp.fill('app_{private app}/1.0.0/source.zip'), 'and begins behind a name');
select is(queue_orphans('app-storage', array[
    pg_temp.fill('app_{private app}/1.0.0/orphan'), pg_temp.fill('app_{private app}/1.0.0/source.zip'), pg_temp.fill('app_{private app}/1.0.0/young'),
    pg_temp.fill('app_{private app}/staging/{upload}')], '1 hour'), 1, 'of what is asked for, what is an orphan is queued');
select is(pg_temp.found('app-storage') like '%orphan%', false, 'and told no more');
update app_runs set status = 'success' where id = pg_temp.id('run')::uuid;
select is(pg_temp.found('app-storage') like pg_temp.fill('%runs/{run}/outputs/a: object_without_row%'), true, 'what a finished run left is an orphan');
select pg_temp.add_old_object('app-logs', 'app_{private app}/runs/{run}/mine.log');
select is(pg_temp.found('app-logs') like '%mine.log%', false, 'but not the log that it names');

-- Rows without objects, and of another size

create function pg_temp.lose(name text) returns void language plpgsql as $$
begin
  set local storage.allow_delete_query = 'true';
  delete from storage.objects o where o.name = pg_temp.fill(lose.name);
end;
$$;
select pg_temp.lose('app_{private app}/' || name) from unnest(array[
  '2.0.0/dist/index.js', '1.0.0/dist/index.js', '0.9.0/dist/index.js']) name;
update storage.objects set metadata = '{"size": 5}' where name = pg_temp.fill('app_{private app}/2.0.0/source.zip');
select is(pg_temp.found_rows('app_storage'),
  '0.9.0/dist/index.js: row_without_object 13, 1.0.0/dist/index.js: row_without_object 13 kept, '
  '2.0.0/dist/index.js: row_without_object 13, 2.0.0/source.zip: size_mismatch 10 5', 'files whose objects are missing or another are found');
select pg_temp.learn('again', 'publisher owner', $$
  select id from begin_app_upload('{private app}', '2.0.0', 'dist/index.js', 'dist', 'text/css', 1, pg_temp.checksum('x')) $$);
select is(pg_temp.found_rows('app_storage') like '%2.0.0/dist/index.js%', false, 'but not what an upload is about to replace');
select pg_temp.allows('publisher owner', $$ select from cancel_app_upload('{again}') $$, 'gives it up');
create function pg_temp.repair(source text, path text) returns text language sql as $$
  select repair_storage_row(source, id, problem) from audit_storage_rows(source, max_rows => 10000) where name = pg_temp.fill(path)
$$;
select is(pg_temp.repair('app_storage', 'app_{private app}/2.0.0/dist/index.js'), 'removed', 'a draft''s file is removed');
select is(pg_temp.repair('app_storage', 'app_{private app}/2.0.0/source.zip'), 'removed', 'also one of another size');
select isnt_empty($$ select from private.object_deletions where name = pg_temp.fill('app_{private app}/2.0.0/source.zip') $$, 'with its object');
select is(pg_temp.repair('app_storage', 'app_{private app}/0.9.0/dist/index.js'), 'removed', 'so is an archived version''s');
select is(pg_temp.repair('app_storage', 'app_{private app}/1.0.0/dist/index.js'), 'kept', 'a published version''s is not');
select is(pg_temp.found_rows('app_storage'), '1.0.0/dist/index.js: row_without_object 13 kept', 'and is found for as long as it is missing');
select is(repair_storage_row('app_storage', gen_random_uuid(), 'row_without_object'), 'gone', 'what is gone is gone');

-- Builds and outputs

update app_builds set file_size = 3, build_status = 'success' where id = pg_temp.id('build')::uuid;
select is(pg_temp.found_rows('app_builds'), 'nothing', 'a build whose size nobody told has none that could be another');
select pg_temp.lose('app_{private app}/builds/{build}/build.tar.gz');
select is(pg_temp.found_rows('app_builds'), pg_temp.fill('builds/{build}/build.tar.gz: row_without_object 3'), 'a build without its package is found');
select is(pg_temp.repair('app_builds', 'app_{private app}/builds/{build}/build.tar.gz'), 'removed', 'and removed');
insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size, output_data)
select id, type, type, bucket, 'app_' || app_id || '/runs/' || id || '/' || name, 4, '{"kept": true}'
from app_runs, (values ('stdout', 'app-logs', 'stdout.log'), ('file', 'app-storage', 'outputs/a')) o (type, bucket, name)
where id = pg_temp.id('over')::uuid;
select pg_temp.lose('app_{private app}/runs/{over}/stdout.log');
select is(pg_temp.found_rows('app_outputs'), pg_temp.fill(
  'runs/{over}/outputs/a: size_mismatch 4 1, runs/{over}/stdout.log: row_without_object 4'), 'outputs are compared too');
select is(pg_temp.repair('app_outputs', 'app_{private app}/runs/{over}/outputs/a'), 'corrected', 'an output''s size is what its object has');
select is(pg_temp.repair('app_outputs', 'app_{private app}/runs/{over}/stdout.log'), 'marked', 'one without an object is marked');
select is((select concat_ws(' ', file_size, output_path is null, output_data) from app_outputs where run_id = pg_temp.id('over')::uuid and output_type = 'stdout'),
  pg_temp.fill('t {"kept": true, "lost": "app_{private app}/runs/{over}/stdout.log"}'), 'as lost');
select pg_temp.refuses('service', $$ select repair_storage_row('companies', gen_random_uuid(), 'x') $$, 'SW001',
  'source takes app_storage, app_builds, app_build_logs, app_outputs, package_versions or package_files.', 'cannot repair what has no objects', 'source');
-- Logs in parts: all of them are looked for

insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size, output_data)
select id, 'stderr', 'stderr.log', 'app-logs', folder || '3', 30, jsonb_build_object('parts', jsonb_build_array(folder || '1', folder || '2', folder || '3'), 'truncated', false)
from app_runs, lateral (select 'app_' || app_id || '/runs/' || id || '/stderr.' as folder) f where id = pg_temp.id('over')::uuid;
select pg_temp.add_old_object('app-logs', 'app_{private app}/runs/{over}/stderr.' || part, 10) from generate_series(1, 3) part;
select is(pg_temp.found_rows('app_outputs'), 'nothing', 'a log whose parts are all there is in order');
update storage.objects set metadata = '{"size": 11}' where name = pg_temp.fill('app_{private app}/runs/{over}/stderr.2');
select is(pg_temp.found_rows('app_outputs'), pg_temp.fill('runs/{over}/stderr.3: size_mismatch 30 31'), 'its size is that of all');
select is(pg_temp.repair('app_outputs', 'app_{private app}/runs/{over}/stderr.3'), 'corrected', 'it is what they have');
select pg_temp.lose('app_{private app}/runs/{over}/stderr.1');
select is(pg_temp.found_rows('app_outputs'), pg_temp.fill('runs/{over}/stderr.3: row_without_object 31 21'), 'one that is missing is found');
select is(pg_temp.repair('app_outputs', 'app_{private app}/runs/{over}/stderr.3'), 'marked', 'it is marked');
select is((select concat_ws(' ', file_size, output_path, output_data) from app_outputs where run_id = pg_temp.id('over')::uuid and output_type = 'stderr'),
  pg_temp.fill('21 app_{private app}/runs/{over}/stderr.3 {"lost": ["app_{private app}/runs/{over}/stderr.1"], "parts": '
    '["app_{private app}/runs/{over}/stderr.2", "app_{private app}/runs/{over}/stderr.3"], "truncated": false}'), 'and what is left is kept');
select pg_temp.lose('app_{private app}/runs/{over}/stderr.3');
select is(pg_temp.repair('app_outputs', 'app_{private app}/runs/{over}/stderr.3'), 'marked', 'one that loses another part later is marked again');
select is((select concat_ws(' ', file_size, output_path, output_data) from app_outputs where run_id = pg_temp.id('over')::uuid and output_type = 'stderr'),
  pg_temp.fill('11 app_{private app}/runs/{over}/stderr.2 {"lost": ["app_{private app}/runs/{over}/stderr.1", '
    '"app_{private app}/runs/{over}/stderr.3"], "parts": ["app_{private app}/runs/{over}/stderr.2"], "truncated": false}'), 'and names all that is lost');
select is(pg_temp.found_rows('app_outputs'), 'nothing', 'after which it is in order');
select is_empty($$ select from private.object_deletions where name like '%/stderr._' and name not similar to '%(1|3)' $$, 'in the bucket too');

-- Logs of builds

select pg_temp.create_build('logged', 'private app', '1.0.0', 'building');
update storage.objects set metadata = '{"size": 7}' where name = pg_temp.fill('app_{private app}/builds/{logged}/build.log');
select is(pg_temp.found_rows('app_build_logs'), 'nothing', 'a log that grows has no size');
update app_builds set build_status = 'failed' where id = pg_temp.id('logged')::uuid;
update storage.objects set metadata = '{"size": 8}' where name = pg_temp.fill('app_{private app}/builds/{logged}/build.log');
select is(pg_temp.found_rows('app_build_logs'), pg_temp.fill('builds/{logged}/build.log: size_mismatch 7 8'), 'one that was written after the end is found');
select is(pg_temp.repair('app_build_logs', 'app_{private app}/builds/{logged}/build.log'), 'corrected', 'its size is noted');
select pg_temp.lose('app_{private app}/builds/{logged}/build.log');
select is(pg_temp.found_rows('app_build_logs'), pg_temp.fill('builds/{logged}/build.log: row_without_object 8'), 'one that is missing is found');
select is(pg_temp.repair('app_build_logs', 'app_{private app}/builds/{logged}/build.log'), 'marked', 'and has no size any more');
select is((select build_logs_size from app_builds where id = pg_temp.id('logged')::uuid), null, 'which says that there is none');
select is(pg_temp.found_rows('app_build_logs'), 'nothing', 'and is told no more');
select pg_temp.add_old_object('app-logs', 'app_{private app}/builds/{logged}/build.log', 9);
select is(pg_temp.found_rows('app_build_logs'), pg_temp.fill('builds/{logged}/build.log: size_mismatch 9'), 'a log that came after the end is found');
select is(pg_temp.repair('app_build_logs', 'app_{private app}/builds/{logged}/build.log'), 'corrected', 'and counted');
update app_outputs set file_size = null where run_id = pg_temp.id('over')::uuid and output_type = 'file';
select is(pg_temp.found_rows('app_outputs'), pg_temp.fill('runs/{over}/outputs/a: size_mismatch 1'), 'so is an output whose size nobody told');
select is(pg_temp.repair('app_outputs', 'app_{private app}/runs/{over}/outputs/a'), 'corrected', 'and counted');

-- Packages

select pg_temp.create_namespace('space', 'publisher company');
select pg_temp.create_package('lib', 'space');
create function pg_temp.store_version(new_name text, new_version text, status text default 'draft') returns void language plpgsql as $$
begin
  perform pg_temp.create_package_version(new_name, 'lib', new_version, status);
  update package_versions set storage_path = pg_temp.id(new_name) || '/yaml', yaml_content = null where id = pg_temp.id(new_name)::uuid;
  update package_files set storage_path = pg_temp.id(new_name) || '/proto', content = null where version_id = pg_temp.id(new_name)::uuid;
  insert into storage.objects (bucket_id, name, metadata, created_at) values
    ('packages', pg_temp.id(new_name) || '/yaml', '{"size": 14}', now() - interval '2 hours'),
    ('packages', pg_temp.id(new_name) || '/proto', '{"size": 1}', now() - interval '2 hours');
end;
$$;
create function pg_temp.found_packages() returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', (select world.name from world where value = split_part(f.name, '/', 1)) || '/' || split_part(f.name, '/', 2) || ':',
    problem, row_size, object_size, case when kept then 'kept' end), ', ' order by f.name), 'nothing')
  from (
    select * from audit_storage_rows('package_versions', max_rows => 10000)
    union all select * from audit_storage_rows('package_files', max_rows => 10000)) f
  where problem is not null and exists (select from world where value = split_part(f.name, '/', 1))
$$;
create function pg_temp.repair_package(source text, path text) returns text language sql as $$
  select repair_storage_row(source, id, problem) from audit_storage_rows(source, max_rows => 10000) where name = pg_temp.fill(path)
$$;
select pg_temp.store_version('draft', '2.0.0'), pg_temp.store_version('other draft', '3.0.0'), pg_temp.store_version('released', '1.0.0', 'published');
select is(pg_temp.found_packages(), 'nothing', 'packages are in order');
select is((select checksum from audit_storage_rows('package_files', max_rows => 10000) where name = pg_temp.fill('{released}/proto')), pg_temp.checksum('a'),
  'their checksums are told as those of files');
select pg_temp.add_old_object('packages', '{released}/left');
select is((select string_agg(name, ' ') from audit_storage_objects('packages', pg_temp.fill('{released}'), 3, '1 hour') where problem is not null
  and name like pg_temp.fill('{released}%')), pg_temp.fill('{released}/left'), 'an object that no package names is found');
select pg_temp.lose('{released}/yaml'), pg_temp.lose('{other draft}/proto');
update storage.objects set metadata = '{"size": 2}' where name in (pg_temp.fill('{released}/proto'), pg_temp.fill('{draft}/yaml'));
select is((select string_agg(part, ', ' order by part) from unnest(string_to_array(pg_temp.found_packages(), ', ')) part),
  'draft/yaml: size_mismatch 14 2, other draft/proto: row_without_object 1, released/proto: size_mismatch 1 2 kept, released/yaml: row_without_object 14 kept',
  'content that is missing or another is found');
select is(pg_temp.repair_package('package_versions', '{released}/yaml'), 'kept', 'what was published is not taken away');
select is(pg_temp.repair_package('package_files', '{released}/proto'), 'kept', 'nor are its files');
select is(pg_temp.repair_package('package_versions', '{draft}/yaml'), 'removed', 'a draft is');
select is(pg_temp.repair_package('package_files', '{other draft}/proto'), 'removed', 'with one of its files');
select is((select string_agg(version, ' ') from package_versions where package_id = pg_temp.id('lib')::uuid), '1.0.0', 'as a whole');
update package_versions set yaml_content = 'version: 1.0.0' where id = pg_temp.id('released')::uuid;
update package_files set content = 'a' where version_id = pg_temp.id('released')::uuid;
select is(pg_temp.repair_package('package_versions', '{released}/yaml') || ', ' || pg_temp.repair_package('package_files', '{released}/proto'),
  'corrected, corrected', 'what the row has too lies there from then on');
select is(pg_temp.found_packages(), 'nothing', 'and all is well');

-- What is all right by now is left alone

select pg_temp.add_file('private app', '2.0.0', 'fine.js', 'dist');
select pg_temp.learn('fine', 'operator', $$ select id from app_storage where file_path = 'app_{private app}/2.0.0/fine.js' $$);
select is(repair_storage_row('app_storage', pg_temp.id('fine')::uuid, problem, checksum), 'settled', 'a file is not removed for ' || coalesce(problem, 'nothing'))
from (values ('row_without_object', null), ('size_mismatch', null), ('checksum_mismatch', pg_temp.checksum('another')), (null, null)) p (problem, checksum);
select pg_temp.refuses('service', $$ select repair_storage_row('app_storage', '{fine}', 'checksum_mismatch') $$, 'SW001', 'A checksum that differs is named.',
  'says which checksum was wrong', 'checksum');
select is(repair_storage_row('app_storage', pg_temp.id('fine')::uuid, 'checksum_mismatch', pg_temp.checksum('fine.js')), 'removed', 'one with the checksum that was wrong is');
select is_empty('select * from check_storage_usage()', 'after all of it the usage adds up');

select * from finish();
rollback;
