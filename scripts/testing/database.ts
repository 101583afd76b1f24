/** A database with the project's migrations, and nothing else of the stack. */
import { join } from "node:path";
import { Client } from "pg";
import { prepareDatabase } from "../stack/database.ts";
import { startPostgres } from "../stack/postgres.ts";
import { removeServerDirectory } from "../stack/postgres_location.ts";

export interface TestDatabase {
  url: string;
  /** A new connection of the owner; the caller ends it. */
  connect(): Promise<Client>;
  stop(): Promise<void>;
}

/** What ends a test run early, which must not leave its database behind. */
const SIGNALS: Deno.Signal[] = ["SIGINT", "SIGTERM"];

/** Starts a server of its own in a temporary directory; `stop()` removes it. */
export async function startTestDatabase(): Promise<TestDatabase> {
  const dir = await Deno.makeTempDir({ prefix: "stowage database " });
  // Under root Postgres runs as another user, which has to pass through.
  await Deno.chmod(dir, 0o755);
  const files = join(dir, "postgres");
  const ends: (() => Promise<void>)[] = [
    () => Deno.remove(dir, { recursive: true }),
    () => removeServerDirectory(files),
  ];
  const interrupt = () => stop().finally(() => Deno.exit(130));
  const stop = async () => {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, interrupt);
    for (let end = ends.pop(); end; end = ends.pop()) await end();
  };
  for (const signal of SIGNALS) Deno.addSignalListener(signal, interrupt);
  try {
    const server = await startPostgres({ dir: files, port: 0, durable: false });
    ends.push(() => server.stop());
    await prepareDatabase(server, { jwtSecret: crypto.randomUUID(), seed: false });
    const url = server.url("postgres");
    return {
      url,
      stop,
      async connect() {
        const client = new Client({ connectionString: url });
        await client.connect();
        return client;
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
