-- The newest runs of all one's companies. Row security alone finds them by sorting everything that the companies ever ran,
-- since no index is in that order for several companies; each company's own newest are the beginning of an index.

create function private.list_newest_app_runs(p_max_runs integer, p_before_created_at timestamptz, p_before_id uuid)
returns setof public.app_runs
language plpgsql
stable -- as the caller: row security holds here too
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  companies constant uuid[] := private.my_company_ids();
begin
  if coalesce(p_max_runs, 0) not between 1 and 1000 then
    perform private.raise_error('SW001', 'max_runs takes 1 to 1000.', 'max_runs');
  end if;
  return query
  select run.*
  from unnest(companies) company (id)
  cross join lateral (
    select r.*
    from public.app_runs r
    where r.company_id = company.id
      and (r.created_at, r.id)
        < (coalesce(p_before_created_at, 'infinity'), coalesce(p_before_id, '00000000-0000-0000-0000-000000000000'))
    order by r.created_at desc, r.id desc
    limit p_max_runs
  ) run
  order by run.created_at desc, run.id desc
  limit p_max_runs;
end;
$$;

create function public.list_newest_app_runs(
  max_runs integer default 50, before_created_at timestamptz default null, before_id uuid default null)
returns setof public.app_runs
language sql
stable
security invoker
set search_path = ''
as $$ select * from private.list_newest_app_runs($1, $2, $3) $$;
comment on function public.list_newest_app_runs is
  'The newest runs of all companies of the signed-in user, newest first; after a page, before_created_at and before_id are '
  'those of its last run. Takes the same time however many runs there are. Errors: SW001 (max_runs).';

grant execute on function
  private.list_newest_app_runs(integer, timestamptz, uuid), public.list_newest_app_runs(integer, timestamptz, uuid)
to authenticated;
