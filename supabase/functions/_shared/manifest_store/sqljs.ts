/**
 * SQLite compiled to WebAssembly: runs where no native SQLite does. The database is in memory, and with a path each change is
 * written to the file before it is answered, the file whole: for stores of some megabytes.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import initSqlJs from "sql.js";
import type { ManifestStoreModule } from "./contract.ts";
import { type SqliteConnection, SqliteDocuments, type SqlValue } from "./sqlite.ts";
import { createModule } from "./store.ts";

export interface SqlJsOptions {
  /** The file, made if it is missing, and one store's at a time: a second is refused. Without it nothing is written. */
  path?: string;
}

/** What is used of sql.js, which has no types. */
interface SqlJsDatabase {
  run(sql: string, values?: SqlValue[]): void;
  exec(sql: string, values?: SqlValue[]): { values: unknown[][] }[];
  export(): Uint8Array;
  close(): void;
}
interface SqlJs {
  Database: new (bytes?: Uint8Array) => SqlJsDatabase;
}

export function sqlJsManifestStore({ path }: SqlJsOptions = {}): ManifestStoreModule {
  return createModule(
    "sql.js",
    "Manifest store in a SQLite database, by sql.js",
    new SqliteDocuments(
      async () => new Connection(await initSqlJs() as SqlJs, path),
      (connection) => (connection as Connection).save(),
    ),
  );
}

class Connection implements SqliteConnection {
  readonly #sqlJs: SqlJs;
  readonly #path?: string;
  readonly #lock?: Deno.FsFile;
  #database: SqlJsDatabase;
  /** What the file holds, to go back to when it cannot be written. */
  #saved?: Uint8Array;

  constructor(sqlJs: SqlJs, path?: string) {
    this.#sqlJs = sqlJs;
    this.#path = path;
    if (path !== undefined) this.#lock = lock(`${path}.lock`);
    try {
      this.#saved = path !== undefined && existsSync(path) ? readFileSync(path) : undefined;
      this.#database = new sqlJs.Database(this.#saved);
    } catch (error) {
      this.#lock?.close();
      throw error;
    }
  }

  execute(sql: string): void {
    this.#database.run(sql);
  }

  run(sql: string, values: SqlValue[]): void {
    this.#database.run(sql, values);
  }

  column(sql: string, values: SqlValue[]): unknown[] {
    return this.#database.exec(sql, values)[0]?.values.map(([first]) => first) ?? [];
  }

  close(): void {
    this.#database.close();
    this.#lock?.close();
  }

  /** Writes the file. If that fails, the change is taken back, so that what is answered is what the file holds. */
  save(): void {
    if (this.#path === undefined) return;
    const bytes = this.#database.export();
    try {
      replaceFile(this.#path, bytes);
      this.#saved = bytes;
    } catch (error) {
      this.#database.close();
      this.#database = new this.#sqlJs.Database(this.#saved);
      throw error;
    }
  }
}

/** Two stores on one file would overwrite each other's changes. The lock ends with the process, however that ends. */
function lock(path: string): Deno.FsFile {
  const file = Deno.openSync(path, { create: true, write: true });
  if (file.tryLockSync(true)) return file;
  file.close();
  throw new Error(`${path} is held by another store`);
}

/** The file is the old one or the new one, whenever the machine stops. */
function replaceFile(path: string, bytes: Uint8Array): void {
  const draft = `${path}.new`;
  const file = openSync(draft, "w");
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
}
