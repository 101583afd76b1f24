/** What row security costs: the same statements by a member, and by the service with the same explicit filter. */
import type { Client } from "pg";
import { startTestDatabase, type TestDatabase } from "../../testing/database.ts";
import { median, medianRatio } from "../queue/statistics.ts";
import { createMarketplace, growTo, pickSample } from "./dataset.ts";
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
  /** The same of all that Postgres does for a request of REST: begin, role and claims, the statement, commit. */
  memberRequest: number;
  serviceRequest: number;
  requestRatio: number;
  met: boolean;
}

const PAIRS = 201;
const WARM_UP = 20;

/** Milliseconds of the statement, and of the transaction around it. */
interface Times {
  statement: number[];
  request: number[];
}

/** As PostgREST does it: prepared by name, in a transaction that takes on the role and its claims. */
async function ask(
  client: Client,
  userId: string | null,
  { sql, values }: { sql: string; values: unknown[] },
  times: Times | null,
): Promise<void> {
  const role = userId === null ? "service_role" : "authenticated";
  const claims = JSON.stringify({ role, ...(userId !== null && { sub: userId }) });
  const begun = performance.now();
  await client.query("begin");
  await client.query({ name: "settings", text: SETTINGS, values: [role, claims] });
  const start = performance.now();
  await client.query({ name: sql.slice(0, 60), text: sql, values });
  const end = performance.now();
  await client.query("commit");
  times?.statement.push(end - start);
  times?.request.push(performance.now() - begun);
}

const SETTINGS = "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)";

async function measure(
  query: FrequentQuery,
  member: { client: Client; userId: string },
  service: Client,
): Promise<Omit<QueryCost, "rows">> {
  const times = {
    member: { statement: [], request: [] } as Times,
    service: { statement: [], request: [] } as Times,
  };
  for (let pair = -WARM_UP; pair < PAIRS; pair++) {
    const into = (who: "member" | "service") => pair >= 0 ? times[who] : null;
    const both = [
      () => ask(member.client, member.userId, query, into("member")),
      () => ask(service, null, query.service ?? query, into("service")),
    ];
    if (pair % 2 === 0) both.reverse();
    for (const one of both) await one();
  }
  const [memberTime, serviceTime] = [
    median(times.member.statement),
    median(times.service.statement),
  ];
  const ratio = medianRatio(times.member.statement, times.service.statement);
  const requestRatio = medianRatio(times.member.request, times.service.request);
  return {
    query: query.name,
    member: memberTime,
    service: serviceTime,
    ratio,
    memberRequest: median(times.member.request),
    serviceRequest: median(times.service.request),
    requestRatio,
    met: "ratio" in query.most
      ? requestRatio <= query.most.ratio
      : memberTime - serviceTime <= query.most.more,
  };
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
    let rows = 0;
    for (const size of sizes) {
      await growTo(owner, rows, size);
      rows = size;
      const ids = await idsOf(owner, sample);
      for (const query of frequentQueries(sample, ids)) {
        costs.push({
          ...await measure(query, { client: member, userId: sample.userId }, service),
          rows,
        });
      }
      tell(`row security at ${rows} rows`);
    }
  } finally {
    await Promise.all([owner, member, service].map((client) => client.end()));
  }
  return costs;
}
