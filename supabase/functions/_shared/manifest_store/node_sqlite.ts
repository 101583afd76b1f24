// deno-lint-ignore-file require-await -- the contract is asynchronous
/** The SQLite that Deno and Node bring with them: a file, which several processes may share. Not for hosted Edge Functions. */
import { DatabaseSync } from "node:sqlite";
import type { ManifestStoreModule } from "./contract.ts";
import { type SqliteConnection, SqliteDocuments } from "./sqlite.ts";
import { createModule } from "./store.ts";

/** How long a writer waits for another process's, which takes well under this. */
const BUSY_TIMEOUT_MS = 10_000;

export interface NodeSqliteOptions {
  /** The file, made if it is missing; without it the database is in memory, and gone after `shutdown`. */
  path?: string;
}

export function nodeSqliteManifestStore({ path }: NodeSqliteOptions = {}): ManifestStoreModule {
  return createModule(
    "node-sqlite",
    "Manifest store in a SQLite database, by node:sqlite",
    new SqliteDocuments(async () => connect(path ?? ":memory:")),
  );
}

function connect(path: string): SqliteConnection {
  const database = new DatabaseSync(path);
  try {
    database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
    // Readers do not wait for writers.
    database.exec("pragma journal_mode = wal");
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    execute: (sql) => database.exec(sql),
    run: (sql, values) => void database.prepare(sql).run(...values),
    column: (sql, values) =>
      database.prepare(sql).all(...values).map((row) => Object.values(row)[0]),
    close: () => database.close(),
  };
}
