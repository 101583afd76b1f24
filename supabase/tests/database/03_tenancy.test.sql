-- Companies, their members, and who can be what.
begin;
\ir tests.inc
select plan(66);

-- create_company

select pg_temp.answers('nobody', $$ select name from create_company('{slug}', 'Mine') $$, 'Mine', 'creates a company')
from pg_temp.remember('slug', pg_temp.unique_slug('mine'));
select pg_temp.learn('new company', 'operator', $$ select id from companies where slug = '{slug}' $$);
select pg_temp.answers('nobody',
  $$ select role from company_members where company_id = '{new company}' and user_id = '{nobody}' $$,
  'owner', 'is the owner of the company that was created');
select pg_temp.answers('nobody',
  $$ select count(*) from company_members where company_id = '{new company}' $$, '1', 'is its only member');
select pg_temp.answers('nobody',
  $$ select (storage_quota_bytes, max_concurrent_runs, max_queued_runs, max_queued_builds, max_schedules) = (10737418240, 10, 1000, 50, 1000) from companies where id = '{new company}' $$,
  'true', 'gets the limits that companies begin with');
select pg_temp.refuses('outsider', $$ select create_company('{slug}', 'Another') $$, '23505',
  'duplicate key value violates unique constraint "companies_slug_key"', 'cannot take a slug that is taken');
select pg_temp.refuses('outsider', format($$ select create_company(%L, 'Name') $$, bad.slug), 'SW001',
  'slug takes 1 to 63 lower-case letters, digits and inner hyphens.', 'cannot create a company with the slug ' || bad.what, 'slug')
from (values
  ('Upper', 'Upper'), ('-start', '-start'), ('end-', 'end-'), ('two words', 'two words'), ('', 'of no letters'),
  ('dot.dot', 'dot.dot'), (repeat('a', 64), 'of 64 letters'), (null, 'null')) bad (slug, what);
select pg_temp.refuses('outsider', format($$ select create_company('free-%s', %L) $$, gen_random_uuid(), bad.name), 'SW001',
  'name takes 1 to 200 characters.', 'cannot create a company with the name ' || bad.what, 'name')
from (values ('', 'of no letters'), ('   ', 'of spaces'), (repeat('a', 201), 'of 201 letters'), (null, 'null')) bad (name, what);
select pg_temp.refuses('anonymous', $$ select create_company('nameless', 'Nameless') $$, '42501',
  'permission denied for function create_company', 'cannot create a company');
select pg_temp.refuses('service', $$ select create_company('nameless', 'Nameless') $$, '42501',
  'permission denied for function create_company', 'cannot create a company without being anybody');
select pg_temp.allows('outsider', format($$ select create_company('%s', 'n') $$, slug), 'creates a company with ' || what)
from (values (pg_temp.unique_slug('a') || repeat('a', 45), 'a slug of 63 letters')) good (slug, what)
where length(slug) = 63;

-- Constraints

select pg_temp.refuses('service', format($$ update companies set %s where id = '{customer company}' $$, change), '23514',
  format('new row for relation "companies" violates check constraint "%s"', constraint_name), 'cannot set ' || change)
from (values
  ($$slug = 'No'$$, 'companies_slug_format'),
  ($$name = ' '$$, 'companies_name_length'),
  ($$settings = '[]'$$, 'companies_settings_object'),
  ($$settings = jsonb_build_object('a', repeat('x', 65536))$$, 'companies_settings_object'),
  ($$storage_quota_bytes = -1$$, 'companies_storage_quota_bytes_range'),
  ($$max_concurrent_runs = -1$$, 'companies_max_concurrent_runs_range'),
  ($$max_concurrent_runs = 10001$$, 'companies_max_concurrent_runs_range'),
  ($$max_queued_runs = -1$$, 'companies_max_queued_runs_range'),
  ($$max_queued_runs = 10000001$$, 'companies_max_queued_runs_range'),
  ($$max_queued_builds = -1$$, 'companies_max_queued_builds_range'),
  ($$max_queued_builds = 100001$$, 'companies_max_queued_builds_range'),
  ($$max_schedules = -1$$, 'companies_max_schedules_range'),
  ($$max_schedules = 100001$$, 'companies_max_schedules_range')) bad (change, constraint_name);
select pg_temp.refuses('service', $$ update company_members set role = 'king' where user_id = '{customer member}' $$, '23514',
  'new row for relation "company_members" violates check constraint "company_members_role"', 'cannot invent a role');
select pg_temp.refuses('customer owner',
  $$ insert into company_members (company_id, user_id) values ('{customer company}', '{customer member}') $$, '23505',
  'duplicate key value violates unique constraint "company_members_pkey"', 'cannot add a member twice');

-- The last owner

select pg_temp.refuses('outsider', $$ delete from company_members where user_id = '{outsider}' and company_id = '{outsider company}' $$,
  'SW010', 'A company keeps at least one owner: appoint another owner first.', 'cannot leave as the last owner', 'role');
select pg_temp.refuses('outsider',
  $$ update company_members set role = 'member' where user_id = '{outsider}' and company_id = '{outsider company}' $$,
  'SW010', 'A company keeps at least one owner: appoint another owner first.', 'cannot step down as the last owner', 'role');
select pg_temp.refuses('service', $$ delete from company_members where company_id = '{outsider company}' $$,
  'SW010', 'A company keeps at least one owner: appoint another owner first.', 'cannot remove the last owner', 'role');
select pg_temp.refuses('superadmin', $$ delete from company_members where company_id = '{outsider company}' $$,
  'SW010', 'A company keeps at least one owner: appoint another owner first.', 'cannot remove the last owner', 'role');
select pg_temp.refuses('service',
  $$ update company_members set company_id = '{new company}' where company_id = '{outsider company}' $$,
  'SW010', 'A company keeps at least one owner: appoint another owner first.', 'cannot move the last owner elsewhere', 'role');
select pg_temp.refuses('customer owner', $$
  with leaving as (delete from company_members where company_id = '{customer company}' and role = 'owner' returning 1)
  select count(*) from leaving $$,
  'SW010', 'A company keeps at least one owner: appoint another owner first.', 'cannot remove all owners at once', 'role');
select pg_temp.refuses('operator', $$ delete from auth.users where id = '{outsider}' $$,
  'SW010', 'A company keeps at least one owner: appoint another owner first.', 'cannot delete the user who is the last owner', 'role');
select pg_temp.allows('customer second owner', $$ delete from company_members where user_id = '{customer second owner}' $$,
  'leaves while there is another owner');
select pg_temp.allows('operator', $$ delete from companies where id = '{new company}' $$, 'deletes a company with its last owner');
select is_empty(pg_temp.fill($$ select from company_members where company_id = '{new company}' $$), 'a deleted company has no members');

-- How many one user may found

select pg_temp.answers('nobody', $$ select count(c.id) from generate_series(1, 20) n, create_company('{slug}-' || n, 'Mine') c $$, '20',
  'creates twenty companies, the one that was deleted not counted');
select pg_temp.refuses('nobody', $$ select create_company('{slug}-21', 'Mine') $$, 'SW011',
  'You have founded 20 companies, as many as one user may: ask a superadmin for more.', 'cannot create another one');
select pg_temp.allows('nobody', $$
  insert into company_members (company_id, user_id, role) select id, '{outsider}', 'owner' from companies where slug = '{slug}-1' $$,
  'appoints another owner of one');
select pg_temp.allows('nobody', $$
  delete from company_members where user_id = '{nobody}' and company_id = (select id from companies where slug = '{slug}-1') $$, 'leaves it');
select pg_temp.refuses('nobody', $$ select create_company('{slug}-21', 'Mine') $$, 'SW011',
  'You have founded 20 companies, as many as one user may: ask a superadmin for more.', 'cannot create one in its place');
select pg_temp.answers('superadmin', $$ select count(c.id) from generate_series(21, 41) n, create_company('{slug}-' || n, 'Ours') c $$, '21',
  'creates more than twenty');
select pg_temp.allows('superadmin', $$ delete from companies where slug = '{slug}-1' $$, 'deletes the company that was given away');
select pg_temp.allows('nobody', $$ select create_company('{slug}-1', 'Mine') $$, 'creates one in its place');
delete from companies where slug ~ ('^' || pg_temp.id('slug') || '-[0-9]+$');

-- Admins cannot make themselves more than they are

select pg_temp.refuses('customer admin',
  $$ update company_members set role = 'owner' where user_id = '{customer admin}' and company_id = '{customer company}' $$, '42501',
  'new row violates row-level security policy for table "company_members"', 'cannot become an owner');
select pg_temp.finds_nothing('customer member',
  $$ update company_members set role = 'admin' where user_id = '{customer member}' and company_id = '{customer company}' $$,
  'cannot become an admin');
select pg_temp.refuses('nobody',
  $$ insert into company_members (company_id, user_id, role) values ('{customer company}', '{nobody}', 'owner') $$, '42501',
  'new row violates row-level security policy for table "company_members"', 'cannot join a company');
select pg_temp.allows('customer admin',
  $$ update company_members set role = 'member' where user_id = '{customer admin}' and company_id = '{customer company}' $$,
  'steps down');
select pg_temp.finds_nothing('customer admin',
  $$ update company_members set role = 'member' where user_id = '{customer colleague}' and company_id = '{customer company}' $$,
  'cannot act as an admin any more');

-- Revocation is immediate, whatever the token says

select pg_temp.answers('customer member', $$ select count(*) from companies where id = '{customer company}' $$, '1',
  'sees the company');
select pg_temp.allows('customer owner', $$ delete from company_members where user_id = '{customer member}' $$, 'removes a member');
select pg_temp.answers('customer member', $$
  select (select count(*) from companies) + (select count(*) from company_members) + (select count(*) from applications)
    + (select count(*) from app_versions) + (select count(*) from app_storage) + (select count(*) from storage.objects) $$,
  '0', 'sees nothing any more, with the same token');

-- Superadmins

select pg_temp.answers('superadmin', $$ select private.is_superadmin() $$, 'true', 'is a superadmin');
select pg_temp.answers('customer owner', $$ select private.is_superadmin() $$, 'false', 'is no superadmin');
select pg_temp.answers('anonymous', $$ select count(*) from superadmins $$, '42501: permission denied for table superadmins',
  'cannot read who is a superadmin');
select pg_temp.allows('service', $$ delete from superadmins where user_id = '{superadmin}' $$, 'removes a superadmin');
select pg_temp.answers('superadmin', $$ select count(*) from companies $$, '0', 'sees no company any more, with the same token');

select * from finish();
rollback;
