/** The Auth API: @supabase/lite for users, the routes it lacks beside it. */
import { setTimeout as delay } from "node:timers/promises";
import { App } from "@supabase/lite";
import { PostgresConnection } from "@supabase/lite/postgres";
import { decodeJwt } from "jose";
import { Pool } from "pg";
import { createAuthAdmin } from "./auth_admin.ts";
import { AuthError, errorResponse } from "./auth_errors.ts";
import type { Config } from "./config.ts";
import { routeConsole } from "./lite_console.ts";
import type { Postgres } from "./postgres.ts";
import type { Signer } from "./signer.ts";
import { isoTimeInUtc, jsonText, textType } from "./wire_types.ts";

export interface AuthOptions {
  postgres: Postgres;
  jwtSecret: string;
  signer: Signer;
  /** The stack's own address, for links and for the tokens' issuer. */
  apiUrl: string;
  auth: Config["auth"];
  log: (line: string) => void;
}

export interface AuthServer {
  /** Answers a request whose path begins with `/auth/v1` and whose Authorization is a JWT. */
  fetch(request: Request): Promise<Response>;
  close(): Promise<void>;
}

const POOL_SIZE = 10;
const CLOSE_PATIENCE_MS = 2_000;

/** lite gives documents as text, which its own types would make a JSON string of. */
const TYPES = {
  timestamp: textType(1114, isoTimeInUtc),
  timestamptz: textType(1184, isoTimeInUtc),
  json: textType(114, JSON.parse, jsonText),
  jsonb: textType(3802, JSON.parse, jsonText),
};

/** Starts the server on the role that owns the schema auth. */
export function startAuth(options: AuthOptions): AuthServer {
  const url = options.postgres.url("supabase_auth_admin");
  const connection = new PostgresConnection({
    url,
    postgresOptions: { max: POOL_SIZE, types: TYPES },
  });
  // See RestConnection: keeps it from granting privileges.
  (connection as unknown as { rlsState: string }).rlsState = "active";
  const pool = new Pool({ connectionString: url, max: POOL_SIZE });
  pool.on("error", (error) => options.log(`auth: ${error.message}`));
  // The pool listens to idle connections alone; one that breaks in use must not end this process either.
  pool.on("connect", (client) => client.on("error", () => {}));
  const { auth } = options;
  const app = new App({
    connection,
    auth: {
      enabled: true,
      jwt_secret: options.jwtSecret,
      site_url: auth.siteUrl,
      additional_redirect_urls: auth.additionalRedirectUrls,
      jwt_expiry: auth.jwtExpiry,
      enable_signup: auth.enableSignup,
      minimum_password_length: auth.minimumPasswordLength,
      email: { enable_signup: auth.enableSignup, enable_confirmations: auth.enableConfirmations },
    },
    api: { enabled: false, external_url: options.apiUrl },
    options: {
      server: { apiKeys: false, disableStudio: true, disableFallback: true },
      drivers: { email: mailToLog(options.log) },
    },
  } as never);
  const admin = createAuthAdmin({ ...options, pool });

  return {
    async fetch(request) {
      const path = new URL(request.url).pathname.replace(/^\/auth\/v1/, "");
      if (path.startsWith("/admin/") || path === "/invite") return await admin(request, path);
      const response = await routeConsole(options.log, request, () => app.fetch(request));
      try {
        return await completeTokens(response, pool, options);
      } catch (error) {
        return errorResponse(error, options.log);
      }
    },
    async close() {
      // Whoever holds a connection still is broken off by the database's end.
      const closed = Promise.all([connection.close(), pool.end()]);
      await Promise.race([closed, delay(CLOSE_PATIENCE_MS, undefined, { ref: false })]);
    },
  };
}

/** There is no mail server: what would be sent is logged, codes and links included. */
function mailToLog(log: (line: string) => void) {
  return {
    send(message: { to: string; subject: string; text?: string; html?: string }): Promise<void> {
      log(`mail to ${message.to}: ${message.subject}\n${message.text ?? message.html ?? ""}`);
      return Promise.resolve();
    },
  };
}

/**
 * Tokens of the platform's Auth server say more than lite's: metadata that policies read, how the
 * user signed in, the issuer. Each one handed out, in a body or in a redirect, is made anew.
 */
async function completeTokens(
  response: Response,
  pool: Pool,
  options: AuthOptions,
): Promise<Response> {
  const location = response.headers.get("location");
  if (location?.includes("#access_token=")) {
    const [base, fragment] = location.split("#");
    const values = new URLSearchParams(fragment);
    values.set("access_token", await completeToken(values.get("access_token")!, pool, options));
    const headers = new Headers(response.headers);
    headers.set("location", `${base}#${values}`);
    return new Response(null, { status: response.status, headers });
  }
  if (!response.ok || !response.headers.get("content-type")?.includes("json")) return response;
  const body = await response.json();
  if (typeof body?.access_token === "string") {
    body.access_token = await completeToken(body.access_token, pool, options);
  }
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return new Response(JSON.stringify(body), { status: response.status, headers });
}

async function completeToken(token: string, pool: Pool, options: AuthOptions): Promise<string> {
  const claims = decodeJwt(token);
  const { rows: [user] } = await pool.query(
    `select email, phone, raw_app_meta_data, raw_user_meta_data, is_anonymous,
       banned_until > now() as banned
     from auth.users where id = $1`,
    [claims.sub],
  );
  // lite does not look at it; the session that it has made is never handed out.
  if (user?.banned) throw new AuthError(400, "user_banned", "User is banned");
  const now = Math.floor(Date.now() / 1000);
  return await options.signer.sign({
    aal: "aal1",
    amr: [{ method: "password", timestamp: claims.iat ?? now }],
    ...claims,
    iss: `${options.apiUrl}/auth/v1`,
    email: user?.email ?? "",
    phone: user?.phone ?? "",
    app_metadata: user?.raw_app_meta_data ?? {},
    user_metadata: user?.raw_user_meta_data ?? {},
    is_anonymous: user?.is_anonymous ?? false,
  });
}
