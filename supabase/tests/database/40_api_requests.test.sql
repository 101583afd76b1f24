-- What the HTTP API relies on: idempotency keys, counted requests, and files taken out of drafts.
begin;
\ir tests.inc
select plan(57);

-- Idempotency keys. A request comes with headers, as PostgREST shows them.

create function pg_temp.send(key text, fingerprint text) returns void language sql as $$
  select set_config('request.headers', jsonb_build_object('x-idempotency-key', key, 'x-idempotency-fingerprint', fingerprint)::text, true)
$$;
create function pg_temp.plain() returns void language sql as $$ select set_config('request.headers', '{"accept": "*/*"}', true) $$;
create function pg_temp.insert_app(slug text) returns text language sql as $$
  select format($q$ insert into applications (slug, name, publisher_company_id) values ('%s', 'New', '{publisher company}') $q$, slug)
$$;

select pg_temp.finds_nothing('publisher owner', $$ select from find_api_creation('k1', 'f1') $$, 'has created nothing under a new key');
select pg_temp.send('k1', 'f1');
select pg_temp.allows('publisher owner', pg_temp.insert_app('idempotent'), 'creates an app under a key');
select pg_temp.refuses('publisher owner', pg_temp.insert_app('second'), 'SW052', 'This idempotency key has been used.',
  'creates nothing else under the same key', 'idempotency_key');
select pg_temp.plain();
select is_empty($$ select from applications where slug = 'second' $$, 'what was refused was not created');
select pg_temp.answers('publisher owner', $$
  select resource_id = (select id::text from applications where slug = 'idempotent') and answer is null from find_api_creation('k1', 'f1')
$$, 'true', 'finds what was created, without an answer yet');
select pg_temp.refuses('publisher owner', $$ select find_api_creation('k1', 'f2') $$, 'SW043',
  'This idempotency key was used for another request.', 'is told when the key was for something else', 'idempotency_key');
select pg_temp.finds_nothing(actor, $$ select from find_api_creation('k1', 'f1') $$, 'finds nothing under somebody else''s key')
from unnest(array['publisher admin', 'outsider', 'superadmin', 'service']) actor;
select pg_temp.answers('publisher owner', $$ select keep_api_answer('k1', '{"a": 1}') $$, 'true', 'keeps an answer');
select pg_temp.answers('publisher owner', $$ select keep_api_answer('k1', '{"a": 2}') $$, 'false', 'keeps no second one');
select pg_temp.answers('publisher owner', $$ select answer from find_api_creation('k1', 'f1') $$, '{"a": 1}', 'finds the answer');
select pg_temp.answers('outsider', $$ select keep_api_answer('k1', '{"a": 1}') $$, 'false', 'keeps no answer for somebody else');
select pg_temp.refuses('publisher owner', $$ select keep_api_answer('k1', null) $$, 'SW001', 'answer takes a document of 1 MiB.',
  'keeps no answer that is none', 'answer');
select pg_temp.refuses('publisher owner', $$ select keep_api_answer('k1', to_jsonb(repeat('x', 1048576))) $$, 'SW001',
  'answer takes a document of 1 MiB.', 'keeps no answer that is too large', 'answer');

select pg_temp.send('k1', 'f1');
select pg_temp.allows('publisher admin', pg_temp.insert_app('of-another'), 'creates under a key that somebody else has used');
update private.api_creations set created_at = now() - interval '25 hours' where idempotency_key = 'k1';
select pg_temp.send('k2', 'f1');
select pg_temp.allows('publisher owner', pg_temp.insert_app('a-day-later'), 'creates under another key a day later');
select is_empty($$ select from private.api_creations where idempotency_key = 'k1' $$, 'and what is older than a day is cleared away');
select pg_temp.send('k1', 'f3');
select pg_temp.allows('publisher owner', pg_temp.insert_app('again'), 'uses the key again');
select pg_temp.send(repeat('k', 201), 'f1');
select pg_temp.refuses('publisher owner', pg_temp.insert_app('long'), '23514',
  'new row for relation "api_creations" violates check constraint "api_creations_idempotency_key_length"', 'uses no key that is too long');

-- Everything that can be created remembers.
select pg_temp.send('c1', 'f');
select pg_temp.allows('publisher owner', $$ insert into app_versions (app_id, version) values ('{private app}', '7.0.0') $$, 'creates a version');
select pg_temp.send('c2', 'f');
select pg_temp.allows('publisher owner', $$ insert into app_builds (app_id, build_version) values ('{private app}', '1.0.0') $$, 'creates a build');
select pg_temp.send('c3', 'f');
select pg_temp.allows('publisher owner', $$ select request_app_run('{private app}', '{publisher company}') $$, 'asks for a run');
select pg_temp.send('c4', 'f');
select pg_temp.allows('publisher owner', $$
  insert into app_cron_schedules (app_id, company_id, cron_expression) values ('{private app}', '{publisher company}', '@daily') $$, 'schedules');
select pg_temp.send('c5', 'f');
select pg_temp.allows('publisher owner', $$ select create_app_webhook('{private app}', '{publisher company}', 'Hook') $$, 'creates a webhook');
select pg_temp.send('c6', 'f');
select pg_temp.allows('customer owner', $$ insert into app_assignments (app_id, company_id) values ('{public app}', '{customer company}') $$, 'assigns');
select pg_temp.send('c7', 'f');
select pg_temp.allows('superadmin', $$ insert into app_runs (app_id, company_id) values ('{private app}', '{customer company}') $$, 'adds a run');
select pg_temp.send('c8', 'f');
select pg_temp.allows('customer owner', $$
  select request_app_runs('[
    {"app_id": "{private app}", "company_id": "{customer company}", "config": {"n": 1}},
    {"app_id": "{private app}", "company_id": "{customer company}", "config": {"n": 2}}]') $$, 'asks for two runs', 2);
select pg_temp.refuses('customer owner', $$ select request_app_run('{private app}', '{customer company}') $$, 'SW052',
  'This idempotency key has been used.', 'asks for no run under the key of another call', 'idempotency_key');
select pg_temp.send('c9', 'f');
select pg_temp.allows('customer owner', $$
  select request_app_runs('[
    {"app_id": "{private app}", "company_id": "{customer company}", "config": {"n": 3}, "idempotency_key": "r1"},
    {"app_id": "{private app}", "company_id": "{customer company}", "config": {"n": 4}, "idempotency_key": "r2"}]') $$, 'asks for two runs with keys of their own', 2);
select pg_temp.plain();
select results_eq($$
    select idempotency_key, resource_id from private.api_creations where idempotency_key like 'c_' order by 1 $$,
  $$ values ('c1', '7.0.0'),
    ('c2', (select id::text from app_builds where app_id = pg_temp.id('private app')::uuid)),
    ('c3', (select id::text from app_runs where company_id = pg_temp.id('publisher company')::uuid and created_at = now())),
    ('c4', (select id::text from app_cron_schedules where app_id = pg_temp.id('private app')::uuid)),
    ('c5', (select id::text from app_webhooks where app_id = pg_temp.id('private app')::uuid)),
    ('c6', pg_temp.id('customer company')),
    ('c7', (select id::text from app_runs
      where company_id = pg_temp.id('customer company')::uuid and created_at = now() and config = '{}')),
    ('c8', (select id::text from app_runs where config = '{"n": 1}')),
    ('c9', (select id::text from app_runs where config = '{"n": 3}')) $$, 'each is remembered by what names it');
select pg_temp.allows('service', $$ insert into app_builds (app_id, build_version) values ('{private app}', '1.0.0') $$, 'creates without a key');
select is((select count(*) from private.api_creations where caller = '00000000-0000-0000-0000-000000000000'), 0::bigint, 'and nothing is remembered');
select pg_temp.refuses('anonymous', $$ select find_api_creation('k', 'f') $$, '42501', 'permission denied for function find_api_creation',
  'cannot ask what was created');

-- Counted requests

update private.api_rate_policies set requests = 10, window_seconds = 60 where caller_kind = 'user';
select pg_temp.answers('customer member', $$ select (granted, remaining, limit_requests, window_seconds)::text from take_api_requests(4) $$,
  '(4,6,10,60)', 'takes requests');
select pg_temp.answers('customer member', $$ select (granted, remaining)::text from take_api_requests(7) $$, '(6,0)', 'gets what is left');
select pg_temp.answers('customer member', $$ select (granted, remaining)::text from take_api_requests(1) $$, '(0,0)', 'gets none after that');
select pg_temp.answers('customer member', $$ select reset_seconds between 1 and 60 from take_api_requests(1) $$, 'true', 'is told how long that lasts');
select pg_temp.answers('customer owner', $$ select granted from take_api_requests() $$, '1', 'has requests of its own');
select pg_temp.answers('service', $$ select (granted, limit_requests)::text from take_api_requests() $$, '(1,6000)', 'has another limit');
update private.api_request_counts set window_began_at = window_began_at - interval '60 seconds' where caller = pg_temp.id('customer member')::uuid;
select pg_temp.answers('customer member', $$ select (granted, remaining)::text from take_api_requests(2) $$, '(2,8)', 'starts anew in the next window');
select pg_temp.refuses('customer member', $$ select take_api_requests(0) $$, 'SW001', 'requests takes 1 to 1000.', 'takes at least one', 'requests');
select pg_temp.refuses('customer member', $$ select take_api_requests(null) $$, 'SW001', 'requests takes 1 to 1000.', 'says how many', 'requests');
select pg_temp.refuses('anonymous', $$ select take_api_requests() $$, '42501', 'permission denied for function take_api_requests', 'has no requests');

-- Files of drafts

select pg_temp.learn('draft file', 'service', $$ select id from app_storage where file_path = 'app_{private app}/2.0.0/dist/index.js' $$);
select pg_temp.learn('file', 'service', $$ select id from app_storage where file_path = 'app_{private app}/1.0.0/dist/index.js' $$);
select pg_temp.refuses(actor, $$ select delete_app_file('{private app}', '{draft file}') $$, 'SW002', 'There is no such file among those of your apps.',
  'does not know of a draft''s file', 'file_id')
from unnest(array['nobody', 'outsider', 'customer owner']) actor;
select pg_temp.refuses(actor, $$ select delete_app_file('{private app}', '{file}') $$, 'SW003',
  'Owners and admins of the publisher delete files of drafts.', 'may not delete a file that it sees', 'file_id')
from unnest(array['customer owner', 'publisher member']) actor;
select pg_temp.refuses('publisher owner', $$ select delete_app_file('{public app}', '{draft file}') $$, 'SW002',
  'There is no such file among those of your apps.', 'names the app that it is of', 'file_id');
select pg_temp.refuses(actor, $$ select delete_app_file('{private app}', '{file}') $$, 'SW020',
  'Version 1.0.0 is published: its files cannot change. Upload a new version.', 'cannot delete a published file', 'version')
from unnest(array['publisher owner', 'superadmin', 'service']) actor;
update applications set status = 'suspended' where id = pg_temp.id('private app')::uuid;
select pg_temp.refuses('publisher owner', $$ select delete_app_file('{private app}', '{draft file}') $$, 'SW003',
  'The app is suspended.', 'cannot delete a file of a suspended app', 'app_id');
update applications set status = 'active' where id = pg_temp.id('private app')::uuid;
select pg_temp.answers('publisher admin', $$ select delete_app_file('{private app}', '{draft file}') $$,
  'app_{private app}/2.0.0/dist/index.js', 'deletes a draft''s file, and learns the name of its object');
select pg_temp.refuses('publisher admin', $$ select delete_app_file('{private app}', '{draft file}') $$, 'SW002',
  'There is no such file among those of your apps.', 'deletes it once', 'file_id');

select * from finish();
rollback;
