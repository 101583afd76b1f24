/** Hostile and ordinary apps in bubblewrap, as root and as an ordinary user. */
import dgram from "node:dgram";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "../../testing/assert.ts";
import { BubblewrapSandbox } from "../sandbox/bubblewrap.ts";
import { limitsOf } from "../sandbox/limits.ts";
import { isDead, processTree } from "../sandbox/processes.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import { KillNow } from "../sandbox/types.ts";
import { isRoot, ordinaryRunner, ownRunner, type Runner } from "./as_user.ts";
import { runApp, type RunResult } from "./run_app.ts";

const SECRET = "a-secret-of-the-executor";
const MIB = 1024 * 1024;

type Check = (runner: Runner) => Promise<RunResult>;

/** Each app ends with what it deserves; that nothing is left is checked for all. */
const CASES: Record<string, Check> = {
  "an app works: arguments, output and both logs": async ({ run }) => {
    const result = await run({ app: "works", config: { numbers: [1, 2, 3] } });
    assertEquals(result.outcome, { kind: "exited", code: 0 });
    assertEquals(result.stdout, "run run of app\n");
    assertEquals(result.stderr, "a word on stderr\n");
    assertEquals(result.outputs, ["chart.svg", "data/täble.csv", "result.json"]);
    return result;
  },
  "an app works as an ECMAScript module": async ({ run }) => {
    const result = await run({ app: "works-as-module" });
    assertEquals(
      [result.outcome, result.stdout],
      [{ kind: "exited", code: 0 }, "hello data\n"],
      result.stderr,
    );
    return result;
  },
  "an app works on Deno": async ({ run }) => {
    const result = await run({ app: "works-on-deno", runtime: "deno", entrypoint: "main.ts" });
    assertEquals(
      [result.outcome, result.stdout],
      [{ kind: "exited", code: 0 }, "deno string\n"],
      result.stderr,
    );
    return result;
  },
  "an app fails with its exit code": async ({ run }) => {
    const result = await run({ app: "fails" });
    assertEquals(result.outcome, { kind: "exited", code: 3 });
    assertEquals(result.stderr, "something went wrong\n");
    return result;
  },
  "an app is ended by a signal of its own": async ({ run }) => {
    const result = await run({ app: "fails", config: { signal: "SIGSEGV" } });
    assertEquals(result.outcome, { kind: "exited", code: 139, signal: "SIGSEGV" });
    return result;
  },
  "the heap is limited": async ({ run }) => {
    const result = await run({ app: "hogs-heap", limits: { memoryMegabytes: 128 } });
    assertEquals(result.outcome, { kind: "out_of_memory", megabytes: 128 });
    return result;
  },
  "memory outside the heap is limited": async ({ run }) => {
    const result = await run({ app: "hogs-buffers", limits: { memoryMegabytes: 128 } });
    assertEquals(result.outcome, { kind: "out_of_memory", megabytes: 128 });
    return result;
  },
  "memory of child processes is limited together": async ({ run }) => {
    const result = await run({ app: "hogs-memory-in-children", limits: { memoryMegabytes: 256 } });
    assertEquals(result.outcome, { kind: "out_of_memory", megabytes: 256 });
    return result;
  },
  "the temporary directory is limited": async ({ run }) => {
    const result = await run({
      app: "fills-temporary-directory",
      limits: { temporaryBytes: 16 * MIB },
    });
    const { written, code } = JSON.parse(result.stdout);
    assertEquals([result.outcome, code], [{ kind: "exited", code: 0 }, "ENOSPC"]);
    assert(written >= 14 && written <= 16, `${written}`);
    return result;
  },
  "a fork bomb stays inside its limit and ends in time": async ({ run }) => {
    const result = await run({
      app: "forks-forever",
      limits: { timeoutSeconds: 2, memoryMegabytes: 2048, processes: 64 },
    });
    assertEquals(result.outcome, { kind: "timeout", seconds: 2 });
    assert(result.seconds < 8, `${result.seconds}`);
    return result;
  },
  "an app that spins ends in time": async ({ run }) => {
    const result = await run({ app: "spins", limits: { timeoutSeconds: 1 } });
    assertEquals(result.outcome, { kind: "timeout", seconds: 1 });
    assert(result.seconds < 6, `${result.seconds}`);
    return result;
  },
  "an app that ignores SIGTERM is killed with the child that it hid": async ({ run }) => {
    const result = await run({ app: "ignores-sigterm", limits: { timeoutSeconds: 1 } });
    assertEquals(result.outcome, { kind: "timeout", seconds: 1 });
    assertEquals(result.stdout, "ready\nSIGTERM ignored\n");
    return result;
  },
  "an app that obeys SIGTERM can clean up": async ({ run }) => {
    const result = await run({
      app: "ends-when-asked",
      limits: { graceSeconds: 10 },
      abortAfter: "ready",
    });
    assertEquals(result.outcome, { kind: "aborted" });
    assertEquals(result.stdout, "ready\ncleaned up\n");
    return result;
  },
  "a child does not outlive its app": async ({ run }) => {
    const result = await run({ app: "leaves-a-child" });
    assertEquals(result.outcome, { kind: "exited", code: 0 });
    return result;
  },
  "a flood of logs is stopped": async ({ run }) => {
    const result = await run({ app: "floods-the-log", limits: { logFloodBytes: 32 * MIB } });
    assertEquals(result.outcome, { kind: "limit", limit: "log_size", allowed: 32 * MIB });
    return result;
  },
  "a flood of output is stopped": async ({ run }) => {
    const result = await run({ app: "floods-the-output", limits: { outputBytes: 16 * MIB } });
    assertEquals(result.outcome, { kind: "limit", limit: "output_size", allowed: 16 * MIB });
    return result;
  },
  "a flood of small output files is stopped": async ({ run }) => {
    const result = await run({
      app: "floods-the-output",
      config: { many: true },
      limits: { outputFiles: 50 },
    });
    assertEquals(result.outcome, { kind: "limit", limit: "output_files", allowed: 50 });
    return result;
  },
  "a flood of deleted files is stopped": async ({ run }) => {
    const result = await run({ app: "floods-deleted-files", limits: { diskWriteBytes: 64 * MIB } });
    assertEquals(result.outcome, { kind: "limit", limit: "disk_writes", allowed: 64 * MIB });
    return result;
  },
  "files of the host and of other apps cannot be read, through links neither": async ({ run }) => {
    const result = await run({ app: "reads-the-host" });
    assertEquals(result.outcome, { kind: "exited", code: 0 }, result.stderr);
    assertEquals(JSON.parse(result.stdout), []);
    return result;
  },
  "no secret, process, descriptor or privilege of the executor is there": async ({ run }) => {
    const result = await run({ app: "looks-for-secrets" });
    assertEquals(result.outcome, { kind: "exited", code: 0 }, result.stderr);
    assert(!result.stdout.includes(SECRET));
    const found = JSON.parse(result.stdout);
    assertEquals(Object.keys(found.env).sort(), [
      ...[
        "HOME",
        "LANG",
        "PATH",
        "PWD",
        "STOWAGE_APP_ID",
        "STOWAGE_CONFIG",
        "STOWAGE_OUTPUT_DIR",
        "STOWAGE_RUN_ID",
      ],
      "TMPDIR",
    ]);
    assertEquals(Object.keys(found.processes), ["1", "2"]);
    assertEquals(found.hostname, "stowage");
    assertEquals(found.user, "app");
    assertEquals(
      found.root.sort(),
      [
        "app",
        "dev",
        "etc",
        ...libraryFolders(found.root),
        "output",
        "proc",
        "stowage",
        "tmp",
        "usr",
      ].sort(),
    );
    // Pipes and the event loop's own; no file or folder.
    const files = found.descriptors.filter((target: string) => target.startsWith("/"));
    assertEquals([...new Set(files)].filter((path) => path !== "/dev/null"), []);
    const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(found.status)![1];
    assertEquals(
      [field("CapEff"), field("CapBnd"), field("CapPrm")],
      Array(3).fill("0".repeat(16)),
    );
    assertEquals([field("NoNewPrivs"), field("Seccomp")], ["1", "2"]);
    assert(/Max core file size\s+1\s+1/.test(found.limits), found.limits);
    return result;
  },
  "the network of the host and the world cannot be reached": async ({ run }) => {
    const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
    const datagrams = dgram.createSocket("udp4").bind(0, "0.0.0.0");
    await once(datagrams, "listening");
    const folder = await Deno.makeTempDir();
    const socket = `${folder}/socket`;
    const unix = Deno.listen({ transport: "unix", path: socket });
    await Deno.chmod(folder, 0o755);
    await Deno.chmod(socket, 0o777);
    let reached = 0;
    for (const each of [listener, unix]) {
      each.accept().then((connection) => {
        reached++;
        connection.close();
      }, () => {});
    }
    datagrams.on("message", () => reached++);
    const hosts = [
      "127.0.0.1",
      ...Deno.networkInterfaces().filter((each) =>
        each.family === "IPv4" && each.address !== "127.0.0.1"
      ).map((each) => each.address),
      "192.0.2.1",
    ];
    try {
      const result = await run({
        app: "reaches-for-the-network",
        config: {
          hosts,
          port: listener.addr.port,
          udpPort: datagrams.address().port,
          socket,
          abstract: "/tmp/.X11-unix/X0",
        },
      });
      assertEquals(result.outcome, { kind: "exited", code: 0 }, result.stderr);
      const results = JSON.parse(result.stdout);
      for (const [target, answer] of Object.entries(results)) {
        // Its own loopback takes datagrams that nobody reads.
        if (target === "udp 127.0.0.1") continue;
        assert(
          !["CONNECTED", "SENT", "RESOLVED"].includes(answer as string),
          `${target}: ${answer}`,
        );
      }
      assertEquals(reached, 0);
      return result;
    } finally {
      for (const each of [listener, unix, datagrams]) each.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
  "nothing can be written but the output and the temporary directory": async ({ run }) => {
    const result = await run({ app: "writes-outside" });
    assertEquals(result.outcome, { kind: "exited", code: 0 }, result.stderr);
    const results = JSON.parse(result.stdout);
    const writable = Object.keys(results).filter((path) => results[path] === "written").sort();
    assertEquals(writable, ["/output", "/tmp"]);
    return result;
  },
  "system calls that escapes are made of are refused": async ({ run }) => {
    const result = await run({ app: "calls-the-kernel", runtime: "deno" });
    const EPERM = 1, EINVAL = 22, EAFNOSUPPORT = 97;
    const { setuid, ...results } = JSON.parse(result.stdout);
    assertEquals(results, {
      unshare: EPERM,
      ptrace: EPERM,
      mount: EPERM,
      vsock: EAFNOSUPPORT,
      alg: EAFNOSUPPORT,
      inet: "done",
    });
    assert(setuid === EPERM || setuid === EINVAL, `${setuid}`);
    return result;
  },
};

function libraryFolders(root: string[]): string[] {
  return root.filter((name) => /^lib\w*$/.test(name));
}

Deno.test("bubblewrap", async (t) => {
  Deno.env.set("STOWAGE_TEST_SECRET", SECRET);
  const runners: Runner[] = [ownRunner, ...(isRoot() ? [await ordinaryRunner()] : [])];
  try {
    for (const runner of runners) {
      for (const [name, check] of Object.entries(CASES)) {
        await t.step(`as ${runner.name}: ${name}`, async () => {
          const result = await check(runner);
          assertEquals(result.left, [], "no process is left");
        });
      }
    }
  } finally {
    for (const runner of runners) await runner.close();
  }
});

Deno.test("what the executor inherited is not open in the app", async () => {
  const probe = fileURLToPath(new URL("run_app.ts", import.meta.url));
  const { stdout, stderr } = await new Deno.Command("/bin/sh", {
    // A folder of the host, as a descriptor that nothing else uses.
    args: [
      "-c",
      'exec "$@" 6</etc',
      "sh",
      Deno.execPath(),
      "run",
      "-A",
      probe,
      '{"app":"looks-for-secrets"}',
    ],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder();
  assert(stdout.length > 0, text.decode(stderr));
  const result: RunResult = JSON.parse(text.decode(stdout));
  const { descriptors, status } = JSON.parse(result.stdout);
  assertEquals(descriptors.filter((path: string) => /^\/(?!dev\/null$)/.test(path)), []);
  if (isRoot()) assert(/^Groups:\s*$/m.test(status), "no group of root's is kept");
});

Deno.test("limits hold without control groups for root, too", async () => {
  const result = await runApp({
    app: "hogs-memory-in-children",
    limits: { memoryMegabytes: 256 },
    controlGroups: false,
  });
  assertEquals(result.outcome, { kind: "out_of_memory", megabytes: 256 });
  assertEquals(result.left, []);
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
  return [...Deno.readDirSync("/proc")].filter(({ name }) => /^\d+$/.test(name)).flatMap(
    ({ name }) => {
      try {
        return [...Deno.readDirSync(`/proc/${name}/fd`)]
          .map((fd) => Deno.readLinkSync(`/proc/${name}/fd/${fd.name}`))
          .filter((path) => path.startsWith(folder));
      } catch {
        return [];
      }
    },
  );
}
