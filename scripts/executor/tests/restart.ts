/** Restarts the database of a test's stack as `pg_ctl restart -m fast` does. */
import { join } from "node:path";
import pg from "pg";
import { isDead } from "../sandbox/processes.ts";
import { eventually } from "./world.ts";

/**
 * Ends the server, which closes its connections, and starts it with the same command line as the same user.
 * @returns what ends it, since it is no child of the stack any more
 */
export async function restartDatabase(dbUrl: string): Promise<() => Promise<void>> {
  const before = await ask(dbUrl);
  const [pid] = (await Deno.readTextFile(join(before.data, "postmaster.pid"))).split("\n");
  const server = Number(pid);
  const list = (name: string) =>
    Deno.readTextFileSync(`/proc/${server}/${name}`).split("\0").slice(0, -1);
  const [program, ...args] = list("cmdline");
  const { uid, gid } = await Deno.stat(`/proc/${server}`);
  const command = new Deno.Command(program, {
    args,
    env: Object.fromEntries(
      list("environ").map((line) => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1)];
      }),
    ),
    clearEnv: true,
    cwd: before.data,
    ...(uid === Deno.uid() ? {} : { uid: uid!, gid: gid! }),
    detached: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  });
  Deno.kill(server, "SIGINT");
  await eventually("the server ends", () => isDead(server) || null);
  const child = command.spawn();
  await eventually("it is there again, and another", async () => {
    const now = await ask(dbUrl).catch(() => null);
    return now && now.since.getTime() !== before.since.getTime() ? true : null;
  });
  return async () => {
    child.kill("SIGINT");
    await child.status;
  };
}

async function ask(dbUrl: string): Promise<{ data: string; since: Date }> {
  // The directory is for a superuser to know.
  const client = new pg.Client({ connectionString: asSuperuser(dbUrl) });
  client.on("error", () => {});
  await client.connect();
  try {
    const { rows } = await client.query(
      "select current_setting('data_directory') as data, pg_postmaster_start_time() as since",
    );
    return rows[0];
  } finally {
    await client.end();
  }
}

function asSuperuser(dbUrl: string): string {
  const url = new URL(dbUrl);
  url.username = "supabase_admin";
  return url.href;
}
