-- Queries that nobody waits for any more are cancelled.
--
-- PostgREST runs a statement that it has begun to its end, whether or not its client is still there. So the functions send
-- an id with each query, in the header x-query-id, and here the transaction is named by it before its statement begins. When
-- the function's own client goes away, or waits for too long, it asks for that query to be cancelled. An id is random and
-- told to nobody, so that there is nothing to guess, and only the service may ask; a caller who sends one to the Data API
-- names a query of its own, and of no one else's.

create function private.name_query()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  request_headers constant text := current_setting('request.headers', true);
  query_id text;
begin
  -- Every request of the Data API comes here; those without an id do not pay for parsing.
  if request_headers like '%"x-query-id"%' then
    query_id := request_headers::json ->> 'x-query-id';
    if query_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
      perform set_config('application_name', 'query ' || query_id, true);
    end if;
  end if;
end;
$$;
comment on function private.name_query is
  'Names the transaction in pg_stat_activity by the header x-query-id, if that is a UUID. PostgREST calls it before the statement '
  'of each request.';
grant execute on function private.name_query() to anon, authenticated, service_role;

alter role authenticator set pgrst.db_pre_request = 'private.name_query';
notify pgrst, 'reload config';

create function private.cancel_query(p_query_id uuid)
returns boolean
language plpgsql
volatile
security definer -- sees and signals the backends of others
set search_path = ''
as $$
declare
  backend integer;
begin
  select pid into backend from pg_catalog.pg_stat_activity
  where application_name = 'query ' || p_query_id and usename = 'authenticator' and pid <> pg_backend_pid();
  -- What was seen is kept until the transaction ends. Looking once more, at this one alone, leaves next to no time in which
  -- the backend could go on to somebody else's query.
  perform pg_stat_clear_snapshot();
  return coalesce((
    select pg_cancel_backend(pid) from pg_stat_get_activity(backend)
    where backend is not null and application_name = 'query ' || p_query_id and state = 'active'), false);
end;
$$;

create function public.cancel_query(query_id uuid)
returns boolean
language sql
security invoker
set search_path = ''
as $$ select private.cancel_query($1) $$;
comment on function public.cancel_query is
  'Cancels the query that was sent to the Data API with the header x-query-id: what it has written is undone, and it answers 57014. '
  'False: there is no such query, or not yet, or no longer. For the service.';
grant execute on function private.cancel_query(uuid), public.cancel_query(uuid) to service_role;
