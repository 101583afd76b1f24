/**
 * `npm run bench -- queue [options]`: the run queue against Graphile Worker and pg-boss, on one durable Postgres, in
 * rounds that alternate. Prints ratios (median of the rounds' ratios), and writes docs/bench-queue.svg after a whole run.
 *
 *   --quick              small sizes, no chart
 *   --json               prints the figures as JSON instead of a table
 *   --strict             exits with 1 when a target is missed
 *   --only PART,…        of skew, enqueue, loads, starts, claims
 *   --rounds N           how many rounds each measurement has
 *   --pending N,…        depths of the backlog for the latency of claims
 */
import { readOptions, wholeNumber } from "../../command/command.ts";
import { UsageError } from "../../command/errors.ts";
import { projectPath } from "../../stack/project.ts";
import { drawChart } from "./chart.ts";
import type { Load } from "./contender.ts";
import { createGraphile } from "./graphile.ts";
import { createPgBoss } from "./pgboss.ts";
import {
  GRAPHILE,
  GRAPHILE_BATCHED,
  latencyRow,
  printTable,
  type Row,
  skewIsFair,
  throughputRow,
} from "./report.ts";
import {
  FULL,
  measureClaims,
  measureEnqueuing,
  measureLoads,
  measureStarts,
  QUICK,
  type Size,
} from "./scenarios.ts";
import { startBenchServer } from "./server.ts";
import { measureSkew } from "./skew.ts";
import { createStowage } from "./stowage.ts";

const PARTS = ["skew", "enqueue", "loads", "starts", "claims"];

const { values: options } = readOptions({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    pending: { type: "string" },
  },
}, Deno.args.slice(1));
const size: Size = { ...(options.quick ? QUICK : FULL) };
if (options.rounds) size.rounds = wholeNumber("rounds", options.rounds, 1);
if (options.pending) {
  size.depths = options.pending.split(",")
    .map((depth) => ({ pending: wholeNumber("pending", depth, 1), finished: 0 }));
}
const parts = options.only?.split(",") ?? PARTS;
for (const part of parts) {
  if (!PARTS.includes(part)) throw new UsageError(`--only takes ${PARTS.join(", ")}; not ${part}.`);
}
const isWhole = !options.quick && !options.only && !options.pending;
const tell = (line: string) => {
  if (!options.json) console.error(`  ${line}`);
};

const server = await startBenchServer();
const stowage = createStowage(server.url);
const graphile = createGraphile(server.url, { name: GRAPHILE, localQueue: false });
const batched = createGraphile(server.url, { name: GRAPHILE_BATCHED, localQueue: true });
const pgBoss = createPgBoss(server.url);
const everyone = [stowage, graphile, batched, pgBoss];
const withoutBatches = [stowage, graphile, pgBoss];
let ok = true;
try {
  for (const contender of everyone) await contender.start();
  const rows: Row[] = [];
  const skew = parts.includes("skew") ? await measureSkew(server.url, size.skewBacklog) : null;
  if (skew) tell("skew");
  if (parts.includes("enqueue")) {
    rows.push(...(await measureEnqueuing(withoutBatches, size)).map(throughputRow));
    tell("enqueue");
  }
  if (parts.includes("loads")) {
    const contendersOf = (load: Load) =>
      load.batch === 1 ? withoutBatches : [stowage, batched, pgBoss];
    rows.push(...(await measureLoads(contendersOf, size, tell)).map(throughputRow));
  }
  const latencies = [
    ...parts.includes("starts") ? [await measureStarts(withoutBatches, size)] : [],
    ...parts.includes("claims") ? await measureClaims(withoutBatches, size, tell) : [],
  ];
  rows.push(...latencies.flatMap((one) => [latencyRow(one, 0.5), latencyRow(one, 0.99)]));
  ok = rows.every((row) => row.met) && (!skew || skewIsFair(skew));
  if (options.json) console.log(JSON.stringify({ rows, skew, ok }, null, 2));
  else printTable(rows, skew);
  if (isWhole) await Deno.writeTextFile(projectPath("docs/bench-queue.svg"), drawChart(rows));
  for (const contender of everyone) await contender.stop();
} finally {
  await server.stop();
}
Deno.exit(options.strict && !ok ? 1 : 0);
