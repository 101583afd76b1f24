-- What errors say of an input does not grow with it: every function and column that takes text gets a long one.
begin;
\ir tests.inc
select plan(6);

create temp table said (what text, code text, message text, detail text) on commit drop;

create function pg_temp.note_error(actor text, what text, statement text) returns void language plpgsql as $$
declare
  code text;
  said_message text;
  said_detail text;
begin
  perform pg_temp.become(actor);
  begin
    execute statement;
  exception when others then
    get stacked diagnostics code = returned_sqlstate, said_message = message_text, said_detail = pg_exception_detail;
  end;
  perform pg_temp.become('operator');
  if code is not null then
    insert into said values (what, code, said_message, said_detail);
  end if;
end;
$$;

-- An id of the world where one is asked for: what is wrong with the text is noticed after that.
create function pg_temp.argument(name text, type text) returns text language sql as $$
  select case
    when type = 'text' then $q$repeat('x', 100000)$q$
    when type = 'text[]' then $q$array[repeat('x', 100000)]$q$
    when type = 'jsonb' then $q$jsonb_build_object('version', repeat('x', 100000))$q$
    when name = 'app_id' then pg_temp.fill($q$'{private app}'$q$)
    when name ~ 'company_id$' then pg_temp.fill($q$'{publisher company}'$q$)
    else 'null'
  end || '::' || type
$$;

select pg_temp.note_error(actor, f.oid::regprocedure::text, format('select public.%I(%s)', f.proname, (
  select string_agg(format('%I => %s', a.name, pg_temp.argument(a.name, a.type::regtype::text)), ', ' order by a.place)
  from unnest(f.proargnames[: f.pronargs], string_to_array(f.proargtypes::text, ' ')::oid[]) with ordinality a (name, type, place)
  where a.place <= f.pronargs - f.pronargdefaults or a.type::regtype::text in ('text', 'text[]', 'jsonb'))))
from pg_proc f, unnest(array['publisher owner', 'service']) actor
where f.pronamespace = 'public'::regnamespace and f.prorettype <> 'trigger'::regtype
  and pg_get_function_identity_arguments(f.oid) ~ '\m(text|jsonb)\M';

-- Every row that there is, and one more: triggers look before checks do.
select pg_temp.create_run('a run', 'private app', 'publisher company');
select pg_temp.note_error('superadmin', c.table_name || '.' || c.column_name, statement)
from information_schema.columns c, format('update public.%I set %I = repeat(''x'', 100000)', c.table_name, c.column_name) statement
where c.table_schema = 'public' and c.data_type = 'text'
union all
select pg_temp.note_error('service', c.table_name || '.' || c.column_name, statement)
from information_schema.columns c, format('update public.%I set %I = repeat(''x'', 100000)', c.table_name, c.column_name) statement
where c.table_schema = 'public' and c.data_type = 'text';

select is((select string_agg(distinct what, ', ') from said where length(message) > 500), null, 'no message is longer than 500 characters');
select is((select string_agg(distinct what, ', ') from said where code like 'SW%' and length(detail) > 100), null, 'no detail of ours is long');
select cmp_ok((select count(distinct what) from said where message like '%xxx%…%'), '>', 2::bigint, 'some repeat the beginning of what was sent');
select pg_temp.refuses('customer member', $$ select next_cron_run('* * * * *', repeat('x', 100000)) $$, 'SW051',
  format('There is no time zone %s…; names are like UTC or Europe/Berlin.', repeat('x', 99)), 'reads the beginning of a long time zone', 'timezone');
select is(private.shortened(repeat('é', 100)), repeat('é', 100), 'what is as long as it may be stays');
select is(private.shortened(repeat('é', 101)), repeat('é', 99) || '…', 'what is longer ends in an ellipsis');

select * from finish();
rollback;
