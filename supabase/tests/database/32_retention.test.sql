-- What is too old goes, by the policy that is closest; what is needed stays.
begin;
\ir tests.inc
select plan(70);

-- What else the database holds is kept here.
update retention_policies set keep_days = null;
update app_uploads set expires_at = 'infinity' where status in ('pending', 'verifying');

-- As long as this transaction lasts, a row is as old as it says.
create or replace function private.set_updated_at() returns trigger language plpgsql set search_path = '' as $$
begin
  if new.updated_at = old.updated_at then
    new.updated_at := now();
  end if;
  return new;
end;
$$;

create function pg_temp.keep(kind text, days integer, company text default null, app text default null) returns void language sql as $$
  insert into retention_policies (kind, keep_days, company_id, app_id)
  values (kind, days, pg_temp.id(company)::uuid, case when app is not null then pg_temp.id(app)::uuid end)
$$;
-- What would go, or goes: kind, rows, objects, bytes of each company and app.
create function pg_temp.goes(dry_run boolean, max_rows integer default 1000) returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', kind, rows, objects, bytes), ', ' order by kind, rows), 'nothing')
  from apply_retention(max_rows, dry_run)
$$;
create function pg_temp.add_output(run text, type text, output_name text, days integer) returns void language sql as $$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size, created_at)
  select id, type, output_name, case type when 'stdout' then 'app-logs' else 'app-storage' end,
    'app_' || app_id || '/runs/' || id || '/' || output_name, 10, now() - make_interval(days => days)
  from app_runs where id = pg_temp.id(run)::uuid
$$;

-- Who sets policies: access.inc. What they may say:

select pg_temp.refuses('customer owner', format($$ insert into retention_policies (company_id, kind, keep_days) values ('{customer company}', %s) $$, bad),
  '23514', format('new row for relation "retention_policies" violates check constraint "retention_policies_%s"', name), 'cannot say ' || bad)
from (values ($$'logs', 0$$, 'keep_days_range'), ($$'logs', 36501$$, 'keep_days_range'), ($$'everything', 1$$, 'kind')) bad (bad, name);
select pg_temp.refuses('service', $$ insert into retention_policies (app_id, kind, keep_days) values ('{private app}', 'logs', 1) $$, '23514',
  'new row for relation "retention_policies" violates check constraint "retention_policies_app_of_company"', 'cannot say what is kept of an app for all companies');
select pg_temp.refuses('customer owner', $$
  insert into retention_policies (company_id, kind, keep_days) values ('{customer company}', 'logs', 1), ('{customer company}', 'logs', 2) $$, '23505',
  'duplicate key value violates unique constraint "retention_policies_scope_key"', 'cannot say it twice');
select pg_temp.refuses(actor, 'select apply_retention()', '42501', 'permission denied for function apply_retention', 'cannot apply policies')
from unnest(array['anonymous', 'customer owner', 'superadmin']) actor;
select pg_temp.refuses('service', 'select apply_retention(0)', 'SW001', 'max_rows takes 1 to 10000.', 'cannot ask for no rows', 'max_rows');

-- Logs and outputs

select pg_temp.create_run('done', 'private app', 'customer company', 'success');
select pg_temp.create_run('going', 'private app', 'customer company', 'running');
select pg_temp.create_run('publisher''s', 'private app', 'publisher company', 'success');
select pg_temp.add_output(run, 'stdout', 'old.log', 40), pg_temp.add_output(run, 'stdout', 'new.log', 1), pg_temp.add_output(run, 'file', 'old', 40)
from unnest(array['done', 'going', 'publisher''s']) run;
select is(pg_temp.goes(true), 'nothing', 'without a policy nothing goes');
select pg_temp.keep('logs', 30, 'customer company');
select is(pg_temp.goes(true), 'logs 1 1 10', 'a company''s policy is for its own runs, and for finished ones');
select pg_temp.keep('logs', null, 'customer company', 'private app');
select is(pg_temp.goes(true), 'nothing', 'the policy for an app counts before the company''s');
update retention_policies set keep_days = 39 where app_id is not null;
select is(pg_temp.goes(true), 'logs 1 1 10', 'whichever is longer');
delete from retention_policies where app_id is not null;
update retention_policies set keep_days = 20 where company_id is null and kind in ('logs', 'outputs');
update retention_policies set keep_days = null where company_id = pg_temp.id('customer company')::uuid;
select is((select string_agg(concat_ws(' ', kind, company_id = pg_temp.id('customer company')::uuid, rows), ', ' order by kind, company_id = pg_temp.id('customer company')::uuid)
  from apply_retention(dry_run => true)), 'logs f 1, outputs f 1, outputs t 1', 'the policy for all is for those who say nothing else');
select is((select count(*) from app_outputs where company_id = pg_temp.id('customer company')::uuid), 6::bigint, 'a dry run takes nothing away');
select is(pg_temp.goes(false, 1), 'logs 1 1 10', 'a run takes no more than it may');
select is(pg_temp.goes(false), 'outputs 1 1 10, outputs 1 1 10', 'the next goes on');
select is(pg_temp.goes(false), 'nothing', 'until there is nothing left');
select is((select string_agg(output_name, ' ' order by output_name) from app_outputs where run_id = pg_temp.id('publisher''s')::uuid), 'new.log', 'what is young stays');
select is((select count(*) from private.object_deletions where name like '%/runs/%'), 3::bigint, 'the objects are queued');
select is_empty('select * from check_storage_usage()', 'the usage adds up');

-- Builds

create function pg_temp.create_old_build(name text, version text, wanted text, days integer) returns void language plpgsql as $$
declare
  new_id uuid;
begin
  insert into app_builds (app_id, build_version, created_at)
  values (pg_temp.id('private app')::uuid, version, now() - make_interval(days => days + 1)) returning id into new_id;
  update app_builds set build_status = 'building', build_path = 'app_' || app_id || '/builds/' || id || '/build.tar.gz',
    build_logs = 'app_' || app_id || '/builds/' || id || '/build.log' where id = new_id;
  insert into storage.objects (bucket_id, name, metadata) select 'app-logs', build_logs, '{"size": 5}' from app_builds where id = new_id;
  update app_builds set build_status = wanted, completed_at = now() - make_interval(days => days) where id = new_id;
  perform pg_temp.remember(name, new_id);
end;
$$;
select pg_temp.create_old_build(name, version, status, days) from (values
  ('first', '1.0.0', 'success', 20), ('second', '1.0.0', 'success', 10), ('broken', '1.0.0', 'failed', 10), ('archived', '0.9.0', 'success', 10)
) b (name, version, status, days);
select pg_temp.keep('builds', 7, 'customer company');
select is(pg_temp.goes(true), 'nothing', 'what is kept of builds is the publisher''s to say');
select pg_temp.keep('builds', 7, 'publisher company');
select is(pg_temp.goes(true), 'builds 3 6 15', 'old builds go, but the newest success of a version that can run');
select pg_temp.create_run('needs it', 'private app', 'customer company');
update app_runs set build_id = pg_temp.id('first')::uuid where id = pg_temp.id('needs it')::uuid;
select is(pg_temp.goes(false), 'builds 2 4 10', 'and what a run waits for');
select is((select string_agg(w.name, ' ' order by w.name) from app_builds b join world w on w.value = b.id::text where b.app_id = pg_temp.id('private app')::uuid),
  'first second', 'are still there');
update app_runs set status = 'cancelled' where id = pg_temp.id('needs it')::uuid;
select is(pg_temp.goes(false), 'builds 1 2 5', 'when the run is over it goes');

-- Versions: 0.9.0 archived, 1.0.0 published, 1.1.0 deprecated, 2.0.0 a draft

create function pg_temp.age_versions() returns void language sql as $$
  update app_versions set updated_at = now() - interval '100 days' where app_id = pg_temp.id('private app')::uuid
$$;
select pg_temp.age_versions();
select pg_temp.keep('versions', 99, 'publisher company');
select is(pg_temp.goes(true), 'versions emptied 1 2 23', 'the newest version that was released stays, deprecated or not');
select pg_temp.create_version('private app', '1.2.0', 'published');
select pg_temp.create_run('of deprecated', 'private app', 'customer company', 'pending', '1.1.0');
select is(pg_temp.goes(true), 'versions emptied 1 2 23', 'so does one that a run needs');
update app_runs set status = 'cancelled' where id = pg_temp.id('of deprecated')::uuid;
select pg_temp.learn('webhook', 'customer owner', $$ select webhook_id from create_app_webhook('{private app}', '{customer company}', 'Pinned') $$);
update app_webhooks set version = '1.1.0' where id = pg_temp.id('webhook')::uuid;
select is(pg_temp.goes(true), 'versions emptied 1 2 23', 'so does one that a webhook needs');
update app_webhooks set is_active = false where id = pg_temp.id('webhook')::uuid;
select pg_temp.create_build('under way', 'private app', '1.1.0');
select is(pg_temp.goes(true), 'versions emptied 1 2 23', 'so does one that is being built');
update app_builds set build_status = 'cancelled' where id = pg_temp.id('under way')::uuid;
select is(pg_temp.goes(false), 'versions archived 1 0 0, versions emptied 1 2 23', 'a deprecated version is archived, an archived one emptied');
select is((select status || ': ' || status_reason from app_versions where app_id = pg_temp.id('private app')::uuid and version = '1.1.0'),
  'archived: Deprecated for longer than such versions are kept.', 'the reason is told');
select is((select count(*) from app_storage where app_id = pg_temp.id('private app')::uuid and version = '0.9.0'), 0::bigint, 'the files are gone');
select is((select count(*) from app_versions where app_id = pg_temp.id('private app')::uuid and version = '0.9.0'), 1::bigint,
  'the version is not: its number is never free again');
select is(pg_temp.goes(false), 'nothing', 'what has just been archived keeps its files for as long again');
select pg_temp.age_versions();
select is(pg_temp.goes(false), 'versions emptied 1 3 23', 'and loses them then, builds included');
select is((select count(*) from app_storage where app_id = pg_temp.id('private app')::uuid and version in ('1.0.0', '1.2.0', '2.0.0')), 6::bigint,
  'published versions and drafts keep theirs');

-- Uploads that are over, or whose time is; skips; deliveries

select pg_temp.learn('over', 'publisher owner', $$
  select id from begin_app_upload('{private app}', '2.0.0', 'over.css', 'dist', 'text/css', 1, pg_temp.checksum('x')) $$);
select pg_temp.learn('late', 'publisher owner', $$
  select id from begin_app_upload('{private app}', '2.0.0', 'late.css', 'dist', 'text/css', 1, pg_temp.checksum('x')) $$);
select pg_temp.allows('publisher owner', $$ select from cancel_app_upload('{over}') $$, 'gives an upload up');
update app_uploads set expires_at = now() - interval '1 hour' where id = pg_temp.id('late')::uuid;
update app_uploads set updated_at = now() - interval '8 days' where id = pg_temp.id('over')::uuid;
select pg_temp.keep('uploads', 7, 'publisher company');
select is(pg_temp.goes(true), 'uploads 1 0 0', 'rows of uploads that are over go');
select is((select status from app_uploads where id = pg_temp.id('late')::uuid), 'pending', 'a dry run ends no upload');
select is(pg_temp.goes(false), 'uploads 1 0 0', 'they go');
select is((select status from app_uploads where id = pg_temp.id('late')::uuid), 'expired', 'what is late is ended');

select pg_temp.learn('schedule', 'customer owner', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{customer company}', '@daily') returning id $$);
insert into app_cron_skips (schedule_id, company_id, first_due_at, last_due_at, reason, message, created_at)
select pg_temp.id('schedule')::uuid, pg_temp.id('customer company')::uuid, at, at, 'missed', 'Missed', at
from unnest(array[now() - interval '9 days', now() - interval '1 day']) at;
insert into app_webhook_deliveries (webhook_id, delivery_id, company_id, outcome, body_size, last_received_at)
select pg_temp.id('webhook')::uuid, name, pg_temp.id('customer company')::uuid, 'enqueued', 0, at
from (values ('old', now() - interval '9 days'), ('new', now())) d (name, at);
select pg_temp.keep('cron_skips', 7, 'customer company'), pg_temp.keep('webhook_deliveries', 7, 'customer company');
select is(pg_temp.goes(true), 'cron_skips 1 0 0, webhook_deliveries 1 0 0', 'old skips and deliveries would go');
select is(pg_temp.goes(false), 'cron_skips 1 0 0, webhook_deliveries 1 0 0', 'they go');
select is((select string_agg(delivery_id, ' ') from app_webhook_deliveries where webhook_id = pg_temp.id('webhook')::uuid), 'new', 'younger ones stay');
-- Runs: with all that they put out, of each no more in a step than allowed

select pg_temp.create_run(name, 'private app', 'customer company', status) from (values
  ('ancient', 'success'), ('failed', 'failed'), ('recent', 'success'), ('waiting', 'pending'), ('held', 'running')) r (name, status);
-- As the queue's own functions do it.
select set_config('stowage.queue', 'on', true);
update app_runs set created_at = now() - interval '50 days', started_at = now() - interval '50 days',
  completed_at = case when completed_at is not null then now() - interval '40 days' end
where id in (select value::uuid from world where name in ('ancient', 'failed', 'waiting', 'held'));
update app_runs set created_at = now() - interval '50 days', logs_path = null where id = pg_temp.id('recent')::uuid;
update app_runs set retry_of = pg_temp.id('ancient')::uuid where id = pg_temp.id('waiting')::uuid;
select set_config('stowage.queue', '', true);
update app_cron_schedules set last_run_id = pg_temp.id('ancient')::uuid where id = pg_temp.id('schedule')::uuid;
select pg_temp.add_output(run, 'stdout', 'stdout.log', 40), pg_temp.add_output(run, 'file', 'kept', 40) from unnest(array['ancient', 'recent', 'held']) run;
insert into app_outputs (run_id, output_type, output_name, output_data, created_at)
values (pg_temp.id('ancient')::uuid, 'metric', 'rows', '{"value": 1}', now() - interval '40 days');
update retention_policies set keep_days = 39 where company_id = pg_temp.id('customer company')::uuid and kind = 'logs';
update retention_policies set keep_days = null where company_id is null and kind in ('logs', 'outputs');
select is(pg_temp.goes(true), 'logs 3 3 30', 'no run goes by itself');
select pg_temp.keep('runs', 41, 'customer company');
select is(pg_temp.goes(true), 'logs 3 3 30', 'what counts is when a run was over');
update retention_policies set keep_days = 30 where kind = 'runs' and company_id is not null;
select pg_temp.keep('runs', null, 'customer company', 'private app');
select is(pg_temp.goes(true), 'logs 3 3 30', 'runs of an app may be kept for longer');
delete from retention_policies where kind = 'runs' and app_id is not null;
select is(pg_temp.goes(true), 'logs 3 3 30, outputs of runs 2 1 10, runs 2 0 0', 'what would go is told: outputs and runs, and what has a policy of its own');
select matches(pg_temp.goes(false, 4), '^logs 3 3 30, outputs of runs 1 \d \d+$', 'outputs go first');
select is((select count(*) from app_runs where id = pg_temp.id('ancient')::uuid), 1::bigint, 'as long as one is there the run stays');
select pg_temp.goes(false);
select is(pg_temp.goes(true), 'nothing', 'until there is nothing left');
select is((select string_agg(name, ' ' order by name) from world join app_runs on id::text = value where name in ('ancient', 'failed', 'recent', 'waiting', 'held')),
  'held recent waiting', 'what waits, runs or is young stays');
select is((select string_agg(output_name, ' ' order by output_name) from app_outputs where run_id = pg_temp.id('recent')::uuid), 'kept', 'with what it put out');
select is((select retry_of from app_runs where id = pg_temp.id('waiting')::uuid), null, 'who was a retry forgets of what');
select is((select last_run_id from app_cron_schedules where id = pg_temp.id('schedule')::uuid), null, 'so does the schedule');
select isnt_empty(format('select from private.object_deletions where name = %L', pg_temp.fill('app_{private app}/runs/{ancient}/kept')), 'its objects are queued');

-- Downloads and their tokens

insert into app_downloads (company_id, app_id, version, bucket, path, method, bytes, created_at)
select pg_temp.id('customer company')::uuid, pg_temp.id('private app')::uuid, version, 'app-storage', 'x', 'link', 5, now() - make_interval(days => days)
from (values ('1.0.0', 9), ('1.0.0', 9), ('1.0.0', 1), (null, 9)) d (version, days);
create function pg_temp.create_token(token_name text, days integer, expires interval) returns void language plpgsql as $$
declare
  new_id uuid;
begin
  insert into app_download_tokens (company_id, app_id, file_id, label, expires_at, secret_sha256, created_at)
  select pg_temp.id('customer company')::uuid, f.app_id, f.id, token_name, now() + expires, encode(sha256(gen_random_uuid()::text::bytea), 'hex'),
    now() - make_interval(days => days)
  from app_storage f where f.file_path = pg_temp.fill('app_{private app}/1.0.0/source.zip')
  returning id into new_id;
  perform pg_temp.remember(token_name, new_id);
end;
$$;
select pg_temp.create_token(name, 20, expires::interval) from (values
  ('expired', '-9 days'), ('just expired', '-1 day'), ('revoked', '9 days'), ('used up', '9 days'), ('valid', '9 days'), ('logged token', '-9 days')) t (name, expires);
update app_download_tokens set revoked_at = now() - interval '9 days' where id = pg_temp.id('revoked')::uuid;
update app_download_tokens set max_downloads = 1, download_count = 1, last_used_at = now() - interval '9 days' where id = pg_temp.id('used up')::uuid;
update app_download_tokens set download_count = 1, last_used_at = now() - interval '9 days' where id = pg_temp.id('valid')::uuid;
update app_downloads set token_id = pg_temp.id('logged token')::uuid, method = 'token' where version = '1.0.0' and created_at > now() - interval '2 days'
  and app_id = pg_temp.id('private app')::uuid;
select is(pg_temp.goes(true), 'nothing', 'downloads and tokens are kept');
select pg_temp.answers('publisher member', $$ select string_agg(concat_ws(' ', version, method, downloads, bytes), ', ') from list_app_download_counts('{private app}') $$,
  '1.0.0 link 2 10, 1.0.0 token 1 5', 'sees how often files were fetched');
select pg_temp.keep('downloads', 7, 'customer company'), pg_temp.keep('download_tokens', 7, 'customer company');
select is(pg_temp.goes(true), 'download_tokens 3 0 0, downloads 3 0 0', 'what is old, and useless for so long, would go');
select is(pg_temp.goes(false), 'download_tokens 3 0 0, downloads 3 0 0', 'it goes');
select is((select string_agg(label, ', ' order by label) from app_download_tokens where company_id = pg_temp.id('customer company')::uuid),
  'just expired, logged token, valid', 'tokens stay that are good, were good lately, or are named by the log');
select pg_temp.answers('publisher member', $$ select string_agg(concat_ws(' ', version, method, downloads, bytes), ', ') from list_app_download_counts('{private app}') $$,
  '1.0.0 link 2 10, 1.0.0 token 1 5', 'and what is not logged any more stays counted');
select pg_temp.answers('outsider', $$ select count(*) from list_app_download_counts('{private app}') $$, '0', 'learns nothing of it');
update app_downloads set created_at = now() - interval '8 days' where token_id = pg_temp.id('logged token')::uuid;
select is(pg_temp.goes(false), 'download_tokens 1 0 0, downloads 1 0 0', 'when the log''s last row goes, so does the token that it named');

-- What nobody has to say

insert into executors (id, last_seen_at) values
  ('lost ' || pg_temp.id('executor'), now() - interval '31 days'), ('seen ' || pg_temp.id('executor'), now() - interval '29 days'),
  ('holds ' || pg_temp.id('executor'), now() - interval '31 days'), ('builds ' || pg_temp.id('executor'), now() - interval '31 days');
update app_runs set executor_id = 'holds ' || executor_id where id = pg_temp.id('held')::uuid;
select pg_temp.create_build('held build', 'private app', '1.0.0', 'building');
update app_builds set executor_id = 'builds ' || pg_temp.id('executor') where id = pg_temp.id('held build')::uuid;
insert into private.api_creations (caller, idempotency_key, fingerprint, resource_id, created_at)
select pg_temp.id('nobody')::uuid, key, 'x', 'x', at from (values ('old', now() - interval '25 hours'), ('new', now() - interval '23 hours')) k (key, at);
insert into private.api_request_counts values
  (pg_temp.id('nobody')::uuid, now() - interval '49 hours', 1), (pg_temp.id('outsider')::uuid, now() - interval '47 hours', 1);
select is(pg_temp.goes(true), 'api_creations 1 0 0, api_request_counts 1 0 0, executors 1 0 0', 'executors that were lost and what the API remembers would go');
select is(pg_temp.goes(false), 'api_creations 1 0 0, api_request_counts 1 0 0, executors 1 0 0', 'they go');
select is((select string_agg(split_part(id, ' ', 1), ' ' order by id) from executors where id like '% ' || pg_temp.id('executor')), 'builds holds seen', 'those with work stay');
select is(pg_temp.goes(false), 'nothing', 'and nothing is left');
select is_empty('select * from check_storage_usage()', 'after all of it the usage adds up');

select * from finish();
rollback;
