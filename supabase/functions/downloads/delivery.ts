import { attachment } from "../_shared/content_disposition.ts";
import { AppError } from "../_shared/errors.ts";
import { type ByteRange, isUnchanged, parseRange, rangeApplies } from "./ranges.ts";
import type { FileReader } from "./store.ts";

/** A file to be sent, and all that its headers say. */
export interface Deliverable {
  bucket: string;
  path: string;
  fileName: string;
  /** Bytes. */
  size: number;
  contentType: string;
  /** With its quotes. */
  etag: string | null;
  /** These bytes are the file's for ever. */
  isImmutable: boolean;
}

/** A year: what "for ever" is called in HTTP. */
const FOREVER = "private, max-age=31536000, immutable";
/** Asked anew each time, which costs no bytes as long as nothing changed. */
const REVALIDATE = "private, no-cache";

/** Nothing of a file runs in this origin, even where a browser shows it in spite of its disposition. */
const INERT = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/**
 * Answers GET and HEAD with the file: 200, a single range (206, 416), or 304. The bytes pass through without being looked
 * at. `count` is asked once the bytes are there and before the first is sent; when it says no, there is no such file.
 */
export async function deliver(
  request: Request,
  file: Deliverable,
  reader: FileReader,
  count: (bytes: number) => Promise<boolean> = () => Promise.resolve(true),
): Promise<Response> {
  const headers = headersOf(file);
  if (isUnchanged(request, file.etag)) {
    return new Response(null, { status: 304, headers });
  }
  const whole: ByteRange = { from: 0, to: file.size - 1 };
  const isHead = request.method === "HEAD";
  const range = isHead || !rangeApplies(request, file.etag)
    ? null
    : parseRange(request.headers.get("range"), file.size);
  if (range === "unsatisfiable") {
    throw new AppError("range_not_satisfiable", undefined, {
      headers: { "content-range": `bytes */${file.size}`, "accept-ranges": "bytes" },
    });
  }
  const { from, to } = range ?? whole;
  const length = to - from + 1;
  headers.set("content-type", file.contentType);
  headers.set("content-length", String(length));
  if (isHead) return new Response(null, { headers });
  const body = await reader.open(file.bucket, file.path, range, request.signal);
  if (!await count(length)) {
    await body?.cancel();
    throw new AppError("not_found");
  }
  if (range) headers.set("content-range", `bytes ${from}-${to}/${file.size}`);
  return new Response(body, { status: range ? 206 : 200, headers });
}

function headersOf(file: Deliverable): Headers {
  return new Headers({
    "content-disposition": attachment(file.fileName),
    "content-security-policy": INERT,
    "cache-control": file.isImmutable ? FOREVER : REVALIDATE,
    "accept-ranges": "bytes",
    "x-robots-tag": "none",
    ...(file.etag && { etag: file.etag }),
  });
}
