-- What every later migration stands on: a schema that the API does not expose, privileges that begin at nothing, the
-- rules that more than one table needs, and the errors that callers react to.
--
-- Errors. Every error that a caller can react to has a SQLSTATE of its own, a message for people, and in DETAIL the
-- input it is about: {"field": "version"}. Postgres's own codes (23505, 42501, …) keep their meaning.
--
--   SW001  invalid input                                SW030  storage quota exceeded
--   SW002  not found, or not visible to the caller      SW031  upload expired
--   SW003  the caller's role does not allow it          SW032  upload is being verified by another request
--   SW010  a company keeps at least one owner           SW033  upload is over (failed, cancelled)
--   SW011  user has founded as many companies as may be SW053  company has as many schedules as it may
--   SW020  only a draft version can be changed          SW034  file larger than the bucket takes
--   SW021  version has no manifest, or no files         SW040  app cannot be run
--   SW022  no such change of status                     SW041  queue limit of the company reached
--   SW023  a file of the version is being uploaded      SW042  run is not finished
--   SW050  invalid cron expression                      SW043  idempotency key was used for another request
--   SW051  unknown time zone                            SW052  idempotency key has been used
--   SW060  quota of objects exceeded                    SW061  the object of that name is being deleted
--   SW095  build queue limit of the publisher reached   SW113  storage is full: no new runs and builds
--   SW125  version was published before, and deleted
--
--   SW100  name is taken, or could be mistaken for one   SW104  namespace is not one of the caller's
--   SW101  version of a package exists                   SW105  package depends on itself
--   SW103  content has another checksum                  SW107  public package stays public
--   SW120  graph of packages too large to be resolved    SW121  draft is another one by now

create schema private;
comment on schema private is
  'Functions and tables behind the API: never exposed, and the only place for security definer functions.';

-- Grants. The platform exposes nothing new by itself; projects that still do are brought to the same state.
revoke all on schema private from public;
grant usage on schema private to anon, authenticated, service_role;

alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke execute on functions from anon, authenticated, service_role;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;

-- Errors

create function private.shortened(value text, most integer default 100)
returns text
language sql
immutable
set search_path = ''
return case when length(value) > most then left(value, most - 1) || '…' else value end;
comment on function private.shortened is 'A text as errors repeat it: what callers send may be of any length.';
grant execute on function private.shortened(text, integer) to authenticated, service_role;

create function private.raise_error(sqlstate_code text, message text, field text default null)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  raise exception using
    errcode = sqlstate_code,
    message = private.shortened(message, 500),
    detail = case when field is null then '' else jsonb_build_object('field', field)::text end;
end;
$$;
comment on function private.raise_error is 'Raises one of the errors listed at the head of this migration.';
grant execute on function private.raise_error(text, text, text) to authenticated, service_role;

-- Rules that are said once. Constraints call them, so whoever may write may execute them.

create function private.is_slug(value text)
returns boolean
language sql
immutable
set search_path = ''
return value ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';
comment on function private.is_slug is
  'Lower-case letters, digits and inner hyphens, 1 to 63 characters: usable as a DNS label.';

create function private.is_semver(value text)
returns boolean
language sql
immutable
set search_path = ''
return length(value) <= 64 and value ~ (
  '^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)'
  '(-((0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?'
  '(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$');
comment on function private.is_semver is 'Semantic version 2.0.0 (semver.org), at most 64 characters.';

create function private.semver_key(value text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
declare
  -- Build metadata has no part in precedence.
  core text := split_part(split_part(value, '+', 1), '-', 1);
  prerelease text := substr(split_part(value, '+', 1), length(core) + 2);
  number text;
  identifier text;
  key text := '';
begin
  -- A number is preceded by its length, so that text order is number order.
  foreach number in array string_to_array(core, '.') loop
    key := key || lpad(length(number)::text, 2, '0') || number;
  end loop;
  -- A release is greater than its pre-releases; a number is smaller than a word; a shorter list is smaller.
  if prerelease = '' then
    return key || '~';
  end if;
  foreach identifier in array string_to_array(prerelease, '.') loop
    key := key || case
      when identifier ~ '^[0-9]+$' then '1' || lpad(length(identifier)::text, 2, '0') || identifier
      else '2' || identifier
    end || '!';
  end loop;
  return key;
end;
$$;
comment on function private.semver_key is
  'A text whose order in collation "C" is the precedence of semantic versions (semver.org, 11).';

create function private.is_safe_path(value text)
returns boolean
language sql
immutable
set search_path = ''
return length(value) between 1 and 512
  and value ~ '^[A-Za-z0-9._@+=,()/ -]+$'
  and value !~ '(^|/)(\.{1,2})?(/|$)'
  and value !~ '(^|/) | (/|$)';
comment on function private.is_safe_path is
  'A relative path that every file system and the Storage API take: no empty, "." or ".." segment, no outer spaces.';

create function private.is_object(value jsonb)
returns boolean
language sql
immutable
set search_path = ''
return jsonb_typeof(value) = 'object';

create function private.is_span(value interval, shortest interval, longest interval)
returns boolean
language sql
immutable
set search_path = ''
return value between shortest and longest
  and least(
    extract(year from value), extract(month from value), extract(day from value),
    extract(hour from value), extract(minute from value), extract(second from value)) >= 0;
comment on function private.is_span is
  'So long, and no part of it negative: -5000000 years and 1826250000 days are a few days together, but no time has them added.';

create function private.time_ordered_uuid()
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
begin
  return lpad(to_hex((date_part('epoch', clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16);
end;
$$;
comment on function private.time_ordered_uuid is
  'A UUID of version 7 (RFC 9562): milliseconds of the clock, then 74 random bits. What is made together lies together in an index.';

grant execute on function
  private.is_slug(text), private.is_semver(text), private.semver_key(text), private.is_safe_path(text), private.is_object(jsonb),
  private.is_span(interval, interval, interval), private.time_ordered_uuid()
to authenticated, service_role;

-- Who is asking

create function private.is_service()
returns boolean
language plpgsql -- as language sql it would be planned in each call
stable
set search_path = ''
as $$
begin
  return case current_setting('role') when 'none' then session_user::text else current_setting('role') end
    in ('service_role', 'postgres', 'supabase_admin');
end;
$$;
comment on function private.is_service is
  'The request comes with the secret key, or over a direct connection of an operator; true inside definer functions too.';
grant execute on function private.is_service() to authenticated, service_role;

-- Triggers that many tables share

create function private.set_updated_at()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end;
$$;
