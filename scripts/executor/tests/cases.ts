/**
 * Ordinary and hostile apps, a folder each, and how their runs end: what status they get, and what is said of them. The same in every
 * sandbox that isolates, but where a case says otherwise.
 */
import { assert, assertEquals, assertStringIncludes } from "../../testing/assert.ts";
import { CANCELLED, conclusionOf } from "../conclusions.ts";
import type { Limits } from "../sandbox/limits.ts";
import type { Host } from "./host.ts";
import type { Place } from "./places.ts";
import type { RunOptions, RunResult } from "./run_app.ts";

export const SECRET = "a-secret-of-the-executor";
const MIB = 1024 * 1024;

/** A run's status, and its message. */
type End = [status: string, message?: string];

export interface Case {
  options: RunOptions | ((host: Host) => RunOptions);
  end: End | ((place: Place) => End);
  check?: (result: RunResult, place: Place, host: Host) => void | Promise<void>;
}

/** Runs each case; afterwards nothing of the app is left. */
export async function walk(t: Deno.TestContext, place: Place, host: Host): Promise<void> {
  for (const [name, { options, end, check }] of Object.entries(CASES)) {
    await t.step(`${place.kind}, as ${place.name}: ${name}`, async () => {
      const result = await place.run(typeof options === "function" ? options(host) : options);
      const { status, error_message } = conclusionOf(result.outcome);
      const [expected, message] = typeof end === "function" ? end(place) : end;
      assertEquals([status, error_message], [expected, message], result.stderr);
      assertEquals(result.left, [], "nothing is left");
      await check?.(result, place, host);
      assertEquals(await host.reached(), 0, "nothing came to the host");
    });
  }
}

const SUCCESS: End = ["success"];

function outOfMemory(app: string, megabytes: number): Case {
  return {
    options: { app, limits: { memoryMegabytes: megabytes } },
    end: outOf(megabytes),
  };
}

function outOf(megabytes: number): End {
  return ["failed", `The app ran out of memory: it may use ${megabytes} MB.`];
}

function timedOut(app: string, seconds: number, limits: Partial<Limits> = {}): Case {
  return {
    options: { app, limits: { timeoutSeconds: seconds, ...limits } },
    end: ["timeout", `The app ran longer than its ${seconds} s.`],
    check: (result) => assert(result.seconds < seconds + 6, `${result.seconds}`),
  };
}

/** Each attempt failed. */
function refused(answers: string[], count: number): void {
  assertEquals(answers.length, count);
  const reached = answers.filter((each) => ["CONNECTED", "SENT", "RESOLVED"].includes(each));
  assertEquals(reached, [], answers.join());
}

function field(status: string, name: string): string {
  return new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)![1];
}

const EPERM = 1, EINVAL = 22, EAFNOSUPPORT = 97;

const ORDINARY: Record<string, Case> = {
  "an app works: arguments, output and both logs": {
    options: { app: "works", config: { numbers: [1, 2, 3] } },
    end: SUCCESS,
    check: (result) => {
      assertEquals(result.stdout, "run run of app\n");
      assertEquals(result.stderr, "a word on stderr\n");
      assertEquals(result.outputs, ["chart.svg", "data/täble.csv", "result.json"]);
    },
  },
  "an app works as an ECMAScript module": {
    // More processors than any host has.
    options: { app: "works-as-module", limits: { cpus: 4096 } },
    end: SUCCESS,
    check: (result) => assertEquals(result.stdout, "hello data\n"),
  },
  "an app works on Deno, as a module that waits": {
    options: { app: "works-on-deno", runtime: "deno", entrypoint: "main.ts" },
    end: SUCCESS,
    check: (result) => {
      assertEquals([result.stdout, result.stderr], ["deno string\n", "a module\n"]);
    },
  },
  "an app fails with its exit code": {
    options: { app: "fails" },
    end: ["failed", "The app exited with code 3."],
    check: (result) => assertEquals(result.stderr, "something went wrong\n"),
  },
  "an app is ended by a signal of its own": {
    options: { app: "fails", config: { signal: "SIGSEGV" } },
    end: ["failed", "The app was ended by SIGSEGV (exit code 139)."],
  },
  "an app that kills itself is not out of memory": {
    options: { app: "fails", config: { signal: "SIGKILL" } },
    end: ["failed", "The app was ended by SIGKILL (exit code 137)."],
  },
  "an app that obeys SIGTERM can clean up": {
    options: { app: "ends-when-asked", limits: { graceSeconds: 10 }, abortAfter: "ready" },
    end: ["cancelled", CANCELLED],
    check: (result) => assertEquals(result.stdout, "ready\ncleaned up\n"),
  },
};

const HOSTILE: Record<string, Case> = {
  "the heap is limited": outOfMemory("hogs-heap", 128),
  "memory outside the heap is limited": outOfMemory("hogs-buffers", 128),
  "memory of child processes is limited together": outOfMemory("hogs-memory-in-children", 256),
  "memory that is no process's is limited, or not to be had": {
    options: { app: "hides-memory", runtime: "deno", limits: { memoryMegabytes: 128 } },
    end: ({ kind }) => kind === "docker" ? outOf(128) : SUCCESS,
    check: ({ stdout }, { kind }) => {
      if (kind !== "docker") assertEquals(JSON.parse(stdout), { taken: 0 });
    },
  },
  "the temporary directory is limited": {
    options: { app: "fills-temporary-directory", limits: { temporaryBytes: 16 * MIB } },
    end: SUCCESS,
    check: (result) => {
      const { written, code } = JSON.parse(result.stdout);
      assertEquals(code, "ENOSPC");
      assert(written >= 14 && written <= 16, `${written}`);
    },
  },
  "the number of temporary files is limited": {
    options: { app: "fills-inodes", limits: { temporaryFiles: 2000 } },
    // What bubblewrap mounts has room for more: it is watched.
    end: ({ kind }) =>
      kind === "docker" ? SUCCESS : ["failed", "The app made more than 2000 temporary files."],
    check: (result, { kind }) => {
      if (kind !== "docker") return;
      const { made, code } = JSON.parse(result.stdout);
      assertEquals(code, "ENOSPC");
      assert(made <= 2000, `${made}`);
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
  "a child does not outlive its app": { options: { app: "leaves-a-child" }, end: SUCCESS },
  "a flood of logs is stopped": {
    options: { app: "floods-the-log", limits: { logFloodBytes: 32 * MIB } },
    end: ["failed", "The app wrote more than 32 MiB to its log."],
  },
  "a flood of output is stopped": {
    options: { app: "floods-the-output", limits: { outputBytes: 16 * MIB } },
    end: ["failed", "The app put out more than 16 MiB of files."],
  },
  "a flood of small output files is stopped": {
    options: { app: "floods-the-output", config: { many: true }, limits: { outputFiles: 50 } },
    end: ["failed", "The app put out more than 50 files."],
  },
  "a flood of output where no path leads is stopped": {
    options: { app: "nests-deep" },
    end: ["failed", "The app put out folders that are closed, or lie too deep in each other."],
  },
  "a flood of deleted files is stopped": {
    options: { app: "floods-deleted-files", limits: { diskWriteBytes: 64 * MIB } },
    end: ["failed", "The app wrote more than 64 MiB to disk."],
  },
  "a flood that children write, and no account shows, is stopped": {
    options: {
      app: "floods-through-children",
      runtime: "deno",
      limits: { outputBytes: 48 * MIB },
    },
    end: ["failed", "The app put out more than 48 MiB of files."],
  },
  "blocks of the disk cannot be had but by writing": {
    options: { app: "takes-blocks", runtime: "deno" },
    end: SUCCESS,
    check: (result) => assertEquals(JSON.parse(result.stdout), { taken: 0 }),
  },
  "files of the host and of other apps cannot be read": {
    options: { app: "reads-the-host" },
    end: SUCCESS,
    check: (result) => assertEquals(JSON.parse(result.stdout), []),
  },
  "links lead nowhere but inside": {
    options: { app: "reads-through-links" },
    end: SUCCESS,
    check: (result) => assertEquals(JSON.parse(result.stdout), []),
  },
  "no secret, process, descriptor or privilege of the executor is there": {
    options: { app: "looks-for-secrets" },
    end: SUCCESS,
    check: checkSecrets,
  },
  "nothing can be written but the output and the temporary directory": {
    options: { app: "writes-outside" },
    end: SUCCESS,
    check: (result) => {
      const results = JSON.parse(result.stdout);
      const writable = Object.keys(results).filter((path) => results[path] === "written").sort();
      assertEquals(writable, ["/output", "/tmp"]);
    },
  },
  "system calls that escapes are made of are refused": {
    options: { app: "calls-the-kernel", runtime: "deno" },
    end: SUCCESS,
    check: (result) => {
      const { setuid, ...rest } = JSON.parse(result.stdout);
      assertEquals(rest, {
        ...{ unshare: EPERM, ptrace: EPERM, mount: EPERM, hide: EPERM, name: "done" },
        ...{ vsock: EAFNOSUPPORT, alg: EAFNOSUPPORT, inet: "done" },
      });
      assert(setuid === EPERM || setuid === EINVAL, `${setuid}`);
    },
  },
  "nobody else can be become": {
    options: {
      app: "becomes-root",
      limits: { fileBytes: 512 * MIB, outputBytes: 512 * MIB },
    },
    end: SUCCESS,
    check: ({ stdout }) => {
      const { program, ...rest } = JSON.parse(stdout);
      assertEquals(program, "true", "a program with the bits runs as whoever starts it");
      const codes = Object.values(rest);
      assertEquals(codes.length, 5);
      assertEquals(codes.filter((code) => code !== "EPERM" && code !== "EINVAL"), [], stdout);
    },
  },
  "nothing can be mounted, and no device made": {
    options: { app: "mounts", runtime: "deno" },
    end: SUCCESS,
    check: ({ stdout }) =>
      assertEquals(Object.values(JSON.parse(stdout)), Array(7).fill(EPERM), stdout),
  },
  "the host cannot be reached: loopback, addresses, gateways, sockets": {
    options: ({ addresses, tcpPort, socket }) => ({
      app: "reaches-the-host",
      config: {
        targets: [...addresses.map((host) => ({ host, port: tcpPort })), { path: socket }],
      },
    }),
    end: SUCCESS,
    check: ({ stdout }, _, { addresses }) => refused(JSON.parse(stdout), addresses.length + 1),
  },
  "sockets without a file cannot be reached or seen": {
    options: ({ abstract }) => ({
      app: "reaches-abstract-sockets",
      config: { names: [abstract, "/tmp/.X11-unix/X0"] },
    }),
    end: SUCCESS,
    check: ({ stdout }) => {
      const { answers, listed } = JSON.parse(stdout);
      refused(answers, 2);
      assertEquals(listed, []);
    },
  },
  "datagrams come nowhere": {
    options: ({ addresses, udpPort }) => ({
      app: "sends-datagrams",
      // Its own loopback takes datagrams that nobody reads.
      config: { targets: addresses.slice(1).map((host) => ({ host, port: udpPort })) },
    }),
    end: SUCCESS,
    check: ({ stdout }, _, { addresses }) => refused(JSON.parse(stdout), addresses.length - 1),
  },
  "no name is resolved": {
    options: { app: "asks-the-dns" },
    end: SUCCESS,
    check: ({ stdout }) => refused(JSON.parse(stdout), 4),
  },
  "with network permissions the hosts that they name are reached, and no others": granted("node"),
  "so they are on Deno": granted("deno"),
};

/** Over HTTP and HTTPS: what is granted, what is not, and what is granted but leads where no app may go. */
function granted(runtime: "node" | "deno"): Case {
  const urls = ({ httpPort, httpsPort }: Host) => ({
    plain: `http://api.example.com:${httpPort}/`,
    secure: `https://api.example.com:${httpsPort}/`,
    other: `http://other.example.com:${httpPort}/`,
    otherPort: `http://api.example.com:${httpPort + 1}/`,
    private: "http://private.example.com/",
    metadata: "http://metadata.example.com/",
  });
  return {
    options: (host) => ({
      app: "reaches-granted-hosts",
      ...{ runtime, entrypoint: runtime === "deno" ? "main.ts" : "index.js" },
      config: { urls: urls(host) },
      // The authority that vouches for the test's server.
      env: { NODE_EXTRA_CA_CERTS: "/app/ca.pem", DENO_CERT: "/app/ca.pem" },
      network: [
        ...[`api.example.com:${host.httpPort}`, `api.example.com:${host.httpsPort}`],
        ...["private.example.com", "metadata.example.com"],
      ],
    }),
    end: SUCCESS,
    check: ({ stdout, egress }, _, host) => {
      const results: Record<string, Record<string, string>> = JSON.parse(stdout);
      for (const way of runtime === "deno" ? ["fetch"] : ["request", "fetch"]) {
        const answer = (name: string) => results[name][way];
        const hello = "200 hello from api.example.com";
        assertEquals(answer("plain"), `${hello}:${host.httpPort}`);
        assertEquals(answer("secure"), `${hello}:${host.httpsPort}`);
        for (const name of ["other", "otherPort"]) {
          assertStringIncludes(answer(name), "not among the app's network permissions", name);
        }
        for (const name of ["private", "metadata"]) {
          assertStringIncludes(answer(name), "no address of the public Internet", name);
        }
      }
      assert(egress.some(({ host, address }) => host === "api.example.com" && address));
      assertEquals(egress.filter(({ host, address }) => host !== "api.example.com" && address), []);
    },
  };
}

export const CASES = { ...ORDINARY, ...HOSTILE };

function checkSecrets({ stdout }: RunResult, { kind }: Place): void {
  assert(!stdout.includes(SECRET));
  const found = JSON.parse(stdout);
  assertEquals(Object.keys(found.env).sort(), [
    ...["HOME", ...(kind === "docker" ? ["HOSTNAME"] : []), "LANG", "PATH"],
    ...(kind === "docker" ? [] : ["PWD"]),
    ...["STOWAGE_APP_ID", "STOWAGE_CONFIG", "STOWAGE_OUTPUT_DIR", "STOWAGE_RUN_ID", "TMPDIR"],
  ]);
  // The first of the namespace, and the app.
  assertEquals(Object.keys(found.processes).length, 2);
  assertEquals([found.hostname, found.user], ["stowage", "app"]);
  const engines = kind === "docker" ? [".dockerenv", "sbin", "sys"] : [];
  assertEquals(
    found.root.filter((name: string) => !engines.includes(name) && !/^lib\w*$/.test(name)).sort(),
    ["app", "dev", "etc", "output", "proc", "stowage", "tmp", "usr"],
  );
  // Pipes and the event loop's own; no file or folder.
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
