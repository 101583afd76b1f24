/** Executors as processes on a real stack: what a run goes through, and what happens when something fails. */
import { assert, assertEquals, assertMatch } from "../../testing/assert.ts";
import { isDead, processTree } from "../sandbox/processes.ts";
import { type App, eventually, type ExecutorProcess, type Row, World } from "./world.ts";
import { isRoot } from "./places.ts";
import { startProxy } from "./proxy.ts";

const FAST = ["--poll-interval", "0.05", "--sandbox", "bubblewrap"];

Deno.test("executors", async (t) => {
  const world = await World.start();
  try {
    const workDir = await Deno.makeTempDir({ prefix: "a b" });
    await Deno.chmod(workDir, isRoot() ? 0o711 : 0o700);
    const args = ["--concurrency", "3", "--lease", "3", "--work-dir", workDir];
    const executor = await world.executor([...FAST, ...args]);
    for (const [name, check] of Object.entries(CASES)) {
      const passed = await t.step(name, async () => {
        await check(world, executor);
        await eventually(
          "no process and no file of the run is left",
          () => appsOf(executor).length + runFolders(workDir).length === 0 ? true : null,
        );
      });
      if (!passed) console.error(executor.text);
    }
    assertEquals(await executor.kill("SIGTERM"), 0, executor.text);
    assertEquals([...Deno.readDirSync(workDir)], []);
    await Deno.remove(workDir);
    for (const [name, check] of Object.entries(CASES_OF_THEIR_OWN)) {
      await t.step(name, () => check(world));
    }
  } finally {
    await world.close();
  }
});

/** Run by one executor that all share. */
const CASES: Record<string, (world: World, executor: ExecutorProcess) => Promise<void>> = {
  "an app runs to success, with logs, result and files": async (world) => {
    const app = await world.app({ files: "works" });
    const id = await world.request(app, { config: { numbers: [1, 2, 39] } });
    const run = await world.until(id, "success", "failed");
    assertEquals([run.status, run.error_message], ["success", null]);
    assertEquals([run.attempt, run.attempt_history], [1, []]);
    assert(run.duration_ms > 0);
    const folder = `app_${app.id}/runs/${id}`;
    assertEquals([run.logs_path, run.output_path], [`${folder}/stdout.log`, `${folder}/outputs`]);
    assertEquals([run.metadata.sandbox, run.metadata.exit_code], ["bubblewrap", 0]);
    assertEquals(await world.object("app-logs", run.logs_path), `run ${id} of ${app.id}\n`);
    assertEquals(await world.object("app-logs", `${folder}/stderr.log`), "a word on stderr\n");
    const outputs = await world.outputs(id);
    assertEquals(outputs.map((each) => [each.output_type, each.output_name, each.company_id]), [
      ["file", "chart.svg", app.companyId],
      ["file", "data/täble.csv", app.companyId],
      ["result", "result.json", app.companyId],
      ["stderr", "stderr.log", app.companyId],
      ["stdout", "stdout.log", app.companyId],
    ]);
    assertEquals(outputs[2].output_data, { sum: 42 });
    assertEquals(outputs[0].output_data, { content_type: "image/svg+xml" });
    assertEquals(await world.object("app-storage", outputs[1].output_path), "a,b\n1,2\n");
  },
  "a tar.gz of an ECMAScript module runs": async (world) => {
    const run = await finished(
      world,
      await world.app({ files: "works-as-module", format: "tar.gz" }),
    );
    assertEquals([run.status, await world.object("app-logs", run.logs_path)], [
      "success",
      "hello data\n",
    ]);
  },
  "an app on Deno runs": async (world) => {
    const app = await world.app({
      files: "works-on-deno",
      backend: { type: "deno", entrypoint: "main.ts" },
    });
    const run = await finished(world, app, { config: { name: "you" } });
    assertEquals([run.status, run.error_message], ["success", null]);
    const result = (await world.outputs(run.id)).find((each) => each.output_type === "result");
    assertEquals(result?.output_data, { hello: "you" });
  },
  "an app for another version of its runtime is not run, and says which there is": async (
    world,
  ) => {
    const app = await world.app({ files: "works", backend: { version: ">=99" } });
    const run = await finished(world, app);
    assertEquals([run.status, run.attempt], ["failed", 1]);
    assertMatch(
      run.error_message,
      /^The app runs on Node >=99 \(.*\), and this executor has Node \d+\.\d+\.\d+\.$/,
    );
    assertEquals(await world.outputs(run.id), []);
  },
  "a failing app fails, with its code and its log": async (world) => {
    const run = await finished(world, await world.app({ files: "fails" }));
    assertEquals([run.status, run.error_message], ["failed", "The app exited with code 3."]);
    assertEquals(run.attempt, 1, "the app's fault is not tried again");
    const stderr = `app_${run.app_id}/runs/${run.id}/stderr.log`;
    assertEquals(await world.object("app-logs", stderr), "something went wrong\n");
  },
  "an app that is ended by a signal fails and says by which": async (world) => {
    const run = await finished(world, await world.app({ files: "fails" }), {
      config: { signal: "SIGSEGV" },
    });
    assertEquals([run.status, run.error_message], [
      "failed",
      "The app was ended by SIGSEGV (exit code 139).",
    ]);
  },
  "an app past its time is a timeout": async (world) => {
    const run = await finished(world, await world.app({ files: "spins", config: { timeout: 1 } }));
    assertEquals([run.status, run.error_message], ["timeout", "The app ran longer than its 1 s."]);
  },
  "an app past its memory fails and says so": async (world) => {
    const run = await finished(
      world,
      await world.app({ files: "hogs-buffers", config: { memory_limit: "96MB" } }),
    );
    assertEquals([run.status, run.error_message], [
      "failed",
      "The app ran out of memory: it may use 96 MB.",
    ]);
  },
  "a log past its bound is cut, and says so": async (world) => {
    const source = `process.stdout.write(Buffer.alloc(12 * 1024 * 1024, "x"));`;
    const run = await finished(
      world,
      await world.app({ files: [{ name: "index.js", content: source }] }),
    );
    assertEquals([run.status, run.error_message], ["success", null]);
    const log = await world.object("app-logs", run.logs_path);
    assert(log.length < 10.1 * 1024 * 1024 && log.endsWith("bytes kept]\n"), log.slice(-100));
    const row = (await world.outputs(run.id)).find((each) => each.output_type === "stdout");
    assertEquals(row?.output_data, { truncated: true, written_bytes: 12 * 1024 * 1024 });
  },
  "a result that is no JSON fails the run, and is kept": async (world) => {
    const source =
      `require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/result.json", "{");`;
    const run = await finished(
      world,
      await world.app({ files: [{ name: "index.js", content: source }] }),
    );
    assertEquals(run.status, "failed");
    assert(run.error_message.startsWith("result.json is not valid JSON"), run.error_message);
    const outputs = await world.outputs(run.id);
    assertEquals(outputs.map((each) => each.output_type), ["error", "file", "stderr", "stdout"]);
  },
  "a result that is no text fails the run all the same": async (world, executor) => {
    const source =
      `require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/result.json", "\\0");`;
    const run = await finished(
      world,
      await world.app({ files: [{ name: "index.js", content: source }] }),
    );
    assertEquals([run.status, run.attempt], ["failed", 1], executor.text);
    assert(run.error_message.startsWith("result.json is not valid JSON"), run.error_message);
    const [error] = await world.outputs(run.id);
    assertEquals([error.output_type, error.output_name], ["error", "result.json"]);
  },
  "a result of null is an object": async (world) => {
    const source =
      `require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/result.json", "null");`;
    const run = await finished(
      world,
      await world.app({ files: [{ name: "index.js", content: source }] }),
    );
    assertEquals([run.status, run.error_message, run.attempt], ["success", null, 1]);
    const row = (await world.outputs(run.id)).find((each) => each.output_type === "result")!;
    assertEquals(await world.object(row.output_bucket, row.output_path), "null");
  },
  "links among the outputs are not followed": async (world) => {
    const source = `const fs = require("fs"); const out = process.env.STOWAGE_OUTPUT_DIR;
      fs.symlinkSync("/etc/shadow", out + "/link"); fs.symlinkSync("/etc", out + "/folder");
      fs.symlinkSync("/etc/passwd", out + "/result.json");`;
    const run = await finished(
      world,
      await world.app({ files: [{ name: "index.js", content: source }] }),
    );
    assertEquals([run.status, run.output_path], ["success", null]);
    const outputs = await world.outputs(run.id);
    assertEquals(outputs.map((each) => [each.output_type, each.output_name]), [
      ["error", "folder"],
      ["error", "link"],
      ["error", "result.json"],
      ["stderr", "stderr.log"],
      ["stdout", "stdout.log"],
    ]);
  },
  "hostile names, depths and modes of outputs are stored or named": async (world, executor) => {
    const run = await finished(world, await world.app({ files: "puts-out-hostile-names" }));
    assertEquals([run.status, run.error_message, run.attempt], ["success", null, 1], executor.text);
    const outputs = await world.outputs(run.id);
    const prefix = `app_${run.app_id}/runs/${run.id}/outputs/`;
    const files = outputs.filter((each) => each.output_type === "file");
    for (const { output_path } of files) assert(output_path.startsWith(prefix), output_path);
    assertEquals(new Set(files.map((each) => each.output_path)).size, files.length);
    for (const name of ["a\nb", "..hidden", "closed.txt", "\ufffd"]) {
      assert(files.some((each) => each.output_name.startsWith(name)), `${name} is kept`);
    }
    assertEquals(
      await world.object(
        "app-storage",
        files.find((each) => each.output_name === "closed.txt")!.output_path,
      ),
      "closed",
    );
    // A result too deep for a row is an object.
    const result = outputs.find((each) => each.output_type === "result")!;
    assert(result.output_path.startsWith(prefix));
    assertEquals(executor.count("infrastructure failed"), 0, executor.text);
  },
  "a large result is an object": async (world) => {
    const source = `require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/result.json",
      JSON.stringify("x".repeat(1_500_000)));`;
    const app = await world.app({ files: [{ name: "index.js", content: source }] });
    const run = await finished(world, app);
    assertEquals([run.status, run.error_message], ["success", null]);
    const row = (await world.outputs(run.id)).find((each) => each.output_type === "result")!;
    assertEquals([row.output_name, row.file_size], ["result.json", 1_500_002]);
    const text = await world.object(row.output_bucket, row.output_path);
    assertEquals(text, JSON.stringify("x".repeat(1_500_000)));
  },
  "folders that the app closed, or that no path reaches, leave nothing": async (
    world,
  ) => {
    const closes = await world.app({ files: "closes-its-output" });
    const closed = await finished(world, closes, { config: { folders: true } });
    // Root reads what is closed; an ordinary user refuses what it cannot count.
    assertEquals(closed.status, isRoot() ? "success" : "failed", closed.error_message);
    const deep = await finished(world, await world.app({ files: "nests-deep" }));
    const message = "The app put out folders that are closed, or lie too deep in each other.";
    assertEquals([deep.status, deep.error_message], ["failed", message]);
  },
  "an archive that tries to leave its folder is refused": async (world) => {
    const run = await finished(
      world,
      await world.app({ files: [{ name: "../index.js", content: "" }] }),
    );
    assertEquals([run.status, run.attempt], ["failed", 1]);
    assert(run.error_message.includes("refused"), run.error_message);
  },
  "an app without its entrypoint fails and names it": async (world) => {
    const run = await finished(
      world,
      await world.app({ files: [{ name: "main.js", content: "" }] }),
    );
    assertEquals([run.status, run.error_message], [
      "failed",
      "The app has no file index.js, its entrypoint.",
    ]);
  },
  "a file that is not what was uploaded is not run, and not the app's fault": async (world) => {
    const row = { checksum: `sha256:${"0".repeat(64)}` };
    const run = await finished(world, await world.app({ files: "works", row }), {
      max_attempts: 2,
    });
    assertEquals([run.status, run.attempt, run.attempt_history.length], ["failed", 2, 1]);
    assert(run.error_message.includes("not the app's fault"), run.error_message);
  },
  "a running app is cancelled": async (world) => {
    const app = await world.app({ files: "ends-when-asked" });
    const id = await world.request(app);
    await world.until(id, "running");
    await world.client.rpc("cancel_app_run", { run_id: id });
    const run = await world.until(id, "cancelled", "success", "failed");
    assertEquals([run.status, run.error_message], ["cancelled", "Cancelled while it was running."]);
  },
  "a run that lost its lease is dropped": async (world, executor) => {
    const app = await world.app({ files: "waits" });
    const id = await world.request(app, { config: { ms: 30_000 } });
    const { executor_id } = await world.until(id, "running");
    // As if another executor had found the lease ended.
    const answer = await world.client.rpc("finish_app_run", {
      run_id: id,
      executor_id,
      status: "failed",
      error_message: "elsewhere",
    });
    assertEquals(answer.data, "finished");
    await eventually("no app is left", () => appsOf(executor).length === 0 ? true : null);
    const run = await world.row(id);
    assertEquals([run.status, run.error_message], ["failed", "elsewhere"]);
  },
};

/** With executors of their own. */
const CASES_OF_THEIR_OWN: Record<string, (world: World) => Promise<void>> = {
  "on SIGTERM a run finishes if it can": async (world) => {
    const app = await world.app({ files: "waits" });
    const executor = await world.executor(FAST);
    const id = await world.request(app, { config: { ms: 700 } });
    await world.until(id, "running");
    const waiting = await world.request(app, {
      config: { ms: 1 },
      run_after: new Date(Date.now() + 86_400_000).toISOString(),
    });
    assertEquals(await executor.kill("SIGTERM"), 0);
    assertEquals((await world.row(id)).status, "success");
    assertEquals((await world.row(waiting)).status, "pending");
    await world.client.rpc("cancel_app_run", { run_id: waiting });
  },
  "Ctrl-C in a terminal, which every process gets, ends no app": async (world) => {
    const app = await world.app({ files: "waits" });
    const executor = await world.executor(FAST);
    const id = await world.request(app, { config: { ms: 700 } });
    await world.until(id, "running");
    await eventually("the app runs", () => appsOf(executor).length >= 2 ? true : null);
    executor.signalGroup("SIGINT");
    assertEquals(await executor.exited, 0);
    const run = await world.row(id);
    assertEquals([run.status, run.attempt, run.attempt_history], ["success", 1, []]);
  },
  "on SIGTERM a run that takes too long is given back, uncounted": async (world) => {
    const app = await world.app({ files: "waits" });
    const executor = await world.executor([...FAST, "--shutdown-grace", "0.2"]);
    const id = await world.request(app, { config: { ms: 60_000 } });
    await world.until(id, "running");
    assertEquals(await executor.kill("SIGTERM"), 0);
    const run = await world.row(id);
    assertEquals([run.status, run.attempt, run.attempt_history[0].outcome], [
      "pending",
      0,
      "released",
    ]);
    await world.client.rpc("cancel_app_run", { run_id: id });
  },
  "a second signal gives back at once": async (world) => {
    const app = await world.app({ files: "ignores-sigterm" });
    const executor = await world.executor([...FAST, "--shutdown-grace", "600"]);
    const id = await world.request(app);
    await world.until(id, "running");
    executor.signal("SIGINT");
    await executor.logged("stopping");
    // One that follows at once is taken for the same.
    await eventually("a second signal is heard", () => {
      executor.signal("SIGINT");
      return executor.count("signal=SIGINT") === 2 ? true : null;
    });
    assertEquals(await executor.exited, 0);
    assertEquals((await world.row(id)).status, "pending");
    await world.client.rpc("cancel_app_run", { run_id: id });
  },
  "--drain executes what there is and ends, --once one run": async (world) => {
    const app = await world.app({ files: "waits" });
    const ids = await requestMany(world, app, 3, { ms: 1 });
    const once = await world.executor([...FAST, "--once"]);
    assertEquals(await once.exited, 0);
    assertEquals(await statuses(world, ids), { pending: 2, success: 1 });
    const drain = await world.executor([...FAST, "--drain"]);
    assertEquals(await drain.exited, 0);
    assertEquals(await statuses(world, ids), { success: 3 });
  },
  "the server is away for a while: the run finishes all the same": async (world) => {
    const proxy = startProxy(world.stack.apiUrl);
    try {
      const app = await world.app({ files: "waits" });
      const executor = await world.executor([...FAST, "--url", proxy.url, "--lease", "30"]);
      const id = await world.request(app, { config: { ms: 300 } });
      await world.until(id, "running");
      proxy.away = true;
      await executor.logged("claim failed");
      const other = await world.request(app, { config: { ms: 1 } });
      await eventually("the app ended", () => appsOf(executor).length === 0 ? true : null);
      proxy.away = false;
      const run = await world.until(id, "success", "failed", "pending");
      assertEquals([run.status, run.attempt, run.attempt_history], ["success", 1, []]);
      assertEquals((await world.until(other, "success", "failed")).status, "success");
      assertEquals(await executor.kill("SIGTERM"), 0);
    } finally {
      await proxy.close();
    }
  },
  "the server stays away: the app is ended when its lease is": async (world) => {
    const proxy = startProxy(world.stack.apiUrl);
    try {
      const app = await world.app({ files: "waits" });
      const executor = await world.executor([...FAST, "--url", proxy.url, "--lease", "1"]);
      const id = await world.request(app, { config: { ms: 60_000 } });
      await world.until(id, "running");
      proxy.away = true;
      await executor.logged("lost run");
      await eventually("no app is left", () => appsOf(executor).length === 0 ? true : null);
      await world.client.rpc("cancel_app_run", { run_id: id });
      proxy.away = false;
      assertEquals((await world.until(id, "cancelled")).attempt, 1);
      assertEquals(await executor.kill("SIGTERM"), 0);
    } finally {
      await proxy.close();
    }
  },
  "an executor that is killed takes its apps with it, and the next one cleans up": async (
    world,
  ) => {
    const workDir = await Deno.makeTempDir({ prefix: "a b" });
    await Deno.chmod(workDir, 0o711);
    try {
      const app = await world.app({ files: "ignores-sigterm" });
      const args = [...FAST, "--work-dir", workDir, "--lease", "1"];
      const executor = await world.executor(args);
      const id = await world.request(app, { max_attempts: 1 });
      await world.until(id, "running");
      const apps = await eventually("the app and its child run", () => {
        const pids = appsOf(executor);
        return pids.length >= 4 ? pids : null;
      });
      await executor.kill("SIGKILL");
      await eventually("no app is left", () => apps.every(isDead) ? true : null);
      assertEquals([...Deno.readDirSync(workDir)].length, 1, "its folder is left");
      const next = await world.executor(args);
      const run = await world.until(id, "failed");
      assert(run.error_message.includes("was lost during attempt 1"), run.error_message);
      assertEquals(
        [...Deno.readDirSync(workDir)].length,
        1,
        "only the folder of the next one is left",
      );
      assertEquals(await next.kill("SIGTERM"), 0);
      assertEquals([...Deno.readDirSync(workDir)].length, 0);
    } finally {
      await Deno.remove(workDir, { recursive: true });
    }
  },
  "a key that the server refuses is named": async (world) => {
    const executor = world.start([...FAST], { SUPABASE_SECRET_KEY: "sb_secret_not_this_one" });
    assertEquals(await executor.exited, 2);
    assert(executor.text.includes("refuses the key"), executor.text);
  },
  "two executors and many runs: each run exactly once": async (world) => {
    const companies = await Promise.all([world.company(), world.company()]);
    const apps = await Promise.all(
      companies.map((companyId) => world.app({ files: "waits", companyId })),
    );
    const ids = (await Promise.all(apps.map((app) => requestMany(world, app, 30, { ms: 1 }))))
      .flat();
    const executors = await Promise.all(
      [1, 2].map(() => world.executor([...FAST, "--concurrency", "3", "--drain"])),
    );
    assertEquals(await Promise.all(executors.map((each) => each.exited)), [0, 0]);
    const rows = await runs(world, ids);
    assertEquals(
      rows.filter((row) =>
        row.status !== "success" || row.attempt !== 1 || row.attempt_history.length > 0
      ),
      [],
    );
    for (const id of ids) {
      const starts = executors.map((each) =>
        each.lines.filter((line) => line.includes("run started") && line.includes(id)).length
      );
      assertEquals(starts[0] + starts[1], 1, id);
    }
    const share = executors.map((each) => each.count("run started"));
    assert(Math.min(...share) > 5, `both work: ${share}`);
    const { count } = await world.client.from("app_outputs").select("*", {
      count: "exact",
      head: true,
    }).in("run_id", ids).eq("output_type", "result");
    assertEquals(count, ids.length);
  },
  "one of two executors is killed with -9 in the middle: all runs finish": async (world) => {
    const app = await world.app({ files: "waits" });
    const ids = await requestMany(world, app, 40, { ms: 20 });
    const args = [...FAST, "--concurrency", "3", "--lease", "2"];
    const [victim, survivor] = await Promise.all([1, 2].map(() => world.executor(args)));
    await eventually(
      "the victim has finished some and holds some",
      () =>
        victim.count("run ended") >= 3 && victim.count("run started") > victim.count("run ended")
          ? true
          : null,
    );
    await victim.kill("SIGKILL");
    await eventually(
      "all runs end",
      async () => (await statuses(world, ids)).success === ids.length ? true : null,
      90_000,
    );
    const again = (await runs(world, ids)).filter((row) => row.attempt > 1);
    assert(
      again.length >= 1 && again.length <= 3,
      `${again.length} runs were lost with the victim`,
    );
    for (const row of again) assertEquals(row.attempt_history[0].outcome, "lost");
    assertEquals(await survivor.kill("SIGTERM"), 0);
  },
};

async function finished(world: World, app: App, values: Row = {}): Promise<Row> {
  return await world.until(
    await world.request(app, values),
    "success",
    "failed",
    "timeout",
    "cancelled",
  );
}

async function requestMany(world: World, app: App, count: number, config: Row): Promise<string[]> {
  return await Promise.all(Array.from({ length: count }, () => world.request(app, { config })));
}

async function runs(world: World, ids: string[]): Promise<Row[]> {
  const { data, error } = await world.client.from("app_runs").select().in("id", ids);
  if (error) throw error;
  assertEquals(data.length, ids.length);
  return data;
}

async function statuses(world: World, ids: string[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { status } of await runs(world, ids)) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** Folders of runs below the folder of an executor. */
function runFolders(workDir: string): string[] {
  return [...Deno.readDirSync(workDir)].flatMap(({ name }) =>
    [...Deno.readDirSync(`${workDir}/${name}`)].map((entry) => entry.name)
  ).filter((name) => name.startsWith("run-"));
}

/** Processes that the executor started and that are not yet dead. */
function appsOf(executor: ExecutorProcess): number[] {
  return processTree(executor.pid).slice(1).filter((pid) => !isDead(pid));
}
