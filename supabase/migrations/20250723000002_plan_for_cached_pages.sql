-- Postgres plans for disks on which a page out of order costs four times one in order. Here indexes are on flash and mostly in
-- memory. It matters under row security: the planner multiplies the share of the companies that the caller belongs to with that
-- of the one asked for, expects a handful of rows, and at the old price sorts a company's whole history for its newest runs.

do $$
begin
  execute format('alter database %I set random_page_cost = 1.1', current_database());
end;
$$;
