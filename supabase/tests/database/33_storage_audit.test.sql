-- Rows and objects compared, and what is done about what is found.
begin;
\ir tests.inc
select plan(28);

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
  'source takes app_storage, app_builds or app_outputs.', 'cannot repair what has no objects', 'source');
select is_empty('select * from check_storage_usage()', 'after all of it the usage adds up');

select * from finish();
rollback;
