import zlib from "node:zlib";
import { ArchiveError, ArchiveGuard, type ArchiveLimits, type EntryVisitor } from "./policy.ts";
import { openZip, type ZipEntry, type ZipFile, type ZipLocalHeader } from "./yauzl.ts";

const ENCRYPTED = 0x1 | 0x40;
const FILE_TYPE = 0o170000;
const REGULAR = 0o100000;
const DIRECTORY = 0o040000;
const STORED = 0;
const DEFLATED = 8;

/**
 * Visits the entries of a zip file, in the order of its central directory.
 *
 * yauzl reads lazily and checks sizes; names, kinds, duplicates, checksums, overlapping entries and disagreement between an
 * entry's two headers (readers differ on which they believe) are checked here.
 * @throws ArchiveError
 */
export async function visitZip(
  path: string,
  limits: ArchiveLimits,
  visitor: EntryVisitor,
  signal?: AbortSignal,
): Promise<void> {
  const guard = new ArchiveGuard(limits, (await Deno.stat(path)).size);
  let zip: ZipFile;
  try {
    zip = await openZip(path, {
      autoClose: false,
      lazyEntries: true,
      strictFileNames: true,
      validateEntrySizes: true,
    });
  } catch (error) {
    throw unreadable(error);
  }
  try {
    if (zip.entryCount > limits.entries) {
      throw new ArchiveError(
        "too_many_entries",
        `the archive has more than ${limits.entries} entries`,
      );
    }
    const ranges = new Ranges();
    for await (const entry of entries(zip)) {
      signal?.throwIfAborted();
      await visitEntry(zip, entry, guard, ranges, visitor);
    }
  } finally {
    zip.close();
  }
}

async function visitEntry(
  zip: ZipFile,
  entry: ZipEntry,
  guard: ArchiveGuard,
  ranges: Ranges,
  visitor: EntryVisitor,
): Promise<void> {
  const name = entry.fileName;
  if (entry.generalPurposeBitFlag & ENCRYPTED) {
    throw new ArchiveError("encrypted", "an entry is encrypted", name);
  }
  const mode = entry.externalFileAttributes >>> 16;
  const type = mode & FILE_TYPE;
  const directory = name.endsWith("/");
  if (type !== 0 && type !== (directory ? DIRECTORY : REGULAR)) {
    throw new ArchiveError("unsupported_entry", "an entry is a link or a special file", name);
  }
  if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED) {
    throw new ArchiveError("unsupported_entry", "an entry's compression is not supported", name);
  }
  const path = guard.admit(name, directory ? "directory" : "file");
  const local = await reading(zip.readLocalFileHeaderPromise(entry));
  checkLocalHeader(entry, local);
  ranges.add(entry.relativeOffsetOfLocalHeader, local.fileDataStart + entry.compressedSize, name);
  if (directory) {
    if (entry.uncompressedSize > 0) {
      throw new ArchiveError("corrupt", "a directory has content", name);
    }
    return await visitor.directory(path);
  }
  guard.declared(entry.uncompressedSize, path);
  const stream = await reading(zip.openReadStreamPromise(entry));
  // It may fail before the reader below gets to it, and an error that nobody listens for ends the process.
  stream.on("error", () => {});
  const content = checked(stream, entry);
  await visitor.file(path, guard.measured(path, content), (mode & 0o100) !== 0);
}

function checkLocalHeader(entry: ZipEntry, local: ZipLocalHeader): void {
  const decoder = new TextDecoder((entry.generalPurposeBitFlag & 0x800) ? "utf-8" : "latin1");
  const localName = decoder.decode(local.fileName);
  // Outside ASCII the two decoders differ by code page; the bytes' length still has to agree.
  const ascii = /^[\x20-\x7e]*$/.test(entry.fileName + localName);
  if (
    (ascii && localName !== entry.fileName) ||
    local.compressionMethod !== entry.compressionMethod
  ) {
    throw new ArchiveError("corrupt", "an entry's two headers disagree", entry.fileName);
  }
}

async function* checked(
  stream: AsyncIterable<Uint8Array>,
  entry: ZipEntry,
): AsyncGenerator<Uint8Array> {
  let crc = 0;
  try {
    for await (const chunk of stream) {
      crc = zlib.crc32(chunk, crc);
      yield chunk;
    }
  } catch (error) {
    throw unreadable(error);
  }
  if (crc >>> 0 !== entry.crc32 >>> 0) {
    throw new ArchiveError("corrupt", "an entry's checksum does not match", entry.fileName);
  }
}

async function* entries(zip: ZipFile): AsyncGenerator<ZipEntry> {
  type Next = { entry?: ZipEntry; error?: Error };
  let settle: (next: Next) => void = () => {};
  zip.on("entry", (entry) => settle({ entry }));
  zip.on("end", () => settle({}));
  zip.on("error", (error) => settle({ error }));
  while (true) {
    const next = await new Promise<Next>((resolve) => {
      settle = resolve;
      zip.readEntry();
    });
    if (next.error) throw unreadable(next.error);
    if (!next.entry) return;
    yield next.entry;
  }
}

/** Refuses entries that share bytes of the file: a few kilobytes can then expand without a limit. */
class Ranges {
  readonly #sorted: { start: number; end: number }[] = [];

  add(start: number, end: number, name: string): void {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle].start < start) low = middle + 1;
      else high = middle;
    }
    const before = this.#sorted[low - 1];
    const after = this.#sorted[low];
    if ((before && before.end > start) || (after && after.start < end)) {
      throw new ArchiveError("corrupt", "entries overlap", name);
    }
    this.#sorted.splice(low, 0, { start, end });
  }
}

async function reading<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(error: unknown): Error {
  if (error instanceof ArchiveError) return error;
  // The disk's faults, and this process's, are not the archive's.
  if (/^E[A-Z]+$/.test((error as { code?: string })?.code ?? "")) return error as Error;
  const message = error instanceof Error ? error.message : String(error);
  // yauzl refuses some names itself; they are named like those that our own rules refuse.
  const code = /absolute path|relative path|invalid characters/.test(message)
    ? "unsafe_path"
    : "unreadable";
  return new ArchiveError(code, `the zip file cannot be read: ${message}`);
}
