-- What counts against a company's storage quota, and that it always adds up.
begin;
\ir tests.inc
select plan(45);

-- A company with an app of its own, and a customer of the private app: the publisher's usage is what files it has there.
select pg_temp.create_company('small company');
select pg_temp.create_company('other company');
select pg_temp.add_member('small company', 'nobody', 'owner');
select pg_temp.add_member('other company', 'nobody', 'owner');
select pg_temp.create_app('small app', 'small company');
update companies set storage_quota_bytes = 1000, storage_quota_objects = 3 where id = pg_temp.id('small company')::uuid;

-- The usage of a company: all, files, builds, outputs, uploads; objects.
create function pg_temp.usage(company text) returns text language sql as $$
  select concat_ws(' ', used_bytes, '=', file_bytes, build_bytes, output_bytes, upload_bytes, '/', used_objects)
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
select is(pg_temp.usage('small company'), '0 = 0 0 0 0 / 0', 'a company that has nothing uses nothing');

-- Uploads and files

select pg_temp.learn('a', 'nobody', pg_temp.begin_small('a.css', 600));
select is(pg_temp.usage('small company'), '600 = 0 0 0 600 / 1', 'what an upload is promised is in use');
select pg_temp.refuses('nobody', pg_temp.begin_small('b.css', 401), 'SW030',
  'The company''s storage quota is 1000 bytes, of which 600 are in use: 401 more do not fit.', 'is told quota, use and what was asked for',
  'file_size');
select pg_temp.allows('nobody', $$ select from start_app_upload_verification('{a}') $$, 'has it verified');
select pg_temp.allows('service', $$ select from complete_app_upload('{a}', 'text/css') $$, 'completes it');
select is(pg_temp.usage('small company'), '600 = 600 0 0 0 / 1', 'a completed upload is a file, and nothing else');

select pg_temp.learn('again', 'nobody', pg_temp.begin_small('a.css', 1000));
select is(pg_temp.usage('small company'), '1000 = 600 0 0 400 / 1', 'what takes a file''s place reserves the difference');
select pg_temp.allows('operator', $$ delete from app_storage where file_path = 'app_{small app}/1.0.0/a.css' $$, 'deletes the file meanwhile');
select is(pg_temp.usage('small company'), '1000 = 0 0 0 1000 / 1', 'and then the upload needs all of it');
select pg_temp.allows('operator', $$
  insert into app_storage (app_id, version, file_path, file_type, file_size, checksum)
  values ('{small app}', '1.0.0', 'app_{small app}/1.0.0/a.css', 'dist', 900, pg_temp.checksum('a')) $$, 'puts another file there');
select is(pg_temp.usage('small company'), '1000 = 900 0 0 100 / 1', 'and then it needs less');
select pg_temp.allows('operator', $$ update app_storage set file_size = 950 where file_path = 'app_{small app}/1.0.0/a.css' $$, 'changes it');
select is(pg_temp.usage('small company'), '1000 = 950 0 0 50 / 1', 'and less again');
select pg_temp.learn('smaller', 'nobody', pg_temp.begin_small('a.css', 10));
select is(pg_temp.usage('small company'), '950 = 950 0 0 0 / 1', 'a smaller file in its place needs nothing');
select pg_temp.allows('nobody', $$ select from start_app_upload_verification('{smaller}') $$, 'has it verified');
select pg_temp.allows('service', $$ select from complete_app_upload('{smaller}', 'text/css') $$, 'completes it');
select is(pg_temp.usage('small company'), '10 = 10 0 0 0 / 1', 'completed, the difference is free');

select pg_temp.learn('cancelled', 'nobody', pg_temp.begin_small('b.css', 1));
select pg_temp.learn('failed', 'nobody', pg_temp.begin_small('c.css', 2));
select is(pg_temp.usage('small company'), '13 = 10 0 0 3 / 3', 'objects are counted as bytes are');
select pg_temp.refuses('nobody', pg_temp.begin_small('d.css', 1), 'SW060',
  'The company''s storage quota is 3 objects, of which 3 are in use: 1 more does not fit.', 'cannot have more objects than the quota', 'file_size');
select pg_temp.allows('nobody', $$ select from cancel_app_upload('{cancelled}') $$, 'gives one up');
select pg_temp.allows('service', $$ select from fail_app_upload('{failed}', 'x', 'y') $$, 'refuses the other');
select is(pg_temp.usage('small company'), '10 = 10 0 0 0 / 1', 'both are free again');
select pg_temp.learn('expired', 'nobody', pg_temp.begin_small('e.css', 900));
update app_uploads set expires_at = now() - interval '1 minute' where id = pg_temp.id('expired')::uuid;
select pg_temp.allows('nobody', pg_temp.begin_small('f.css', 900), 'begins an upload in the place of one whose time is over');
select is(pg_temp.usage('small company'), '910 = 10 0 0 900 / 2', 'which has ended by that');
select pg_temp.allows('operator', $$ delete from app_uploads where app_id = '{small app}' and status = 'pending' $$, 'deletes an open upload''s row');
select is(pg_temp.usage('small company'), '10 = 10 0 0 0 / 1', 'and it is free');
select pg_temp.adds_up('uploads came and went');

-- Builds and outputs

select pg_temp.create_build('build', 'small app', '1.0.0', 'building');
select is(pg_temp.usage('small company'), '10 = 10 0 0 0 / 2', 'a build''s object counts');
select pg_temp.allows('operator', $$ update app_builds set file_size = 70, build_status = 'failed' where id = '{build}' $$, 'ends the build');
select is(pg_temp.usage('small company'), '80 = 10 70 0 0 / 2', 'so do its bytes');
select pg_temp.create_run('run', 'private app', 'customer company', 'running');
select pg_temp.allows('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size, output_data)
  values
    ('{run}', 'stdout', 'stdout.log', 'app-logs', 'app_{private app}/runs/{run}/stdout.0002.log', 50, '{"parts": ["x", "y"]}'),
    ('{run}', 'file', 'chart.png', 'app-storage', 'app_{private app}/runs/{run}/outputs/chart.png', 7, '{}'),
    ('{run}', 'metric', 'rows', null, null, null, '{"value": 1}') $$, 'records outputs', 3);
select is(pg_temp.usage('customer company'), '57 = 0 0 57 0 / 3', 'they count for the company that ran, logs in parts part by part');
select pg_temp.allows('service', $$
  update app_outputs set file_size = 60, output_path = 'app_{private app}/runs/{run}/stdout.log', output_data = '{}'
  where run_id = '{run}' and output_type = 'stdout' $$, 'ends the log');
select is(pg_temp.usage('customer company'), '67 = 0 0 67 0 / 2', 'and as what they become');
select pg_temp.allows('operator', $$ delete from app_outputs where run_id = '{run}' and output_type = 'file' $$, 'deletes one');
select is(pg_temp.usage('customer company'), '60 = 0 0 60 0 / 1', 'until they are deleted');

-- An app with another publisher

select pg_temp.learn('moved', 'nobody', pg_temp.begin_small('g.css', 5));
select pg_temp.allows('nobody', $$ update applications set publisher_company_id = '{other company}' where id = '{small app}' $$, 'gives the app to another company');
select is(pg_temp.usage('small company') || ', ' || pg_temp.usage('other company'), '0 = 0 0 0 0 / 0, 85 = 10 70 0 5 / 3',
  'its files, builds and uploads go along');
select pg_temp.adds_up('builds, outputs and publishers changed');

-- What is noted is folded, checked and repaired

select private.fold_storage_changes(pg_temp.id('other company')::uuid);
select is(pg_temp.usage('other company'), '85 = 10 70 0 5 / 3', 'folding changes nothing');
select is_empty(format('select from private.storage_changes where company_id = %L', pg_temp.id('other company')), 'but the journal''s length');
insert into private.storage_changes (company_id, kind, bytes, objects) values (pg_temp.id('other company')::uuid, 'files', 3, 1);
select is((select concat_ws(' ', kind, noted_bytes, actual_bytes, noted_objects, actual_objects) from check_storage_usage()),
  'files 13 10 2 1', 'what does not add up is found');
select is(repair_storage_usage(), 1, 'and put right');
select is(pg_temp.usage('other company'), '85 = 10 70 0 5 / 3', 'to what the rows say');

select * from finish();
rollback;
