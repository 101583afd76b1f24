// deno-lint-ignore-file require-await -- the contract is asynchronous
/** Documents in SQLite, whichever library runs it. */
import type { HandlerManifest } from "./contract.ts";
import {
  type Collection,
  COLLECTIONS,
  type Document,
  type Documents,
  type HandlerCollection,
} from "./documents.ts";
import { byAge } from "./order.ts";

export type SqlValue = string | number;

/** One open database. Everything is synchronous, so what one method does is never interleaved with another. */
export interface SqliteConnection {
  /** Executes statements that take no values and answer nothing. */
  execute(sql: string): void;
  run(sql: string, values: SqlValue[]): void;
  /** The first column of each row. */
  column(sql: string, values: SqlValue[]): unknown[];
  close(): void;
}

/** Columns beside the document: the key first, then what is searched by. */
const COLUMNS: Record<Collection, { key: string[]; fields: Record<string, string> }> = {
  handler_manifests: {
    key: ["handler_id", "version"],
    fields: { handler_id: "handlerId", version: "version", created_at: "createdAt" },
  },
  hook_manifests: { key: ["handler_id"], fields: { handler_id: "handlerId" } },
  gtypes: { key: ["ref"], fields: { ref: "ref" } },
  transformers: { key: ["id"], fields: { id: "id", handler_id: "handlerId" } },
  version_graphs: { key: ["handler_id"], fields: { handler_id: "handlerId" } },
  timescape_metadata: {
    key: ["handler_id", "version"],
    fields: { handler_id: "handlerId", version: "version" },
  },
};

const SCHEMA = [
  ...COLLECTIONS.map((collection) => {
    const { key, fields } = COLUMNS[collection];
    const columns = Object.keys(fields)
      .map((name) => `${name} ${name === "created_at" ? "integer" : "text"} not null`);
    return `create table if not exists ${collection} (
      ${columns.join(", ")}, document text not null, primary key (${key.join(", ")})) strict;`;
  }),
  `create index if not exists handler_manifests_newest on handler_manifests (handler_id, created_at);`,
  `create index if not exists transformers_handler on transformers (handler_id);`,
].join("\n");

export class SqliteDocuments implements Documents {
  #connection?: SqliteConnection;

  /** `connect` opens the database, with the schema or without; `written` is called after each change. */
  constructor(
    private readonly connect: () => Promise<SqliteConnection>,
    private readonly written: (connection: SqliteConnection) => void = () => {},
  ) {}

  async open(): Promise<void> {
    const connection = await this.connect();
    try {
      connection.execute(SCHEMA);
    } catch (error) {
      connection.close();
      throw error;
    }
    this.#connection = connection;
  }

  async close(): Promise<void> {
    this.#connection?.close();
    this.#connection = undefined;
  }

  async put(collection: Collection, document: Document): Promise<void> {
    const { key, fields } = COLUMNS[collection];
    const names = [...Object.keys(fields), "document"];
    const changes = names.filter((name) => !key.includes(name))
      .map((name) => `${name} = excluded.${name}`);
    this.#open.run(
      `insert into ${collection} (${names.join(", ")}) values (${names.map(() => "?").join(", ")})
       on conflict (${key.join(", ")}) do update set ${changes.join(", ")}`,
      [
        ...Object.values(fields).map((field) => document[field] as SqlValue),
        JSON.stringify(document),
      ],
    );
    this.written(this.#open);
  }

  async get(collection: Collection, key: readonly string[]): Promise<Document | undefined> {
    const conditions = COLUMNS[collection].key.map((name) => `${name} = ?`).join(" and ");
    return this.#documents(`select document from ${collection} where ${conditions}`, [...key])[0];
  }

  async newestManifest(handlerId: string): Promise<Document | undefined> {
    // Those of the same time are told apart by precedence, which SQLite does not know.
    const newest = this.#documents(
      `select document from handler_manifests where handler_id = ?1 and created_at =
         (select max(created_at) from handler_manifests where handler_id = ?1)`,
      [handlerId],
    );
    return (newest as unknown as HandlerManifest[]).sort(byAge).at(-1) as Document | undefined;
  }

  async ofHandler(collection: HandlerCollection, handlerId: string): Promise<Document[]> {
    return this.#documents(`select document from ${collection} where handler_id = ?`, [handlerId]);
  }

  async allHookManifests(): Promise<Document[]> {
    return this.#documents("select document from hook_manifests", []);
  }

  async counts(): Promise<Record<Collection, number>> {
    const counts = this.#open.column(
      COLLECTIONS.map((name) => `select count(*) from ${name}`).join(" union all "),
      [],
    );
    return Object.fromEntries(
      COLLECTIONS.map((collection, index) => [collection, Number(counts[index])]),
    ) as Record<Collection, number>;
  }

  async clear(): Promise<void> {
    const connection = this.#open;
    connection.execute("begin immediate");
    try {
      for (const collection of COLLECTIONS) connection.execute(`delete from ${collection}`);
      connection.execute("commit");
    } catch (error) {
      connection.execute("rollback");
      throw error;
    }
    this.written(connection);
  }

  get #open(): SqliteConnection {
    if (!this.#connection) throw new Error("the database is closed");
    return this.#connection;
  }

  #documents(sql: string, values: SqlValue[]): Document[] {
    return this.#open.column(sql, values).map((text) => JSON.parse(text as string));
  }
}
