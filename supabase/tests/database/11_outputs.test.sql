-- Outputs: whose they are, where they may lie, and what they must have.
begin;
\ir tests.inc
select plan(37);

select pg_temp.create_run('run', 'private app', 'customer company', 'running');
select pg_temp.create_run('other run', 'private app', 'customer company', 'running');

-- Whose they are

select pg_temp.answers('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_data) values ('{run}', 'result', 'result', '{"rows": 3}')
  returning company_id = '{customer company}' $$, 'true', 'stores a result, which is the company''s of the run');
select pg_temp.answers('service', $$
  insert into app_outputs (run_id, company_id, output_type, output_name, output_data)
  values ('{run}', '{outsider company}', 'metric', 'rows', '3') returning company_id = '{customer company}' $$, 'true',
  'cannot give a result to another company');
select pg_temp.answers('service', $$
  update app_outputs set company_id = '{outsider company}' where run_id = '{run}' and output_type = 'metric' returning company_id = '{customer company}' $$,
  'true', 'cannot move a result to another company');
select pg_temp.answers('superadmin', $$
  insert into app_outputs (run_id, output_type, output_name, output_data) values ('{run}', 'error', 'trace', '"x"')
  returning company_id = '{customer company}' $$, 'true', 'stores an output');
select pg_temp.answers('customer member', $$ select count(*) from app_outputs where run_id = '{run}' $$, '3', 'sees the outputs of the run');
select pg_temp.allows('service', format($$
  insert into app_outputs (run_id, output_type, output_name, output_data) values ('{run}', '%s', 'each', '1') $$, type), 'stores an output of type ' || type)
from unnest(array['stdout', 'stderr', 'file', 'metric', 'result', 'error']) type;

-- Where they lie

select pg_temp.allows('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size)
  values ('{run}', 'file', 'chart.svg', 'app-storage', 'app_{private app}/runs/{run}/outputs/chart.svg', 10) $$, 'stores a file in app-storage');
select pg_temp.allows('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size)
  values ('{run}', 'stdout', 'stdout.log', 'app-logs', 'app_{private app}/runs/{run}/stdout.log', 0) $$, 'stores a log in app-logs');
select pg_temp.add_object('app-storage', 'app_{private app}/runs/{run}/outputs/chart.svg');
select pg_temp.add_object('app-storage', 'app_{private app}/runs/{run}/outputs/other.svg');
select pg_temp.answers('customer member',
  $$ select string_agg(storage.filename(name), ',') from storage.objects where bucket_id = 'app-storage' and name ^@ 'app_{private app}/runs/' $$,
  'chart.svg', 'sees the object of the output, and none that no output names');
select pg_temp.finds_nothing(actor,
  $$ select from storage.objects where bucket_id = 'app-storage' and name ^@ 'app_{private app}/runs/' $$, 'sees no file of the customer''s run')
from unnest(array['outsider', 'publisher owner']) actor;
select pg_temp.refuses('service', format($$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path) values ('{run}', 'file', 'a', 'app-logs', '%s') $$, path),
  'SW001', 'output_path must be in the folder of the run.', 'cannot store an output at ' || what, 'output_path')
from (values ('app_{private app}/runs/{other run}/outputs/a', 'the place of another run'), ('app_{public app}/runs/{run}/a', 'the place of another app'),
  ('app_{private app}/1.0.0/dist/index.js', 'the place of the app''s files'), ('app_{private app}/runs/{run}', 'the run''s folder itself'),
  ('a', 'anywhere else')) bad (path, what);
select pg_temp.refuses('service', format($$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path) values ('{run}', 'file', 'a', 'app-logs', '%s') $$, path),
  '23514', 'new row for relation "app_outputs" violates check constraint "app_outputs_output_path_format"', 'cannot store an output at ' || path)
from unnest(array['app_{private app}/runs/{run}/../../x', 'app_{private app}/runs/{run}/', 'app_{private app}/runs/{run}/a//b']) path;
select pg_temp.refuses('service', $$
  update app_outputs set output_path = 'app_{private app}/runs/{other run}/x' where run_id = '{run}' and output_name = 'chart.svg' $$,
  'SW001', 'output_path must be in the folder of the run.', 'cannot move an output into another run''s folder', 'output_path');

-- What they must have

select pg_temp.refuses('service', format($$ insert into app_outputs (run_id, %s) values ('{run}', %s) $$, names, vals), '23514',
  format('new row for relation "app_outputs" violates check constraint "app_outputs_%s"', constraint_name), 'cannot store ' || what)
from (values
  ('output_type, output_name, output_data', $$'video', 'a', '1'$$, 'output_type', 'an output of an unknown type'),
  ('output_type, output_name, output_data', $$'file', '', '1'$$, 'output_name_length', 'an output without a name'),
  ('output_type, output_name, output_data', $$'file', repeat('a', 513), '1'$$, 'output_name_length', 'an output with too long a name'),
  ('output_type, output_name', $$'file', 'a'$$, 'has_content', 'an output that has nothing'),
  ('output_type, output_name, output_data, file_size', $$'file', 'a', '1', -1$$, 'file_size_range', 'an output of negative size'),
  ('output_type, output_name, output_bucket, output_path', $$'file', 'a', 'attic', 'app_{private app}/runs/{run}/a'$$, 'output_bucket',
    'an output in another bucket'),
  ('output_type, output_name, output_path', $$'file', 'a', 'app_{private app}/runs/{run}/a'$$, 'bucket_of_path', 'a path without its bucket'),
  ('output_type, output_name, output_bucket, output_data', $$'file', 'a', 'app-logs', '1'$$, 'bucket_of_path', 'a bucket without a path'))
  bad (names, vals, constraint_name, what);
select pg_temp.refuses('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_data) values ('{run}', 'result', 'result', '1') $$, '23505',
  'duplicate key value violates unique constraint "app_outputs_run_id_output_key"', 'cannot store an output twice');
select pg_temp.refuses('service', $$
  insert into app_outputs (run_id, output_type, output_name, output_data) values (gen_random_uuid(), 'result', 'result', '1') $$, 'SW002',
  'There is no such run.', 'cannot store an output of a run that does not exist', 'run_id');

-- They go with their run

select pg_temp.allows('service', $$ delete from app_runs where id = '{run}' $$, 'deletes the run');
select is_empty(pg_temp.fill($$ select from app_outputs where run_id = '{run}' $$), 'the outputs are gone with it');

select * from finish();
rollback;
