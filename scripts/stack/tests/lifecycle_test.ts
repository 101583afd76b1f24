import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertExists, assertMatch } from "../../testing/assert.ts";
import { anonClient, serviceClient, startTestStack, TEST_PASSWORD } from "../../testing/stack.ts";
import { withClient } from "../database.ts";
import { removeServerDirectory, sweepServerDirectories } from "../postgres_location.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const DEADLINE_MS = 60_000;

interface Running {
  child: Deno.ChildProcess;
  output: () => string;
  ended: Promise<Deno.CommandStatus>;
}

/** `npm start` without npm; settles when it says that it has started, or has ended. */
function start(dataDir: string, ...args: string[]): Promise<Running> {
  return launch(Deno.execPath(), ["run", "-A", MAIN, "start", "--data-dir", dataDir, ...args]);
}

async function launch(command: string, args: string[]): Promise<Running> {
  const child = new Deno.Command(command, {
    args,
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let text = "";
  const { promise, resolve } = Promise.withResolvers<void>();
  const read = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      text += decoder.decode(chunk, { stream: true });
      if (text.includes("Ctrl-C stops it.")) resolve();
    }
  };
  const reading = Promise.all([read(child.stdout), read(child.stderr)]);
  const ended = child.status.then(async (status) => {
    await reading;
    resolve();
    return status;
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  await promise;
  clearTimeout(timer);
  return { child, output: () => text, ended };
}

async function status(dataDir: string, output: string): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "status", "--data-dir", dataDir, "--output", output],
  }).output();
  return { code, text: new TextDecoder().decode(code === 0 ? stdout : stderr) };
}

/** Processes whose command line names the directory. */
async function processesOf(dataDir: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-eo", "args", "-ww"] }).output();
  return new TextDecoder().decode(stdout).split("\n")
    .filter((line) => line.includes(dataDir) && !line.startsWith("ps "));
}

async function isListening(port: number): Promise<boolean> {
  return await Deno.connect({ hostname: "127.0.0.1", port }).then(
    (connection) => (connection.close(), true),
    () => false,
  );
}

async function eventually(
  what: string,
  check: () => Promise<boolean>,
  patienceMs = 15_000,
): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!await check()) {
    assert(Date.now() < deadline, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function withDirectory(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "stowage life " });
  // Under root, Postgres runs as another user, which has to pass through.
  await Deno.chmod(dir, 0o755);
  try {
    await work(dir);
  } finally {
    await removeServerDirectory(`${dir}/data/postgres`);
    await Deno.remove(dir, { recursive: true });
  }
}

const FREE = ["--port", "0", "--db-port", "0"];

Deno.test("a stack starts, tells its state, stops, and starts again with its data", async () => {
  await withDirectory(async (dir) => {
    const data = `${dir}/data`;
    // Relative paths are the caller's.
    const first = await start(relative(ROOT, data), ...FREE);
    assertMatch(first.output(), /API URL: http:\/\/127\.0\.0\.1:\d+/);
    const json = await status(data, "json");
    assertEquals(json.code, 0, json.text);
    const state = JSON.parse(json.text);
    const names = [
      "API_URL",
      "DB_URL",
      "PUBLISHABLE_KEY",
      "SECRET_KEY",
      "ANON_KEY",
      "SERVICE_ROLE_KEY",
      "JWT_SECRET",
    ];
    for (const name of names) assertExists(state[name], name);
    assertMatch((await status(data, "env")).text, new RegExp(`^API_URL="${state.API_URL}"$`, "m"));
    await withClient(state.DB_URL, (client) => client.query("create table public.kept (id int)"));

    first.child.kill("SIGTERM");
    assertEquals((await first.ended).code, 0, first.output());
    assertEquals(await processesOf(data), []);
    assertEquals(await isListening(Number(new URL(state.API_URL).port)), false);
    const stopped = await status(data, "json");
    assertEquals(stopped.code, 1);
    assertMatch(stopped.text, /No stack is running/);

    const second = await start(data, ...FREE);
    const after = JSON.parse((await status(data, "json")).text);
    for (const name of names.slice(2)) assertEquals(after[name], state[name], name);
    await withClient(after.DB_URL, (client) => client.query("table public.kept"));
    second.child.kill("SIGINT");
    assertEquals((await second.ended).code, 0, second.output());
    assertEquals(await processesOf(data), []);
  });
});

/**
 * What a terminal's Ctrl-C does to `args`: SIGINT to the whole group, as soon as `ready` holds. Waits for the end.
 */
async function interrupt(
  args: string[],
  ready: () => Promise<boolean>,
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", ...args],
    ...{ cwd: ROOT, env, stdin: "null", stdout: "piped", stderr: "piped", detached: true },
  }).spawn();
  const output = child.output();
  try {
    await eventually("the moment for the signal", ready, DEADLINE_MS);
  } finally {
    Deno.kill(-child.pid, "SIGINT");
  }
  const timer = setTimeout(() => Deno.kill(-child.pid, "SIGKILL"), DEADLINE_MS);
  const { code, stdout, stderr } = await output;
  clearTimeout(timer);
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const exists = (path: string) => Deno.stat(path).then(() => true, () => false);

for (
  const [moment, ready] of [
    ["initdb works", async (data) => await exists(`${await serverFiles(data)}/data.new/base`)],
    ["the migrations are applied", async (data) => {
      const [, , , port] = (await Deno.readTextFile(await findPidFile(data)).catch(() => ""))
        .split("\n");
      return port !== undefined && (await processesOf(`:${port}/`)).length > 0;
    }],
  ] as [string, (data: string) => Promise<boolean>][]
) {
  Deno.test(`Ctrl-C while ${moment} ends the start with one line, and the next one works`, async () => {
    await withDirectory(async (dir) => {
      const data = `${dir}/data`;
      const args = [MAIN, "start", "--data-dir", data, ...FREE];
      const { code, stdout, stderr } = await interrupt(args, () => ready(data));
      assertEquals([code, stdout, stderr], [0, "Stopped before it had started.\n", ""]);
      assertEquals(await processesOf(data), []);
      const next = await start(data, ...FREE);
      assertMatch(next.output(), /Started in/);
      next.child.kill("SIGTERM");
      assertEquals((await next.ended).code, 0, next.output());
    });
  });
}

Deno.test("Ctrl-C in the demo ends it, and all that it had started", async () => {
  await withDirectory(async (dir) => {
    const demo = fileURLToPath(new URL("../../demo.ts", import.meta.url));
    // The Supabase CLI leaves a library of its own beside them.
    const made = () =>
      [...Deno.readDirSync(dir)].map(({ name }) => name)
        .filter((name) => name.startsWith("stowage-demo-"));
    const serving = async () => await exists(`${dir}/${made()[0]}/state.json`);
    const { code, stderr } = await interrupt([demo], serving, { TMPDIR: dir });
    assertEquals(code, 130, stderr);
    assertMatch(stderr, /^\nThe demo stopped: it was interrupted.*\n\n$/);
    assertEquals([await processesOf(dir), made()], [[], []]);
  });
});

Deno.test("npm hands a signal on: it ends the stack, and nothing is left", async () => {
  await withDirectory(async (dir) => {
    const data = `${dir}/data`;
    const { child, output, ended } = await launch("npm", [
      "start",
      "--",
      "--data-dir",
      data,
      ...FREE,
    ]);
    child.kill("SIGTERM");
    await ended;
    assertMatch(output(), /Stopped\.$/m);
    assertEquals(await processesOf(data), []);
  });
});

Deno.test("a stack whose parent was killed leaves nothing running, and starts again", async () => {
  await withDirectory(async (dir) => {
    const data = `${dir}/data`;
    const first = await start(data, ...FREE);
    const state = JSON.parse((await status(data, "json")).text);
    await withClient(state.DB_URL, (client) => client.query("create table public.kept (id int)"));
    // A function's process must go as well.
    const answer = await fetch(`${state.API_URL}/functions/v1/manifests`, { method: "OPTIONS" });
    await answer.body?.cancel();
    first.child.kill("SIGKILL");
    await first.ended;
    await eventually("all children gone", async () => (await processesOf(data)).length === 0);
    assertEquals((await status(data, "json")).code, 1);
    const second = await start(data, ...FREE);
    const after = JSON.parse((await status(data, "json")).text);
    await withClient(after.DB_URL, (client) => client.query("table public.kept"));
    second.child.kill("SIGTERM");
    assertEquals((await second.ended).code, 0, second.output());
  });
});

Deno.test("a server that outlived its parent is taken over", async () => {
  await withDirectory(async (dir) => {
    const data = `${dir}/data`;
    const first = await start(data, ...FREE);
    const pidFile = await findPidFile(data);
    const postmaster = Number((await Deno.readTextFile(pidFile)).split("\n")[0]);
    // The watchdog is killed first, as when everything but the server is.
    const { stdout } = await new Deno.Command("ps", { args: ["-eo", "pid,args", "-ww"] }).output();
    for (const line of new TextDecoder().decode(stdout).split("\n")) {
      const match = /^\s*(\d+) \/bin\/sh -c read .* (\d+)$/.exec(line);
      if (match && Number(match[2]) === postmaster) Deno.kill(Number(match[1]), "SIGKILL");
    }
    first.child.kill("SIGKILL");
    await first.ended;
    Deno.kill(postmaster, "SIGCONT"); // still there
    const second = await start(data, ...FREE);
    assertMatch(second.output(), /Started in/);
    assert(Number((await Deno.readTextFile(pidFile)).split("\n")[0]) !== postmaster);
    second.child.kill("SIGTERM");
    assertEquals((await second.ended).code, 0, second.output());
  });
});

async function findPidFile(data: string): Promise<string> {
  return `${await serverFiles(data)}/data/postmaster.pid`;
}

/** The server's own folder: elsewhere, where root starts it in one that others cannot enter. */
async function serverFiles(data: string): Promise<string> {
  const name = await Deno.readTextFile(`${data}/postgres/server-directory`).catch(() => undefined);
  return name === undefined ? `${data}/postgres` : `/var/lib/stowage/${name}`;
}

Deno.test("two stacks run side by side, and one directory holds one stack", async () => {
  const [one, two] = await Promise.all([
    startTestStack({ functions: false, seed: false }),
    startTestStack({ functions: false, seed: false }),
  ]);
  try {
    assert(one.apiUrl !== two.apiUrl && one.dbUrl !== two.dbUrl);
    assert(one.secretKey !== two.secretKey);
    const email = "same@example.com";
    for (const stack of [one, two]) {
      const { error } = await anonClient(stack).auth.signUp({ email, password: TEST_PASSWORD });
      assertEquals(error, null);
    }
    const foreign = serviceClient({ ...one, secretKey: two.secretKey });
    assertEquals((await foreign.from("companies").select()).status, 401);
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
});

Deno.test("a port in use is named, with what to type", async () => {
  await withDirectory(async (dir) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const taken = String(listener.addr.port);
    try {
      const api = await start(`${dir}/data`, "--port", taken, "--db-port", "0");
      assertEquals((await api.ended).code, 1);
      assertMatch(api.output(), new RegExp(`Port ${taken} is in use.*npm start -- --port \\d+`));
      const db = await start(`${dir}/data`, "--port", "0", "--db-port", taken);
      assertEquals((await db.ended).code, 1);
      assertMatch(db.output(), new RegExp(`Port ${taken} is in use.*npm start -- --db-port \\d+`));
      assertEquals(await processesOf(`${dir}/data`), []);
    } finally {
      listener.close();
    }
  });
});

Deno.test("a second stack on the same directory is refused", async () => {
  await withDirectory(async (dir) => {
    const data = `${dir}/data`;
    const first = await start(data, ...FREE);
    const second = await start(data, ...FREE);
    assertEquals((await second.ended).code, 1);
    assertMatch(second.output(), /already running on .*process \d+/);
    assertEquals((await status(data, "json")).code, 0);
    first.child.kill("SIGTERM");
    assertEquals((await first.ended).code, 0);
  });
});

Deno.test("mistakes on the command line are explained", async () => {
  await withDirectory(async (dir) => {
    for (
      const [args, message] of [
        [["--port", "many"], /--port takes a port, not many/],
        [["--prot", "1"], /Unknown option '--prot'/],
      ] as [string[], RegExp][]
    ) {
      const run = await start(`${dir}/data`, ...args);
      assertEquals((await run.ended).code, 2);
      assertMatch(run.output(), message);
      assertMatch(run.output(), /Usage:/);
    }
  });
});

Deno.test({
  name: "root starts a stack where nobody else may enter, and its other half is swept up",
  ignore: Deno.build.os === "windows" || Deno.uid() !== 0,
  async fn() {
    const dir = await Deno.makeTempDir({ prefix: "stowage closed " });
    await Deno.chmod(dir, 0o700);
    const first = await start(`${dir}/data`, ...FREE);
    assertMatch(first.output(), /Started in/);
    const other = `/var/lib/stowage/${await Deno.readTextFile(
      `${dir}/data/postgres/server-directory`,
    )}`;
    assert((await Deno.stat(`${other}/data`)).isDirectory);
    first.child.kill("SIGTERM");
    assertEquals((await first.ended).code, 0, first.output());
    await Deno.remove(dir, { recursive: true });
    await sweepServerDirectories();
    assertEquals(await Deno.stat(other).then(() => true, () => false), false);
  },
});

Deno.test("a stack whose database ends by itself ends too, and says why", async () => {
  await withDirectory(async (dir) => {
    const data = `${dir}/data`;
    const running = await start(data, ...FREE);
    const postmaster = Number((await Deno.readTextFile(await findPidFile(data))).split("\n")[0]);
    Deno.kill(postmaster, "SIGINT");
    assertEquals((await running.ended).code, 1);
    assertMatch(running.output(), /Postgres has ended by itself/);
    assertEquals(await processesOf(data), []);
  });
});
