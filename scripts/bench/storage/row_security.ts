/** What row security costs: the same statements by a member, and by the service with the same explicit filter. */
import type { Client } from "pg";
import { startTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { median, medianRatio } from "../queue/statistics.ts";
import { actAs, createMarketplace, growTo, pickSample } from "./dataset.ts";
import { frequentQueries, type FrequentQuery, idsOf } from "./queries.ts";

export interface QueryCost {
  query: string;
  /** Rows of runs and of files there are. */
  rows: number;
  /** Milliseconds, medians over all pairs, planning and the way to the client included. */
  member: number;
  service: number;
  /** Median of the pairs' ratios. */
  ratio: number;
  met: boolean;
}

const PAIRS = 201;
const WARM_UP = 20;

/** Prepared by name, as PostgREST does it. */
async function timed(client: Client, text: string, values: unknown[]): Promise<number> {
  const start = performance.now();
  await client.query({ name: text.slice(0, 60), text, values });
  return performance.now() - start;
}

async function measure(
  query: FrequentQuery,
  member: Client,
  service: Client,
): Promise<Omit<QueryCost, "rows">> {
  const theirs = query.service ?? query;
  const times = { member: [] as number[], service: [] as number[] };
  for (let pair = -WARM_UP; pair < PAIRS; pair++) {
    const ask = {
      member: () => timed(member, query.sql, query.values),
      service: () => timed(service, theirs.sql, theirs.values),
    };
    const order = pair % 2 === 0 ? ["member", "service"] as const : ["service", "member"] as const;
    for (const who of order) {
      const time = await ask[who]();
      if (pair >= 0) times[who].push(time);
    }
  }
  const [memberTime, serviceTime] = [median(times.member), median(times.service)];
  const ratio = medianRatio(times.member, times.service);
  const met = "ratio" in query.most
    ? ratio <= query.most.ratio
    : memberTime - serviceTime <= query.most.more;
  return { query: query.name, member: memberTime, service: serviceTime, ratio, met };
}

export async function measureRowSecurity(
  sizes: number[],
  tell: (line: string) => void,
): Promise<QueryCost[]> {
  const database = await startTestDatabase();
  try {
    return await measureOn(database, sizes, tell);
  } finally {
    await database.stop();
  }
}

async function measureOn(
  database: TestDatabase,
  sizes: number[],
  tell: (line: string) => void,
): Promise<QueryCost[]> {
  const owner = await database.connect();
  const [member, service] = [await database.connect(), await database.connect()];
  const costs: QueryCost[] = [];
  try {
    await createMarketplace(owner);
    const sample = await pickSample(owner);
    await actAs(member, sample.userId);
    await actAs(service, null);
    let rows = 0;
    for (const size of sizes) {
      await growTo(owner, rows, size);
      rows = size;
      const ids = await idsOf(owner, sample);
      for (const query of frequentQueries(sample, ids)) {
        costs.push({ ...await measure(query, member, service), rows });
      }
      tell(`row security at ${rows} rows`);
    }
  } finally {
    await Promise.all([owner, member, service].map((client) => client.end()));
  }
  return costs;
}
