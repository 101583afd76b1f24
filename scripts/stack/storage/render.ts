/** Answers that carry a file or describe one: validators, ranges, caching and the name to save it under. */
import { errors } from "./errors.ts";
import type { RequestContext } from "./context.ts";
import { type ByteRange, streamFile } from "./files.ts";
import type { ObjectMetadata, ObjectRow } from "./objects_table.ts";
import { assertRobotsTag } from "./robots.ts";

const RANGE = /^bytes=(\d*)-(\d*)$/;
/** How long a shared cache may go on with what it has while it asks anew. */
const STALE_WHILE_REVALIDATE = "stale-while-revalidate=30";

/** One range in a file of `size` bytes; a 416 for any other Range header. */
export function parseRange(header: string, size: number): ByteRange {
  const [, first = "", last = ""] = RANGE.exec(header) ?? [];
  const from = first === "" ? Math.max(size - Number(last), 0) : Number(first);
  const to = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  const asked = [first, last].filter((text) => text !== "").map(Number);
  const possible = asked.length > 0 && asked.every(Number.isSafeInteger) &&
    !(first === "" && Number(last) === 0) && !(asked.length === 2 && asked[1] < asked[0]) &&
    from <= to && from < size;
  if (!possible) throw errors.invalidRange();
  return { from, to };
}

/** Browsers would run a page from this origin: HTML is served as text. */
const servedType = (type: string) => type.includes("text/html") ? "text/plain" : type;

function notModified(request: Request, eTag: string, lastModified: Date | undefined): boolean {
  const ifNoneMatch = request.headers.get("if-none-match");
  if (ifNoneMatch) {
    return ifNoneMatch === "*" ||
      ifNoneMatch.split(",").some((tag) => tag.trim().replace(/^W\//, "") === eTag);
  }
  const since = Date.parse(request.headers.get("if-modified-since") ?? "");
  return !Number.isNaN(since) && lastModified !== undefined &&
    Math.floor(lastModified.getTime() / 1000) <= Math.floor(since / 1000);
}

function robotsTag(metadata: ObjectMetadata): string {
  try {
    if (metadata.xRobotsTag) {
      assertRobotsTag(metadata.xRobotsTag);
      return metadata.xRobotsTag;
    }
  } catch {
    // A row written by hand may hold anything; it is not sent on.
  }
  return "none";
}

function disposition(download: string): string {
  if (download === "") return "attachment;";
  const name = encodeURIComponent(download);
  return `attachment; filename=${name}; filename*=UTF-8''${name}`;
}

const dateOf = (text: string | undefined): Date | undefined => {
  const date = new Date(text ?? NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
};

/** The file itself, or the part of it that is asked for. `expires` is the end of a signed URL. */
export async function sendFile(
  { request, url, server }: RequestContext,
  object: ObjectRow,
  expires?: Date,
): Promise<Response> {
  const metadata = object.metadata ?? {};
  const { size, file } = await server.files.open(
    object.bucket_id,
    object.name,
    object.version ?? "",
  );
  try {
    const eTag = metadata.eTag ?? "";
    const lastModified = dateOf(metadata.lastModified) ?? (await file.stat()).mtime ?? undefined;
    const headers = new Headers({
      "accept-ranges": "bytes",
      "content-type": servedType(metadata.mimetype || "application/octet-stream"),
      "x-robots-tag": robotsTag(metadata),
    });
    if (eTag) headers.set("etag", eTag);
    if (lastModified) headers.set("last-modified", lastModified.toUTCString());
    if (expires) {
      headers.set("expires", expires.toUTCString());
    } else {
      const asked = request.headers.get("if-none-match");
      const policy = metadata.cacheControl || "no-cache";
      headers.set(
        "cache-control",
        asked && asked !== eTag ? `${policy}, ${STALE_WHILE_REVALIDATE}` : policy,
      );
    }
    const download = url.searchParams.get("download");
    if (download !== null) headers.set("content-disposition", disposition(download));

    if (notModified(request, eTag, lastModified)) {
      file.close();
      headers.delete("content-type");
      return new Response(null, { status: 304, headers });
    }

    const rangeHeader = request.headers.get("range");
    const range = rangeHeader === null ? { from: 0, to: size - 1 } : parseRange(rangeHeader, size);
    if (rangeHeader !== null) {
      headers.set("content-range", `bytes ${range.from}-${range.to}/${size}`);
    }
    headers.set("content-length", String(range.to - range.from + 1));
    return new Response(streamFile(file, range), {
      status: rangeHeader === null ? 200 : 206,
      headers,
    });
  } catch (error) {
    file.close();
    throw error;
  }
}

function descriptionHeaders(metadata: ObjectMetadata): Headers {
  const headers = new Headers();
  const lastModified = dateOf(metadata.lastModified);
  if (metadata.eTag) headers.set("etag", metadata.eTag);
  if (lastModified) headers.set("last-modified", lastModified.toUTCString());
  return headers;
}

/** The headers that the file would come with, without it. */
export function sendHead({ request }: RequestContext, object: ObjectRow): Response {
  const metadata = object.metadata ?? {};
  const headers = descriptionHeaders(metadata);
  headers.set("accept-ranges", "bytes");
  headers.set("x-robots-tag", "none");
  if (metadata.mimetype) headers.set("content-type", servedType(metadata.mimetype));
  if (metadata.contentLength !== undefined) {
    headers.set("content-length", String(metadata.contentLength));
  }
  const asked = request.headers.get("if-none-match");
  const policy = [metadata.cacheControl, asked && asked !== metadata.eTag ? "must-revalidate" : ""];
  const cacheControl = policy.filter(Boolean).join(", ");
  if (cacheControl) headers.set("cache-control", cacheControl);
  return new Response(null, { status: metadata.httpStatusCode ?? 200, headers });
}

/** What is known of the file, as JSON. */
export function sendInfo(object: ObjectRow): Response {
  const metadata = object.metadata ?? {};
  const headers = descriptionHeaders(metadata);
  headers.set("content-type", "application/json");
  if (metadata.cacheControl) headers.set("cache-control", metadata.cacheControl);
  const body = {
    id: object.id,
    name: object.name,
    version: object.version,
    bucket_id: object.bucket_id,
    size: metadata.size ?? null,
    content_type: metadata.mimetype ?? null,
    cache_control: metadata.cacheControl ?? null,
    etag: metadata.eTag ?? null,
    metadata: object.user_metadata,
    last_modified: object.updated_at,
    created_at: object.created_at,
  };
  return new Response(JSON.stringify(body), { status: metadata.httpStatusCode ?? 200, headers });
}
