-- Who is asking: nobody becomes the service, a superadmin or somebody else by saying so.
begin;
\ir tests.inc
select plan(63);

-- The service is the role that the request runs as, and nothing that a request may say

select pg_temp.answers(actor, 'select private.is_service()', expected, case expected when 'true' then 'is the service' else 'is not the service' end)
from (values ('service', 'true'), ('operator', 'true'), ('nobody', 'false'), ('customer owner', 'false'), ('superadmin', 'false')) actors (actor, expected);
select pg_temp.refuses('anonymous', 'select private.is_service()', '42501', 'permission denied for function is_service',
  'cannot even ask whether it is the service');

create function pg_temp.claim(claims jsonb) returns void language sql as $$
  select set_config('request.jwt.claims', claims::text, true),
    set_config('request.jwt.claim.role', coalesce(claims ->> 'role', ''), true)
$$;
grant execute on function pg_temp.claim(jsonb) to public;
select pg_temp.answers('nobody', format($$ select private.is_service() from pg_temp.claim('%s') $$, claims), 'false',
  'is not the service by claiming ' || claims::text)
from unnest(array[
  '{"role": "service_role"}', '{"role": "postgres"}', '{"role": "supabase_admin"}', '{"sub": null, "role": "service_role"}',
  '{"role": "authenticated", "app_metadata": {"role": "service_role", "superadmin": true}}']::jsonb[]) claims;
select set_config('request.jwt.claim.role', '', true);
select pg_temp.answers('nobody', format($$ select private.is_superadmin() from pg_temp.claim('%s') $$, claims), 'false',
  'is no superadmin by claiming ' || claims::text)
from unnest(array[
  '{"role": "authenticated", "app_metadata": {"superadmin": true}}', '{"role": "authenticated", "user_metadata": {"is_superadmin": true}}',
  '{"role": "service_role"}', '{}']::jsonb[]) claims;
select set_config('request.jwt.claim.role', '', true);
select pg_temp.answers('nobody', $$
  select cardinality(private.my_company_ids()) from pg_temp.claim('{"role": "authenticated", "company_id": "{customer company}",
    "app_metadata": {"company_ids": ["{customer company}"]}}') $$, '0', 'is in no company by claiming so');
select set_config('request.jwt.claim.role', '', true);
-- Definer functions run as their owner; who asks does not change by that.
create function pg_temp.ask_as_owner() returns boolean language sql security definer set search_path = '' as $$ select private.is_service() $$;
grant execute on function pg_temp.ask_as_owner() to public;
select pg_temp.answers('customer owner', 'select pg_temp.ask_as_owner()', 'false', 'is not the service inside a definer function');
select pg_temp.answers('service', 'select pg_temp.ask_as_owner()', 'true', 'is the service inside a definer function');

-- A token without a subject is nobody

select pg_temp.answers('nobody', $$ select cardinality(private.my_company_ids()) from pg_temp.claim('{"role": "authenticated"}') $$, '0',
  'has no company without a subject');
select pg_temp.answers('nobody', $$ select private.is_superadmin() from pg_temp.claim('{"role": "authenticated"}') $$, 'false',
  'is no superadmin without a subject');
select pg_temp.refuses('nobody', $$
  with claimed as materialized (select pg_temp.claim('{"role": "authenticated"}')) select create_company('x-y-z', 'Name') from claimed $$,
  'SW003', 'Sign in to create a company.', 'cannot create a company without a subject');

-- The predicates

select pg_temp.answers(actor, format($$ select '{customer company}' = any (private.my_company_ids('%s')) $$, role), expected,
  format('%s a company with at least the role %s', case expected when 'true' then 'has' else 'has not' end, role))
from (values
  ('customer member', 'member', 'true'), ('customer member', 'admin', 'false'), ('customer member', 'owner', 'false'),
  ('customer admin', 'member', 'true'), ('customer admin', 'admin', 'true'), ('customer admin', 'owner', 'false'),
  ('customer owner', 'member', 'true'), ('customer owner', 'admin', 'true'), ('customer owner', 'owner', 'true'),
  ('superadmin', 'owner', 'true'), ('publisher owner', 'member', 'false')) actors (actor, role, expected);
select pg_temp.answers(actor, $$ select '{private app}' = any (private.my_published_app_ids('admin')) $$, expected,
  case expected when 'true' then 'publishes the app' else 'does not publish the app' end)
from (values ('customer owner', 'false'), ('publisher member', 'false'), ('publisher admin', 'true'), ('superadmin', 'true')) actors (actor, expected);
select pg_temp.answers(actor, $$ select '{private app}' = any (private.my_assigned_app_ids()) $$, expected,
  case expected when 'true' then 'is assigned the app' else 'is not assigned the app' end)
from (values ('customer member', 'true'), ('outsider', 'false'), ('publisher owner', 'false'), ('nobody', 'false')) actors (actor, expected);

-- Rows do not move to where the caller may not put them, not even if somebody granted the columns. The callers are members
-- of where they try to put them: they would see the row there, and triggers let it pass.

grant update on app_cron_schedules, app_versions, companies to authenticated;
select pg_temp.add_member('publisher company', 'customer admin', 'member');
select pg_temp.add_member('outsider company', 'publisher admin', 'member');
insert into app_versions (app_id, version) values (pg_temp.id('private app')::uuid, '2.1.0');
select pg_temp.learn('schedule', 'customer admin', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '@daily') returning id $$);
select pg_temp.refuses('customer admin', $$ update app_cron_schedules set company_id = '{publisher company}' where id = '{schedule}' $$, '42501',
  'new row violates row-level security policy for table "app_cron_schedules"', 'cannot give a schedule to another company');
select pg_temp.refuses('publisher admin', $$
  update app_versions set app_id = '{outsider app}' where app_id = '{private app}' and version = '2.1.0' $$, '42501',
  'new row violates row-level security policy for table "app_versions"', 'cannot give a version to another publisher');
select pg_temp.refuses('customer owner', $$ update companies set id = gen_random_uuid(), slug = gen_random_uuid()::text $$, '42501',
  'new row violates row-level security policy for table "companies"', 'cannot make another company of the own one');
-- A trigger refuses this first; row security holds without it.
grant update on app_webhooks to authenticated;
alter table app_webhooks disable trigger guard_changed_webhook;
select pg_temp.learn('webhook', 'customer admin', $$
  select webhook_id from create_app_webhook('{private app}', '{customer company}', 'Webhook') $$);
select pg_temp.refuses('customer admin', $$ update app_webhooks set company_id = '{publisher company}' where id = '{webhook}' $$, '42501',
  'new row violates row-level security policy for table "app_webhooks"', 'cannot give a webhook to another company');
grant update on package_namespaces, packages, package_versions to authenticated;
do $$
begin
  perform pg_temp.create_namespace('namespace', 'publisher company');
  perform pg_temp.create_package('package', 'namespace');
  perform pg_temp.create_package_version('version', 'package', '1.0.0', 'draft');
end
$$;
alter table package_namespaces disable trigger guard_namespace_identity;
alter table packages disable trigger guard_package;
alter table package_versions disable trigger fill_package_version;
select pg_temp.refuses('publisher admin', format($$ update %I set company_id = '{outsider company}' where company_id = '{publisher company}' $$, t),
  '42501', format('new row violates row-level security policy for table "%s"', t), format('cannot give %s to another company', t))
from unnest(array['package_namespaces', 'packages', 'package_versions']) t;

-- Executors

select pg_temp.answers('service', $$
  select concat_ws(' ', id = '{executor}', capacity, labels, version, last_seen_at = now())
  from register_executor('{executor}', 4, '{"region": "eu"}', '1.2.3') $$, 't 4 {"region": "eu"} 1.2.3 t', 'registers an executor');
select pg_temp.answers('service', $$ select capacity || version from register_executor('{executor}', 8, '{}', '1.3.0') $$, '81.3.0',
  'registers it again, with what changed');
select pg_temp.allows('service', $$ select from claim_app_runs('{executor}') where false $$, 'claims', 0);
select pg_temp.answers('service', $$ select capacity || version from executors where id = '{executor}' $$, '81.3.0', 'keeps what it registered with');
select pg_temp.refuses('service', format($$ select register_executor('{executor}', %s) $$, arguments), '23514',
  format('new row for relation "executors" violates check constraint "executors_%s"', name), 'cannot register with ' || arguments)
from (values ('0', 'capacity_range'), ('10001', 'capacity_range'), ($$1, '[]'$$, 'labels_object')) bad (arguments, name);
select pg_temp.refuses('service', $$ select register_executor('') $$, 'SW001', 'executor_id takes 1 to 200 characters.',
  'cannot register an executor without a name', 'executor_id');

-- What is behind the API stays there

select pg_temp.refuses(actor, 'select from private.company_lanes', '42501', 'permission denied for table company_lanes',
  'cannot read the lanes of the queue')
from unnest(array['anonymous', 'customer owner', 'superadmin', 'service']) actor;
select pg_temp.refuses(actor, $$ select private.storage_used('{publisher company}') $$, '42501', 'permission denied for function storage_used',
  'cannot ask how much a company stores')
from unnest(array['anonymous', 'customer owner', 'service']) actor;
select pg_temp.refuses('customer owner', $$ truncate app_runs $$, '42501', 'permission denied for table app_runs', 'cannot truncate a table');

select * from finish();
rollback;
