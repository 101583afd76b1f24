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

/** Starts a server of its own in a temporary directory; `stop()` removes it. */
export async function startTestDatabase(): Promise<TestDatabase> {
  const dir = await Deno.makeTempDir({ prefix: "stowage database " });
  // Under root Postgres runs as another user, which has to pass through.
  await Deno.chmod(dir, 0o755);
  const files = join(dir, "postgres");
  const remove = async () => {
    await removeServerDirectory(files);
    await Deno.remove(dir, { recursive: true });
  };
  try {
    const server = await startPostgres({ dir: files, port: 0, durable: false });
    const stop = async () => {
      await server.stop();
      await remove();
    };
    try {
      await prepareDatabase(server, { jwtSecret: crypto.randomUUID(), seed: false });
    } catch (error) {
      await server.stop();
      throw error;
    }
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
    await remove();
    throw error;
  }
}
