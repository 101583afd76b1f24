/**
 * The local stack: what `supabase start` runs in containers, without containers.
 *
 * Postgres is the real one. Everything else stands in for the platform's servers and is held to
 * their behaviour by tests; nothing in `supabase/` knows of it.
 */
import { join } from "node:path";
import { loadConfig } from "./config.ts";
import { prepareDatabase } from "./database.ts";
import { loadKeys } from "./keys.ts";
import { startPostgres } from "./postgres.ts";
import { claimDirectory, clearState, writeState } from "./state.ts";

export interface StackOptions {
  /** Postgres data, storage files, keys, state.json. Created if missing. */
  dataDir: string;
  /** API gateway; 0 = any free port; default config.toml's api.port. */
  port?: number;
  /** Postgres; 0 = any free port; default config.toml's db.port. */
  dbPort?: number;
  /** Apply supabase/seed.sql on fresh data (default true). */
  seed?: boolean;
  /** Serve Edge Functions (default true). */
  functions?: boolean;
  /** Whether data survives a crash of the machine, at some cost in speed (default true). */
  durable?: boolean;
  /** Receives each line of the servers' logs. */
  log?: (line: string) => void;
}

export interface Stack {
  /** Such as http://127.0.0.1:54321. */
  apiUrl: string;
  /** Such as postgresql://postgres:postgres@127.0.0.1:54322/postgres. */
  dbUrl: string;
  publishableKey: string;
  secretKey: string;
  anonKey: string;
  serviceRoleKey: string;
  jwtSecret: string;
  /** Ends every process and closes every port; the data stays. */
  stop(): Promise<void>;
}

/** Starts a stack on `options.dataDir`: fresh if the directory is, otherwise with what it holds. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { dataDir } = options;
  const config = await loadConfig();
  await Deno.mkdir(dataDir, { recursive: true });
  // What has been started, to be stopped in the opposite order.
  const started: (() => unknown)[] = [];
  const stop = async () => {
    for (let end = started.pop(); end; end = started.pop()) await end();
  };
  try {
    const directory = await claimDirectory(dataDir);
    started.push(() => directory.release());
    const keys = await loadKeys(dataDir);
    const postgres = await startPostgres({
      dir: join(dataDir, "postgres"),
      port: options.dbPort ?? config.db.port,
      durable: options.durable,
    });
    started.push(() => postgres.stop());
    await prepareDatabase(postgres, { jwtSecret: keys.jwtSecret, seed: options.seed ?? true });

    const stack = {
      apiUrl: `http://127.0.0.1:${options.port ?? config.api.port}`,
      dbUrl: postgres.url(),
      ...keys,
    };
    await writeState(dataDir, { ...stack, pid: Deno.pid });
    started.push(() => clearState(dataDir));
    return { ...stack, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
