-- Runs that users take back, or ask for again; and those of an app that a company loses.

create function private.find_my_run(p_run_id uuid)
returns public.app_runs
language plpgsql
security definer -- asks for runs that the caller may not see
set search_path = ''
as $$
declare
  run public.app_runs;
begin
  select * into run from public.app_runs where id = p_run_id;
  if not found or not (private.is_service() or run.company_id = any (private.my_company_ids())) then
    perform private.raise_error('SW002', 'There is no such run among yours.', 'run_id');
  end if;
  return run;
end;
$$;
comment on function private.find_my_run is 'The run, if it is of a company of the caller. Error: SW002.';

create function private.stop_run(p_run_id uuid, p_message text)
returns public.app_runs
language plpgsql
set search_path = ''
as $$
declare
  run public.app_runs;
  stopped public.app_runs;
begin
  loop
    select * into run from public.app_runs where id = p_run_id;
    exit when not found or run.status not in ('pending', 'running');
    -- A claim, a finish or a retry may be first: then the run is looked at again.
    if run.status = 'running' then
      -- One that came too late takes its lock back: others may wait for the run, and it for them.
      begin
        update public.app_runs set cancel_requested_at = coalesce(cancel_requested_at, now())
        where id = run.id and status = 'running'
        returning * into strict stopped;
      exception when no_data_found then
        null;
      end;
    elsif private.drop_waiting_run(run) then
      perform set_config('stowage.queue', 'on', true);
      update public.app_runs
      set status = 'cancelled', cancel_requested_at = now(), completed_at = now(), updated_at = now(),
        error_message = p_message
      where id = run.id and status = 'pending'
      returning * into stopped;
      perform set_config('stowage.queue', '', true);
    end if;
    if stopped.id is not null then
      return stopped;
    end if;
  end loop;
  return run;
end;
$$;
comment on function private.stop_run is 'Cancels a waiting run, asks the executor of a running one to stop it, returns the run as it is then.';

create function private.cancel_app_run(p_run_id uuid)
returns public.app_runs
language plpgsql
security definer -- members cancel runs, but do not write app_runs
set search_path = ''
as $$
declare
  run public.app_runs := private.find_my_run(p_run_id);
begin
  return private.stop_run(run.id, 'Cancelled before it started.');
end;
$$;

create function public.cancel_app_run(run_id uuid)
returns public.app_runs
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.cancel_app_run($1);
end;
$$;
comment on function public.cancel_app_run is
  'Cancels a waiting run at once, and asks the executor of a running one to stop it (cancel_requested_at); a finished run '
  'is returned as it is. Error: SW002.';

create function private.retry_app_run(p_run_id uuid)
returns public.app_runs
language plpgsql
security definer -- members retry runs, but do not write app_runs
set search_path = ''
as $$
declare
  run public.app_runs := private.find_my_run(p_run_id);
begin
  if run.status in ('pending', 'running') then
    perform private.raise_error('SW042', format('The run is %s: only a finished run is run again.', run.status), 'run_id');
  end if;
  return private.request_app_run(
    run.app_id, run.company_id, run.version, case run.run_type when 'test' then 'test' else 'manual' end,
    run.config, run.priority, now(), null, run.max_attempts, run.retry_failures, run.id);
end;
$$;

create function public.retry_app_run(run_id uuid)
returns public.app_runs
language plpgsql
security invoker
set search_path = ''
as $$
begin
  return private.retry_app_run($1);
end;
$$;
comment on function public.retry_app_run is
  'Asks for a new run like a finished one; retry_of names the old one. Errors: SW002, SW042 not finished, and those of request_app_run.';

grant execute on function
  private.cancel_app_run(uuid), public.cancel_app_run(uuid),
  private.retry_app_run(uuid), public.retry_app_run(uuid)
to authenticated, service_role;

-- Triggers: an app that a company loses stops running for it

create function private.stop_runs(p_app_id uuid, p_company_id uuid, p_reason text)
returns void
language plpgsql
security definer -- runs of every company that the caller may not see
set search_path = ''
as $$
declare
  run_id uuid;
begin
  for run_id in
    select r.id
    from (
      select w.run_id from private.waiting_runs w
      union
      select unnest(c.run_ids) from private.run_claims c
    ) unfinished
    join public.app_runs r on r.id = unfinished.run_id
    where r.app_id = p_app_id and r.company_id = coalesce(p_company_id, r.company_id) and r.status in ('pending', 'running')
    order by r.id
  loop
    perform private.stop_run(run_id, p_reason);
  end loop;
  update public.app_cron_schedules
  set is_active = false
  where app_id = p_app_id and company_id = coalesce(p_company_id, company_id) and is_active;
end;
$$;
comment on function private.stop_runs is
  'Cancels what waits, asks what runs to stop, and switches schedules off: of one company, or of all (null).';

create function private.stop_runs_of_assignment()
returns trigger
language plpgsql
security definer -- as stop_runs
set search_path = ''
as $$
begin
  perform private.stop_runs(old.app_id, old.company_id, 'The app is no longer assigned to the company.');
  return null;
end;
$$;

create trigger stop_runs after delete on public.app_assignments
  for each row execute function private.stop_runs_of_assignment();

create function private.stop_runs_of_app()
returns trigger
language plpgsql
security definer -- as stop_runs
set search_path = ''
as $$
begin
  perform private.stop_runs(new.id, null, format('The app was %s.', new.status));
  return null;
end;
$$;

create trigger stop_runs after update on public.applications
  for each row when (old.status = 'active' and new.status <> 'active')
  execute function private.stop_runs_of_app();
