/** `npm start` and `npm run status`. */
import { parseArgs } from "node:util";
import { renderHints } from "./hints.ts";
import { projectPath } from "./project.ts";
import { type Stack, startStack } from "./mod.ts";
import { readState, type StackState } from "./state.ts";

const USAGE = `Usage:
  npm start -- [--port N] [--db-port N] [--data-dir DIR] [--quiet]
  npm run status -- [--output pretty|json|env] [--data-dir DIR]

Ports come from supabase/config.toml; 0 takes any free one.`;

type Format = "pretty" | "json" | "env";

class UsageError extends Error {}

async function main(args: string[]): Promise<number> {
  const [command, ...rest] = args;
  try {
    if (command === "start") return await start(rest);
    if (command === "status") return await status(rest);
    throw new UsageError(command ? `Unknown command ${command}.` : "No command.");
  } catch (error) {
    if (
      error instanceof UsageError || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS")
    ) {
      console.error(`${(error as Error).message}\n\n${USAGE}`);
      return 2;
    }
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
}

async function start(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: "string" },
      "db-port": { type: "string" },
      "data-dir": { type: "string" },
      quiet: { type: "boolean", default: false },
    },
  });
  const signalled = waitForSignal();
  const began = performance.now();
  const starting = startStack({
    dataDir: values["data-dir"] ?? projectPath(".stowage"),
    port: port(values.port, "--port"),
    dbPort: port(values["db-port"], "--db-port"),
    log: values.quiet ? undefined : (line) => console.error(line),
  });
  // A signal while starting waits for the start, so that there is something whole to stop.
  const stack = await starting;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(
    `${render(describe(stack), "pretty")}\n${
      renderHints(stack)
    }\n\nStarted in ${seconds} s. Ctrl-C stops it.`,
  );
  const failed = await Promise.race([
    signalled.then(() => false),
    stack.databaseEnded.then(() => true),
  ]);
  await stack.stop();
  if (failed) {
    throw new Error(
      "Postgres has ended by itself; its log is postgres/postgres.log in the data directory.",
    );
  }
  console.log("Stopped.");
  return 0;
}

async function status(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      output: { type: "string", short: "o", default: "pretty" },
      "data-dir": { type: "string" },
    },
  });
  const format = values.output as Format;
  if (!["pretty", "json", "env"].includes(format)) {
    throw new UsageError(`Unknown output ${format}.`);
  }
  const state = await readState(values["data-dir"] ?? projectPath(".stowage"));
  if (!state) throw new Error("No stack is running here. Start one: npm start");
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

/** Settles at the first SIGINT or SIGTERM; a second one ends the process at once. */
function waitForSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let seen = 0;
  const onSignal = () => {
    resolve();
    // npm passes a terminal's Ctrl-C on, so the same one may come twice.
    if (++seen > 2) Deno.exit(130);
  };
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  return promise;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
