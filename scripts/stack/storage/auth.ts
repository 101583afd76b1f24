/**
 * Who is calling.
 *
 * The platform's gateway turns the newer keys (`sb_publishable_…`, `sb_secret_…`) into the JWT of their role before the
 * Storage server sees the request; that step is done here, then the token is verified as the server does.
 */
import { jwtVerify } from "jose";
import { errors } from "./errors.ts";

/** The role and claims under which a request's statements run. */
export interface Identity {
  role: string;
  claims: Record<string, unknown>;
  /** The token as it came; empty for a key. */
  jwt: string;
  /** The user's id, the owner of what they create. */
  owner?: string;
  authenticated: boolean;
}

/** The role of an API key, or nothing for an unknown one. */
export type KeyToRole = (key: string) => string | undefined | null;

export interface Authenticator {
  /** Whether any credential came at all: routes that need one say so before verifying it. */
  hasCredential(headers: Headers): boolean;
  /** The caller. Throws AccessDenied for a bad token. */
  identify(headers: Headers): Promise<Identity>;
}

const BEARER = /^Bearer\s+/i;

export const ANONYMOUS: Identity = {
  role: "anon",
  claims: { role: "anon" },
  jwt: "",
  authenticated: false,
};

/** What the server does in its own name, past row security. */
export const SERVICE: Identity = {
  role: "service_role",
  claims: { role: "service_role" },
  jwt: "",
  authenticated: true,
};

export function createAuthenticator(jwtSecret: string, keyToRole: KeyToRole): Authenticator {
  const key = new TextEncoder().encode(jwtSecret);

  return {
    hasCredential: (headers) => headers.has("authorization") || headers.has("apikey"),

    async identify(headers) {
      const bearer = (headers.get("authorization") ?? "").replace(BEARER, "");
      const apiKey = headers.get("apikey") ?? "";
      const keyRole = keyToRole(bearer) ?? (bearer === "" ? keyToRole(apiKey) : undefined);
      if (keyRole) {
        return { role: keyRole, claims: { role: keyRole }, jwt: "", authenticated: true };
      }

      const token = bearer || apiKey;
      try {
        const { payload } = await jwtVerify(token, key, { algorithms: ["HS256"] });
        return {
          role: typeof payload.role === "string" && payload.role ? payload.role : "anon",
          claims: payload,
          jwt: token,
          owner: payload.sub,
          authenticated: true,
        };
      } catch (error) {
        throw errors.accessDenied(error instanceof Error ? error.message : undefined);
      }
    },
  };
}
