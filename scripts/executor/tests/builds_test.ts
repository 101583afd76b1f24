/** Builds on a real stack, with real package managers in the sandbox, and a registry that tests made up. */
import { createHash } from "node:crypto";
import { assert, assertEquals, assertStringIncludes } from "../../testing/assert.ts";
import { Engine } from "../sandbox/docker_engine.ts";
import { OWNER_LABEL } from "../sandbox/docker_owner.ts";
import { allProcesses, commandLine, isDead, processTree } from "../sandbox/processes.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import type { Entry } from "./archive_builders.ts";
import { canHaveEngine, startTestEngine, type TestEngine } from "./docker_daemon.ts";
import { isRoot } from "./places.ts";
import { type Package, type Registry, startRegistry } from "./registry.ts";
import { type App, eventually, type ExecutorProcess, type Row, World } from "./world.ts";

const TOKEN = "the operator's own";
const APP = `const left = require("left");
require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/result.json", JSON.stringify(left));`;

const RIGHT =
  `require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/result.json", JSON.stringify(require("@acme/right")));`;

/** Of a package's versions the last one is its latest. */
const PACKAGES: Package[] = [
  {
    name: "left",
    version: "1.1.0",
    files: { "index.js": `module.exports = "older";` },
  },
  {
    name: "left",
    version: "1.2.0",
    files: {
      "index.js":
        `module.exports = { left: require("@acme/right"), ran: require("fs").existsSync(` +
        `__dirname + "/ran.txt") };`,
    },
    manifest: {
      dependencies: { "@acme/right": "^2.0.0" },
      scripts: { postinstall: `node -e "require('fs').writeFileSync('ran.txt', 'x')"` },
    },
  },
  { name: "@acme/right", version: "2.0.1", files: { "index.js": `module.exports = "right";` } },
  {
    name: "sleepy",
    version: "1.0.0",
    files: { "install.js": readApp("hangs-while-installing/install.js") },
    manifest: { scripts: { postinstall: "node install.js" } },
  },
  {
    name: "nosy",
    version: "1.0.0",
    files: { "install.js": nosyScript(), "index.js": `module.exports = require("./found.json");` },
    manifest: { scripts: { postinstall: "node install.js" } },
  },
];

/** Tells what an install script finds. */
function nosyScript(): string {
  return `const fs = require("fs"); const net = require("net"); const http = require("http");
const look = (path) => { try { return fs.readFileSync(path, "utf8").length; } catch (e) { return e.code; } };
const get = (path, method = "GET") => new Promise((resolve) => {
  const base = new URL(process.env.npm_config_registry || "http://127.0.0.1:1/");
  http.request({ host: base.hostname, port: base.port, path, method }, (r) => { r.resume(); resolve(r.statusCode); })
    .on("error", (e) => resolve(e.code)).end();
});
(async () => {
  const found = { shadow: look("/etc/shadow"), source: look("/output/project/index.js"),
    secret: JSON.stringify(process.env).includes("operator") };
  found.host = await new Promise((resolve) => {
    const s = net.connect(Number(process.env.STACK_PORT || 1), "10.0.0.1");
    s.on("connect", () => resolve("connected")).on("error", (e) => resolve(e.code));
  });
  found.search = await get("/-/v1/search?text=x");
  found.publish = await get("/left", "PUT");
  fs.writeFileSync("found.json", JSON.stringify(found));
})();`;
}

interface Setting {
  world: World;
  registry: Registry;
  executor: ExecutorProcess;
}

for (const sandbox of ["docker", "bubblewrap", "trusted"]) {
  const ignore = sandbox === "docker" && !await canHaveEngine();
  Deno.test(`builds, in the sandbox ${sandbox}`, { ignore }, async (t) => {
    const runtimes = locateRuntimes();
    assert(typeof runtimes !== "string");
    const world = await World.start();
    const registry = startRegistry(PACKAGES, TOKEN);
    const engine = sandbox === "docker" ? await startTestEngine(runtimes) : null;
    const workDir = await Deno.makeTempDir({ prefix: "a b" });
    await Deno.chmod(workDir, isRoot() ? 0o711 : 0o700);
    try {
      const start = (...args: string[]) =>
        world.executor([
          ...["--poll-interval", "0.05", "--sandbox", sandbox, "--lease", "3", "--builds", "1"],
          ...["--registry", registry.url, "--work-dir", workDir, ...args],
        ], { STOWAGE_REGISTRY_TOKEN: TOKEN, ...(engine ? { DOCKER_HOST: engine.host } : {}) });
      const walk = async (cases: typeof CASES, executor: ExecutorProcess) => {
        for (const [name, check] of Object.entries(cases)) {
          if (sandbox === "trusted" && !OF_TRUSTED.has(name)) continue;
          registry.asked.length = 0;
          const passed = await t.step(name, async () => {
            await check({ world, registry, executor });
            await eventually(
              "nothing of the build is left",
              async () => (await remains(executor, workDir, engine)).length === 0 ? true : null,
            );
          });
          if (!passed) console.error(executor.text);
        }
        assertEquals(await executor.kill("SIGTERM"), 0, executor.text);
      };
      await walk(CASES, await start());
      await walk(SHORT_CASES, await start("--max-timeout", "2"));
      assertEquals([...Deno.readDirSync(workDir)], []);
    } finally {
      await world.close();
      await registry.close();
      await engine?.stop();
      await Deno.remove(workDir, { recursive: true });
    }
  });
}

/** Processes, folders, containers. */
async function remains(
  executor: ExecutorProcess,
  workDir: string,
  engine: TestEngine | null,
): Promise<string[]> {
  const client = engine ? new Engine(engine.socket) : null;
  try {
    return [
      ...processTree(executor.pid).slice(1).filter((pid) => !isDead(pid)).map(String),
      ...processesIn(workDir),
      ...[...Deno.readDirSync(workDir)].flatMap(({ name }) =>
        [...Deno.readDirSync(`${workDir}/${name}`)].map((entry) => entry.name)
      ).filter((name) => name.startsWith("run-")),
      ...(await client?.list(OWNER_LABEL) ?? []).map(({ Id }) => Id),
    ];
  } finally {
    client?.close();
  }
}

/** Processes that run below the folder, or have it in their command line: those, too, whose parents are gone. */
function processesIn(folder: string): string[] {
  return allProcesses().flatMap((pid) => {
    try {
      const words = commandLine(pid);
      const runs = !isDead(pid) && !words.includes("executor/main.ts");
      const isIn = words.includes(folder) ||
        Deno.readLinkSync(`/proc/${pid}/cwd`).startsWith(folder);
      return runs && isIn ? [words] : [];
    } catch {
      return [];
    }
  });
}

/** What is different where the sandbox is no namespace. */
const OF_TRUSTED = new Set([
  "a build is packed once, and runs use it",
  "npm installs what pnpm could not",
  "a build is cancelled while it is going",
  "an install script that hangs is ended in time, with what it hid",
]);

const CASES: Record<string, (setting: Setting) => Promise<void>> = {
  "a build is packed once, and runs use it": async ({ world, registry }) => {
    const app = await appWith(world, { left: "^1.0.0" });
    const id = await world.build(app);
    const build = await world.untilBuild(id, "success", "failed");
    const log = await world.object("app-logs", build.build_logs);
    assertEquals(
      [build.build_status, build.error_message, build.attempt],
      ["success", null, 1],
      log,
    );
    const folder = `app_${app.id}/builds/${id}`;
    assertEquals([build.build_path, build.build_logs], [
      `${folder}/build.tar.gz`,
      `${folder}/build.log`,
    ]);
    const { data } = await world.client.storage.from("app-storage").download(build.build_path);
    const bytes = new Uint8Array(await data!.arrayBuffer());
    assertEquals(build.file_size, bytes.length);
    assertEquals(build.build_logs_size, new TextEncoder().encode(log).length);
    assertEquals(build.checksum, `sha256:${createHash("sha256").update(bytes).digest("hex")}`);
    assertStringIncludes(log, "$ pnpm install --prod");
    assertStringIncludes(log, build.checksum);
    assert(registry.asked.includes("/@acme/right/-/right-2.0.1.tgz"), "it came from the registry");

    registry.asked.length = 0;
    const run = await finished(world, app);
    assertEquals([run.status, run.error_message, run.build_id], ["success", null, id]);
    assertEquals(await result(world, run), { left: "right", ran: false });
    assertEquals(registry.asked, [], "the run installs nothing");

    const again = await world.untilBuild(await world.build(app), "success", "failed");
    assertEquals(again.checksum, build.checksum, "the same again gives the same bytes");
    assertEquals((await finished(world, app)).build_id, again.id, "runs use the newest");
  },
  "without a build a run installs by itself": async ({ world }) => {
    const app = await appWith(world, { left: "^1.0.0" });
    const run = await finished(world, app);
    assertEquals([run.status, run.error_message, run.build_id], ["success", null, null]);
    assertEquals(await result(world, run), { left: "right", ran: false });
    const stderr = await world.object("app-logs", run.logs_path.replace("stdout", "stderr"));
    assertStringIncludes(stderr, "$ pnpm install --prod");
  },
  "an app without dependencies is packed as it is": async ({ world, registry }) => {
    const app = await world.app({ files: "works-as-module" });
    const build = await world.untilBuild(await world.build(app), "success", "failed");
    assertEquals([build.build_status, registry.asked.length], ["success", 0]);
    assertEquals((await finished(world, app)).build_id, null, "its runs need no build");
  },
  "a lockfile binds": async ({ world, registry }) => {
    const app = await appWith(world, { left: "^1.0.0" }, [
      file("package.json", JSON.stringify({ dependencies: { left: "^1.0.0" } })),
      file("pnpm-lock.yaml", pnpmLock(registry, "left", "^1.0.0", "1.1.0")),
    ]);
    const build = await world.untilBuild(await world.build(app), "success", "failed");
    const log = await world.object("app-logs", build.build_logs);
    assertEquals(build.build_status, "success", log);
    assertStringIncludes(log, "--frozen-lockfile");
    assertEquals(await result(world, await finished(world, app)), "older");
  },
  "a lockfile that does not fit is refused, and npm not tried instead": async ({
    world,
    registry,
  }) => {
    const app = await appWith(world, { left: "^1.2.0" }, [
      file("pnpm-lock.yaml", pnpmLock(registry, "left", "^1.0.0", "1.1.0")),
    ]);
    const log = await refused(world, app, "could not be installed");
    assertStringIncludes(log, "ERR_PNPM_OUTDATED_LOCKFILE");
    assert(!log.includes("$ npm"), log);
  },
  "npm's lockfile is npm's to install": async ({ world, registry }) => {
    const lock = {
      name: "app",
      version: "0.0.0",
      lockfileVersion: 3,
      requires: true,
      packages: {
        "": { name: "app", version: "0.0.0", dependencies: { left: "^1.0.0" } },
        "node_modules/left": {
          version: "1.1.0",
          resolved: "http://192.0.2.1/left-1.1.0.tgz",
          integrity: registry.integrity("left", "1.1.0"),
        },
      },
    };
    const app = await appWith(world, { left: "^1.0.0" }, [
      file("package-lock.json", JSON.stringify(lock)),
    ]);
    const build = await world.untilBuild(await world.build(app), "success", "failed");
    const log = await world.object("app-logs", build.build_logs);
    assertEquals(build.build_status, "success", log);
    assertStringIncludes(log, "$ npm ci");
    assertEquals(await result(world, await finished(world, app)), "older");
  },
  "a package that is not there fails the build, after npm was tried too": async ({ world }) => {
    const log = await refused(world, await appWith(world, { absent: "^1.0.0" }), "could not be");
    assertStringIncludes(log, "$ pnpm install");
    assertStringIncludes(log, "$ npm install");
    assertStringIncludes(log, "404");
  },
  "npm installs what pnpm could not": async ({ world, registry }) => {
    // Not there yet when pnpm asks for it.
    registry.late = 1;
    const app = await appWith(world, { "@acme/right": "^2.0.0" }, [], [], RIGHT);
    const build = await world.untilBuild(await world.build(app), "success", "failed");
    const log = await world.object("app-logs", build.build_logs);
    assertEquals(build.build_status, "success", log);
    assertStringIncludes(log, "pnpm install --prod failed (exit code 1).");
    assertStringIncludes(log, "$ npm install");
    assertEquals(await result(world, await finished(world, app)), "right");
  },
  "scripts do not run, neither the app's nor its packages'": async ({ world }) => {
    const app = await world.app({
      files: "runs-install-scripts",
      backend: { dependencies: { left: "^1.0.0" } },
    });
    const build = await world.untilBuild(await world.build(app), "success", "failed");
    const log = await world.object("app-logs", build.build_logs);
    assertEquals(build.build_status, "success", log);
    const found = await result(world, await finished(world, app));
    assertEquals(found, { own: [], left: { left: "right", ran: false } });
  },
  "a .pnpmfile is refused": async ({ world, registry }) => {
    const app = await world.app({
      files: "brings-a-pnpmfile",
      backend: { dependencies: { left: "^1.0.0" } },
    });
    await refused(world, app, ".pnpmfile.cjs is refused");
    assertEquals(registry.asked, []);
  },
  "scripts of packages run where the manifest permits it": async ({ world }) => {
    const app = await appWith(world, { left: "^1.0.0" }, [], [
      { type: "system", scope: "install-scripts", required: true },
    ]);
    const build = await world.untilBuild(await world.build(app), "success", "failed");
    assertEquals(
      build.build_status,
      "success",
      await world.object("app-logs", build.build_logs),
    );
    assertEquals(await result(world, await finished(world, app)), { left: "right", ran: true });
  },
  "an install script finds neither host, secret nor network": async ({ world }) => {
    const app = await appWith(
      world,
      { nosy: "1.0.0" },
      [],
      [
        { type: "system", scope: "install-scripts", required: true },
      ],
      `require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/result.json", JSON.stringify(require("nosy")));`,
    );
    const build = await world.untilBuild(await world.build(app), "success", "failed");
    const log = await world.object("app-logs", build.build_logs);
    assertEquals(build.build_status, "success", log);
    assertEquals(await result(world, await finished(world, app)), {
      shadow: "ENOENT",
      source: "ENOENT",
      secret: false,
      host: "ENETUNREACH",
      search: 404,
      publish: 405,
    });
  },
  "what would let a package manager do more than install is refused": async ({
    world,
    registry,
  }) => {
    for (const [files, message] of hostileProjects(registry)) {
      registry.asked.length = 0;
      const app = await appWith(world, { left: "^1.0.0" }, files);
      await refused(world, app, message);
      assertEquals(registry.asked, [], `nothing is asked for: ${message}`);
    }
    const app = await appWith(world, { left: "^1.0.0" }, hostileProjects(registry)[0][0]);
    const run = await finished(world, app);
    assertEquals(run.status, "failed", "a run refuses it, too");
    assertStringIncludes(run.error_message, ".npmrc is refused");
  },
  "a build is cancelled while it is going": async ({ world, registry, executor }) => {
    registry.hanging = true;
    try {
      const id = await world.build(await appWith(world, { left: "^1.0.0" }));
      await world.untilBuild(id, "building");
      await eventually("it asks", () => registry.asked.length > 0 ? true : null);
      const { build_logs } = await world.buildRow(id);
      const log = await eventually(
        "its log can be read while it grows",
        () => world.object("app-logs", build_logs).catch(() => null),
      );
      assertStringIncludes(log, "attempt 1");
      const before = executor.count("build ended");
      await world.client.from("app_builds").update({ build_status: "cancelled" }).eq("id", id);
      await eventually(
        "the executor drops it",
        () => executor.count("build ended") > before ? true : null,
      );
      assertEquals((await world.buildRow(id)).build_status, "cancelled");
    } finally {
      registry.hanging = false;
    }
  },
  "a build that an executor gives back is another's": async ({ world, registry }) => {
    registry.hanging = true;
    const app = await appWith(world, { left: "^1.0.0" });
    const id = await world.build(app);
    const first = await world.untilBuild(id, "building");
    const released = await world.client.rpc("release_app_builds", {
      executor_id: first.executor_id,
      build_ids: [id],
    });
    assertEquals(released.error, null);
    registry.hanging = false;
    const build = await world.untilBuild(id, "success", "failed");
    assertEquals([build.build_status, build.attempt, build.attempt_history[0].outcome], [
      "success",
      1,
      "released",
    ]);
  },
};

/** With an executor that gives installs two seconds. */
const SHORT_CASES: typeof CASES = {
  "an install that waits for its registry is ended in time": async ({ world, registry }) => {
    registry.hanging = true;
    try {
      const app = await appWith(world, { left: "^1.0.0" });
      await refused(world, app, "took longer than 2 s");
    } finally {
      registry.hanging = false;
    }
  },
  "an install script that hangs is ended in time, with what it hid": async ({ world }) => {
    const app = await world.app({
      files: "hangs-while-installing",
      backend: { dependencies: { sleepy: "1.0.0" } },
      permissions: [{ type: "system", scope: "install-scripts", required: true }],
    });
    await refused(world, app, "took longer than 2 s");
  },
};

function readApp(path: string): string {
  return Deno.readTextFileSync(new URL(`apps/${path}`, import.meta.url));
}

function hostileProjects(registry: Registry): [Entry[], string][] {
  const project = (values: Row) => [file("package.json", JSON.stringify(values))];
  const lock = pnpmLock(registry, "left", "^1.0.0", "1.1.0");
  return [
    [[file(".npmrc", "registry=http://192.0.2.1/\n")], ".npmrc is refused"],
    [[file("deep/er/.npmrc", "x=y\n")], "deep/er/.npmrc is refused"],
    [[file(".pnpmfile.cjs", "throw 1")], ".pnpmfile.cjs is refused"],
    [[file(".pnpmfile.mjs", "throw 1")], ".pnpmfile.mjs is refused"],
    [[file("pnpm-workspace.yaml", "packages: ['../**']\n")], "pnpm-workspace.yaml is refused"],
    [project({ packageManager: "pnpm@9.0.0" }), "packageManager is"],
    [project({ packageManager: "yarn@4.0.0" }), "packageManager is"],
    [project({ devEngines: { packageManager: { name: "pnpm" } } }), "devEngines.packageManager"],
    [project({ workspaces: ["../../*"] }), "the field workspaces is not taken"],
    [project({ pnpm: { overrides: {} } }), "the field pnpm is not taken"],
    ...[
      "file:/etc",
      "link:../..",
      "git+ssh://git@192.0.2.1/x",
      "http://192.0.2.1/x.tgz",
      "../x",
      "acme/left",
      "workspace:*",
      "github:acme/left",
      "catalog:",
    ].map((range) =>
      [project({ dependencies: { x: range } }), "versions and ranges are taken"] as [
        Entry[],
        string,
      ]
    ),
    [project({ devDependencies: { x: "file:/etc" } }), "devDependencies.x"],
    [project({ optionalDependencies: { x: "link:/" } }), "optionalDependencies.x"],
    [project({ overrides: { left: { right: "file:/etc" } } }), "overrides.left.right"],
    [project({ dependencies: { "../x": "1.0.0" } }), "has the name"],
    [project({ dependencies: { left: "^2.0.0" } }), "it wants left ^2.0.0"],
    [[file("package.json", "{")], "package.json is refused: it is not valid JSON"],
    [[file("package.json", "\0")], "package.json is refused: it is not valid JSON"],
    [
      [file("pnpm-lock.yaml", lock.replace(/integrity: [^}]*/, "tarball: http://192.0.2.1/x.tgz"))],
      "does not come from the registry",
    ],
    [
      [file(
        "pnpm-lock.yaml",
        lock.replace(/\{integrity: [^}]*/, "{directory: ../.., type: directory"),
      )],
      "does not come from the registry",
    ],
    [
      [file("pnpm-lock.yaml", lock.replace("version: 1.1.0", "version: link:../.."))],
      "names a path",
    ],
    [[file("pnpm-lock.yaml", lock.replace("  .:", "  ../x:"))], "lockfile of a workspace"],
    [[file("pnpm-lock.yaml", "a: &a [*a]\n{")], "pnpm-lock.yaml is refused"],
    [
      [file(
        "package-lock.json",
        JSON.stringify({ packages: { "node_modules/x": { link: true } } }),
      )],
      "does not come from the registry",
    ],
    [
      [file("package-lock.json", JSON.stringify({ packages: { "../x": { integrity: "x" } } }))],
      "does not come from the registry",
    ],
    [
      [file("package-lock.json", JSON.stringify({ packages: { "node_modules/x": {} } }))],
      "has no integrity",
    ],
  ];
}

function file(name: string, content: string): Entry {
  return { name, content };
}

function pnpmLock(registry: Registry, name: string, range: string, version: string): string {
  return `lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      ${name}:
        specifier: ${range}
        version: ${version}

packages:

  ${name}@${version}:
    resolution: {integrity: ${registry.integrity(name, version)}}

snapshots:

  ${name}@${version}: {}
`;
}

async function appWith(
  world: World,
  dependencies: Record<string, string>,
  files: Entry[] = [],
  permissions: Row[] = [],
  source = APP,
): Promise<App> {
  return await world.app({
    files: [file("index.js", source), ...files],
    backend: { dependencies },
    permissions,
  });
}

/** The log of a build of the app, which fails with the message, at once. */
async function refused(world: World, app: App, message: string): Promise<string> {
  const build = await world.untilBuild(await world.build(app), "success", "failed");
  assertEquals([build.build_status, build.attempt], ["failed", 1], message);
  assertStringIncludes(build.error_message, message);
  const log = await world.object("app-logs", build.build_logs);
  assertStringIncludes(log, build.error_message);
  return log;
}

async function finished(world: World, app: App): Promise<Row> {
  return await world.until(await world.request(app), "success", "failed", "timeout", "cancelled");
}

async function result(world: World, run: Row): Promise<unknown> {
  return (await world.outputs(run.id)).find((each) => each.output_type === "result")?.output_data;
}
