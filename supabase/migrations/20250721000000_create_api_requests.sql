-- What the HTTP API keeps between requests, so that it holds whichever process answers: what was created under which
-- idempotency key, and how many requests a caller has made.
--
-- A key is remembered by the statement that creates, in its transaction: a request that dies in between has created
-- and remembered, or neither. The API sends the key along with the insert, in the header x-idempotency-key, which
-- PostgREST shows to triggers; x-idempotency-fingerprint is a hash of what was asked for.

-- Tables

create table private.api_creations (
  caller uuid not null,
  idempotency_key text not null
    constraint api_creations_idempotency_key_length check (length(idempotency_key) between 1 and 200),
  fingerprint text not null constraint api_creations_fingerprint_length check (length(fingerprint) between 1 and 100),
  resource_id text not null,
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (caller, idempotency_key)
);
comment on table private.api_creations is
  'What a caller created under an idempotency key, and what the answer was, for a day. Answers may hold a webhook''s new '
  'secret, which the same caller gets again; like the secrets themselves they are here, where nobody is granted anything.';
comment on column private.api_creations.caller is 'The user; zeros for the service.';

create table private.api_rate_policies (
  caller_kind text primary key constraint api_rate_policies_caller_kind check (caller_kind in ('user', 'service')),
  requests integer not null constraint api_rate_policies_requests_range check (requests > 0),
  window_seconds integer not null constraint api_rate_policies_window_seconds_range check (window_seconds between 1 and 86400)
);
comment on table private.api_rate_policies is 'How many requests of the API a caller has in a window of time. Operators change it in SQL.';

insert into private.api_rate_policies values ('user', 600, 60), ('service', 6000, 60);

create unlogged table private.api_request_counts (
  caller uuid primary key,
  window_began_at timestamptz not null,
  taken integer not null
);
comment on table private.api_request_counts is
  'Requests of the API in the current window of each caller. Unlogged: a crash forgives a minute''s requests.';

-- Indexes

create index api_creations_created_at_idx on private.api_creations (created_at);

-- Triggers

create function private.api_caller()
returns uuid
language sql
stable
set search_path = ''
return coalesce(auth.uid(), '00000000-0000-0000-0000-000000000000');
comment on function private.api_caller is 'Who is asking, for what is kept by caller; zeros for the service.';

create function private.remember_creation(p_resource_id text)
returns void
language plpgsql
security definer -- what is remembered is nobody's to write
set search_path = ''
as $$
declare
  request_headers constant jsonb := current_setting('request.headers')::jsonb;
  -- With what else is kept for a time, in a later migration.
  useless_since constant timestamptz := private.useless_since('api_creations');
begin
  -- Everybody who creates clears a little, so that nothing else has to.
  delete from private.api_creations
  where (caller, idempotency_key) in (
    select c.caller, c.idempotency_key from private.api_creations c
    where c.created_at < useless_since
    order by c.created_at
    limit 10
    for update skip locked);
  -- Waits for another transaction that is creating under the same key.
  insert into private.api_creations (caller, idempotency_key, fingerprint, resource_id)
  values (
    private.api_caller(), request_headers ->> 'x-idempotency-key', coalesce(request_headers ->> 'x-idempotency-fingerprint', '-'),
    p_resource_id)
  on conflict do nothing;
  if not found then
    perform private.raise_error('SW052', 'This idempotency key has been used.', 'idempotency_key');
  end if;
end;
$$;
comment on function private.remember_creation is
  'For a request with the header x-idempotency-key: this is what it created. Error: SW052.';

create function private.remember_api_creation()
returns trigger
language plpgsql
security definer -- what is remembered is nobody's to write
set search_path = ''
as $$
begin
  perform private.remember_creation(to_jsonb(new) ->> tg_argv[0]);
  return null;
end;
$$;

create trigger remember_api_creation after insert on public.applications
  for each row when (current_setting('request.headers', true) like '%"x-idempotency-key"%')
  execute function private.remember_api_creation('id');

create trigger remember_api_creation after insert on public.app_assignments
  for each row when (current_setting('request.headers', true) like '%"x-idempotency-key"%')
  execute function private.remember_api_creation('company_id');

create trigger remember_api_creation after insert on public.app_versions
  for each row when (current_setting('request.headers', true) like '%"x-idempotency-key"%')
  execute function private.remember_api_creation('version');

create trigger remember_api_creation after insert on public.app_builds
  for each row when (current_setting('request.headers', true) like '%"x-idempotency-key"%')
  execute function private.remember_api_creation('id');

-- Not on app_runs: the functions of the queue remember themselves, since the condition is read again in each statement.

create trigger remember_api_creation after insert on public.app_cron_schedules
  for each row when (current_setting('request.headers', true) like '%"x-idempotency-key"%')
  execute function private.remember_api_creation('id');

create trigger remember_api_creation after insert on public.app_webhooks
  for each row when (current_setting('request.headers', true) like '%"x-idempotency-key"%')
  execute function private.remember_api_creation('id');

-- Functions: what was created before

create function private.find_api_creation(p_idempotency_key text, p_fingerprint text)
returns table (resource_id text, answer jsonb, age_seconds integer)
language plpgsql
stable
security definer -- reads what is nobody's to read, for its owner
set search_path = ''
as $$
declare
  creation private.api_creations;
begin
  select * into creation from private.api_creations c
  where c.caller = private.api_caller() and c.idempotency_key = p_idempotency_key;
  if not found then
    return;
  end if;
  if creation.fingerprint is distinct from p_fingerprint then
    perform private.raise_error('SW043', 'This idempotency key was used for another request.', 'idempotency_key');
  end if;
  return query select creation.resource_id, creation.answer,
    greatest(extract(epoch from clock_timestamp() - creation.created_at), 0)::integer;
end;
$$;

create function public.find_api_creation(idempotency_key text, fingerprint text)
returns table (resource_id text, answer jsonb, age_seconds integer)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.find_api_creation($1, $2) $$;
comment on function public.find_api_creation is
  'What the caller created under the idempotency key: the id of it, and the answer if that was kept. No row: nothing yet. '
  'Error: SW043 (idempotency_key) if it was for another request.';

create function private.keep_api_answer(p_idempotency_key text, p_answer jsonb)
returns boolean
language plpgsql
security definer -- writes what is nobody's to write, for its owner
set search_path = ''
as $$
begin
  if p_answer is null or length(p_answer::text) > 1048576 then
    perform private.raise_error('SW001', 'answer takes a document of 1 MiB.', 'answer');
  end if;
  update private.api_creations c set answer = p_answer
  where c.caller = private.api_caller() and c.idempotency_key = p_idempotency_key and c.answer is null;
  return found;
end;
$$;

create function public.keep_api_answer(idempotency_key text, answer jsonb)
returns boolean
language sql
security invoker
set search_path = ''
as $$ select private.keep_api_answer($1, $2) $$;
comment on function public.keep_api_answer is
  'Keeps the answer to the request that created something under the caller''s idempotency key; the first one stays. '
  'False: there is nothing to keep it for. Error: SW001 (answer).';

-- Functions: how many requests there were

create function private.take_api_requests(p_requests integer)
returns table (granted integer, remaining integer, reset_seconds integer, limit_requests integer, window_seconds integer)
language plpgsql
security definer -- counts what is nobody's to write
set search_path = ''
as $$
#variable_conflict use_column
declare
  -- The clock, not the transaction: requests of one caller take turns below.
  policy private.api_rate_policies;
  counted private.api_request_counts;
begin
  if coalesce(p_requests, 0) not between 1 and 1000 then
    perform private.raise_error('SW001', 'requests takes 1 to 1000.', 'requests');
  end if;
  select * into policy from private.api_rate_policies
  where caller_kind = case when private.is_service() then 'service' else 'user' end;
  insert into private.api_request_counts (caller, window_began_at, taken)
  values (private.api_caller(), clock_timestamp(), 0)
  on conflict do nothing;
  select * into counted from private.api_request_counts where caller = private.api_caller() for update;
  if counted.window_began_at + make_interval(secs => policy.window_seconds) <= clock_timestamp() then
    counted.window_began_at := clock_timestamp();
    counted.taken := 0;
  end if;
  granted := greatest(least(p_requests, policy.requests - counted.taken), 0);
  update private.api_request_counts
  set window_began_at = counted.window_began_at, taken = counted.taken + granted
  where caller = counted.caller;
  remaining := greatest(policy.requests - counted.taken - granted, 0);
  reset_seconds := greatest(ceil(extract(epoch from
    counted.window_began_at + make_interval(secs => policy.window_seconds) - clock_timestamp())), 1);
  limit_requests := policy.requests;
  window_seconds := policy.window_seconds;
  return next;
end;
$$;

create function public.take_api_requests(requests integer default 1)
returns table (granted integer, remaining integer, reset_seconds integer, limit_requests integer, window_seconds integer)
language sql
security invoker
set search_path = ''
as $$ select * from private.take_api_requests($1) $$;
comment on function public.take_api_requests is
  'Takes requests from what the caller has left of the API in this window of time: as many as are left, none at the end. '
  'Processes of the API take several at once. Error: SW001 (requests takes 1 to 1000).';

grant execute on function
  private.find_api_creation(text, text), public.find_api_creation(text, text),
  private.keep_api_answer(text, jsonb), public.keep_api_answer(text, jsonb),
  private.take_api_requests(integer), public.take_api_requests(integer)
to authenticated, service_role;
