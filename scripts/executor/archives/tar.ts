import { createReadStream } from "node:fs";
import { PassThrough, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { Parser, type ReadEntry } from "tar";
import { ArchiveError, ArchiveGuard, type ArchiveLimits, type EntryVisitor } from "./policy.ts";

const FILE_TYPES = new Set(["File", "OldFile", "ContiguousFile"]);
const DIRECTORY_TYPES = new Set(["Directory", "GNUDumpDir"]);
/** Small enough that one chunk's entries stay few: the parser queues what a chunk holds. */
const CHUNK = 16 * 1024;
const MAX_WAITING = 16;
const META_BYTES = 64 * 1024;

/**
 * Visits the entries of a tar file, compressed with gzip or not.
 * @throws ArchiveError
 */
export async function visitTar(
  path: string,
  gzipped: boolean,
  limits: ArchiveLimits,
  visitor: EntryVisitor,
  signal?: AbortSignal,
): Promise<void> {
  const guard = new ArchiveGuard(limits, (await Deno.stat(path)).size);
  const parser = new Parser({ strict: true, maxMetaEntrySize: META_BYTES });
  const work = new EntryQueue(guard, visitor);
  parser.on("entry", (entry: ReadEntry) => work.add(entry));
  parser.on("ignoredEntry", (entry: ReadEntry) => {
    work.fail(
      new ArchiveError(
        "unsupported_entry",
        "an entry is a link or a special file",
        String(entry.path),
      ),
    );
  });
  parser.on("error", (error: unknown) => work.fail(unreadable(error)));
  const ended = new Promise<void>((resolve) => parser.on("end", () => resolve()));
  try {
    let first = true;
    for await (const chunk of plainBytes(path, gzipped, limits, guard.compressedBytes)) {
      signal?.throwIfAborted();
      if (first) refuseCompressed(chunk);
      first = false;
      if (!parser.write(chunk)) await work.drained(parser);
      await work.caughtUp();
    }
    if (first) throw new ArchiveError("unreadable", "the tar file is empty");
    parser.end();
    await Promise.race([ended, work.failed]);
    await work.finished();
  } catch (error) {
    const known = unreadable(error, signal);
    work.fail(known);
    throw known;
  }
}

/** Visits entries one after the other: the parser announces the next one only after this one was read, but does not wait for the disk. */
class EntryQueue {
  #chain: Promise<void> = Promise.resolve();
  /** Entries that were read whole and wait to be written. */
  #waiting = 0;
  #error: Error | undefined;
  #reject!: (error: Error) => void;
  readonly failed: Promise<never>;

  constructor(readonly guard: ArchiveGuard, readonly visitor: EntryVisitor) {
    this.failed = new Promise((_, reject) => this.#reject = reject);
    this.failed.catch(() => {});
  }

  add(entry: ReadEntry): void {
    let step: () => Promise<void>;
    try {
      step = this.#admit(entry);
    } catch (error) {
      entry.resume();
      return this.fail(error as Error);
    }
    entry.on("end", () => this.#waiting++);
    this.#chain = this.#chain.then(async () => {
      if (this.#error === undefined) await step();
    }).catch((error) => this.fail(error)).then(() => {
      this.#waiting--;
    });
  }

  fail(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#reject(error);
  }

  /** Waits while more than a few small entries are held in memory. An entry that needs more input is never waited for. */
  async caughtUp(): Promise<void> {
    while (this.#waiting > MAX_WAITING && this.#error === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (this.#error) throw this.#error;
  }

  async drained(parser: Parser): Promise<void> {
    await Promise.race([
      new Promise<void>((resolve) => parser.once("drain", resolve)),
      this.failed,
    ]);
  }

  async finished(): Promise<void> {
    await this.#chain;
    if (this.#error) throw this.#error;
  }

  #admit(entry: ReadEntry): () => Promise<void> {
    const name = String(entry.path);
    const type = String(entry.type);
    if (DIRECTORY_TYPES.has(type)) {
      const path = this.guard.admit(name, "directory");
      entry.resume();
      return async () => {
        if (path !== "") await this.visitor.directory(path);
      };
    }
    if (!FILE_TYPES.has(type)) {
      throw new ArchiveError("unsupported_entry", "an entry is a link or a special file", name);
    }
    const path = this.guard.admit(name, "file");
    this.guard.declared(entry.size, path);
    const content = new PassThrough({ highWaterMark: 4 * CHUNK });
    this.failed.catch(() => content.destroy());
    entry.pipe(content);
    const executable = ((entry.mode ?? 0) & 0o100) !== 0;
    return () => this.visitor.file(path, this.guard.measured(path, content), executable);
  }
}

async function* plainBytes(
  path: string,
  gzipped: boolean,
  limits: ArchiveLimits,
  compressedBytes: number,
): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path, { highWaterMark: CHUNK });
  const stream: Readable = gzipped ? file.pipe(createGunzip({ chunkSize: CHUNK })) : file;
  if (gzipped) file.on("error", (error) => stream.destroy(error));
  // Headers and padding are not content, so the stream as a whole has a bound of its own.
  const overhead = limits.entries * (512 + 2 * META_BYTES);
  let total = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      total += chunk.length;
      if (
        total > limits.totalBytes + overhead ||
        (total > limits.ratioFloorBytes && total > limits.ratio * compressedBytes)
      ) {
        throw new ArchiveError(
          "ratio_exceeded",
          `the archive expands to more than ${limits.ratio} times its size`,
        );
      }
      yield chunk;
    }
  } finally {
    stream.destroy();
    file.destroy();
  }
}

/** The parser would unpack a second layer of compression by itself, past our counting. */
function refuseCompressed(chunk: Uint8Array): void {
  const gzip = chunk[0] === 0x1f && chunk[1] === 0x8b;
  const zstd = chunk[0] === 0x28 && chunk[1] === 0xb5 && chunk[2] === 0x2f && chunk[3] === 0xfd;
  if (gzip || zstd) throw new ArchiveError("unknown_format", "the archive is compressed twice");
}

function unreadable(error: unknown, signal?: AbortSignal): Error {
  if (error instanceof ArchiveError) return error;
  if (signal?.aborted) return error instanceof Error ? error : new Error(String(error));
  const code = (error as { code?: string })?.code;
  // The disk's faults (ENOSPC and the like) are ours, not the archive's.
  if (typeof code === "string" && /^E[A-Z]+$/.test(code)) return error as Error;
  if (error instanceof Deno.errors.NotFound || (error as Error)?.name?.startsWith("Deno")) {
    return error as Error;
  }
  const message = (error as Error)?.message ?? String(error);
  // The parser notices inconsistent links before their type can be looked at.
  const kind = message.includes("linkpath") ? "unsupported_entry" : "unreadable";
  return new ArchiveError(kind, `the tar file cannot be read: ${message}`);
}
