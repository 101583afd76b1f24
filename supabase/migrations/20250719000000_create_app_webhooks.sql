-- Webhooks: somebody else's system starts a company's run by a signed request. The signatures are those of the Standard
-- Webhooks specification (standardwebhooks.com): HMAC-SHA256 over "{webhook-id}.{webhook-timestamp}.{body}".
--
-- Where the secret is. Whoever verifies an HMAC holds what makes one: a hash kept in place of the secret would be the
-- key itself under another name, and senders' libraries would not know it. So the secret is kept, in a table of schema
-- private that no role of the API can read, not even the service's. It leaves the database once, in the answer of the
-- function that made it; signatures are verified here, and callers learn the outcome alone. What is readable of a
-- secret is a hash, which tells its holder which secret it is and nobody else anything. Backups contain the secrets:
-- whoever loses one rotates them.

-- Types

create type public.app_webhook_secret as (
  webhook_id uuid,
  secret text,
  secret_fingerprint text,
  previous_secret_expires_at timestamptz
);
comment on type public.app_webhook_secret is
  'A new secret of a webhook, shown this once: whsec_ and base64. What it replaces is valid until previous_secret_expires_at.';

-- Tables

create table public.app_webhooks (
  id uuid primary key default gen_random_uuid(),
  app_id uuid not null references public.applications (id) on delete restrict,
  company_id uuid not null references public.companies (id) on delete restrict,
  name text not null constraint app_webhooks_name_length check (length(trim(name)) between 1 and 200),
  version text,
  is_active boolean not null default true,
  config jsonb not null default '{}'
    constraint app_webhooks_config_object check (
      private.is_object(config) and pg_column_size(config) <= 65536 and not config ? 'webhook'),
  max_deliveries_per_minute integer not null default 120
    constraint app_webhooks_max_deliveries_per_minute_range check (max_deliveries_per_minute between 1 and 6000),
  secret_fingerprint text,
  secret_rotated_at timestamptz,
  previous_secret_expires_at timestamptz,
  last_delivery_at timestamptz,
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint app_webhooks_version_fkey foreign key (app_id, version)
    references public.app_versions (app_id, version) on delete restrict
);
comment on table public.app_webhooks is
  'Where others start runs of an app for a company: POST /functions/v1/webhooks/{id}, signed with the webhook''s secret. '
  'Made with create_app_webhook, which shows the secret.';
comment on column public.app_webhooks.version is 'The version that runs; null for the newest published at the time.';
comment on column public.app_webhooks.config is
  'The config of each run, to which the delivery is added under the key webhook; see receive_app_webhook.';
comment on column public.app_webhooks.max_deliveries_per_minute is
  'Further ones are refused, so that a sender gone wild does not fill the company''s queue.';
comment on column public.app_webhooks.secret_fingerprint is
  'The first 16 hexadecimal digits of the SHA-256 of the secret''s text, to tell which one a sender holds.';
comment on column public.app_webhooks.last_delivery_at is 'When a delivery came last whose signature was right.';

create table public.app_webhook_deliveries (
  webhook_id uuid not null references public.app_webhooks (id) on delete cascade,
  delivery_id text not null
    -- Without full stops, which part what is signed.
    constraint app_webhook_deliveries_delivery_id_format check (delivery_id ~ '^[!-\-/-~]{1,200}$'),
  company_id uuid not null references public.companies (id) on delete cascade,
  run_id uuid references public.app_runs (id) on delete set null,
  outcome text not null constraint app_webhook_deliveries_outcome check (
    outcome in ('enqueued', 'queue_full', 'storage_full', 'not_runnable', 'failed')),
  message text constraint app_webhook_deliveries_message_length check (length(message) <= 2000),
  body_size integer not null constraint app_webhook_deliveries_body_size_range check (body_size >= 0),
  received_count integer not null default 1
    constraint app_webhook_deliveries_received_count_range check (received_count > 0),
  received_at timestamptz not null default now(),
  last_received_at timestamptz not null default now(),
  primary key (webhook_id, delivery_id),
  constraint app_webhook_deliveries_refusal check ((outcome = 'enqueued') = (message is null)),
  constraint app_webhook_deliveries_run check (outcome = 'enqueued' or run_id is null)
);
comment on table public.app_webhook_deliveries is
  'What came of deliveries whose signature was right, one row an id however often it came. Written by receive_app_webhook.';
comment on column public.app_webhook_deliveries.outcome is
  'enqueued: run_id is its run. queue_full, storage_full, not_runnable: the run was refused (SW041, SW113, SW040). failed: any other refusal. '
  'What was refused is tried again when the sender repeats it.';
comment on column public.app_webhook_deliveries.body_size is 'Bytes.';

create table private.app_webhook_secrets (
  webhook_id uuid not null references public.app_webhooks (id) on delete cascade,
  secret bytea not null constraint app_webhook_secrets_secret_length check (length(secret) = 32),
  expires_at timestamptz,
  primary key (webhook_id, secret)
);
comment on table private.app_webhook_secrets is
  'Keys of the HMAC: of each webhook the current one, and until it expires the one before. Nobody is granted it.';

-- Indexes

create index app_webhooks_app_id_version_idx on public.app_webhooks (app_id, version);
create index app_webhooks_company_id_idx on public.app_webhooks (company_id);
create index app_webhooks_created_by_idx on public.app_webhooks (created_by);
create index app_webhook_deliveries_webhook_id_received_at_idx
  on public.app_webhook_deliveries (webhook_id, received_at desc);
create index app_webhook_deliveries_company_id_received_at_idx
  on public.app_webhook_deliveries (company_id, received_at desc);
create index app_webhook_deliveries_run_id_idx on public.app_webhook_deliveries (run_id);
create unique index app_webhook_secrets_current_key on private.app_webhook_secrets (webhook_id) where expires_at is null;

-- Triggers

create trigger set_updated_at
  before update of name, version, is_active, config, max_deliveries_per_minute, secret_rotated_at, updated_at on public.app_webhooks
  for each row execute function private.set_updated_at();

create function private.guard_webhook()
returns trigger
language plpgsql
security definer -- asks for apps, versions and companies whatever the caller sees
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and (new.app_id, new.company_id) is distinct from (old.app_id, old.company_id) then
    perform private.raise_error('SW001', 'A webhook stays with its app and company.', 'app_id');
  end if;
  perform private.require_runnable_app(new.app_id, new.company_id);
  if new.version is not null and not exists (
    select from public.app_versions
    where app_id = new.app_id and version = new.version and status in ('published', 'deprecated')
  ) then
    perform private.raise_error('SW040', format('The app has no released version %s.', private.shortened(new.version)), 'version');
  end if;
  perform private.require_backend(new.app_id, new.version);
  return new;
end;
$$;

create trigger guard_new_webhook before insert on public.app_webhooks
  for each row execute function private.guard_webhook();

create trigger guard_changed_webhook before update on public.app_webhooks
  for each row when (
    (old.app_id, old.company_id, old.version) is distinct from (new.app_id, new.company_id, new.version)
    or (new.is_active and not old.is_active))
  execute function private.guard_webhook();

-- Grants. Webhooks are made by create_app_webhook, since one without a secret is of no use.

grant select, update (name, version, is_active, config, max_deliveries_per_minute), delete on public.app_webhooks to authenticated;
grant select on public.app_webhook_deliveries to authenticated;
grant select, insert, update, delete on public.app_webhooks, public.app_webhook_deliveries to service_role;

-- Row security

alter table public.app_webhooks enable row level security;
alter table public.app_webhook_deliveries enable row level security;

create policy "Members read the webhooks of their companies" on public.app_webhooks
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

create policy "Owners and admins change webhooks of their companies" on public.app_webhooks
  for update to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]))
  with check (company_id = any ((select private.my_company_ids('admin'))::uuid[]));

create policy "Owners and admins delete webhooks of their companies" on public.app_webhooks
  for delete to authenticated
  using (company_id = any ((select private.my_company_ids('admin'))::uuid[]));

create policy "Members read what came to the webhooks of their companies" on public.app_webhook_deliveries
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

-- Functions: making webhooks, and their secrets

create extension if not exists pgcrypto with schema extensions;

create function private.add_webhook_secret(p_webhook_id uuid, p_grace interval)
returns public.app_webhook_secret
language plpgsql
security definer -- secrets are nobody's to write
set search_path = ''
as $$
declare
  key constant bytea := extensions.gen_random_bytes(32);
  issued public.app_webhook_secret;
begin
  -- The one before the current one ends now, so that there are never more than two.
  delete from private.app_webhook_secrets where webhook_id = p_webhook_id and expires_at is not null;
  update private.app_webhook_secrets
  set expires_at = now() + p_grace
  where webhook_id = p_webhook_id and p_grace > '0'
  returning expires_at into issued.previous_secret_expires_at;
  if issued.previous_secret_expires_at is null then
    delete from private.app_webhook_secrets where webhook_id = p_webhook_id;
  end if;
  insert into private.app_webhook_secrets (webhook_id, secret) values (p_webhook_id, key);
  issued.webhook_id := p_webhook_id;
  issued.secret := 'whsec_' || encode(key, 'base64');
  issued.secret_fingerprint := left(encode(sha256(convert_to(issued.secret, 'UTF8')), 'hex'), 16);
  update public.app_webhooks
  set secret_fingerprint = issued.secret_fingerprint, secret_rotated_at = now(),
    previous_secret_expires_at = issued.previous_secret_expires_at
  where id = p_webhook_id;
  return issued;
end;
$$;
comment on function private.add_webhook_secret is
  'A new secret; the current one stays valid for p_grace, the one before no longer.';

create function private.create_app_webhook(
  p_app_id uuid, p_company_id uuid, p_name text, p_version text, p_config jsonb, p_max_deliveries_per_minute integer)
returns public.app_webhook_secret
language plpgsql
security definer -- makes the secret, which is nobody's to write
set search_path = ''
as $$
declare
  new_id uuid;
begin
  if not (private.is_service() or coalesce(p_company_id = any (private.my_company_ids('admin')), false)) then
    if p_company_id = any (private.my_company_ids()) then
      perform private.raise_error('SW003', 'Owners and admins of the company make webhooks.', 'company_id');
    end if;
    perform private.raise_error('SW002', 'There is no such company among yours.', 'company_id');
  end if;
  if coalesce(length(trim(p_name)), 0) not between 1 and 200 then
    perform private.raise_error('SW001', 'name takes 1 to 200 characters.', 'name');
  end if;
  if not coalesce(private.is_object(p_config) and pg_column_size(p_config) <= 65536 and not p_config ? 'webhook', false) then
    perform private.raise_error('SW001',
      'config must be a JSON object of 64 KiB at most, without the key webhook, which is the delivery''s.', 'config');
  end if;
  if coalesce(p_max_deliveries_per_minute, 0) not between 1 and 6000 then
    perform private.raise_error('SW001', 'max_deliveries_per_minute takes 1 to 6000.', 'max_deliveries_per_minute');
  end if;
  insert into public.app_webhooks (app_id, company_id, name, version, config, max_deliveries_per_minute)
  values (p_app_id, p_company_id, p_name, p_version, p_config, p_max_deliveries_per_minute)
  returning id into new_id;
  return private.add_webhook_secret(new_id, '0');
end;
$$;

create function public.create_app_webhook(
  app_id uuid,
  company_id uuid,
  name text,
  version text default null,
  config jsonb default '{}',
  max_deliveries_per_minute integer default 120)
returns public.app_webhook_secret
language sql
security invoker
set search_path = ''
as $$ select * from private.create_app_webhook($1, $2, $3, $4, $5, $6) $$;
comment on function public.create_app_webhook is
  'For owners and admins of the company: a webhook that runs the app, and its secret, which is shown this once. Errors: '
  'SW001 (a named input), SW002 and SW003 (company_id), SW040 (app_id, version).';

create function private.rotate_app_webhook_secret(p_webhook_id uuid, p_grace interval)
returns public.app_webhook_secret
language plpgsql
security definer -- makes the secret, which is nobody's to write
set search_path = ''
as $$
declare
  webhook public.app_webhooks;
begin
  if not coalesce(private.is_span(p_grace, '0', '30 days'), false) then
    perform private.raise_error('SW001', 'grace takes 0 to 30 days.', 'grace');
  end if;
  select * into webhook from public.app_webhooks where id = p_webhook_id;
  if not found or not (private.is_service() or webhook.company_id = any (private.my_company_ids('admin'))) then
    if webhook.company_id = any (private.my_company_ids()) then
      perform private.raise_error('SW003', 'Owners and admins of the company change its secrets.', 'webhook_id');
    end if;
    perform private.raise_error('SW002', 'There is no such webhook among those of your companies.', 'webhook_id');
  end if;
  -- Only now: a lock that anybody could take by naming an id would keep deliveries waiting.
  perform from public.app_webhooks where id = p_webhook_id for no key update;
  return private.add_webhook_secret(p_webhook_id, p_grace);
end;
$$;

create function public.rotate_app_webhook_secret(webhook_id uuid, grace interval default '24 hours')
returns public.app_webhook_secret
language sql
security invoker
set search_path = ''
as $$ select * from private.rotate_app_webhook_secret($1, $2) $$;
comment on function public.rotate_app_webhook_secret is
  'For owners and admins of the company: a new secret, which is shown this once. The current one stays valid for the time '
  'of grace (0 after a leak), earlier ones end. Errors: SW001 (grace), SW002 and SW003 (webhook_id).';

grant execute on function
  private.create_app_webhook(uuid, uuid, text, text, jsonb, integer),
  public.create_app_webhook(uuid, uuid, text, text, jsonb, integer),
  private.rotate_app_webhook_secret(uuid, interval), public.rotate_app_webhook_secret(uuid, interval)
to authenticated, service_role;

-- Functions: receiving

create function private.verify_webhook_signature(p_webhook_id uuid, p_signed bytea, p_signatures text)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
declare
  -- Digests of random and signature are compared, so that the time taken tells nothing of the signature.
  salt constant bytea := extensions.gen_random_bytes(32);
  given constant text[] := (string_to_array(left(p_signatures, 4096), ' '))[1:16];
  keys bytea[];
  key bytea;
  candidate text;
  expected bytea;
  matches boolean;
  verified boolean := false;
begin
  -- Two keys, whatever there is: random ones stand for those that are missing, so that neither their number nor the
  -- existence of the webhook can be told by the time.
  keys := array(
    select secret from private.app_webhook_secrets
    where webhook_id = p_webhook_id and (expires_at is null or expires_at > now())
    order by expires_at desc nulls first
    limit 2
  ) || extensions.gen_random_bytes(32) || extensions.gen_random_bytes(32);
  foreach key in array keys[1:2] loop
    expected := sha256(salt || convert_to('v1,' || encode(extensions.hmac(p_signed, key, 'sha256'), 'base64'), 'UTF8'));
    foreach candidate in array given loop
      matches := sha256(salt || convert_to(candidate, 'UTF8')) = expected;
      verified := verified or matches;
    end loop;
  end loop;
  return verified;
end;
$$;
comment on function private.verify_webhook_signature is
  'One of the signatures, parted by spaces, is that of the bytes by a valid secret of the webhook.';

create function private.webhook_payload(p_body bytea, p_content_type text)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  deepest constant jsonpath := 'strict $.**{256}';
  media_type constant text := lower(trim(split_part(p_content_type, ';', 1)));
  body_text text;
  document jsonb;
begin
  body_text := convert_from(p_body, 'UTF8');
  if media_type = 'application/json' or media_type like '%+json' then
    begin
      document := body_text::jsonb;
      -- Many small values take several times their text, and parsers recurse.
      if pg_column_size(document) <= 393216 and not jsonb_path_exists(document, deepest) then
        return jsonb_build_object('payload', document, 'payload_encoding', 'json');
      end if;
    exception when data_exception or program_limit_exceeded then
      -- No JSON, or none that jsonb holds, such as "\u0000".
      null;
    end;
  end if;
  return jsonb_build_object('payload', body_text, 'payload_encoding', 'text');
exception when character_not_in_repertoire or untranslatable_character then
  return jsonb_build_object(
    'payload', translate(encode(p_body, 'base64'), e'\n', ''), 'payload_encoding', 'base64');
end;
$$;
comment on function private.webhook_payload is
  'The body as an app gets it. json: the document. text: the text, also of JSON that jsonb cannot hold, or only in much '
  'more space. base64: bytes that are not UTF-8.';

create function private.receive_app_webhook(
  p_webhook_id uuid, p_delivery_id text, p_sent_at text, p_signatures text, p_body text, p_headers jsonb)
returns table (outcome text, run_id uuid, message text, retry_after integer)
language plpgsql
security definer -- reads secrets, which are nobody's to read
set search_path = ''
as $$
#variable_conflict use_variable
declare
  tolerance constant interval := '5 minutes';
  largest_body constant integer := 262144;
  body bytea;
  webhook public.app_webhooks;
  delivery public.app_webhook_deliveries;
  busy_since timestamptz;
  code text;
begin
  if not coalesce(p_delivery_id ~ '^[!-\-/-~]{1,200}$', false) then
    perform private.raise_error('SW001', 'delivery_id takes 1 to 200 visible ASCII characters other than ".".', 'delivery_id');
  end if;
  if not coalesce(p_sent_at ~ '^[0-9]{1,12}$', false) then
    perform private.raise_error('SW001', 'sent_at takes seconds since 1970.', 'sent_at');
  end if;
  if p_headers is null or not private.is_object(p_headers) or pg_column_size(p_headers) > 8192 then
    perform private.raise_error('SW001', 'headers must be a JSON object of 8 KiB at most.', 'headers');
  end if;
  begin
    body := decode(p_body, 'base64');
  exception when invalid_parameter_value then
    perform private.raise_error('SW001', 'body must be base64.', 'body');
  end;
  if body is null or length(body) > largest_body then
    perform private.raise_error('SW001', format('body takes %s bytes.', largest_body), 'body');
  end if;

  -- Before anything is looked up: what is too old is answered alike, whatever it is for.
  if to_timestamp(p_sent_at::bigint) not between now() - tolerance and now() + tolerance then
    return query select 'stale', null::uuid, format('The timestamp is more than %s minutes from now.',
      extract(minutes from tolerance)::integer), null::integer;
    return;
  end if;
  if not private.verify_webhook_signature(
    p_webhook_id, convert_to(p_delivery_id || '.' || p_sent_at || '.', 'UTF8') || body, p_signatures)
  then
    return query select 'unverified', null::uuid, null::text, null::integer;
    return;
  end if;
  -- Deliveries of one webhook take turns from here: an id makes one run, and the limit holds exactly.
  select * into webhook from public.app_webhooks w where w.id = p_webhook_id and w.is_active for no key update;
  if not found then
    return query select 'unverified', null::uuid, null::text, null::integer;
    return;
  end if;
  update public.app_webhooks w set last_delivery_at = now() where w.id = webhook.id;

  select * into delivery from public.app_webhook_deliveries d
  where d.webhook_id = webhook.id and d.delivery_id = p_delivery_id;
  if delivery.outcome = 'enqueued' then
    update public.app_webhook_deliveries d
    set received_count = d.received_count + 1, last_received_at = now()
    where d.webhook_id = webhook.id and d.delivery_id = p_delivery_id;
    return query select 'repeated', delivery.run_id, null::text, null::integer;
    return;
  end if;
  if delivery.webhook_id is null then
    select d.received_at into busy_since from public.app_webhook_deliveries d
    where d.webhook_id = webhook.id and d.received_at > now() - interval '1 minute'
    order by d.received_at desc
    offset webhook.max_deliveries_per_minute - 1 limit 1;
    if found then
      return query select 'rate_limited', null::uuid,
        format('The webhook takes %s deliveries a minute.', webhook.max_deliveries_per_minute),
        greatest(ceil(extract(epoch from busy_since + interval '1 minute' - now()))::integer, 1);
      return;
    end if;
  end if;

  begin
    outcome := 'enqueued';
    run_id := (public.request_app_run(
      app_id => webhook.app_id, company_id => webhook.company_id, version => webhook.version, run_type => 'webhook',
      config => webhook.config || jsonb_build_object('webhook',
        jsonb_build_object('id', webhook.id, 'delivery_id', p_delivery_id, 'timestamp', p_sent_at::bigint, 'headers', p_headers)
        || private.webhook_payload(body, p_headers ->> 'content-type')))).id;
  exception
    -- Another transaction's doing: nothing was decided, the sender tries again.
    when transaction_rollback or lock_not_available or insufficient_resources or operator_intervention then
      raise;
    when others then
      code := sqlstate;
      outcome := case code when 'SW041' then 'queue_full' when 'SW113' then 'storage_full' when 'SW040' then 'not_runnable' else 'failed' end;
      message := left(case when code like 'SW%' then sqlerrm else format('%s (%s)', sqlerrm, code) end, 2000);
  end;
  insert into public.app_webhook_deliveries as d (webhook_id, delivery_id, company_id, run_id, outcome, message, body_size)
  values (webhook.id, p_delivery_id, webhook.company_id, run_id, outcome, message, length(body))
  on conflict on constraint app_webhook_deliveries_pkey do update
  set run_id = excluded.run_id, outcome = excluded.outcome, message = excluded.message, body_size = excluded.body_size,
    received_count = d.received_count + 1, last_received_at = now();
  return next;
end;
$$;

create function public.receive_app_webhook(
  webhook_id uuid, delivery_id text, sent_at text, signatures text, body text, headers jsonb default '{}')
returns table (outcome text, run_id uuid, message text, retry_after integer)
language sql
security invoker
set search_path = ''
as $$ select * from private.receive_app_webhook($1, $2, $3, $4, $5, $6) $$;
comment on function public.receive_app_webhook is
  'For the service: a delivery as it came, with the three headers of Standard Webhooks and its body in base64. If one of the '
  'signatures is right, it becomes a run, once an id, whose config has the key webhook: {id, delivery_id, timestamp, headers, '
  'payload, payload_encoding (json, text, base64)}. Outcomes: enqueued, repeated (run_id is the earlier run); unverified '
  '(unknown webhook, inactive, or wrong signature); stale (not within five minutes); rate_limited (retry_after: seconds), '
  'queue_full, storage_full, not_runnable, failed (message). Errors: SW001 (a named input).';

grant execute on function
  private.receive_app_webhook(uuid, text, text, text, text, jsonb),
  public.receive_app_webhook(uuid, text, text, text, text, jsonb)
to service_role;
