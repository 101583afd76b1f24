-- Rules of rows that no function or other file comes near.
begin;
\ir tests.inc
select plan(45);

-- Unique

select pg_temp.create_build('build', 'private app', '1.0.0');
select pg_temp.refuses('service', $$
  insert into app_builds (id, app_id, build_version, build_path)
  select gen_random_uuid(), app_id, build_version, build_path from app_builds where id = '{build}' $$, '23514',
  'new row for relation "app_builds" violates check constraint "app_builds_build_path_format"', 'cannot give a build the path of another');
select pg_temp.refuses('service', $$
  insert into app_runs (app_id, company_id, idempotency_key)
  values ('{private app}', '{customer company}', 'twice'), ('{private app}', '{customer company}', 'twice') $$, '23505',
  'duplicate key value violates unique constraint "app_runs_idempotency_key"', 'cannot insert two runs of a company with one key');
select pg_temp.allows('service', $$
  insert into app_runs (app_id, company_id, idempotency_key)
  values ('{private app}', '{customer company}', 'each'), ('{private app}', '{publisher company}', 'each') $$,
  'inserts runs of two companies with one key', 2);
select pg_temp.refuses('service', $$
  insert into app_uploads (app_id, company_id, version, file_name, file_path, file_type, content_type, file_size, checksum)
  select '{private app}', '{publisher company}', '2.0.0', name, 'app_{private app}/2.0.0/' || name, 'dist', 'text/css', 1, pg_temp.checksum('a')
  from unnest(array['same', 'SAME']) name $$, '23505', 'duplicate key value violates unique constraint "app_uploads_open_key"',
  'cannot insert two open uploads of one file');

-- Uploads

select pg_temp.learn('upload', 'publisher owner', $$
  select id from begin_app_upload('{private app}', '2.0.0', 'row.css', 'dist', 'text/css', 1, pg_temp.checksum('row')) $$);
select pg_temp.refuses('service', format($$ update app_uploads set %s where id = '{upload}' $$, change), '23514',
  format('new row for relation "app_uploads" violates check constraint "app_uploads_%s"', name), 'cannot set ' || change)
from (values
  ($$version = 'latest'$$, 'version_semver'), ($$file_name = '../x'$$, 'file_name_format'), ($$file_path = '/x'$$, 'file_path_format'),
  ($$file_type = 'binary'$$, 'file_type'), ('file_size = 0', 'file_size_range'), ('file_size = 104857601', 'file_size_range'),
  ($$checksum = 'md5:0'$$, 'checksum_format'), ($$error_message = repeat('a', 2001)$$, 'error_message_length'),
  ('verifying_until = now()', 'verifying'), ('completed_at = now()', 'completed')) bad (change, name);
select pg_temp.refuses('service', $$
  insert into app_uploads (app_id, company_id, version, file_name, file_path, file_type, content_type, file_size, checksum, status)
  values ('{private app}', '{publisher company}', '2.0.0', 'a', 'a', 'dist', 'text/css', 1, pg_temp.checksum('a'), 'lost') $$, '23514',
  'new row for relation "app_uploads" violates check constraint "app_uploads_status"', 'cannot insert an upload in an unknown status');

-- Executors

select pg_temp.refuses('service', format('insert into executors (id) values (%s)', id), '23514',
  'new row for relation "executors" violates check constraint "executors_id_length"', 'cannot insert an executor called ' || id)
from unnest(array[$$''$$, $$repeat('x', 201)$$]) id;

-- When a row was changed is the database's to say

select pg_temp.answers('service', format($$
  update %s set updated_at = '2000-01-01' where %s returning updated_at = now() $$, relation, condition), 'true',
  format('changes a row of %s, and updated_at with it', relation))
from (values
  ('companies', $$id = '{customer company}'$$), ('company_members', $$user_id = '{customer colleague}'$$),
  ('applications', $$id = '{private app}'$$), ('app_versions', $$app_id = '{private app}' and version = '2.0.0'$$),
  ('app_uploads', $$id = '{upload}'$$), ('app_builds', $$id = '{build}'$$)) relations (relation, condition);

-- Permissions

select pg_temp.refuses('service', format($$
  insert into app_permissions (app_id, version, permission_type, permission_value, description) values ('{private app}', %s) $$, vals), code, message,
  'cannot insert ' || what)
from (values
  ($$null, 'api', '', null$$, '23514', 'new row for relation "app_permissions" violates check constraint "app_permissions_permission_value_length"',
    'a permission for nothing'),
  ($$null, 'api', repeat('a', 501), null$$, '23514',
    'new row for relation "app_permissions" violates check constraint "app_permissions_permission_value_length"', 'a permission of 501 characters'),
  ($$null, 'api', 'x', repeat('a', 2001)$$, '23514',
    'new row for relation "app_permissions" violates check constraint "app_permissions_description_length"', 'too long a description'),
  ($$'7.7.7', 'api', 'x', null$$, '23503',
    'insert or update on table "app_permissions" violates foreign key constraint "app_permissions_version_fkey"',
    'a permission of a version that does not exist')) bad (vals, code, message, what);

-- Skipped due times

select pg_temp.learn('schedule', 'customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '@daily') returning id $$);
create function pg_temp.insert_skip(first_due text, last_due text, due_count text, reason text, message text) returns text language sql as $$
  select format($q$
    insert into app_cron_skips (schedule_id, company_id, first_due_at, last_due_at, due_count, reason, message)
    values ('{schedule}', '{customer company}', %L, %L, %s, %L, %L) $q$, first_due, last_due, due_count, reason, message)
$$;
select pg_temp.allows('service', pg_temp.insert_skip('2020-01-01', '2020-01-02', '2', reason, 'm')
  || ' on conflict (schedule_id, first_due_at) do update set reason = excluded.reason', 'notes that due times were skipped: ' || reason)
from unnest(array['missed', 'too_late', 'overlap', 'queue_full', 'storage_full', 'not_runnable', 'invalid', 'failed']) reason;
select pg_temp.refuses('service', pg_temp.insert_skip(first_due, last_due, due_count, reason, repeat('m', length)), '23514',
  format('new row for relation "app_cron_skips" violates check constraint "app_cron_skips_%s"', name), 'cannot note ' || what)
from (values
  ('2021-01-02', '2021-01-01', '1', 'missed', 1, 'due_at_order', 'a span that ends before it begins'),
  ('2021-01-01', '2021-01-01', '0', 'missed', 1, 'due_count_range', 'that nothing was skipped'),
  ('2021-01-01', '2021-01-01', '1', 'bored', 1, 'reason', 'an unknown reason'),
  ('2021-01-01', '2021-01-01', '1', 'missed', 2001, 'message_length', 'too long a message')) bad (first_due, last_due, due_count, reason, length, name, what);
select pg_temp.refuses('service', pg_temp.insert_skip('2020-01-01', '2020-01-05', '1', 'missed', 'm'), '23505',
  'duplicate key value violates unique constraint "app_cron_skips_due_at_key"', 'cannot note the same due time twice');
select pg_temp.allows('customer owner', $$ delete from app_cron_schedules where id = '{schedule}' $$, 'deletes a schedule');
select is_empty(pg_temp.fill($$ select from app_cron_skips where schedule_id = '{schedule}' $$), 'what it skipped is gone with it');

-- Users who are gone

select pg_temp.create_run('run', 'private app', 'customer company', 'success');
select pg_temp.learn('requested', 'customer member', $$ select id from request_app_run('{private app}', '{customer company}') $$);
select pg_temp.allows('operator', $$ delete from auth.users where id = '{customer member}' $$, 'deletes a user');
select pg_temp.answers('customer owner', $$ select status || ' ' || (requested_by is null) from app_runs where id = '{requested}' $$, 'pending true',
  'finds the run that the user asked for, without the user');
select is_empty(pg_temp.fill($$ select from company_members where user_id = '{customer member}' $$), 'the user is no member any more');

select * from finish();
rollback;
