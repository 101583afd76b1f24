/** What is measured, in rounds in which the contenders take turns. */
import type { Contender, Load } from "./contender.ts";

/** One measured quantity: for each contender one value a round. */
export interface Measurement {
  name: string;
  unit: "jobs/s" | "ms";
  /** Contender's name to the rounds' values. */
  values: Record<string, number[]>;
}

export interface Size {
  rounds: number;
  /** Multiplies the jobs of a round. */
  scale: number;
  /** Depths of the backlog for claim latencies; `finished` = as many again that are over. */
  depths: { pending: number; finished: number }[];
  /** Claims timed at each depth and round. */
  claims: number;
  /** Jobs timed from their insertion to their start. */
  starts: number;
  skewBacklog: number;
}

export const FULL: Size = {
  rounds: 4,
  scale: 1,
  depths: [
    { pending: 10_000, finished: 0 },
    { pending: 100_000, finished: 0 },
    { pending: 1_000_000, finished: 0 },
    { pending: 1_000_000, finished: 1_000_000 },
  ],
  claims: 400,
  starts: 100,
  skewBacklog: 20_000,
};

export const QUICK: Size = {
  rounds: 3,
  scale: 0.2,
  depths: [{ pending: 10_000, finished: 0 }, { pending: 10_000, finished: 20_000 }],
  claims: 150,
  starts: 20,
  skewBacklog: 5_000,
};

/** Pending jobs that are always left, so that no round ends in a race for the last ones. */
const RESERVE = 10_000;

export const LOADS: Load[] = [
  { workers: 1, batch: 1, jobs: 800 },
  { workers: 4, batch: 1, jobs: 2_000 },
  { workers: 16, batch: 1, jobs: 3_000 },
  { workers: 4, batch: 10, jobs: 8_000 },
  { workers: 16, batch: 10, jobs: 8_000 },
  { workers: 4, batch: 50, jobs: 16_000 },
  { workers: 16, batch: 50, jobs: 16_000 },
  { workers: 4, batch: 500, jobs: 20_000 },
  { workers: 16, batch: 500, jobs: 32_000 },
];

export function loadName({ workers, batch }: Pick<Load, "workers" | "batch">): string {
  const many = `${workers} worker${workers === 1 ? "" : "s"}`;
  return batch === 1 ? `one at a time, ${many}` : `batches of ${batch}, ${many}`;
}

/** Claim and finish, at each load, among the contenders that take part in it. */
export async function measureLoads(
  contendersOf: (load: Load) => Contender[],
  size: Size,
  tell: (line: string) => void,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const full of LOADS) {
    const jobs = Math.max(full.workers * full.batch * 2, Math.round(full.jobs * size.scale));
    const load = { ...full, jobs };
    const measurement: Measurement = { name: loadName(load), unit: "jobs/s", values: {} };
    for (const contender of contendersOf(load)) {
      measurement.values[contender.name] = [];
      await contender.clear();
      await contender.fill(RESERVE + jobs * (size.rounds + 1));
      await contender.run({ ...load, jobs: Math.ceil(jobs / 4) }); // Warms up caches and plans.
    }
    for (let round = 0; round < size.rounds; round++) {
      for (const contender of inTurn(contendersOf(load), round)) {
        measurement.values[contender.name].push(jobs / await contender.run(load));
      }
    }
    for (const contender of contendersOf(load)) await contender.clear();
    tell(measurement.name);
    measurements.push(measurement);
  }
  return measurements;
}

/** One call a job, and a thousand jobs a call. */
export async function measureEnqueuing(
  contenders: Contender[],
  size: Size,
): Promise<Measurement[]> {
  const single: Measurement = { name: "enqueue one", unit: "jobs/s", values: {} };
  const bulk: Measurement = { name: "enqueue 1,000 in a call", unit: "jobs/s", values: {} };
  const calls = Math.round(500 * size.scale);
  const bulkCalls = Math.max(2, Math.round(8 * size.scale));
  for (const contender of contenders) {
    await contender.clear();
    for (let i = 0; i < 50; i++) await contender.enqueue(0);
    await contender.enqueueMany(1_000);
    single.values[contender.name] = [];
    bulk.values[contender.name] = [];
  }
  for (let round = 0; round < size.rounds; round++) {
    for (const contender of inTurn(contenders, round)) {
      single.values[contender.name].push(
        calls / await seconds(async () => {
          for (let i = 0; i < calls; i++) await contender.enqueue(0);
        }),
      );
    }
    for (const contender of inTurn(contenders, round)) {
      bulk.values[contender.name].push(
        bulkCalls * 1_000 / await seconds(async () => {
          for (let i = 0; i < bulkCalls; i++) await contender.enqueueMany(1_000);
        }),
      );
    }
  }
  for (const contender of contenders) await contender.clear();
  return [single, bulk];
}

/** How long a claim takes with so many jobs waiting, and so many over. Values: all claims' milliseconds. */
export async function measureClaims(
  contenders: Contender[],
  size: Size,
  tell: (line: string) => void,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const { pending, finished } of size.depths) {
    const name = `claim at ${count(pending)} pending` +
      (finished ? ` and ${count(finished)} finished` : "");
    const measurement: Measurement = { name, unit: "ms", values: {} };
    for (const contender of contenders) {
      await contender.clear();
      if (finished) await contender.addFinished(finished);
      await contender.fill(pending);
      await contender.claimLatencies(50);
      measurement.values[contender.name] = [];
    }
    for (let round = 0; round < size.rounds; round++) {
      for (const contender of inTurn(contenders, round)) {
        measurement.values[contender.name].push(...await contender.claimLatencies(size.claims));
      }
    }
    for (const contender of contenders) await contender.clear();
    tell(name);
    measurements.push(measurement);
  }
  return measurements;
}

/** From the call that enqueues to the start, with a worker that has nothing else to do. */
export async function measureStarts(contenders: Contender[], size: Size): Promise<Measurement> {
  const measurement: Measurement = { name: "insert to start", unit: "ms", values: {} };
  for (const contender of contenders) {
    await contender.clear();
    measurement.values[contender.name] = await contender.startLatencies(size.starts);
  }
  return measurement;
}

function inTurn<T>(all: T[], round: number): T[] {
  return round % 2 ? [...all].reverse() : all;
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

function count(value: number): string {
  return value >= 1_000_000 ? `${value / 1_000_000} M` : `${value / 1_000} k`;
}
