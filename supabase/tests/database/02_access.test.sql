-- Every actor on every verb of every table and of both buckets, as access.inc says.
begin;
\ir tests.inc
\ir access.inc

-- What the cases name beyond the world.

do $$
begin
  perform pg_temp.remember('slug', pg_temp.unique_slug('new'));
  perform pg_temp.remember('nothing', gen_random_uuid());

  -- In this company the customer's people have their roles too, so that it is theirs, and could be deleted.
  perform pg_temp.create_company('empty company');
  perform pg_temp.add_member('empty company', 'customer ' || role, role) from unnest(array['owner', 'admin', 'member']) role;

  perform pg_temp.create_app('empty app', 'publisher company');
  perform pg_temp.create_app('suspended app', 'publisher company', 'public');
  insert into app_assignments (app_id, company_id)
  values (pg_temp.id('suspended app')::uuid, pg_temp.id('customer company')::uuid);
  update applications set status = 'suspended' where id = pg_temp.id('suspended app')::uuid;
  insert into app_versions (app_id, version) values (pg_temp.id('private app')::uuid, '2.1.0');

  perform pg_temp.create_version('private app', '1.2.0');
  perform
    pg_temp.add_file('private app', '1.2.0', 'm', 'manifest'), pg_temp.add_file('private app', '1.2.0', 'b', 'build'),
    pg_temp.add_file('private app', '1.2.0', 'a', 'asset'), pg_temp.add_file('private app', '1.2.0', 'c', 'config');
  update app_versions set status = 'published' where app_id = pg_temp.id('private app')::uuid and version = '1.2.0';

  perform pg_temp.create_build('successful build', 'private app', '1.0.0', 'success');
  perform pg_temp.create_build('pending build', 'private app', '1.0.0');
  perform pg_temp.create_build('failed build', 'private app', '1.0.0', 'failed');
  perform pg_temp.create_build('draft build', 'private app', '2.0.0', 'success');
  perform pg_temp.create_build('archived build', 'private app', '0.9.0', 'success');
  perform pg_temp.create_build('unassigned build', 'unassigned app', '1.0.0', 'success');

  perform pg_temp.create_run('pending run', 'private app', 'customer company');
  perform pg_temp.create_run('successful run', 'private app', 'customer company', 'success');
  perform pg_temp.create_run('failed run', 'private app', 'customer company', 'failed');
  perform pg_temp.create_run('test run', 'private app', 'publisher company', 'success', '2.0.0', 'test');
  perform pg_temp.create_run('outsider run', 'outsider app', 'outsider company', 'success');

  insert into app_permissions (app_id, permission_type, permission_value) values
    (pg_temp.id('private app')::uuid, 'system', 'clock'), (pg_temp.id('unassigned app')::uuid, 'system', 'clock');
  insert into executors (id) values (pg_temp.id('executor'));

  perform pg_temp.add_object('app-storage', 'app_{private app}/1.0.0/orphan.js');
  perform pg_temp.add_object('app-storage', 'app_{private app}/runs/{successful run}/stdout.log');
  perform pg_temp.add_object('app-logs', 'app_{private app}/runs/{successful run}/stdout.log');
  perform pg_temp.add_object('app-logs', 'app_{private app}/runs/{successful run}/outputs/table.csv');
  perform pg_temp.add_object('app-logs', 'app_{private app}/runs/{test run}/stdout.log');
  perform pg_temp.add_object('app-logs', 'app_{outsider app}/runs/{outsider run}/stdout.log');
  perform pg_temp.add_object('app-logs', 'app_{public app}/runs/{successful run}/stdout.log');
  perform pg_temp.add_object('app-logs', 'app_{private app}/runs/{nothing}/stdout.log');
  perform pg_temp.add_object('app-logs', 'app_{private app}/1.0.0/dist/index.js');

  perform pg_temp.create_namespace('publisher namespace', 'publisher company');
  perform pg_temp.create_namespace('private namespace', 'publisher company');
  perform pg_temp.create_namespace('empty namespace', 'publisher company');
  perform pg_temp.create_namespace('reserved namespace');
  perform pg_temp.create_namespace('drafted namespace', 'publisher company');
  perform pg_temp.create_package('drafted package', 'drafted namespace', 'public');
  perform pg_temp.create_package('drafted reserved package', 'reserved namespace', 'public');
  perform pg_temp.create_package('public package', 'publisher namespace', 'public');
  perform pg_temp.create_package('private package', 'private namespace');
  perform pg_temp.create_package('reserved package', 'reserved namespace', 'public');
  perform pg_temp.create_package_version('public version', 'public package', '1.0.0');
  perform pg_temp.create_package_version('archived version', 'public package', '0.9.0', 'archived');
  perform pg_temp.create_package_version('public draft', 'public package', '2.0.0', 'draft');
  perform pg_temp.create_package_version('private version', 'private package', '1.0.0');
  perform pg_temp.create_package_version('private draft', 'private package', '2.0.0', 'draft');
  perform pg_temp.create_package_version('drafted version', 'drafted package', '1.0.0', 'draft');
  perform pg_temp.create_package_version('drafted reserved version', 'drafted reserved package', '1.0.0', 'draft');
  perform pg_temp.create_package_version('reserved version', 'reserved package', '1.0.0');
  perform pg_temp.create_package_version('reserved draft', 'reserved package', '2.0.0', 'draft');
  insert into package_version_changes (package_id, change) values
    (pg_temp.id('public package')::uuid, 'described'), (pg_temp.id('private package')::uuid, 'described');
  perform pg_temp.add_object('packages', '{publisher namespace}/public-package/1.0.0/a.yaml');

  perform pg_temp.remember('other bucket', pg_temp.unique_slug('bucket'));
  insert into storage.buckets (id, name) values (pg_temp.id('other bucket'), pg_temp.id('other bucket'));
  perform pg_temp.add_object(pg_temp.id('other bucket'), 'app_{private app}/1.0.0/dist/other.js');
end;
$$;

-- The outsider reads the manifest store besides.
insert into manifest_readers values (pg_temp.id('outsider')::uuid);
select pg_temp.remember('handler', pg_temp.unique_slug('handler'));
insert into handler_manifests (document)
select jsonb_build_object('handlerId', pg_temp.id('handler'), 'version', '1.0.0', 'createdAt', 1);
insert into hook_manifests (document) select jsonb_build_object('handlerId', pg_temp.id('handler'));
insert into gtypes (document) select jsonb_build_object('ref', pg_temp.id('handler'));
insert into transformers (document) select jsonb_build_object('id', pg_temp.id('handler'), 'handlerId', pg_temp.id('handler'));
insert into version_graphs (document) select jsonb_build_object('handlerId', pg_temp.id('handler'));
insert into timescape_metadata (document)
select jsonb_build_object('handlerId', pg_temp.id('handler'), 'version', '1.0.0');

select pg_temp.learn('customer output', 'service', $$
  insert into app_outputs (run_id, output_type, output_name, output_data) values ('{successful run}', 'result', 'r', '1') returning id $$);
select pg_temp.learn('publisher output', 'service', $$
  insert into app_outputs (run_id, output_type, output_name, output_data) values ('{test run}', 'result', 'r', '1') returning id $$);
select pg_temp.learn(company || ' token', company || ' member', $$
  select token_id from create_download_token((
    select id from app_storage where app_id = '{private app}' and version = '1.0.0' and file_type = 'dist')) $$)
from unnest(array['customer', 'publisher']) company;
select private.use_download_token(pg_temp.id(company || ' token')::uuid, 1) from unnest(array['customer', 'publisher']) company;
select pg_temp.learn('customer schedule', 'service', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression)
  values ('{private app}', '{customer company}', '@daily') returning id $$);
insert into app_cron_skips (schedule_id, company_id, first_due_at, last_due_at, reason, message)
values (
  pg_temp.id('customer schedule')::uuid, pg_temp.id('customer company')::uuid, now() - interval '1 day',
  now() - interval '1 day', 'missed', 'Missed');
select pg_temp.learn('publisher schedule', 'service', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression)
  values ('{private app}', '{publisher company}', '@daily') returning id $$);
select pg_temp.learn('customer webhook', 'customer owner', $$
  select webhook_id from create_app_webhook('{private app}', '{customer company}', 'Webhook') $$);
select pg_temp.learn('publisher webhook', 'publisher owner', $$
  select webhook_id from create_app_webhook('{private app}', '{publisher company}', 'Webhook') $$);
insert into app_webhook_deliveries (webhook_id, delivery_id, company_id, outcome, body_size)
values (pg_temp.id('customer webhook')::uuid, 'msg', pg_temp.id('customer company')::uuid, 'enqueued', 0);
select pg_temp.learn('customer policy', 'service', $$
  insert into retention_policies (company_id, kind, keep_days) values ('{customer company}', 'logs', 7) returning id $$);
-- One kind has no policy for all, until somebody may add it.
select pg_temp.remember('new kind', 'versions'::text);
delete from retention_policies where company_id is null and kind = 'versions';
select pg_temp.learn('upload', 'publisher owner', $$
  select id from begin_app_upload('{private app}', '2.0.0', 'up.js', 'dist', 'text/javascript', 1, pg_temp.checksum('up')) $$);
select pg_temp.add_object('app-storage', 'app_{private app}/staging/{upload}');

-- What the Storage server does before it deletes: row security alone shall decide here.
set local storage.allow_delete_query = 'true';

-- The data as rows

create temp table access_cases on commit drop as
select
  block.number,
  split_part(lines[1], ': ', 1) as section,
  split_part(split_part(lines[1], ': ', 2), ' ', 1) as verb,
  split_part(lines[1], ': ', 2) as what,
  lines[2] as statement,
  regexp_split_to_array(lines[3], ' +') as outcomes,
  lines[4:] as messages
from access_source,
  regexp_split_to_table(source, '\n\n+') with ordinality as block (text, number),
  string_to_array(trim(e'\n' from block.text), e'\n') as lines
where not starts_with(trim(e'\n' from block.text), '#');

-- All of them, unless whoever runs this file asks for one relation's alone.
create temp view chosen_cases as
select * from access_cases
where starts_with(section, coalesce(current_setting('stowage_tests.relation', true), ''));

create temp table access_actors on commit drop as
select name, number from unnest(array[
  'anonymous', 'nobody', 'outsider', 'customer member', 'customer admin', 'customer owner', 'publisher member',
  'publisher admin', 'publisher owner', 'superadmin', 'service']) with ordinality as actor (name, number);

create function pg_temp.expectation(section text, outcome text, messages text[]) returns text language sql as $$
  select case
    when outcome in ('yes', '-') then outcome
    when outcome ~ '^[0-9]$' then outcome || ' rows'
    when outcome = 'no' then '42501: permission denied for table ' || relation
    when outcome = 'rls' then '42501: new row violates row-level security policy for table "' || relation || '"'
    else (select message from unnest(messages) message where starts_with(message, outcome || ': '))
  end
  from regexp_replace(split_part(section, ' ', 1), '^.*\.', '') relation
$$;

create function pg_temp.try_case(actor text, statement text, expected text, description text)
returns text language plpgsql as $$
declare
  outcome record := pg_temp.attempt(actor, statement, keep => false);
begin
  return is(
    case
      when outcome.code is not null then outcome.code || ': ' || outcome.message
      when outcome.affected = 0 then '-'
      when expected like '% rows' then outcome.affected || ' rows'
      else 'yes'
    end,
    expected, description);
end;
$$;

select plan((select count(*)::integer * 11 + 2 from chosen_cases));

select is_empty($$
  select section, what, cardinality(outcomes) from access_cases
  where cardinality(outcomes) <> 11 or '' = any (outcomes) or statement is null
$$, 'every case of access.inc says what comes of it for each actor');

select is_empty($$
  select relation, verb
  from (
    select relname::text as relation from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
    union all
    values ('storage.objects in app-storage'), ('storage.objects in app-logs')
  ) relations
  cross join unnest(array['select', 'insert', 'update', 'delete']) verb
  except
  select section, verb from access_cases
$$, 'every verb of every table and of both buckets has a case in access.inc');

select pg_temp.try_case(
  actor.name, c.statement, pg_temp.expectation(c.section, c.outcomes[actor.number], c.messages),
  format('%s, %s: %s, %s', actor.name, c.section, c.what, c.outcomes[actor.number]))
from chosen_cases c cross join access_actors actor
order by c.number, actor.number;

select * from finish();
rollback;
