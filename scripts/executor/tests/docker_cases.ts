/** Ordinary and hostile apps, and how each ends in a container. */
import { assert, assertEquals } from "../../testing/assert.ts";
import type { Limits } from "../sandbox/limits.ts";
import type { Outcome } from "../sandbox/types.ts";
import type { RunOptions, RunResult } from "./run_app.ts";

export const SECRET = "a-secret-of-the-executor";
const MIB = 1024 * 1024;

export interface Case {
  options: RunOptions;
  outcome: Outcome;
  check?: (result: RunResult) => void;
}

const ENDED_WELL: Outcome = { kind: "exited", code: 0 };

function outOfMemory(app: string, megabytes: number): Case {
  return {
    options: { app, limits: { memoryMegabytes: megabytes } },
    outcome: { kind: "out_of_memory", megabytes },
  };
}

function timedOut(app: string, seconds: number, limits: Partial<Limits> = {}): Case {
  return {
    options: { app, limits: { timeoutSeconds: seconds, ...limits } },
    outcome: { kind: "timeout", seconds },
    check: (result) => assert(result.seconds < seconds + 6, `${result.seconds}`),
  };
}

function field(status: string, name: string): string {
  return new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)![1];
}

export const CASES: Record<string, Case> = {
  "an app works: arguments, output and both logs": {
    options: { app: "works", config: { numbers: [1, 2, 3] } },
    outcome: ENDED_WELL,
    check: (result) => {
      assertEquals(result.stdout, "run run of app\n");
      assertEquals(result.stderr, "a word on stderr\n");
      assertEquals(result.outputs, ["chart.svg", "data/täble.csv", "result.json"]);
    },
  },
  "an app works as an ECMAScript module": {
    // More processors than any host has.
    options: { app: "works-as-module", limits: { cpus: 4096 } },
    outcome: ENDED_WELL,
    check: (result) => assertEquals(result.stdout, "hello data\n"),
  },
  "an app works on Deno": {
    options: { app: "works-on-deno", runtime: "deno", entrypoint: "main.ts" },
    outcome: ENDED_WELL,
    check: (result) => assertEquals(result.stdout, "deno string\n"),
  },
  "an app fails with its exit code": {
    options: { app: "fails" },
    outcome: { kind: "exited", code: 3 },
    check: (result) => assertEquals(result.stderr, "something went wrong\n"),
  },
  "an app is ended by a signal of its own": {
    options: { app: "fails", config: { signal: "SIGSEGV" } },
    outcome: { kind: "exited", code: 139, signal: "SIGSEGV" },
  },
  "an app that kills itself is not out of memory": {
    options: { app: "fails", config: { signal: "SIGKILL" } },
    outcome: { kind: "exited", code: 137, signal: "SIGKILL" },
  },
  "the heap is limited": outOfMemory("hogs-heap", 128),
  "memory outside the heap is limited": outOfMemory("hogs-buffers", 128),
  "memory of child processes is limited together": outOfMemory("hogs-memory-in-children", 256),
  "the temporary directory is limited": {
    options: { app: "fills-temporary-directory", limits: { temporaryBytes: 16 * MIB } },
    outcome: ENDED_WELL,
    check: (result) => {
      const { written, code } = JSON.parse(result.stdout);
      assertEquals(code, "ENOSPC");
      assert(written >= 14 && written <= 16, `${written}`);
    },
  },
  "the number of temporary files is limited": {
    options: { app: "fills-inodes", limits: { temporaryBytes: 16 * MIB } },
    outcome: ENDED_WELL,
    check: (result) => {
      const { made, code } = JSON.parse(result.stdout);
      assertEquals(code, "ENOSPC");
      assert(made <= 2048, `${made}`);
    },
  },
  "a fork bomb stays inside its limit and ends in time": timedOut("forks-forever", 2, {
    memoryMegabytes: 2048,
    processes: 64,
  }),
  "an app that spins ends in time": timedOut("spins", 1),
  "an app that ignores SIGTERM is killed with the child that it hid": {
    ...timedOut("ignores-sigterm", 1),
    check: (result) => assertEquals(result.stdout, "ready\nSIGTERM ignored\n"),
  },
  "an app that obeys SIGTERM can clean up": {
    options: { app: "ends-when-asked", limits: { graceSeconds: 10 }, abortAfter: "ready" },
    outcome: { kind: "aborted" },
    check: (result) => assertEquals(result.stdout, "ready\ncleaned up\n"),
  },
  "a child does not outlive its app": {
    options: { app: "leaves-a-child" },
    outcome: ENDED_WELL,
  },
  "a flood of logs is stopped": {
    options: { app: "floods-the-log", limits: { logFloodBytes: 32 * MIB } },
    outcome: { kind: "limit", limit: "log_size", allowed: 32 * MIB },
  },
  "a flood of output is stopped": {
    options: { app: "floods-the-output", limits: { outputBytes: 16 * MIB } },
    outcome: { kind: "limit", limit: "output_size", allowed: 16 * MIB },
  },
  "a flood of small output files is stopped": {
    options: { app: "floods-the-output", config: { many: true }, limits: { outputFiles: 50 } },
    outcome: { kind: "limit", limit: "output_files", allowed: 50 },
  },
  "a flood of deleted files is stopped": {
    options: { app: "floods-deleted-files", limits: { diskWriteBytes: 64 * MIB } },
    outcome: { kind: "limit", limit: "disk_writes", allowed: 64 * MIB },
  },
  "files of the host and of other apps cannot be read, through links neither": {
    options: { app: "reads-the-host" },
    outcome: ENDED_WELL,
    check: (result) => assertEquals(JSON.parse(result.stdout), []),
  },
  "no secret, process, descriptor or privilege of the executor is there": {
    options: { app: "looks-for-secrets" },
    outcome: ENDED_WELL,
    check: checkSecrets,
  },
  "nothing can be written but the output and the temporary directory": {
    options: { app: "writes-outside" },
    outcome: ENDED_WELL,
    check: (result) => {
      const results = JSON.parse(result.stdout);
      const writable = Object.keys(results).filter((path) => results[path] === "written").sort();
      assertEquals(writable, ["/output", "/tmp"]);
    },
  },
  "system calls that escapes are made of are refused": {
    options: { app: "calls-the-kernel", runtime: "deno" },
    outcome: ENDED_WELL,
    check: (result) => {
      const EPERM = 1, EAFNOSUPPORT = 97;
      assertEquals(JSON.parse(result.stdout), {
        unshare: EPERM,
        ptrace: EPERM,
        mount: EPERM,
        vsock: EAFNOSUPPORT,
        alg: EAFNOSUPPORT,
        inet: "done",
        setuid: EPERM,
      });
    },
  },
};

function checkSecrets({ stdout }: RunResult): void {
  assert(!stdout.includes(SECRET));
  const found = JSON.parse(stdout);
  assertEquals(Object.keys(found.env).sort(), [
    ...["HOME", "HOSTNAME", "LANG", "PATH", "STOWAGE_APP_ID", "STOWAGE_CONFIG"],
    ...["STOWAGE_OUTPUT_DIR", "STOWAGE_RUN_ID", "TMPDIR"],
  ]);
  // The engine's init, and the app.
  assertEquals(Object.keys(found.processes).length, 2);
  assertEquals([found.hostname, found.user], ["stowage", "app"]);
  const engines = [".dockerenv", "sbin", "sys"];
  assertEquals(
    found.root.filter((name: string) => !engines.includes(name) && !/^lib\w*$/.test(name)).sort(),
    ["app", "dev", "etc", "output", "proc", "stowage", "tmp", "usr"],
  );
  const files = found.descriptors.filter((target: string) => target.startsWith("/"));
  assertEquals([...new Set(files)].filter((path) => path !== "/dev/null"), []);
  const capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
  assertEquals(
    capabilities.map((name) => field(found.status, name)),
    capabilities.map(() => "0".repeat(16)),
  );
  assertEquals([field(found.status, "NoNewPrivs"), field(found.status, "Seccomp")], ["1", "2"]);
  assert(!/\b0\b/.test(field(found.status, "Uid")), "an unprivileged user");
  assert(/Max core file size\s+1\s+1/.test(found.limits), found.limits);
}
