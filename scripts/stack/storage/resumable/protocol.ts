/**
 * The TUS protocol, version 1.0.0 (tus.io), as far as it is about headers and answers. Refusals are plain texts under
 * their true status, unlike those of the rest of the API.
 */
import { Buffer } from "node:buffer";
import { StorageError } from "../errors.ts";

export const TUS_VERSION = "1.0.0";
const EXTENSIONS = [
  "creation",
  "creation-with-upload",
  "creation-defer-length",
  "termination",
  "expiration",
];
export const CHUNK_TYPE = "application/offset+octet-stream";

const METHODS = "POST, HEAD, PATCH, OPTIONS, DELETE";
const PROTOCOL_HEADERS = [
  "Authorization",
  "Content-Type",
  "Location",
  "Tus-Extension",
  "Tus-Max-Size",
  "Tus-Resumable",
  "Tus-Version",
  "Upload-Concat",
  "Upload-Defer-Length",
  "Upload-Length",
  "Upload-Metadata",
  "Upload-Offset",
  "X-HTTP-Method-Override",
  "X-Requested-With",
  "X-Forwarded-Host",
  "X-Forwarded-Proto",
  "Forwarded",
];
const MORE_ALLOWED_HEADERS = [
  "Authorization",
  "X-Upsert",
  "Upload-Expires",
  "ApiKey",
  "x-signature",
];
const PREFLIGHT_SECONDS = "86400";

/** A refusal of the protocol itself. */
export class TusError extends Error {
  constructor(readonly status: number, text: string) {
    super(text);
    this.name = "TusError";
  }
}

export const tusErrors = {
  versionRequired: () => new TusError(412, "Tus-Resumable Required\n"),
  invalidHeaders: (names: string[]) => new TusError(400, `Invalid ${names.join(" ")}\n`),
  offsetRequired: () => new TusError(403, "Upload-Offset header required\n"),
  contentTypeRequired: () => new TusError(403, "Content-Type header required\n"),
  lengthRequired: () => new TusError(400, "Upload-Length or Upload-Defer-Length header required\n"),
  metadataRequired: () => new TusError(400, "Metadata header is required"),
  invalidUploadId: () => new TusError(400, "Invalid upload id"),
  notFound: () => new TusError(404, "The file for this url was not found\n"),
  gone: () => new TusError(410, "The file for this url no longer exists\n"),
  offsetConflict: () => new TusError(409, "Upload-Offset conflict\n"),
  sizeExceeded: () => new TusError(413, "upload's size exceeded\n"),
  maxSizeExceeded: () => new TusError(413, "Maximum size exceeded\n"),
  alreadyComplete: () => new TusError(400, "Cannot terminate an already completed upload"),
  superseded: () => new TusError(400, "Request aborted due to lock acquired"),
  noConcatenation: () =>
    new TusError(
      501,
      "Concatenation extension is not (yet) supported. Disable parallel uploads in the tus client.\n",
    ),
};

/** The headers of every answer. */
export function commonHeaders(): Headers {
  return new Headers({
    "tus-resumable": TUS_VERSION,
    "access-control-allow-origin": "*",
    "access-control-expose-headers": PROTOCOL_HEADERS.join(", "),
  });
}

/** What the server can do, for a client that asks, and for a browser that asks first. */
export function optionsHeaders(maxSize: number): Headers {
  const headers = commonHeaders();
  headers.set("tus-version", TUS_VERSION);
  headers.set("tus-extension", EXTENSIONS.join(","));
  headers.set("tus-max-size", String(maxSize));
  headers.set("access-control-allow-methods", METHODS);
  headers.set(
    "access-control-allow-headers",
    [...PROTOCOL_HEADERS, ...MORE_ALLOWED_HEADERS].join(", "),
  );
  headers.set("access-control-max-age", PREFLIGHT_SECONDS);
  return headers;
}

const isCount = (value: string) =>
  /^(0|[1-9][0-9]*)$/.test(value) && Number.isSafeInteger(Number(value));

const VALID: Record<string, (value: string) => boolean> = {
  "upload-offset": isCount,
  "upload-length": isCount,
  "upload-defer-length": (value) => value === "1",
  "upload-metadata": (value) => parseMetadata(value) !== undefined,
  "x-forwarded-proto": (value) => value === "http" || value === "https",
  "tus-version": (value) => value === TUS_VERSION,
  "tus-resumable": (value) => value === TUS_VERSION,
  "upload-concat": (value) => value === "partial" || value.startsWith("final;"),
};

/** Refuses a request that speaks another version, or whose headers are none of the protocol's. */
export function assertHeaders({ method, headers }: Request): void {
  if (!headers.get("tus-resumable")) throw tusErrors.versionRequired();
  const invalid = [...headers].filter(([name, value]) =>
    name === "content-type"
      // Elsewhere some clients cannot help sending one.
      ? method === "PATCH" && value !== CHUNK_TYPE
      : name in VALID && !VALID[name](value)
  );
  if (invalid.length > 0) throw tusErrors.invalidHeaders(invalid.map(([name]) => name));
}

export type Metadata = Record<string, string | null>;

/** The pairs of an Upload-Metadata header, values decoded from base64; nothing for a header that is none. */
export function parseMetadata(header: string): Metadata | undefined {
  if (header.trim() === "") return undefined;
  const metadata: Metadata = {};
  for (const pair of header.split(",")) {
    const [key, value, ...more] = pair.split(" ");
    // deno-lint-ignore no-control-regex -- ASCII
    const validKey = /^[\x00-\x1f\x21-\x2b\x2d-\x7f]+$/.test(key) && !Object.hasOwn(metadata, key);
    const validValue = value === undefined ||
      (value.length % 4 === 0 && /^[\d+/A-Za-z]*={0,2}$/.test(value));
    if (!validKey || !validValue || more.length > 0) return undefined;
    metadata[key] = value ? Buffer.from(value, "base64").toString("utf8") : null;
  }
  return metadata;
}

export function formatMetadata(metadata: Metadata): string {
  return Object.entries(metadata)
    .map(([key, value]) =>
      value === null ? key : `${key} ${Buffer.from(value, "utf8").toString("base64")}`
    )
    .join(",");
}

/** The answer to what went wrong, or nothing if that is none of the caller's business. */
export function tusErrorResponse(
  error: unknown,
  headers: Headers,
  method: string,
): Response | undefined {
  const known = error instanceof TusError
    ? { status: error.status, text: error.message }
    : error instanceof StorageError && error.httpStatus < 500
    ? { status: Number(error.body.statusCode), text: error.body.message }
    : undefined;
  if (!known) return undefined;
  return new Response(method === "HEAD" ? null : known.text, { status: known.status, headers });
}
