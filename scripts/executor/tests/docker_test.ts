/** Apps in containers of a real engine: each ends as it must, the executor goes on, and nothing remains. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../testing/assert.ts";
import { conclusionOf } from "../conclusions.ts";
import { DockerSandbox } from "../sandbox/docker.ts";
import { Engine } from "../sandbox/docker_engine.ts";
import { isAbandoned, OWNER_LABEL, ownerLabels, ownerOf } from "../sandbox/docker_owner.ts";
import { limitsOf } from "../sandbox/limits.ts";
import { isDead } from "../sandbox/processes.ts";
import { locateRuntimes, type RuntimePaths } from "../sandbox/runtimes.ts";
import { selectSandbox } from "../sandbox/select.ts";
import { KillNow } from "../sandbox/types.ts";
import { CASES, SECRET, walk } from "./cases.ts";
import {
  admit,
  canHaveEngine,
  groupFolders,
  mountsBelow,
  startTestEngine,
  type TestEngine,
} from "./docker_daemon.ts";
import { openHost } from "./host.ts";
import { isRoot, NOBODY, ownPlace, placeOfOrdinaryUser } from "./places.ts";
import type { RunOptions } from "./run_app.ts";
import { eventually } from "./world.ts";

interface World {
  engine: TestEngine;
  client: Engine;
  sandbox: DockerSandbox;
  workDir: string;
  runtimes: RuntimePaths;
}

async function openWorld(): Promise<World & { close(): Promise<void> }> {
  const runtimes = locateRuntimes();
  assert(typeof runtimes !== "string");
  const engine = await startTestEngine(runtimes);
  const workDir = await Deno.makeTempDir({ prefix: "stowage test " });
  await Deno.chmod(workDir, isRoot() ? 0o711 : 0o700);
  const client = new Engine(engine.socket);
  const sandbox = new DockerSandbox({ workDir, runtimes, host: engine.host });
  return {
    ...{ engine, client, sandbox, workDir, runtimes },
    async close() {
      await sandbox.close();
      client.close();
      await Deno.remove(workDir, { recursive: true });
      await engine.stop();
    },
  };
}

async function assertNothingRemains(client: Engine, engine: TestEngine) {
  assertEquals(await remains(client, engine), [], "no container and no control group is left");
}

/** Containers of this process, and control groups of any. */
async function remains(client: Engine, engine: TestEngine): Promise<string[]> {
  const containers = (await client.list(OWNER_LABEL)).filter((each) =>
    each.Labels[OWNER_LABEL] === ownerOf(Deno.pid)
  );
  const groups = !engine.cgroupParent
    ? []
    : groupFolders(engine.cgroupParent).flatMap((folder) =>
      [...Deno.readDirSync(folder)].filter((entry) => entry.isDirectory)
        .map(({ name }) => `control group ${name}`)
    );
  return [...containers.map(({ Id }) => `container ${Id}`), ...groups];
}

// An ordinary user without an engine cannot have one; root starts its own.
Deno.test("docker", { ignore: !await canHaveEngine() }, async (t) => {
  Deno.env.set("STOWAGE_TEST_SECRET", SECRET);
  const world = await openWorld();
  const host = await openHost();
  try {
    await t.step("it is there, with its image, and says what it cannot enforce", async () => {
      const availability = await world.sandbox.check();
      assertEquals(availability.problem, undefined);
      assert(availability.available);
      assert(availability.unenforced.length > 0);
      await assertNothingRemains(world.client, world.engine);
    });
    const place = await ownPlace({ sandbox: "docker", host: world.engine.host });
    const run = async (options: RunOptions) => {
      const result = await place.run(options);
      return {
        ...result,
        left: [...result.left, ...await remains(world.client, world.engine)],
      };
    };
    await walk(t, { ...place, run }, host);
    await place.close();
    await t.step(
      "an app that is killed while it starts leaves nothing",
      () => killWhileStarting(world),
    );
    await t.step("a sink that fails ends the app and is reported", () => failSink(world));
    await t.step("an engine that is lost is not the app's fault", () => loseContainer(world));
    if (world.engine.own) {
      await t.step(
        "an engine that is killed leaves no app, and its run ends as nobody's fault",
        () => crashEngine(world),
      );
    }
    await t.step(
      "what a dead executor left is removed, what a living one uses is not",
      () => sweepOthers(world),
    );
    await t.step("what is missing is named", () => nameWhatIsMissing(world));
    await t.step("auto prefers it", () => preferIt(world));
    if (world.engine.own) {
      await t.step("an ordinary user of the engine can use it", () => runAsUser(world));
    }
  } finally {
    await host.close();
    const { engine } = world;
    await world.close();
    if (engine.own) {
      const folder = engine.socket.slice(0, engine.socket.lastIndexOf("/"));
      assertEquals(mountsBelow(folder), []);
      assertEquals(groupFolders(engine.cgroupParent!), []);
    }
  }
});

async function specIn(workDir: string, code: string) {
  const dir = await Deno.makeTempDir({ dir: workDir });
  const [appDir, outputDir, scratchDir] = ["app", "output", "scratch"].map((name) =>
    join(dir, name)
  );
  for (const path of [appDir, outputDir, scratchDir]) await Deno.mkdir(path);
  await Deno.writeTextFile(join(appDir, "index.js"), code);
  const configFile = join(dir, "config.json");
  await Deno.writeTextFile(configFile, "{}");
  return {
    ...{ appDir, outputDir, scratchDir, configFile },
    id: crypto.randomUUID(),
    runtime: "node" as const,
    entrypoint: "index.js",
    env: {},
    limits: { ...limitsOf({}), timeoutSeconds: 20, graceSeconds: 0.5 },
    stdout: (_: Uint8Array): void | Promise<void> => {},
    stderr: () => {},
  };
}

const FOREVER = "console.log('on'); setInterval(() => {}, 1000)";

async function killWhileStarting({ sandbox, client, engine, workDir }: World): Promise<void> {
  const outcomes = await Promise.all(Array.from({ length: 8 }, async (_, i) => {
    const spec = await specIn(workDir, FOREVER);
    const abort = new AbortController();
    if (i === 0) abort.abort(new KillNow("test"));
    const timer = setTimeout(() => abort.abort(new KillNow("test")), 100 * i);
    const outcome = await sandbox.run(spec, abort.signal);
    clearTimeout(timer);
    return outcome.kind;
  }));
  assertEquals(outcomes, Array(8).fill("aborted"));
  await assertNothingRemains(client, engine);
}

async function failSink({ sandbox, client, engine, workDir }: World): Promise<void> {
  const spec = await specIn(workDir, FOREVER);
  spec.stdout = () => Promise.reject(new Error("the disk is full"));
  const failure = await sandbox.run(spec, new AbortController().signal).then(
    () => null,
    (error: Error) => error,
  );
  assertEquals(failure?.message, "the disk is full");
  await assertNothingRemains(client, engine);
}

async function loseContainer({ sandbox, client, engine, workDir }: World): Promise<void> {
  const spec = await specIn(workDir, FOREVER);
  const failure = new Promise<unknown>((resolve) => {
    spec.stdout = async () => {
      const [container] = (await client.list(`stowage.run=${spec.id}`)).map(({ Id }) => Id);
      await client.remove(container);
    };
    sandbox.run(spec, new AbortController().signal).then(resolve, resolve);
  });
  const result = await failure;
  // Removed by somebody, it was killed: nothing says by whom.
  const isKilled = JSON.stringify(result) ===
    JSON.stringify({ kind: "exited", code: 137, signal: "SIGKILL" });
  assert(isKilled || (result as Error).name === "SandboxError", `${result}`);
  await assertNothingRemains(client, engine);
}

async function crashEngine({ sandbox, client, engine, workDir }: World): Promise<void> {
  const spec = await specIn(workDir, FOREVER);
  let written = () => {};
  const running = new Promise<void>((resolve) => written = resolve);
  spec.stdout = () => written();
  const ended = sandbox.run(spec, new AbortController().signal).then(
    () => null,
    (error: Error) => error,
  );
  await running;
  const [{ Id }] = await client.list(`stowage.run=${spec.id}`);
  const { Pid } = await client.state(Id);
  const { start } = await engine.crash!();
  await eventually("the app is gone, with no engine", () => isDead(Pid) ? true : null);
  await start();
  assertEquals((await ended)?.name, "SandboxError");
  await assertNothingRemains(client, engine);
  const next = await specIn(workDir, "");
  const outcome = await sandbox.run(next, new AbortController().signal);
  assertEquals(outcome, { kind: "exited", code: 0 }, "the executor goes on");
}

async function sweepOthers({ sandbox, client, engine, workDir, runtimes }: World): Promise<void> {
  const image = (await sandbox.check()).details.image;
  const container = (labels: Record<string, string>) =>
    client.create(`stowage-test-${crypto.randomUUID()}`, {
      Image: image,
      Cmd: ["/usr/local/bin/node", "-e", FOREVER],
      Labels: labels,
      HostConfig: { NetworkMode: "none" },
    });
  const labels = ownerLabels("a run", 60_000);
  const another = new Deno.Command(runtimes.node, { args: ["-e", FOREVER], stdout: "null" })
    .spawn();
  const living = await container({ ...labels, [OWNER_LABEL]: ownerOf(another.pid)! });
  const dead = await container({ ...labels, [OWNER_LABEL]: `${ownerOf(Deno.pid)}0` });
  for (const id of [living, dead]) await client.start(id);
  const second = new DockerSandbox({ workDir, runtimes, host: engine.host });
  try {
    assert((await second.check()).available);
    const left = (await client.list(OWNER_LABEL)).map(({ Id }) => Id);
    assertEquals([left.includes(living), left.includes(dead)], [true, false]);
    assertEquals((await client.state(living)).Running, true);
  } finally {
    another.kill("SIGKILL");
    await another.status;
  }
  assert((await second.check()).available);
  await second.close();
  await assertNothingRemains(client, engine);
  assertEquals((await client.list(OWNER_LABEL)).map(({ Id }) => Id).includes(living), false);
  const other = ownerOf(Deno.pid)!.split("/").with(1, "1").join("/");
  const elsewhere = { ...labels, [OWNER_LABEL]: other };
  assertEquals(isAbandoned(elsewhere), false, "of another namespace, and not overdue");
  assertEquals(isAbandoned(elsewhere, Deno.osUptime() + 3600), true, "overdue");
}

async function nameWhatIsMissing({ workDir, runtimes, engine }: World): Promise<void> {
  const problemOf = async (options: { host?: string; image?: string }) => {
    const sandbox = new DockerSandbox({ workDir, runtimes, ...options });
    const { available, problem } = await sandbox.check();
    assertEquals(available, false);
    await sandbox.close();
    return problem!;
  };
  assertStringIncludes(
    await problemOf({ host: "unix:///nowhere/docker.sock" }),
    "apt-get install docker.io",
  );
  assertStringIncludes(await problemOf({ host: "tcp://192.0.2.1:2375" }), "on this host");
  const { host } = engine;
  assertStringIncludes(await problemOf({ host, image: "no-such-image:1" }), "docker pull");
  const other = { node: runtimes.deno, deno: runtimes.deno };
  const sandbox = new DockerSandbox({ workDir, runtimes: other, host });
  assertStringIncludes((await sandbox.check()).problem!, "npm run executor:image");
}

async function preferIt({ workDir, runtimes, engine }: World): Promise<void> {
  const before = Deno.env.get("DOCKER_HOST");
  Deno.env.set("DOCKER_HOST", engine.host);
  try {
    const { sandbox } = await selectSandbox("auto", { workDir, runtimes });
    assertEquals(sandbox.name, "docker");
    await sandbox.close();
  } finally {
    if (before === undefined) Deno.env.delete("DOCKER_HOST");
    else Deno.env.set("DOCKER_HOST", before);
  }
}

async function runAsUser({ engine }: World): Promise<void> {
  const settings = { sandbox: "docker" as const, host: engine.host };
  const stranger = await placeOfOrdinaryUser(settings);
  await assertRejects(() => stranger.run({ app: "works" }), Error, "usermod -aG docker");
  await stranger.close();
  await admit(engine, NOBODY);
  const place = await placeOfOrdinaryUser(settings);
  try {
    for (
      const name of [
        "an app works: arguments, output and both logs",
        "no secret, process, descriptor or privilege of the executor is there",
        "a flood of deleted files is stopped",
        "memory outside the heap is limited",
      ]
    ) {
      const { options, end, check } = CASES[name];
      const result = await place.run(options as RunOptions);
      const { status, error_message } = conclusionOf(result.outcome);
      assertEquals([status, error_message], [...end as string[], undefined].slice(0, 2), name);
      await check?.(result, place, undefined as never);
    }
  } finally {
    await place.close();
  }
}
