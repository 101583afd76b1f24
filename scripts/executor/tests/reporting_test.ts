/** What can be read of a run while it goes on, and what an app reports of itself. */
import { assert, assertEquals, assertStringIncludes } from "../../testing/assert.ts";
import { createUser } from "../../testing/stack.ts";
import { PART_BYTES } from "../log_shipper.ts";
import { readMetrics } from "../reported_metrics.ts";
import { type App, eventually, type Row, World } from "./world.ts";

const FAST = ["--poll-interval", "0.05", "--sandbox", "bubblewrap", "--lease", "3"];
/** More than one part of each stream, and by far less than is kept. */
const LINES = 60_000;

Deno.test("reports of running and finished runs", async (t) => {
  const world = await World.start();
  try {
    for (const [name, check] of Object.entries(CASES)) await t.step(name, () => check(world));
  } finally {
    await world.close();
  }
});

const CASES: Record<string, (world: World) => Promise<void>> = {
  "a member reads both logs of a running run in parts, a stranger reads nothing": async (world) => {
    const executor = await world.executor(FAST);
    const app = await world.app({ files: "chatters" });
    const member = await createUser(world.stack);
    const stranger = await createUser(world.stack);
    const joined = await world.client.from("company_members")
      .insert({ company_id: app.companyId, user_id: member.id, role: "member" });
    assertEquals(joined.error, null);
    const id = await world.request(app, { config: { lines: LINES } });
    for (const stream of ["stdout", "stderr"]) {
      const word = stream.slice(3);
      const { parts, text } = await eventually(`${stream} comes in parts`, async () => {
        const { data } = await member.client.from("app_outputs").select()
          .eq("run_id", id).eq("output_type", stream).maybeSingle();
        const parts: string[] = data?.output_data.parts ?? [];
        // More than the first lines: it goes on while the app does.
        if (parts.length < 2 || data.file_size < expected(word, LINES + 1).length) return null;
        assertEquals(data.output_path, parts.at(-1));
        const blobs = await Promise.all(
          parts.map(async (path) => (await member.client.storage.from("app-logs").download(path))),
        );
        const bytes = blobs.map(({ data }) => data!.size);
        assertEquals(bytes.slice(0, -1), bytes.slice(0, -1).map(() => PART_BYTES));
        return { parts, text: (await Promise.all(blobs.map(({ data }) => data!.text()))).join("") };
      });
      assertStringIncludes(parts[0], `/runs/${id}/${stream}.0001.log`);
      const count = text.split("\n").length - 1;
      assert(count > LINES && text === expected(word, count), "in order, and nothing is missing");
      const theirs = await stranger.client.storage.from("app-logs").download(parts[0]);
      assert(theirs.error, "a stranger is refused");
    }
    assertEquals((await world.row(id)).status, "running");
    await world.client.rpc("cancel_app_run", { run_id: id });
    const run = await world.until(id, "cancelled");
    assertEquals(await streams(world, app, id), ["stderr.log", "stdout.log"]);
    const text = await world.object("app-logs", run.logs_path);
    assertEquals(text, expected("out", text.split("\n").length - 1));
    const rows = await world.outputs(id);
    assertEquals(rows.map((row) => [row.output_type, row.output_path === null]), [
      ["stderr", false],
      ["stdout", false],
    ]);
    assertEquals(rows[1].output_path, run.logs_path);
    await executor.kill("SIGTERM");
  },
  "what a lost executor sent of a log stays until the next attempt has its own": async (world) => {
    const app = await world.app({ files: "chatters" });
    const victim = await world.executor(FAST);
    const id = await world.request(app, { config: { lines: LINES } });
    await eventually(
      "parts are there",
      async () => (await streams(world, app, id)).length >= 4 ? true : null,
    );
    await victim.kill("SIGKILL");
    const left = await streams(world, app, id);
    assert(left.includes("stdout.0001.log"), `${left}`);
    // Long enough that it is not lost, too, on a busy machine: a cancelled run's log is its executor's to complete.
    const executor = await world.executor([...FAST, "--lease", "8"]);
    await eventually(
      "it runs again",
      async () => (await world.row(id)).attempt === 2 ? true : null,
    );
    await world.client.rpc("cancel_app_run", { run_id: id });
    const run = await world.until(id, "cancelled");
    assertEquals([run.attempt, run.attempt_history[0].outcome], [2, "lost"]);
    assertEquals(await streams(world, app, id), ["stderr.log", "stdout.log"]);
    await executor.kill("SIGTERM");
  },
  "metrics that an app reports are rows": async (world) => {
    const executor = await world.executor(FAST);
    const source = `require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/metrics.jsonl", [
      { name: "rows", value: 3 }, { name: "rows", value: 5, at: "2025-07-20T14:00:00+02:00" },
      { name: "cost", value: 0.25, unit: "EUR", labels: { model: "small" } },
    ].map((line) => JSON.stringify(line)).join("\\n") + "\\nnot a metric\\n");`;
    const app = await world.app({ files: [{ name: "index.js", content: source }] });
    const run = await world.until(await world.request(app), "success", "failed");
    assertEquals([run.status, run.error_message], ["success", null]);
    const outputs = await world.outputs(run.id);
    const metrics = outputs.filter((row) => row.output_type === "metric");
    assertEquals(metrics.map((row) => [row.output_name, row.output_data]), [
      ["cost", {
        unit: "EUR",
        value: 0.25,
        points: [{ value: 0.25, at: null, labels: { model: "small" } }],
      }],
      ["rows", {
        unit: null,
        value: 5,
        points: [{ value: 3, at: null, labels: {} }, {
          value: 5,
          at: "2025-07-20T12:00:00.000Z",
          labels: {},
        }],
      }],
    ]);
    const error = outputs.find((row) => row.output_type === "error");
    assertEquals([error?.output_name, error?.output_data.message], [
      "metrics.jsonl",
      "Line 4: it is not JSON.",
    ]);
    assert(outputs.some((row) => row.output_type === "file"), "what was not understood is kept");
    await executor.kill("SIGTERM");
  },
};

Deno.test("a line of metrics.jsonl is taken as it is documented, or named", () => {
  const cases: [string, string | null][] = [
    ['{"name":"a","value":1}', null],
    ['{"name":"a.b:c-d_e","value":-1.5e3,"unit":"ms"}', null],
    ['{"name":"a","value":1,"labels":{"x":"y"}}', null],
    ['{"name":"1a","value":1}', "name takes"],
    ['{"value":1}', "name takes"],
    ['{"name":"a","value":"1"}', "value takes a number"],
    ['{"name":"a","value":1e999}', "value takes a number"],
    ['{"name":"a","value":1,"unit":7}', "unit takes"],
    ['{"name":"a","value":1,"unit":"\\u0000"}', "unit takes"],
    ['{"name":"a","value":1,"at":"soon"}', "at takes"],
    ['{"name":"a","value":1,"at":3}', "at takes"],
    ['{"name":"a","value":1,"labels":{"x":1}}', "labels takes"],
    ['{"name":"a","value":1,"labels":{"x":"\\ud800"}}', "labels takes"],
    ['{"name":"a","value":1,"labels":[]}', "labels takes"],
    ['{"name":"a","value":1,"more":1}', "there is no field"],
    ["[]", "an object is expected"],
    ["null", "an object is expected"],
    ["{", "it is not JSON"],
  ];
  for (const [line, mistake] of cases) {
    const report = readMetrics(new TextEncoder().encode(`\n${line}\n`));
    if (mistake === null) assertEquals([report.mistakes, report.metrics.length], [[], 1], line);
    else {
      assertEquals(report.metrics, [], line);
      assertStringIncludes(report.mistakes[0], `Line 2: ${mistake}`);
    }
  }
});

Deno.test("reported metrics are bounded", () => {
  const lines = (count: number, line: (index: number) => Row) =>
    new TextEncoder().encode(
      Array.from({ length: count }, (_, index) => JSON.stringify(line(index))).join("\n"),
    );
  const names = readMetrics(lines(101, (index) => ({ name: `m${index}`, value: 1 })));
  assertEquals([names.metrics.length, names.mistakes.length], [100, 1]);
  const points = readMetrics(lines(10_001, (value) => ({ name: "m", value })));
  assertEquals([points.metrics[0].points.length, points.mistakes.length], [10_000, 1]);
  const wide = readMetrics(lines(9000, (value) => ({ name: "m", value, unit: "x".repeat(150) })));
  assert(wide.metrics[0].points.length < 9000);
  assertStringIncludes(wide.mistakes[0], "the rest is left out");
  assertEquals(wide.mistakes.length, 1, "the line that was cut is no mistake of the app's");
  const units = readMetrics(
    lines(2, (index) => ({ name: "m", value: 1, unit: index ? "s" : "ms" })),
  );
  assertEquals(units.mistakes, ["Line 2: m was in ms before, not in s."]);
});

function expected(word: string, count: number): string {
  return Array.from({ length: count }, (_, index) => `${word} ${index + 1}\n`).join("");
}

/** Names of the log objects of a run. */
async function streams(world: World, app: App, runId: string): Promise<string[]> {
  const { data, error } = await world.client.storage.from("app-logs").list(
    `app_${app.id}/runs/${runId}`,
    { limit: 1000 },
  );
  if (error) throw error;
  return data.map(({ name }) => name).sort();
}
