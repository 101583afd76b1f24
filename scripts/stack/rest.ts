/** The REST API: @supabase/lite on the real database, held to what PostgREST does. */
import { AsyncLocalStorage } from "node:async_hooks";
import { App } from "@supabase/lite";
import { PostgresConnection } from "@supabase/lite/postgres";
import { escapeIdentifier, escapeLiteral } from "pg";
import type { Config } from "./config.ts";
import { routeConsole } from "./lite_console.ts";
import { type Postgres, SUPERUSER } from "./postgres.ts";
import { encodeDocuments } from "./rest_documents.ts";
import {
  errorOf,
  type PostgresError,
  sqlErrorResponse,
  unavailableResponse,
} from "./rest_errors.ts";
import { quoteTextFilters } from "./rest_filters.ts";
import { listenForReloads } from "./rest_listener.ts";
import { disguiseQuoted } from "./rest_logic.ts";
import { makeReconnecting, type ReconnectingPool } from "./rest_pool.ts";
import { verifyToken } from "./tokens.ts";
import { isoTime, isoTimeWithOffset, jsonText, textType } from "./wire_types.ts";

export interface RestOptions {
  postgres: Postgres;
  jwtSecret: string;
  api: Config["api"];
  log: (line: string) => void;
}

export interface RestServer {
  /** Answers a request whose path begins with `/rest/v1` and whose Authorization is a JWT. */
  fetch(request: Request): Promise<Response>;
  close(): Promise<void>;
}

/** What one request carries down to the connection that serves it. */
interface Call {
  claims: Record<string, unknown>;
  method: string;
  path: string;
  headers: string;
  sqlError?: PostgresError;
  /** The database did not answer, or stopped answering. */
  isUnavailable?: boolean;
  /** What makes the parameters of its statements as they were sent. */
  unmask?: (parameter: unknown) => unknown;
}

/** What `alter role` has set. */
interface RoleSetting {
  role: string;
  name: string;
  value: string;
}

type Introspector = Pick<PostgresConnection, "introspect" | "clearSchemaCache" | "close">;
type WithContext = PostgresConnection["withContext"];

const POOL_SIZE = 20;

/** Values as Postgres's own JSON has them, which is what PostgREST sends. */
const JSON_TYPES = {
  timestamp: textType(1114, isoTime),
  timestamptz: textType(1184, isoTimeWithOffset),
  // Documents come as text (see rest_documents.ts), which lite would make a JSON string of.
  json: textType(114, JSON.parse, jsonText),
  jsonb: textType(3802, JSON.parse, jsonText),
  numeric: textType(1700, (text) => Number.isFinite(Number(text)) ? Number(text) : text),
};

/** Starts the server: looks at the schema once, and again whenever the database says it changed. */
export async function startRest(options: RestOptions): Promise<RestServer> {
  const calls = new AsyncLocalStorage<Call>();
  const onLost = () => {
    const call = calls.getStore();
    if (call) call.isUnavailable = true;
  };
  const introspector = new PostgresConnection({
    url: options.postgres.url(SUPERUSER),
    postgresOptions: { max: 1 },
  });
  const introspectorPool = makeReconnecting(introspector.driver, onLost);
  const connection = new RestConnection(options, introspector, calls, onLost);
  const app = new App({
    connection,
    auth: { enabled: false, jwt_secret: options.jwtSecret },
    api: { enabled: true, schemas: options.api.schemas, max_rows: options.api.maxRows },
    // Keys are the gateway's business, and nothing but the API is served.
    options: { server: { apiKeys: false, disableStudio: true, disableFallback: true } },
  } as never);
  const listener = await listenForReloads(
    options.postgres.url("authenticator"),
    () => connection.clearSchemaCache(),
    options.log,
  );
  await connection.readSettings();
  await connection.introspect();

  async function answer(request: Request): Promise<Response> {
    const schema = await connection.introspect({ useCache: true });
    // Who calls is settled; lite would look for the user's session in a database it does not see.
    const [defaultSchema] = options.api.schemas;
    const disguised = disguiseQuoted(request);
    calls.getStore()!.unmask = disguised.unmask;
    const quoted = quoteTextFilters(disguised.request, schema, defaultSchema);
    const anonymous = new Request(await encodeDocuments(quoted, schema, defaultSchema));
    anonymous.headers.delete("authorization");
    return await app.fetch(anonymous);
  }

  return {
    async fetch(request) {
      const token = await verifyToken(request.headers.get("authorization"), options.jwtSecret);
      if ("response" in token) return token.response;
      const url = new URL(request.url);
      const call: Call = {
        claims: { ...token.claims, role: token.claims.role ?? "anon" },
        method: request.method,
        path: url.pathname.replace(/^\/rest\/v1/, ""),
        headers: JSON.stringify(Object.fromEntries(request.headers)),
      };
      const response = await calls.run(
        call,
        () => routeConsole(options.log, request, () => answer(request)),
      ).catch((error) => {
        if (!call.isUnavailable) throw error;
      });
      if (!response || call.isUnavailable) return unavailableResponse();
      return call.sqlError && !response.ok
        ? sqlErrorResponse(call.sqlError, call.claims.role !== "anon", response.headers)
        : response;
    },
    async close() {
      await Promise.all([listener.end(), connection.close(), introspectorPool.end()]);
    },
  };
}

/**
 * A connection pool of the role authenticator, which may only become anon, authenticated or
 * service_role, and becomes one of them in every transaction.
 *
 * The base class would grant all on every schema with a row-secured table to the API's roles, ask
 * for six round trips to set the caller, and see only tables that its own role has privileges on;
 * here it does none of these.
 */
class RestConnection extends PostgresConnection {
  #introspector: Introspector;
  #calls: AsyncLocalStorage<Call>;
  #searchPath: string;
  #roleSettings: RoleSetting[] = [];
  #preRequest?: string;
  #pool: ReconnectingPool;

  constructor(
    options: RestOptions,
    introspector: Introspector,
    calls: AsyncLocalStorage<Call>,
    onLost: () => void,
  ) {
    super({
      url: options.postgres.url("authenticator"),
      postgresOptions: { max: POOL_SIZE, types: JSON_TYPES },
    });
    this.#pool = makeReconnecting(this.driver, onLost, (parameter) => {
      const unmask = calls.getStore()?.unmask;
      return unmask ? unmask(parameter) : parameter;
    });
    this.#introspector = introspector;
    this.#calls = calls;
    this.#searchPath = [...options.api.schemas, "extensions"].map((name) => `"${name}"`).join(", ");
    // Believing its roles to be set up already is what keeps the base class from granting.
    (this as unknown as { rlsState: string }).rlsState = "active";
  }

  override introspect(options?: { useCache?: boolean }) {
    return this.#introspector.introspect(options);
  }

  /** Forgets what was read from the database; the caller knows that it may have changed. */
  override async clearSchemaCache(): Promise<void> {
    await this.#introspector.clearSchemaCache();
    await this.readSettings();
  }

  override close(): Promise<void> {
    return this.#pool.end();
  }

  /**
   * What PostgREST reads from the database: `alter role … set …`, which holds for logins by itself, and here for callers
   * too, and `alter role authenticator set pgrst.db_pre_request`, the function to call before each request's own statement.
   */
  async readSettings(): Promise<void> {
    const connection = await this.#pool.reserve();
    const rows: RoleSetting[] = await connection.unsafe(`
      select rolname as role, split_part(setting, '=', 1) as name, substr(setting, strpos(setting, '=') + 1) as value
      from pg_catalog.pg_roles, unnest(rolconfig) as setting
      where pg_has_role('authenticator', pg_roles.oid, 'set')`)
      .finally(() => connection.release());
    this.#roleSettings = rows.filter(({ role }) => role !== "authenticator");
    this.#preRequest = rows.find(({ role, name }) =>
      role === "authenticator" && name === "pgrst.db_pre_request"
    )?.value;
  }

  override withContext: WithContext = async (_vars, work, options) => {
    if (options?.transaction) return await work(options.transaction);
    const call = this.#calls.getStore();
    if (!call) throw new Error("A query outside of any request");
    const role = String(call.claims.role);
    const readOnly = options?.rpc?.readOnly || call.method === "GET" || call.method === "HEAD";
    return await this.kysely.transaction().execute(async (tx) => {
      const settings: [string, string][] = [
        ["role", role],
        ["request.jwt.claims", JSON.stringify(call.claims)],
        ["request.method", call.method],
        ["request.path", call.path],
        ["request.headers", call.headers],
        ["request.cookies", "{}"],
        ["response.status", ""],
        ["response.headers", ""],
        ["search_path", this.#searchPath],
        ...(readOnly ? [["transaction_read_only", "on"] as [string, string]] : []),
      ];
      for (const setting of this.#roleSettings) {
        if (setting.role === role) settings.push([setting.name, setting.value]);
      }
      await tx.executeQuery(openingQuery(settings, this.#preRequest));
      return await work(tx);
    });
  };

  override normalizeDbError(error: unknown): unknown {
    const call = this.#calls.getStore();
    const sqlError = errorOf(error);
    if (call && sqlError) call.sqlError = sqlError;
    return super.normalizeDbError(error);
  }
}

/**
 * All settings, for the transaction only, and the call of the function, in one round trip. They are two statements: whether
 * the caller may call it is to be asked of the caller's role, not of the one before.
 */
function openingQuery(settings: [string, string][], preRequest?: string): never {
  const calls = settings.map(([name, value]) =>
    `set_config(${escapeLiteral(name)}, ${escapeLiteral(value)}, true)`
  );
  const called = preRequest?.split(".").map(escapeIdentifier).join(".");
  const sql = `select ${calls.join(", ")}${called ? `; select ${called}()` : ""}`;
  return {
    sql,
    parameters: [],
    query: { kind: "RawNode", sqlFragments: [sql], parameters: [] },
    queryId: { queryId: "stowage-opening" },
  } as never;
}
