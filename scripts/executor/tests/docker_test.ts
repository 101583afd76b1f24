/** Apps in containers of a real engine: each ends as it must, the executor goes on, and nothing remains. */
import dgram from "node:dgram";
import { once } from "node:events";
import { join } from "node:path";
import { assert, assertEquals, assertStringIncludes } from "../../testing/assert.ts";
import type { EgressEvent } from "../egress/proxy.ts";
import { type DockerOptions, DockerSandbox } from "../sandbox/docker.ts";
import { Engine } from "../sandbox/docker_engine.ts";
import { isAbandoned, OWNER_LABEL, ownerLabels, ownerOf } from "../sandbox/docker_owner.ts";
import { limitsOf } from "../sandbox/limits.ts";
import { locateRuntimes, type RuntimePaths } from "../sandbox/runtimes.ts";
import { selectSandbox } from "../sandbox/select.ts";
import { KillNow } from "../sandbox/types.ts";
import { isRoot } from "./as_user.ts";
import { CASES, SECRET } from "./docker_cases.ts";
import {
  canHaveEngine,
  groupFolders,
  mountsBelow,
  startTestEngine,
  type TestEngine,
} from "./docker_daemon.ts";
import { dockerAsOrdinaryUser } from "./docker_user.ts";
import { execute, type RunOptions, type RunResult } from "./run_app.ts";

interface World {
  engine: TestEngine;
  client: Engine;
  sandbox: DockerSandbox;
  workDir: string;
  runtimes: RuntimePaths;
  run(options: RunOptions): Promise<RunResult>;
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
    async run(options) {
      const folder = await Deno.makeTempDir({ dir: workDir });
      await Deno.chmod(folder, isRoot() ? 0o711 : 0o700);
      const result = await execute(sandbox, folder, options);
      await assertNothingRemains(client, engine, result);
      await Deno.remove(folder, { recursive: true });
      return result;
    },
    async close() {
      await sandbox.close();
      client.close();
      await Deno.remove(workDir, { recursive: true });
      await engine.stop();
    },
  };
}

async function assertNothingRemains(client: Engine, engine: TestEngine, result?: RunResult) {
  assertEquals(result?.left ?? [], [], "no process is left");
  const own = (await client.list(OWNER_LABEL)).filter((each) =>
    each.Labels[OWNER_LABEL] === ownerOf(Deno.pid)
  );
  assertEquals(own, [], "no container is left");
  if (!engine.cgroupParent) return;
  const groups = groupFolders(engine.cgroupParent).flatMap((folder) =>
    [...Deno.readDirSync(folder)].filter((entry) => entry.isDirectory).map(({ name }) => name)
  );
  assertEquals(groups, [], "no control group is left");
}

// An ordinary user without an engine cannot have one; root starts its own.
Deno.test("docker", { ignore: !await canHaveEngine() }, async (t) => {
  Deno.env.set("STOWAGE_TEST_SECRET", SECRET);
  const world = await openWorld();
  try {
    await t.step("it is there, with its image, and says what it cannot enforce", async () => {
      const availability = await world.sandbox.check();
      assertEquals(availability.problem, undefined);
      assert(availability.available);
      assert(availability.unenforced.length > 0);
      await assertNothingRemains(world.client, world.engine);
    });
    for (
      const [name, { options, outcome, check }] of Object.entries(CASES).slice(
        0,
        Number(Deno.env.get("N1") ?? 99),
      )
    ) {
      await t.step(name, async () => {
        const result = await world.run(options);
        assertEquals(result.outcome, outcome, result.stderr);
        check?.(result);
      });
    }
    await t.step(
      "the network of the host and the world cannot be reached",
      () => reachForTheNetwork(world),
    );
    await t.step(
      "an app that is killed while it starts leaves nothing",
      () => killWhileStarting(world),
    );
    await t.step(
      "an app with network permissions reaches the hosts that they name, and no others",
      () => reachGrantedHosts(world),
    );
    await t.step("a sink that fails ends the app and is reported", () => failSink(world));
    await t.step("an engine that is lost is not the app's fault", () => loseContainer(world));
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
    const { engine } = world;
    await world.close();
    if (engine.own) {
      const folder = engine.socket.slice(0, engine.socket.lastIndexOf("/"));
      assertEquals(mountsBelow(folder), []);
      assertEquals(groupFolders(engine.cgroupParent!), []);
    }
  }
});

async function reachForTheNetwork({ run, runtimes }: World): Promise<void> {
  const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const datagrams = dgram.createSocket("udp4").bind(0, "0.0.0.0");
  await once(datagrams, "listening");
  const folder = await Deno.makeTempDir();
  await Deno.chmod(folder, 0o755);
  const socket = `${folder}/socket`;
  const unix = Deno.listen({ transport: "unix", path: socket });
  await Deno.chmod(socket, 0o777);
  const abstract = `stowage-${crypto.randomUUID()}`;
  const abstractListener = await listenAbstract(runtimes.node, abstract);
  let reached = 0;
  for (const each of [listener, unix]) {
    each.accept().then((connection) => {
      reached++;
      connection.close();
    }, () => {});
  }
  datagrams.on("message", () => reached++);
  const own = Deno.networkInterfaces().filter((each) =>
    each.family === "IPv4" && each.address !== "127.0.0.1"
  ).map((each) => each.address);
  const gateways = own.map((address) => address.replace(/\d+$/, "1"));
  try {
    const { port } = listener.addr;
    const result = await run({
      app: "reaches-for-the-network",
      config: {
        hosts: ["127.0.0.1", ...own, ...gateways, "172.17.0.1", "192.0.2.1"],
        ...{ port, udpPort: datagrams.address().port, socket, abstract },
      },
    });
    assertEquals(result.outcome, { kind: "exited", code: 0 }, result.stderr);
    for (const [target, answer] of Object.entries(JSON.parse(result.stdout))) {
      // Its own loopback takes datagrams that nobody reads.
      if (target === "udp 127.0.0.1") continue;
      assert(
        !["CONNECTED", "SENT", "RESOLVED"].includes(answer as string),
        `${target}: ${answer}`,
      );
    }
    assertEquals(reached, 0);
    assertEquals(await abstractListener.connections(), 0);
  } finally {
    for (const each of [listener, unix, datagrams]) each.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** On loopback, which only this test's own policy of addresses lets an app reach. */
async function reachGrantedHosts({ workDir, runtimes, engine, client }: World): Promise<void> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => new Response(`hello from ${new URL(request.url).host}`),
  );
  const { port } = server.addr;
  const granted = `http://api.example.com:${port}/`;
  const other = `http://other.example.com:${port}/`;
  const events: EgressEvent[] = [];
  const resolve = () => Promise.resolve(["127.0.0.1"]);
  const open = { resolve, isAllowedAddress: (address: string) => address === "127.0.0.1" };
  const results = async (egress: DockerOptions["egress"], options: RunOptions) => {
    const sandbox = new DockerSandbox({
      ...{ workDir, runtimes, host: engine.host, egress },
      logEgress: (_, event) => events.push(event),
    });
    assert((await sandbox.check()).available);
    const folder = await Deno.makeTempDir({ dir: workDir });
    await Deno.chmod(folder, isRoot() ? 0o711 : 0o700);
    const result = await execute(sandbox, folder, {
      ...options,
      config: { urls: [granted, other] },
      network: [`api.example.com:${port}`],
    });
    await sandbox.close();
    await assertNothingRemains(client, engine, result);
    assertEquals(result.outcome, { kind: "exited", code: 0 }, result.stderr);
    return JSON.parse(result.stdout);
  };
  try {
    const node = await results(open, { app: "reaches-granted-hosts" });
    for (const way of ["http", "fetch"]) {
      assertEquals(node[granted][way], `200 hello from api.example.com:${port}`);
      assertStringIncludes(node[other][way], "not among the app's network permissions");
    }
    const app = { app: "reaches-granted-hosts", runtime: "deno", entrypoint: "main.ts" } as const;
    const deno = await results(open, app);
    assertEquals(deno[granted].fetch, `200 hello from api.example.com:${port}`);
    assertStringIncludes(deno[other].fetch, "not among the app's network permissions");
    // The name is granted, but where it leads is not public: the policy that holds unless told otherwise.
    const closed = await results({ resolve }, app);
    assertStringIncludes(closed[granted].fetch, "no address of the public Internet");
    assert(events.some(({ host, address }) => host === "api.example.com" && address));
    assert(events.some(({ host, refused }) => host === "other.example.com" && refused));
  } finally {
    await server.shutdown();
  }
}

/** Listens on a socket of the host that has no file; ends when asked how many came. */
async function listenAbstract(node: string, name: string) {
  const child = new Deno.Command(node, {
    args: [
      "-e",
      `let n = 0;
       require("node:net").createServer(() => n++).listen("\\0" + process.argv[1], () => console.log("ready"));
       process.stdin.on("data", () => { console.log(n); process.exit(0); });`,
      name,
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await lines.read()).value, "ready\n");
  return {
    async connections(): Promise<number> {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("\n"));
      const { value } = await lines.read();
      await writer.close().catch(() => {});
      await lines.cancel();
      await child.status;
      return Number(value);
    },
  };
}

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
  assertEquals(isAbandoned(elsewhere, Date.now() + 3_600_000), true, "overdue");
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
  const user = await dockerAsOrdinaryUser(engine);
  try {
    await user.refused();
    await user.admit();
    for (
      const name of [
        "an app works: arguments, output and both logs",
        "no secret, process, descriptor or privilege of the executor is there",
        "a flood of deleted files is stopped",
        "memory outside the heap is limited",
      ]
    ) {
      const { options, outcome, check } = CASES[name];
      const result = await user.run(options);
      assertEquals(result.outcome, outcome, `${name}: ${result.stderr}`);
      check?.(result);
    }
  } finally {
    await user.close();
  }
}
