/** Eight executors tick at once, on connections of their own, while the clocks of Berlin change. */
import type { Client } from "pg";
import { assert, assertEquals } from "../../testing/assert.ts";
import { seededRandom } from "./cases.ts";
import { startTestDatabase, type TestDatabase } from "../../testing/database.ts";

const TICKERS = 8;
const MINUTE = 60_000;
const ZONE = "Europe/Berlin";

interface Window {
  name: string;
  from: string;
  to: string;
  /** Due times in UTC of each expression; the every-minute one is due every minute. */
  due: Record<string, string[]>;
}

const AUTUMN: Window = {
  name: "autumn",
  from: "2025-10-25T23:00:00Z", // 01:00 in summer time
  to: "2025-10-26T03:00:00Z", // 04:00 in winter time
  due: {
    "30 2 * * *": ["2025-10-26T00:30:00Z"],
    "0 3 * * *": ["2025-10-26T02:00:00Z"],
    "15 1-3 * * *": [
      "2025-10-25T23:15:00Z",
      "2025-10-26T00:15:00Z",
      "2025-10-26T01:15:00Z",
      "2025-10-26T02:15:00Z",
    ],
    "0,40 2 * * *": [
      "2025-10-26T00:00:00Z",
      "2025-10-26T00:40:00Z",
      "2025-10-26T01:00:00Z",
      "2025-10-26T01:40:00Z",
    ],
  },
};

const SPRING: Window = {
  name: "spring",
  from: "2025-03-29T23:00:00Z", // 00:00 in winter time
  to: "2025-03-30T03:00:00Z", // 05:00 in summer time
  due: {
    "30 2 * * *": ["2025-03-30T01:00:00Z"],
    "0 3 * * *": ["2025-03-30T01:00:00Z"],
    "15 1-3 * * *": ["2025-03-30T00:15:00Z", "2025-03-30T01:15:00Z"],
    "0,40 2 * * *": [],
  },
};

/** Times of the window, each a minute after the one before, the first left out. */
function minutes({ from, to }: Window): string[] {
  const start = Date.parse(from);
  const count = (Date.parse(to) - start) / MINUTE;
  return Array.from({ length: count }, (_, i) => iso(start + (i + 1) * MINUTE));
}

function iso(time: number): string {
  return new Date(time).toISOString().replace(".000Z", "Z");
}

/** A company with an app to run; its id and the app's. */
async function createCompany(client: Client): Promise<{ company: string; app: string }> {
  const { rows } = await client.query(`
    with company as (
      insert into public.companies (slug, name, max_queued_runs)
      values ('c-' || left(gen_random_uuid()::text, 13), 'Company', 100000) returning id
    )
    insert into public.applications (slug, name, publisher_company_id)
    select 'app', 'App', id from company
    returning id as app, publisher_company_id as company`);
  const { app, company } = rows[0];
  await client.query(
    `insert into public.app_versions (app_id, version, manifest)
     values ($1, '1.0.0', '{"version": "1.0.0"}')`,
    [app],
  );
  await client.query(
    `insert into public.app_storage (app_id, version, file_path, file_type, file_size, checksum)
     values ($1::uuid, '1.0.0', 'app_' || $1::uuid || '/1.0.0/index.js', 'dist', 0, 'sha256:' || repeat('0', 64))`,
    [app],
  );
  await client.query(
    "update public.app_versions set status = 'published' where app_id = $1",
    [app],
  );
  return { company, app };
}

/** A schedule that is due first after the window's beginning; its id. */
async function createSchedule(
  client: Client,
  owner: { company: string; app: string },
  expression: string,
  from: string,
  missedPolicy: string,
): Promise<string> {
  const { rows } = await client.query(
    `insert into public.app_cron_schedules (
       app_id, company_id, cron_expression, timezone, missed_policy, overlap_policy, max_lateness)
     values ($1, $2, $3, $4, $5, 'allow', '1 day') returning id`,
    [owner.app, owner.company, expression, ZONE, missedPolicy],
  );
  await client.query(
    `update public.app_cron_schedules
     set next_run_at = public.next_cron_run(cron_expression, timezone, $2) where id = $1`,
    [rows[0].id, from],
  );
  return rows[0].id;
}

async function withTickers(
  database: TestDatabase,
  work: (operator: Client, tickers: Client[]) => Promise<void>,
): Promise<void> {
  const clients = await Promise.all(
    Array.from({ length: TICKERS + 1 }, () => database.connect()),
  );
  try {
    const [operator, ...tickers] = clients;
    for (const ticker of tickers) await ticker.query("set role service_role");
    await work(operator, tickers);
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

/** One tick; the due times that it says it enqueued, with their schedule. */
async function tick(ticker: Client, now: string, maxSchedules = 100): Promise<string[]> {
  const { rows } = await ticker.query(
    `select schedule_id, run_id, skip_reason,
       to_char(due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as due
     from private.enqueue_due_app_runs($2, $1)`,
    [now, maxSchedules],
  );
  assertEquals(rows.filter((row) => row.skip_reason !== null), []);
  return rows.map((row) => `${row.schedule_id} ${row.due}`);
}

/** The due times of a schedule's runs, in order. */
async function enqueued(operator: Client, schedule: string): Promise<string[]> {
  const { rows } = await operator.query(
    `select metadata ->> 'due_at' as due from public.app_runs
     where run_type = 'cron' and metadata ->> 'schedule_id' = $1 order by 1`,
    [schedule],
  );
  return rows.map((row) => row.due);
}

async function countSkips(operator: Client): Promise<number> {
  const { rows } = await operator.query("select count(*)::int from public.app_cron_skips");
  return rows[0].count;
}

Deno.test("eight tickers enqueue every due time exactly once", async (t) => {
  const database = await startTestDatabase();
  try {
    await withTickers(database, async (operator, tickers) => {
      for (const window of [AUTUMN, SPRING]) {
        await t.step(`minute by minute, in ${window.name}`, async () => {
          const owner = await createCompany(operator);
          const due: Record<string, string[]> = { ...window.due, "* * * * *": minutes(window) };
          const schedules = new Map<string, string>();
          for (const expression of Object.keys(due)) {
            const id = await createSchedule(operator, owner, expression, window.from, "skip");
            schedules.set(expression, id);
          }
          const reported: string[] = [];
          for (const now of minutes(window)) {
            const answers = await Promise.all(tickers.map((ticker) => tick(ticker, now)));
            reported.push(...answers.flat());
          }
          const expected: string[] = [];
          for (const [expression, id] of schedules) {
            assertEquals(await enqueued(operator, id), due[expression], expression);
            expected.push(...due[expression].map((time) => `${id} ${time}`));
          }
          assertEquals(reported.sort(), expected.sort(), "what the ticks said they did");
          assertEquals(await countSkips(operator), 0);
          await operator.query("update public.app_cron_schedules set is_active = false");
        });
      }

      await t.step("each with a clock of its own, over companies of its own order", async () => {
        const random = seededRandom(8);
        const schedules: string[] = [];
        for (let i = 0; i < TICKERS; i++) {
          const owner = await createCompany(operator);
          for (const _ of [1, 2]) {
            schedules.push(
              await createSchedule(operator, owner, "* * * * *", AUTUMN.from, "run_all"),
            );
          }
        }
        const times = minutes(AUTUMN);
        const reported: string[] = [];
        const run = async (ticker: Client) => {
          // Rarely every minute and few schedules at a time: ticks meet schedules with several due
          // times, and each other at the companies.
          for (let at = 0; at < times.length; at += 1 + Math.floor(random() * 20)) {
            reported.push(...await tick(ticker, times[at], 4));
          }
        };
        await Promise.all(tickers.map(run));
        // A tick enqueues only so many runs of a schedule, and leaves the rest to the next one.
        for (let rest; (rest = await tick(operator, times.at(-1)!)).length > 0;) {
          reported.push(...rest);
        }
        for (const id of schedules) assertEquals(await enqueued(operator, id), times);
        assertEquals(new Set(reported).size, reported.length, "none was reported twice");
        assertEquals(reported.length, schedules.length * times.length);
        assert(await countSkips(operator) === 0);
      });
    });
  } finally {
    await database.stop();
  }
});
