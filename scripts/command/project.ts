/** The project that a command works on: where it is, and the key that opens it. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import { PROJECT_DIR } from "../stack/project.ts";
import { readState } from "../stack/state.ts";
import { CommandError } from "./errors.ts";
import { fetchOrExplain } from "./reach.ts";

export type Client = SupabaseClient<Database>;

/** The configuration cannot be used; the message says what to set and how. */
export class ConfigError extends CommandError {
  override name = "ConfigError";
  constructor(message: string) {
    super(message, 2);
  }
}

const CALL_TIMEOUT_MS = 120_000;

/**
 * The project that SUPABASE_URL and SUPABASE_SECRET_KEY name, or else the stack that this checkout runs.
 * @throws ConfigError
 */
export async function connect(): Promise<Client> {
  const url = Deno.env.get("SUPABASE_URL");
  const key = Deno.env.get("SUPABASE_SECRET_KEY");
  if (url && key) return createServiceClient(readUrl(url), readSecretKey(key));
  if (url || key) {
    throw new ConfigError("SUPABASE_URL and SUPABASE_SECRET_KEY belong together: set both.");
  }
  const stack = await readState(`${PROJECT_DIR}/.stowage`);
  if (!stack) {
    throw new ConfigError(
      "Set SUPABASE_URL and SUPABASE_SECRET_KEY, or start the stack of this checkout (npm start).",
    );
  }
  return createServiceClient(stack.apiUrl, stack.secretKey);
}

export function createServiceClient(url: string, key: string): Client {
  return createStatelessClient(url, key, (input, init) =>
    fetchOrExplain(input, {
      ...init,
      signal: init?.signal ?? AbortSignal.timeout(CALL_TIMEOUT_MS),
    }));
}

/** A client of a process that ends: its session is kept nowhere. */
export function createStatelessClient(
  url: string,
  key: string,
  fetch: typeof globalThis.fetch,
): Client {
  return createClient<Database>(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { fetch },
  });
}

/** What a call answered, or its error. */
export function answered<T>({ data, error }: { data: T | null; error: unknown }): T {
  if (error) throw error;
  return data as T;
}

/**
 * The value of SUPABASE_URL, without a slash at its end.
 * @throws ConfigError
 */
export function readUrl(text: string | undefined): string {
  if (!text) {
    throw new ConfigError("SUPABASE_URL is not set; `npm run status` shows it for the local stack");
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ConfigError(`SUPABASE_URL is not a URL: ${JSON.stringify(text)}`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new ConfigError(`SUPABASE_URL must begin with http:// or https://, not ${url.protocol}`);
  }
  return text.replace(/\/+$/, "");
}

/**
 * The value of SUPABASE_SECRET_KEY, which no message repeats.
 * @throws ConfigError
 */
export function readSecretKey(key: string | undefined): string {
  if (!key) {
    throw new ConfigError(
      "SUPABASE_SECRET_KEY is not set; `npm run status` shows it for the local stack",
    );
  }
  requireVisible("SUPABASE_SECRET_KEY", key);
  if (key.startsWith("sb_publishable_")) {
    throw new ConfigError(
      "SUPABASE_SECRET_KEY holds a publishable key; this needs the secret one (sb_secret_…)",
    );
  }
  const role = roleOfJwt(key);
  if (!key.startsWith("sb_secret_") && role !== "service_role") {
    throw new ConfigError(
      role === null
        ? "SUPABASE_SECRET_KEY is neither a secret key (sb_secret_…) nor a service_role token"
        : `SUPABASE_SECRET_KEY holds a token of the role ${role}; this needs service_role`,
    );
  }
  return key;
}

/**
 * The value of SUPABASE_PUBLISHABLE_KEY.
 * @throws ConfigError
 */
export function readPublishableKey(key: string): string {
  requireVisible("SUPABASE_PUBLISHABLE_KEY", key);
  if (key.startsWith("sb_secret_") || roleOfJwt(key) === "service_role") {
    throw new ConfigError(
      "SUPABASE_PUBLISHABLE_KEY holds a secret key; this needs the publishable one (sb_publishable_…)",
    );
  }
  return key;
}

/** Keys travel in headers, which take no other characters; an ellipsis is what one ends in where it is only hinted at. */
function requireVisible(variable: string, key: string): void {
  const strange = /[^\x21-\x7e]/u.exec(key);
  if (!strange) return;
  throw new ConfigError(
    `${variable} has ${nameOf(strange[0])} at position ${strange.index + 1}, which no key has: ` +
      "put the whole key there, which `npm run status` shows for the local stack",
  );
}

function nameOf(character: string): string {
  if (/\s/.test(character)) return "a space or line break";
  const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(character) ? `"${character}" (U+${code})` : `U+${code}`;
}

function roleOfJwt(key: string): string | null {
  try {
    const payload = key.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return String(JSON.parse(atob(payload)).role);
  } catch {
    return null;
  }
}
