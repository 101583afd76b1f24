/** The queue of this project: 200 companies share it, limits on, history kept. */
import { Client } from "pg";
import type { Contender, Load } from "./contender.ts";

const COMPANIES = 200;
const EXECUTOR = "bench";
/** Which the workers share: as many as a pool of pg, and of PostgREST, has by default. */
const CONNECTIONS = 10;
/** Far above what the scenarios hold at once: the limits are checked, and not reached. */
const MAX_CONCURRENT = 1000;
const MAX_QUEUED = 5_000_000;
/** What an executor reads of a run that it claimed. */
const CLAIMED = "id, app_id, company_id, version, build_id, run_type, config, attempt";

const REQUEST = { name: "request", text: "select id from public.request_app_run($1, $2)" };
const REQUEST_MANY = { name: "request_many", text: "select public.request_app_runs($1)" };
const CLAIM = {
  name: "claim",
  text: `select ${CLAIMED} from public.claim_app_runs('${EXECUTOR}', $1)`,
};
const FINISH = {
  name: "finish",
  text: `select public.finish_app_run($1, '${EXECUTOR}', 'success')`,
};
const FINISH_MANY = {
  name: "finish_many",
  text: `select public.finish_app_runs('${EXECUTOR}', $1)`,
};
const FINISH_AND_CLAIM = {
  name: "finish_and_claim",
  text: `select public.finish_and_claim_app_runs('${EXECUTOR}', $1, $2) as answer`,
};

export function createStowage(url: string): Contender {
  const clients = Array.from({ length: CONNECTIONS }, () => new Client({ connectionString: url }));
  const admin = new Client({ connectionString: url });
  let appId: string;
  let companyIds: string[];
  let turn = 0;

  async function work(load: Load): Promise<number> {
    let left = load.jobs;
    const worker = async (client: Client) => {
      let results = "[]";
      for (;;) {
        const size = Math.min(load.batch, left);
        if (size === 0) {
          if (results !== "[]") await client.query({ ...FINISH_MANY, values: [results] });
          return;
        }
        left -= size;
        const { rows } = await client.query({ ...FINISH_AND_CLAIM, values: [results, size] });
        const claimed: { id: string; attempt: number }[] = rows[0].answer.claimed;
        // Others may have been at the same companies in this moment.
        left += size - claimed.length;
        results = JSON.stringify(
          claimed.map((run) => ({ run_id: run.id, attempt: run.attempt, status: "success" })),
        );
      }
    };
    const first = performance.now();
    await Promise.all(
      Array.from({ length: load.workers }, (_, i) => worker(clients[i % CONNECTIONS])),
    );
    return (performance.now() - first) / 1000;
  }

  return {
    name: "Stowage",
    async start() {
      await Promise.all([admin, ...clients].map((client) => client.connect()));
      const { rows: [{ id }] } = await admin.query(
        `with publisher as (
           insert into public.companies (slug, name) values ('bench-publisher', 'Publisher') returning id
         )
         insert into public.applications (slug, name, publisher_company_id, visibility)
         select 'bench', 'Bench', id, 'public' from publisher returning id`,
      );
      appId = id;
      await admin.query("insert into public.app_versions (app_id, version) values ($1, '1.0.0')", [
        appId,
      ]);
      await admin.query(
        `insert into public.app_storage (app_id, file_path, file_type, file_size, version, checksum)
         values ($1::uuid, 'app_' || $1::uuid || '/1.0.0/app.zip', 'source', 1, '1.0.0', 'sha256:' || repeat('0', 64))`,
        [appId],
      );
      await admin.query(
        `update public.app_versions set manifest = '{"version": "1.0.0"}', status = 'published'
         where app_id = $1`,
        [appId],
      );
      const { rows } = await admin.query(
        `insert into public.companies (slug, name, max_concurrent_runs, max_queued_runs)
         select 'bench-' || n, 'Bench ' || n, $2, $3 from generate_series(1, $1::integer) n
         returning id`,
        [COMPANIES, MAX_CONCURRENT, MAX_QUEUED],
      );
      companyIds = rows.map((row) => row.id);
      await admin.query(
        `insert into public.app_assignments (app_id, company_id) select $1, unnest($2::uuid[])`,
        [appId, companyIds],
      );
      await admin.query("vacuum analyze");
    },
    async stop() {
      await Promise.all([admin, ...clients].map((client) => client.end()));
    },
    async clear() {
      await admin.query(
        "truncate public.app_runs cascade",
      );
      await admin.query(
        "truncate private.waiting_runs, private.run_claims, private.lane_returns; update private.lane_loads set held = 0",
      );
      await admin.query("update private.company_lanes set queue_credit = 0");
    },
    async fill(count) {
      await admin.query("begin");
      await admin.query("set local stowage.queue = 'on'");
      await admin.query(
        `with runs as (
           insert into public.app_runs (app_id, company_id, version)
           select $1, ($2::uuid[])[1 + n % $3], '1.0.0' from generate_series(1, $4::integer) n
           returning id, company_id, run_after
         )
         insert into private.waiting_runs (lane, is_due, rank, run_after, run_id)
         select lane, true, 0, run_after, id from runs join private.company_lanes using (company_id)`,
        [appId, companyIds, COMPANIES, count],
      );
      await admin.query(
        "update private.company_lanes set is_ready = true where parked_until is null",
      );
      await admin.query("commit");
      await admin.query(
        "vacuum analyze public.app_runs, private.waiting_runs, private.company_lanes, private.lane_loads",
      );
    },
    async addFinished(count) {
      await admin.query("begin");
      await admin.query("set local stowage.queue = 'on'");
      await admin.query(
        `insert into public.app_runs (
           app_id, company_id, version, status, attempt, executor_id, started_at, completed_at)
         select $1, ($2::uuid[])[1 + n % $3], '1.0.0', 'success', 1, '${EXECUTOR}', now(), now()
         from generate_series(1, $4::integer) n`,
        [appId, companyIds, COMPANIES, count],
      );
      await admin.query("commit");
      await admin.query("vacuum analyze public.app_runs");
    },
    async enqueue(connection) {
      const companyId = companyIds[turn++ % COMPANIES];
      await clients[connection].query({ ...REQUEST, values: [appId, companyId] });
    },
    async enqueueMany(count) {
      // Of one company, as those who ask are; the next call is another's.
      const company_id = companyIds[turn++ % COMPANIES];
      const runs = Array.from({ length: count }, () => ({ app_id: appId, company_id }));
      await clients[0].query({ ...REQUEST_MANY, values: [JSON.stringify(runs)] });
    },
    run: work,
    async claimLatencies(jobs) {
      const latencies: number[] = [];
      for (let i = 0; i < jobs; i++) {
        const begun = performance.now();
        const { rows } = await clients[0].query({ ...CLAIM, values: [1] });
        latencies.push(performance.now() - begun);
        await clients[0].query({ ...FINISH, values: [rows[0].id] });
      }
      return latencies;
    },
    async startLatencies(jobs) {
      const latencies: number[] = [];
      const listener = clients[1];
      await listener.query("listen stowage_runs");
      // As an executor does before it waits: until a claim finds nothing.
      await listener.query({ ...CLAIM, values: [1] });
      let wake = Promise.withResolvers<void>();
      listener.on("notification", () => wake.resolve());
      for (let i = 0; i < jobs; i++) {
        const started = (async () => {
          for (;;) {
            await wake.promise;
            wake = Promise.withResolvers();
            const { rows } = await listener.query({ ...CLAIM, values: [1] });
            if (rows.length) {
              const at = performance.now();
              await listener.query({ ...FINISH, values: [rows[0].id] });
              // The next look finds nothing, and the company's next run is announced again.
              await listener.query({ ...CLAIM, values: [1] });
              return at;
            }
          }
        })();
        const begun = performance.now();
        await clients[0].query({ ...REQUEST, values: [appId, companyIds[turn++ % COMPANIES]] });
        latencies.push(await started - begun);
      }
      listener.removeAllListeners("notification");
      await listener.query("unlisten stowage_runs");
      return latencies;
    },
  };
}
