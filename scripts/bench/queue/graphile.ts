/** Graphile Worker through its own runner, with what its documentation recommends for throughput. */
import {
  Logger,
  makeWorkerUtils,
  run,
  runMigrations,
  type Runner,
  type TaskList,
  type WorkerUtils,
} from "graphile-worker";
import { EventEmitter } from "node:events";
import { Pool } from "pg";
import type { Contender, Load } from "./contender.ts";

const TASK = "work";
const logger = new Logger(() => () => {});

export interface GraphileOptions {
  name: string;
  /** Fetch a batch at once and complete in batches; otherwise each worker asks for itself. */
  localQueue: boolean;
}

export function createGraphile(url: string, options: GraphileOptions): Contender {
  const schema = options.localQueue ? "graphile_batched" : "graphile_single";
  const pool = new Pool({ connectionString: url, max: 40, idleTimeoutMillis: 0 });
  let utils: WorkerUtils;
  // The runner does not wait for its completions, and tells of none: they are counted as the server acknowledges them.
  let onCompleted: (jobs: number) => void = () => {};
  pool.on("connect", (client) => {
    const query = client.query.bind(client) as (
      ...args: unknown[]
    ) => Promise<{ rowCount: number }>;
    client.query = ((...args: [{ name?: string }, ...unknown[]]) => {
      const result = query(...args);
      if (args[0]?.name?.startsWith("complete_job")) {
        result.then(({ rowCount }) => onCompleted(rowCount), () => {});
      }
      return result;
    }) as never;
  });
  pool.on("error", () => {});

  const settings = (load: Pick<Load, "workers" | "batch">) => ({
    worker: {
      schema,
      concurrentJobs: load.workers,
      // It wants a local queue of at least as many jobs as there are workers.
      ...(options.localQueue
        ? { localQueue: { size: Math.max(load.batch, load.workers) }, completeJobBatchDelay: 0 }
        : {}),
    },
  });

  /** Starts the runner, waits until `done` settles, and stops it. */
  async function withRunner<T>(
    load: Pick<Load, "workers" | "batch">,
    taskList: TaskList,
    events: EventEmitter,
    done: (runner: Runner) => Promise<T>,
  ): Promise<T> {
    const runner = await run({
      preset: settings(load),
      pgPool: pool,
      logger,
      noHandleSignals: true,
      taskList,
      events: events as never,
    });
    try {
      return await done(runner);
    } finally {
      await runner.stop();
    }
  }

  async function work(load: Load): Promise<{ seconds: number; claims: number[] }> {
    const events = new EventEmitter();
    const claims: number[] = [];
    const asked = new Map<unknown, number>();
    let first = 0;
    let completed = 0;
    const all = Promise.withResolvers<number>();
    events.on("worker:getJob:start", ({ worker }) => asked.set(worker, performance.now()));
    events.on("job:start", ({ worker }) => {
      const since = asked.get(worker);
      if (since !== undefined) claims.push(performance.now() - since);
    });
    onCompleted = (jobs) => {
      completed += jobs;
      if (completed >= load.jobs) all.resolve(performance.now());
    };
    const tasks: TaskList = {
      [TASK]: () => {
        first ||= performance.now();
      },
    };
    const last = await withRunner(load, tasks, events, () => all.promise);
    return { seconds: (last - first) / 1000, claims };
  }

  return {
    name: options.name,
    async start() {
      await runMigrations({ pgPool: pool, logger, preset: { worker: { schema } } });
      utils = await makeWorkerUtils({ pgPool: pool, logger, preset: { worker: { schema } } });
      await utils.addJob(TASK, {});
    },
    async stop() {
      await utils.release();
      await pool.end();
    },
    async clear() {
      await pool.query(`truncate ${schema}._private_jobs`);
    },
    async fill(count) {
      await pool.query(
        `insert into ${schema}._private_jobs (task_id, payload)
         select t.id, '{}' from ${schema}._private_tasks t, generate_series(1, $1)
         where t.identifier = '${TASK}'`,
        [count],
      );
      await pool.query(`vacuum analyze ${schema}._private_jobs`);
    },
    addFinished: () => Promise.resolve(), // Deleted as they end.
    async enqueue() {
      await utils.addJob(TASK, {});
    },
    async enqueueMany(count) {
      await utils.addJobs(Array.from({ length: count }, () => ({ identifier: TASK, payload: {} })));
    },
    run: async (load) => (await work(load)).seconds,
    claimLatencies: async (jobs) => (await work({ workers: 1, batch: 1, jobs })).claims,
    async startLatencies(jobs) {
      const latencies: number[] = [];
      let started = Promise.withResolvers<number>();
      const tasks: TaskList = { [TASK]: () => started.resolve(performance.now()) };
      await withRunner({ workers: 1, batch: 1 }, tasks, new EventEmitter(), async () => {
        for (let i = 0; i < jobs; i++) {
          const begun = performance.now();
          await utils.addJob(TASK, {});
          latencies.push(await started.promise - begun);
          started = Promise.withResolvers();
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      });
      return latencies;
    },
  };
}
