-- What a company uses of its storage: files and builds, with their logs, of the apps that it publishes, logs and outputs of
-- its runs, its packages, and what uploads under way were promised. Triggers note each change in a journal, in the
-- transaction of the change itself, so that no crash comes between; usage is the journal's sum. Entries are only ever added,
-- so that nobody waits for anybody.
--
-- Uploads and packages that do not fit are refused, exactly, under a lock on the company. What a run or a build makes is
-- kept whatever the quota says, but a company that has come to use more asks for no more of them until there is room.

-- Tables. Nobody is granted them.

create table private.storage_usage (
  company_id uuid not null references public.companies (id) on delete cascade,
  kind text not null constraint storage_usage_kind check (
    kind in ('files', 'builds', 'outputs', 'packages', 'uploads')),
  bytes bigint not null,
  objects bigint not null,
  primary key (company_id, kind)
);
comment on table private.storage_usage is 'The sum of the journal''s entries that were folded into it.';

create table private.storage_changes (
  id bigint generated always as identity primary key,
  company_id uuid not null references public.companies (id) on delete cascade,
  kind text not null constraint storage_changes_kind check (
    kind in ('files', 'builds', 'outputs', 'packages', 'uploads')),
  bytes bigint not null,
  objects bigint not null
);
comment on table private.storage_changes is 'The journal: what each statement added to a company''s usage, or took from it.';

create index storage_changes_company_id_idx on private.storage_changes (company_id) include (kind, bytes, objects);

-- Rules: what a row counts. A call costs more than reading the row: what adds up many rows calls them where it must.

create function private.output_objects(output public.app_outputs)
returns integer
language sql
immutable
set search_path = ''
return case
  when output.output_path is null then 0
  -- A log that grows is in parts.
  when jsonb_typeof(output.output_data -> 'parts') = 'array' then greatest(jsonb_array_length(output.output_data -> 'parts'), 1)
  else 1
end;

create function private.build_bytes(build public.app_builds)
returns bigint
language sql
immutable
set search_path = ''
return case when build.build_path is null then 0 else coalesce(build.file_size, 0) end + coalesce(build.build_logs_size, 0);

create function private.build_objects(build public.app_builds)
returns integer
language sql
immutable
set search_path = ''
return (build.build_path is not null)::integer + (build.build_logs_size is not null)::integer;
comment on function private.build_objects is 'The package and the log, as far as they are there.';

create function private.is_open(upload public.app_uploads)
returns boolean
language sql
immutable
set search_path = ''
return upload.status in ('pending', 'verifying');

create function private.reserved_bytes(upload public.app_uploads)
returns bigint
language sql
immutable
set search_path = ''
return case when private.is_open(upload) then greatest(upload.file_size - coalesce(upload.replaces_bytes, 0), 0) else 0 end;
comment on function private.reserved_bytes is
  'What an open upload will add: nothing for what it takes the place of. The sum of files and reservations keeps to the quota '
  'whatever is completed, given up or deleted.';

create function private.reserved_objects(upload public.app_uploads)
returns integer
language sql
immutable
set search_path = ''
return (private.is_open(upload) and upload.replaces_bytes is null)::integer;

-- The journal

create function private.note_storage_change(p_company_id uuid, p_kind text, p_bytes bigint, p_objects bigint)
returns void
language sql
security definer -- the journal is nobody's to write
set search_path = ''
as $$
  insert into private.storage_changes (company_id, kind, bytes, objects)
  -- A company that is being deleted takes its journal along.
  select id, p_kind, p_bytes, p_objects from public.companies
  where id = p_company_id and (p_bytes <> 0 or p_objects <> 0)
$$;

create function private.fold_storage_changes(p_company_id uuid)
returns void
language plpgsql
security definer -- the journal is nobody's to write
set search_path = ''
as $$
begin
  -- Another one that folds is enough, and nobody waits for it.
  if not pg_try_advisory_xact_lock(hashtext('stowage.storage_usage'), hashtext(p_company_id::text)) then
    return;
  end if;
  with folded as (
    delete from private.storage_changes where company_id = p_company_id returning kind, bytes, objects
  )
  insert into private.storage_usage as u (company_id, kind, bytes, objects)
  select p_company_id, kind, sum(bytes), sum(objects) from folded group by kind
  on conflict (company_id, kind) do update set bytes = u.bytes + excluded.bytes, objects = u.objects + excluded.objects;
end;
$$;
comment on function private.fold_storage_changes is
  'Keeps the journal short, in one statement: whoever adds up both tables meanwhile gets the same sum.';

create function private.storage_used(p_company_id uuid)
returns table (kind text, bytes bigint, objects bigint)
language sql
stable
security definer -- reads the journal
set search_path = ''
as $$
  select kind, sum(bytes)::bigint, sum(objects)::bigint
  from (
    select kind, bytes, objects from private.storage_usage where company_id = p_company_id
    union all
    select kind, bytes, objects from private.storage_changes where company_id = p_company_id
  ) entries
  group by kind
$$;

create function private.is_storage_full(company public.companies)
returns boolean
language sql
stable
security definer -- reads the journal
set search_path = ''
as $$
  -- What uploads were promised fits, and may never come.
  select coalesce(sum(u.bytes) > company.storage_quota_bytes or sum(u.objects) > company.storage_quota_objects, false)
  from private.storage_used(company.id) u where u.kind <> 'uploads'
$$;
comment on function private.is_storage_full is 'More is stored for the company than its quota, of bytes or of objects, allows.';

-- Triggers

create function private.settle_storage()
returns trigger
language plpgsql
security definer -- the journal and the lanes are nobody's to write
set search_path = ''
as $$
declare
  company public.companies;
begin
  perform private.fold_storage_changes(new.company_id);
  select * into company from public.companies where id = new.company_id;
  if private.is_storage_full(company) then
    -- The next request counts again, and is refused. One that is counting at this moment is not waited for.
    update private.company_lanes set queue_credit = 0
    where lane in (
      select lane from private.company_lanes where company_id = new.company_id and queue_credit > 0
      for no key update skip locked);
  end if;
  return null;
end;
$$;
comment on function private.settle_storage is
  'Folds the journal of a company, and takes away what it may still ask of the queue when it is full. Now and then is enough: '
  'for every large entry, and one in a few dozen of the others.';

create trigger settle after insert on private.storage_changes
  for each row when (new.kind <> 'uploads' and (new.bytes >= 1048576 or new.id % 64 = 0))
  execute function private.settle_storage();

-- The app's row is locked until the change is over, so that its publisher stays who it is.
create function private.account_files()
returns trigger
language plpgsql
security definer -- finds out the publisher whatever the caller sees
set search_path = ''
as $$
declare
  entry record;
begin
  if tg_op <> 'INSERT' then
    for entry in
      with publishers as (
        select id, publisher_company_id from public.applications where id in (select app_id from removed) for share
      )
      select p.publisher_company_id as company_id, sum(f.file_size)::bigint as bytes, count(*) as objects
      from removed f join publishers p on p.id = f.app_id group by p.publisher_company_id
    loop
      perform private.note_storage_change(entry.company_id, 'files', -entry.bytes, -entry.objects);
    end loop;
  end if;
  if tg_op <> 'DELETE' then
    for entry in
      with publishers as (
        select id, publisher_company_id from public.applications where id in (select app_id from added) for share
      )
      select p.publisher_company_id as company_id, sum(f.file_size)::bigint as bytes, count(*) as objects
      from added f join publishers p on p.id = f.app_id group by p.publisher_company_id
    loop
      perform private.note_storage_change(entry.company_id, 'files', entry.bytes, entry.objects);
    end loop;
  end if;
  return null;
end;
$$;

create trigger account_added after insert on public.app_storage
  referencing new table as added
  for each statement execute function private.account_files();

create trigger account_removed after delete on public.app_storage
  referencing old table as removed
  for each statement execute function private.account_files();

create function private.account_changed_file()
returns trigger
language plpgsql
security definer -- finds out the publisher whatever the caller sees
set search_path = ''
as $$
declare
  company_id uuid;
begin
  select a.publisher_company_id into company_id from public.applications a where a.id = new.app_id for share;
  perform private.note_storage_change(company_id, 'files', new.file_size - old.file_size, 0);
  return null;
end;
$$;

create trigger account_changed after update on public.app_storage
  for each row when (old.file_size <> new.file_size)
  execute function private.account_changed_file();

-- An open upload counts less, or more, as the file that it would take the place of comes, changes and goes.
create function private.adjust_reservation()
returns trigger
language plpgsql
security definer -- uploads are nobody's to write
set search_path = ''
as $$
declare
  path text := case tg_op when 'DELETE' then old.file_path else new.file_path end;
begin
  update public.app_uploads u
  set replaces_bytes = case tg_op when 'DELETE' then null else new.file_size end
  where lower(u.file_path) = lower(path) and u.file_path = path and u.status in ('pending', 'verifying');
  return null;
end;
$$;

create trigger adjust_reservation after insert or delete on public.app_storage
  for each row execute function private.adjust_reservation();

create trigger adjust_reservation_of_changed after update on public.app_storage
  for each row when (old.file_size <> new.file_size)
  execute function private.adjust_reservation();

create function private.account_build()
returns trigger
language plpgsql
security definer -- finds out the publisher whatever the caller sees
set search_path = ''
as $$
declare
  company_id uuid;
  bytes bigint := 0;
  objects integer := 0;
begin
  select a.publisher_company_id into company_id from public.applications a
  where a.id = case tg_op when 'DELETE' then old.app_id else new.app_id end
  for share;
  if tg_op <> 'DELETE' then
    bytes := private.build_bytes(new);
    objects := private.build_objects(new);
  end if;
  if tg_op <> 'INSERT' then
    bytes := bytes - private.build_bytes(old);
    objects := objects - private.build_objects(old);
  end if;
  perform private.note_storage_change(company_id, 'builds', bytes, objects);
  return null;
end;
$$;

create trigger account_added after insert on public.app_builds
  for each row when (new.build_path is not null or new.build_logs_size is not null)
  execute function private.account_build();

create trigger account_changed after update on public.app_builds
  for each row when (
    (old.build_path, old.file_size, old.build_logs_size) is distinct from (new.build_path, new.file_size, new.build_logs_size))
  execute function private.account_build();

create trigger account_removed after delete on public.app_builds
  for each row when (old.build_path is not null or old.build_logs_size is not null)
  execute function private.account_build();

-- Executors send the log before they say how the build ended, and those that die have sent what they had: what is there is
-- measured, so that nobody has to be believed.
create function private.measure_build_log()
returns trigger
language plpgsql
security definer -- looks at the object whatever the caller sees
set search_path = ''
as $$
begin
  if new.build_logs is not null then
    new.build_logs_size := (
      select (o.metadata ->> 'size')::bigint from storage.objects o where o.bucket_id = 'app-logs' and o.name = new.build_logs);
  end if;
  return new;
end;
$$;

create trigger measure_build_log before update on public.app_builds
  for each row when (old.build_status <> new.build_status)
  execute function private.measure_build_log();

-- One statement, since executors write outputs often.
create function private.account_outputs()
returns trigger
language plpgsql
security definer -- the journal is nobody's to write
set search_path = ''
as $$
begin
  if tg_op <> 'INSERT' then
    insert into private.storage_changes (company_id, kind, bytes, objects)
    select o.company_id, 'outputs', -sum(coalesce(o.file_size, 0)), -sum(private.output_objects(o))
    from removed o where o.output_path is not null group by o.company_id;
  end if;
  if tg_op <> 'DELETE' then
    insert into private.storage_changes (company_id, kind, bytes, objects)
    select o.company_id, 'outputs', sum(coalesce(o.file_size, 0)), sum(private.output_objects(o))
    from added o where o.output_path is not null group by o.company_id;
  end if;
  return null;
end;
$$;

create trigger account_added after insert on public.app_outputs
  referencing new table as added
  for each statement execute function private.account_outputs();

create trigger account_changed after update on public.app_outputs
  referencing old table as removed new table as added
  for each statement execute function private.account_outputs();

create trigger account_removed after delete on public.app_outputs
  referencing old table as removed
  for each statement execute function private.account_outputs();

create function private.account_upload()
returns trigger
language plpgsql
security definer -- the journal is nobody's to write
set search_path = ''
as $$
begin
  if tg_op <> 'INSERT' then
    perform private.note_storage_change(
      old.company_id, 'uploads', -private.reserved_bytes(old), -private.reserved_objects(old));
  end if;
  if tg_op <> 'DELETE' then
    perform private.note_storage_change(new.company_id, 'uploads', private.reserved_bytes(new), private.reserved_objects(new));
  end if;
  return null;
end;
$$;

create trigger account_added after insert on public.app_uploads
  for each row when (new.status in ('pending', 'verifying'))
  execute function private.account_upload();

create trigger account_changed after update on public.app_uploads
  for each row when (
    (old.company_id, old.status, old.file_size, old.replaces_bytes)
      is distinct from (new.company_id, new.status, new.file_size, new.replaces_bytes))
  execute function private.account_upload();

create trigger account_removed after delete on public.app_uploads
  for each row when (old.status in ('pending', 'verifying'))
  execute function private.account_upload();

create function private.move_storage_of_app()
returns trigger
language plpgsql
security definer -- files, builds and uploads of the app whatever the caller sees
set search_path = ''
as $$
declare
  company public.companies;
  needed record;
  entry record;
begin
  perform private.end_overdue_uploads(old.publisher_company_id, new.id);
  -- Or a company that is full would go on with the quota of another one, which is empty again afterwards.
  if not (private.is_service() or private.is_superadmin()) then
    select * into company from public.companies where id = new.publisher_company_id for no key update;
    select
      coalesce(sum(bytes), 0)::bigint as bytes, coalesce(sum(objects), 0)::bigint as objects into needed
    from (
      select file_size as bytes, 1 as objects from public.app_storage where app_id = new.id
      union all
      select private.build_bytes(b), private.build_objects(b) from public.app_builds b where app_id = new.id
      union all
      select private.reserved_bytes(u), private.reserved_objects(u) from public.app_uploads u
      where app_id = new.id and status in ('pending', 'verifying')
    ) moving;
    perform private.require_storage(company, needed.bytes, needed.objects, 'publisher_company_id');
  end if;
  for entry in
    select 'files' as kind, coalesce(sum(file_size), 0)::bigint as bytes, count(*) as objects
    from public.app_storage where app_id = new.id
    union all
    select 'builds', coalesce(sum(private.build_bytes(b)), 0)::bigint, coalesce(sum(private.build_objects(b)), 0)
    from public.app_builds b where app_id = new.id
  loop
    perform private.note_storage_change(old.publisher_company_id, entry.kind, -entry.bytes, -entry.objects);
    perform private.note_storage_change(new.publisher_company_id, entry.kind, entry.bytes, entry.objects);
  end loop;
  update public.app_uploads set company_id = new.publisher_company_id
  where app_id = new.id and status in ('pending', 'verifying');
  return null;
end;
$$;

create trigger move_storage after update on public.applications
  for each row when (old.publisher_company_id <> new.publisher_company_id)
  execute function private.move_storage_of_app();

-- What there is already

insert into private.storage_changes (company_id, kind, bytes, objects)
select a.publisher_company_id, 'files', sum(f.file_size), count(*)
from public.app_storage f join public.applications a on a.id = f.app_id
group by a.publisher_company_id
union all
select a.publisher_company_id, 'builds', sum(private.build_bytes(b)), sum(private.build_objects(b))
from public.app_builds b join public.applications a on a.id = b.app_id
group by a.publisher_company_id
union all
select company_id, 'outputs', sum(coalesce(file_size, 0)), sum(private.output_objects(o))
from public.app_outputs o where output_path is not null group by company_id
union all
select company_id, 'uploads', sum(private.reserved_bytes(u)), sum(private.reserved_objects(u))
from public.app_uploads u where status in ('pending', 'verifying') group by company_id;

-- Functions

create function private.require_room(p_company_id uuid, p_field text)
returns void
language plpgsql
security definer -- reads the journal
set search_path = ''
as $$
declare
  company public.companies;
begin
  select * into company from public.companies where id = p_company_id;
  if private.is_storage_full(company) then
    perform private.raise_error('SW113', (
      select format(
        'The company''s storage is full: %s of %s bytes and %s of %s objects are in use. Delete something, or ask for more.',
        sum(u.bytes), company.storage_quota_bytes, sum(u.objects), company.storage_quota_objects)
      from private.storage_used(p_company_id) u where u.kind <> 'uploads'), p_field);
  end if;
end;
$$;
comment on function private.require_room is 'A company that stores more than its quota asks for no more runs and builds. Error: SW113.';

create function private.end_overdue_uploads(p_company_id uuid, p_app_id uuid default null)
returns void
language sql
security definer -- uploads are nobody's to write
set search_path = ''
as $$
  update public.app_uploads set status = 'expired'
  where id in (
    select id from public.app_uploads
    where company_id = p_company_id and (p_app_id is null or app_id = p_app_id) and expires_at <= now()
      and (status = 'pending' or (status = 'verifying' and verifying_until < now()))
    -- One that is being completed after all may wait for what the caller holds.
    for no key update skip locked)
$$;
comment on function private.end_overdue_uploads is 'What is promised to an upload that will not come is free again.';

create function private.require_storage(company public.companies, p_bytes bigint, p_objects bigint, p_field text default 'file_size')
returns void
language plpgsql
security definer -- reads the journal
set search_path = ''
as $$
declare
  used_bytes bigint;
  used_objects bigint;
begin
  perform private.end_overdue_uploads(company.id);
  perform private.fold_storage_changes(company.id);
  select coalesce(sum(bytes), 0), coalesce(sum(objects), 0) into used_bytes, used_objects
  from private.storage_used(company.id);
  if p_bytes > 0 and used_bytes + p_bytes > company.storage_quota_bytes then
    perform private.raise_error('SW030',
      format('The company''s storage quota is %s bytes, of which %s are in use: %s more do not fit.',
        company.storage_quota_bytes, used_bytes, p_bytes), p_field);
  end if;
  if p_objects > 0 and used_objects + p_objects > company.storage_quota_objects then
    perform private.raise_error('SW060',
      format('The company''s storage quota is %s objects, of which %s are in use: %s more %s not fit.',
        company.storage_quota_objects, used_objects, p_objects, case p_objects when 1 then 'does' else 'do' end), p_field);
  end if;
end;
$$;
comment on function private.require_storage is
  'Refuses what does not fit. The caller holds a lock on the company''s row, so that uploads of a company take turns.';

create function private.company_storage_usage(p_company_id uuid)
returns table (
  company_id uuid, quota_bytes bigint, quota_objects bigint, used_bytes bigint, used_objects bigint, file_bytes bigint,
  build_bytes bigint, output_bytes bigint, package_bytes bigint, upload_bytes bigint)
language sql
stable
security definer -- reads the journal
set search_path = ''
as $$
  select c.id, c.storage_quota_bytes, c.storage_quota_objects,
    coalesce(sum(u.bytes), 0)::bigint, coalesce(sum(u.objects), 0)::bigint,
    coalesce(sum(u.bytes) filter (where u.kind = 'files'), 0)::bigint,
    coalesce(sum(u.bytes) filter (where u.kind = 'builds'), 0)::bigint,
    coalesce(sum(u.bytes) filter (where u.kind = 'outputs'), 0)::bigint,
    coalesce(sum(u.bytes) filter (where u.kind = 'packages'), 0)::bigint,
    coalesce(sum(u.bytes) filter (where u.kind = 'uploads'), 0)::bigint
  from public.companies c
  left join lateral private.storage_used(c.id) u on true
  where (p_company_id is null or c.id = p_company_id)
    and (private.is_service() or c.id = any (private.my_company_ids()))
  group by c.id
  order by c.id
$$;

create function public.company_storage_usage(company_id uuid default null)
returns table (
  company_id uuid, quota_bytes bigint, quota_objects bigint, used_bytes bigint, used_objects bigint, file_bytes bigint,
  build_bytes bigint, output_bytes bigint, package_bytes bigint, upload_bytes bigint)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.company_storage_usage($1) $$;
comment on function public.company_storage_usage is
  'What the companies of the caller, or one of them, use of their storage quota: in all, and by what it is. Builds and outputs '
  'include logs. upload_bytes are promised to uploads under way.';

create function private.check_storage_usage()
returns table (company_id uuid, kind text, noted_bytes bigint, actual_bytes bigint, noted_objects bigint, actual_objects bigint)
language plpgsql -- packages come in a later migration
stable
security definer -- adds up everybody's rows
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  with actual as (
    select a.publisher_company_id as company_id, 'files' as kind, sum(f.file_size) as bytes, count(*) as objects
    from public.app_storage f join public.applications a on a.id = f.app_id
    group by a.publisher_company_id
    union all
    select a.publisher_company_id, 'builds', sum(private.build_bytes(b)), sum(private.build_objects(b))
    from public.app_builds b join public.applications a on a.id = b.app_id
    group by a.publisher_company_id
    union all
    select o.company_id, 'outputs', sum(coalesce(o.file_size, 0)),
      count(*) filter (where not coalesce(o.output_data ? 'parts', false))
        + coalesce(sum(private.output_objects(o)) filter (where o.output_data ? 'parts'), 0)
    from public.app_outputs o where o.output_path is not null group by o.company_id
    union all
    select p.company_id, 'packages', sum(p.bytes), sum(p.objects)
    from (
      select v.company_id, v.size as bytes, 1 as objects from public.package_versions v
      union all
      select v.company_id, f.size, 1 from public.package_files f join public.package_versions v on v.id = f.version_id
    ) p
    where p.company_id is not null group by p.company_id
    union all
    select u.company_id, 'uploads', sum(private.reserved_bytes(u)), sum(private.reserved_objects(u))
    from public.app_uploads u where u.status in ('pending', 'verifying') group by u.company_id
  ),
  noted as (
    select e.company_id, e.kind, sum(e.bytes) as bytes, sum(e.objects) as objects
    from (
      select u.company_id, u.kind, u.bytes, u.objects from private.storage_usage u
      union all
      select c.company_id, c.kind, c.bytes, c.objects from private.storage_changes c
    ) e
    group by e.company_id, e.kind
  )
  select company_id, kind, coalesce(n.bytes, 0)::bigint, coalesce(a.bytes, 0)::bigint,
    coalesce(n.objects, 0)::bigint, coalesce(a.objects, 0)::bigint
  from noted n full join actual a using (company_id, kind)
  where (coalesce(n.bytes, 0), coalesce(n.objects, 0)) <> (coalesce(a.bytes, 0), coalesce(a.objects, 0))
  order by company_id, kind;
end;
$$;

create function public.check_storage_usage()
returns table (company_id uuid, kind text, noted_bytes bigint, actual_bytes bigint, noted_objects bigint, actual_objects bigint)
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.check_storage_usage() $$;
comment on function public.check_storage_usage is
  'For the service: where the usage that is noted is not the sum of the rows, by one look at both. Empty as long as nobody '
  'wrote past the triggers.';

create function private.repair_storage_usage()
returns integer
language plpgsql
security definer -- the journal is nobody's to write
set search_path = ''
as $$
declare
  noted integer;
begin
  -- Two who note the same difference would make another one.
  perform pg_advisory_xact_lock(hashtext('stowage.repair_storage_usage'));
  insert into private.storage_changes (company_id, kind, bytes, objects)
  select c.company_id, c.kind, c.actual_bytes - c.noted_bytes, c.actual_objects - c.noted_objects
  from private.check_storage_usage() c;
  get diagnostics noted = row_count;
  return noted;
end;
$$;

create function public.repair_storage_usage()
returns integer
language sql
security invoker
set search_path = ''
as $$ select private.repair_storage_usage() $$;
comment on function public.repair_storage_usage is
  'For the service: notes what check_storage_usage finds missing, while others go on. Answers how many entries that took.';

grant execute on function private.company_storage_usage(uuid), public.company_storage_usage(uuid) to authenticated, service_role;
grant execute on function
  private.check_storage_usage(), public.check_storage_usage(), private.repair_storage_usage(), public.repair_storage_usage()
to service_role;
