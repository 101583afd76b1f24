-- What counts against a company's storage quota, and that it always adds up.
begin;
\ir tests.inc
select plan(98);

-- A company with an app of its own, and a customer of the private app: the publisher's usage is what files it has there.
select pg_temp.create_company('small company');
select pg_temp.create_company('other company');
select pg_temp.add_member('small company', 'nobody', 'owner');
select pg_temp.add_member('other company', 'nobody', 'owner');
select pg_temp.create_app('small app', 'small company');
update companies set storage_quota_bytes = 1000, storage_quota_objects = 3 where id = pg_temp.id('small company')::uuid;

-- The usage of a company: all, files, builds, outputs, packages, uploads; objects.
create function pg_temp.usage(company text) returns text language sql as $$
  select concat_ws(' ', used_bytes, '=', file_bytes, build_bytes, output_bytes, package_bytes, upload_bytes, '/', used_objects)
  from public.company_storage_usage(pg_temp.id(company)::uuid)
$$;
create function pg_temp.begin_small(name text, size integer) returns text language sql as $$
  select format($call$ select id from begin_app_upload('{small app}', '1.0.0', %L, 'dist', 'text/css', %s, pg_temp.checksum('x')) $call$,
    name, size)
$$;
create function pg_temp.adds_up(description text) returns text language sql as $$
  select is_empty('select * from check_storage_usage()', description || ', and the journal adds up')
$$;

select pg_temp.adds_up('the world is made');
select is(pg_temp.usage('small company'), '0 = 0 0 0 0 0 / 0', 'a company that has nothing uses nothing');

-- Uploads and files

select pg_temp.learn('a', 'nobody', pg_temp.begin_small('a.css', 600));
select is(pg_temp.usage('small company'), '600 = 0 0 0 0 600 / 1', 'what an upload is promised is in use');
select pg_temp.refuses('nobody', pg_temp.begin_small('b.css', 401), 'SW030',
  'The company''s storage quota is 1000 bytes, of which 600 are in use: 401 more do not fit.', 'is told quota, use and what was asked for',
  'file_size');
select pg_temp.allows('nobody', $$ select from start_app_upload_verification('{a}') $$, 'has it verified');
select pg_temp.allows('service', $$ select from complete_app_upload('{a}', 'text/css') $$, 'completes it');
select is(pg_temp.usage('small company'), '600 = 600 0 0 0 0 / 1', 'a completed upload is a file, and nothing else');

select pg_temp.learn('again', 'nobody', pg_temp.begin_small('a.css', 1000));
select is(pg_temp.usage('small company'), '1000 = 600 0 0 0 400 / 1', 'what takes a file''s place reserves the difference');
select pg_temp.allows('operator', $$ delete from app_storage where file_path = 'app_{small app}/1.0.0/a.css' $$, 'deletes the file meanwhile');
select is(pg_temp.usage('small company'), '1000 = 0 0 0 0 1000 / 1', 'and then the upload needs all of it');
select pg_temp.allows('operator', $$
  insert into app_storage (app_id, version, file_path, file_type, file_size, checksum)
  values ('{small app}', '1.0.0', 'app_{small app}/1.0.0/a.css', 'dist', 900, pg_temp.checksum('a')) $$, 'puts another file there');
select is(pg_temp.usage('small company'), '1000 = 900 0 0 0 100 / 1', 'and then it needs less');
select pg_temp.allows('operator', $$ update app_storage set file_size = 950 where file_path = 'app_{small app}/1.0.0/a.css' $$, 'changes it');
select is(pg_temp.usage('small company'), '1000 = 950 0 0 0 50 / 1', 'and less again');
select pg_temp.learn('smaller', 'nobody', pg_temp.begin_small('a.css', 10));
select is(pg_temp.usage('small company'), '950 = 950 0 0 0 0 / 1', 'a smaller file in its place needs nothing');
select pg_temp.allows('nobody', $$ select from start_app_upload_verification('{smaller}') $$, 'has it verified');
select pg_temp.allows('service', $$ select from complete_app_upload('{smaller}', 'text/css') $$, 'completes it');
select is(pg_temp.usage('small company'), '10 = 10 0 0 0 0 / 1', 'completed, the difference is free');

select pg_temp.learn('cancelled', 'nobody', pg_temp.begin_small('b.css', 1));
select pg_temp.learn('failed', 'nobody', pg_temp.begin_small('c.css', 2));
select is(pg_temp.usage('small company'), '13 = 10 0 0 0 3 / 3', 'objects are counted as bytes are');
select pg_temp.refuses('nobody', pg_temp.begin_small('d.css', 1), 'SW060',
  'The company''s storage quota is 3 objects, of which 3 are in use: 1 more does not fit.', 'cannot have more objects than the quota', 'file_size');
select pg_temp.allows('nobody', $$ select from cancel_app_upload('{cancelled}') $$, 'gives one up');
select pg_temp.allows('service', $$ select from fail_app_upload('{failed}', 'x', 'y') $$, 'refuses the other');
select is(pg_temp.usage('small company'), '10 = 10 0 0 0 0 / 1', 'both are free again');
select pg_temp.learn('expired', 'nobody', pg_temp.begin_small('e.css', 900));
update app_uploads set expires_at = now() - interval '1 minute' where id = pg_temp.id('expired')::uuid;
select pg_temp.allows('nobody', pg_temp.begin_small('f.css', 900), 'begins an upload in the place of one whose time is over');
select is(pg_temp.usage('small company'), '910 = 10 0 0 0 900 / 2', 'which has ended by that');
update app_uploads set status = 'verifying', verifying_until = now() - interval '1 second', expires_at = now() - interval '1 second'
where app_id = pg_temp.id('small app')::uuid and status = 'pending';
select pg_temp.allows('nobody', pg_temp.begin_small('h.css', 900), 'begins one in the place of one whose verification died');
select is(pg_temp.usage('small company'), '910 = 10 0 0 0 900 / 2', 'which has ended, too');
select pg_temp.allows('operator', $$ delete from app_uploads where app_id = '{small app}' and status = 'pending' $$, 'deletes an open upload''s row');
select is(pg_temp.usage('small company'), '10 = 10 0 0 0 0 / 1', 'and it is free');
select pg_temp.adds_up('uploads came and went');

-- Builds and outputs

select pg_temp.create_build('build', 'small app', '1.0.0', 'building');
select is(pg_temp.usage('small company'), '10 = 10 0 0 0 0 / 2', 'a build''s object counts');
select pg_temp.allows('operator', $$ update app_builds set file_size = 70, build_status = 'failed' where id = '{build}' $$, 'ends the build');
select is(pg_temp.usage('small company'), '80 = 10 70 0 0 0 / 2', 'so do its bytes');
select pg_temp.create_run('run', 'private app', 'customer company', 'running');
select pg_temp.allows('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size, output_data)
  values
    ('{run}', 'stdout', 'stdout.log', 'app-logs', 'app_{private app}/runs/{run}/stdout.0002.log', 50, '{"parts": ["x", "y"]}'),
    ('{run}', 'file', 'chart.png', 'app-storage', 'app_{private app}/runs/{run}/outputs/chart.png', 7, '{}'),
    ('{run}', 'metric', 'rows', null, null, null, '{"value": 1}') $$, 'records outputs', 3);
select is(pg_temp.usage('customer company'), '57 = 0 0 57 0 0 / 3', 'they count for the company that ran, logs in parts part by part');
select pg_temp.allows('service', $$
  update app_outputs set file_size = 60, output_path = 'app_{private app}/runs/{run}/stdout.log', output_data = '{}'
  where run_id = '{run}' and output_type = 'stdout' $$, 'ends the log');
select is(pg_temp.usage('customer company'), '67 = 0 0 67 0 0 / 2', 'and as what they become');
select pg_temp.allows('operator', $$ delete from app_outputs where run_id = '{run}' and output_type = 'file' $$, 'deletes one');
select is(pg_temp.usage('customer company'), '60 = 0 0 60 0 0 / 1', 'until they are deleted');

-- The log of a build is measured in the bucket, however the build goes on

select pg_temp.create_build('logged', 'small app', '1.0.0', 'building');
select is(pg_temp.usage('small company'), '80 = 10 70 0 0 0 / 3', 'a log that nobody measured does not count');
create function pg_temp.log_is(size integer) returns void language sql as $$
  update storage.objects set metadata = jsonb_build_object('size', size) where name = pg_temp.fill('app_{small app}/builds/{logged}/build.log')
$$;
select pg_temp.log_is(30);
select pg_temp.allows('operator', $$ update app_builds set build_status = 'pending' where id = '{logged}' $$, 'gives the build back');
select is(pg_temp.usage('small company'), '110 = 10 100 0 0 0 / 4', 'what was logged until then counts');
select pg_temp.allows('operator', $$ update app_builds set build_status = 'building' where id = '{logged}' $$, 'has it built again');
select pg_temp.log_is(50);
select pg_temp.allows('operator', $$ update app_builds set build_status = 'failed' where id = '{logged}' $$, 'ends it');
select is(pg_temp.usage('small company'), '130 = 10 120 0 0 0 / 4', 'and the log counts as it is at the end');
select pg_temp.adds_up('builds have logs');
select pg_temp.allows('operator', $$ delete from app_builds where id = '{logged}' $$, 'deletes it');
select is(pg_temp.usage('small company'), '80 = 10 70 0 0 0 / 2', 'until it is deleted, log and all');

-- Packages, wherever their content lies

select pg_temp.create_namespace('space', 'small company');
select pg_temp.create_package('lib', 'space');
select pg_temp.create_package_version('draft', 'lib', '1.0.0', 'draft');
select is(pg_temp.usage('small company'), '95 = 10 70 0 15 0 / 4', 'a version and its file count');
select pg_temp.allows('service', $$ update package_versions set storage_path = 'x/{draft}', yaml_content = null where id = '{draft}' $$, 'moves it');
select is(pg_temp.usage('small company'), '95 = 10 70 0 15 0 / 4', 'in a bucket as in a row');
select pg_temp.allows('service', $$ delete from package_files where version_id = '{draft}' $$, 'deletes the file');
select is(pg_temp.usage('small company'), '94 = 10 70 0 14 0 / 3', 'which counts no more');
select pg_temp.allows('service', $$
  insert into package_files (version_id, path, content, sha256, size) values ('{draft}', 'b', 'bb', private.sha256_hex('bb'), 2) $$, 'adds another');
select pg_temp.allows('service', $$ update package_files set content = 'b', sha256 = private.sha256_hex('b'), size = 1 where version_id = '{draft}' $$, 'changes it');
select pg_temp.allows('service', $$
  update package_versions set yaml_content = 'b', storage_path = null, sha256 = private.sha256_hex('b'), size = 1 where id = '{draft}' $$, 'changes the version');
select is(pg_temp.usage('small company'), '82 = 10 70 0 2 0 / 4', 'what is there counts');
select pg_temp.adds_up('packages came and changed');
update companies set storage_quota_objects = 10 where id = pg_temp.id('small company')::uuid;
create function pg_temp.publish(version text, size integer, actor text default '{nobody}') returns text language sql as $$
  select format($call$ select from publish_package(%s, '{space}', 'lib', %L, private.sha256_hex(repeat('x', %s)), %3$s, repeat('x', %3$s)) $call$,
    coalesce(quote_literal(actor), 'null'), version, size)
$$;
select pg_temp.refuses('service', pg_temp.publish('2.0.0', 919), 'SW030',
  'The company''s storage quota is 1000 bytes, of which 82 are in use: 919 more do not fit.', 'publishes nothing that does not fit', 'yaml');
select pg_temp.allows('service', pg_temp.publish('1.0.0', 920), 'publishes what fits in the place of a draft');
select is(pg_temp.usage('small company'), '1000 = 10 70 0 920 0 / 3', 'and then it is full');
select pg_temp.allows('service', pg_temp.publish('1.0.0', 920), 'publishes the same again as nothing');
select pg_temp.allows('service', pg_temp.publish('2.0.0', 5, null), 'brings what an operator imports');
select is(pg_temp.usage('small company'), '1005 = 10 70 0 925 0 / 4', 'which counts too');
select pg_temp.create_namespace('reserved space');
select pg_temp.create_package('featured', 'reserved space', 'public');
select pg_temp.create_package_version('nobody''s', 'featured', '1.0.0', 'draft');
select pg_temp.adds_up('what is nobody''s counts for nobody');

-- More than the quota: nothing new is run or built

select pg_temp.refuses('nobody', $$ insert into app_builds (app_id, build_version) values ('{small app}', '1.0.0') $$, 'SW113',
  'The company''s storage is full: 1005 of 1000 bytes and 4 of 10 objects are in use. Delete something, or ask for more.',
  'asks for no build', 'app_id');
select pg_temp.allows('service', $$ update packages set visibility = 'public' where id = '{lib}' $$, 'still changes what is there');
update companies set storage_quota_bytes = 1005, storage_quota_objects = 3 where id = pg_temp.id('small company')::uuid;
select pg_temp.refuses('nobody', $$ insert into app_builds (app_id, build_version) values ('{small app}', '1.0.0') $$, 'SW113',
  'The company''s storage is full: 1005 of 1005 bytes and 4 of 3 objects are in use. Delete something, or ask for more.',
  'has too many objects for one, too', 'app_id');
update companies set storage_quota_objects = 4 where id = pg_temp.id('small company')::uuid;
select pg_temp.allows('nobody', $$ insert into app_builds (app_id, build_version) values ('{small app}', '1.0.0') $$, 'asks for one when it has just what it may');

-- The customer may have 100 bytes, and has a run that goes on.
update companies set storage_quota_bytes = 1048676 where id = pg_temp.id('customer company')::uuid;
create function pg_temp.request(options text default '') returns text language sql as $$
  select format($call$ select from request_app_run('{private app}', '{customer company}'%s) $call$, options)
$$;
select pg_temp.allows('customer member', pg_temp.request(), 'asks for a run while there is room');
select pg_temp.allows('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size)
  values ('{run}', 'file', 'large', 'app-storage', 'app_{private app}/runs/{run}/outputs/large', 1048617) $$, 'keeps what a run puts out, whatever the quota says');
select pg_temp.refuses('customer member', call, 'SW113',
  'The company''s storage is full: 1048677 of 1048676 bytes and 2 of 1000000 objects are in use. Delete something, or ask for more.', 'cannot ' || what, 'company_id')
from (values
  (pg_temp.request(), 'ask for a run'), (pg_temp.request($$, idempotency_key => 'new'$$), 'ask for one with a key'),
  ($$ select from request_app_runs('[{"app_id": "{private app}", "company_id": "{customer company}"}]') $$, 'ask for many')) calls (call, what);
select pg_temp.allows('operator', $$ update app_runs set status = 'failed' where id = '{run}' $$, 'ends the run');
select pg_temp.refuses('customer member', $$ select from retry_app_run('{run}') $$, 'SW113',
  'The company''s storage is full: 1048677 of 1048676 bytes and 2 of 1000000 objects are in use. Delete something, or ask for more.', 'cannot retry one', 'company_id');
select pg_temp.learn('schedule', 'customer owner', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '@hourly') returning id $$);
update app_cron_schedules set next_run_at = '2021-03-01 10:00Z' where id = pg_temp.id('schedule')::uuid;
select is((select skip_reason from private.enqueue_due_app_runs(1000, '2021-03-01 10:00:10Z') where schedule_id = pg_temp.id('schedule')::uuid),
  'storage_full', 'schedules skip, and say why');
select pg_temp.allows('operator', $$ delete from app_outputs where run_id = '{run}' and output_name = 'large' $$, 'makes room');
select pg_temp.allows('customer member', pg_temp.request(), 'asks again');
select pg_temp.allows('superadmin', $$ update companies set storage_quota_bytes = 59 where id = '{customer company}' $$, 'lowers the quota');
select pg_temp.refuses('customer member', pg_temp.request(), 'SW113',
  'The company''s storage is full: 60 of 59 bytes and 1 of 1000000 objects are in use. Delete something, or ask for more.', 'is refused at once', 'company_id');
select pg_temp.allows('superadmin', $$ update companies set storage_quota_bytes = 60 where id = '{customer company}' $$, 'raises it');
select pg_temp.allows('customer member', pg_temp.request(), 'is allowed at once');
-- Small ones are noticed before long: one entry of the journal in 64 is looked at, and others write entries meanwhile.
insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size)
select pg_temp.id('run')::uuid, 'file', 'small ' || i, 'app-storage', pg_temp.fill('app_{private app}/runs/{run}/outputs/') || i, 1
from generate_series(1, 2) i;
create function pg_temp.trickle() returns void language plpgsql as $$
begin
  for i in 1 .. 5000 loop
    exit when (select queue_credit = 0 from private.company_lanes where company_id = pg_temp.id('customer company')::uuid);
    update app_outputs set file_size = file_size + 1 where run_id = pg_temp.id('run')::uuid and output_name = 'small 1';
  end loop;
end;
$$;
select pg_temp.trickle();
select ok((select count(*) <= 2 from private.storage_changes where company_id = pg_temp.id('customer company')::uuid), 'the journal is folded on the way');
select pg_temp.refuses('customer member', pg_temp.request(), 'SW113', (
  select format('The company''s storage is full: %s of 60 bytes and 3 of 1000000 objects are in use. Delete something, or ask for more.', sum(file_size))
  from app_outputs where run_id = pg_temp.id('run')::uuid), 'is refused for many small ones', 'company_id');

-- An app with another publisher

update companies set storage_quota_bytes = 2000, storage_quota_objects = 9 where id = pg_temp.id('small company')::uuid;
select pg_temp.learn('moved', 'nobody', pg_temp.begin_small('g.css', 5));
select pg_temp.learn('late', 'nobody', pg_temp.begin_small('late.css', 100));
select pg_temp.learn('dead', 'nobody', pg_temp.begin_small('dead.css', 100));
update app_uploads set expires_at = now() - interval '1 minute' where id in (pg_temp.id('late')::uuid, pg_temp.id('dead')::uuid);
update app_uploads set status = 'verifying', verifying_until = now() - interval '1 second' where id = pg_temp.id('dead')::uuid;
create function pg_temp.give_app(description text, code text, message text) returns text language sql as $$
  select pg_temp.refuses('nobody', $call$ update applications set publisher_company_id = '{other company}' where id = '{small app}' $call$,
    code, message, description, 'publisher_company_id')
$$;
update companies set storage_quota_bytes = 84, storage_quota_objects = 3 where id = pg_temp.id('other company')::uuid;
select pg_temp.give_app('cannot give the app to a company whose quota it does not fit', 'SW030',
  'The company''s storage quota is 84 bytes, of which 0 are in use: 85 more do not fit.');
update companies set storage_quota_bytes = 85, storage_quota_objects = 2 where id = pg_temp.id('other company')::uuid;
select pg_temp.give_app('nor with more objects than it may have', 'SW060',
  'The company''s storage quota is 2 objects, of which 0 are in use: 3 more do not fit.');
select is(pg_temp.usage('other company'), '0 = 0 0 0 0 0 / 0', 'and none of it counts there');
update companies set storage_quota_bytes = 85, storage_quota_objects = 3 where id = pg_temp.id('other company')::uuid;
select pg_temp.allows('nobody', $$ update applications set publisher_company_id = '{other company}' where id = '{small app}' $$,
  'gives the app to a company that has just enough room');
select is(pg_temp.usage('small company') || ', ' || pg_temp.usage('other company'), '925 = 0 0 0 925 0 / 2, 85 = 10 70 0 0 5 / 3',
  'its files, builds and uploads go along');
select is((select string_agg(status, ' ' order by file_name) from app_uploads where id in (pg_temp.id('late')::uuid, pg_temp.id('dead')::uuid)),
  'expired expired', 'but not those whose time is over');
select pg_temp.adds_up('builds, outputs and publishers changed');

-- What is noted is folded, checked and repaired

select private.fold_storage_changes(pg_temp.id('other company')::uuid);
select is(pg_temp.usage('other company'), '85 = 10 70 0 0 5 / 3', 'folding changes nothing');
select is_empty(format('select from private.storage_changes where company_id = %L', pg_temp.id('other company')), 'but the journal''s length');
insert into private.storage_changes (company_id, kind, bytes, objects) values (pg_temp.id('other company')::uuid, 'files', 3, 1);
select is((select concat_ws(' ', kind, noted_bytes, actual_bytes, noted_objects, actual_objects) from check_storage_usage()),
  'files 13 10 2 1', 'what does not add up is found');
select is(repair_storage_usage(), 1, 'and put right');
select is(repair_storage_usage(), 0, 'once');
select is(pg_temp.usage('other company'), '85 = 10 70 0 0 5 / 3', 'to what the rows say');

select * from finish();
rollback;
