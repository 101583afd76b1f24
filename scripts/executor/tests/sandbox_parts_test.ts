import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../testing/assert.ts";
import { AppError, definitionOf, requireRuntime } from "../definition.ts";
import { ownTemporaryDir } from "../sandbox/bubblewrap.ts";
import { ownGroups } from "../sandbox/cgroups.ts";
import { pickUser } from "../sandbox/identity.ts";
import { DEFAULT_BOUNDS, limitsOf, MIN_CPUS, parseMegabytes } from "../sandbox/limits.ts";
import { outcomeOf } from "../sandbox/outcomes.ts";
import { isDead, killTree, processTree } from "../sandbox/processes.ts";
import { seccompFilter } from "../sandbox/seccomp.ts";
import { NoSandboxError, selectSandbox } from "../sandbox/select.ts";
import type { Sandbox } from "../sandbox/types.ts";

Deno.test("memory is megabytes, as a number or as text", () => {
  const values: [unknown, number | undefined][] = [
    [256, 256],
    ["256MB", 256],
    ["512 MiB", 512],
    ["1GB", 1024],
    ["1.5g", 1536],
    ["2048kb", 2],
    ["64", 64],
    [0, undefined],
    [-1, undefined],
    ["", undefined],
    ["lots", undefined],
    [NaN, undefined],
    [null, undefined],
    ["1TB", undefined],
  ];
  for (const [value, megabytes] of values) {
    assertEquals(parseMegabytes(value), megabytes, JSON.stringify(value));
  }
});

Deno.test("limits are the manifest's within the operator's", () => {
  const asked = limitsOf({ timeout: 5, memory_limit: "256MB", cpu_limit: 0.5 });
  assertEquals([asked.timeoutSeconds, asked.memoryMegabytes, asked.cpus], [5, 256, 0.5]);
  const greedy = limitsOf({ timeout: 1e9, memory_limit: 1e9, cpu_limit: 1e9 });
  assertEquals(
    [greedy.timeoutSeconds, greedy.memoryMegabytes, greedy.cpus],
    Object.values(DEFAULT_BOUNDS),
  );
  const wrong = limitsOf({ timeout: -1, memory_limit: "x", cpu_limit: {} });
  assertEquals(wrong, limitsOf({}));
  assertEquals(limitsOf({ memory_limit: 1 }).memoryMegabytes, 64);
  assertEquals(limitsOf({ cpu_limit: 1e-9 }).cpus, MIN_CPUS, "what the kernel takes");
});

Deno.test("a manifest says what is run; what it cannot say is refused", () => {
  const definition = definitionOf({
    runtime: { backend: { type: "deno", entrypoint: "src/main.ts" } },
  }, DEFAULT_BOUNDS);
  assertEquals([definition.runtime, definition.entrypoint], ["deno", "src/main.ts"]);
  assertEquals(definitionOf(null, DEFAULT_BOUNDS).entrypoint, "index.js");
  for (const entrypoint of ["../x", "/etc/x", "a//b", "./x", "", 5]) {
    const error = caught(() =>
      definitionOf({ runtime: { backend: { type: "node", entrypoint } } }, DEFAULT_BOUNDS)
    );
    assert(error instanceof AppError, String(entrypoint));
  }
  assert(
    caught(() => definitionOf({ runtime: { frontend: {} } }, DEFAULT_BOUNDS)) instanceof AppError,
  );
  assert(
    caught(() =>
      definitionOf({ runtime: { backend: { type: "python" } } }, DEFAULT_BOUNDS)
    ) instanceof AppError,
  );
});

Deno.test("an app that does not run on the versions here is refused, and is told what is here", () => {
  const versions = { node: "20.19.4", deno: "2.9.6" };
  const refusalOf = (backend: { type?: string; version?: string }) => {
    const manifest = { runtime: { backend: { type: "node", ...backend } } };
    const error = caught(() => requireRuntime(definitionOf(manifest, DEFAULT_BOUNDS), versions));
    assert(error === undefined || error instanceof AppError, String(error));
    return error?.message;
  };
  const taken = [{}, { version: "20" }, { version: ">=18 <21" }, { version: "18 || ^20.19" }, {
    version: "*",
  }, { type: "deno", version: "2" }];
  for (const backend of taken) assertEquals(refusalOf(backend), undefined, JSON.stringify(backend));
  assertEquals(
    refusalOf({ version: ">=99" }),
    "The app runs on Node >=99 (runtime.backend.version in its manifest), and this executor has Node 20.19.4.",
  );
  assert(refusalOf({ version: "18" })?.includes("Node 18 "));
  assert(refusalOf({ type: "deno", version: "20" })?.endsWith("executor has Deno 2.9.6."));
  assert(refusalOf({ version: "latest" }) !== undefined, "what no manifest says any more");
});

Deno.test("network permissions open hosts; one that opens nothing is refused where it is required", () => {
  const networkOf = (...permissions: { scope: string; required?: boolean }[]) =>
    definitionOf({
      runtime: { backend: { type: "node" } },
      permissions: [
        { type: "storage", scope: "s.example" },
        ...permissions.map((permission) => ({ type: "network", ...permission })),
      ],
    }, DEFAULT_BOUNDS).network;
  assertEquals(networkOf(), []);
  assertEquals(
    networkOf({ scope: "a.example" }, { scope: "*.b.example:8443", required: false }),
    ["a.example", "*.b.example:8443"],
  );
  assertEquals(networkOf({ scope: "*", required: false }), []);
  assert(caught(() => networkOf({ scope: "10.0.0.1" })) instanceof AppError);
  assert(caught(() => networkOf({ scope: "*" })) instanceof AppError);
});

Deno.test("a process's own control groups are found, also below a container's mounts", () => {
  const cgroup =
    "9:name=systemd:/\n4:memory:/docker/abc/sub\n1:cpu,cpuacct:/docker/abc\n0::/user.slice/x\n";
  const mountinfo = [
    "30 25 0:26 /docker/abc /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
    "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct",
    "32 25 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
    "33 25 8:1 / / rw,relatime - ext4 /dev/vda rw",
  ].join("\n");
  assertEquals(ownGroups(cgroup, mountinfo), {
    memory: "/sys/fs/cgroup/memory/sub",
    cpu: "/sys/fs/cgroup/cpu,cpuacct/docker/abc",
    cpuacct: "/sys/fs/cgroup/cpu,cpuacct/docker/abc",
    unified: "/sys/fs/cgroup/unified/user.slice/x",
  });
});

Deno.test("a user is picked among those that exist, never root", () => {
  const whole = "         0          0 4294967295\n";
  assertEquals(pickUser(whole, 7), 1_900_000_007);
  const container = "         0     100000      65536\n";
  for (const random of [0, 1, 32_767, 4_294_967_295]) {
    const uid = pickUser(container, random);
    assert(uid >= 32_768 && uid < 65_536, `${uid}`);
  }
});

Deno.test("system calls are filtered where their numbers are known", () => {
  for (const arch of ["x86_64", "aarch64"]) {
    const filter = seccompFilter(arch)!;
    assert(filter.length % 8 === 0 && filter.length / 8 < 4096);
  }
  assertEquals(seccompFilter("riscv64"), null);
});

Deno.test("out of memory is told from other deaths", () => {
  const limits = limitsOf({ memory_limit: 100 });
  const ending = { cause: "exited" as const, signal: null, stderrTail: "" };
  assertEquals(outcomeOf({ ...ending, code: 137 }, limits, 1).kind, "out_of_memory");
  assertEquals(outcomeOf({ ...ending, code: 137 }, limits, 0), {
    kind: "exited",
    code: 137,
    signal: "SIGKILL",
  });
  assertEquals(outcomeOf({ ...ending, code: 0 }, limits, 1), { kind: "exited", code: 0 });
  const heap = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory";
  assertEquals(
    outcomeOf({ ...ending, code: 134, stderrTail: heap }, limits, 0).kind,
    "out_of_memory",
  );
  assertEquals(outcomeOf({ ...ending, code: 1, stderrTail: heap }, limits, 0), {
    kind: "exited",
    code: 1,
  });
  assertEquals(outcomeOf({ ...ending, cause: "timeout", code: 143 }, limits, 1).kind, "timeout");
});

Deno.test("killing a process kills what it started, also what would outlive it", async () => {
  const shell = new Deno.Command("/bin/sh", {
    args: ["-c", "sleep 1000 & sleep 1000 & echo started; wait"],
    stdout: "piped",
  }).spawn();
  const reader = shell.stdout.getReader();
  await reader.read();
  const tree = processTree(shell.pid);
  assertEquals(tree.length, 3);
  killTree(shell.pid);
  assertEquals((await shell.status).signal, "SIGKILL");
  // The pipe ends when the last process that holds it is gone.
  assertEquals((await reader.read()).done, true);
  assertEquals(tree.filter((pid) => !isDead(pid)), []);
});

function stub(name: string, isolating: boolean, problem?: string): Sandbox {
  return {
    name,
    isolating,
    versions: { node: "", deno: "" },
    check: () =>
      Promise.resolve({ available: problem === undefined, problem, unenforced: [], details: {} }),
    run: () => Promise.reject(new Error("not run")),
    close: () => Promise.resolve(),
  };
}

Deno.test("auto takes an isolating sandbox or refuses, and says what to install", async () => {
  const options = { workDir: "/nowhere", runtimes: { node: "", deno: "" } };
  const sandboxes = {
    none: () => stub("none", true, "it is missing; apt-get install it"),
    trusted: () => stub("trusted", false),
  };
  const error = await assertRejects(
    () => selectSandbox("auto", options, sandboxes),
    NoSandboxError,
  );
  assertStringIncludes(error.message, "apt-get install it");
  const some = { ...sandboxes, other: () => stub("other", true) };
  assertEquals((await selectSandbox("auto", options, some)).sandbox.name, "other");
  assertEquals((await selectSandbox("trusted", options, some)).sandbox.name, "trusted");
});

function caught(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
}

Deno.test("the host's temporary files are not taken for those of an app that is about to have its own", () => {
  assertEquals(ownTemporaryDir(`/proc/${Deno.pid}/root/tmp`), null);
  assertEquals(ownTemporaryDir("/proc/self/root/no such directory"), null);
  assertEquals(ownTemporaryDir("/proc"), "/proc");
});
