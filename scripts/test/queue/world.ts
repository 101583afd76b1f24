/** Companies that run one app, and executors that claim over connections of their own. */
import { Client } from "pg";

export interface World {
  appId: string;
  /** Ids, in the order of the limits given. */
  companies: string[];
  connect(): Promise<Client>;
  /** Enqueues runs for a company, over a connection of the world's own unless one is given. */
  request(companyId: string, runs: number, client?: Client): Promise<void>;
  close(): Promise<void>;
}

export interface ClaimedRun {
  id: string;
  company_id: string;
  attempt: number;
}

/** One company a limit of concurrent runs, all of which are assigned the app. */
export async function createWorld(url: string, limits: number[]): Promise<World> {
  const clients: Client[] = [];
  const connect = async () => {
    const client = new Client({ connectionString: url });
    await client.connect();
    clients.push(client);
    return client;
  };
  const admin = await connect();
  const tag = crypto.randomUUID().slice(0, 8);
  const { rows: [{ id: publisher }] } = await admin.query(
    "insert into public.companies (slug, name) values ($1, 'Publisher') returning id",
    [`publisher-${tag}`],
  );
  const { rows: [{ id: appId }] } = await admin.query(
    `insert into public.applications (slug, name, publisher_company_id) values ('app', 'App', $1) returning id`,
    [publisher],
  );
  await admin.query(
    `insert into public.app_storage (app_id, file_path, file_type, file_size, version, checksum)
     values ($1::uuid, 'app_' || $1::uuid || '/1.0.0/app.zip', 'source', 1, '1.0.0', 'sha256:' || repeat('0', 64))`,
    [appId],
  );
  await admin.query(
    `update public.app_versions set manifest = '{"version": "1.0.0"}', status = 'published' where app_id = $1`,
    [appId],
  );
  const companies: string[] = [];
  for (const [i, limit] of limits.entries()) {
    const { rows: [{ id }] } = await admin.query(
      `insert into public.companies (slug, name, max_concurrent_runs, max_queued_runs)
       values ($1, 'Customer', $2, 100000) returning id`,
      [`customer-${tag}-${i}`, limit],
    );
    await admin.query("insert into public.app_assignments (app_id, company_id) values ($1, $2)", [
      appId,
      id,
    ]);
    companies.push(id);
  }
  return {
    appId,
    companies,
    connect,
    async request(companyId, runs, client = admin) {
      const requests = Array.from(
        { length: runs },
        () => ({ app_id: appId, company_id: companyId }),
      );
      await client.query("select public.request_app_runs($1)", [JSON.stringify(requests)]);
    },
    async close() {
      await Promise.all(clients.map((client) => client.end()));
    },
  };
}

/** Finishes runs as successful and claims as many as `maxRuns`, in one call. */
export async function takeTurn(
  client: Client,
  executorId: string,
  finished: ClaimedRun[],
  maxRuns: number,
): Promise<{ outcomes: Record<string, string>; claimed: ClaimedRun[] }> {
  const results = finished.map((run) => (
    { run_id: run.id, attempt: run.attempt, status: "success" }
  ));
  const { rows: [{ answer }] } = await client.query(
    "select public.finish_and_claim_app_runs($1, $2, $3) as answer",
    [executorId, JSON.stringify(results), maxRuns],
  );
  return { outcomes: answer.finished, claimed: answer.claimed };
}
