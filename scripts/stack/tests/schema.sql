-- A schema for the REST API's tests: relations, rules, row security, errors of every kind.
create table public.shelves (
  id bigint generated always as identity primary key,
  owner uuid not null default auth.uid(),
  name text not null unique check (name <> ''),
  width numeric(10, 2) not null default 0,
  tags text[] not null default '{}',
  notes jsonb not null default '{}',
  made_at timestamptz not null default '2026-01-02 03:04:05.6+00'
);
create table public.books (
  id bigint generated always as identity primary key,
  shelf_id bigint not null references public.shelves (id) on delete cascade,
  title text not null,
  pages int
);
create index on public.books (shelf_id);
create table public.unexposed (id int primary key);

alter table public.shelves enable row level security;
alter table public.books enable row level security;
grant select, insert, update, delete on public.shelves, public.books to authenticated, service_role;
create policy "Owners do everything with their shelves" on public.shelves to authenticated
  using (owner = (select auth.uid())) with check (owner = (select auth.uid()));
create policy "Owners do everything with their books" on public.books to authenticated
  using (shelf_id in (select id from public.shelves)) with check (shelf_id in (select id from public.shelves));

create function public.add(a int, b int) returns int language sql immutable return a + b;
create function public.my_claims() returns jsonb language sql stable return auth.jwt();
create function public.request_header(name text) returns text language sql stable
  return current_setting('request.headers', true)::jsonb ->> name;
create function public.list_shelves(at_least numeric default 0) returns setof public.shelves language sql stable
  begin atomic select * from public.shelves where width >= at_least; end;
create function public.fail(code text, message text default 'as asked', detail text default null) returns void
  language plpgsql as $$ begin raise exception using errcode = code, message = message, detail = coalesce(detail, ''); end; $$;
create function public.add_shelf(name text) returns void language sql volatile
  begin atomic insert into public.shelves (name, owner) values (add_shelf.name, gen_random_uuid()); end;
create function public.same(value jsonb) returns jsonb language sql immutable return value;
create function public.sleep(seconds float8) returns void language sql volatile begin atomic select pg_sleep(seconds); end;
create function public.hidden() returns int language sql return 1;
revoke execute on function public.hidden from public;
grant execute on function public.add, public.my_claims, public.request_header, public.list_shelves, public.fail, public.add_shelf, public.same, public.sleep
  to anon, authenticated, service_role;
