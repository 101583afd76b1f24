/** Ordinary and hostile apps in bubblewrap, as root and as an ordinary user. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "../../testing/assert.ts";
import { BubblewrapSandbox } from "../sandbox/bubblewrap.ts";
import { limitsOf } from "../sandbox/limits.ts";
import { allProcesses, isDead, processTree } from "../sandbox/processes.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import { KillNow } from "../sandbox/types.ts";
import { CASES, SECRET, walk } from "./cases.ts";
import { openHost } from "./host.ts";
import { isRoot, ownPlace, placeOfOrdinaryUser } from "./places.ts";
import { openLab, type RunOptions, type RunResult } from "./run_app.ts";

Deno.test("bubblewrap", async (t) => {
  Deno.env.set("STOWAGE_TEST_SECRET", SECRET);
  const host = await openHost();
  const open = [ownPlace, ...(isRoot() ? [placeOfOrdinaryUser] : [])];
  try {
    for (const openPlace of open) {
      const place = await openPlace({ sandbox: "bubblewrap" });
      try {
        await walk(t, place, host);
      } finally {
        await place.close();
      }
    }
  } finally {
    await host.close();
  }
});

Deno.test("what the executor inherited is not open in the app", async () => {
  const probe = fileURLToPath(new URL("run_app.ts", import.meta.url));
  const child = new Deno.Command("/bin/sh", {
    // A folder of the host, as a descriptor that nothing else uses.
    args: ["-c", 'exec "$@" 6</etc', "sh", Deno.execPath(), "run", "-A", probe],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines = [{ sandbox: "bubblewrap" }, { app: "looks-for-secrets" }];
  const input = ReadableStream.from(lines.map((line) => `${JSON.stringify(line)}\n`))
    .pipeThrough(new TextEncoderStream());
  const [{ stdout, stderr }] = await Promise.all([child.output(), input.pipeTo(child.stdin)]);
  const text = new TextDecoder();
  assert(stdout.length > 0, text.decode(stderr));
  const result: RunResult = JSON.parse(text.decode(stdout));
  const { descriptors, status } = JSON.parse(result.stdout);
  assertEquals(descriptors.filter((path: string) => /^\/(?!dev\/null$)/.test(path)), []);
  if (isRoot()) assert(/^Groups:\s*$/m.test(status), "no group of root's is kept");
});

Deno.test("an executor that is no root ends an app that hides what it writes", {
  ignore: Deno.build.arch !== "x86_64",
}, async () => {
  const place = await (isRoot() ? placeOfOrdinaryUser : ownPlace)({ sandbox: "bubblewrap" });
  try {
    const { outcome, stderr, left } = await place.run({ app: "hides-a-process" });
    assertEquals(outcome, { kind: "limit", limit: "hidden_processes", allowed: 0 }, stderr);
    assertEquals(left, []);
  } finally {
    await place.close();
  }
});

Deno.test("limits hold without control groups for root, too", async () => {
  const lab = await openLab({ sandbox: "bubblewrap", controlGroups: false });
  try {
    for (
      const name of [
        "memory of child processes is limited together",
        "memory that is no process's is limited, or not to be had",
      ]
    ) {
      const { outcome, left } = await lab.run(CASES[name].options as RunOptions);
      assert(outcome.kind === "out_of_memory" || outcome.kind === "exited", name);
      assertEquals(left, []);
    }
  } finally {
    await lab.close();
  }
});

Deno.test("an app that is killed while it starts leaves nothing, at whatever moment", async () => {
  const workDir = await Deno.makeTempDir({ prefix: "stowage test " });
  await Deno.chmod(workDir, isRoot() ? 0o711 : 0o700);
  const runtimes = locateRuntimes();
  assert(typeof runtimes !== "string");
  const sandbox = new BubblewrapSandbox({ workDir, runtimes });
  try {
    const { available, problem } = await sandbox.check();
    assert(available, problem);
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, (_, i) => killedAfter(sandbox, join(workDir, `${i}`), i)),
    );
    assert(outcomes.filter((outcome) => outcome === "aborted").length > 30, outcomes.join());
    assertEquals(processTree(Deno.pid).filter((pid) => pid !== Deno.pid && !isDead(pid)), []);
    assertEquals(processesWith(workDir), []);
  } finally {
    await Deno.remove(workDir, { recursive: true });
  }
});

async function killedAfter(sandbox: BubblewrapSandbox, dir: string, ms: number): Promise<string> {
  const paths = {
    app: join(dir, "app"),
    output: join(dir, "output"),
    scratch: join(dir, "scratch"),
  };
  for (const path of Object.values(paths)) await Deno.mkdir(path, { recursive: true });
  await Deno.writeTextFile(join(paths.app, "index.js"), "setInterval(() => {}, 1000)");
  await Deno.writeTextFile(join(dir, "config.json"), "{}");
  const abort = new AbortController();
  setTimeout(() => abort.abort(new KillNow("test")), 2 * ms);
  const outcome = await sandbox.run({
    id: `killed-${ms}`,
    runtime: "node",
    appDir: paths.app,
    entrypoint: "index.js",
    configFile: join(dir, "config.json"),
    outputDir: paths.output,
    scratchDir: paths.scratch,
    env: {},
    limits: limitsOf({}),
    stdout: () => {},
    stderr: () => {},
  }, abort.signal);
  return outcome.kind;
}

/** Processes that have a file below the folder open: bubblewrap keeps its status file. */
function processesWith(folder: string): string[] {
  return allProcesses().flatMap((pid) => {
    try {
      return [...Deno.readDirSync(`/proc/${pid}/fd`)]
        .map(({ name }) => Deno.readLinkSync(`/proc/${pid}/fd/${name}`))
        .filter((path) => path.startsWith(folder));
    } catch {
      return [];
    }
  });
}
