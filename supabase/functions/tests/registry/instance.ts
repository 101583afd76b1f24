/** Processes of the packages function beside the stack's own, with an environment of their own, and a Redis. */
import { FunctionProcess } from "../../../../scripts/stack/function_process.ts";
import { freePort } from "../../../../scripts/stack/ports.ts";
import { projectPath } from "../../../../scripts/stack/project.ts";
import type { Stack } from "../../../../scripts/stack/mod.ts";

export interface Instance {
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body: BodyInit, headers?: Record<string, string>): Promise<Response>;
  stats(): Promise<Record<string, number>>;
  stop(): Promise<void>;
}

/** A process as the platform would start another one; asked as the service where it needs to be somebody. */
export async function startInstance(
  stack: Stack,
  env: Record<string, string> = {},
): Promise<Instance> {
  const tempDir = await Deno.makeTempDir({ prefix: "stowage packages " });
  const process = new FunctionProcess({
    name: "packages",
    entrypoint: projectPath("supabase/functions/packages/index.ts"),
    importMap: projectPath("supabase/functions/import_map.json"),
    verifyJwt: false,
  }, {
    env: {
      SUPABASE_URL: stack.apiUrl,
      SUPABASE_ANON_KEY: stack.anonKey,
      SUPABASE_SERVICE_ROLE_KEY: stack.serviceRoleKey,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: stack.publishableKey }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: stack.secretKey }),
      SUPABASE_DB_URL: stack.dbUrl,
      ...env,
    },
    limits: { memoryBytes: 256 * 1024 ** 2, requestMs: 60_000 },
    tempDir,
    log: () => {},
  });
  const service = { apikey: stack.secretKey };
  const ask = (path: string, init: RequestInit = {}) =>
    process.fetch(new Request(`http://localhost/packages${path}`, init));
  return {
    get: (path, headers = {}) => ask(`/${path}`, { headers }),
    post: (path, body, headers = {}) =>
      ask(path, { method: "POST", body, headers: { ...service, ...headers } }),
    async stats() {
      const response = await ask("/stats", { headers: service });
      return (await response.json()).cache;
    },
    async stop() {
      await process.stop();
      await Deno.remove(tempDir, { recursive: true });
    },
  };
}

export interface Redis {
  url: string;
  port: number;
  stop(): Promise<void>;
}

/** Where Debian's package puts it, or undefined where it is not installed. */
export const redisServer = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"]
  .find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });

/**
 * A real server, on a port of its own or on a given one, that keeps nothing. Ports are free when they are chosen, and may be
 * taken when the server comes: it is begun again then.
 */
export async function startRedis(port?: number): Promise<Redis> {
  let redis: Redis | undefined;
  await until(async () => {
    redis = await tryRedis(port ?? freePort("127.0.0.1"));
    return redis !== undefined;
  }, "Redis listens");
  return redis!;
}

async function tryRedis(port: number): Promise<Redis | undefined> {
  const child = new Deno.Command(redisServer!, {
    args: ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
    stdout: "null",
    stderr: "null",
  }).spawn();
  let ended = false;
  const status = child.status.then(() => ended = true);
  await until(async () => ended || await servesAs(child.pid, port), "Redis listens, or ends");
  if (ended) return undefined;
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    async stop() {
      if (!ended) child.kill("SIGKILL");
      await status;
    },
  };
}

/** Who answers on the port is this process. */
async function servesAs(pid: number, port: number): Promise<boolean> {
  try {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode("INFO server\r\n"));
    const buffer = new Uint8Array(4096);
    let text = "";
    for (let read = await connection.read(buffer); read; read = await connection.read(buffer)) {
      text += new TextDecoder().decode(buffer.subarray(0, read));
      const found = /process_id:(\d+)/.exec(text);
      if (found) return Number(found[1]) === pid;
    }
    return false;
  } catch {
    return false;
  }
}

const DEADLINE_MS = 60_000;
const POLL_MS = 25;

/** Waits until the condition holds; fails naming it when it does not for very long. */
export async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!await holds()) {
    if (Date.now() > deadline) throw new Error(`It never came to this: ${what}`);
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}
