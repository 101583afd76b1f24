-- Builds: their life, and what of them a customer sees.
begin;
\ir tests.inc
select plan(61);

-- Asking for one

select pg_temp.learn('build', 'publisher admin', $$
  insert into app_builds (app_id, build_version, build_config) values ('{private app}', '2.0.0', '{"target": "node"}') returning id $$);
select pg_temp.answers('publisher admin', $$
  select build_status || ' ' || (requested_by = '{publisher admin}') || ' ' || (completed_at is null) || ' ' || is_released
  from app_builds where id = '{build}' $$, 'pending true true false', 'requests a build, which is pending');
select pg_temp.refuses('service', format($$
  insert into app_builds (app_id, build_version, build_status) values ('{private app}', '2.0.0', '%s') $$, status), 'SW022',
  'A build begins as pending.', 'cannot insert a build that is ' || status, 'build_status')
from unnest(array['building', 'success', 'failed', 'cancelled']) status;
select pg_temp.refuses('publisher admin', $$ insert into app_builds (app_id, build_version) values ('{private app}', '9.9.9') $$, '23503',
  'insert or update on table "app_builds" violates foreign key constraint "app_builds_build_version_fkey"',
  'cannot request a build of a version that does not exist');

-- Every change of status

create temp table status_changes on commit drop as
select old_status, new_status, 'build ' || translate(row_number() over (order by old_status, new_status)::text, '0123456789', 'abcdefghij') as build,
  (old_status, new_status) in (('pending', 'building'), ('pending', 'cancelled'), ('pending', 'failed'), ('building', 'pending'),
    ('building', 'success'), ('building', 'failed'), ('building', 'cancelled')) as allowed
from unnest(array['pending', 'building', 'success', 'failed', 'cancelled']) old_status,
  unnest(array['pending', 'building', 'success', 'failed', 'cancelled']) new_status
where old_status <> new_status;
select pg_temp.create_build(build, 'private app', '1.0.0', old_status) from status_changes;
select case
  when allowed then pg_temp.allows('service', statement, format('changes a build from %s to %s', old_status, new_status))
  else pg_temp.refuses('service', statement, 'SW022', format('A build that is %s does not become %s.', old_status, new_status),
    format('cannot change a build from %s to %s', old_status, new_status), 'build_status')
  end
from status_changes, format($$ update app_builds set build_status = '%s' where id = '{%s}' $$, new_status, build) statement;
select is(
  (select string_agg(distinct build_status, ',' order by build_status) from app_builds b join status_changes on b.id = pg_temp.id(build)::uuid
   where allowed and completed_at is not null),
  'cancelled,failed,success', 'exactly the builds that are over have a time of completion');

-- What is over does not change

select pg_temp.create_build('done', 'private app', '1.0.0', 'success');
select pg_temp.refuses(actor, format($$ update app_builds set %s where id = '{done}' $$, change), 'SW022',
  'A build that is success does not change.', 'cannot set ' || change || ' of a finished build', 'build_status')
from unnest(array['service', 'operator']) actor,
  unnest(array['build_path = null', 'build_logs = null', $$build_config = '{"a": 1}'$$, $$completed_at = now() + interval '1 hour'$$]) change;
select pg_temp.allows('service', $$ update app_builds set is_released = false where id = '{done}' $$, 'tries to hide a build');
select pg_temp.allows('customer member', $$ select from app_builds where id = '{done}' $$, 'sees it all the same: its version is released');
select pg_temp.refuses('service', $$ update app_builds set build_version = '1.1.0' where id = '{build}' $$, 'SW001',
  'A build stays with its app and version.', 'cannot move a build to another version', 'build_version');

-- Release and retirement spread to builds

select pg_temp.create_build('draft build', 'private app', '2.0.0', 'success');
select pg_temp.allows('service', $$ update app_builds set is_released = true where id = '{draft build}' $$, 'tries to release a build alone');
select pg_temp.finds_nothing('customer member', $$ select from app_builds where id = '{draft build}' $$, 'does not see a build of a draft');
select pg_temp.allows('publisher admin', $$ update app_versions set status = 'published' where app_id = '{private app}' and version = '2.0.0' $$,
  'releases the version');
select pg_temp.allows('customer member', $$ select from app_builds where id = '{draft build}' $$, 'sees its build then');
select pg_temp.finds_nothing('customer member', $$ select from app_builds where id = '{build}' $$, 'does not see its unfinished build');
select pg_temp.allows('publisher admin', $$ update app_versions set status = 'archived' where app_id = '{private app}' and version = '2.0.0' $$,
  'archives the version');
select pg_temp.finds_nothing('customer member', $$ select from app_builds where id = '{draft build}' $$, 'does not see its build any more');

-- Constraints

select pg_temp.refuses('service', format($$ update app_builds set %s where id = '{build}' $$, change), code,
  replace(message, '%', 'new row for relation "app_builds" violates check constraint '), 'cannot set ' || change,
  case code when 'SW022' then 'build_status' end)
from (values
  ($$build_status = 'lost'$$, 'SW022', 'A build that is pending does not become lost.'),
  ($$build_config = '[]'$$, '23514', '%"app_builds_build_config_object"'),
  ($$build_config = jsonb_build_object('a', repeat('x', 65536))$$, '23514', '%"app_builds_build_config_object"'),
  ($$completed_at = now()$$, '23514', '%"app_builds_completed"'),
  ($$build_path = 'app_{private app}/1.0.0/build.zip'$$, '23514', '%"app_builds_build_path_format"'),
  ($$build_path = 'app_{private app}/builds/{done}/build.zip'$$, '23514', '%"app_builds_build_path_format"'),
  ($$build_path = 'app_{private app}/builds/{build}/../x'$$, '23514', '%"app_builds_build_path_format"'),
  ($$build_logs = 'app_{private app}/builds/{done}/build.log'$$, '23514', '%"app_builds_build_logs_format"'),
  ($$build_logs = 'app_{private app}/builds/{build}/'$$, '23514', '%"app_builds_build_logs_format"')) bad (change, code, message);
select pg_temp.allows('service', $$ update app_builds set build_path = null, build_status = 'building' where id = '{build}' $$, 'starts a build');
select pg_temp.refuses('service', $$ update app_builds set build_status = 'success' where id = '{build}' $$, '23514',
  'new row for relation "app_builds" violates check constraint "app_builds_success_has_path"', 'cannot finish a build that has no path');
select pg_temp.refuses('service', $$
  update app_builds set build_status = 'failed', completed_at = created_at - interval '1 second' where id = '{build}' $$, '23514',
  'new row for relation "app_builds" violates check constraint "app_builds_duration"', 'cannot finish a build before it began');
update app_builds set updated_at = now() - interval '1 day' where id = pg_temp.id('build')::uuid;
select pg_temp.answers('service', $$ update app_builds set build_status = 'failed' where id = '{build}' returning updated_at = now() $$,
  'true', 'changes a build, and updated_at with it');

-- A run outlives its build

select pg_temp.create_run('run', 'private app', 'customer company');
select pg_temp.allows('service', $$ update app_runs set build_id = '{done}' where id = '{run}' $$, 'runs a build');
select pg_temp.allows('service', $$ delete from app_builds where id = '{done}' $$, 'deletes the build');
select pg_temp.answers('service', $$ select status || ' ' || (build_id is null) from app_runs where id = '{run}' $$, 'pending true',
  'finds the run without its build');

select * from finish();
rollback;
