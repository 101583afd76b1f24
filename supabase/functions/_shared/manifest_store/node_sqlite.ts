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
    new SqliteDocuments(() => connect(path ?? ":memory:")),
  );
}

async function connect(path: string): Promise<SqliteConnection> {
  const database = new DatabaseSync(path);
  try {
    await keepWriteAheadLog(database);
    database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
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

/** Readers do not wait for writers. SQLite's own timeout does not cover the change: of two processes that make it, one is refused. */
async function keepWriteAheadLog(database: DatabaseSync): Promise<void> {
  const deadline = Date.now() + BUSY_TIMEOUT_MS;
  while (true) {
    try {
      return database.exec("pragma journal_mode = wal");
    } catch (error) {
      const isLocked = error instanceof Error && error.message.includes("database is locked");
      if (!isLocked || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
