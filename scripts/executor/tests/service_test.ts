/** What an executor does beside its runs: ticks, says how it is, and says what it is. */
import { assert, assertEquals, assertStringIncludes } from "../../testing/assert.ts";
import { eventually, type ExecutorProcess, World } from "./world.ts";

const FAST = ["--poll-interval", "0.05", "--sandbox", "trusted"];
/** More than one tick takes. */
const SCHEDULES = 120;

Deno.test("an executor as a service", async (t) => {
  const world = await World.start();
  try {
    for (const [name, check] of Object.entries(CASES)) await t.step(name, () => check(world));
  } finally {
    await world.close();
  }
});

const CASES: Record<string, (world: World) => Promise<void>> = {
  "of two with one id the older one finishes what it holds, and ends": async (world) => {
    const args = [...FAST, "--id", "twin", "--lease", "10"];
    const older = await world.executor(args);
    const noticed = Promise.withResolvers<void>();
    const host = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => noticed.promise.then(() => new Response("go on")),
    );
    try {
      const place = `localhost:${host.addr.port}`;
      const app = await world.app({
        files: [{ name: "index.js", content: `fetch("http://${place}").then((it) => it.text());` }],
        permissions: [{ type: "network", scope: place, required: true }],
      });
      const id = await world.request(app);
      await world.until(id, "running");
      const newer = await world.executor(args);
      await older.logged("another executor has this id");
      noticed.resolve();
      assertEquals(await older.exited, 2, older.text);
      assertStringIncludes(older.text, "another executor was started with the id twin");
      const run = await world.until(id, "success", "failed");
      assertEquals(
        [run.status, run.attempt, run.attempt_history],
        ["success", 1, []],
        run.error_message,
      );
      assertEquals(await newer.kill("SIGTERM"), 0, newer.text);
    } finally {
      noticed.resolve();
      await host.shutdown();
    }
  },

  "what is older than it is kept goes, rows and objects, where an executor is told to": async (
    world,
  ) => {
    const app = await world.app({ files: "works-as-module" });
    const runId = await world.request(app);
    const path = `app_${app.id}/runs/${runId}/stdout.log`;
    const logs = world.client.storage.from("app-logs");
    const stored = await logs.upload(path, "old", { contentType: "text/plain" });
    if (stored.error) throw stored.error;
    const added = await world.client.from("app_outputs").insert({
      run_id: runId,
      output_type: "stdout",
      output_name: "stdout.log",
      output_bucket: "app-logs",
      output_path: path,
      file_size: 3,
      created_at: new Date(Date.now() - 31 * 24 * 3600 * 1000).toISOString(),
    });
    if (added.error) throw added.error;
    const cancelled = await world.client.rpc("cancel_app_run", { run_id: runId });
    if (cancelled.error) throw cancelled.error;
    const executor = await world.executor([...FAST, "--retention-interval", "0.2"]);
    await eventually(
      "its object is gone",
      async () => (await logs.exists(path)).data ? null : true,
    );
    assertEquals(await world.outputs(runId), []);
    await executor.kill("SIGTERM");
  },

  "schedules that are due become runs, all of them in one tick": async (world) => {
    const app = await world.app({ files: "works-as-module" });
    const { error } = await world.client.from("app_cron_schedules").insert(
      Array.from({ length: SCHEDULES }, () => ({
        app_id: app.id,
        company_id: app.companyId,
        cron_expression: "0 0 1 1 *",
      })),
    );
    if (error) throw error;
    const due = await world.client.from("app_cron_schedules")
      .update({ next_run_at: new Date(Date.now() - 1000).toISOString() })
      .eq("app_id", app.id);
    if (due.error) throw due.error;
    // Ticks once at most within the time of this test.
    const executor = await world.executor([...FAST, "--tick-interval", "2", "--concurrency", "1"]);
    await eventually(
      "the executor ticks",
      () => executor.count("due times of schedules handled") > 0 ? true : null,
    );
    await eventually("every schedule has its run", async () => {
      const { count } = await world.client.from("app_runs")
        .select("*", { count: "exact", head: true })
        .eq("app_id", app.id).eq("run_type", "cron");
      return count === SCHEDULES ? true : null;
    });
    assert(
      executor.count("due times of schedules handled") <= 2,
      "it goes on without waiting while there is more",
    );
    await world.client.from("applications").update({ status: "suspended" }).eq("id", app.id);
    await executor.kill("SIGTERM");
  },
  "health, readiness and metrics": async (world) => {
    const app = await world.app({ files: "waits" });
    const executor = await world.executor([
      ...FAST,
      ...["--metrics-port", "0", "--concurrency", "3", "--tick-interval", "0", "--lease", "3"],
      ...["--id", "meter", "--labels", "zone=a, tier=large"],
    ]);
    const url = await metricsUrl(executor);
    await eventually(
      "it is ready",
      async () => await status(`${url}/readyz`) === 200 ? true : null,
    );
    assertEquals(await status(`${url}/healthz`), 200);
    assertEquals(await status(`${url}/other`), 404);
    const done = await world.request(app, { config: { ms: 1 } });
    const failing = await world.request(await world.app({ files: "fails" }));
    await world.until(done, "success");
    await world.until(failing, "failed");
    const going = await world.request(app, { config: { ms: 60_000 } });
    await world.until(going, "running");
    const text = await eventually("both are counted", async () => {
      const answer = await (await fetch(`${url}/metrics`)).text();
      return answer.includes('status="failed"') && answer.includes('status="success"')
        ? answer
        : null;
    });
    for (
      const line of [
        'stowage_executor_info{id="meter",version="0.1.0",sandbox="trusted"} 1.0',
        'stowage_executor_ended_total{kind="run",status="success"} 1.0',
        'stowage_executor_ended_total{kind="run",status="failed"} 1.0',
        'stowage_executor_claimed_total{kind="run"} 3.0',
        'stowage_executor_slots{kind="run"} 3.0',
        'stowage_executor_slots_used{kind="run"} 1.0',
        'stowage_executor_duration_seconds_count{kind="run"} 2.0',
        'stowage_executor_duration_seconds_bucket{kind="run",le="+Inf"} 2.0',
      ]
    ) assertStringIncludes(text, `${line}\n`);
    assert(text.endsWith("# EOF\n"));
    const { data } = await world.client.from("executors").select().eq("id", "meter").single();
    assertEquals([data.capacity, data.labels.zone, data.labels.tier, data.labels.sandbox], [
      3,
      "a",
      "large",
      "trusted",
    ]);
    executor.signal("SIGTERM");
    await executor.logged("stopping");
    assertEquals(await status(`${url}/readyz`), 503, "no traffic, no claims");
    await world.client.rpc("cancel_app_run", { run_id: going });
    executor.signal("SIGTERM");
    assertEquals(await executor.exited, 0);
  },
  "a metrics port that is taken is named": async (world) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    try {
      const executor = world.start([...FAST, "--metrics-port", String(listener.addr.port)]);
      assertEquals(await executor.exited, 2);
      assertStringIncludes(executor.text, `metrics cannot be served on 127.0.0.1:`);
    } finally {
      listener.close();
    }
  },
};

async function metricsUrl(executor: ExecutorProcess): Promise<string> {
  await executor.logged("metrics served");
  const line = executor.lines.find((each) => each.includes("metrics served"))!;
  return `http://127.0.0.1:${/port=(\d+)/.exec(line)![1]}`;
}

async function status(url: string): Promise<number> {
  const response = await fetch(url);
  await response.body?.cancel();
  return response.status;
}
