/** What an installer makes of what its sandbox did, which is none here: an install of any hostility, at no cost. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { assert, assertEquals, assertRejects } from "../../testing/assert.ts";
import { AppError, definitionOf } from "../definition.ts";
import { Installer } from "../install/mod.ts";
import { readProjectApart } from "../install/read_project.ts";
import { openRegistry } from "../install/registry.ts";
import { createLogger } from "../log.ts";
import { DEFAULT_BOUNDS } from "../sandbox/limits.ts";
import { exists } from "../sandbox/paths.ts";
import { childrenOf, commandLine, isDead, kill } from "../sandbox/processes.ts";
import { findProgram } from "../sandbox/runtimes.ts";
import { removeTree } from "../sandbox/remove_tree.ts";
import type { Outcome, Sandbox, SandboxSpec } from "../sandbox/types.ts";
import { Disk } from "../disk.ts";
import { makeRunDir, type RunDir } from "../work_dir.ts";
import { eventually } from "./world.ts";

const MANIFEST = { runtime: { backend: { type: "node", dependencies: { left: "^1.0.0" } } } };

type Act = (spec: SandboxSpec) => Outcome | Promise<Outcome>;
type Install = (act: Act, check?: (dir: RunDir) => void) => Promise<void>;

/** The work gets a function that installs with a sandbox that does `act` in the place of a package manager. */
async function withInstaller(work: (install: Install) => Promise<void>): Promise<void> {
  const workDir = await Deno.makeTempDir({ prefix: "stowage " });
  let act: Act;
  const sandbox: Sandbox = {
    name: "none",
    isolating: false,
    versions: { node: "20.0.0", deno: "2.0.0" },
    check: () => Promise.resolve({ available: true, unenforced: [], details: {} }),
    run: async (spec) => await act(spec),
    close: () => Promise.resolve(),
  };
  const log = createLogger("text", () => {});
  const installer = new Installer({
    ...{ sandbox, bounds: DEFAULT_BOUNDS, workDir, registry: "http://127.0.0.1:9/" },
    disk: new Disk(workDir, 0, log),
  }, log);
  const definition = definitionOf(MANIFEST, DEFAULT_BOUNDS);
  const sink = () => Promise.resolve();
  try {
    await work(async (next, check) => {
      act = next;
      const dir = await makeRunDir(workDir);
      await installer.install(definition, dir, "id", sink, new AbortController().signal);
      assertEquals([...Deno.readDirSync(dir.output)], [], "nothing is left to be taken for output");
      check?.(dir);
    });
  } finally {
    // Closed and deep, as it was left.
    await removeTree(workDir);
  }
}

const DONE: Outcome = { kind: "exited", code: 0 };

Deno.test("installs", async (t) => {
  await withInstaller(async (install) => {
    await t.step("an install has five minutes and a gigabyte, and says so past them", async () => {
      const ask: number[] = [];
      await assertRejects(
        () =>
          install(({ limits }) => {
            ask.push(limits.timeoutSeconds, limits.memoryMegabytes);
            return { kind: "timeout", seconds: limits.timeoutSeconds };
          }),
        AppError,
        "Installing the app's packages took longer than 300 s.",
      );
      assertEquals(ask, [300, 1024]);
      await assertRejects(
        () => install(() => ({ kind: "out_of_memory", megabytes: 1024 })),
        AppError,
        "more than 1024 MB of memory",
      );
    });
    await t.step("what a hostile install leaves leads nowhere", () => followNothing(install));
    await t.step(
      "what cannot be taken over is the app's fault, not the executor's",
      () => blameTheApp(install),
    );
  });
});

async function followNothing(install: Install): Promise<void> {
  const host = await Deno.makeTempDir();
  const secret = join(host, "node_modules/secret.txt");
  const installed = ({ app }: RunDir) => {
    const folder = join(app, "node_modules");
    return exists(folder) ? [...Deno.readDirSync(folder)].map(({ name }) => name) : [];
  };
  try {
    await Deno.mkdir(join(host, "node_modules"));
    await Deno.writeTextFile(secret, "the host's");
    await install(async ({ outputDir }) => {
      await Deno.symlink(host, join(outputDir, "project"));
      return DONE;
    }, (dir) => assertEquals(installed(dir), []));
    await install(async ({ outputDir }) => {
      await Deno.mkdir(join(outputDir, "project"));
      await Deno.symlink(join(host, "node_modules"), join(outputDir, "project/node_modules"));
      return DONE;
    }, (dir) => assertEquals(installed(dir), []));
    await install(async ({ outputDir }) => {
      const folder = join(outputDir, "project/node_modules/left");
      await Deno.mkdir(folder, { recursive: true });
      await Deno.writeTextFile(join(folder, "index.js"), "");
      await Deno.symlink(join(host, "node_modules"), join(folder, "folder"));
      await Deno.symlink(secret, join(folder, "file"));
      return DONE;
    }, (dir) => {
      assertEquals(installed(dir), ["left"]);
      const left = [...Deno.readDirSync(join(dir.app, "node_modules/left"))];
      assertEquals(left.map(({ name }) => name), ["index.js"]);
    });
    assert(exists(secret), "the host keeps what is its own");
  } finally {
    await Deno.remove(host, { recursive: true });
  }
}

async function blameTheApp(install: Install): Promise<void> {
  const leaving = (leave: (folder: string) => Promise<unknown>) => async (spec: SandboxSpec) => {
    const folder = join(spec.outputDir, "project/node_modules/left");
    await Deno.mkdir(folder, { recursive: true });
    await leave(folder);
    return DONE;
  };
  await install(
    leaving((folder) => Deno.writeTextFile(join(folder, "closed.js"), "x", { mode: 0o200 })),
    ({ app }) => assertEquals(Deno.readTextFileSync(`${app}/node_modules/left/closed.js`), "x"),
  );
  const sh = (script: string) => (cwd: string) =>
    new Deno.Command("/bin/sh", { args: ["-c", script], cwd }).output();
  const notText = leaving(sh(`touch "$(printf '\\377')"`));
  await assertRejects(() => install(notText), AppError, "not UTF-8");
  const name = "n".repeat(200);
  const deep = leaving(sh(`for i in $(seq 120); do mkdir ${name} && cd -P ${name}; done`));
  await assertRejects(() => install(deep), AppError, "larger, or more files");
  if (Deno.uid() === 0) return;
  const closed = leaving((folder) => Deno.mkdir(join(folder, "lib"), { mode: 0o100 }));
  await assertRejects(() => install(closed), AppError, "larger, or more files");
}

/** All of it looks like something that a lockfile may not have. */
const GOOD_LOCK = `lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      file: { specifier: ^1.0.0 || << 3, version: 1.1.0 }
packages:
  file@1.1.0:
    resolution: { integrity: "sha512-<<link:" }
    deprecated: |
      << file: is at https://file.example, and no more kept
    engines: { node: ">=14 <<" }
snapshots:
  file@1.1.0: {}
`;

const REFUSED_LOCKS: Record<string, string> = {
  "snapshots: { a: { <<: { dependencies: { b: 1.0.0 } } } }": "it merges mappings",
  'snapshots: { a: { "\\x3c<": { dependencies: { b: 1.0.0 } } } }': "it merges mappings",
  'packages: { a@1: { resolution: { integrity: x, tarball: "\\x68ttp://b" } } }':
    "does not come from the registry",
  "packages: { a@1: { resolution: { integrity: { tarball: x } } } }":
    "does not come from the registry",
  "packages: { a@1: { resolution: { integrity: x }, deprecated: { a: link:b } } }": "names a path",
  'packages: { a@1: { resolution: { integrity: x }, peer: ["\\x67it:b"] } }': "names a path",
  "packages: { a@file:b: { resolution: { integrity: x } } }": "names a path",
  "snapshots: { a@1: { dependencies: { b: link:b } } }": "names a path",
};

Deno.test("what is to be installed is read apart, and what is made to take for ever is refused", async () => {
  const dir = await Deno.makeTempDir({ prefix: "a b" });
  const lock = join(dir, "pnpm-lock.yaml");
  const read = () =>
    readProjectApart(
      dir,
      { packageManager: "pnpm", dependencies: {} },
      "10.0.0",
      new AbortController().signal,
    );
  try {
    await Deno.writeTextFile(
      lock,
      `lockfileVersion: '9.0'\n${"\n".repeat(300_000)}importers:\n  .: {}\n`,
    );
    const started = performance.now();
    assertEquals((await read()).frozen, true);
    assert(performance.now() - started < 60_000, "time grows with the size, not its square");
    await Deno.writeTextFile(
      lock,
      `packages: {"<<": {resolution: {integrity: x}, b@1: {resolution: {tarball: "\\x68ttp://b"}}}}\n`,
    );
    await assertRejects(read, AppError, "it merges mappings");
    for (const [content, reason] of Object.entries(REFUSED_LOCKS)) {
      await Deno.writeTextFile(lock, content);
      await assertRejects(read, AppError, reason, content);
    }
    await Deno.writeTextFile(lock, GOOD_LOCK);
    const { files } = await read();
    assertEquals(JSON.parse(files["pnpm-lock.yaml"]), parse(GOOD_LOCK));
    await Deno.remove(lock);
    const depth = 100_000;
    await Deno.writeTextFile(
      join(dir, "package.json"),
      `{"overrides":${'{"a":'.repeat(depth)}"1"${"}".repeat(depth)}}`,
    );
    await assertRejects(read, AppError, "too much time or memory");
    await Deno.writeTextFile(
      join(dir, "package.json"),
      JSON.stringify({ dependencies: { left: `file:${"x".repeat(1_000_000)}` } }),
    );
    const { message } = await assertRejects(read, AppError, "versions and ranges are taken");
    assert(message.length < 2000, "no more is quoted than can be read");
    const ended = AbortSignal.abort(new Error("ended"));
    await assertRejects(
      () => readProjectApart(dir, { packageManager: "pnpm", dependencies: {} }, "10", ended),
      Error,
      "ended",
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("an install opens few connections of many, and holds few documents of many", async () => {
  const dir = await makeRunDir(await Deno.makeTempDir({ prefix: "stowage " }));
  const apart = dirname(dir.output);
  let now = 0, most = 0;
  const upstream = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async () => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 5));
    now--;
    return Response.json({ name: "left", versions: {} });
  });
  const gateway = await openRegistry(
    { url: `http://127.0.0.1:${upstream.addr.port}` },
    dir.output,
    apart,
    createLogger("text", () => {}),
  );
  const path = join(dir.output, "registry.sock");
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
  // Connections on which nothing is said hold no place of a document.
  const idle = await Promise.all(
    Array.from({ length: 40 }, () => Deno.connect({ transport: "unix", path })),
  );
  try {
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const answer = await fetch("http://registry/left", { client });
        return (await answer.json()).name;
      }),
    );
    assertEquals(new Set(answers), new Set(["left"]));
    assert(most <= 2, `${most} at once`);
  } finally {
    for (const connection of idle) connection.close();
    client.close();
    await gateway.close();
    await upstream.shutdown();
    assertEquals([...Deno.readDirSync(dir.output)], []);
    await Deno.remove(dirname(apart), { recursive: true });
  }
});

Deno.test("a setpriv that knows less is done without, and one that starts nothing is no app's fault", async () => {
  const dir = await Deno.makeTempDir({ prefix: "stowage " });
  const setpriv = join(dir, "setpriv");
  const program = `import { readProjectApart } from "./scripts/executor/install/read_project.ts";
    const wanted = { packageManager: "npm", dependencies: {} };
    const signal = new AbortController().signal;
    await readProjectApart(${JSON.stringify(dir)}, wanted, "10.0.0", signal).then(
      ({ manager }) => console.log("read", manager),
      ({ name, message }) => console.log(name, message),
    );`;
  const answers = {
    "exit 1": "read npm",
    '[ "$4" = true ] || exit 127':
      `Error package.json and the lockfile were not read: ${setpriv} ended with 127`,
  };
  try {
    for (const [does, expected] of Object.entries(answers)) {
      await Deno.writeTextFile(setpriv, `#!/bin/sh\n${does}\n`, { mode: 0o700 });
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: ["eval", program],
        cwd: fileURLToPath(new URL("../../..", import.meta.url)),
        env: { PATH: `${dir}:${Deno.env.get("PATH")}` },
      }).output();
      assertEquals(new TextDecoder().decode(stdout).trim(), expected, does);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

// It is setpriv that sees to it; CI has it.
const ignore = findProgram("setpriv") === null;
Deno.test({ name: "who reads a lockfile ends with the executor", ignore }, async () => {
  const dir = await Deno.makeTempDir({ prefix: "stowage " });
  // Takes longer to read than it takes to find who reads it.
  await Deno.writeTextFile(join(dir, "pnpm-lock.yaml"), "\n".repeat(5_000_000));
  const wanted = { packageManager: "pnpm", dependencies: {} };
  const program = `import { readProjectApart } from "./scripts/executor/install/read_project.ts";
    await readProjectApart(${JSON.stringify(dir)}, ${
    JSON.stringify(wanted)
  }, "10.0.0", new AbortController().signal);`;
  const executor = new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    cwd: fileURLToPath(new URL("../../..", import.meta.url)),
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    const reader = await eventually(
      "a process reads",
      // Not what is to become it, and has the executor's own words until then.
      () =>
        childrenOf(executor.pid)
          .find((pid) => commandLine(pid).startsWith(`${Deno.execPath()} run `)),
    );
    // So that it does not come to its end by itself.
    kill(reader, "SIGSTOP");
    executor.kill("SIGKILL");
    await eventually("it is gone", () => isDead(reader) || null).finally(() => {
      kill(reader, "SIGKILL");
    });
  } finally {
    kill(executor.pid, "SIGKILL");
    await executor.status;
    await Deno.remove(dir, { recursive: true });
  }
});
