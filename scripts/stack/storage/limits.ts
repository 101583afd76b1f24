/** Sizes and MIME types: what a bucket may be set to, and what a file is held against. */
import { errors } from "./errors.ts";
import { isFolderPlaceholder } from "./names.ts";

/** Objects that one bulk request may name. */
export const MAX_OBJECTS_PER_REQUEST = 1000;
/** Objects whose rows and files go in one transaction. */
export const DELETE_BATCH = 500;
/** More objects than this, and a bucket is not emptied in one go. */
export const EMPTY_BUCKET_MAX = 200_000;
/** Bytes of user metadata, as JSON. */
export const MAX_USER_METADATA_BYTES = 1024 * 1024;
/** Bytes of a JSON request body. */
export const MAX_JSON_BODY_BYTES = 1024 * 1024;
/** Seconds that a signed upload URL is good for. */
export const SIGNED_UPLOAD_SECONDS = 7200;

const SIZE = /^([0-9]+(?:\.[0-9]+)?)(gb|mb|kb|b)$/i;
const UNIT: Record<string, number> = { gb: 1e9, mb: 1e6, kb: 1e3, b: 1 };
const MIME_RULE = /^([a-zA-Z0-9\-+.]+)\/([a-zA-Z0-9\-+.]+)(;\s*charset=[a-zA-Z0-9-]+)?$|\*$/;
const MAX_MIME_RULE_LENGTH = 1000;

/**
 * A bucket's own limit in bytes, from a number or a text such as `20MB` (decimal units, three digits kept).
 * Not above the global one.
 */
export function bucketSizeLimit(value: number | string, globalLimit: number): number {
  let bytes: number;
  if (typeof value === "string") {
    const match = SIZE.exec(value);
    if (!match) throw errors.invalidFileSizeLimit();
    bytes = Number(parseFloat(match[1]).toPrecision(3)) * UNIT[match[2].toLowerCase()];
  } else {
    bytes = value;
  }
  if (bytes > globalLimit) throw errors.tooLarge();
  return bytes;
}

/** Bytes that a file of this name may have: a folder's placeholder none, others the lower of both limits. */
export function fileSizeLimit(
  key: string,
  bucketLimit: number | null,
  globalLimit: number,
): number {
  if (isFolderPlaceholder(key)) return 0;
  return bucketLimit === null ? globalLimit : Math.min(bucketLimit, globalLimit);
}

/** Checks the list that a bucket is given: `type/subtype`, a `type/*` wildcard, or anything that ends in `*`. */
export function assertMimeRules(rules: string[]): void {
  for (const rule of rules) {
    if (rule.length > MAX_MIME_RULE_LENGTH || !MIME_RULE.test(rule)) {
      throw errors.invalidMimeType(rule);
    }
  }
}

/** Checks a file's type against its bucket's list; an empty list and folder placeholders pass. */
export function assertMimeAllowed(type: string, rules: string[] | null, key: string): void {
  if (!rules || rules.length === 0 || isFolderPlaceholder(key)) return;
  const [major, minor] = type.split("/");
  const fits = minor !== undefined && rules.some((rule) => {
    const [ruleMajor, ruleMinor] = rule.split("/");
    return ruleMajor === major && (ruleMinor === "*" || ruleMinor === minor);
  });
  if (!fits) throw errors.invalidMimeType(type);
}
