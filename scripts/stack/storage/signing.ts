/**
 * Tokens in URLs: a signed URL carries the right to read or to write one object for some time.
 *
 * A token says which of both it is for, so that one for reading never writes.
 */
import { jwtVerify, SignJWT } from "jose";
import { errors } from "./errors.ts";

const ALGORITHM = "HS256";

export type TokenScope = "download" | "upload";

export interface SignedTokenClaims {
  /** `bucket/name`. */
  url: string;
  /** Seconds since the epoch. */
  exp: number;
  scope?: TokenScope;
  owner?: string;
  upsert?: boolean;
}

/** The greatest lifetime (s) whose end is still a date that JavaScript can count in milliseconds. */
const maxExpiresIn = () =>
  Math.floor(Number.MAX_SAFE_INTEGER / 1000) - Math.floor(Date.now() / 1000);

export class UrlSigner {
  readonly #key: Uint8Array;

  constructor(secret: string) {
    this.#key = new TextEncoder().encode(secret);
  }

  /** A token over these claims, `expiresIn` seconds from now. */
  async sign(
    claims: Omit<SignedTokenClaims, "exp"> & { scope: TokenScope },
    expiresIn: number,
  ): Promise<string> {
    assertExpiresIn(expiresIn);
    return await new SignJWT({ ...claims })
      .setProtectedHeader({ alg: ALGORITHM })
      .setIssuedAt()
      .setExpirationTime(`${Math.floor(expiresIn)}s`)
      .sign(this.#key);
  }

  /** The claims of a token, if it is genuine, for this scope, and for this object. */
  async verify(token: string, object: string, scope: TokenScope): Promise<SignedTokenClaims> {
    let claims: SignedTokenClaims;
    try {
      const verified = await jwtVerify<SignedTokenClaims>(token, this.#key, {
        algorithms: [ALGORITHM],
      });
      claims = verified.payload;
    } catch (error) {
      throw errors.invalidJwt(error instanceof Error ? error.message : "");
    }
    if (scopeOf(claims) !== scope) {
      throw errors.invalidSignature(`Token is not scoped for ${scope}`);
    }
    if (claims.url !== object) throw errors.invalidSignature();
    if (claims.exp * 1000 < Date.now()) throw errors.expiredSignature();
    return claims;
  }
}

/** Tokens from before there was a scope are told by `upsert`, which only those for uploads have. */
function scopeOf(claims: SignedTokenClaims): string {
  return claims.scope ?? ("upsert" in claims ? "upload" : "download");
}

export function assertExpiresIn(seconds: number): void {
  const whole = Math.floor(seconds);
  if (!Number.isSafeInteger(whole) || whole < 1 || whole > maxExpiresIn()) {
    throw errors.invalidParameter("expiresIn");
  }
}
