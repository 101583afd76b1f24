/** What there is to be tried, as the database and the folders say it: what is new is found by itself. */
import type { Client } from "pg";
import { operations } from "../../../supabase/functions/api/operations.ts";
import { ROUTES } from "../../../supabase/functions/tests/robustness/targets.ts";

export interface Table {
  name: string;
  primaryKey: string[];
  columns: string[];
  /** What signed-in users may write where row security lets them. */
  insertable: string[];
  updatable: string[];
  /** Column lists of the primary key and the unique constraints. */
  unique: string[][];
  references: Reference[];
}

export interface Reference {
  constraint: string;
  columns: string[];
  /** A table, with its schema unless that is public. */
  target: string;
}

/** Tables and views of the exposed schema. */
export async function listTables(db: Client): Promise<Table[]> {
  const writable = (verb: string) =>
    `array(
      select a.attname::text from pg_catalog.pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        and has_column_privilege('authenticated', c.oid, a.attnum, '${verb}'))`;
  const { rows } = await db.query(`
    select c.relname as name,
      array(
        select a.attname::text from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns,
      ${writable("insert")} as insertable, ${writable("update")} as updatable
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
    order by c.relname`);
  const { rows: constraints } = await db.query(`
    select t.relname as "table", c.conname as constraint, c.contype as type,
      array(
        select a.attname::text from unnest(c.conkey) with ordinality as k (number, place)
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.number order by k.place) as columns,
      case f.relnamespace when 'public'::regnamespace then '' else f.relnamespace::regnamespace || '.' end || f.relname as target
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_class t on t.oid = c.conrelid
    left join pg_catalog.pg_class f on f.oid = c.confrelid
    where c.connamespace = 'public'::regnamespace and c.contype in ('p', 'u', 'f')
    order by c.conname`);
  return rows.map((row) => {
    const own = constraints.filter(({ table }) => table === row.name);
    return {
      ...row,
      primaryKey: own.find(({ type }) => type === "p")?.columns ?? [],
      unique: own.filter(({ type }) => type !== "f").map(({ columns }) => columns),
      references: own.filter(({ type }) => type === "f"),
    };
  });
}

export interface Routine {
  name: string;
  arguments: { name: string; type: string }[];
}

/** Functions that the API can call. */
export async function listRoutines(db: Client): Promise<Routine[]> {
  const { rows } = await db.query(`
    select p.proname as name,
      array(
        select jsonb_build_object('name', p.proargnames[place], 'type', format_type(type, null))
        from unnest(p.proargtypes) with ordinality as a (type, place) order by place) as arguments
    from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.prorettype <> 'trigger'::regtype
    order by p.proname`);
  return rows;
}

export interface FunctionRoute {
  /** Its function's folder. */
  name: string;
  method: string;
  /** With named parts, such as `/:id/complete`. */
  path: string;
  /** Of the API's operations: what the OpenAPI document shows as an example. */
  example?: { body?: unknown; query?: Record<string, string> };
}

/** Every route of every Edge Function. */
export async function listFunctionRoutes(): Promise<FunctionRoute[]> {
  const dir = new URL("../../../supabase/functions/", import.meta.url);
  const found: FunctionRoute[] = [];
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (!isDirectory) continue;
    const entry = await Deno.stat(new URL(`${name}/index.ts`, dir)).catch(() => undefined);
    if (!entry?.isFile) continue;
    const routes = ROUTES[name];
    if (!routes) throw new Error(`The routes of the function ${name} are not in ROUTES.`);
    for (const { method, path } of routes) {
      const operation = name === "api" &&
        operations.find((operation) => operation.method === method && operation.path === path);
      found.push({ name, method, path, example: operation ? operation.example : undefined });
    }
  }
  return found;
}

/** A digest of each table that holds what tenants have: equal before and after means untouched. Requests are counted. */
export async function fingerprint(db: Client): Promise<Record<string, string>> {
  const { rows } = await db.query(
    `select format('%I.%I', schemaname, tablename) as name from pg_catalog.pg_tables
     where (schemaname in ('public', 'private') or (schemaname, tablename) in (('auth', 'users'), ('storage', 'objects')))
       and tablename <> 'api_request_counts'
     order by 1`,
  );
  const prints: Record<string, string> = {};
  for (const { name } of rows) {
    const { rows: [{ print }] } = await db.query(
      `select md5(coalesce(string_agg(t::text, e'\\n' order by t::text), '')) as print from ${name} t`,
    );
    prints[name] = print;
  }
  return prints;
}
