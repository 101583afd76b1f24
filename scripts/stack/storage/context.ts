/** What a route's handler gets: the request, its caller, and the parts of the server it works with. */
import type { Identity } from "./auth.ts";
import type { Database } from "./database.ts";
import { errors } from "./errors.ts";
import type { FileStore } from "./files.ts";
import { MAX_JSON_BODY_BYTES } from "./limits.ts";
import type { UploadLocks } from "./resumable/locks.ts";
import type { ResumableStore } from "./resumable/store.ts";
import type { UrlSigner } from "./signing.ts";
import { type Schema, validate } from "./validate.ts";

export interface Server {
  files: FileStore;
  signer: UrlSigner;
  resumable: ResumableStore;
  uploadLocks: UploadLocks;
  /** Bytes that any file may have. */
  fileSizeLimit: number;
  /** Removes files that no row names any more; failures are logged, since the answer is already decided. */
  discard(bucket: string, name: string, version: string | null): Promise<void>;
}

export interface RequestContext {
  request: Request;
  url: URL;
  params: Record<string, string>;
  caller: Identity;
  db: Database;
  server: Server;
}

/** The token class of RFC 9110, twice, and parameters. */
const MEDIA_TYPE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(;[\s\S]*)?$/;

/** Refuses a Content-Type that is none, before anything looks into the body. */
export function assertContentType(request: Request): void {
  const type = request.headers.get("content-type");
  if (type !== null && !MEDIA_TYPE.test(type)) throw errors.invalidContentType();
}

/** The JSON body, checked and converted; `allowEmpty` for routes whose body means nothing. */
export async function jsonBody<T>(
  request: Request,
  schema: Schema,
): Promise<T> {
  return validate<T>("body", schema, await readJson(request));
}

async function readJson(request: Request): Promise<unknown> {
  const type = request.headers.get("content-type");
  if (!type || !/^application\/json\b/i.test(type)) return undefined;
  const text = await readText(request);
  if (text === "") {
    throw errors.unreadableBody(
      "Body cannot be empty when content-type is set to 'application/json'",
    );
  }
  try {
    return JSON.parse(text);
  } catch {
    throw errors.unreadableBody(
      "Body is not valid JSON but content-type is set to 'application/json'",
    );
  }
}

async function readText(request: Request): Promise<string> {
  if (!request.body) return "";
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.length;
    if (size > MAX_JSON_BODY_BYTES) throw errors.bodyTooLarge();
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** The query, checked and converted; the last of several values counts. */
export function query<T>(url: URL, schema: Schema): T {
  return validate<T>("querystring", schema, Object.fromEntries(url.searchParams));
}

/** Bytes of a refused upload that are still read, so that the client gets to read the answer. */
const MAX_DRAINED_BYTES = 512 * 1024 * 1024;

/**
 * Reads on what a refused request still has to say. A connection closed in the middle of an upload would show the client
 * a broken pipe instead of the reason.
 */
export async function drain(request: Request): Promise<void> {
  if (!request.body || request.body.locked) return;
  let left = MAX_DRAINED_BYTES;
  try {
    for await (const chunk of request.body) {
      left -= chunk.length;
      if (left < 0) return;
    }
  } catch {
    // The client has gone; so has the need.
  }
}

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json; charset=utf-8" },
  });
}
