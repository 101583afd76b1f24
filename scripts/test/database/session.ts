/** A connection that runs whole SQL scripts and keeps what came before an error. */
import { Client, type DatabaseError, Query, type QueryArrayConfig } from "pg";
import { type SqlScript, statementStarts } from "./script.ts";

export interface ScriptOutcome {
  /** What psql would have printed: one line a row, and the error, if any, is not among them. */
  output: string;
  /** Where and why the script stopped. */
  error?: string;
  /** Its SQLSTATE. */
  code?: string;
  /** The command tags of its statements, such as `SELECT 1`. */
  commands: string[];
}

export interface Session {
  run(script: SqlScript): Promise<ScriptOutcome>;
  /** True between `begin` and its end. */
  inTransaction(): boolean;
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

/** What the driver has but its types do not tell. */
interface Wire {
  on(event: "commandComplete", listener: (message: { text: string }) => void): void;
  on(event: "readyForQuery", listener: (message: { status: string }) => void): void;
  on(event: "emptyQuery", listener: () => void): void;
}

/** Nothing here takes long; what does waits for a lock that will not come. */
const TIMEOUT_MS = 120_000;

export async function openSession(url: string): Promise<Session> {
  const client = new Client({
    connectionString: url,
    application_name: "stowage-tests",
    statement_timeout: TIMEOUT_MS,
    lock_timeout: TIMEOUT_MS / 2,
  });
  client.on("error", () => {/* The query under way is told too. */});
  await client.connect();
  let status = "I";
  let commands: string[] = [];
  const wire = (client as unknown as { connection: Wire }).connection;
  wire.on("commandComplete", ({ text }) => commands.push(text));
  wire.on("emptyQuery", () => commands.push(""));
  wire.on("readyForQuery", (message) => status = message.status);

  return {
    async run(script) {
      commands = [];
      const lines: string[] = [];
      const config: QueryArrayConfig = { text: script.text, rowMode: "array" };
      const query = new Query<unknown[]>(config);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      query.on("row", (row) => lines.push((row as unknown as unknown[]).join("|")));
      query.on("end", () => resolve());
      query.on("error", reject);
      client.query(query);
      const error = await promise.then(() => undefined, (error: DatabaseError) => error);
      return {
        output: lines.join("\n"),
        commands,
        error: error && explain(error, script, commands.length),
        code: error?.code,
      };
    },
    inTransaction: () => status !== "I",
    async query(text, values) {
      return (await client.query(text, values)).rows;
    },
    close: () => client.end(),
  };
}

/** The error as psql shows it, with the line of the statement that failed. */
function explain(error: DatabaseError, script: SqlScript, completed: number): string {
  // Positions count characters; strings here count UTF-16 units.
  const position = error.position
    ? [...script.text].slice(0, Number(error.position) - 1).join("").length
    : statementStarts(script.text)[completed] ?? 0;
  return [
    `${script.locate(position)}: ${error.code ?? "no SQLSTATE"}: ${error.message}`,
    error.detail && `DETAIL: ${error.detail}`,
    error.hint && `HINT: ${error.hint}`,
    error.where && `CONTEXT: ${error.where}`,
  ].filter(Boolean).join("\n");
}
