/**
 * `npm run bench -- queue [--quick] [--json] [--strict]`: the run queue against Graphile Worker and pg-boss, on one
 * durable Postgres, in rounds that alternate. Prints ratios (median of the rounds' ratios), and writes
 * docs/queue-benchmark.svg unless it is quick. --strict: exits with 1 when a target is missed.
 */
import { parseArgs } from "node:util";
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
} from "./scenarios.ts";
import { startBenchServer } from "./server.ts";
import { measureSkew } from "./skew.ts";
import { createStowage } from "./stowage.ts";

const { values: options } = parseArgs({
  args: Deno.args.filter((arg) => arg !== "queue"),
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
  },
});
const size = options.quick ? QUICK : FULL;
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
  const skew = await measureSkew(server.url, size.skewBacklog);
  tell("skew");
  const enqueuing = await measureEnqueuing(withoutBatches, size);
  tell("enqueue");
  const loads = await measureLoads(
    (load: Load) => load.batch === 1 ? withoutBatches : [stowage, batched, pgBoss],
    size,
    tell,
  );
  const starts = await measureStarts(withoutBatches, size);
  const claims = await measureClaims(withoutBatches, size, tell);
  const rows = [
    ...enqueuing.map(throughputRow),
    ...loads.map(throughputRow),
    ...[starts, ...claims].flatMap((one) => [latencyRow(one, 0.5), latencyRow(one, 0.99)]),
  ];
  ok = rows.every((row) => row.met) && skewIsFair(skew);
  if (options.json) console.log(JSON.stringify({ rows, skew, ok }, null, 2));
  else printTable(rows, skew);
  if (!options.quick) {
    await Deno.mkdir(projectPath("docs"), { recursive: true });
    await Deno.writeTextFile(projectPath("docs/queue-benchmark.svg"), drawChart(rows));
  }
  for (const contender of everyone) await contender.stop();
} finally {
  await server.stop();
}
Deno.exit(options.strict && !ok ? 1 : 0);
