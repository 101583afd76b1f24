-- Apps: who finds them, who is assigned them, and what suspension means.
begin;
\ir tests.inc
select plan(66);

-- Constraints

select pg_temp.refuses('publisher owner', format($$ update applications set %s where id = '{private app}' $$, change), '23514',
  format('new row for relation "applications" violates check constraint "%s"', constraint_name), 'cannot set ' || change)
from (values
  ($$slug = 'No'$$, 'applications_slug_format'),
  ($$name = ' '$$, 'applications_name_length'),
  ($$name = repeat('a', 201)$$, 'applications_name_length'),
  ($$description = repeat('a', 10001)$$, 'applications_description_length'),
  ($$status = 'sold'$$, 'applications_status'),
  ($$visibility = 'secret'$$, 'applications_visibility')) bad (change, constraint_name);
select pg_temp.refuses('publisher owner', $$
  insert into applications (slug, name, publisher_company_id)
  select slug, name, publisher_company_id from applications where id = '{private app}' $$, '23505',
  'duplicate key value violates unique constraint "applications_publisher_slug_key"', 'cannot use a slug twice');
select pg_temp.allows('service', $$
  insert into applications (slug, name, publisher_company_id)
  select slug, name, '{outsider company}' from applications where id = '{private app}' $$, 'uses a slug for another publisher');
select pg_temp.learn('new app', 'publisher admin', $$
  insert into applications (slug, name, publisher_company_id) values ('new-app', 'New', '{publisher company}') returning id $$);
select pg_temp.answers('publisher admin', $$ select created_by = '{publisher admin}' from applications where id = '{new app}' $$,
  'true', 'is named as who created an app');
select pg_temp.answers('publisher admin', $$ select status || ', ' || visibility from applications where id = '{new app}' $$,
  'active, private', 'creates apps that are active and private');
select pg_temp.refuses('publisher owner', $$ delete from applications where id = '{private app}' $$, '23503',
  'update or delete on table "applications" violates foreign key constraint "app_versions_app_id_fkey" on table "app_versions"',
  'cannot delete an app that has versions');
select pg_temp.refuses('service', $$ delete from companies where id = '{publisher company}' $$, '23503',
  'update or delete on table "companies" violates foreign key constraint "applications_publisher_company_id_fkey" on table "applications"',
  'cannot delete a company that has apps');

-- The catalogue

select pg_temp.answers(actor, $$ select string_agg(id::text, ',') from search_public_apps() where id in
    ('{private app}', '{public app}', '{unassigned app}', '{outsider app}') $$, '{public app}', 'finds the public app and no other')
from unnest(array['anonymous', 'nobody', 'outsider', 'customer member', 'publisher owner', 'superadmin', 'service']) actor;
update applications set name = 'Harvest % planner', description = 'Counts_apples' where id = pg_temp.id('public app')::uuid;
select pg_temp.answers('anonymous',
  format($$ select count(*) from search_public_apps(query => %L) where id = '{public app}' $$, query), found, 'searches for ' || query)
from (values ('harvest', '1'), ('HARVEST', '1'), ('counts_apples', '1'), ('st % pl', '1'), ('s%n', '0'), ('harvest_%', '0'))
  queries (query, found);
select pg_temp.answers('anonymous', format($$ select count(*) <= %s from search_public_apps(max_results => %s) $$, most, asked),
  'true', format('gets at most %s apps for a limit of %s', most, asked))
from (values (0, '-1'), (0, '0'), (1, '1'), (100, '1000000'), (100, 'null')) limits (most, asked);
select pg_temp.answers('anonymous', $$ select count(*) from search_public_apps(skip => 1000000000) $$, '0',
  'finds nothing far down the list');
update applications set status = 'archived' where id = pg_temp.id('public app')::uuid;
select pg_temp.answers('anonymous', $$ select count(*) from search_public_apps() where id = '{public app}' $$, '0',
  'does not find a public app that is not active');
update applications set status = 'active' where id = pg_temp.id('public app')::uuid;

-- Customers of an app

select pg_temp.answers(actor, $$ select string_agg(company_id::text, ',') from list_app_customers('{private app}') $$, found, does)
from (values
  ('publisher member', '{customer company}', 'sees who is assigned the app'),
  ('superadmin', '{customer company}', 'sees who is assigned the app')) actors (actor, found, does);
select pg_temp.finds_nothing(actor, $$ select from list_app_customers('{private app}') $$, 'is not told who is assigned the app')
from unnest(array['nobody', 'outsider', 'customer owner']) actor;
select pg_temp.refuses('anonymous', $$ select list_app_customers('{private app}') $$, '42501',
  'permission denied for function list_app_customers', 'cannot ask who is assigned an app');

-- Assigning

select pg_temp.finds_nothing('customer member', $$ select from applications where id = '{public app}' $$,
  'does not see a public app among the company''s before it is assigned');
select pg_temp.allows('customer admin', $$ insert into app_assignments (app_id, company_id) values ('{public app}', '{customer company}') $$,
  'assigns a public app to the company');
select pg_temp.allows('customer member', $$ select from applications where id = '{public app}' $$, 'sees it then');
select pg_temp.answers('customer admin',
  $$ select assigned_by = '{customer admin}' from app_assignments where app_id = '{public app}' and company_id = '{customer company}' $$,
  'true', 'is named as who assigned it');
select pg_temp.refuses('customer admin',
  $$ insert into app_assignments (app_id, company_id) values ('{public app}', '{customer company}') $$, '23505',
  'duplicate key value violates unique constraint "app_assignments_pkey"', 'cannot assign an app twice');
-- One answer, or ids could be probed.
select pg_temp.refuses('customer owner',
  format($$ insert into app_assignments (app_id, company_id) values ('%s', '{customer company}') $$, app), 'SW002',
  'There is no public app with this id.', 'cannot assign ' || what, 'app_id')
from (values ('{unassigned app}', 'a private app'), (gen_random_uuid()::text, 'an app that does not exist'),
  ('{outsider app}', 'a private app of an outsider')) apps (app, what);

-- An app that a company loses stops running for it

select pg_temp.create_run('waiting', 'private app', 'customer company');
select pg_temp.create_run('running', 'private app', 'customer company', 'running');
select pg_temp.create_run('done', 'private app', 'customer company', 'success');
select pg_temp.create_run('publisher''s', 'private app', 'publisher company');
select pg_temp.learn('schedule', 'customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '@daily') returning id $$);
select pg_temp.allows('customer owner',
  $$ delete from app_assignments where app_id = '{private app}' and company_id = '{customer company}' $$, 'gives up the private app');
select pg_temp.answers('customer member', $$ select status || ': ' || error_message from app_runs where id = '{waiting}' $$,
  'cancelled: The app is no longer assigned to the company.', 'sees the waiting run cancelled, and why');
select pg_temp.answers('customer member', $$ select status || ' ' || (cancel_requested_at is not null) from app_runs where id = '{running}' $$,
  'running true', 'sees the running run asked to stop');
select pg_temp.answers('customer member', $$ select status || ' ' || (cancel_requested_at is null) from app_runs where id = '{done}' $$,
  'success true', 'sees the finished run as it was');
select is((select status from app_runs where id = pg_temp.id('publisher''s')::uuid), 'pending', 'the publisher''s own run still waits');
select pg_temp.answers('customer member', $$ select is_active from app_cron_schedules where id = '{schedule}' $$, 'false',
  'sees the schedule switched off');
select pg_temp.refuses('customer admin', $$ update app_cron_schedules set is_active = true where id = '{schedule}' $$, 'SW040',
  'The app is not active, or it is not assigned to this company.', 'cannot switch the schedule on again', 'app_id');
select pg_temp.finds_nothing('customer owner', $$ select from applications where id = '{private app}' $$, 'does not see the app any more');
select pg_temp.finds_nothing('customer owner', $$ select from storage.objects where name ^@ 'app_{private app}/1' $$,
  'does not see its files any more');

-- Suspension

insert into app_assignments (app_id, company_id) values (pg_temp.id('private app')::uuid, pg_temp.id('customer company')::uuid);
select pg_temp.create_run('suspended run', 'private app', 'customer company');
select pg_temp.allows('superadmin', $$ update applications set status = 'suspended' where id = '{private app}' $$, 'suspends the app');
select pg_temp.answers('customer member', $$ select status || ': ' || error_message from app_runs where id = '{suspended run}' $$,
  'cancelled: The app was suspended.', 'sees the waiting run cancelled, and why');
select is((select status from app_runs where id = pg_temp.id('publisher''s')::uuid), 'cancelled', 'the publisher''s own run is cancelled');
select pg_temp.refuses('customer member', $$ select request_app_run('{private app}', '{customer company}') $$, 'SW040',
  'The app is not active, or it is not assigned to this company.', 'cannot run a suspended app', 'app_id');
select pg_temp.refuses('publisher owner', $$ update app_versions set status = 'published' where app_id = '{private app}' and version = '2.0.0' $$,
  'SW003', 'The app is suspended.', 'cannot release a version of a suspended app', 'app_id');
select pg_temp.refuses('publisher owner', $$ insert into app_builds (app_id, build_version) values ('{private app}', '1.0.0') $$,
  'SW003', 'The app is suspended.', 'cannot request a build of a suspended app', 'app_id');
select pg_temp.refuses('outsider', $$ insert into app_builds (app_id, build_version) values ('{private app}', '1.0.0') $$,
  '42501', 'new row violates row-level security policy for table "app_builds"', 'is not told that the app is suspended');
select pg_temp.refuses('publisher owner',
  $$ select begin_app_upload('{private app}', '2.0.0', 'a.js', 'dist', 'text/javascript', 1, pg_temp.checksum('a')) $$,
  'SW003', 'The app is suspended.', 'cannot upload to a suspended app', 'app_id');
select pg_temp.finds_nothing('publisher owner', $$ update applications set status = 'active' where id = '{private app}' $$,
  'cannot lift a suspension');
select pg_temp.allows('superadmin', $$ update applications set status = 'active' where id = '{private app}' $$, 'lifts the suspension');
select pg_temp.allows('customer member', $$ select from request_app_run('{private app}', '{customer company}') $$, 'runs the app again');

select * from finish();
rollback;
