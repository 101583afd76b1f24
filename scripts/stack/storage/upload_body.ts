/**
 * The file in an upload request: the raw body, or the file part of a form.
 *
 * Either way only its stream is handed on, so that the size of a file never matters to memory.
 */
import { Busboy, type BusboyFileStream, type BusboyInstance } from "@fastify/busboy";
import { Buffer } from "node:buffer";
import { pipeline, Readable } from "node:stream";
import { errors } from "./errors.ts";
import { assertMimeAllowed, fileSizeLimit, MAX_USER_METADATA_BYTES } from "./limits.ts";
import { assertRobotsTag } from "./robots.ts";

export interface IncomingFile {
  body: AsyncIterable<Uint8Array>;
  mimetype: string;
  cacheControl: string;
  /** What the request says of its length, form and all; policies see it as `metadata.contentLength`. */
  declaredLength?: number;
  userMetadata?: Record<string, unknown>;
  robotsTag?: string;
  /** Bytes that the file may have. */
  limit: number;
}

export interface Expectation {
  name: string;
  bucketLimit: number | null;
  globalLimit: number;
  mimeRules: string[] | null;
}

const MAX_FIELDS = 10;
const READ_BYTES = 64 * 1024;

/**
 * Hands the request's file to `use`, having read no further than its beginning. Refuses what can be refused by then:
 * type, announced size, metadata.
 */
export async function withIncomingFile<T>(
  request: Request,
  expected: Expectation,
  use: (file: IncomingFile) => Promise<T>,
): Promise<T> {
  const robotsTag = request.headers.get("x-robots-tag") ?? undefined;
  if (robotsTag) assertRobotsTag(robotsTag);
  const limit = fileSizeLimit(expected.name, expected.bucketLimit, expected.globalLimit);
  const declared = Number(request.headers.get("content-length") ?? NaN);
  const declaredLength = Number.isFinite(declared) && declared >= 0 ? declared : undefined;

  const isForm = request.headers.get("content-type")?.startsWith("multipart/form-data");
  const file = isForm ? await formFile(request) : rawFile(request);
  try {
    assertMimeAllowed(file.mimetype, expected.mimeRules, expected.name);
    const userMetadata = file.userMetadata?.();
    if (!isForm && declaredLength !== undefined && declaredLength > limit) throw errors.tooLarge();
    const { body, mimetype, cacheControl } = file;
    return await use({
      body,
      mimetype,
      cacheControl,
      userMetadata,
      declaredLength,
      robotsTag,
      limit,
    });
  } catch (error) {
    await file.drain?.().catch(() => {});
    throw error;
  }
}

interface FoundFile {
  body: AsyncIterable<Uint8Array>;
  mimetype: string;
  cacheControl: string;
  /** Reads the rest of a refused form, so that the client gets to read the answer. */
  drain?(): Promise<void>;
  /** Parsed only after the type was accepted, the order in which the real server refuses. */
  userMetadata?: () => Record<string, unknown> | undefined;
}

function rawFile(request: Request): FoundFile {
  const metadata = request.headers.get("x-metadata");
  return {
    body: rawChunks(request.body),
    mimetype: request.headers.get("content-type") || "application/octet-stream",
    cacheControl: request.headers.get("cache-control") ?? "no-cache",
    userMetadata: metadata === null ? undefined : () => decodeUserMetadata(metadata),
  };
}

/**
 * The body's bytes, in one buffer that each step overwrites. Where reading stops early the rest is not cancelled: whoever
 * refuses it reads it out (see `mod.ts`).
 */
async function* rawChunks(body: Request["body"]): AsyncGenerator<Uint8Array> {
  if (body) yield* namingFailure(reusingBuffer(body));
}

async function* reusingBuffer(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: "byob" });
  } catch {
    // A body that was not received from the network lends no buffer.
    yield* body.values({ preventCancel: true });
    return;
  }
  try {
    let buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const { value, done } = await reader.read(buffer);
      if (done) return;
      yield value;
      buffer = new Uint8Array(value.buffer);
    }
  } finally {
    reader.releaseLock();
  }
}

/** User metadata from the header `x-metadata`: JSON in base64. What cannot be read counts as none. */
export function decodeUserMetadata(header: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(Buffer.from(header, "base64").toString("utf8"));
  } catch {
    return undefined;
  }
}

function parseUserMetadata(text: string): Record<string, unknown> | undefined {
  if (new TextEncoder().encode(text).length > MAX_USER_METADATA_BYTES) {
    throw errors.tooLarge("user_metadata");
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The first file part of a form; its fields count as far as they stand before it. */
function formFile(request: Request): Promise<FoundFile> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) =>
      reject(errors.noContent(error instanceof Error ? error.message : undefined));
    if (!request.body) return fail(undefined);

    let form: BusboyInstance;
    try {
      form = new Busboy({
        headers: { "content-type": request.headers.get("content-type") ?? "" },
        limits: { fields: MAX_FIELDS, files: 1 },
      });
    } catch (error) {
      return fail(error);
    }

    const fields = new Map<string, string>();
    const parsed = Promise.withResolvers<void>();
    // What breaks off is told more than once; `pipeline` listens to the first time only.
    form.on("error", parsed.reject);
    form.on("fieldsLimit", () => fail(new Error("reach fields limit")));
    form.on("field", (name, value) => fields.set(name, value));
    form.on("file", (_field, stream, _fileName, _encoding, partType) => {
      const metadata = fields.get("metadata") ?? fields.get("userMetadata");
      const maxAge = fields.get("cacheControl");
      resolve({
        body: fileChunks(stream),
        mimetype: fields.get("contentType") || partType,
        cacheControl: maxAge ? `max-age=${maxAge}` : "no-cache",
        userMetadata: metadata === undefined ? undefined : () => parseUserMetadata(metadata),
        async drain() {
          stream.resume();
          await parsed.promise;
        },
      });
      stream.on("error", () => {});
      // A form that breaks off must not look like a file that ends.
      parsed.promise.catch((error) => stream.destroy(error));
    });
    // deno-lint-ignore no-explicit-any
    pipeline(Readable.fromWeb(request.body as any), form, (error) => {
      if (error) parsed.reject(error);
      else parsed.resolve();
      fail(error ?? undefined);
    });
    parsed.promise.catch(() => {});
  });
}

/** Leaves the stream open when its reader stops early, so that `drain` can read on. */
async function* fileChunks(stream: BusboyFileStream): AsyncGenerator<Uint8Array> {
  yield* namingFailure(stream.iterator({ destroyOnReturn: false }));
}

/** A body that breaks off is told as what it is. */
async function* namingFailure(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    throw errors.brokenUpload(error);
  }
}
