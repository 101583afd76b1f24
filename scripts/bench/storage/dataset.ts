/**
 * A marketplace of a size: 200 companies with a member each, who are assigned twenty apps; any number of runs, spread evenly
 * over them; any number of files, a hundred to an app, so that there are as many apps as that takes, and a thousand at
 * least. Made in SQL with the triggers off, a million rows in a minute or two.
 */
import type { Client } from "pg";

export const COMPANIES = 200;
const APPS = 1_000;
const FILES_PER_APP = 100;
const ASSIGNED_APPS = 20;

/** One company among all, its member, and apps that it publishes and is assigned. */
export interface Sample {
  companyId: string;
  userId: string;
  superadminId: string;
  /** Published by the company. */
  ownAppId: string;
  /** Published by another company, and assigned to this one. */
  assignedAppId: string;
}

/** Switches off triggers that ask what the data set answers by the way it is made. */
async function withoutTriggers(client: Client, tables: string[], work: () => Promise<void>) {
  const all = (verb: string) =>
    client.query(
      tables.map((table) => `alter table public.${table} ${verb} trigger user`).join(";"),
    );
  await all("disable");
  await work();
  await all("enable");
}

/** Companies, people and apps. The connection is the owner's. */
export async function createMarketplace(client: Client): Promise<void> {
  await withoutTriggers(client, ["companies", "company_members"], async () => {
    await client.query(`
      create schema bench;
      create table bench.companies as
        select n, gen_random_uuid() as id, gen_random_uuid() as user_id
        from generate_series(0, ${COMPANIES - 1}) n;
      create table bench.apps (n integer primary key, id uuid, company integer);
      insert into auth.users (id, email) select user_id, 'user-' || n || '@bench.example' from bench.companies;
      insert into public.companies (id, slug, name) select id, 'company-' || n, 'Company ' || n from bench.companies;
      insert into public.company_members (company_id, user_id, role) select id, user_id, 'member' from bench.companies;
      with superadmin as (
        insert into auth.users (id, email) values (gen_random_uuid(), 'superadmin@bench.example') returning id)
      insert into public.superadmins (user_id) select id from superadmin;`);
  });
  await addApps(client, 0, APPS);
  await withoutTriggers(client, ["app_assignments"], async () => {
    await client.query(`
      insert into public.app_assignments (app_id, company_id)
        select distinct a.id, c.id
        from bench.companies c cross join generate_series(1, ${ASSIGNED_APPS}) k
        join bench.apps a on a.n = (c.n + k * 37) % ${APPS}`);
  });
  await vacuum(client);
}

/** Leaves the tables as autovacuum does, which comes by in its own time. */
async function vacuum(client: Client): Promise<void> {
  for (
    const table of [
      "company_members",
      "applications",
      "app_assignments",
      "app_versions",
      "app_runs",
      "app_storage",
    ]
  ) await client.query(`vacuum analyze public.${table}`);
  await client.query("analyze");
}

/** Apps of each company in turn, with one released version. */
async function addApps(client: Client, from: number, to: number): Promise<void> {
  await withoutTriggers(client, ["applications", "app_versions"], async () => {
    await client.query(
      `insert into bench.apps
        select n, gen_random_uuid(), n % ${COMPANIES} from generate_series($1::integer, $2::integer - 1) n`,
      [from, to],
    );
    await client.query(
      `insert into public.applications (id, slug, name, publisher_company_id)
        select a.id, 'app-' || a.n, 'App ' || a.n, c.id
        from bench.apps a join bench.companies c on c.n = a.company where a.n >= $1`,
      [from],
    );
    await client.query(
      `insert into public.app_versions (app_id, version, status, manifest, published_at)
        select id, '1.0.0', 'published', '{"version": "1.0.0"}', now() from bench.apps where n >= $1`,
      [from],
    );
  });
}

/** Brings runs and files (with their objects) from `from` to `to` rows each. */
export async function growTo(client: Client, from: number, to: number): Promise<void> {
  const apps = (rows: number) => Math.max(APPS, Math.ceil(rows / FILES_PER_APP));
  await addApps(client, apps(from), apps(to));
  await withoutTriggers(client, ["app_runs", "app_storage"], async () => {
    await client.query(
      `insert into public.app_runs (app_id, company_id, version, status, executor_id, started_at, completed_at, created_at)
        select a.id, c.id, '1.0.0', case k % 20 when 0 then 'failed' when 1 then 'timeout' when 2 then 'cancelled' else 'success' end,
          'executor', at, at + interval '3 seconds', at
        from generate_series($1::integer, $2::integer - 1) k
        cross join lateral (select now() - interval '1 second' * ($2 - k) as at) times
        join bench.companies c on c.n = k % ${COMPANIES}
        join bench.apps a on a.n = k % ${APPS}`,
      [from, to],
    );
    await client.query(
      `with files as (
        insert into public.app_storage (app_id, file_path, file_type, file_size, version, checksum, is_released)
        select a.id, 'app_' || a.id || '/1.0.0/assets/' || k || '.bin', 'asset', 1000, '1.0.0',
          'sha256:' || repeat('0', 64), true
        from generate_series($1::integer, $2::integer - 1) k
        join bench.apps a on a.n = k / ${FILES_PER_APP}
        returning file_path)
      insert into storage.objects (bucket_id, name, metadata)
      select 'app-storage', file_path, '{"mimetype": "application/octet-stream", "size": 1000}' from files`,
      [from, to],
    );
  });
  await vacuum(client);
}

export async function pickSample(client: Client): Promise<Sample> {
  const { rows } = await client.query(`
    select c.id as "companyId", c.user_id as "userId", (select user_id from public.superadmins limit 1) as "superadminId",
      (select id from bench.apps where company = c.n order by n limit 1) as "ownAppId",
      (select a.id from public.app_assignments s join bench.apps a on a.id = s.app_id
        where s.company_id = c.id and a.company <> c.n order by a.n limit 1) as "assignedAppId"
    from bench.companies c where c.n = 0`);
  return rows[0];
}

/** Makes the connection act as a signed-in user, or as the service. */
export async function actAs(client: Client, userId: string | null): Promise<void> {
  const role = userId === null ? "service_role" : "authenticated";
  const claims = JSON.stringify({ role, ...(userId !== null && { sub: userId }) });
  await client.query(
    "select set_config('request.jwt.claims', $1, false), set_config('role', $2, false)",
    [
      claims,
      role,
    ],
  );
}
