/**
 * `next_cron_run` against croner: where they differ, it is because ours says so.
 *
 * Two differences are meant, and each is checked to be just what it should be:
 * - star: of the two day fields, one that begins with `*` does not make the other an alternative
 *   (Vixie cron, pg_cron). croner means the same by a plain `*` only, or with `domAndDow`.
 * - midnight: a fixed time in a gap that ends at midnight runs at its end, on the next date. croner
 *   keeps to the date, so that a daily job is left out on that day.
 */
import { Cron } from "croner";
import { assert, assertEquals } from "../../testing/assert.ts";
import { type Case, Generator, seededRandom } from "./cases.ts";
import { type ClockChange, clockChanges, wallClock } from "./clock_changes.ts";
import { startTestDatabase, type TestDatabase } from "../../testing/database.ts";

const DAY = 86_400_000;
/** More than five years before and after; fixed, so that the cases are the same each time. */
const FROM = Date.UTC(2020, 6, 1);
const TO = Date.UTC(2032, 0, 1);
const SEED = 20_250_718;

/** Zones whose clocks change, each in its own way. */
const CHANGING = [
  "Europe/Berlin",
  "Europe/Dublin", // its standard time is in summer
  "Europe/London",
  "America/New_York",
  "America/St_Johns", // half an hour off
  "America/Santiago", // at midnight, in the south
  "America/Havana", // a gap from midnight on
  "America/Nuuk", // a gap up to midnight
  "America/Scoresbysund", // as Nuuk, and moved to its zone
  "America/Sao_Paulo", // has stopped changing
  "Atlantic/Azores", // a gap from midnight on, an overlap over midnight
  "Africa/Cairo", // began again
  "Africa/Casablanca", // for the month of Ramadan
  "Asia/Beirut",
  "Asia/Tehran", // has stopped, at half past
  "Australia/Lord_Howe", // by thirty minutes
  "Australia/Sydney",
  "Pacific/Apia", // has stopped
  "Pacific/Chatham", // at a quarter to
  "Antarctica/Troll", // by two hours
];
const STEADY = ["UTC", "Asia/Tokyo", "Asia/Kathmandu", "Etc/GMT+11", "Pacific/Kiritimati"];

const EACH_CHANGE = 44;
const ANYWHERE = 8_000;

/** Skipped by whole days, or changed in ways that the ten years around us do not show. */
const OLD_CHANGES: [string, number, number][] = [
  ["Pacific/Apia", Date.UTC(2011, 11, 28), Date.UTC(2012, 0, 2)], // without 30 December
  ["Pacific/Kwajalein", Date.UTC(1993, 7, 19), Date.UTC(1993, 7, 23)], // without 21 August
  ["Asia/Pyongyang", Date.UTC(2018, 4, 1), Date.UTC(2018, 4, 8)], // by half an hour at 23:30
  ["America/Caracas", Date.UTC(2007, 11, 5), Date.UTC(2007, 11, 12)],
  ["Europe/Moscow", Date.UTC(2014, 9, 20), Date.UTC(2014, 9, 30)],
  ["America/Sao_Paulo", Date.UTC(2018, 10, 1), Date.UTC(2018, 10, 10)], // a gap from midnight on
];

function makeCases(): { cases: Case[]; changes: ClockChange[] } {
  const generator = new Generator(seededRandom(SEED));
  const changes = [
    ...CHANGING.flatMap((zone) => clockChanges(zone, FROM, TO)),
    ...OLD_CHANGES.flatMap(([zone, from, to]) => clockChanges(zone, from, to)),
  ];
  const cases: Case[] = [];
  for (const change of changes) {
    for (let i = 0; i < EACH_CHANGE; i++) {
      cases.push({
        expression: generator.near(change),
        zone: change.zone,
        after: generator.instantNear(change),
      });
    }
  }
  for (let i = 0; i < ANYWHERE; i++) {
    cases.push({
      expression: generator.expression(),
      zone: generator.pick([...CHANGING, ...STEADY]),
      after: generator.int(FROM / 1000, TO / 1000) * 1000,
    });
  }
  return { cases, changes };
}

async function askDatabase(database: TestDatabase, cases: Case[]): Promise<(number | null)[]> {
  const client = await database.connect();
  try {
    const { rows } = await client.query(
      `select extract(epoch from public.next_cron_run(e, z, a))::float8 * 1000 as next
       from unnest($1::text[], $2::text[], $3::timestamptz[]) with ordinality as t (e, z, a, i)
       order by i`,
      [
        cases.map((c) => c.expression),
        cases.map((c) => c.zone),
        cases.map((c) => new Date(c.after).toISOString()),
      ],
    );
    return rows.map((row) => row.next);
  } finally {
    await client.end();
  }
}

function askCroner(c: Case, domAndDow = false): number | null {
  const cron = new Cron(c.expression, { timezone: c.zone, mode: "5-part", domAndDow });
  return cron.nextRun(new Date(c.after))?.getTime() ?? null;
}

/** One day field begins with `*` without being just that, and the other says something. */
function hasStarredDay(expression: string): boolean {
  const [, , day, , weekday] = expression.replaceAll("?", "*").split(" ");
  const starred = (field: string) => field.startsWith("*") && field !== "*";
  return expression[0] !== "@" && day !== "*" && weekday !== "*" &&
    (starred(day) || starred(weekday));
}

/**
 * The change whose gap ends at midnight of the day after, when the expression has its one time in
 * that gap. Asked of croner as of a clock in UTC, which has no gaps.
 */
function midnightGap(c: Case, ours: number, changes: ClockChange[]): ClockChange | undefined {
  const change = changes.find((change) => change.at === ours && change.zone === c.zone);
  if (!change || change.shift <= 0 || change.shift >= DAY) return;
  const end = wallClock(c.zone, change.at);
  const start = end - change.shift;
  if (new Date(start).getUTCDate() === new Date(end).getUTCDate()) return;
  const [minute, hour] = c.expression.split(" ");
  if (!/^\d+$/.test(minute) || !/^\d+$/.test(hour)) return;
  const wanted = askCroner({ ...c, zone: "UTC", after: start - 1 }, hasStarredDay(c.expression));
  return wanted !== null && wanted < end ? change : undefined;
}

const show = (at: number | null) => at === null ? "never" : new Date(at).toISOString();

Deno.test("next_cron_run agrees with croner, but where it means not to", async () => {
  const { cases, changes } = makeCases();
  assert(cases.length >= 20_000, `only ${cases.length} cases`);
  assert(new Set(changes.map((change) => change.zone)).size >= 10);

  const database = await startTestDatabase();
  const ours = await askDatabase(database, cases).finally(() => database.stop());

  const seen = { same: 0, star: 0, midnight: 0 };
  const wrong: string[] = [];
  cases.forEach((c, i) => {
    const starred = hasStarredDay(c.expression);
    const expected = askCroner(c, starred);
    if (starred && askCroner(c) !== expected) seen.star++;
    if (ours[i] === expected) {
      seen.same++;
      return;
    }
    const change = ours[i] !== null && midnightGap(c, ours[i]!, changes);
    if (change && (expected === null || expected > change.at)) {
      seen.midnight++;
      return;
    }
    wrong.push(
      `${c.expression} in ${c.zone} after ${show(c.after)}: ${show(ours[i])}, croner ${
        show(expected)
      }`,
    );
  });
  assertEquals(wrong.slice(0, 20), []);
  // A class of differences that never occurs is not tested.
  assert(seen.star > 100 && seen.midnight > 10, JSON.stringify(seen));
});
