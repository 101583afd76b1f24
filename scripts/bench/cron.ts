/**
 * `npm run bench -- cron [--json]`: next_cron_run against croner.
 *
 * Both get the text of an expression, a zone and an instant, and answer the next run: croner as
 * `new Cron(…).nextRun(…)`, Postgres in one query over arrays. croner is also timed with the
 * expression parsed once, which flatters it. Rounds alternate; each number is the median round's.
 * Exits with 1 when a target is missed.
 */
import { readOptions } from "../command/command.ts";
import { Cron } from "croner";
import type { Client } from "pg";
import { type Case, Generator, seededRandom } from "../test/cron/cases.ts";
import { clockChanges } from "../test/cron/clock_changes.ts";
import { startTestDatabase } from "../testing/database.ts";

const ROUNDS = 7;
const CASES = 2_000;
const HOUR = 3_600_000;
const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo"];
const COMMON = [
  "* * * * *",
  "*/5 * * * *",
  "0 * * * *",
  "0 0 * * *",
  "30 2 * * *",
  "0 9 * * 1-5",
  "*/15 8-18 * * mon-fri",
  "0 0 * * 0",
  "0 0 1 * *",
  "15 14 1,15 * *",
  "@daily",
];
/** Few days, far apart. */
const IRREGULAR = [
  "0 0 29 2 *",
  "0 12 31 * *",
  "0 0 13 * 5",
  "30 6 31 jan,mar,dec *",
  "0 0 29 2 */7",
  "0 8 */2 * 1",
];
/** Milliseconds a call on average around clock changes, at most. */
const MOST_AROUND_CHANGES = 0.3;

interface Workload {
  name: string;
  cases: Case[];
}

interface Result {
  workload: string;
  /** Microseconds a call. */
  postgres: number;
  croner: number;
  cronerParsedOnce: number;
  /** How many times as fast as croner. */
  ratio: number;
  ratioParsedOnce: number;
}

function workloads(): Workload[] {
  const random = new Generator(seededRandom(11));
  const from = Date.UTC(2020, 0, 1);
  const to = Date.UTC(2030, 0, 1);
  const anywhere = (expressions: string[]) =>
    Array.from({ length: CASES }, () => ({
      expression: random.pick(expressions),
      zone: random.pick(ZONES),
      after: from + random.int(0, (to - from) / 1000) * 1000,
    }));
  const changes = ZONES.flatMap((zone) => clockChanges(zone, from, to));
  return [
    { name: "common expressions", cases: anywhere(COMMON) },
    { name: "irregular days", cases: anywhere(IRREGULAR) },
    {
      name: "common, around clock changes",
      cases: Array.from({ length: CASES }, () => {
        const change = random.pick(changes);
        const after = change.at + random.int(-2 * HOUR, HOUR);
        return { expression: random.pick(COMMON), zone: change.zone, after };
      }),
    },
    {
      name: "any expression, around clock changes",
      cases: Array.from({ length: CASES }, () => {
        const change = random.pick(changes);
        return {
          expression: random.near(change),
          zone: change.zone,
          after: random.instantNear(change),
        };
      }),
    },
  ];
}

/** Microseconds a case. */
async function timePostgres(client: Client, cases: Case[]): Promise<number> {
  const values = [
    cases.map((c) => c.expression),
    cases.map((c) => c.zone),
    cases.map((c) => new Date(c.after).toISOString()),
  ];
  const start = performance.now();
  const { rows } = await client.query(
    `select count(public.next_cron_run(e, z, a))::int as found
     from unnest($1::text[], $2::text[], $3::timestamptz[]) as t (e, z, a)`,
    values,
  );
  const time = performance.now() - start;
  if (rows[0].found !== cases.length) throw new Error("an expression never comes true");
  return time * 1000 / cases.length;
}

function timeCroner(cases: Case[]): number {
  const start = performance.now();
  for (const c of cases) {
    new Cron(c.expression, { timezone: c.zone, mode: "5-part" }).nextRun(new Date(c.after));
  }
  return (performance.now() - start) * 1000 / cases.length;
}

function timeCronerParsedOnce(cases: Case[]): number {
  const parsed = new Map<string, Cron>();
  const crons = cases.map((c) => {
    const key = `${c.zone} ${c.expression}`;
    const cron = parsed.get(key) ??
      new Cron(c.expression, { timezone: c.zone, mode: "5-part" });
    parsed.set(key, cron);
    return cron;
  });
  const start = performance.now();
  cases.forEach((c, i) => crons[i].nextRun(new Date(c.after)));
  return (performance.now() - start) * 1000 / cases.length;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

async function measure(client: Client, { name, cases }: Workload): Promise<Result> {
  const postgres: number[] = [];
  const croner: number[] = [];
  const cronerParsedOnce: number[] = [];
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    const times = [await timePostgres(client, cases), timeCroner(cases)];
    const parsedOnce = timeCronerParsedOnce(cases);
    if (round === 0) continue;
    postgres.push(times[0]);
    croner.push(times[1]);
    cronerParsedOnce.push(parsedOnce);
  }
  return {
    workload: name,
    postgres: median(postgres),
    croner: median(croner),
    cronerParsedOnce: median(cronerParsedOnce),
    ratio: median(croner.map((time, i) => time / postgres[i])),
    ratioParsedOnce: median(cronerParsedOnce.map((time, i) => time / postgres[i])),
  };
}

/** What the results miss of what is asked for, in words. */
function missed(results: Result[]): string[] {
  const complaints: string[] = [];
  const common = results.find((r) => r.workload === "common expressions")!;
  if (common.ratio < 1) complaints.push("slower than croner on common expressions");
  for (const r of results.filter((r) => r.workload.includes("clock changes"))) {
    if (r.postgres / 1000 > MOST_AROUND_CHANGES) {
      complaints.push(`${r.workload}: more than ${MOST_AROUND_CHANGES} ms`);
    }
  }
  return complaints;
}

function print(results: Result[]): void {
  console.log("µs a call; × is how many times as fast as croner\n");
  const header = ["", "Postgres", "croner", "×", "parsed once", "×"];
  const rows = results.map((r) => [
    r.workload,
    r.postgres.toFixed(1),
    r.croner.toFixed(1),
    r.ratio.toFixed(2),
    r.cronerParsedOnce.toFixed(1),
    r.ratioParsedOnce.toFixed(2),
  ]);
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i].length)));
  for (const row of [header, ...rows]) {
    const cells = row.map((cell, i) => i === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[i]));
    console.log(cells.join("  "));
  }
}

const { values: options } = readOptions(
  { options: { json: { type: "boolean", default: false } } },
  Deno.args.slice(1),
);
const database = await startTestDatabase();
const results: Result[] = [];
try {
  const client = await database.connect();
  try {
    for (const workload of workloads()) results.push(await measure(client, workload));
  } finally {
    await client.end();
  }
} finally {
  await database.stop();
}
if (options.json) console.log(JSON.stringify(results, null, 2));
else print(results);
const complaints = missed(results);
for (const complaint of complaints) console.error(complaint);
if (complaints.length > 0) Deno.exitCode = 1;
