/** The benchmark's Postgres: the local stack's, with this project's migrations, durable as in production. */
import { join } from "node:path";
import { prepareDatabase } from "../../stack/database.ts";
import { removeServerDirectory } from "../../stack/postgres_location.ts";
import { startPostgres } from "../../stack/postgres.ts";

export interface BenchServer {
  url: string;
  stop(): Promise<void>;
}

export async function startBenchServer(): Promise<BenchServer> {
  const dir = await Deno.makeTempDir({ prefix: "stowage-bench-" });
  // Under root Postgres runs as another user, which has to pass through.
  await Deno.chmod(dir, 0o755);
  const serverDir = join(dir, "postgres");
  const remove = async () => {
    await removeServerDirectory(serverDir);
    await Deno.remove(dir, { recursive: true });
  };
  try {
    const server = await startPostgres({ dir: serverDir, port: 0 });
    const stop = async () => {
      await server.stop();
      await remove();
    };
    try {
      await prepareDatabase(server, { jwtSecret: crypto.randomUUID(), seed: false });
      return { url: server.url("postgres"), stop };
    } catch (error) {
      await server.stop();
      throw error;
    }
  } catch (error) {
    await remove();
    throw error;
  }
}
