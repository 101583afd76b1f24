-- Download tokens, links and the log, as far as the database decides them.
begin;
\ir tests.inc
select plan(94);

select pg_temp.create_run('run', 'private app', 'customer company', 'success');
select pg_temp.create_run('test run', 'private app', 'publisher company', 'success', '2.0.0', 'test');
select pg_temp.learn(name, 'service', format($$
  insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path)
  values ('{%s}', 'file', 'chart.svg', 'app-storage', 'app_{private app}/runs/{%s}/outputs/chart.svg') returning id $$, run, run))
from (values ('output', 'run'), ('test output', 'test run')) outputs (name, run);
select pg_temp.learn('result', 'service', $$
  insert into app_outputs (run_id, output_type, output_name, output_data) values ('{run}', 'result', 'r', '1') returning id $$);
insert into storage.objects (bucket_id, name, metadata)
select 'app-storage', pg_temp.fill(format('app_{private app}/runs/{%s}/outputs/chart.svg', run)),
  '{"mimetype": "image/svg+xml", "size": 7, "eTag": "\"abc\""}'
from unnest(array['run', 'test run']) run;
select pg_temp.learn(name, 'service', format($$
  select id from app_storage where app_id = '{private app}' and version = '%s' and file_type = '%s' $$, app_version, type))
from (values
  ('dist', '1.0.0', 'dist'), ('source', '1.0.0', 'source'), ('draft', '2.0.0', 'dist'), ('deprecated', '1.1.0', 'dist'),
  ('archived', '0.9.0', 'dist')) files (name, app_version, type);
select pg_temp.remember('nothing', gen_random_uuid());

-- What a company may read is what its members see

select pg_temp.learn('seen by ' || company, company || ' member', $$
  select coalesce(string_agg(id::text, ' ' order by id), '')
  from (select id from app_storage union all select id from app_outputs) seen $$)
from unnest(array['publisher', 'customer']) company;
select is(
  (select coalesce(string_agg(id::text, ' ' order by id), '')
    from (
      select id from app_storage where private.company_may_read(pg_temp.id(company || ' company')::uuid, id, null)
      union all
      select id from app_outputs where private.company_may_read(pg_temp.id(company || ' company')::uuid, null, id)) may),
  pg_temp.id('seen by ' || company),
  format('the %s company may read exactly what its members see', company))
from unnest(array['publisher', 'customer']) company;
select ok(not private.company_may_read(pg_temp.id('customer company')::uuid, pg_temp.id('source')::uuid, null),
  'and what they do not see, it may not');

-- Making tokens

select pg_temp.allows(actor, format($$ select create_download_token(%s) $$, target), 'makes a token for ' || target)
from (values
  ('customer member', $$'{dist}'$$), ('customer member', $$'{deprecated}'$$), ('customer member', $$output_id => '{output}'$$),
  ('customer owner', $$'{dist}', company_id => '{customer company}'$$),
  ('publisher member', $$'{source}'$$), ('publisher member', $$'{draft}'$$), ('publisher member', $$'{archived}'$$),
  ('publisher member', $$output_id => '{test output}'$$), ('superadmin', $$'{source}'$$),
  ('superadmin', $$'{dist}', company_id => '{customer company}'$$),
  ('service', $$'{source}'$$), ('service', $$output_id => '{output}'$$)) cases (actor, target);
select pg_temp.refuses(actor, format($$ select create_download_token(%s) $$, target), 'SW002',
  'There is no such file among what the company reads.', 'makes no token for ' || target,
  case when target like 'output%' then 'output_id' else 'file_id' end)
from (values
  ('nobody', $$'{dist}'$$), ('outsider', $$'{dist}'$$), ('outsider', $$'{dist}', company_id => '{customer company}'$$),
  ('outsider', $$'{dist}', company_id => '{outsider company}'$$), ('outsider', $$'{nothing}'$$),
  ('customer member', $$'{source}'$$), ('customer member', $$'{draft}'$$), ('customer member', $$'{archived}'$$),
  ('customer member', $$'{dist}', company_id => '{publisher company}'$$), ('customer member', $$'{nothing}'$$),
  ('customer member', $$output_id => '{test output}'$$), ('customer member', $$output_id => '{result}'$$),
  ('publisher owner', $$output_id => '{output}'$$), ('publisher owner', $$'{source}', company_id => '{customer company}'$$),
  ('superadmin', $$'{source}', company_id => '{customer company}'$$),
  ('service', $$'{source}', company_id => '{outsider company}'$$)) cases (actor, target);
select pg_temp.refuses('customer member', format($$ select create_download_token(%s) $$, arguments), 'SW001', message,
  'makes no token with ' || arguments, field)
from (values
  ('', 'Name one of file_id and output_id.', 'file_id'),
  ($$'{dist}', '{output}'$$, 'Name one of file_id and output_id.', 'file_id'),
  ($$'{dist}', max_downloads => 0$$, 'max_downloads takes 1 to 1000000, or null for any number.', 'max_downloads'),
  ($$'{dist}', max_downloads => 1000001$$, 'max_downloads takes 1 to 1000000, or null for any number.', 'max_downloads'),
  ($$'{dist}', expires_in => null$$, 'expires_in takes 1 second to 366 days.', 'expires_in'),
  ($$'{dist}', expires_in => '0'$$, 'expires_in takes 1 second to 366 days.', 'expires_in'),
  ($$'{dist}', expires_in => '367 days'$$, 'expires_in takes 1 second to 366 days.', 'expires_in'),
  ($$'{dist}', expires_in => '1200 months -35640 days'$$, 'expires_in takes 1 second to 366 days.', 'expires_in'),
  ($$'{dist}', expires_in => '-70000000 months 2100000010 days'$$, 'expires_in takes 1 second to 366 days.', 'expires_in'),
  ($$'{dist}', label => ' '$$, 'label takes 1 to 200 characters.', 'label'),
  ($$'{dist}', file_name => 'a/b'$$, 'file_name takes 1 to 255 characters, without a path.', 'file_name'),
  ($$'{dist}', file_name => e'a\nb'$$, 'file_name takes 1 to 255 characters, without a path.', 'file_name')
) cases (arguments, message, field);
select pg_temp.refuses('anonymous', $$ select create_download_token('{dist}') $$, '42501',
  'permission denied for function create_download_token', 'makes no token');

-- Using them

create function pg_temp.make_token(new_name text, arguments text) returns void language plpgsql as $$
begin
  perform pg_temp.learn(new_name || ' secret', 'customer member', format('select secret from create_download_token(%s)', arguments));
  perform pg_temp.remember(new_name || ' hash', encode(sha256(convert_to(pg_temp.id(new_name || ' secret'), 'UTF8')), 'hex'));
  perform pg_temp.remember(new_name, (select id from app_download_tokens where secret_sha256 = pg_temp.id(new_name || ' hash')));
end;
$$;
select pg_temp.make_token('token', $$'{dist}', max_downloads => 2, file_name => 'new.js'$$);
select pg_temp.make_token('endless', $$output_id => '{output}', max_downloads => null$$);
select pg_temp.answers('service', $$ select (bucket, path, file_name, is_immutable) from find_download_token('{token hash}') $$,
  '(app-storage,app_{private app}/1.0.0/dist/index.js,new.js,t)', 'learns what a token leads to');
select pg_temp.answers('service', $$ select (path, file_name, file_size, stored_type, etag, is_immutable) from find_download_token('{endless hash}') $$,
  '(app_{private app}/runs/{run}/outputs/chart.svg,chart.svg,7,image/svg+xml,"""abc""",f)', 'learns it of an output too');
select pg_temp.refuses(actor, statement, '42501', 'permission denied for function ' || name, 'cannot look behind a token')
from (values
  ('customer owner', $$ select find_download_token('{token hash}') $$, 'find_download_token'),
  ('superadmin', $$ select use_download_token('{token}', 1) $$, 'use_download_token')) cases (actor, statement, name);
select pg_temp.answers('service', $$ select use_download_token('{token}', 10) $$, expected, 'uses the token once more')
from unnest(array['true', 'true', 'false', 'false']) expected;
select pg_temp.finds_nothing('service', $$ select find_download_token('{token hash}') $$, 'finds nothing behind a token that is used up');
select pg_temp.answers('customer member', $$ select string_agg(method || ' ' || bytes || ' ' || version, ', ') from app_downloads $$,
  'token 10 1.0.0, token 10 1.0.0', 'sees both in the log');
select pg_temp.answers('customer member', $$ select download_count || ' ' || (last_used_at is not null) from app_download_tokens where id = '{token}' $$,
  '2 true', 'sees the count');
select pg_temp.answers('service', $$ select use_download_token('{endless}', 7) $$, 'true', 'uses a token without a limit')
from generate_series(1, 3);
select pg_temp.finds_nothing('service', $$ select find_download_token('{nothing}') $$, 'finds nothing behind no token');

-- They end

select pg_temp.make_token(name, $$'{dist}'$$) from unnest(array['revoked', 'expired', 'lost']) name;
select pg_temp.refuses(actor, $$ select revoke_download_token('{revoked}') $$, code, message, 'cannot revoke it', 'token_id')
from (values
  ('nobody', 'SW002', 'There is no such download token among those of your companies.'),
  ('outsider', 'SW002', 'There is no such download token among those of your companies.'),
  ('publisher owner', 'SW002', 'There is no such download token among those of your companies.'),
  ('customer colleague', 'SW003', 'Members revoke their own tokens; owners and admins all of the company''s.')
) cases (actor, code, message);
select pg_temp.allows('customer member', $$ select revoke_download_token('{revoked}') $$, 'revokes the token that they made');
select pg_temp.answers('customer admin', $$ select (revoke_download_token('{revoked}')).revoked_by $$, '{customer member}',
  'revokes it again, which changes nothing');
update app_download_tokens set expires_at = now() where id = pg_temp.id('expired')::uuid;
select pg_temp.allows('service', $$ select find_download_token('{lost hash}') $$, 'finds what is still good');
delete from app_assignments where company_id = pg_temp.id('customer company')::uuid and app_id = pg_temp.id('private app')::uuid;
select pg_temp.finds_nothing('service', format($$ select find_download_token('{%s hash}') $$, name), format('finds nothing behind one that is %s', name))
from unnest(array['revoked', 'expired', 'lost']) name;
select pg_temp.answers('service', format($$ select use_download_token('{%s}', 1) $$, name), 'false', format('cannot use one that is %s', name))
from unnest(array['revoked', 'expired']) name;
insert into app_assignments (app_id, company_id) values (pg_temp.id('private app')::uuid, pg_temp.id('customer company')::uuid);

-- Links

select pg_temp.refuses('customer member', format($$ select request_app_downloads(%L) $$, items), 'SW001',
  'items takes an array of 1 to 100 objects.', 'asks for nothing by ' || left(items, 20), 'items')
from unnest(array['{}', '[]', 'null', (select jsonb_agg(n)::text from generate_series(1, 101) n)]) items;
select pg_temp.answers('customer member', $$
  select string_agg(number || ' ' || bucket || ' ' || path || ' ' || stored_type, ', ' order by number)
  from request_app_downloads(jsonb_build_array(
    jsonb_build_object('file_id', '{source}'), jsonb_build_object('output_id', '{output}'), '{}', '1',
    jsonb_build_object('bucket', 'app-storage', 'path', 'app_{private app}/1.0.0/dist/index.js'),
    jsonb_build_object('bucket', 'app-storage', 'path', 'app_{private app}/1.0.0/source.zip'))) $$,
  '2 app-storage app_{private app}/runs/{run}/outputs/chart.svg image/svg+xml, '
  '5 app-storage app_{private app}/1.0.0/dist/index.js application/octet-stream', 'gets what they see, and no more');
select pg_temp.answers('customer colleague', $$
  select string_agg(coalesce(version, 'output'), ', ' order by version) from app_downloads where user_id = '{customer member}' $$,
  '1.0.0, output', 'sees what a colleague was given');
select pg_temp.answers('superadmin', $$ select count(*) from request_app_downloads(jsonb_build_array(jsonb_build_object('output_id', '{output}'))) $$,
  '1', 'gets anything');
select pg_temp.answers('customer member', $$ select company_id from app_downloads where user_id = '{superadmin}' $$, '{customer company}',
  'sees that a superadmin did');
select pg_temp.answers('publisher member', $$ select count(*) from app_downloads $$, '0', 'sees nothing of it');
select pg_temp.answers('publisher member', $$ select string_agg(version || ' ' || method || ' ' || downloads, ', ') from list_app_download_counts('{private app}') $$,
  '1.0.0 link 1, 1.0.0 token 2', 'sees how often files of the app were handed out, and nothing of outputs');
select pg_temp.finds_nothing(actor, $$ select from list_app_download_counts('{private app}') $$, 'sees no counts')
from unnest(array['nobody', 'outsider', 'customer owner']) actor;

-- Storage signs nothing that would run

select pg_temp.add_object('app-logs', 'app_{private app}/runs/{run}/report.xml');
update storage.objects set metadata = '{"mimetype": "TEXT/XML"}' where name = pg_temp.fill('app_{private app}/runs/{run}/report.xml');
select pg_temp.add_object('app-logs', 'app_{private app}/runs/{run}/stdout.log');
select pg_temp.answers(actor, $$ select count(*) from storage.objects where name ^@ 'app_{private app}/runs/{run}/' $$, '3',
  'finds this many objects of the run for storage.object.list')
from unnest(array['customer member', 'superadmin']) actor, set_config('storage.operation', 'storage.object.list', true);
select pg_temp.answers(actor, $$ select count(*) from storage.objects where name ^@ 'app_{private app}/runs/{run}/' $$, '1',
  'finds this many objects of the run for storage.object.sign')
from unnest(array['customer member', 'superadmin']) actor, set_config('storage.operation', 'storage.object.sign', true);
select pg_temp.answers(actor, $$ select count(*) from storage.objects where name ^@ 'app_{private app}/runs/{run}/' $$, '1',
  'finds this many objects of the run for storage.object.sign_many')
from unnest(array['customer member', 'superadmin']) actor, set_config('storage.operation', 'storage.object.sign_many', true);
select pg_temp.answers(actor, $$ select count(*) from storage.objects where name ^@ 'app_{private app}/runs/{run}/' $$, '1',
  'finds this many objects of the run for object.sign')
from unnest(array['customer member', 'superadmin']) actor, set_config('storage.operation', 'object.sign', true);
select pg_temp.answers(actor, $$ select count(*) from storage.objects where name ^@ 'app_{private app}/runs/{run}/' $$, '3',
  'finds this many objects of the run for storage.object.sign_upload_url')
from unnest(array['customer member', 'superadmin']) actor, set_config('storage.operation', 'storage.object.sign_upload_url', true);

select * from finish();
rollback;
