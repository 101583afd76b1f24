-- Whatever removes a row queues its object, and nothing that is needed is deleted.
begin;
\ir tests.inc
select plan(57);

-- What else the database holds is not claimed here.
update private.object_deletions set delete_after = 'infinity';

-- The queue, below an app's folder.
create function pg_temp.queued() returns text language sql as $$
  select coalesce(string_agg(distinct replace(bucket_id || ':' || name, 'app_' || pg_temp.id('private app') || '/', ''), ' '), 'nothing')
  from private.object_deletions where delete_after <= now()
$$;
create function pg_temp.forget() returns text language sql as $$ delete from private.object_deletions where delete_after <= now() returning null $$;
create function pg_temp.lose(name text) returns void language plpgsql as $$
begin
  set local storage.allow_delete_query = 'true';
  delete from storage.objects o where o.name = pg_temp.fill(lose.name);
end;
$$;
create function pg_temp.begin_upload(name text) returns text language sql as $$
  select format($call$ select id from begin_app_upload('{private app}', '2.0.0', %L, 'dist', 'text/css', 1, pg_temp.checksum('x')) $call$, name)
$$;

select is(pg_temp.queued(), 'nothing', 'nothing is queued to begin with');

-- Files

select pg_temp.allows('operator', $$ delete from app_storage where file_path = 'app_{private app}/2.0.0/dist/index.js' $$, 'deletes a draft''s file');
select is(pg_temp.queued(), 'app-storage:2.0.0/dist/index.js', 'its object is queued');
select pg_temp.add_file('private app', '2.0.0', 'dist/new.js', 'dist');
select pg_temp.allows('operator', $$
  insert into app_storage (app_id, version, file_path, file_type, file_size, checksum)
  values ('{private app}', '2.0.0', 'app_{private app}/2.0.0/dist/index.js', 'dist', 1, pg_temp.checksum('a')) $$, 'puts a file there again');
select is(pg_temp.queued(), 'nothing', 'whose object stays');
select pg_temp.allows('operator', $$ update app_storage set file_path = 'app_{private app}/2.0.0/dist/moved.js'
  where file_path = 'app_{private app}/2.0.0/dist/new.js' $$, 'gives a file another name');
select is(pg_temp.queued(), 'app-storage:2.0.0/dist/new.js', 'the object of the old name is queued');
select pg_temp.forget();

-- Builds

select pg_temp.create_build('build', 'private app', '1.0.0', 'success');
select pg_temp.allows('operator', $$ delete from app_builds where id = '{build}' $$, 'deletes a build');
select is(pg_temp.queued(), pg_temp.fill('app-logs:builds/{build}/build.log app-storage:builds/{build}/build.tar.gz'), 'its package and its log are queued');
select pg_temp.forget();

-- Outputs

select pg_temp.create_run('run', 'private app', 'customer company', 'running');
select pg_temp.allows('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size, output_data)
  values
    ('{run}', 'stdout', 'stdout.log', 'app-logs', 'app_{private app}/runs/{run}/stdout.0002.log', 50,
      '{"parts": ["app_{private app}/runs/{run}/stdout.0001.log", "app_{private app}/runs/{run}/stdout.0002.log"]}'),
    ('{run}', 'file', 'a', 'app-storage', 'app_{private app}/runs/{run}/outputs/a', 7, '{}'),
    ('{run}', 'metric', 'rows', null, null, null, '{"value": 1}') $$, 'records outputs', 3);
select pg_temp.allows('service', $$
  update app_outputs set output_path = 'app_{private app}/runs/{run}/stdout.log', output_data = '{}' where run_id = '{run}' and output_type = 'stdout' $$,
  'puts a log together');
select is(pg_temp.queued(), pg_temp.fill('app-logs:runs/{run}/stdout.0001.log app-logs:runs/{run}/stdout.0002.log'), 'its parts are queued');
select is_empty('select * from claim_object_deletions()', 'as long as the run goes on nothing of it is deleted');
select isnt_empty($$ select from private.object_deletions where delete_after = now() + interval '10 minutes' $$, 'but looked at again later');
update app_runs set status = 'success' where id = pg_temp.id('run')::uuid;
update private.object_deletions set delete_after = now() where delete_after < 'infinity';
select is((select count(*) from claim_object_deletions()), 2::bigint, 'when it is over they are claimed');
select pg_temp.allows('operator', $$ delete from app_outputs where run_id = '{run}' $$, 'deletes the run''s outputs', 3);
select is(pg_temp.queued(),
  pg_temp.fill('app-logs:runs/{run}/stdout.0001.log app-logs:runs/{run}/stdout.0002.log app-logs:runs/{run}/stdout.log app-storage:runs/{run}/outputs/a'),
  'their objects are queued too');
select pg_temp.forget();

-- A run names its log: retention takes the row, and the run forgets it

select pg_temp.create_run('logged', 'private app', 'customer company', 'running');
update app_runs set logs_path = 'app_' || app_id || '/runs/' || id || '/stdout.log' where id = pg_temp.id('logged')::uuid;
insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size)
select id, 'stdout', 'stdout.log', 'app-logs', logs_path, 1 from app_runs where id = pg_temp.id('logged')::uuid;
update app_runs set status = 'success' where id = pg_temp.id('logged')::uuid;
select pg_temp.allows('operator', $$ delete from app_outputs where run_id = '{logged}' $$, 'deletes the log''s row');
select is((select logs_path from app_runs where id = pg_temp.id('logged')::uuid), null, 'the run names it no more');
select is((select string_agg(name, ' ') from claim_object_deletions()), pg_temp.fill('app_{private app}/runs/{logged}/stdout.log'), 'so that it is deleted');
select pg_temp.forget();
select pg_temp.create_run('alone', 'private app', 'customer company', 'running');
update app_runs set logs_path = 'app_' || app_id || '/runs/' || id || '/mine.log' where id = pg_temp.id('alone')::uuid;
update app_runs set status = 'success' where id = pg_temp.id('alone')::uuid;
select private.delete_object('app-logs', pg_temp.fill('app_{private app}/runs/{alone}/mine.log'));
select is_empty('select * from claim_object_deletions()', 'a log that only its run names is kept for it');
select pg_temp.allows('operator', $$ delete from app_runs where id = '{alone}' $$, 'deletes the run');
select is(pg_temp.queued(), pg_temp.fill('app-logs:runs/{alone}/mine.log'), 'and then it goes');
select pg_temp.forget();

-- Packages

select pg_temp.create_namespace('space', 'publisher company');
select pg_temp.create_package('lib', 'space');
select pg_temp.create_package_version('draft', 'lib', '1.0.0', 'draft');
update package_versions set storage_path = pg_temp.fill('yaml/{draft}') where id = pg_temp.id('draft')::uuid;
update package_files set storage_path = pg_temp.fill('proto/{draft}') where version_id = pg_temp.id('draft')::uuid;
update package_versions set storage_path = pg_temp.fill('moved/{draft}') where id = pg_temp.id('draft')::uuid;
update package_files set storage_path = pg_temp.fill('moved-proto/{draft}') where version_id = pg_temp.id('draft')::uuid;
select is(pg_temp.queued(), pg_temp.fill('packages:proto/{draft} packages:yaml/{draft}'), 'what content moved away from is queued');
select private.delete_object('packages', pg_temp.fill(name)) from unnest(array['moved/{draft}', 'moved-proto/{draft}']) name;
select is((select string_agg(bucket_id || ':' || name, ' ' order by name) from claim_object_deletions()), pg_temp.fill('packages:proto/{draft} packages:yaml/{draft}'),
  'and what it lies in is not deleted');
select pg_temp.forget();
select pg_temp.allows('operator', $$ delete from package_versions where id = '{draft}' $$, 'deletes a draft in SQL');
select is(pg_temp.queued(), pg_temp.fill('packages:moved-proto/{draft} packages:moved/{draft}'), 'its objects are queued');
select is((select count(*) from claim_object_deletions()), 2::bigint, 'and deleted');
select pg_temp.forget();

-- Uploads

select pg_temp.learn('upload', 'publisher owner', pg_temp.begin_upload('up.css'));
select is(pg_temp.queued(), 'nothing', 'an upload that begins queues nothing');
select pg_temp.allows('publisher owner', $$ select from cancel_app_upload('{upload}') $$, 'gives it up');
select is(pg_temp.queued(), pg_temp.fill('app-storage:2.0.0/up.css app-storage:staging/{upload} app-storage:staging/{upload}.verifying'),
  'then what it may have left anywhere is queued');
select is((select written_until from private.object_deletions where name like '%/staging/' || pg_temp.id('upload')),
  (select expires_at + interval '3 hours' from app_uploads where id = pg_temp.id('upload')::uuid), 'its signed URL may be used once more');
select pg_temp.learn('later', 'publisher owner', pg_temp.begin_upload('up.css'));
select is(pg_temp.queued(), pg_temp.fill('app-storage:staging/{upload} app-storage:staging/{upload}.verifying'), 'another upload of the file takes its name back');
select pg_temp.allows('publisher owner', $$ select from start_app_upload_verification('{later}') $$, 'has it verified');
select pg_temp.allows('service', $$ select from complete_app_upload('{later}', 'text/css') $$, 'completes it');
select is(pg_temp.queued(), (
  select string_agg('app-storage:staging/' || pg_temp.id(name) || ending, ' ' order by pg_temp.id(name), ending)
  from unnest(array['upload', 'later']) name, unnest(array['', '.verifying']) ending), 'of a completed one the file stays');
select pg_temp.forget();

-- Claims

select private.delete_object('app-storage', pg_temp.fill(name)) from unnest(array[
  'app_{private app}/2.0.0/gone', 'app_{private app}/1.0.0/dist/index.js', 'app_{private app}/staging/{later}']) name;
select pg_temp.refuses('service', 'select * from claim_object_deletions(0)', 'SW001', 'max_objects takes 1 to 1000.', 'cannot claim none', 'max_objects');
select pg_temp.refuses('service', $$ select * from claim_object_deletions(1, '1 year') $$, 'SW001', 'lease takes 1 second to 1 day.',
  'cannot claim for a year', 'lease');
select pg_temp.refuses(actor, 'select ' || call, '42501', 'permission denied for function ' || split_part(call, '(', 1), 'cannot call ' || call)
from unnest(array['anonymous', 'customer owner', 'superadmin']) actor, unnest(array['claim_object_deletions()', 'object_deletion_backlog()']) call;
select pg_temp.learn('claim', 'service', 'select max(claim_id::text) from claim_object_deletions()');
select is((select string_agg(right(name, 4), ' ' order by name) from private.object_deletions where claim_id = pg_temp.id('claim')::uuid),
  pg_temp.fill('gone ') || right(pg_temp.id('later'), 4), 'what a row names is not claimed');
select is_empty(format('select from private.object_deletions where name = %L', pg_temp.fill('app_{private app}/1.0.0/dist/index.js')),
  'and queued no more');
select is_empty('select * from claim_object_deletions()', 'what is claimed is not claimed twice');
select pg_temp.refuses('publisher owner', pg_temp.begin_upload('gone'), 'SW061',
  'What was under this name is being deleted: try again in a minute.', 'cannot begin an upload of a name that is being deleted', 'file_name');
update private.object_deletions set claimed_until = now() where claim_id = pg_temp.id('claim')::uuid;
select isnt_empty('select * from claim_object_deletions()', 'a claim that ran out is another''s');
select is(finish_object_deletions(pg_temp.id('claim')::uuid, 'app-storage', array[pg_temp.fill('app_{private app}/2.0.0/gone')]), 0,
  'and no more to be finished by the first');
update private.object_deletions set written_until = now() + interval '1 hour' where name = pg_temp.fill('app_{private app}/staging/{later}');
select pg_temp.add_object('app-storage', 'app_{private app}/2.0.0/gone');
select is((select sum(finish_object_deletions(claim_id, bucket_id, array[name])) from private.object_deletions where claimed_until > now() and name like '%/gone'),
  0::bigint, 'what Storage kept is not finished');
select private.delete_object('app-storage', pg_temp.fill('app_{private app}/2.0.0/fresh'));
update private.object_deletions set claimed_until = now() where claim_id is not null;
select is((select right(name, 5) from claim_object_deletions(1)), 'fresh', 'what was never tried comes before what was');
delete from private.object_deletions where name like '%/fresh';
select pg_temp.lose('app_{private app}/2.0.0/gone');
select isnt_empty('select * from claim_object_deletions()', 'which is tried again');
select is((select sum(finish_object_deletions(claim_id, bucket_id, array[name])) from private.object_deletions where claimed_until > now()), 2::bigint,
  'what is deleted is finished');
select is((select string_agg(name || ' ' || (delete_after = now() + interval '1 hour') || ' ' || (claim_id is null), ', ')
  from private.object_deletions where delete_after < 'infinity'), pg_temp.fill('app_{private app}/staging/{later} true true'),
  'what may be written once more is deleted once more');
select pg_temp.allows('publisher owner', pg_temp.begin_upload('gone'), 'begins an upload of the name that is free again');
select is((select concat_ws(' ', due, claimed, oldest_due is null) from object_deletion_backlog()), '0 0 t', 'the backlog is told');

select * from finish();
rollback;
