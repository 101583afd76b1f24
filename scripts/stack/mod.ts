/**
 * The local stack: what `supabase start` runs in containers, without containers.
 *
 * Postgres is the real one. Everything else stands in for the platform's servers and is held to
 * their behaviour by tests; nothing in `supabase/` knows of it.
 */
import { join, resolve } from "node:path";
import { Pool } from "pg";
import { CommandError } from "../command/errors.ts";
import { startAuth } from "./auth.ts";
import { type Config, loadConfig } from "./config.ts";
import { prepareDatabase } from "./database.ts";
import { startFunctions } from "./functions.ts";
import { startGateway } from "./gateway.ts";
import { type Keys, keyToRole, loadKeys } from "./keys.ts";
import { type Postgres, startPostgres } from "./postgres.ts";
import { startRest } from "./rest.ts";
import { createSigner } from "./signer.ts";
import { claimDirectory, clearState, writeState } from "./state.ts";
import { createStorageHandler } from "./storage/mod.ts";

const STORAGE_CONNECTIONS = 20;

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
  /** The folder with one folder per function (default supabase/functions). */
  functionsDir?: string;
  /** Whether data survives a crash of the machine, at some cost in speed (default true). */
  durable?: boolean;
  /** Receives each line of the servers' logs. */
  log?: (line: string) => void;
  /** Aborts the start between its steps; what was started is stopped, and the signal's reason thrown. */
  signal?: AbortSignal;
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
  /** Settles when Postgres has ended, whoever ended it. */
  databaseEnded: Promise<void>;
  /** Ends every process and closes every port; the data stays. */
  stop(): Promise<void>;
}

/** Starts a stack on `options.dataDir`: fresh if the directory is, otherwise with what it holds. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { log = () => {}, signal } = options;
  // The servers run in directories of their own.
  const dataDir = resolve(options.dataDir);
  const config = await loadConfig();
  await Deno.mkdir(dataDir, { recursive: true }).catch((error) => {
    throw new CommandError(`The data directory cannot be made: ${error.message}`);
  });
  // What has been started, to be stopped in the opposite order.
  const started: (() => unknown)[] = [];
  const stop = async () => {
    for (let end = started.pop(); end; end = started.pop()) await end();
  };
  try {
    const directory = await claimDirectory(dataDir);
    started.push(() => directory.release());
    const gateway = startGateway(options.port ?? config.api.port, log);
    started.push(() => gateway.stop());
    const keys = await loadKeys(dataDir);
    const signer = await createSigner(keys);
    signal?.throwIfAborted();
    const postgres = await startPostgres({
      dir: join(dataDir, "postgres"),
      port: options.dbPort ?? config.db.port,
      durable: options.durable,
    });
    started.push(() => postgres.stop());
    signal?.throwIfAborted();
    await prepareDatabase(postgres, { jwtSecret: keys.jwtSecret, seed: options.seed ?? true });
    signal?.throwIfAborted();

    const { jwtSecret } = keys;
    const apiUrl = `http://127.0.0.1:${gateway.port}`;
    const rest = await startRest({ postgres, jwtSecret, api: config.api, log });
    started.push(() => rest.close());
    const auth = startAuth({ postgres, jwtSecret, signer, apiUrl, auth: config.auth, log });
    started.push(() => auth.close());
    const storage = startStorage({
      postgres,
      keys,
      config,
      filesDir: join(dataDir, "storage"),
      log,
    });
    started.push(() => storage.close());
    const functions = options.functions === false ? undefined : await startFunctions({
      config: config.functions,
      keys,
      signer,
      apiUrl,
      dbUrl: postgres.url(),
      tempDir: join(dataDir, "functions"),
      dir: options.functionsDir,
      log,
    });
    started.push(() => functions?.close());
    signal?.throwIfAborted();
    gateway.open(
      {
        rest: rest.fetch,
        auth: auth.fetch,
        storage: storage.fetch,
        functions: functions?.fetch ?? functionsOff,
      },
      keys,
      signer,
    );
    // Before what they need: a request in flight would hold a connection of a pool that ends, which waits for it without end.
    started.push(() => gateway.stop());

    const { signingKey: _, ...publicKeys } = keys;
    const stack = { apiUrl, dbUrl: postgres.url(), ...publicKeys };
    await writeState(dataDir, { ...stack, pid: Deno.pid });
    started.push(() => clearState(dataDir));
    return { ...stack, databaseEnded: postgres.ended, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The Storage server on its role's connections. */
function startStorage(
  options: {
    postgres: Postgres;
    keys: Keys;
    config: Config;
    filesDir: string;
    log: (line: string) => void;
  },
) {
  const pool = new Pool({
    connectionString: options.postgres.url("supabase_storage_admin"),
    max: STORAGE_CONNECTIONS,
  });
  pool.on("error", (error) => options.log(`storage: ${error.message}`));
  // The pool listens to idle connections alone; one that breaks in use must not end this process either.
  pool.on("connect", (client) => client.on("error", () => {}));
  const handler = createStorageHandler({
    pool,
    filesDir: options.filesDir,
    jwtSecret: options.keys.jwtSecret,
    fileSizeLimit: options.config.storage.fileSizeLimit,
    keyToRole: keyToRole(options.keys),
    log: options.log,
  });
  return {
    fetch: (request: Request) => handler.fetch(request),
    async close() {
      handler.close();
      await pool.end();
    },
  };
}

function functionsOff(): Promise<Response> {
  const body = { code: "NOT_FOUND", message: "This stack was started without functions" };
  return Promise.resolve(Response.json(body, { status: 404 }));
}
