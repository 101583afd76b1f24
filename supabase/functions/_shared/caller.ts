import {
  createAdminClient,
  createContextClient,
  extractCredentials,
  verifyCredentials,
} from "@supabase/server/core";
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "./database.types.ts";
import type { Environment } from "./environment.ts";
import { AppError } from "./errors.ts";

export type Client = SupabaseClient<Database>;

type Fetch = typeof fetch;

/** Who calls: a signed-in user, whose client row security applies to, or the service, which it does not. */
export interface Caller {
  kind: "user" | "service";
  /** The user's id; null for the service. */
  id: string | null;
  client: Client;
}

/**
 * Finds out who calls. Users send a JWT; services a secret key, or the legacy service_role key. A publishable key is no
 * identity: with that alone, and with anything that does not verify, the answer is 401. The client uses `fetch`, if given
 * one, and then tries nothing again.
 */
export async function identify(
  request: Request,
  environment: Environment,
  fetch?: Fetch,
): Promise<Caller> {
  const { token, apikey } = extractCredentials(request);
  const env = environment.supabase;
  if (await isLegacyServiceKey(token ?? apikey, environment)) return service(environment, fetch);
  if (token && !token.startsWith("sb_") && !hasKeyId(token)) {
    return await legacyUser(token, environment, fetch);
  }
  const { data, error } = await verifyCredentials({ token, apikey }, {
    auth: ["user", "secret:*"],
    env,
  });
  if (error) {
    if (error.status >= 500) throw new AppError("unavailable", undefined, { cause: error });
    throw unauthenticated(error, [token, apikey].some((key) => key !== null && !isPublicKey(key)));
  }
  if (data.authMode === "secret") return service(environment, fetch);
  return {
    kind: "user",
    id: data.userClaims!.id,
    client: clientOf(data.token!, environment, fetch),
  };
}

/** The client that acts as the service, past row security. */
export function serviceClient(environment: Environment, fetch?: Fetch): Client {
  return createAdminClient<Database>({
    env: environment.supabase,
    supabaseOptions: fetching(fetch),
  }) as Client;
}

function service(environment: Environment, fetch?: Fetch): Caller {
  return { kind: "service", id: null, client: serviceClient(environment, fetch) };
}

function clientOf(token: string, environment: Environment, fetch?: Fetch): Client {
  return createContextClient<Database>({
    auth: { token },
    env: environment.supabase,
    supabaseOptions: fetching(fetch),
  }) as Client;
}

/** A fetch that ends by itself: whoever has gone, or has waited for long, is not served by trying again. */
export function fetching(fetch?: Fetch) {
  return fetch ? { global: { fetch }, db: { retry: false } } : {};
}

/** @param isRefused whether something was sent that should say who calls */
function unauthenticated(cause: unknown, isRefused: boolean): AppError {
  const detail = "The token or key is not valid here, or it has expired.";
  return new AppError("unauthenticated", isRefused ? detail : undefined, {
    cause,
    headers: { "www-authenticate": isRefused ? 'Bearer error="invalid_token"' : "Bearer" },
  });
}

/** Names the project and nobody in it: a publishable key, or the legacy anon key. */
export function isPublicKey(key: string): boolean {
  if (key.startsWith("sb_publishable_")) return true;
  try {
    const payload = key.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload)).role === "anon";
  } catch {
    return false;
  }
}

/** Tokens signed with the project's shared secret carry no key id: only Auth itself can verify those. */
async function legacyUser(
  token: string,
  environment: Environment,
  fetch?: Fetch,
): Promise<Caller> {
  const client = clientOf(token, environment, fetch);
  const { data, error } = await client.auth.getUser(token);
  if (error && (error.status === undefined || error.status >= 500 || error.status === 0)) {
    throw new AppError("unavailable", undefined, { cause: error });
  }
  if (error) throw unauthenticated(error, !isPublicKey(token));
  return { kind: "user", id: data.user.id, client };
}

function hasKeyId(token: string): boolean {
  try {
    const [header] = token.split(".", 1);
    return typeof JSON.parse(atob(header.replaceAll("-", "+").replaceAll("_", "/"))).kid ===
      "string";
  } catch {
    // Not a JWT: the verification says so.
    return true;
  }
}

/** Compares digests, so that the time taken tells nothing of the key. */
async function isLegacyServiceKey(
  given: string | null,
  { serviceRoleKey }: Environment,
): Promise<boolean> {
  if (!given || !serviceRoleKey) return false;
  const digest = async (text: string) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const [a, b] = await Promise.all([digest(given), digest(serviceRoleKey)]);
  return a.reduce((difference, byte, index) => difference | (byte ^ b[index]), 0) === 0;
}
