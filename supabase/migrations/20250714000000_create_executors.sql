-- Executors run apps. They come and go without asking: one appears by claiming, and is known by when it was last seen.

create table public.executors (
  id text primary key constraint executors_id_length check (length(id) between 1 and 200),
  capacity integer not null default 1 constraint executors_capacity_range check (capacity between 1 and 10000),
  labels jsonb not null default '{}' constraint executors_labels_object check (private.is_object(labels)),
  version text not null default '',
  last_seen_at timestamptz not null default now(),
  created_at timestamptz not null default now()
);
comment on table public.executors is 'Servers that run apps, with the id that each chose for itself.';
comment on column public.executors.capacity is 'Runs that it executes at the same time.';

-- Grants

grant select, insert, update, delete on public.executors to authenticated, service_role;

-- Row security

alter table public.executors enable row level security;

create policy "Superadmins read executors" on public.executors
  for select to authenticated
  using ((select private.is_superadmin()));

create policy "Superadmins add executors" on public.executors
  for insert to authenticated
  with check ((select private.is_superadmin()));

create policy "Superadmins change executors" on public.executors
  for update to authenticated
  using ((select private.is_superadmin()));

create policy "Superadmins delete executors" on public.executors
  for delete to authenticated
  using ((select private.is_superadmin()));

-- Functions

create function private.register_executor(p_executor_id text, p_capacity integer, p_labels jsonb, p_version text)
returns public.executors
language plpgsql
security definer -- called by the queue's functions, which run for the service
set search_path = ''
as $$
declare
  executor public.executors;
begin
  if coalesce(length(p_executor_id), 0) not between 1 and 200 then
    perform private.raise_error('SW001', 'executor_id takes 1 to 200 characters.', 'executor_id');
  end if;
  insert into public.executors as e (id, capacity, labels, version)
  values (p_executor_id, coalesce(p_capacity, 1), coalesce(p_labels, '{}'), coalesce(p_version, ''))
  on conflict (id) do update set
    capacity = coalesce(p_capacity, e.capacity),
    labels = coalesce(p_labels, e.labels),
    version = coalesce(p_version, e.version),
    last_seen_at = now()
  returning * into executor;
  return executor;
end;
$$;

create function public.register_executor(
  executor_id text, capacity integer default 1, labels jsonb default '{}', version text default '')
returns public.executors
language sql
security invoker
set search_path = ''
as $$ select * from private.register_executor($1, $2, $3, $4) $$;
comment on function public.register_executor is
  'For the service: an executor says who it is, when it starts. Errors: SW001 (executor_id), 23514 (capacity, labels).';

grant execute on function
  private.register_executor(text, integer, jsonb, text), public.register_executor(text, integer, jsonb, text)
to service_role;
