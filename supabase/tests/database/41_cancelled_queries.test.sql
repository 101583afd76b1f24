-- Queries are named by their request, and cancelled by the service alone. Which of those that run are cancelled is for a test
-- with two sessions: supabase/functions/tests/api/cancellation_test.ts.
begin;
\ir tests.inc
select plan(20);

create function pg_temp.name_given(actor text, headers text) returns text language plpgsql as $$
declare
  given text;
begin
  perform set_config('application_name', 'before', true), set_config('request.headers', headers, true);
  perform pg_temp.become(actor);
  perform private.name_query();
  given := current_setting('application_name');
  perform pg_temp.become('operator');
  return given;
end;
$$;

select is(pg_temp.name_given(actor, '{"accept": "*/*", "x-query-id": "6f0f6f84-13a5-4c1c-a9b3-2f6d7a1c0e55"}'),
  'query 6f0f6f84-13a5-4c1c-a9b3-2f6d7a1c0e55', actor || ' names a query')
from unnest(array['anonymous', 'outsider', 'superadmin', 'service']) actor;
select is(pg_temp.name_given('outsider', headers), 'before', 'a request is not named by ' || coalesce(headers, 'nothing'))
from unnest(array[
  null, '', '{}', '{"accept": "*/*"}', '{"x-query-id": ""}', '{"x-query-id": "x"}', '{"x-query-id": null}',
  '{"x-query-id": "6F0F6F84-13A5-4C1C-A9B3-2F6D7A1C0E55"}',
  '{"x-query-id": "6f0f6f84-13a5-4c1c-a9b3-2f6d7a1c0e55, 6f0f6f84-13a5-4c1c-a9b3-2f6d7a1c0e56"}',
  '{"accept": "\"x-query-id\":\"6f0f6f84-13a5-4c1c-a9b3-2f6d7a1c0e55\""}'
]) headers;
select results_eq($$
  select setting collate "default" from pg_roles, unnest(rolconfig) setting where rolname = 'authenticator' and setting like 'pgrst.%'
$$, array['pgrst.db_pre_request=private.name_query'], 'the Data API names every query');

select pg_temp.refuses(actor, $$ select cancel_query('6f0f6f84-13a5-4c1c-a9b3-2f6d7a1c0e55') $$, '42501',
  'permission denied for function cancel_query', 'cancels no query')
from unnest(array['anonymous', 'outsider', 'superadmin']) actor;
select pg_temp.answers('service', $$ select cancel_query('6f0f6f84-13a5-4c1c-a9b3-2f6d7a1c0e55') $$, 'false', 'cancels none where there is none');
select pg_temp.answers('service', $$ select cancel_query(null) $$, 'false', 'cancels none without an id');

select * from finish();
rollback;
