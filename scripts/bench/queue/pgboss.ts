/** pg-boss, each worker in a loop of fetch and complete: no polling interval holds it back. */
import { Pool } from "pg";
import { PgBoss } from "pg-boss";
import type { Contender, Load } from "./contender.ts";

const QUEUE = "work";

export function createPgBoss(url: string): Contender {
  const pool = new Pool({ connectionString: url, max: 2 });
  const boss = new PgBoss({
    connectionString: url,
    max: 20,
    schema: "pgboss",
    // Nothing but the jobs themselves.
    supervise: false,
    schedule: false,
  });

  async function work(load: Load): Promise<{ seconds: number; claims: number[] }> {
    const claims: number[] = [];
    let asked = 0;
    const worker = async () => {
      while (asked < load.jobs) {
        const batchSize = Math.min(load.batch, load.jobs - asked);
        asked += batchSize;
        const begun = performance.now();
        const jobs = await boss.fetch(QUEUE, { batchSize });
        claims.push(performance.now() - begun);
        if (jobs.length < batchSize) throw new Error("pg-boss gave fewer jobs than wait.");
        await boss.complete(QUEUE, jobs.map((job) => job.id));
      }
    };
    const first = performance.now();
    await Promise.all(Array.from({ length: load.workers }, worker));
    return { seconds: (performance.now() - first) / 1000, claims };
  }

  return {
    name: "pg-boss",
    async start() {
      // It tells of lost connections when the server stops; nothing is measured then.
      boss.on("error", () => {});
      pool.on("error", () => {});
      await boss.start();
      await boss.createQueue(QUEUE);
    },
    async stop() {
      await boss.stop({ graceful: false });
      await pool.end();
    },
    async clear() {
      await boss.deleteAllJobs(QUEUE);
      await pool.query("vacuum full pgboss.job_common");
    },
    async fill(count) {
      // As many as the first has columns, without a round trip for each.
      const [id] = await boss.insert(QUEUE, [{ data: {} }], { returnId: true }) ?? [];
      await copyJob(id, count - 1);
    },
    async addFinished(count) {
      const [id] = await boss.insert(QUEUE, [{ data: {}, priority: 1 }], { returnId: true }) ?? [];
      const [job] = await boss.fetch(QUEUE);
      if (job.id !== id) throw new Error("pg-boss gave another job than the one with priority.");
      await boss.complete(QUEUE, id);
      await copyJob(id, count - 1);
    },
    async enqueue() {
      await boss.send(QUEUE, {});
    },
    async enqueueMany(count) {
      await boss.insert(QUEUE, Array.from({ length: count }, () => ({ data: {} })));
    },
    run: async (load) => (await work(load)).seconds,
    claimLatencies: async (jobs) => (await work({ workers: 1, batch: 1, jobs })).claims,
    async startLatencies(jobs) {
      const latencies: number[] = [];
      let started = Promise.withResolvers<number>();
      const options = { pollingIntervalSeconds: 0.5, batchSize: 1 };
      const worker = await boss.work(
        QUEUE,
        options,
        () => Promise.resolve(started.resolve(performance.now())),
      );
      for (let i = 0; i < jobs; i++) {
        const begun = performance.now();
        await boss.send(QUEUE, {});
        latencies.push(await started.promise - begun);
        started = Promise.withResolvers();
      }
      await boss.offWork(QUEUE, { id: worker });
      return latencies;
    },
  };

  async function copyJob(id: string, count: number): Promise<void> {
    const { rows } = await pool.query(
      `select string_agg(quote_ident(attname), ', ') as columns from pg_attribute
       where attrelid = 'pgboss.job'::regclass and attnum > 0 and not attisdropped
         and attname <> 'id' and attgenerated = ''`,
    );
    await pool.query(
      `insert into pgboss.job (id, ${rows[0].columns})
       select gen_random_uuid(), ${rows[0].columns} from pgboss.job, generate_series(1, $2)
       where id = $1`,
      [id, count],
    );
    await pool.query("vacuum analyze pgboss.job");
  }
}
