-- app_storage: what a row may say, and that a direct insert is all it takes.
begin;
\ir tests.inc
select plan(87);

-- A row that the service inserts, with some columns replaced.
create function pg_temp.insert_file(overrides jsonb) returns text language sql as $$
  select format(
    'insert into app_storage (%s) values (%s)', string_agg(format('%I', key), ', '),
    string_agg(case jsonb_typeof(value) when 'object' then quote_literal(value) else quote_nullable(value #>> '{}') end, ', '))
  from jsonb_each(jsonb_build_object(
    'app_id', '{private app}', 'version', '2.0.0', 'file_path', 'app_{private app}/2.0.0/new.js', 'file_type', 'dist', 'file_size', 10,
    'checksum', pg_temp.checksum('new')) || overrides)
$$;

-- A direct insert works, and creates the draft

select pg_temp.allows('service', pg_temp.insert_file('{}'), 'inserts a file into a draft');
select pg_temp.allows('service', pg_temp.insert_file('{"version": "5.0.0", "file_path": "app_{private app}/5.0.0/new.js"}'),
  'inserts the first file of a version');
select pg_temp.answers('publisher member', $$ select status from app_versions where app_id = '{private app}' and version = '5.0.0' $$,
  'draft', 'sees the draft that the file created');
select pg_temp.allows('superadmin', pg_temp.insert_file('{"version": "5.1.0", "file_path": "app_{private app}/5.1.0/new.js"}'),
  'inserts the first file of a version');
select pg_temp.answers('superadmin',
  $$ select status || ' ' || (created_by = '{superadmin}') from app_versions where app_id = '{private app}' and version = '5.1.0' $$,
  'draft true', 'is named as who created the draft');
select pg_temp.answers('service',
  $$ select (metadata, content_type, is_released, created_at) = ('{}', 'application/octet-stream', false, now())
     from app_storage where file_path = 'app_{private app}/2.0.0/new.js' $$, 'true', 'gets the defaults of what was left out');
select pg_temp.allows('service', pg_temp.insert_file(jsonb_build_object('file_type', type, 'file_path', 'app_{private app}/2.0.0/t-' || type)),
  'inserts a file of type ' || type)
from unnest(array['manifest', 'source', 'build', 'asset', 'dist', 'config']) type;
select pg_temp.allows('service', pg_temp.insert_file(jsonb_build_object('file_size', size, 'file_path', 'app_{private app}/2.0.0/s-' || size)),
  format('inserts a file of %s bytes', size))
from unnest(array[0, 104857600]) size;
update app_storage set updated_at = now() - interval '1 day' where file_path = pg_temp.fill('app_{private app}/2.0.0/new.js');
select pg_temp.answers('service', $$
  update app_storage set metadata = '{"a": 1}' where file_path = 'app_{private app}/2.0.0/new.js' returning updated_at = now() $$,
  'true', 'changes a file, and updated_at with it');

-- Constraints

select pg_temp.refuses('service', pg_temp.insert_file(overrides), '23514',
  format('new row for relation "app_storage" violates check constraint "%s"', constraint_name), 'cannot insert ' || overrides::text)
from (values
  ('{"file_type": "binary"}'::jsonb, 'app_storage_file_type'),
  ('{"file_type": ""}', 'app_storage_file_type'),
  ('{"file_size": -1}', 'app_storage_file_size_range'),
  ('{"file_size": 104857601}', 'app_storage_file_size_range'),
  ('{"checksum": "sha256:abc"}', 'app_storage_checksum_format'),
  (jsonb_build_object('checksum', upper(pg_temp.checksum('new'))), 'app_storage_checksum_format'),
  (jsonb_build_object('checksum', 'sha256:' || upper(encode(sha256('new'), 'hex'))), 'app_storage_checksum_format'),
  (jsonb_build_object('checksum', encode(sha256('new'), 'hex')), 'app_storage_checksum_format'),
  (jsonb_build_object('checksum', pg_temp.checksum('new') || '0'), 'app_storage_checksum_format'),
  (jsonb_build_object('checksum', 'md5:' || md5('new')), 'app_storage_checksum_format')) bad (overrides, constraint_name);
select pg_temp.refuses('service', replace(pg_temp.insert_file('{"metadata": "REPLACED"}'), 'REPLACED', '[]'), '23514',
  'new row for relation "app_storage" violates check constraint "app_storage_metadata_object"', 'cannot insert metadata that is a list');
select pg_temp.refuses('service', pg_temp.insert_file(jsonb_build_object(name, null)), '23502',
  format('null value in column "%s" of relation "app_storage" violates not-null constraint', name), 'cannot insert a file without ' || name)
from unnest(array['file_path', 'file_type', 'file_size', 'checksum']) name;
select pg_temp.refuses('service', pg_temp.insert_file('{"version": null}'), '23502',
  'null value in column "version" of relation "app_storage" violates not-null constraint', 'cannot insert a file without version');
select pg_temp.refuses('service', pg_temp.insert_file('{"version": "latest", "file_path": "app_{private app}/latest/new.js"}'), '23503',
  'insert or update on table "app_storage" violates foreign key constraint "app_storage_version_fkey"',
  'cannot insert a file of a version that is no semantic version');

-- Paths

select pg_temp.refuses('service', pg_temp.insert_file(jsonb_build_object('file_path', path)), '23514',
  'new row for relation "app_storage" violates check constraint "app_storage_file_path_format"', 'cannot insert a file at ' || what)
from (values
  ('2.0.0/new.js', 'a path outside of the app'),
  ('app_{public app}/2.0.0/new.js', 'a path of another app'),
  ('app_{private app}', 'the app''s folder itself'),
  ('app_{private app}/', 'no path'),
  ('/app_{private app}/2.0.0/new.js', 'an absolute path'),
  ('app_{private app}/2.0.0/../1.0.0/new.js', 'a path that climbs'),
  ('app_{private app}/2.0.0/..', 'a path that ends by climbing'),
  ('app_{private app}/2.0.0/./new.js', 'a path with a dot'),
  ('app_{private app}/2.0.0//new.js', 'a path with an empty part'),
  ('app_{private app}/2.0.0/', 'a path that ends in a slash'),
  ('app_{private app}/2.0.0/a\b', 'a path with a backslash'),
  ('app_{private app}/2.0.0/a:b', 'a path with a colon'),
  ('app_{private app}/2.0.0/a' || chr(10) || 'b', 'a path with a line break'),
  ('app_{private app}/2.0.0/a' || chr(7) || 'b', 'a path with a control character'),
  ('app_{private app}/2.0.0/ü.js', 'a path with a letter beyond ASCII'),
  ('app_{private app}/2.0.0/a%2e', 'a path with a per cent sign'),
  ('app_{private app}/2.0.0/a?b', 'a path with a question mark'),
  ('app_{private app}/2.0.0/ a', 'a path with a space in front'),
  ('app_{private app}/2.0.0/a ', 'a path with a space behind'),
  ('app_{private app}/2.0.0/' || repeat('a', 512), 'a path that is too long'),
  ('app_{private app}/staging/new.js', 'the place of staged uploads'),
  ('app_{private app}/builds/new.js', 'the place of builds'),
  ('app_{private app}/runs/new.js', 'the place of runs')) bad (path, what);
select pg_temp.allows('service', pg_temp.insert_file(jsonb_build_object('file_path', 'app_{private app}/2.0.0/' || path)), 'inserts a file at ' || path)
from unnest(array['a b.js', 'deep/er/and/deeper/file.tar.gz', '.hidden', '...', 'a..b', 'a+b=c,d(e)@f_g-h', 'UPPER']) path;
select pg_temp.allows('service', pg_temp.insert_file('{"file_path": "app_{private app}/manifest.json"}'),
  'inserts a file in the app''s own folder');

-- A path is taken once, whatever its case

select pg_temp.refuses('service', pg_temp.insert_file('{}'), '23505',
  'duplicate key value violates unique constraint "app_storage_file_path_key"', 'cannot insert a file twice');
select pg_temp.refuses('service', pg_temp.insert_file('{"file_path": "app_{private app}/2.0.0/NEW.js"}'), '23505',
  'duplicate key value violates unique constraint "app_storage_file_path_folded_key"', 'cannot insert a name that differs only in case');

-- A file and its app

select pg_temp.refuses('service', $$ update app_storage set app_id = '{public app}' where file_path = 'app_{private app}/2.0.0/new.js' $$, 'SW001',
  'A file does not move to another app or version.', 'cannot move a file to another app', 'version');
select pg_temp.refuses('service', $$ update app_storage set file_path = 'app_{public app}/1.0.0/x' where file_path = 'app_{private app}/2.0.0/new.js' $$,
  '23514', 'new row for relation "app_storage" violates check constraint "app_storage_file_path_format"', 'cannot rename a file into another app');

-- The rule about paths by itself

select is(private.is_safe_path(path), safe, format('%L is %s', path, case when safe then 'a safe path' else 'no safe path' end))
from (values
  ('a', true), ('a/b', true), (repeat('a', 512), true), ('', false), (repeat('a', 513), false), ('.', false), ('..', false), ('/', false),
  ('a/', false), ('/a', false), ('a//b', false), ('a/../b', false), ('../a', false), ('a/ b', false), ('a b', true), (' ', false),
  ('~/a', false), ('a/..b', true), ('$(a)', false)) paths (path, safe);
select is(private.is_safe_path(null), null, 'no path is neither safe nor unsafe');

select * from finish();
rollback;
