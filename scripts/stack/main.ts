/** `npm start` and `npm run status`. */
import { type Given, runCommand } from "../command/command.ts";
import { CommandError, UsageError } from "../command/errors.ts";
import { renderHints } from "./hints.ts";
import { projectPath } from "./project.ts";
import { type Stack, startStack } from "./mod.ts";
import { readState, type StackState } from "./state.ts";

const START = {
  name: "start",
  usage: "[--port N] [--db-port N] [--data-dir DIR] [--quiet]",
  help: `
Starts the local stack: Postgres, REST, Auth, Storage and Edge Functions, until Ctrl-C.

  --port N        of the API (default: supabase/config.toml, 0: any free one)
  --db-port N     of Postgres, likewise
  --data-dir DIR  what is to stay (default: .stowage in this checkout)
  --quiet         no log`,
  options: {
    port: { type: "string" },
    "db-port": { type: "string" },
    "data-dir": { type: "string" },
    quiet: { type: "boolean", default: false },
  },
} as const;

const STATUS = {
  name: "status",
  usage: "[--output pretty|json|env] [--data-dir DIR]",
  help: `
The addresses and keys of the running stack.

  -o, --output FORMAT  pretty (default), json or env; npm's own lines are left out by "npm run -s status"
  --data-dir DIR       of the stack (default: .stowage in this checkout)`,
  options: {
    output: { type: "string", short: "o", default: "pretty" },
    "data-dir": { type: "string" },
  },
} as const;

type Format = "pretty" | "json" | "env";

async function start({ values }: Given<typeof START.options>): Promise<number> {
  const ports = { port: port(values.port, "--port"), dbPort: port(values["db-port"], "--db-port") };
  const signal = stopSignal();
  const began = performance.now();
  let stack: Stack;
  try {
    stack = await startStack({
      dataDir: values["data-dir"] ?? projectPath(".stowage"),
      ...ports,
      log: values.quiet ? undefined : (line) => console.error(line),
      signal,
    });
  } catch (error) {
    if (!signal.aborted) throw error;
    console.log("Stopped before it had started.");
    return 0;
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(
    `${render(describe(stack), "pretty")}\n${
      renderHints(stack)
    }\n\nStarted in ${seconds} s. Ctrl-C stops it.`,
  );
  const failed = await Promise.race([
    aborted(signal).then(() => false),
    stack.databaseEnded.then(() => true),
  ]);
  await stack.stop();
  if (failed) {
    throw new CommandError(
      "Postgres has ended by itself; its log is postgres/postgres.log in the data directory.",
    );
  }
  console.log("Stopped.");
  return 0;
}

async function status({ values }: Given<typeof STATUS.options>): Promise<number> {
  const format = values.output as Format;
  if (!["pretty", "json", "env"].includes(format)) {
    throw new UsageError(`--output takes pretty, json or env, not ${format}.`);
  }
  const state = await readState(values["data-dir"] ?? projectPath(".stowage"));
  if (!state) throw new CommandError("No stack is running here. Start one: npm start");
  console.log(render(describe(state), format));
  return 0;
}

/** What `supabase status` tells, under its names. */
function describe(stack: Stack | StackState): Record<string, string> {
  return {
    API_URL: stack.apiUrl,
    REST_URL: `${stack.apiUrl}/rest/v1`,
    FUNCTIONS_URL: `${stack.apiUrl}/functions/v1`,
    STORAGE_URL: `${stack.apiUrl}/storage/v1`,
    DB_URL: stack.dbUrl,
    PUBLISHABLE_KEY: stack.publishableKey,
    SECRET_KEY: stack.secretKey,
    ANON_KEY: stack.anonKey,
    SERVICE_ROLE_KEY: stack.serviceRoleKey,
    JWT_SECRET: stack.jwtSecret,
  };
}

const LABELS: Record<string, string> = {
  API_URL: "API URL",
  REST_URL: "REST URL",
  FUNCTIONS_URL: "Functions URL",
  STORAGE_URL: "Storage URL",
  DB_URL: "Database URL",
  PUBLISHABLE_KEY: "Publishable key",
  SECRET_KEY: "Secret key",
  ANON_KEY: "anon key",
  SERVICE_ROLE_KEY: "service_role key",
  JWT_SECRET: "JWT secret",
};

function render(values: Record<string, string>, format: Format): string {
  const entries = Object.entries(values);
  if (format === "json") return JSON.stringify(values, null, 2);
  if (format === "env") return entries.map(([name, value]) => `${name}="${value}"`).join("\n");
  return entries.map(([name, value]) => `${LABELS[name].padStart(16)}: ${value}`).join("\n");
}

function port(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65535) {
    throw new UsageError(`${option} takes a port, not ${text}.`);
  }
  return value;
}

/** Aborted by the first SIGINT or SIGTERM; a second one ends the process at once. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  let seen = 0;
  const onSignal = () => {
    stopping.abort();
    // npm passes a terminal's Ctrl-C on, so the same one may come twice.
    if (++seen > 2) Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  return stopping.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener("abort", () => resolve());
  return promise;
}

if (import.meta.main) {
  const [name, ...args] = Deno.args;
  if (name === "status") await runCommand(STATUS, status, args);
  await runCommand(START, start, name === "start" ? args : Deno.args);
}
