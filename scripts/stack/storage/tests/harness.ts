/** A Storage server of its own for a test file: a real Postgres with the platform's schemas, real files, real HTTP. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { SignJWT } from "jose";
import pg from "pg";
import { withClient } from "../../database.ts";
import { startPostgres, SUPERUSER } from "../../postgres.ts";
import { createStorageHandler } from "../mod.ts";

const JWT_SECRET = "a-secret-of-the-tests-that-is-long-enough";
export const PUBLISHABLE_KEY = "sb_publishable_test";
export const SECRET_KEY = "sb_secret_test";
/** Bytes; small, so that passing it is cheap. */
export const FILE_SIZE_LIMIT = 8 * 1024 * 1024;

export interface TestUser {
  id: string;
  token: string;
  client: SupabaseClient;
}

export interface TestServer {
  /** What follows it is a path such as `/object/…`. */
  url: string;
  filesDir: string;
  /** What the server told of its own faults. */
  logged: string[];
  /** Past row security. */
  service: SupabaseClient;
  serviceToken: string;
  anonToken: string;
  /** A client with this key or token. */
  client(key: string): SupabaseClient;
  user(): Promise<TestUser>;
  /** A genuine token with these claims. */
  token(claims: Record<string, unknown>, expiresIn?: string): Promise<string>;
  /** Runs SQL as `postgres`, as a migration would. */
  sql<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Paths of all files, relative to the directory. */
  files(): Promise<string[]>;
  stop(): Promise<void>;
}

export async function startTestServer(
  options: { fileSizeLimit?: number } = {},
): Promise<TestServer> {
  const dir = await Deno.makeTempDir({ prefix: "stowage storage " });
  const postgres = await startPostgres({ dir: `${dir}/db`, port: 0, durable: false });
  await createPlatform(postgres.url(SUPERUSER));
  const logged: string[] = [];
  const pool = new pg.Pool({ connectionString: postgres.url("supabase_storage_admin"), max: 8 });
  const admin = new pg.Pool({ connectionString: postgres.url("postgres"), max: 2 });
  for (const each of [pool, admin]) {
    // A pool's end does not wait for its connections', which the server's end may then cut off.
    each.on("error", () => {});
    each.on("connect", (client) => client.on("error", () => {}));
  }
  const filesDir = `${dir}/files`;
  const handler = createStorageHandler({
    pool,
    filesDir,
    jwtSecret: JWT_SECRET,
    fileSizeLimit: options.fileSizeLimit ?? FILE_SIZE_LIMIT,
    log: (line) => logged.push(line),
    keyToRole: (key) => ({ [PUBLISHABLE_KEY]: "anon", [SECRET_KEY]: "service_role" })[key],
  });

  // The client adds the prefix that the gateway takes away.
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const { method, body } = request;
    const headers = new Headers(request.headers);
    headers.set("x-forwarded-prefix", "/storage/v1");
    const url = request.url.replace("/storage/v1", "");
    return handler.fetch(new Request(url, { method, headers, body }));
  });
  const origin = `http://127.0.0.1:${server.addr.port}`;

  const token = (claims: Record<string, unknown>, expiresIn = "1h") =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256" })
      .setIssuedAt()
      .setExpirationTime(expiresIn)
      .sign(new TextEncoder().encode(JWT_SECRET));
  const client = (key: string) =>
    createClient(origin, key, {
      auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    });
  const [serviceToken, anonToken] = await Promise.all([
    token({ role: "service_role" }),
    token({ role: "anon" }),
  ]);

  return {
    url: `${origin}/storage/v1`,
    filesDir,
    logged,
    serviceToken,
    anonToken,
    service: client(serviceToken),
    client,
    token,
    async user() {
      const id = crypto.randomUUID();
      const userToken = await token({ sub: id, role: "authenticated" });
      return { id, token: userToken, client: client(userToken) };
    },
    async sql<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) {
      return (await admin.query<Row>(text, values)).rows;
    },
    files: () => listFiles(filesDir),
    async stop() {
      await server.shutdown();
      handler.close();
      await Promise.all([pool.end(), admin.end()]);
      await postgres.stop();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

async function createPlatform(url: string): Promise<void> {
  const platform = await Deno.readTextFile(new URL("../../platform.sql", import.meta.url));
  const storage = await Deno.readTextFile(new URL("../schema.sql", import.meta.url));
  await withClient(url, async (client) => {
    await client.query("begin");
    await client.query(platform);
    await client.query("grant create on database postgres to supabase_storage_admin");
    await client.query("set local role supabase_storage_admin");
    await client.query(storage);
    await client.query("reset role");
    await client.query("commit");
  });
}

async function listFiles(dir: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of Deno.readDir(`${dir}/${prefix}`)) {
      const path = `${prefix}${entry.name}`;
      if (entry.isDirectory) found.push(...await listFiles(dir, `${path}/`));
      else found.push(path);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}

let running: TestServer | undefined;

/** The test file's server. */
export function server(): TestServer {
  if (!running) throw new Error("The server runs only while tests do.");
  return running;
}

/** Starts a server before the file's tests and stops it after them. */
export function withServer(options: { fileSizeLimit?: number } = {}): void {
  Deno.test.beforeAll(async () => {
    running = await startTestServer(options);
  });
  Deno.test.afterAll(async () => {
    await running?.stop();
    running = undefined;
  });
}

/** A test that talks to the shared server, whose connections outlive it. */
export function test(name: string, run: () => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn: run });
}

/** A new bucket, by its id. */
export async function makeBucket(
  options: { public?: boolean; fileSizeLimit?: number | string; allowedMimeTypes?: string[] } = {},
): Promise<string> {
  const id = `bucket-${crypto.randomUUID()}`;
  const { error } = await server().service.storage.createBucket(id, { public: false, ...options });
  if (error) throw error;
  return id;
}

/** Puts a file there, past row security. */
export async function seed(bucket: string, name: string, content = name): Promise<void> {
  const { error } = await server().service.storage.from(bucket).upload(name, content);
  if (error) throw error;
}

/** A request in plain HTTP, as the service unless another token (or null for none) is given. */
export function call(
  method: string,
  path: string,
  options: {
    token?: string | null;
    headers?: HeadersInit;
    body?: BodyInit | null;
    json?: unknown;
  } = {},
): Promise<Response> {
  const { token = server().serviceToken } = options;
  const headers = new Headers(options.headers);
  if (token !== null) headers.set("authorization", `Bearer ${token}`);
  if (options.json !== undefined) headers.set("content-type", "application/json");
  const body = options.json === undefined ? options.body : JSON.stringify(options.json);
  return fetch(server().url + path, { method, headers, body, redirect: "manual" });
}

/** The answer's status and JSON, for one comparison. */
export async function answer(
  response: Promise<Response>,
): Promise<{ status: number; body: unknown }> {
  const { status, body } = await response.then(async (r) => ({
    status: r.status,
    body: await r.json(),
  }));
  return { status, body };
}
