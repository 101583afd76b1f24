/**
 * Row security stays cheap: under it, the statements that frontends send use the indexes, and its helper functions run once a
 * statement at most. Plans are looked at, not clocks.
 */
import type { Client } from "pg";
import {
  actAs,
  createMarketplace,
  growTo,
  pickSample,
  type Sample,
} from "../../bench/storage/dataset.ts";
import { frequentQueries, idsOf } from "../../bench/storage/queries.ts";
import { assert, assertEquals } from "../../testing/assert.ts";
import { startTestDatabase, type TestDatabase } from "../../testing/database.ts";

/** Rows of runs and of files: enough for every index to be worth its while. */
const ROWS = 20_000;

/** A node of EXPLAIN (format json). */
interface Plan {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Index Cond"?: string;
  "Subplan Name"?: string;
  "Parent Relationship"?: string;
  "Actual Loops": number;
  "Actual Rows": number;
  "Rows Removed by Filter"?: number;
  Plans?: Plan[];
}

let database: TestDatabase | undefined;
let member: Client | undefined;
let sample: Sample;
let ids: Awaited<ReturnType<typeof idsOf>>;

Deno.test.beforeAll(async () => {
  database = await startTestDatabase();
  const owner = await database!.connect();
  await createMarketplace(owner);
  await growTo(owner, 0, ROWS);
  sample = await pickSample(owner);
  ids = await idsOf(owner, sample);
  member = await database!.connect();
  await owner.end();
});

Deno.test.afterAll(async () => {
  await member?.end();
  await database?.stop();
});

async function explain(sql: string, values: unknown[], userId = sample.userId): Promise<Plan> {
  await actAs(member!, userId);
  const { rows } = await member!.query(`explain (analyze, timing off, format json) ${sql}`, values);
  return rows[0]["QUERY PLAN"][0].Plan;
}

function* nodesOf(plan: Plan): Generator<Plan> {
  yield plan;
  for (const child of plan.Plans ?? []) yield* nodesOf(child);
}

/** What reads the table, in words: the index and whether the condition reaches it. */
function accessTo(plan: Plan, table: string): Plan[] {
  return [...nodesOf(plan)].filter((node) => node["Relation Name"] === table);
}

/** Nothing is computed for each row that row security could say once. */
function assertHelpersRunOnce(plan: Plan, name: string): void {
  const initPlans = [...nodesOf(plan)].filter((node) =>
    node["Parent Relationship"] === "InitPlan" && node["Node Type"] === "Result"
  );
  assert(initPlans.length > 0, `${name}: row security computes nothing beforehand`);
  for (const node of initPlans) {
    assert(node["Actual Loops"] <= 1, `${name}: ${node["Subplan Name"]} ran again and again`);
  }
}

/** The index by which each of the frequent statements finds its rows, and how its condition begins. */
const EXPECTED: Record<string, { table: string; index: string; condition: RegExp }> = {
  "newest 50 runs": {
    table: "app_runs",
    index: "app_runs_company_id_created_at_idx",
    condition: /company_id = /,
  },
  "files of an app of its own": {
    table: "app_storage",
    index: "app_storage_app_id_version_idx",
    condition: /app_id = /,
  },
  "files of an app that it is assigned": {
    table: "app_storage",
    index: "app_storage_app_id_version_idx",
    condition: /app_id = /,
  },
  "counts by status": {
    table: "app_runs",
    index: "app_runs_company_id_created_at_idx",
    condition: /company_id = ANY \(\(InitPlan \d+\)\.col1\)/,
  },
  "a run by id": { table: "app_runs", index: "app_runs_pkey", condition: /id = / },
  "a file by id": { table: "app_storage", index: "app_storage_pkey", condition: /id = / },
  "an object by name": {
    table: "app_storage",
    index: "app_storage_file_path_key",
    condition: /file_path = objects\.name/,
  },
};

Deno.test("frequent statements find their rows by an index, under row security too", async () => {
  const seen: string[] = [];
  for (const query of frequentQueries(sample, ids)) {
    const expected = EXPECTED[query.name];
    if (!expected) continue;
    seen.push(query.name);
    const plan = await explain(query.sql, query.values);
    assertHelpersRunOnce(plan, query.name);
    const nodes = [...nodesOf(plan)];
    const found = nodes.find((node) =>
      node["Index Name"] === expected.index && expected.condition.test(node["Index Cond"] ?? "")
    );
    assert(found, `${query.name}: ${expected.index} is not used: ${JSON.stringify(plan)}`);
    for (const node of accessTo(plan, expected.table)) {
      assert(node["Node Type"] !== "Seq Scan", `${query.name} reads the whole ${expected.table}`);
      assertEquals(node["Rows Removed by Filter"] ?? 0, 0, `${query.name} reads what is not asked`);
    }
  }
  assertEquals(seen.sort(), Object.keys(EXPECTED).sort());
});

Deno.test("what is asked for without naming a company is found by the companies' index", async () => {
  const plan = await explain("select id from app_runs where created_at > now() - $1::interval", [
    "1 second",
  ]);
  assertHelpersRunOnce(plan, "runs of a time");
  const counted = await explain("select count(*) from app_runs", []);
  for (const one of [plan, counted]) {
    const conditions = [...nodesOf(one)].map((node) => node["Index Cond"] ?? "");
    assert(
      conditions.some((text) => /company_id = ANY \(\(InitPlan \d+\)\.col1\)/.test(text)),
      JSON.stringify(one),
    );
  }
});

Deno.test("the newest runs come in the order of an index, without a sort of them all", async () => {
  const { sql, values } = frequentQueries(sample, ids)
    .find(({ name }) => name === "newest 50 runs")!;
  // Few of what a company has here, as fifty are of what it has in life.
  const plan = await explain(sql.replace("limit 50", "limit 5"), values);
  assert(![...nodesOf(plan)].some((node) => node["Node Type"].includes("Sort")));
  assertEquals(accessTo(plan, "app_runs")[0]["Actual Rows"], 5);
});

Deno.test("the newest of all one's companies are read from the beginning of each one's index", async () => {
  const reads = async (userId: string) => {
    const before = await rowsRead("app_runs");
    await actAs(member!, userId);
    const { rows } = await member!.query("select * from list_newest_app_runs(50)");
    assertEquals(rows.length, 50);
    const created = rows.map((row) => row.created_at.getTime());
    assertEquals(created, [...created].sort((a, b) => b - a));
    return await rowsRead("app_runs") - before;
  };
  const all = await reads(sample.superadminId);
  const one = await reads(sample.userId);
  // A company's own fifty, and those of each company; never all that there are.
  assert(one <= 60 && all <= 200 * 60 && all < ROWS, `${one} and ${all} rows read`);
  await actAs(member!, sample.userId);
  const page = await member!.query("select * from list_newest_app_runs(3)");
  const last = page.rows[2];
  const next = await member!.query("select id from list_newest_app_runs(2, $1, $2)", [
    last.created_at,
    last.id,
  ]);
  const five = await member!.query("select id from list_newest_app_runs(5)");
  assertEquals([...page.rows, ...next.rows].map(({ id }) => id), five.rows.map(({ id }) => id));
});

/** Rows of the table that were looked at so far, in itself and not in an index alone. */
async function rowsRead(table: string): Promise<number> {
  await actAs(member!, null);
  await member!.query("select pg_stat_force_next_flush()");
  const { rows } = await member!.query(
    "select idx_tup_fetch + seq_tup_read as read from pg_stat_user_tables where relname = $1",
    [table],
  );
  return Number(rows[0].read);
}

/** An index alone is believed of pages that vacuum has marked; it leaves out those that somebody older might see. */
async function vacuumWhole(tables: string[]): Promise<void> {
  const owner = await database!.connect();
  const deadline = Date.now() + 30_000;
  try {
    for (;;) {
      await owner.query(`vacuum analyze ${tables.map((table) => `public.${table}`).join(", ")}`);
      const { rows: left } = await owner.query(
        "select relname from pg_class where relname = any ($1) and relallvisible < relpages",
        [tables],
      );
      if (left.length === 0) return;
      assert(Date.now() < deadline, `not marked: ${JSON.stringify(left)}`);
    }
  } finally {
    await owner.end();
  }
}

Deno.test("which apps are one's own is told by indexes alone", async () => {
  const tables = ["applications", "app_assignments", "company_members"];
  await vacuumWhole(tables);
  const before = await Promise.all(tables.map(rowsRead));
  await actAs(member!, sample.userId);
  const { rows: [{ published, all }] } = await member!.query(
    "select cardinality(private.my_published_app_ids()) as published, cardinality(private.my_app_ids()) as all",
  );
  assert(published > 0 && all > published, `${published} of ${all}`);
  assertEquals(await Promise.all(tables.map(rowsRead)), before);
});

Deno.test("an object costs one lookup in one table, by whichever way it is read", async () => {
  const owner = await database!.connect();
  const { rows: [run] } = await owner.query(
    "select id, app_id from app_runs where company_id = $1",
    [
      sample.companyId,
    ],
  );
  await owner.query("alter table app_outputs disable trigger user");
  const folder = `app_${run.app_id}/runs/${run.id}`;
  await owner.query(
    `insert into app_outputs (run_id, company_id, output_type, output_name, output_bucket, output_path)
    select r.id, r.company_id, 'file', 'chart.png', 'app-storage', 'app_' || r.app_id || '/runs/' || r.id || '/outputs/chart.png'
    from app_runs r`,
  );
  await owner.query("analyze app_outputs");
  await owner.query(
    `insert into storage.objects (bucket_id, name) values ('app-storage', $1), ('app-logs', $2)`,
    [`${folder}/outputs/chart.png`, `${folder}/stdout.log`],
  );
  await owner.end();
  for (
    const [bucket, name, table] of [
      ["app-storage", ids.object, "app_storage"],
      ["app-storage", `${folder}/outputs/chart.png`, "app_outputs"],
      ["app-logs", `${folder}/stdout.log`, "app_runs"],
    ]
  ) {
    const plan = await explain(
      "select id from storage.objects where bucket_id = $1 and name = $2",
      [bucket, name],
    );
    assertEquals(plan["Actual Rows"], 1, name);
    const ran = [...nodesOf(plan)].filter((node) => node["Actual Loops"] > 0);
    const tables = ran.flatMap((node) => node["Relation Name"] ?? []);
    assertEquals(tables.sort(), ["objects", table].sort(), name);
    // Each helper of row security at most once: of one table's policy, and no more than it needs.
    const helpers = ran.filter((node) => node["Parent Relationship"] === "InitPlan");
    assert(helpers.length <= 2, `${name}: ${helpers.length} helpers`);
    assert(ran.every((node) => node["Actual Loops"] === 1), name);
    for (const node of ran) {
      assert(node["Node Type"] !== "Seq Scan", `${name}: ${JSON.stringify(plan)}`);
    }
  }
});
