/** Edge Functions: one Deno process each, behind `/functions/v1/<name>`. */
import { join } from "node:path";
import type { Config } from "./config.ts";
import { functionConfig } from "./config.ts";
import {
  type FunctionLimits,
  FunctionProcess,
  type FunctionSource,
  WorkerError,
} from "./function_process.ts";
import type { Keys } from "./keys.ts";
import { projectPath } from "./project.ts";
import type { Signer } from "./signer.ts";
import { verifyToken } from "./tokens.ts";

export interface FunctionsOptions {
  config: Config["functions"];
  keys: Keys;
  signer: Signer;
  apiUrl: string;
  dbUrl: string;
  /** Where functions may write; made anew, and removed at the end. */
  tempDir: string;
  log: (line: string) => void;
  /** The folder that holds one folder per function; default supabase/functions. */
  dir?: string;
}

export interface FunctionsServer {
  /** Answers a request whose path begins with the function's name. */
  fetch(request: Request): Promise<Response>;
  close(): Promise<void>;
}

/** The platform's limits: 256 MB of memory, 150 s until a response begins. */
const LIMITS: FunctionLimits = { memoryBytes: 256 * 1024 ** 2, requestMs: 150_000 };

const CHANGE_SETTLES_MS = 100;

export async function startFunctions(options: FunctionsOptions): Promise<FunctionsServer> {
  const dir = options.dir ?? projectPath("supabase/functions");
  const secrets = await readSecrets(join(dir, ".env"));
  const { tempDir } = options;
  // What a killed stack left.
  await Deno.remove(tempDir, { recursive: true }).catch(() => {});
  await Deno.mkdir(tempDir, { recursive: true });
  const running = new Map<string, FunctionProcess>();
  const retired = new Set<FunctionProcess>();

  const retire = (process: FunctionProcess) => {
    retired.add(process);
    process.retire().finally(() => retired.delete(process));
  };
  const watcher = watchChanges(dir, () => {
    for (const process of running.values()) retire(process);
    running.clear();
  });

  let closing = false;
  const processFor = (source: FunctionSource): FunctionProcess => {
    // A request on its way in must not start a process that nobody ends.
    if (closing) throw new WorkerError(503, "BOOT_ERROR", "The stack is being stopped");
    const current = running.get(source.name);
    if (current?.alive) return current;
    const process = new FunctionProcess(source, {
      env: { ...secrets, ...platformEnv(options), SUPABASE_FUNCTION_SLUG: source.name },
      limits: LIMITS,
      tempDir,
      log: options.log,
    });
    running.set(source.name, process);
    return process;
  };

  return {
    async fetch(request) {
      const name = new URL(request.url).pathname.split("/")[1];
      const source = await findFunction(dir, name, options.config);
      if (!source) return failure(404, "NOT_FOUND", "Requested function was not found");
      if (source.verifyJwt && request.method !== "OPTIONS") {
        const refusal = await checkJwt(request, options);
        if (refusal) return refusal;
      }
      try {
        return await processFor(source).fetch(request);
      } catch (error) {
        if (error instanceof WorkerError) return failure(error.status, error.code, error.message);
        throw error;
      }
    },
    async close() {
      closing = true;
      watcher?.close();
      await Promise.all([...running.values(), ...retired].map((process) => process.stop()));
      await Deno.remove(tempDir, { recursive: true });
    },
  };
}

async function findFunction(
  dir: string,
  name: string,
  configs: Config["functions"],
): Promise<FunctionSource | undefined> {
  if (!/^[A-Za-z][\w-]*$/.test(name)) return undefined;
  const config = configs[name] ?? functionConfig();
  if (!config.enabled) return undefined;
  const supabaseDir = join(dir, "..");
  const entrypoint = config.entrypoint
    ? join(supabaseDir, config.entrypoint)
    : join(dir, name, "index.ts");
  if (!await isFile(entrypoint)) return undefined;
  const importMap = config.importMap
    ? join(supabaseDir, config.importMap)
    : join(dir, "import_map.json");
  return {
    name,
    entrypoint,
    importMap: await isFile(importMap) ? importMap : undefined,
    verifyJwt: config.verifyJwt,
  };
}

async function checkJwt(
  request: Request,
  options: FunctionsOptions,
): Promise<Response | undefined> {
  const authorization = request.headers.get("authorization");
  if (!authorization) return unauthorized("Missing authorization header");
  const token = /^Bearer (.+)$/i.exec(authorization)?.[1];
  if (!token) return unauthorized("Invalid JWT");
  const shared = await options.signer.toShared(token);
  const verified = await verifyToken(`Bearer ${shared}`, options.keys.jwtSecret);
  if ("response" in verified) return unauthorized("Invalid JWT");
}

function unauthorized(message: string): Response {
  return respond(401, { code: 401, message });
}

function failure(status: number, code: string, message: string): Response {
  return respond(status, { code, message });
}

/** The gateway's own answers can be read by browsers; a function's headers are its own affair. */
function respond(status: number, body: unknown): Response {
  return Response.json(body, {
    status,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-allow-headers": "authorization, x-client-info, apikey, content-type",
    },
  });
}

/** The variables that the platform gives to every function. */
function platformEnv(options: FunctionsOptions): Record<string, string> {
  const { keys } = options;
  return {
    SUPABASE_URL: options.apiUrl,
    SUPABASE_ANON_KEY: keys.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleKey,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    SUPABASE_JWKS: JSON.stringify(options.signer.allKeys),
    SUPABASE_DB_URL: options.dbUrl,
    SB_REGION: "local",
  };
}

/** `supabase/functions/.env`, as the CLI reads it: NAME=value, quotes optional, # for comments. */
async function readSecrets(file: string): Promise<Record<string, string>> {
  const text = await Deno.readTextFile(file).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  });
  const entries = text.split("\n").flatMap((line) => {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:"(.*)"|'(.*)'|([^#]*?))\s*(?:#.*)?$/
      .exec(line);
    // The platform keeps this prefix for itself.
    if (!match || match[1].startsWith("SUPABASE_")) return [];
    return [[match[1], match[2]?.replaceAll("\\n", "\n") ?? match[3] ?? match[4]]];
  });
  return Object.fromEntries(entries);
}

/** Calls back once for each burst of changes to code below `dir`. */
function watchChanges(dir: string, onChange: () => void): Deno.FsWatcher | undefined {
  let watcher: Deno.FsWatcher;
  try {
    watcher = Deno.watchFs(dir, { recursive: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  (async () => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    for await (const event of watcher) {
      if (event.kind === "access") continue;
      clearTimeout(timer);
      timer = setTimeout(onChange, CHANGE_SETTLES_MS);
    }
    clearTimeout(timer);
  })();
  return watcher;
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isFile, () => false);
}
