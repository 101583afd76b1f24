/**
 * Uploads that are not finished yet, on disk beside the buckets: what has arrived in `<version>.bin`, and what it is to
 * become in `<version>.json`. What has arrived is the file's length, so that no crash can make the two disagree.
 */
import { isUuid } from "../names.ts";
import { type Metadata, tusErrors } from "./protocol.ts";

/** Where an upload leads, and what its URL says. */
export interface UploadId {
  bucket: string;
  name: string;
  /** The version that the object will have. */
  version: string;
}

export interface ResumableUpload extends UploadId {
  /** Bytes; null as long as the client has not said. */
  size: number | null;
  metadata: Metadata;
  /** ISO 8601. */
  createdAt: string;
  /** The object is there: nothing but this record is left. */
  finished: boolean;
}

/** How long an upload can be resumed: what the platform documents. */
const LIFETIME_MS = 24 * 60 * 60 * 1000;
/** Between two looks for expired uploads. */
const SWEEP_MS = 60 * 1000;
const READ_BYTES = 256 * 1024;

export class ResumableStore {
  #sweptAt = 0;

  constructor(private readonly dir: string) {}

  #record = (version: string) => `${this.dir}/${version}.json`;
  #data = (version: string) => `${this.dir}/${version}.bin`;

  async create(upload: ResumableUpload): Promise<void> {
    await this.#removeExpired();
    await Deno.mkdir(this.dir, { recursive: true });
    await Deno.writeFile(this.#data(upload.version), new Uint8Array(), { createNew: true });
    await this.save(upload);
  }

  /** Writes the record anew, whole or not at all. */
  async save(upload: ResumableUpload): Promise<void> {
    const path = this.#record(upload.version);
    await Deno.writeTextFile(`${path}.part`, JSON.stringify(upload));
    await Deno.rename(`${path}.part`, path);
  }

  /** The upload and how many bytes of it have arrived. Throws notFound, or gone when its time is over. */
  async get(id: UploadId): Promise<{ upload: ResumableUpload; offset: number }> {
    if (!isUuid(id.version)) throw tusErrors.notFound();
    const text = await unlessMissing(Deno.readTextFile(this.#record(id.version)));
    const upload: ResumableUpload | undefined = text && JSON.parse(text);
    if (!upload || upload.bucket !== id.bucket || upload.name !== id.name) {
      throw tusErrors.notFound();
    }
    if (expiryOf(upload).getTime() < Date.now()) throw tusErrors.gone();
    if (upload.finished) return { upload, offset: upload.size! };
    const data = await unlessMissing(Deno.stat(this.#data(id.version)));
    if (!data) throw tusErrors.gone();
    return { upload, offset: data.size };
  }

  /**
   * Adds what comes to what has arrived, at most `limit` bytes, and answers the new offset. Whatever breaks off, what
   * came before it stays. Throws maxSizeExceeded, or superseded when the signal says so.
   */
  async append(
    { version }: UploadId,
    body: ReadableStream<Uint8Array> | null,
    limit: number,
    signal: AbortSignal,
  ): Promise<number> {
    using file = await Deno.open(this.#data(version), { append: true });
    let left = limit;
    for await (const chunk of body ? read(body, signal) : []) {
      writeAll(file, chunk.subarray(0, left));
      left -= chunk.length;
      if (left < 0) throw tusErrors.maxSizeExceeded();
    }
    if (signal.aborted) throw tusErrors.superseded();
    return (await file.stat()).size;
  }

  /** The file with all bytes, for the one who moves it away. */
  pathOf({ version }: UploadId): string {
    return this.#data(version);
  }

  async remove({ version }: UploadId): Promise<void> {
    // The record last: what it stands for can be looked for as long as it is there.
    await unlessMissing(Deno.remove(this.#data(version)));
    await unlessMissing(Deno.remove(this.#record(version)));
  }

  async #removeExpired(): Promise<void> {
    if (Date.now() - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = Date.now();
    const entries = await unlessMissing(Array.fromAsync(Deno.readDir(this.dir))) ?? [];
    for (const { name } of entries) {
      const info = await unlessMissing(Deno.stat(`${this.dir}/${name}`));
      if (!info?.mtime || info.mtime.getTime() + LIFETIME_MS > Date.now()) continue;
      await unlessMissing(Deno.remove(`${this.dir}/${name}`));
    }
  }
}

export function expiryOf(upload: ResumableUpload): Date {
  return new Date(Date.parse(upload.createdAt) + LIFETIME_MS);
}

/** Synchronously, as in `files.ts`. */
function writeAll(file: Deno.FsFile, chunk: Uint8Array): void {
  for (let written = 0; written < chunk.length;) written += file.writeSync(chunk.subarray(written));
}

/**
 * The body's bytes, in one buffer that each step overwrites, until it ends, breaks off (the client has gone, and will ask
 * how far it came), or the signal says that it is of no interest any more.
 */
async function* read(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const reader = bufferReader(body);
  const stop = () => reader.cancel().catch(() => {});
  signal.addEventListener("abort", stop);
  try {
    let buffer = new Uint8Array(READ_BYTES);
    while (!signal.aborted) {
      const chunk = await reader.read(buffer).catch(() => undefined);
      if (!chunk || chunk.done) return;
      yield chunk.value;
      buffer = new Uint8Array(chunk.value.buffer);
    }
  } finally {
    signal.removeEventListener("abort", stop);
    reader.releaseLock();
  }
}

function bufferReader(body: ReadableStream<Uint8Array>): ReadableStreamBYOBReader {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    // A body that was not received from the network lends no buffer, and brings its own.
    return body.getReader() as unknown as ReadableStreamBYOBReader;
  }
}

async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
