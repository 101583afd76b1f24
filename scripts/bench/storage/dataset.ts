/**
 * A marketplace of a size: 200 companies with a member each, who publish five apps and are assigned twenty, and any number
 * of runs and files spread evenly over them. Made in SQL with the triggers off, a million rows in a minute or two.
 */
import type { Client } from "pg";

export const COMPANIES = 200;
const APPS_PER_COMPANY = 5;
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

/** Tables whose triggers ask what the data set answers by the way it is made. */
const TABLES = ["companies", "company_members", "applications", "app_assignments", "app_versions"];

async function withoutTriggers(client: Client, tables: string[], work: () => Promise<void>) {
  const all = (verb: string) =>
    client.query(
      tables.map((table) => `alter table public.${table} ${verb} trigger user`).join(";"),
    );
  await all("disable");
  await work();
  await all("enable");
}

/** Companies, people, apps and one released version of each app. The connection is the owner's. */
export async function createMarketplace(client: Client): Promise<void> {
  await withoutTriggers(client, TABLES, async () => {
    await client.query(`
      create schema bench;
      create table bench.companies as
        select n, gen_random_uuid() as id, gen_random_uuid() as user_id from generate_series(0, ${
      COMPANIES - 1
    }) n;
      create table bench.apps as
        select n, gen_random_uuid() as id, n / ${APPS_PER_COMPANY} as company
        from generate_series(0, ${COMPANIES * APPS_PER_COMPANY - 1}) n;
      insert into auth.users (id, email) select user_id, 'user-' || n || '@bench.example' from bench.companies;
      insert into public.companies (id, slug, name) select id, 'company-' || n, 'Company ' || n from bench.companies;
      insert into public.company_members (company_id, user_id, role) select id, user_id, 'member' from bench.companies;
      insert into public.applications (id, slug, name, publisher_company_id)
        select a.id, 'app-' || a.n, 'App ' || a.n, c.id from bench.apps a join bench.companies c on c.n = a.company;
      insert into public.app_assignments (app_id, company_id)
        select distinct a.id, c.id
        from bench.companies c cross join generate_series(1, ${ASSIGNED_APPS}) k
        join bench.apps a on a.n = (c.n * ${APPS_PER_COMPANY} + k * 37) % ${
      COMPANIES * APPS_PER_COMPANY
    };
      insert into public.app_versions (app_id, version, status, manifest, published_at)
        select id, '1.0.0', 'published', '{"version": "1.0.0"}', now() from bench.apps;
      with superadmin as (
        insert into auth.users (id, email) values (gen_random_uuid(), 'superadmin@bench.example') returning id)
      insert into public.superadmins (user_id) select id from superadmin;`);
  });
  await client.query("analyze");
}

/** Brings runs and files (with their objects) from `from` to `to` rows each. */
export async function growTo(client: Client, from: number, to: number): Promise<void> {
  await withoutTriggers(client, ["app_runs", "app_storage"], async () => {
    await client.query(
      `insert into public.app_runs (app_id, company_id, version, status, executor_id, started_at, completed_at, created_at)
        select a.id, c.id, '1.0.0', case k % 20 when 0 then 'failed' when 1 then 'timeout' when 2 then 'cancelled' else 'success' end,
          'executor', at, at + interval '3 seconds', at
        from generate_series($1::integer, $2::integer - 1) k
        cross join lateral (select now() - interval '1 second' * ($2 - k) as at) times
        join bench.companies c on c.n = k % ${COMPANIES}
        join bench.apps a on a.n = k % ${COMPANIES * APPS_PER_COMPANY}`,
      [from, to],
    );
    await client.query(
      `with files as (
        insert into public.app_storage (app_id, file_path, file_type, file_size, version, checksum, is_released)
        select a.id, 'app_' || a.id || '/1.0.0/assets/' || k || '.bin', 'asset', 1000, '1.0.0',
          'sha256:' || repeat('0', 64), true
        from generate_series($1::integer, $2::integer - 1) k
        join bench.apps a on a.n = k % ${COMPANIES * APPS_PER_COMPANY}
        returning file_path)
      insert into storage.objects (bucket_id, name, metadata)
      select 'app-storage', file_path, '{"mimetype": "application/octet-stream", "size": 1000}' from files`,
      [from, to],
    );
  });
  await client.query("vacuum analyze public.app_runs");
  await client.query("vacuum analyze public.app_storage");
  await client.query("analyze");
}

export async function pickSample(client: Client): Promise<Sample> {
  const { rows } = await client.query(`
    select c.id as "companyId", c.user_id as "userId", (select user_id from public.superadmins limit 1) as "superadminId",
      (select id from bench.apps where company = c.n order by n limit 1) as "ownAppId",
      (select a.id from public.app_assignments s join bench.apps a on a.id = s.app_id
        where s.company_id = c.id and a.company <> c.n order by a.n limit 1) as "assignedAppId"
    from bench.companies c where c.n = ${COMPANIES / 2}`);
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
