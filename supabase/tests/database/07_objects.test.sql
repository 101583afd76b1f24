-- The buckets, and objects whose names nobody planned for.
begin;
\ir tests.inc
select plan(31);

-- Buckets

select results_eq($$
  select id, name, public, file_size_limit from storage.buckets where id in ('app-storage', 'app-logs') order by id
$$, $$ values ('app-logs', 'app-logs', false, 52428800::bigint), ('app-storage', 'app-storage', false, 104857600::bigint) $$,
  'both buckets are private and have their size limits');
select set_eq($$ select unnest(allowed_mime_types) from storage.buckets where id = 'app-storage' $$, array[
  'application/json', 'application/javascript', 'text/javascript', 'text/html', 'text/css', 'application/zip', 'application/x-tar',
  'application/gzip', 'application/octet-stream', 'image/png', 'image/jpeg', 'image/svg+xml'], 'app-storage takes exactly these types');
select set_eq($$ select unnest(allowed_mime_types) from storage.buckets where id = 'app-logs' $$, array[
  'text/plain', 'application/json', 'text/csv', 'application/xml', 'text/xml'], 'app-logs takes exactly these types');
select pg_temp.finds_nothing(actor, format(statement, bucket), format('cannot %s the bucket %s', verb, bucket))
from unnest(array['anonymous', 'publisher owner', 'superadmin']) actor, unnest(array['app-storage']) bucket,
  (values ('see', $$ select from storage.buckets where id = '%s' $$),
    ('open', $$ update storage.buckets set public = true where id = '%s' $$)) verbs (verb, statement);
select pg_temp.refuses('publisher owner', $$ insert into storage.buckets (id, name) values ('{slug}', '{slug}') $$, '42501',
  'new row violates row-level security policy for table "buckets"', 'cannot create a bucket')
from pg_temp.remember('slug', pg_temp.unique_slug('bucket'));

-- Names that look like something else: they are nobody's, and reading past them raises nothing

select pg_temp.create_run('run', 'private app', 'customer company', 'success');
select pg_temp.create_build('build', 'private app', '1.0.0', 'success');
create temp table crafted (bucket text, template text, name text) on commit drop;
insert into crafted (bucket, template) values
  ('app-logs', 'app_'), ('app-logs', 'app_/runs/'), ('app-logs', '/'), ('app-logs', '{run}'), ('app-logs', 'app_x/runs/y/z'),
  ('app-logs', 'app_{private app}/runs/not-a-uuid/stdout.log'),
  ('app-logs', 'app_{private app}/runs/{run}'),
  ('app-logs', 'app_{private app}/runs/{run}x/stdout.log'),
  ('app-logs', 'app_{private app}/runs/x{run}/stdout.log'),
  ('app-logs', 'app_{private app}/runs//{run}/stdout.log'),
  ('app-logs', 'x/app_{private app}/runs/{run}/stdout.log'),
  ('app-logs', 'app_{private app}/x/runs/{run}/stdout.log'),
  ('app-logs', 'app_{private app}//runs/{run}/stdout.log'),
  ('app-logs', 'APP_{private app}/runs/{run}/stdout.log'),
  ('app-logs', 'app_{outsider app}/runs/{run}/stdout.log'),
  ('app-logs', 'app_{private app}/runs/------------------------------------/stdout.log'),
  ('app-logs', 'app_{private app}/runs/' || repeat('f', 36) || '/stdout.log'),
  ('app-logs', 'app_{private app}/runs/' || chr(10) || '{run}/stdout.log'),
  ('app-logs', 'app_{private app}/builds/{build}/other.log'),
  ('app-storage', 'app_{private app}'), ('app-storage', 'app_{private app}/1.0.0/dist/index.js/more'),
  ('app-storage', 'app_{private app}/1.0.0/DIST/index.js'), ('app-storage', '%'), ('app-storage', 'app_{private app}/%'),
  ('app-storage', 'app_{private app}/builds/{build}/other.tar.gz'),
  ('app-storage', 'app_{private app}/staging/{run}'), ('app-storage', 'app_{private app}/staging/x/y');
update crafted set name = pg_temp.fill(template);
insert into storage.objects (bucket_id, name) select bucket, name from crafted;
-- The log's and the build's own objects, to know that these people see anything.
select pg_temp.add_object('app-logs', 'app_{private app}/runs/{run}/stdout.log');
select pg_temp.add_object('app-logs', 'app_{private app}/runs/{run}/outputs/deep/er/file.csv');

grant select on crafted to public;
select pg_temp.answers(actor, $$
  select coalesce(string_agg(o.bucket_id || ' ' || o.name, ', '), 'none')
  from storage.objects o join crafted c on (c.bucket, c.name) = (o.bucket_id, o.name) $$,
  'none', 'sees no object whose name is not exactly that of a row')
from unnest(array['anonymous', 'nobody', 'outsider', 'customer member', 'customer owner', 'publisher member', 'publisher owner']) actor;
select pg_temp.answers(actor, $$
  select count(*) = (select count(*) from crafted)
  from storage.objects o join crafted c on (c.bucket, c.name) = (o.bucket_id, o.name) $$, 'true', 'sees them all')
from unnest(array['superadmin', 'service']) actor;
select pg_temp.answers('customer member',
  $$ select count(*) from storage.objects where bucket_id = 'app-logs' and name ^@ 'app_{private app}/runs/{run}/' $$, '2',
  'sees the logs and outputs of the run');
select pg_temp.answers('customer member',
  $$ select count(*) from storage.objects where bucket_id = 'app-storage' and name ^@ 'app_{private app}/' $$, '3',
  'sees the released files of the app and its build, and nothing else of it');

-- Everything that a user sees in the buckets is what rows describe

select pg_temp.answers(actor, $$
  select coalesce(string_agg(name, ', ' order by name), 'none') from storage.objects
  where bucket_id = 'app-storage' and name not in (
    select file_path from app_storage union all select build_path from app_builds where build_path is not null) $$,
  'none', 'sees no object of app-storage without seeing its row')
from unnest(array['outsider', 'customer member', 'publisher owner']) actor;
select pg_temp.answers(actor, $$
  select coalesce(string_agg(file_path, ', ' order by file_path), 'none') from app_storage
  where file_path not in (select name from storage.objects where bucket_id = 'app-storage') and starts_with(file_path, 'app_{private app}/') $$,
  'none', 'sees the object of every file that a row shows')
from unnest(array['customer member', 'publisher member']) actor;

-- Revocation

select pg_temp.allows('operator', $$ delete from company_members where user_id = '{customer member}' $$, 'removes a member of the customer');
select pg_temp.finds_nothing('customer member', $$ select from storage.objects $$, 'sees no object any more');
select pg_temp.allows('operator', $$ update app_versions set status = 'archived' where app_id = '{private app}' and version = '1.0.0' $$,
  'archives the version');
select pg_temp.answers('customer owner',
  $$ select string_agg(substr(name, 42), ', ') from storage.objects where bucket_id = 'app-storage' and name ^@ 'app_{private app}/' $$,
  '1.1.0/dist/index.js', 'sees only the other version''s file then, and no build of the archived one');

-- Deleting by hand

select pg_temp.refuses('superadmin', $$ delete from storage.objects where name ^@ 'app_{private app}/' $$, '42501',
  'Direct deletion from storage tables is not allowed. Use the Storage API instead.', 'cannot delete an object behind the Storage server''s back');

select * from finish();
rollback;
