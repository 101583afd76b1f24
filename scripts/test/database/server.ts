/** A database to test in, which nobody else uses: a server of its own, removed at the end. */
import { join } from "node:path";
import { prepareDatabase, withClient } from "../../stack/database.ts";
import { removeServerDirectory } from "../../stack/postgres_location.ts";
import { startPostgres } from "../../stack/postgres.ts";

export interface TestDatabase {
  url: string;
  stop(): Promise<void>;
}

/** What ends a test run early, which must not leave its database behind. */
const SIGNALS: Deno.Signal[] = ["SIGINT", "SIGTERM"];

/** Starts the stack's Postgres with this checkout's migrations and pgTAP, without any data. */
export async function startTestDatabase(): Promise<TestDatabase> {
  const dir = await Deno.makeTempDir({ prefix: "stowage database " });
  // Under root Postgres runs as another user, which has to pass through.
  await Deno.chmod(dir, 0o755);
  const serverDir = join(dir, "postgres");
  const remove = async () => {
    await removeServerDirectory(serverDir);
    await Deno.remove(dir, { recursive: true });
  };
  try {
    const server = await startPostgres({ dir: serverDir, port: 0, durable: false });
    const stop = async () => {
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, interrupt);
      await server.stop();
      await remove();
    };
    const interrupt = () => stop().finally(() => Deno.exit(130));
    for (const signal of SIGNALS) Deno.addSignalListener(signal, interrupt);
    try {
      await prepareDatabase(server, { jwtSecret: crypto.randomUUID(), seed: false });
      const url = server.url("postgres");
      // Files create the extension where it is missing, and would wait for each other to do so.
      await withClient(url, (client) => client.query("create extension pgtap schema extensions"));
      return { url, stop };
    } catch (error) {
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, interrupt);
      await server.stop();
      throw error;
    }
  } catch (error) {
    await remove();
    throw error;
  }
}
