-- Webhooks: who makes them and sees what, secrets that nobody reads, and deliveries that become one run each.
begin;
\ir tests.inc
select plan(227);

-- Making

create function pg_temp.make(arguments text) returns text language sql as $$
  select format($call$ select * from create_app_webhook('{private app}', '{customer company}', 'Orders'%s) $call$, arguments)
$$;
grant execute on function pg_temp.make(text) to public;

select pg_temp.allows(actor, pg_temp.make(''), 'makes a webhook for the company')
from unnest(array['customer admin', 'customer owner', 'superadmin', 'service']) actor;
select pg_temp.refuses('customer member', pg_temp.make(''), 'SW003', 'Owners and admins of the company make webhooks.',
  'cannot make a webhook', 'company_id');
select pg_temp.refuses(actor, pg_temp.make(''), 'SW002', 'There is no such company among yours.', 'cannot make a webhook', 'company_id')
from unnest(array['nobody', 'outsider', 'publisher member', 'publisher admin', 'publisher owner']) actor;
select pg_temp.refuses('anonymous', pg_temp.make(''), '42501', 'permission denied for function create_app_webhook', 'cannot make a webhook');
select pg_temp.refuses('customer admin', format($$ select create_app_webhook(%s, 'Orders') $$, ids), code, message, 'cannot make a webhook for ' || what, field)
from (values
  ($$'{private app}', null$$, 'SW002', 'There is no such company among yours.', 'no company', 'company_id'),
  ($$null, '{customer company}'$$, 'SW040', 'The app is not active, or it is not assigned to this company.', 'no app', 'app_id'),
  ($$'{unassigned app}', '{customer company}'$$, 'SW040', 'The app is not active, or it is not assigned to this company.',
    'an app that is not assigned', 'app_id'),
  ($$'{private app}', '{outsider company}'$$, 'SW002', 'There is no such company among yours.', 'a stranger''s company', 'company_id')
) bad (ids, code, message, what, field);
select pg_temp.refuses('customer admin', format($$ select create_app_webhook('{private app}', '{customer company}', %s) $$, arguments),
  code, message, 'cannot make a webhook with ' || left(arguments, 60), field)
from (values
  ($$' '$$, 'SW001', 'name takes 1 to 200 characters.', 'name'),
  ($$null$$, 'SW001', 'name takes 1 to 200 characters.', 'name'),
  ($$repeat('a', 201)$$, 'SW001', 'name takes 1 to 200 characters.', 'name'),
  ($$'a', '7.7.7'$$, 'SW040', 'The app has no released version 7.7.7.', 'version'),
  ($$'a', '2.0.0'$$, 'SW040', 'The app has no released version 2.0.0.', 'version'),
  ($$'a', '0.9.0'$$, 'SW040', 'The app has no released version 0.9.0.', 'version'),
  ($$'a', config => '[]'$$, 'SW001', 'config must be a JSON object of 64 KiB at most, without the key webhook, which is the delivery''s.', 'config'),
  ($$'a', config => null$$, 'SW001', 'config must be a JSON object of 64 KiB at most, without the key webhook, which is the delivery''s.', 'config'),
  ($$'a', config => '{"webhook": 1}'$$, 'SW001', 'config must be a JSON object of 64 KiB at most, without the key webhook, which is the delivery''s.', 'config'),
  ($$'a', config => jsonb_build_object('a', repeat('a', 65536))$$, 'SW001',
    'config must be a JSON object of 64 KiB at most, without the key webhook, which is the delivery''s.', 'config'),
  ($$'a', max_deliveries_per_minute => 0$$, 'SW001', 'max_deliveries_per_minute takes 1 to 6000.', 'max_deliveries_per_minute'),
  ($$'a', max_deliveries_per_minute => 6001$$, 'SW001', 'max_deliveries_per_minute takes 1 to 6000.', 'max_deliveries_per_minute'),
  ($$'a', max_deliveries_per_minute => null$$, 'SW001', 'max_deliveries_per_minute takes 1 to 6000.', 'max_deliveries_per_minute')
) bad (arguments, code, message, field);
select pg_temp.allows('customer admin', format($$ select create_app_webhook('{private app}', '{customer company}', %s) $$, arguments),
  'makes a webhook with ' || left(arguments, 60))
from unnest(array[$$repeat('a', 200)$$, $$'a', '1.0.0'$$, $$'a', '1.1.0'$$, $$'a', max_deliveries_per_minute => 1$$,
  $$'a', max_deliveries_per_minute => 6000$$]) arguments;

create temp table made on commit drop as select * from create_app_webhook(
  pg_temp.id('private app')::uuid, pg_temp.id('customer company')::uuid, 'Made', config => '{"greeting": "hello"}');
select pg_temp.remember('webhook', webhook_id), pg_temp.remember('first secret', secret) from made;
select matches(secret, '^whsec_[A-Za-z0-9+/]{43}=$', 'a secret is whsec_ and 32 bytes in base64') from made;
select ok(previous_secret_expires_at is null, 'a new webhook has no previous secret') from made;
select pg_temp.answers('customer member', $$
  select concat_ws(' ', name, is_active, version is null, config, max_deliveries_per_minute, last_delivery_at is null,
    secret_rotated_at = now(), previous_secret_expires_at is null)
  from app_webhooks where id = '{webhook}' $$, 'Made t t {"greeting": "hello"} 120 t t t', 'sees what a webhook begins with');
select pg_temp.answers('customer member', $$ select secret_fingerprint from app_webhooks where id = '{webhook}' $$,
  left(encode(sha256(pg_temp.id('first secret')::bytea), 'hex'), 16), 'sees the fingerprint of the secret');
select is((select secret_fingerprint from made), left(encode(sha256(pg_temp.id('first secret')::bytea), 'hex'), 16),
  'whoever makes a webhook gets the fingerprint too');
select pg_temp.learn('second webhook', 'customer admin', $$ select webhook_id from create_app_webhook('{private app}', '{customer company}', 'Second') $$);
select pg_temp.answers('customer admin', $$ select created_by = '{customer admin}' from app_webhooks where id = '{second webhook}' $$, 'true',
  'is noted as the maker');
select is((select count(distinct secret) from private.app_webhook_secrets), (select count(*) from private.app_webhook_secrets),
  'no two secrets are the same');

-- Secrets are nobody's to read

select pg_temp.refuses(actor, 'select from private.app_webhook_secrets', '42501', 'permission denied for table app_webhook_secrets',
  'cannot read secrets')
from unnest(array['anonymous', 'customer owner', 'superadmin', 'service']) actor;
select pg_temp.refuses(actor, 'select private.' || call, '42501', 'permission denied for function ' || split_part(call, '(', 1),
  'cannot call ' || split_part(call, '(', 1))
from unnest(array['customer owner', 'superadmin', 'service']) actor,
  unnest(array[$$add_webhook_secret('{webhook}', '0')$$, $$verify_webhook_signature('{webhook}', '', '')$$]) call;

-- Changing

select pg_temp.refuses('customer admin', format($$ update app_webhooks set %s where id = '{webhook}' $$, change), '23514',
  format('new row for relation "app_webhooks" violates check constraint "app_webhooks_%s"', name), 'cannot set ' || left(change, 60))
from (values
  ($$name = ''$$, 'name_length'), ($$name = repeat('a', 201)$$, 'name_length'), ($$config = '1'$$, 'config_object'),
  ($$config = '{"webhook": {}}'$$, 'config_object'), ($$config = jsonb_build_object('a', repeat('a', 65536))$$, 'config_object'),
  ('max_deliveries_per_minute = 0', 'max_deliveries_per_minute_range'),
  ('max_deliveries_per_minute = 6001', 'max_deliveries_per_minute_range')) bad (change, name);
select pg_temp.refuses('customer admin', $$ update app_webhooks set version = '2.0.0' where id = '{webhook}' $$, 'SW040',
  'The app has no released version 2.0.0.', 'cannot pin a webhook to a draft', 'version');
select pg_temp.refuses('customer admin', format($$ update app_webhooks set %s = null where id = '{webhook}' $$, name), '42501',
  'permission denied for table app_webhooks', 'cannot change ' || name)
from unnest(array['app_id', 'company_id', 'secret_fingerprint', 'secret_rotated_at', 'previous_secret_expires_at', 'last_delivery_at',
  'created_by', 'created_at']) name;
select pg_temp.refuses('service', format($$ update app_webhooks set %s where id = '{webhook}' $$, change), 'SW001',
  'A webhook stays with its app and company.', 'cannot set ' || change, 'app_id')
from unnest(array[$$app_id = '{public app}'$$, $$company_id = '{publisher company}'$$]) change;
update app_webhooks set updated_at = now() - interval '1 day' where id = pg_temp.id('webhook')::uuid;
select pg_temp.answers('customer admin', $$
  update app_webhooks set name = 'Renamed', version = '1.0.0' where id = '{webhook}' returning updated_at = now() $$, 'true',
  'changes a webhook, and updated_at with it');
select pg_temp.allows('customer admin', $$ update app_webhooks set version = null where id = '{webhook}' $$, 'unpins it');

-- Rows of deliveries

insert into app_webhook_deliveries (webhook_id, delivery_id, company_id, outcome, body_size)
values (pg_temp.id('second webhook')::uuid, 'row', pg_temp.id('customer company')::uuid, 'enqueued', 0);
select pg_temp.refuses('service', format($$ update app_webhook_deliveries set %s where delivery_id = 'row' $$, change), '23514',
  format('new row for relation "app_webhook_deliveries" violates check constraint "app_webhook_deliveries_%s"', name), 'cannot set ' || left(change, 60))
from (values
  ($$delivery_id = ''$$, 'delivery_id_format'), ($$delivery_id = 'a.b'$$, 'delivery_id_format'), ($$delivery_id = 'a b'$$, 'delivery_id_format'),
  ($$delivery_id = 'é'$$, 'delivery_id_format'), ($$delivery_id = repeat('a', 201)$$, 'delivery_id_format'),
  ($$outcome = 'lost', message = 'a'$$, 'outcome'), ($$outcome = 'failed'$$, 'refusal'), ($$message = 'a'$$, 'refusal'),
  ($$outcome = 'failed', message = repeat('a', 2001)$$, 'message_length'), ('body_size = -1', 'body_size_range'),
  ('received_count = 0', 'received_count_range')) bad (change, name);
select pg_temp.create_run('run', 'private app', 'customer company');
select pg_temp.refuses('service', $$ update app_webhook_deliveries set outcome = 'failed', message = 'a', run_id = '{run}' where delivery_id = 'row' $$,
  '23514', 'new row for relation "app_webhook_deliveries" violates check constraint "app_webhook_deliveries_run"', 'cannot give a refused delivery a run');
select pg_temp.answers('service', $$ update app_webhooks set updated_at = '2000-01-01' where id = '{second webhook}' returning updated_at = now() $$, 'true',
  'cannot say when a webhook was changed');
select pg_temp.refuses('operator', $$ insert into private.app_webhook_secrets (webhook_id, secret) values ('{second webhook}', '\x00') $$, '23514',
  'new row for relation "app_webhook_secrets" violates check constraint "app_webhook_secrets_secret_length"', 'cannot insert a short secret');
select pg_temp.refuses('operator', $$
  insert into private.app_webhook_secrets (webhook_id, secret) values ('{second webhook}', sha256('')) $$, '23505',
  'duplicate key value violates unique constraint "app_webhook_secrets_current_key"', 'cannot insert a second current secret');

-- Delivering

create function pg_temp.sign(secret text, id text, sent_at text, body bytea) returns text language sql as $$
  select 'v1,' || encode(extensions.hmac(convert_to(id || '.' || sent_at || '.', 'UTF8') || body,
    decode(substr(secret, 7), 'base64'), 'sha256'), 'base64')
$$;
create function pg_temp.moment(away interval default '0') returns text language sql as $$
  select extract(epoch from now() + away)::bigint::text
$$;
-- What comes of a delivery: outcome, message.
create function pg_temp.deliver(
  secret text, id text, body bytea default '{"a": 1}', type text default 'application/json', webhook text default 'webhook',
  sent_at text default pg_temp.moment(), signatures text default null)
returns text language plpgsql as $$
declare
  receipt record;
begin
  perform pg_temp.become('service');
  select * into strict receipt from receive_app_webhook(
    webhook_id => pg_temp.id(webhook)::uuid, delivery_id => id, sent_at => sent_at,
    signatures => coalesce(signatures, pg_temp.sign(secret, id, sent_at, body)), body => encode(body, 'base64'),
    headers => jsonb_build_object('content-type', type));
  perform pg_temp.become('operator');
  perform pg_temp.remember('run of ' || id, coalesce(receipt.run_id::text, 'none'));
  return concat_ws(': ', receipt.outcome, receipt.message);
end;
$$;
grant execute on all functions in schema pg_temp to public;

select is(pg_temp.deliver(pg_temp.id('first secret'), 'alpha'), 'enqueued', 'a signed delivery becomes a run');
select pg_temp.answers('customer member', $$
  select concat_ws(' ', run_type, status, company_id = '{customer company}', app_id = '{private app}', version, requested_by is null,
    idempotency_key is null)
  from app_runs where id = '{run of alpha}' $$, 'webhook pending t t 1.0.0 t t', 'sees the run');
select pg_temp.answers('customer member', $$ select config - 'webhook' from app_runs where id = '{run of alpha}' $$, '{"greeting": "hello"}',
  'sees the webhook''s config in the run''s');
select is(
  (select config -> 'webhook' from app_runs where id = pg_temp.id('run of alpha')::uuid),
  jsonb_build_object('id', pg_temp.id('webhook'), 'delivery_id', 'alpha', 'timestamp', pg_temp.moment()::bigint,
    'headers', '{"content-type": "application/json"}'::jsonb, 'payload', '{"a": 1}'::jsonb, 'payload_encoding', 'json'),
  'the run''s config has the delivery');
select pg_temp.answers('customer member', $$
  select concat_ws(' ', run_id = '{run of alpha}', outcome, message is null, body_size, received_count, received_at = now())
  from app_webhook_deliveries where webhook_id = '{webhook}' and delivery_id = 'alpha' $$, 't enqueued t 8 1 t', 'sees the delivery');
select pg_temp.answers('customer member', $$ select last_delivery_at = now() from app_webhooks where id = '{webhook}' $$, 'true', 'sees when it came');

select pg_temp.remember('first run', pg_temp.id('run of alpha'));
select is(pg_temp.deliver(pg_temp.id('first secret'), 'alpha', '{"a": 2}', sent_at => pg_temp.moment('1 minute')), 'repeated',
  'the same id again is the same delivery');
select is(pg_temp.id('run of alpha'), pg_temp.id('first run'), 'the same delivery has the same run');
select pg_temp.answers('customer member', $$ select count(*) from app_runs where run_type = 'webhook' $$, '1', 'sees one run of it');
select pg_temp.answers('customer member', $$
  select received_count || outcome from app_webhook_deliveries where webhook_id = '{webhook}' $$, '2enqueued', 'sees that it came twice');
delete from app_runs where id = pg_temp.id('first run')::uuid;
select is(pg_temp.deliver(pg_temp.id('first secret'), 'alpha'), 'repeated', 'a delivery whose run was deleted is not run again');

-- Not to be told apart

select is(pg_temp.deliver(secret, id, body, webhook => webhook, signatures => signatures), 'unverified', what || ' is not verified')
from (values
  ('whsec_' || encode(extensions.gen_random_bytes(32), 'base64'), 'msg_x', '{}'::bytea, 'webhook', null, 'another secret'),
  (pg_temp.id('first secret'), 'msg_x', '{}', 'second webhook', null, 'another webhook''s secret'),
  (pg_temp.id('first secret'), 'msg_x', '{}', 'nobody', null, 'no webhook'),
  (null, 'msg_x', '{}', 'webhook', '', 'no signature'),
  (null, 'msg_x', '{}', 'webhook', 'v1,', 'an empty signature'),
  (null, 'msg_x', '{}', 'webhook', pg_temp.sign(pg_temp.id('first secret'), 'msg_x', pg_temp.moment(), '{ }'), 'another body'),
  (null, 'msg_x', '{}', 'webhook', pg_temp.sign(pg_temp.id('first secret'), 'msg_y', pg_temp.moment(), '{}'), 'another id'),
  (null, 'msg_x', '{}', 'webhook', pg_temp.sign(pg_temp.id('first secret'), 'msg_x', pg_temp.moment('1 second'), '{}'), 'another time'),
  (null, 'msg_x', '{}', 'webhook', substr(pg_temp.sign(pg_temp.id('first secret'), 'msg_x', pg_temp.moment(), '{}'), 4), 'a signature without version'),
  (null, 'msg_x', '{}', 'webhook', 'v2' || substr(pg_temp.sign(pg_temp.id('first secret'), 'msg_x', pg_temp.moment(), '{}'), 3), 'another version'),
  (null, 'msg_x', '{}', 'webhook', repeat('v1,x ', 16) || pg_temp.sign(pg_temp.id('first secret'), 'msg_x', pg_temp.moment(), '{}'),
    'the seventeenth signature')
) bad (secret, id, body, webhook, signatures, what);
select pg_temp.answers('service', $$ select count(*) from app_webhook_deliveries where delivery_id = 'msg_x' $$, '0', 'finds nothing of these');
select is(pg_temp.deliver(null, 'msg_several',
    signatures => 'v1a,eA== v1,eA== ' || pg_temp.sign(pg_temp.id('first secret'), 'msg_several', pg_temp.moment(), '{"a": 1}') || ' junk'),
  'enqueued', 'one right signature among several is enough');

select pg_temp.allows('customer admin', $$ update app_webhooks set is_active = false where id = '{webhook}' $$, 'switches the webhook off');
select is(pg_temp.deliver(pg_temp.id('first secret'), 'beta'), 'unverified', 'an inactive webhook is not verified');
select is(pg_temp.deliver(pg_temp.id('first secret'), 'alpha'), 'unverified', 'nor what it had taken before');
select pg_temp.allows('customer admin', $$ update app_webhooks set is_active = true where id = '{webhook}' $$, 'switches it on');
select is(pg_temp.deliver(pg_temp.id('first secret'), 'beta'), 'enqueued', 'an active webhook takes deliveries again');

-- Time

select is(pg_temp.deliver(pg_temp.id('first secret'), 'msg_' || number, sent_at => pg_temp.moment(away)), expected, 'a delivery sent at ' || away || ' is ' || expected)
from (values
  (10, interval '-00:04:59', 'enqueued'), (11, '00:04:59', 'enqueued'), (12, '-00:05:02', 'stale: The timestamp is more than 5 minutes from now.'),
  (13, '00:05:02', 'stale: The timestamp is more than 5 minutes from now.'), (14, '-1 year', 'stale: The timestamp is more than 5 minutes from now.')
) times (number, away, expected);
select is(pg_temp.deliver(null, 'msg_15', webhook => 'nobody', sent_at => '0', signatures => 'v1,'), 'stale: The timestamp is more than 5 minutes from now.',
  'an old delivery for no webhook is stale too');

-- Inputs

select pg_temp.refuses('service', format($$ select receive_app_webhook('{webhook}', %s) $$, arguments), 'SW001', message, 'cannot deliver ' || left(arguments, 60), field)
from (values
  ($$null, '0', '', ''$$, 'delivery_id takes 1 to 200 visible ASCII characters other than ".".', 'delivery_id'),
  ($$'', '0', '', ''$$, 'delivery_id takes 1 to 200 visible ASCII characters other than ".".', 'delivery_id'),
  ($$'a.b', '0', '', ''$$, 'delivery_id takes 1 to 200 visible ASCII characters other than ".".', 'delivery_id'),
  ($$'a b', '0', '', ''$$, 'delivery_id takes 1 to 200 visible ASCII characters other than ".".', 'delivery_id'),
  ($$repeat('a', 201), '0', '', ''$$, 'delivery_id takes 1 to 200 visible ASCII characters other than ".".', 'delivery_id'),
  ($$'a', null, '', ''$$, 'sent_at takes seconds since 1970.', 'sent_at'),
  ($$'a', '', '', ''$$, 'sent_at takes seconds since 1970.', 'sent_at'),
  ($$'a', '-1', '', ''$$, 'sent_at takes seconds since 1970.', 'sent_at'),
  ($$'a', '1.5', '', ''$$, 'sent_at takes seconds since 1970.', 'sent_at'),
  ($$'a', '1234567890123', '', ''$$, 'sent_at takes seconds since 1970.', 'sent_at'),
  ($$'a', '0', '', null$$, 'body takes 262144 bytes.', 'body'),
  ($$'a', '0', '', '?'$$, 'body must be base64.', 'body'),
  ($$'a', '0', '', encode(repeat('a', 262145)::bytea, 'base64')$$, 'body takes 262144 bytes.', 'body'),
  ($$'a', '0', '', '', '[]'$$, 'headers must be a JSON object of 8 KiB at most.', 'headers'),
  ($$'a', '0', '', '', null$$, 'headers must be a JSON object of 8 KiB at most.', 'headers'),
  ($$'a', '0', '', '', jsonb_build_object('a', repeat('a', 8192))$$, 'headers must be a JSON object of 8 KiB at most.', 'headers')
) bad (arguments, message, field);
select pg_temp.refuses(actor, $$ select receive_app_webhook('{webhook}', 'a', '0', '', '') $$, '42501',
  'permission denied for function receive_app_webhook', 'cannot hand in deliveries')
from unnest(array['anonymous', 'nobody', 'customer owner', 'superadmin']) actor;

-- Payloads

create temp table payloads (number integer, body bytea, type text, encoding text, payload jsonb) on commit drop;
insert into payloads values
  (1, '{"b": [1, 2.50, null], "ü": "é"}'::text::bytea, 'application/json; charset=utf-8', 'json', null),
  (2, '[1]', 'Application/CloudEvents+JSON', 'json', '[1]'),
  (3, '{"a": 1}', 'text/plain', 'text', null),
  (4, '{"a": 1}', null, 'text', null),
  (5, 'a=1&b=%20', 'application/x-www-form-urlencoded', 'text', null),
  (6, '', 'application/json', 'text', null),
  (7, '{"a": ', 'application/json', 'text', null),
  (8, '{"a": "\\u0000"}', 'application/json', 'text', null),
  (9, '1e999999', 'application/json', 'text', null),
  (10, repeat('[', 256)::bytea || repeat(']', 256)::bytea, 'application/json', 'json', null),
  (11, repeat('[', 257)::bytea || repeat(']', 257)::bytea, 'application/json', 'text', null),
  (12, repeat('[', 100000)::bytea || repeat(']', 100000)::bytea, 'application/json', 'text', null),
  (13, '\xff00fe', 'application/octet-stream', 'base64', '"/wD+"'),
  (14, '\x610062', 'application/json', 'base64', '"YQBi"'),
  (15, ('[1' || repeat(',1', 131070) || ']')::bytea, 'application/json', 'text', null),
  (16, ('"' || repeat('a', 262142) || '"')::bytea, 'application/json', 'json', null),
  (17, repeat('a', 262144)::bytea, 'text/plain', 'text', null),
  (18, decode(repeat('ff', 262144), 'hex'), 'application/zip', 'base64', null);
select pg_temp.remember('payload ' || translate(number::text, '0123456789', 'abcdefghij'), pg_temp.deliver(
  pg_temp.id('first secret'), 'payload_' || number, body, type)) from payloads;
select is(
  (select config -> 'webhook' ->> 'payload_encoding' from app_runs where id = pg_temp.id('run of payload_' || number)::uuid), encoding,
  format('payload %s (%s) is %s', number, left(encode(body, 'escape'), 30), encoding))
from payloads order by number;
select ok(
  (select config -> 'webhook' -> 'payload' from app_runs where id = pg_temp.id('run of payload_' || number)::uuid)
    = coalesce(p.payload, case encoding when 'json' then convert_from(body, 'UTF8')::jsonb when 'text' then to_jsonb(convert_from(body, 'UTF8'))
      else to_jsonb(translate(encode(body, 'base64'), e'\n', '')) end),
  format('payload %s is what was sent', number))
from payloads p order by number;

-- Refusals that pass: the queue, the app, the rate

select pg_temp.learn('busy secret', 'customer admin', $$ select secret from create_app_webhook('{private app}', '{customer company}', 'Busy') $$);
select pg_temp.learn('busy webhook', 'service', $$ select id from app_webhooks where name = 'Busy' $$);
update companies set max_queued_runs = (select count(*) from app_runs where company_id = pg_temp.id('customer company')::uuid and status = 'pending')
where id = pg_temp.id('customer company')::uuid;
select matches(pg_temp.deliver(pg_temp.id('busy secret'), 'full', webhook => 'busy webhook'),
  '^queue_full: The company has \d+ runs waiting, as many as it may.$', 'a full queue refuses');
select pg_temp.answers('customer member', $$
  select concat_ws(' ', outcome, run_id is null, message ~ 'runs waiting', received_count) from app_webhook_deliveries where delivery_id = 'full' $$,
  'queue_full t t 1', 'sees what was refused');
update companies set max_queued_runs = 1000 where id = pg_temp.id('customer company')::uuid;
select is(pg_temp.deliver(pg_temp.id('busy secret'), 'full', webhook => 'busy webhook'), 'enqueued', 'what was refused is taken when it comes again');
select pg_temp.answers('customer member', $$
  select concat_ws(' ', outcome, run_id = '{run of full}', message is null, received_count) from app_webhook_deliveries where delivery_id = 'full' $$,
  'enqueued t t 2', 'sees that it came twice, and its run');

update app_webhooks set max_deliveries_per_minute = 2 where id = pg_temp.id('busy webhook')::uuid;
select is(pg_temp.deliver(pg_temp.id('busy secret'), 'second', webhook => 'busy webhook'), 'enqueued', 'as many as may come in a minute are taken');
select is(pg_temp.deliver(pg_temp.id('busy secret'), 'third', webhook => 'busy webhook'), 'rate_limited: The webhook takes 2 deliveries a minute.',
  'more are not');
select is(pg_temp.deliver(pg_temp.id('busy secret'), 'second', webhook => 'busy webhook'), 'repeated', 'a repeated one is no further delivery');
select pg_temp.answers('service', $$ select count(*) from app_webhook_deliveries where delivery_id = 'third' $$, '0', 'finds no row of what came too fast');
select pg_temp.answers('service', format($$
  select retry_after from receive_app_webhook('{busy webhook}', 'third', '%s', '%s', '') $$, pg_temp.moment(),
  pg_temp.sign(pg_temp.id('busy secret'), 'third', pg_temp.moment(), '')), '60', 'is told when there is room again');
update app_webhook_deliveries set received_at = now() - interval '20 seconds' where delivery_id = 'full';
select pg_temp.answers('service', format($$
  select retry_after from receive_app_webhook('{busy webhook}', 'third', '%s', '%s', '') $$, pg_temp.moment(),
  pg_temp.sign(pg_temp.id('busy secret'), 'third', pg_temp.moment(), '')), '40', 'is told so to the second');
update app_webhook_deliveries set received_at = now() - interval '60 seconds' where delivery_id = 'full';
select is(pg_temp.deliver(pg_temp.id('busy secret'), 'third', webhook => 'busy webhook'), 'enqueued', 'a minute later there is room');

select pg_temp.learn('public secret', 'outsider', $$ select secret from create_app_webhook('{public app}', '{outsider company}', 'Public') $$);
select pg_temp.learn('public webhook', 'service', $$ select id from app_webhooks where name = 'Public' $$);
select pg_temp.allows('outsider', $$ delete from app_assignments where app_id = '{public app}' and company_id = '{outsider company}' $$, 'gives up the app');
select is(pg_temp.deliver(pg_temp.id('public secret'), 'lost', webhook => 'public webhook'),
  'not_runnable: The app is not active, or it is not assigned to this company.', 'a company that lost the app cannot run it');
select pg_temp.answers('outsider', $$ select outcome from app_webhook_deliveries where delivery_id = 'lost' $$, 'not_runnable', 'sees that it was refused');
select pg_temp.allows('outsider', $$ update app_webhooks set is_active = false where id = '{public webhook}' $$, 'switches the webhook off');
select pg_temp.refuses('outsider', $$ update app_webhooks set is_active = true where id = '{public webhook}' $$, 'SW040',
  'The app is not active, or it is not assigned to this company.', 'cannot switch it on without the app', 'app_id');

select pg_temp.learn('pinned secret', 'publisher owner', $$ select secret from create_app_webhook('{public app}', '{publisher company}', 'Pinned', '1.0.0') $$);
select pg_temp.learn('pinned webhook', 'service', $$ select id from app_webhooks where name = 'Pinned' $$);
select pg_temp.create_version('public app', '1.5.0', 'published');
select is(pg_temp.deliver(pg_temp.id('pinned secret'), 'pin', webhook => 'pinned webhook'), 'enqueued', 'a pinned webhook takes deliveries');
select pg_temp.answers('publisher member', $$ select version from app_runs where id = '{run of pin}' $$, '1.0.0', 'sees that the pinned version runs');
update app_webhooks set version = null where id = pg_temp.id('pinned webhook')::uuid;
select is(pg_temp.deliver(pg_temp.id('pinned secret'), 'newest', webhook => 'pinned webhook'), 'enqueued', 'and so does one that is not');
select pg_temp.answers('publisher member', $$ select version from app_runs where id = '{run of newest}' $$, '1.5.0', 'sees that the newest version runs');
update app_webhooks set version = '1.0.0' where id = pg_temp.id('pinned webhook')::uuid;
update app_versions set status = 'archived' where app_id = pg_temp.id('public app')::uuid and version = '1.0.0';
select is(pg_temp.deliver(pg_temp.id('pinned secret'), 'archived', webhook => 'pinned webhook'),
  'not_runnable: The app has no released version 1.0.0.', 'an archived version is not run');

-- Rotation

create function pg_temp.rotate(arguments text default '') returns text language sql as $$
  select format($call$ select * from rotate_app_webhook_secret('{webhook}'%s) $call$, arguments)
$$;
grant execute on function pg_temp.rotate(text) to public;
select pg_temp.refuses('customer member', pg_temp.rotate(), 'SW003', 'Owners and admins of the company change its secrets.',
  'cannot rotate a secret', 'webhook_id');
select pg_temp.refuses(actor, pg_temp.rotate(), 'SW002', 'There is no such webhook among those of your companies.', 'cannot rotate a secret', 'webhook_id')
from unnest(array['nobody', 'outsider', 'publisher owner']) actor;
select pg_temp.refuses(actor, $$ select rotate_app_webhook_secret('{nobody}') $$, 'SW002', 'There is no such webhook among those of your companies.',
  'cannot rotate the secret of no webhook', 'webhook_id')
from unnest(array['customer owner', 'superadmin', 'service']) actor;
select pg_temp.refuses('anonymous', pg_temp.rotate(), '42501', 'permission denied for function rotate_app_webhook_secret', 'cannot rotate a secret');
select pg_temp.refuses('customer admin', pg_temp.rotate(', ' || grace), 'SW001', 'grace takes 0 to 30 days.', 'cannot rotate with grace ' || grace, 'grace')
from unnest(array[$$'-1 second'$$, $$'31 days'$$, 'null', $$'1 year -340 days'$$]) grace;
select pg_temp.learn('second secret', 'customer admin', $$ select secret from rotate_app_webhook_secret('{webhook}') $$);
select pg_temp.answers('customer member', $$
  select concat_ws(' ', secret_rotated_at = now(), previous_secret_expires_at = now() + interval '24 hours') from app_webhooks where id = '{webhook}' $$, 't t',
  'sees until when the previous secret is valid');
select pg_temp.answers('customer member', $$ select secret_fingerprint from app_webhooks where id = '{webhook}' $$,
  left(encode(sha256(pg_temp.id('second secret')::bytea), 'hex'), 16), 'sees the fingerprint of the new secret');
select is(pg_temp.deliver(pg_temp.id(name || ' secret'), 'overlap_' || name), 'enqueued', format('the %s secret is valid during the grace', name))
from unnest(array['first', 'second']) name;
update private.app_webhook_secrets set expires_at = now() where webhook_id = pg_temp.id('webhook')::uuid and expires_at is not null;
select is(pg_temp.deliver(pg_temp.id('first secret'), 'expired'), 'unverified', 'after the grace the old secret is not valid');
select is(pg_temp.deliver(pg_temp.id('second secret'), 'expired'), 'enqueued', 'after the grace the new one is');
select pg_temp.learn('third secret', 'superadmin', $$ select secret from rotate_app_webhook_secret('{webhook}', '1 hour') $$);
select pg_temp.learn('fourth secret', 'service', $$ select secret from rotate_app_webhook_secret('{webhook}', '1 hour') $$);
select is(pg_temp.deliver(pg_temp.id(name || ' secret'), 'twice_' || name), expected, format('rotated twice: the %s secret is %s', name, expected))
from (values ('second', 'unverified'), ('third', 'enqueued'), ('fourth', 'enqueued')) secrets (name, expected);
select pg_temp.learn('fifth secret', 'customer owner', $$ select secret from rotate_app_webhook_secret('{webhook}', '0') $$);
select is(pg_temp.deliver(pg_temp.id(name || ' secret'), 'leak_' || name), expected, format('rotated without grace: the %s secret is %s', name, expected))
from (values ('third', 'unverified'), ('fourth', 'unverified'), ('fifth', 'enqueued')) secrets (name, expected);
select pg_temp.answers('customer member', $$ select previous_secret_expires_at is null from app_webhooks where id = '{webhook}' $$, 'true',
  'sees that there is no previous secret');

-- An end

select pg_temp.allows('customer admin', $$ delete from app_webhooks where id = '{webhook}' $$, 'deletes the webhook');
select is(pg_temp.deliver(pg_temp.id('fifth secret'), 'gone'), 'unverified', 'a deleted webhook is not verified');
select is_empty($$ select from private.app_webhook_secrets where webhook_id = pg_temp.id('webhook')::uuid $$, 'its secrets are gone');
select pg_temp.answers('customer member', $$ select count(*) from app_webhook_deliveries where webhook_id = '{webhook}' $$, '0', 'finds no delivery of it');
select pg_temp.answers('customer member', $$ select count(*) from app_runs where id = '{run of beta}' $$, '1', 'finds its runs still');

select * from finish();
rollback;
