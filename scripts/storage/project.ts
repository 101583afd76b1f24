/** Which project a storage command works on, and how it is told. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import { readState } from "../stack/state.ts";
import { PROJECT_DIR } from "../stack/project.ts";

export type Client = SupabaseClient<Database>;

/** The command line, or the environment, does not say what is needed. */
export class UsageError extends Error {}

const CALL_TIMEOUT_MS = 120_000;

/** The command's own options. A mistake in them becomes a UsageError. */
export function readOptions<T extends NonNullable<ParseArgsConfig["options"]>>(
  options: T,
): ReturnType<typeof parseArgs<{ options: T; strict: true }>>["values"] {
  try {
    return parseArgs({ options, strict: true, args: Deno.args }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** A whole number that is at least `minimum`. */
export function wholeNumber(name: string, text: string, minimum: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < minimum) {
    throw new UsageError(`--${name} takes a whole number, ${minimum} or more, not ${text}.`);
  }
  return value;
}

/** The project that SUPABASE_URL and SUPABASE_SECRET_KEY name, or else the stack that this checkout runs. */
export async function connect(): Promise<Client> {
  const url = Deno.env.get("SUPABASE_URL");
  const key = Deno.env.get("SUPABASE_SECRET_KEY");
  if (url && key) return createServiceClient(url, key);
  if (url || key) {
    throw new UsageError("SUPABASE_URL and SUPABASE_SECRET_KEY belong together: set both.");
  }
  const stack = await readState(`${PROJECT_DIR}/.stowage`);
  if (!stack) {
    throw new UsageError(
      "Set SUPABASE_URL and SUPABASE_SECRET_KEY, or start the stack of this checkout (npm start).",
    );
  }
  return createServiceClient(stack.apiUrl, stack.secretKey);
}

export function createServiceClient(url: string, key: string): Client {
  return createClient<Database>(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      fetch: (input, init) =>
        fetch(input, { ...init, signal: init?.signal ?? AbortSignal.timeout(CALL_TIMEOUT_MS) }),
    },
  });
}

/** What a call answered, or its error. */
export function answered<T>({ data, error }: { data: T | null; error: unknown }): T {
  if (error) throw error;
  return data as T;
}

/** Runs a command: its answer is the exit code; mistakes in its use are told in one line. */
export async function runCommand(command: () => Promise<number>): Promise<never> {
  try {
    Deno.exit(await command());
  } catch (error) {
    const { message, details } = error as { message?: string; details?: string };
    console.error(
      error instanceof UsageError
        ? error.message
        : [message ?? error, details].filter(Boolean).join("\n"),
    );
    Deno.exit(2);
  }
}
