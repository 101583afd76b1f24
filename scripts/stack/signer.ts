/**
 * Users' tokens: signed with the stack's own ES256 key, verified by its public half.
 *
 * The servers behind the gateway know the shared secret only. For them a user's token is signed
 * once more with that secret; its claims, expiry included, stay as they are.
 */
import {
  compactVerify,
  decodeProtectedHeader,
  importJWK,
  type JWK,
  type JWTPayload,
  SignJWT,
} from "jose";
import type { Keys } from "./keys.ts";

export interface Signer {
  /** A token as users get it. */
  sign(claims: JWTPayload): Promise<string>;
  /** The same claims under the shared secret; a token that is not ours comes back as it is. */
  toShared(token: string): Promise<string>;
  /** For anyone: the public key. */
  publicKeys: { keys: JWK[] };
  /** For Edge Functions: the shared secret too, for tokens of old. */
  allKeys: { keys: JWK[] };
}

const REMEMBERED_TOKENS = 1000;

export async function createSigner(keys: Keys): Promise<Signer> {
  const { d: _, ...publicPart } = keys.signingKey;
  const publicJwk = { ...publicPart, use: "sig", key_ops: ["verify"] };
  const privateKey = await importJWK(keys.signingKey, "ES256");
  const publicKey = await importJWK(publicPart, "ES256");
  const secret = new TextEncoder().encode(keys.jwtSecret);
  const shared = new Map<string, string>();

  return {
    sign(claims) {
      return new SignJWT(claims)
        .setProtectedHeader({ alg: "ES256", kid: keys.signingKey.kid, typ: "JWT" })
        .sign(privateKey);
    },
    async toShared(token) {
      const known = shared.get(token);
      if (known) return known;
      try {
        if (decodeProtectedHeader(token).alg !== "ES256") return token;
        const { payload } = await compactVerify(token, publicKey, { algorithms: ["ES256"] });
        const claims = JSON.parse(new TextDecoder().decode(payload));
        const signed = await new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" })
          .sign(secret);
        if (shared.size >= REMEMBERED_TOKENS) shared.clear();
        shared.set(token, signed);
        return signed;
      } catch {
        // Whoever reads it will refuse it in its own words.
        return token;
      }
    },
    publicKeys: { keys: [publicJwk] },
    allKeys: {
      keys: [publicJwk, {
        kty: "oct",
        alg: "HS256",
        k: btoa(keys.jwtSecret).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""),
      }],
    },
  };
}
