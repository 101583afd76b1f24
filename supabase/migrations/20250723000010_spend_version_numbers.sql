-- A published version never changes; nor does its number come back with other content once it was archived, emptied and
-- deleted: whoever has noted, cached or pinned it would get what they never asked for.

-- Tables. Nobody is granted it.

create table private.spent_app_versions (
  app_id uuid not null references public.applications (id) on delete cascade,
  version text not null,
  deleted_at timestamptz not null default now(),
  primary key (app_id, version)
);
comment on table private.spent_app_versions is 'Versions that were published and are deleted.';

-- Triggers

create function private.spend_version()
returns trigger
language plpgsql
security definer -- what is spent is nobody's to write
set search_path = ''
as $$
begin
  insert into private.spent_app_versions (app_id, version) values (old.app_id, old.version)
  on conflict do nothing;
  return null;
end;
$$;

create trigger spend_version after delete on public.app_versions
  for each row when (old.published_at is not null)
  execute function private.spend_version();

create function private.guard_spent_version()
returns trigger
language plpgsql
security definer -- what is spent is nobody's to read
set search_path = ''
as $$
begin
  if exists (select from private.spent_app_versions s where s.app_id = new.app_id and s.version = new.version) then
    perform private.raise_error('SW125',
      format('Version %s was published before, and its number is not given again: take another.', new.version), 'version');
  end if;
  return null;
end;
$$;

-- Afterwards: row security has answered those whose app it is not, and a deletion that the row had to wait for is over.
create trigger guard_spent_version after insert on public.app_versions
  for each row execute function private.guard_spent_version();

create trigger guard_spent_version_of_change after update on public.app_versions
  for each row when ((old.app_id, old.version) is distinct from (new.app_id, new.version))
  execute function private.guard_spent_version();
