/** Links that say all about a file themselves, signed by us: for files that Storage's own links would show in our origin. */
import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { Environment } from "../_shared/environment.ts";

const content = z.object({
  bucket: z.string(),
  path: z.string(),
  fileName: z.string(),
  size: z.int().min(0),
  contentType: z.string(),
  etag: z.string().nullable(),
  isImmutable: z.boolean(),
  /** Seconds since 1970. */
  expires: z.int(),
});

export type LinkContent = z.output<typeof content>;

/** Keeps what is signed here apart from whatever else the key signs. */
const PURPOSE = "stowage download link 1";

/** The link's last segment. */
export function sealLink(link: LinkContent, environment: Environment): string {
  const payload = Buffer.from(JSON.stringify(link)).toString("base64url");
  return `${payload}.${sign(payload, keysOf(environment)[0]).toString("base64url")}`;
}

/** What the link leads to; null if it is not one of ours, or its time is over. */
export function openLink(sealed: string, environment: Environment): LinkContent | null {
  const [payload, signature, ...more] = sealed.split(".");
  if (!payload || !signature || more.length > 0) return null;
  const given = Buffer.from(signature, "base64url");
  const isOurs = keysOf(environment).some((key) => {
    const expected = sign(payload, key);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (!isOurs) return null;
  const link = content.parse(JSON.parse(Buffer.from(payload, "base64url").toString()));
  return link.expires * 1000 > Date.now() ? link : null;
}

function sign(payload: string, key: string): Buffer {
  return createHmac("sha256", key).update(`${PURPOSE}.${payload}`).digest();
}

/** Any secret key of the project verifies, so that links outlive the addition of another. */
function keysOf({ supabase, serviceRoleKey }: Environment): string[] {
  const { default: first, ...others } = supabase.secretKeys;
  const keys = [first, ...Object.values(others), serviceRoleKey].filter((key) => key !== undefined);
  if (keys.length === 0) throw new Error("The project has no secret key.");
  return keys as string[];
}
