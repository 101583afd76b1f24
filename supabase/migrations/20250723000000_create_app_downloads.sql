-- Downloads. Whoever may read a file can have a link to it (request_app_downloads, behind POST /functions/v1/downloads), or
-- make a token that lets somebody without an account fetch it, for a time and a number of times. What is handed out is
-- written down per company.

-- Types

create type public.app_download_secret as (
  token_id uuid,
  secret text,
  expires_at timestamptz
);
comment on type public.app_download_secret is
  'A new download token, its secret shown this once. The file is at /functions/v1/downloads/t/{secret}.';

create type public.app_download_item as (
  number integer,
  bucket text,
  path text,
  file_size bigint,
  content_type text,
  stored_type text,
  stored_size bigint,
  checksum text
);
comment on type public.app_download_item is
  'A file that was asked for and may be read: the number of the item (from 1), where the object is, and what it is. '
  'stored_type and stored_size are what Storage says of it, content_type and file_size what its row says.';

create type public.app_download_target as (
  token_id uuid,
  bucket text,
  path text,
  file_name text,
  file_size bigint,
  stored_type text,
  etag text,
  is_immutable boolean
);
comment on type public.app_download_target is
  'What a download token that is valid now leads to. is_immutable: these bytes are the file''s for ever.';

-- Tables

create table public.app_download_tokens (
  id uuid primary key default gen_random_uuid(),
  company_id uuid not null references public.companies (id) on delete cascade,
  app_id uuid not null references public.applications (id) on delete cascade,
  file_id uuid references public.app_storage (id) on delete cascade,
  output_id uuid references public.app_outputs (id) on delete cascade,
  label text constraint app_download_tokens_label_length check (length(trim(label)) between 1 and 200),
  file_name text constraint app_download_tokens_file_name_format check (
    length(file_name) between 1 and 255 and file_name !~ '[/\\[:cntrl:]]'),
  max_downloads integer constraint app_download_tokens_max_downloads_range check (max_downloads between 1 and 1000000),
  download_count integer not null default 0,
  expires_at timestamptz not null,
  last_used_at timestamptz,
  revoked_at timestamptz,
  revoked_by uuid references auth.users (id) on delete set null,
  secret_sha256 text not null constraint app_download_tokens_secret_sha256_format check (secret_sha256 ~ '^[0-9a-f]{64}$'),
  created_by uuid default auth.uid() references auth.users (id) on delete set null,
  created_at timestamptz not null default now(),
  constraint app_download_tokens_target check (num_nonnulls(file_id, output_id) = 1),
  constraint app_download_tokens_download_count_range check (download_count between 0 and coalesce(max_downloads, download_count)),
  constraint app_download_tokens_secret_sha256_key unique (secret_sha256)
);
comment on table public.app_download_tokens is
  'Tokens that let their holders fetch one file without an account. Made with create_download_token, which shows the secret, '
  'and ended with revoke_download_token. They are the company''s: they stay valid when their maker leaves.';
comment on column public.app_download_tokens.company_id is
  'Who gave the file out. When this company may no longer read it, the token leads nowhere.';
comment on column public.app_download_tokens.file_name is 'What the file is saved as; by default its own name.';
comment on column public.app_download_tokens.max_downloads is 'How often the file may be fetched; null for any number.';
comment on column public.app_download_tokens.download_count is 'Answers that carried the file or a part of it.';
comment on column public.app_download_tokens.secret_sha256 is
  'Hexadecimal digits of the SHA-256 of the secret, which itself is kept nowhere. The secret has 256 random bits.';

create table public.app_downloads (
  id uuid primary key default gen_random_uuid(),
  company_id uuid not null references public.companies (id) on delete cascade,
  user_id uuid references auth.users (id) on delete set null,
  token_id uuid references public.app_download_tokens (id) on delete set null,
  app_id uuid not null references public.applications (id) on delete cascade,
  version text,
  file_id uuid,
  bucket text not null constraint app_downloads_bucket check (bucket in ('app-storage', 'app-logs')),
  path text not null,
  method text not null constraint app_downloads_method check (method in ('link', 'token')),
  bytes bigint constraint app_downloads_bytes_range check (bytes >= 0),
  created_at timestamptz not null default now(),
  constraint app_downloads_token_has_no_user check (method = 'link' or user_id is null)
);
comment on table public.app_downloads is
  'Which files were handed out: a row for every link issued, and for every answer to a token that carried the file.';
comment on column public.app_downloads.company_id is
  'Of a run''s logs and outputs the run''s company; of an app''s files the reader''s, or the token''s.';
comment on column public.app_downloads.user_id is 'Who asked for the link; null for the service and for tokens, whose holders nobody knows.';
comment on column public.app_downloads.version is 'Of the app''s file; null for logs, outputs and builds.';
comment on column public.app_downloads.file_id is 'Row of app_storage at the time; it may be gone.';
comment on column public.app_downloads.bytes is
  'What the link leads to, or what the answer was to carry: a range is a part. The connection may have broken before.';

create table private.app_download_totals (
  app_id uuid not null references public.applications (id) on delete cascade,
  version text not null,
  method text not null,
  downloads bigint not null,
  bytes bigint not null,
  last_download_at timestamptz not null,
  primary key (app_id, version, method)
);
comment on table private.app_download_totals is 'What is counted of downloads whose rows retention took away.';

-- Indexes

create index app_download_tokens_company_id_created_at_idx on public.app_download_tokens (company_id, created_at desc, id desc);
create index app_download_tokens_app_id_idx on public.app_download_tokens (app_id);
create index app_download_tokens_file_id_idx on public.app_download_tokens (file_id);
create index app_download_tokens_output_id_idx on public.app_download_tokens (output_id);
create index app_download_tokens_created_by_idx on public.app_download_tokens (created_by);
create index app_download_tokens_revoked_by_idx on public.app_download_tokens (revoked_by);
create index app_downloads_company_id_created_at_idx on public.app_downloads (company_id, created_at desc, id desc);
create index app_downloads_app_id_version_idx on public.app_downloads (app_id, version);
create index app_downloads_token_id_idx on public.app_downloads (token_id);
create index app_downloads_user_id_idx on public.app_downloads (user_id);

-- Predicates

create function private.company_may_read(p_company_id uuid, p_file_id uuid, p_output_id uuid)
returns boolean
language sql
stable
security definer -- asks for a company, not for the caller
set search_path = ''
as $$
  select exists (
    select from public.app_storage f
    join public.applications a on a.id = f.app_id
    where f.id = p_file_id
      and (
        a.publisher_company_id = p_company_id
        or (f.is_released and f.file_type <> 'source' and exists (
          select from public.app_assignments s where s.app_id = f.app_id and s.company_id = p_company_id))))
  or exists (
    select from public.app_outputs o where o.id = p_output_id and o.company_id = p_company_id)
$$;
comment on function private.company_may_read is
  'Whether members of the company see the file or the output: what the policies of app_storage and app_outputs say.';

create function private.reading_company(p_app_id uuid)
returns uuid
language sql
stable
security definer -- members and assignments whatever the caller sees
set search_path = ''
as $$
  select coalesce(
    (select m.company_id from public.company_members m
      where m.user_id = auth.uid() and m.company_id = a.publisher_company_id),
    (select m.company_id from public.company_members m
      join public.app_assignments s on s.company_id = m.company_id and s.app_id = a.id
      where m.user_id = auth.uid()
      order by m.created_at, m.company_id limit 1),
    a.publisher_company_id)
  from public.applications a
  where a.id = p_app_id
$$;
comment on function private.reading_company is
  'In whose name the caller reads the app''s files: the publisher, or else the company joined first that is assigned the app.';

-- Grants

grant select on public.app_download_tokens, public.app_downloads to authenticated;
grant select, insert, update, delete on public.app_download_tokens, public.app_downloads to service_role;

-- Row security

alter table public.app_download_tokens enable row level security;
alter table public.app_downloads enable row level security;

create policy "Members read the download tokens of their companies" on public.app_download_tokens
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

create policy "Members read the download log of their companies" on public.app_downloads
  for select to authenticated
  using (company_id = any ((select private.my_company_ids())::uuid[]));

-- Functions: links

create function private.log_app_link(p_bucket text, p_path text)
returns table (stored_type text, stored_size bigint)
language plpgsql
volatile
security definer -- the log is nobody's to write
set search_path = ''
as $$
declare
  file public.app_storage;
  object jsonb;
  app constant uuid := substring(p_path from '^app_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/')::uuid;
  run constant uuid := substring(p_path from '^app_[^/]+/runs/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/')::uuid;
begin
  select metadata into object from storage.objects where bucket_id = p_bucket and name = p_path;
  if not found then
    return;
  end if;
  if p_bucket = 'app-storage' then
    select * into file from public.app_storage where file_path = p_path;
  end if;
  -- An object that belongs to no app has no company to tell: only superadmins and the service see one.
  insert into public.app_downloads (company_id, user_id, app_id, version, file_id, bucket, path, method, bytes)
  select
    coalesce((select r.company_id from public.app_runs r where r.id = run and r.app_id = a.id), private.reading_company(a.id)),
    auth.uid(), a.id, file.version, file.id, p_bucket, p_path, 'link', coalesce(file.file_size, (object ->> 'size')::bigint)
  from public.applications a
  where a.id = app;
  return query select coalesce(object ->> 'mimetype', 'application/octet-stream'), (object ->> 'size')::bigint;
end;
$$;
comment on function private.log_app_link is
  'Writes down that the caller gets a link to the object, which they were found to see. What Storage says of it; nothing if it is not there.';

create function private.request_app_downloads(p_items jsonb)
returns setof public.app_download_item
language plpgsql
volatile -- as the caller, so that row security says what there is
set search_path = ''
as $$
begin
  if jsonb_typeof(p_items) is distinct from 'array' or jsonb_array_length(p_items) not between 1 and 100 then
    perform private.raise_error('SW001', 'items takes an array of 1 to 100 objects.', 'items');
  end if;
  return query
  with asked as (
    select item.number::integer, (value ->> 'file_id')::uuid as file_id, (value ->> 'output_id')::uuid as output_id,
      value ->> 'bucket' as bucket, value ->> 'path' as path
    from jsonb_array_elements(p_items) with ordinality item (value, number)
  ),
  visible as materialized (
    select asked.number, found.*
    from asked cross join lateral (
      select 'app-storage' as bucket, f.file_path as path, f.file_size, f.content_type, f.checksum
      from public.app_storage f where f.id = asked.file_id
      union all
      select o.output_bucket, o.output_path, o.file_size, null, null
      from public.app_outputs o where o.id = asked.output_id and o.output_path is not null
      union all
      select o.bucket_id, o.name, (o.metadata ->> 'size')::bigint, o.metadata ->> 'mimetype', null
      from storage.objects o
      where o.bucket_id = asked.bucket and o.name = asked.path and o.bucket_id in ('app-storage', 'app-logs')
    ) found
  )
  select v.number, v.bucket, v.path, coalesce(v.file_size, logged.stored_size), v.content_type, logged.stored_type,
    logged.stored_size, v.checksum
  from visible v cross join lateral private.log_app_link(v.bucket, v.path) logged
  order by v.number;
end;
$$;

create function public.request_app_downloads(items jsonb)
returns setof public.app_download_item
language sql
security invoker
set search_path = ''
as $$ select * from private.request_app_downloads($1) $$;
comment on function public.request_app_downloads is
  'Finds what is asked for among what the caller may read, and writes it to the download log. Each item has one of file_id, '
  'output_id, or bucket and path; those that are hidden or missing are left out. POST /functions/v1/downloads calls it and '
  'makes links. Errors: SW001 (items), 22P02 an id is none.';

grant execute on function
  private.log_app_link(text, text), private.request_app_downloads(jsonb), public.request_app_downloads(jsonb)
to authenticated, service_role;

-- Functions: tokens

create function private.create_download_token(
  p_file_id uuid, p_output_id uuid, p_max_downloads integer, p_expires_in interval, p_label text, p_file_name text, p_company_id uuid)
returns public.app_download_secret
language plpgsql
security definer -- tokens are nobody's to write
set search_path = ''
as $$
declare
  app uuid;
  company uuid := p_company_id;
  issued public.app_download_secret;
begin
  if num_nonnulls(p_file_id, p_output_id) <> 1 then
    perform private.raise_error('SW001', 'Name one of file_id and output_id.', 'file_id');
  end if;
  if p_max_downloads not between 1 and 1000000 then
    perform private.raise_error('SW001', 'max_downloads takes 1 to 1000000, or null for any number.', 'max_downloads');
  end if;
  if not coalesce(private.is_span(p_expires_in, '1 second', '366 days'), false) then
    perform private.raise_error('SW001', 'expires_in takes 1 second to 366 days.', 'expires_in');
  end if;
  if length(trim(p_label)) not between 1 and 200 then
    perform private.raise_error('SW001', 'label takes 1 to 200 characters.', 'label');
  end if;
  if length(p_file_name) not between 1 and 255 or p_file_name ~ '[/\\[:cntrl:]]' then
    perform private.raise_error('SW001', 'file_name takes 1 to 255 characters, without a path.', 'file_name');
  end if;
  if p_file_id is not null then
    select f.app_id into app from public.app_storage f where f.id = p_file_id;
    company := coalesce(company, private.reading_company(app));
  else
    select r.app_id, coalesce(company, r.company_id) into app, company
    from public.app_outputs o join public.app_runs r on r.id = o.run_id
    where o.id = p_output_id and o.output_path is not null;
  end if;
  -- One answer for what does not exist, what is hidden, and a company that is not the caller's.
  if app is null
    or not (private.is_service() or coalesce(company = any (private.my_company_ids()), false))
    or not private.company_may_read(company, p_file_id, p_output_id)
  then
    perform private.raise_error('SW002', 'There is no such file among what the company reads.',
      case when p_file_id is null then 'output_id' else 'file_id' end);
  end if;
  -- URL-safe base64 of 32 random bytes.
  issued.secret := 'swd_' || translate(rtrim(encode(extensions.gen_random_bytes(32), 'base64'), '='), '+/', '-_');
  insert into public.app_download_tokens
    (company_id, app_id, file_id, output_id, label, file_name, max_downloads, expires_at, secret_sha256)
  values (
    company, app, p_file_id, p_output_id, p_label, p_file_name, p_max_downloads, now() + p_expires_in,
    encode(sha256(convert_to(issued.secret, 'UTF8')), 'hex'))
  returning id, expires_at into issued.token_id, issued.expires_at;
  return issued;
end;
$$;

create function public.create_download_token(
  file_id uuid default null,
  output_id uuid default null,
  max_downloads integer default null,
  expires_in interval default '7 days',
  label text default null,
  file_name text default null,
  company_id uuid default null)
returns public.app_download_secret
language sql
security invoker
set search_path = ''
as $$ select * from private.create_download_token($1, $2, $3, $4, $5, $6, $7) $$;
comment on function public.create_download_token is
  'For whoever may read the file or the output: a token that lets others fetch it, and its secret, which is shown this once. '
  'company_id is in whose name; by default the output''s, or the one through which the caller reads the app. Errors: SW001 (a '
  'named input), SW002 (file_id, output_id).';

create function private.revoke_download_token(p_token_id uuid)
returns public.app_download_tokens
language plpgsql
security definer -- tokens are nobody's to write
set search_path = ''
as $$
declare
  token public.app_download_tokens;
begin
  select * into token from public.app_download_tokens where id = p_token_id;
  if not found or not (private.is_service() or token.company_id = any (private.my_company_ids())) then
    perform private.raise_error('SW002', 'There is no such download token among those of your companies.', 'token_id');
  end if;
  if not (
    private.is_service() or token.created_by is not distinct from auth.uid()
    or token.company_id = any (private.my_company_ids('admin'))
  ) then
    perform private.raise_error('SW003', 'Members revoke their own tokens; owners and admins all of the company''s.', 'token_id');
  end if;
  update public.app_download_tokens
  set revoked_at = now(), revoked_by = auth.uid()
  where id = p_token_id and revoked_at is null;
  select * into token from public.app_download_tokens where id = p_token_id;
  return token;
end;
$$;

create function public.revoke_download_token(token_id uuid)
returns public.app_download_tokens
language sql
security invoker
set search_path = ''
as $$ select * from private.revoke_download_token($1) $$;
comment on function public.revoke_download_token is
  'Ends a download token, for its maker and for owners and admins of the company; again, it changes nothing. Errors: SW002, '
  'SW003 (token_id).';

create function private.find_download_token(p_secret_sha256 text)
returns setof public.app_download_target
language sql
stable
security definer -- as its public function is the service's alone, this could be without; it keeps the rule in one place
set search_path = ''
as $$
  select
    t.id, place.bucket, place.path, coalesce(t.file_name, substring(place.path from '[^/]+$')),
    coalesce((o.metadata ->> 'size')::bigint, f.file_size), coalesce(o.metadata ->> 'mimetype', 'application/octet-stream'),
    coalesce('"' || replace(f.checksum, ':', '-') || '"', o.metadata ->> 'eTag'), coalesce(f.is_released, false)
  from public.app_download_tokens t
  left join public.app_storage f on f.id = t.file_id
  left join public.app_outputs r on r.id = t.output_id
  cross join lateral (
    select coalesce(r.output_bucket, 'app-storage') as bucket, coalesce(f.file_path, r.output_path) as path) place
  join storage.objects o on o.bucket_id = place.bucket and o.name = place.path
  where t.secret_sha256 = p_secret_sha256
    and t.revoked_at is null and t.expires_at > now() and t.download_count < coalesce(t.max_downloads, t.download_count + 1)
    and private.company_may_read(t.company_id, t.file_id, t.output_id)
$$;

create function public.find_download_token(secret_sha256 text)
returns setof public.app_download_target
language sql
security invoker
set search_path = ''
as $$ select * from private.find_download_token($1) $$;
comment on function public.find_download_token is
  'For the function downloads: what the token with this hash leads to. Nothing if it is unknown, expired, revoked or used up, '
  'or if the company that gave the file out may no longer read it: all the same.';

create function private.use_download_token(p_token_id uuid, p_bytes bigint)
returns boolean
language plpgsql
security definer -- the log is nobody's to write
set search_path = ''
as $$
declare
  token public.app_download_tokens;
begin
  -- Whoever waits for the row's lock looks at the count anew.
  update public.app_download_tokens t
  set download_count = t.download_count + 1, last_used_at = now()
  where t.id = p_token_id
    and t.revoked_at is null and t.expires_at > now() and t.download_count < coalesce(t.max_downloads, t.download_count + 1)
  returning * into token;
  if not found then
    return false;
  end if;
  insert into public.app_downloads (company_id, token_id, app_id, version, file_id, bucket, path, method, bytes)
  select token.company_id, token.id, token.app_id, f.version, f.id, coalesce(r.output_bucket, 'app-storage'),
    coalesce(f.file_path, r.output_path), 'token', p_bytes
  from (values (token.file_id, token.output_id)) target (file_id, output_id)
  left join public.app_storage f on f.id = target.file_id
  left join public.app_outputs r on r.id = target.output_id;
  return true;
end;
$$;

create function public.use_download_token(token_id uuid, bytes bigint)
returns boolean
language sql
security invoker
set search_path = ''
as $$ select private.use_download_token($1, $2) $$;
comment on function public.use_download_token is
  'For the function downloads: counts one use of the token and logs it. False when there is none left; nothing is counted then.';

grant execute on function
  private.create_download_token(uuid, uuid, integer, interval, text, text, uuid),
  public.create_download_token(uuid, uuid, integer, interval, text, text, uuid),
  private.revoke_download_token(uuid), public.revoke_download_token(uuid)
to authenticated, service_role;
grant execute on function
  private.find_download_token(text), public.find_download_token(text),
  private.use_download_token(uuid, bigint), public.use_download_token(uuid, bigint)
to service_role;

-- Functions: counts

create function private.list_app_download_counts(p_app_id uuid)
returns table (version text, method text, downloads bigint, bytes bigint, last_download_at timestamptz)
language sql
stable
security definer -- downloads of customers, of whom the publisher learns the number alone
set search_path = ''
as $$
  select d.version, d.method, sum(d.downloads)::bigint, sum(d.bytes)::bigint, max(d.last_download_at)
  from (
    select version, method, count(*) as downloads, coalesce(sum(bytes), 0)::bigint as bytes, max(created_at) as last_download_at
    from public.app_downloads where app_id = p_app_id and version is not null
    group by version, method
    union all
    select version, method, downloads, bytes, last_download_at from private.app_download_totals where app_id = p_app_id
  ) d
  where private.is_service() or p_app_id = any (private.my_published_app_ids())
  group by d.version, d.method
  order by d.version, d.method
$$;

create function public.list_app_download_counts(app_id uuid)
returns table (version text, method text, downloads bigint, bytes bigint, last_download_at timestamptz)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.list_app_download_counts($1) $$;
comment on function public.list_app_download_counts is
  'For the members of an app''s publisher: how often files of each version were handed out, by links and by tokens, and how '
  'many bytes. What runs of customers put out is not counted, and neither they nor their users are named. Empty for '
  'everybody else.';

grant execute on function private.list_app_download_counts(uuid), public.list_app_download_counts(uuid) to authenticated, service_role;

create function private.delete_downloads(p_ids uuid[])
returns void
language sql
security definer -- behind apply_retention
set search_path = ''
as $$
  with gone as (
    delete from public.app_downloads where id = any (p_ids) returning app_id, version, method, bytes, created_at
  )
  insert into private.app_download_totals as t (app_id, version, method, downloads, bytes, last_download_at)
  select app_id, version, method, count(*), coalesce(sum(bytes), 0), max(created_at)
  from gone where version is not null
  group by app_id, version, method
  on conflict (app_id, version, method) do update set
    downloads = t.downloads + excluded.downloads, bytes = t.bytes + excluded.bytes,
    last_download_at = greatest(t.last_download_at, excluded.last_download_at)
$$;
comment on function private.delete_downloads is 'Rows of the log go, and stay counted.';
