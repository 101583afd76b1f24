-- What is easy to forget when a table, a function or a policy is added.
begin;
\ir tests.inc
select plan(28 + (select count(*)::integer from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')));

create temp view ours as
select oid, relname::text as name, relnamespace::regnamespace::text as schema, relkind as kind, relacl as acl, relrowsecurity as secured
from pg_class
where relnamespace in ('public'::regnamespace, 'private'::regnamespace) and relkind in ('r', 'p', 'v', 'm', 'f', 'S');

create temp view our_functions as
select
  oid, proname::text as name, pronamespace::regnamespace::text as schema, prosecdef as is_definer, proconfig as config,
  proacl as acl, proowner as owner, oid::regprocedure::text as signature
from pg_proc
where pronamespace in ('public'::regnamespace, 'private'::regnamespace);

create temp view our_policies as
select * from pg_policies
where schemaname in ('public', 'private') or (schemaname, tablename) = ('storage', 'objects');

-- Row security

select is_empty($$ select name from ours where schema = 'public' and kind in ('r', 'p') and not secured $$,
  'row security is enabled on every table of public');
select is_empty($$ select name from ours where schema = 'public' and kind in ('v', 'm', 'f') $$,
  'nothing in public reads past the row security of tables');
select is_empty($$
  select name, grantee.rolname, privilege_type
  from ours cross join aclexplode(acl) left join pg_roles grantee on grantee.oid = grantee
  where schema = 'private' and grantee.rolname is distinct from 'postgres'
$$, 'nobody has any privilege on a table of private');
select ok(relrowsecurity, 'row security is enabled on storage.objects') from pg_class where oid = 'storage.objects'::regclass;

-- Privileges, exactly

create temp table expected_privileges (relation text, grantee text, privileges text) on commit drop;
insert into expected_privileges values
  ('app_assignments', 'authenticated', 'delete, insert (app_id, company_id), select'),
  ('app_builds', 'authenticated', 'delete, insert (app_id, build_version, build_config), select, update (build_status)'),
  ('app_cron_schedules', 'authenticated',
    'delete, insert (app_id, company_id, cron_expression, timezone, is_active, config, missed_policy, overlap_policy, max_lateness), '
    'select, update (cron_expression, timezone, is_active, config, missed_policy, overlap_policy, max_lateness)'),
  ('app_cron_skips', 'authenticated', 'select'),
  ('app_download_tokens', 'authenticated', 'select'),
  ('app_downloads', 'authenticated', 'select'),
  ('app_outputs', 'authenticated', 'delete, insert, select, update'),
  ('app_permissions', 'authenticated', 'delete, insert, select, update'),
  ('app_runs', 'authenticated', 'delete, insert, select, update'),
  ('app_storage', 'authenticated', 'delete, insert, select, update'),
  ('app_uploads', 'authenticated', 'select'),
  ('app_versions', 'authenticated', 'delete, insert (app_id, version), select, update (status, status_reason)'),
  ('app_webhook_deliveries', 'authenticated', 'select'),
  ('app_webhooks', 'authenticated', 'delete, select, update (name, version, is_active, config, max_deliveries_per_minute)'),
  ('applications', 'authenticated',
    'delete, insert (slug, name, description, publisher_company_id, status, visibility), select, '
    'update (slug, name, description, publisher_company_id, status, visibility)'),
  ('companies', 'authenticated',
    'delete, insert (slug, name, settings, storage_quota_bytes, storage_quota_objects, max_concurrent_runs, max_queued_runs, max_queued_builds, max_schedules), select, '
    'update (slug, name, settings, storage_quota_bytes, storage_quota_objects, max_concurrent_runs, max_queued_runs, max_queued_builds, max_schedules)'),
  ('company_members', 'authenticated', 'delete, insert (company_id, user_id, role), select, update (role)'),
  ('executors', 'authenticated', 'delete, insert, select, update'),
  ('package_dependencies', 'anon', 'select'), ('package_dependencies', 'authenticated', 'select'),
  ('package_files', 'anon', 'select'), ('package_files', 'authenticated', 'select'),
  ('package_namespaces', 'anon', 'select'),
  ('package_namespaces', 'authenticated',
    'delete, insert (name, company_id, is_reserved, description), select, update (description)'),
  ('package_version_changes', 'authenticated', 'select'),
  ('package_versions', 'anon', 'select'),
  ('package_versions', 'authenticated', 'delete, select, update (status, status_reason)'),
  ('packages', 'anon', 'select'),
  ('packages', 'authenticated', 'select, update (visibility, description, keywords, license, homepage, repository)'),
  ('gtypes', 'authenticated', 'select'),
  ('handler_manifests', 'authenticated', 'select'),
  ('hook_manifests', 'authenticated', 'select'),
  ('manifest_readers', 'authenticated', 'delete, insert (user_id), select'),
  ('timescape_metadata', 'authenticated', 'select'),
  ('transformers', 'authenticated', 'select'),
  ('version_graphs', 'authenticated', 'select'),
  ('retention_policies', 'authenticated',
    'delete, insert (company_id, app_id, kind, keep_days), select, update (company_id, app_id, kind, keep_days)'),
  ('superadmins', 'authenticated', 'select');
insert into expected_privileges
select name, 'service_role', 'delete, insert, select, update' from ours where schema = 'public' and kind in ('r', 'p');

create temp view actual_privileges as
with granted as (
  select name as relation, grantee, lower(privilege_type) as verb, null::name as column_name, 0 as number
  from ours cross join aclexplode(acl)
  where schema = 'public'
  union all
  select ours.name, grantee, lower(privilege_type), attname, attnum
  from ours join pg_attribute on attrelid = ours.oid cross join aclexplode(attacl)
  where schema = 'public'
),
by_verb as (
  select relation, coalesce(rolname, 'public')::text as grantee,
    verb || coalesce(' (' || string_agg(column_name, ', ' order by number) || ')', '') as privilege
  from granted left join pg_roles on pg_roles.oid = grantee
  group by relation, rolname, verb
)
select relation, grantee, string_agg(privilege, ', ' order by privilege) as privileges
from by_verb
where grantee <> 'postgres'
group by relation, grantee;

select is(
  (select string_agg(grantee || ': ' || privileges, e'\n' order by grantee) from actual_privileges where relation = ours.name),
  (select string_agg(grantee || ': ' || privileges, e'\n' order by grantee) from expected_privileges where relation = ours.name),
  format('on %s, each role has exactly the privileges that are listed here', ours.name))
from ours where schema = 'public' and kind in ('r', 'p')
order by name;
select is_empty($$ select name from ours where schema = 'public' and kind = 'S' $$, 'public has no sequences');
select is_empty($$
  select defaclobjtype, privilege_type, grantee::regrole
  from pg_default_acl cross join aclexplode(defaclacl)
  where defaclrole = 'postgres'::regrole and defaclnamespace in (0, 'public'::regnamespace) and grantee <> 'postgres'::regrole
$$, 'a new table, sequence or function is granted to nobody by default');

-- Functions

create temp view function_grants as
select schema, name, case grantee when 0 then 'public' else grantee::regrole::text end as grantee
from our_functions cross join aclexplode(coalesce(acl, acldefault('f', owner)))
where grantee <> owner;

select is_empty($$ select signature from our_functions where is_definer and schema <> 'private' $$,
  'every security definer function is in schema private');
select is_empty($$
  select signature from our_functions where config is null or not ('search_path=""' = any (config))
$$, 'every function of public and private pins an empty search path');
select is_empty($$ select schema, name from function_grants where grantee not in ('anon', 'authenticated', 'service_role') $$,
  'no function may be called by PUBLIC');
select set_eq($$ select schema || '.' || name from function_grants where grantee = 'anon' $$,
  array[
    'public.search_public_apps', 'private.search_public_apps',
    'public.read_package', 'private.read_package', 'public.read_package_version', 'private.read_package_version',
    'public.search_packages', 'private.search_packages', 'public.list_package_candidates', 'private.list_package_candidates',
    'public.list_package_changes', 'private.list_package_changes',
    'public.list_package_dependents', 'private.list_package_dependents', 'private.raise_error', 'private.semver_key', 'private.shortened',
    'private.name_query'],
  'anonymous may call the public catalogue, what reads packages, and what names their queries, and nothing else');
select set_eq($$ select name from function_grants where schema = 'public' and grantee = 'authenticated' $$, array[
  'create_download_token', 'list_app_download_counts', 'list_newest_app_runs', 'request_app_downloads', 'revoke_download_token',
  'delete_app_file', 'find_api_creation', 'keep_api_answer', 'take_api_requests',
  'begin_app_upload', 'cancel_app_run', 'cancel_app_upload', 'company_storage_usage', 'create_app_webhook', 'create_company', 'list_app_customers',
  'list_package_candidates', 'list_package_changes', 'list_package_dependents', 'manifest_store_stats', 'next_cron_run', 'preview_cron_runs', 'read_package', 'read_package_version',
  'request_app_run', 'request_app_runs', 'retry_app_run', 'rotate_app_webhook_secret', 'search_packages', 'search_public_apps',
  'start_app_upload_verification'
], 'signed-in users may call exactly the functions that are listed here');
select set_eq($$ select name from function_grants where schema = 'public' and grantee = 'service_role' $$, array[
  'create_download_token', 'find_download_token', 'list_app_download_counts', 'request_app_downloads', 'revoke_download_token', 'use_download_token',
  'apply_retention', 'audit_storage_objects', 'audit_storage_rows', 'check_app_upload', 'check_storage_usage', 'claim_object_deletions', 'company_storage_usage',
  'finish_object_deletions', 'object_deletion_backlog', 'queue_orphans', 'repair_storage_row', 'repair_storage_usage',
  'delete_app_file', 'find_api_creation', 'keep_api_answer', 'take_api_requests',
  'begin_app_upload', 'cancel_app_run', 'cancel_app_upload', 'cancel_query', 'change_package_settings', 'claim_app_builds', 'claim_app_runs',
  'clear_manifest_store', 'complete_app_upload', 'count_package_downloads', 'count_package_fallbacks', 'create_app_webhook', 'enqueue_due_app_runs', 'expire_app_uploads', 'extend_app_build_leases', 'extend_app_run_leases', 'fail_app_upload',
  'finish_and_claim_app_runs', 'finish_app_build', 'finish_app_run', 'finish_app_runs', 'list_app_customers', 'list_package_candidates', 'list_package_changes', 'list_package_dependents', 'list_package_moves',
  'list_unparsed_package_versions', 'manifest_store_stats', 'move_package_content', 'next_cron_run', 'package_settings', 'preview_cron_runs',
  'publish_package', 'read_package', 'read_package_version', 'receive_app_webhook', 'register_executor',
  'release_app_builds', 'release_app_runs', 'release_expired_app_builds', 'release_expired_app_runs', 'request_app_run', 'request_app_runs',
  'retry_app_run', 'rotate_app_webhook_secret', 'save_package_dependencies', 'search_packages', 'search_public_apps',
  'start_app_upload_verification'
], 'the service may call exactly the functions that are listed here');
select set_eq($$
  select distinct name from function_grants f
  where schema = 'private' and not exists (
    select from function_grants p where p.schema = 'public' and (p.name, p.grantee) = (f.name, f.grantee))
$$, array[
  'log_app_link', 'my_app_ids', 'name_query',
  'is_manifest_id', 'is_manifest_reader', 'is_object', 'is_package_name', 'is_safe_path', 'is_semver', 'is_service', 'is_slug', 'is_span', 'is_superadmin',
  'my_assigned_app_ids', 'my_company_ids', 'my_published_app_ids',
  'package_name_key', 'raise_error', 'semver_key', 'sha256_hex', 'shortened', 'time_ordered_uuid'
], 'of private, only rules, predicates, ids, the log of links and the name of queries are granted beside what stands behind a function of public');
select is_empty($$
  select f.name, f.grantee from function_grants f
  where schema = 'public' and not exists (
    select from function_grants p where p.schema = 'private' and (p.name, p.grantee) = (f.name, f.grantee))
$$, 'whoever may call a function of public may call what it stands for');

-- Policies

select is_empty($$
  select schemaname, tablename, cmd, role, count(*)
  from our_policies cross join unnest(roles) role
  where permissive = 'PERMISSIVE'
  group by schemaname, tablename, cmd, role having count(*) > 1
$$, 'a table has one policy for a command and a role');
select is_empty($$ select tablename, policyname from our_policies where cmd = 'ALL' $$, 'a policy is for one command');
select is_empty($$
  select tablename, policyname from our_policies
  where roles <> '{authenticated}' and not (roles = '{anon}' and cmd = 'SELECT' and tablename ~ '^package')
$$, 'policies are for signed-in users; anonymous reads packages, and the service needs none');
-- Without a check, Postgres takes the other condition for one. Where that asks for the caller alone, a check would be the
-- same words again, which no test could miss; where it asks for the row, it must be said what the row may become.
select is_empty($$
  select tablename, policyname from our_policies
  where cmd = 'UPDATE' and (
    qual is null or 'true' in (qual, with_check)
    or (with_check is null) <> (qual = '( SELECT private.is_superadmin() AS is_superadmin)'))
$$, 'a policy for updates says which rows may be changed, and into what');
select is_empty($$
  select tablename, policyname from our_policies cross join lateral (values (qual), (with_check)) conditions (condition)
  where regexp_replace(condition, '\( SELECT (auth\.uid|private\.\w+)\(', '', 'g') ~ '(auth|private)\.\w+\('
$$, 'no policy calls a function for each row');

-- Constraints and indexes

select is_empty($$
  select conrelid::regclass, conname
  from pg_constraint c join ours on ours.oid = c.conrelid
  where contype = 'f' and not exists (
    select from pg_index i
    where i.indrelid = c.conrelid
      -- A row without a reference need not be found.
      and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', (
        select attname from pg_attribute where attrelid = c.conrelid and attnum = c.conkey[1])))
      and (string_to_array(i.indkey::text, ' ')::smallint[])[1:cardinality(c.conkey)] @> c.conkey)
$$, 'every foreign key has an index that begins with its columns');
select is_empty($$
  select name from ours where kind in ('r', 'p') and not exists (select from pg_index where indrelid = ours.oid and indisprimary)
$$, 'every table has a primary key');
-- Otherwise a publication of all tables would stop whoever changes one.
select is_empty($$ select name from ours join pg_class using (oid) where kind in ('r', 'p') and relreplident <> 'd' $$,
  'every table is replicated by its primary key');
select is_empty($$
  select t.name, t.column_name
  from (
    select ours.name, attname as column_name, format_type(atttypid, null) as type
    from ours join pg_attribute on attrelid = ours.oid
    where kind in ('r', 'p') and attnum > 0 and not attisdropped
  ) t
  where type in ('timestamp without time zone', 'json', 'character varying', 'character')
$$, 'times have a zone, and documents are jsonb');

select set_eq($$
  select ours.name || '.' || attname
  from ours join pg_attribute on attrelid = ours.oid
  where schema = 'public' and kind in ('r', 'p') and attnum > 0 and not attisdropped and not attnotnull
$$, array[
  'app_assignments.assigned_by',
  'app_builds.build_path', 'app_builds.file_size', 'app_builds.checksum', 'app_builds.source_checksum', 'app_builds.build_logs', 'app_builds.build_logs_size',
  'app_builds.error_message', 'app_builds.executor_id', 'app_builds.lease_expires_at', 'app_builds.requested_by',
  'app_builds.started_at', 'app_builds.completed_at',
  'app_cron_schedules.last_run_at', 'app_cron_schedules.next_run_at', 'app_cron_schedules.last_run_id', 'app_cron_schedules.created_by',
  'app_cron_skips.due_count',
  'app_download_tokens.file_id', 'app_download_tokens.output_id', 'app_download_tokens.label', 'app_download_tokens.file_name',
  'app_download_tokens.max_downloads', 'app_download_tokens.last_used_at', 'app_download_tokens.revoked_at',
  'app_download_tokens.revoked_by', 'app_download_tokens.created_by',
  'app_downloads.user_id', 'app_downloads.token_id', 'app_downloads.version', 'app_downloads.file_id', 'app_downloads.bytes',
  'app_outputs.output_data', 'app_outputs.output_bucket', 'app_outputs.output_path', 'app_outputs.file_size',
  'app_permissions.version', 'app_permissions.description',
  'app_runs.build_id', 'app_runs.executor_id', 'app_runs.lease_expires_at', 'app_runs.cancel_requested_at', 'app_runs.started_at',
  'app_runs.completed_at', 'app_runs.duration_ms', 'app_runs.logs_path', 'app_runs.output_path', 'app_runs.error_message',
  'app_runs.idempotency_key', 'app_runs.requested_by', 'app_runs.retry_of',
  'app_uploads.replaces_bytes', 'app_uploads.error_code', 'app_uploads.error_message', 'app_uploads.created_by', 'app_uploads.verifying_until',
  'app_uploads.completed_at', 'app_uploads.file_id',
  'app_versions.manifest', 'app_versions.status_reason', 'app_versions.created_by', 'app_versions.published_by', 'app_versions.published_at',
  'app_webhook_deliveries.run_id', 'app_webhook_deliveries.message',
  'app_webhooks.version', 'app_webhooks.secret_fingerprint', 'app_webhooks.secret_rotated_at',
  'app_webhooks.previous_secret_expires_at', 'app_webhooks.last_delivery_at', 'app_webhooks.created_by',
  'applications.created_by',
  'package_dependencies.dependency_namespace', 'package_dependencies.dependency_name', 'package_dependencies.version_range',
  'package_dependencies.import_path', 'package_dependencies.from_file',
  'package_files.content', 'package_files.storage_path', 'package_files.proto_package',
  'package_namespaces.company_id',
  'package_version_changes.version_id', 'package_version_changes.reason', 'package_version_changes.changed_by',
  'package_versions.company_id', 'package_versions.status_reason', 'package_versions.yaml_content', 'package_versions.storage_path',
  'package_versions.dependencies_parsed_at', 'package_versions.parse_error', 'package_versions.resolution',
  'package_versions.resolved_at', 'package_versions.import_run', 'package_versions.published_at',
  'packages.company_id', 'packages.latest_version',
  'retention_policies.company_id', 'retention_policies.app_id', 'retention_policies.keep_days'
], 'exactly the columns that are listed here may be null');

-- Comments

select is_empty($$
  select name from ours where kind in ('r', 'p') and schema = 'public' and obj_description(oid, 'pg_class') is null
$$, 'every table of public has a comment');
select is_empty($$
  select signature from our_functions where schema = 'public' and obj_description(oid, 'pg_proc') is null
$$, 'every function of public has a comment');

-- Realtime

select is_empty($$
  select unnest(array['app_builds', 'app_outputs', 'app_runs'])
  where exists (select from pg_publication where pubname = 'supabase_realtime')
  except
  select tablename from pg_publication_tables where pubname = 'supabase_realtime' and schemaname = 'public'
$$, 'builds, runs and outputs are published to realtime, where there is one');
select is_empty($$
  select pubname from pg_publication where pubname = 'supabase_realtime' and (pubdelete or pubtruncate)
$$, 'deletions are not published: nobody could say who may know of them');

select * from finish();
rollback;
