/** Everything goes wrong at once, and nothing is lost or done twice. */
import { fileURLToPath } from "node:url";
import pg from "pg";
import { assert, assertEquals } from "../../testing/assert.ts";
import { type Network, startNetwork } from "./proxy.ts";
import { restartDatabase } from "./restart.ts";
import { type App, eventually, type ExecutorProcess, type Row, World } from "./world.ts";

const PROGRAM = fileURLToPath(new URL("chaos_executor.ts", import.meta.url));
const EXECUTORS = 4;
const COMPANIES = 20;
const RUNS = Number(Deno.env.get("CHAOS_RUNS") ?? 2000);
/** Beside the kills. */
const DISASTERS = 3;
const KILL_EVERY_MS = 3000;
/** Longer than a lease: what was held meanwhile is lost. */
const NETWORK_LOST_MS = 4000;
const PATIENCE_MS = 240_000;

Deno.test("executors that are killed in turn, a network that is lost, a database that crashes and restarts: every run ends once", async () => {
  // Without that, a crash takes back what the database had confirmed, and nobody could keep the account.
  const world = await World.start(true);
  const watcher = new pg.Pool({ connectionString: world.stack.dbUrl, max: 1 });
  watcher.on("error", () => {});
  watcher.on("connect", (client) => client.on("error", () => {}));
  const network = startNetwork(world.stack.apiUrl);
  const endings: (() => Promise<void>)[] = [];
  try {
    const ids = await prepare(world);
    await recordEnds(world);
    const started = performance.now();
    const start = (slot: number) =>
      world.start(
        [
          ...["--poll-interval", "0.1", "--lease", "3", "--concurrency", "8"],
          ...["--id", `chaos-${slot}`, "--url", network.url],
        ],
        {},
        PROGRAM,
      );
    const executors: ExecutorProcess[] = Array.from(
      { length: EXECUTORS },
      (_, slot) => start(slot),
    );
    let kills = 0;
    // One after the other, each between two kills.
    const disasters = [
      () => crashDatabase(world.stack.dbUrl),
      () => loseNetwork(network),
      async () => void endings.push(await restartDatabase(world.stack.dbUrl)),
    ];
    let nextKill = performance.now() + KILL_EVERY_MS;
    await eventually("every run ends", async () => {
      const now = performance.now();
      const left = await unfinished(watcher);
      if (left === 0) return true;
      if (now > nextKill && left !== null) {
        nextKill = now + KILL_EVERY_MS;
        const slot = kills++ % EXECUTORS;
        await executors[slot].kill("SIGKILL");
        executors[slot] = start(slot);
      }
      if (kills > DISASTERS - disasters.length) await disasters.shift()?.();
      await new Promise((resolve) => setTimeout(resolve, 100));
      return null;
    }, PATIENCE_MS);
    const seconds = (performance.now() - started) / 1000;

    for (const executor of executors) {
      assertEquals(await executor.kill("SIGTERM"), 0, executor.text.slice(-2000));
    }
    const { rows } = await watcher.query<Row>(
      `select r.id, r.status, r.attempt, r.attempt_history, r.completed_at is not null as completed, e.ends,
        (select count(*)::int from public.app_outputs o where o.run_id = r.id and o.output_type = 'result') as results
      from public.app_runs r left join (select run_id, count(*)::int as ends from private.chaos_ends group by run_id) e on e.run_id = r.id
      where r.id = any ($1)`,
      [ids],
    );
    assertEquals(rows.length, RUNS, "none is lost");
    assertEquals(rows.filter((row) => row.ends !== 1), [], "each ends exactly once");
    assertEquals(rows.filter((row) => row.status !== "success" || !row.completed), []);
    assertEquals(rows.filter((row) => row.results !== 1), [], "each has its result once");
    const again = rows.filter((row) => row.attempt > 1);
    assert(again.length > 0, "some were held by an executor that was killed");
    assertEquals(
      rows.filter((row) => row.attempt !== row.attempt_history.length + 1),
      [],
      "each attempt that ended nothing is recorded",
    );
    assert(kills >= 3 && disasters.length === 0, `${kills} kills, ${disasters.length} not tried`);
    console.log(
      `${RUNS} runs of ${COMPANIES} companies in ${
        seconds.toFixed(1)
      } s: ${kills} executors killed, ` +
        `the network was lost, the database crashed and restarted, ${again.length} runs tried again`,
    );
  } finally {
    await watcher.end();
    await network.close();
    for (const end of endings) await end();
    await world.close();
  }
});

/** Companies, each with its app, and the runs of all of them. */
async function prepare(world: World): Promise<string[]> {
  const apps: App[] = [];
  for (let n = 0; n < COMPANIES; n++) {
    apps.push(await world.app({ files: [{ name: "index.js", content: "" }] }));
  }
  const rows = Array.from({ length: RUNS }, (_, n) => ({
    app_id: apps[n % COMPANIES].id,
    company_id: apps[n % COMPANIES].companyId,
    // Each kill costs an attempt of what was held.
    max_attempts: 25,
  }));
  const { data, error } = await world.client.from("app_runs").insert(rows).select("id");
  if (error) throw error;
  return data.map(({ id }: Row) => id);
}

/** Counts every change into a final status, whoever makes it. */
async function recordEnds(world: World): Promise<void> {
  const client = new pg.Client({ connectionString: world.stack.dbUrl });
  await client.connect();
  try {
    await client.query(`
      create table private.chaos_ends (run_id uuid not null);
      create function private.record_chaos_end() returns trigger language plpgsql security definer set search_path = '' as
        $$ begin insert into private.chaos_ends values (new.id); return null; end; $$;
      create trigger record_chaos_end after update on public.app_runs for each row
        when (new.status in ('success', 'failed', 'cancelled', 'timeout') and old.status is distinct from new.status)
        execute function private.record_chaos_end();`);
  } finally {
    await client.end();
  }
}

/** How many runs have not ended; null while the database is away. */
async function unfinished(watcher: pg.Pool): Promise<number | null> {
  try {
    const { rows } = await watcher.query<{ count: number }>(
      "select count(*)::int as count from public.app_runs where status in ('pending', 'running')",
    );
    return rows[0].count;
  } catch {
    return null;
  }
}

async function loseNetwork(network: Network): Promise<void> {
  network.lose();
  await new Promise((resolve) => setTimeout(resolve, NETWORK_LOST_MS));
  network.restore();
}

/** Kills one of the server's processes: it then ends all of them, recovers from its log, and starts anew. */
async function crashDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
  Deno.kill(rows[0].pid, "SIGKILL");
  await client.end().catch(() => {});
}
