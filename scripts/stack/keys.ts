/** A stack's keys: made once for a data directory, and kept there. */
import { join } from "node:path";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

export interface Keys {
  publishableKey: string;
  secretKey: string;
  /** The legacy keys: JWTs of the roles anon and service_role, signed with `jwtSecret`. */
  anonKey: string;
  serviceRoleKey: string;
  jwtSecret: string;
  /** Signs users' tokens: a private key on the curve P-256, as new projects have it. */
  signingKey: JWK;
}

export type ApiRole = "anon" | "service_role";

const LEGACY_KEY_LIFETIME = "10y";

/** The keys kept in `dir`, made on first use. Only the file's owner may read it. */
export async function loadKeys(dir: string): Promise<Keys> {
  const file = join(dir, "keys.json");
  const text = await Deno.readTextFile(file).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  if (text !== undefined) return JSON.parse(text);
  const keys = await makeKeys();
  const draft = `${file}.new`;
  await Deno.writeTextFile(draft, JSON.stringify(keys, null, 2) + "\n", { mode: 0o600 });
  await Deno.rename(draft, file);
  return keys;
}

async function makeKeys(): Promise<Keys> {
  const jwtSecret = randomText(40);
  return {
    publishableKey: `sb_publishable_${randomText(22)}_${randomText(8)}`,
    secretKey: `sb_secret_${randomText(22)}_${randomText(8)}`,
    anonKey: await legacyKey("anon", jwtSecret),
    serviceRoleKey: await legacyKey("service_role", jwtSecret),
    jwtSecret,
    signingKey: await makeSigningKey(),
  };
}

async function makeSigningKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  return { ...await exportJWK(privateKey), kid: crypto.randomUUID(), alg: "ES256" };
}

function legacyKey(role: ApiRole, jwtSecret: string): Promise<string> {
  return new SignJWT({ role })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuer("supabase-demo")
    .setIssuedAt()
    .setExpirationTime(LEGACY_KEY_LIFETIME)
    .sign(new TextEncoder().encode(jwtSecret));
}

/** What a key is worth, or undefined when it is none of this stack's. */
export function keyToRole(keys: Keys): (key: string) => ApiRole | undefined {
  const roles = new Map<string, ApiRole>([
    [keys.publishableKey, "anon"],
    [keys.anonKey, "anon"],
    [keys.secretKey, "service_role"],
    [keys.serviceRoleKey, "service_role"],
  ]);
  return (key) => roles.get(key);
}

/** Letters and digits only, so that a key is selected by a double click. */
function randomText(length: number): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  let text = "";
  while (text.length < length) {
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    // Bytes past the last whole multiple would make the first letters likelier.
    if (byte < 256 - 256 % alphabet.length) text += alphabet[byte % alphabet.length];
  }
  return text;
}
