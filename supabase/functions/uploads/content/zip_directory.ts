/** The directory at the end of a zip, read by random access and judged entry by entry. */
import yauzl from "yauzl";
import { AppError } from "../../_shared/errors.ts";
import { MAX_ARCHIVE_ENTRIES, MAX_ARCHIVE_NAME_BYTES } from "../../_shared/limits.ts";
import { Entries, type EntryKind } from "./entries.ts";
import type { ContentSource } from "./source.ts";

/** What yauzl tells of an entry, with names left as bytes; it comes without types. */
export interface CentralEntry {
  versionMadeBy: number;
  generalPurposeBitFlag: number;
  compressionMethod: number;
  crc32: number;
  compressedSize: number;
  uncompressedSize: number;
  fileNameLength: number;
  fileNameRaw: Uint8Array;
  extraFields: Array<{ id: number; data: Uint8Array }>;
  externalFileAttributes: number;
  relativeOffsetOfLocalHeader: number;
}

interface CentralDirectory {
  entryCount: number;
  comment: Uint8Array;
  readEntryCursor: number;
  eachEntry(): AsyncIterable<CentralEntry>;
}

/** An entry that may be there, and what the directory says of it. */
export interface PlannedEntry {
  path: string;
  kind: EntryKind;
  central: CentralEntry;
}

/** What the directory at the end of a zip lists. */
export interface Directory {
  entries: Entries;
  planned: PlannedEntry[];
  /** The offset at which it begins, and content ends. */
  start: number;
}

const damaged = (detail: string) => new AppError("archive_invalid", detail);
const unsupported = (detail: string) => new AppError("archive_unsupported", detail);

const END_RECORD_BYTES = 22;
const ENCRYPTED = 0x1;
const STORED = 0;
export const DEFLATED = 8;

export async function readDirectory(source: ContentSource): Promise<Directory> {
  const entries = new Entries(source.size);
  const planned: PlannedEntry[] = [];
  try {
    const zip = await open(source);
    const start = zip.readEntryCursor;
    if (zip.entryCount > MAX_ARCHIVE_ENTRIES) {
      throw new AppError(
        "archive_too_many_entries",
        `At most ${MAX_ARCHIVE_ENTRIES} entries are taken.`,
      );
    }
    for await (const central of zip.eachEntry()) planned.push(judge(central, entries));
    if (zip.readEntryCursor !== source.size - END_RECORD_BYTES - zip.comment.length) {
      throw unsupported("Zip64 archives, and archives with something around them, are not taken.");
    }
    return { entries, planned, start };
  } catch (error) {
    if (error instanceof AppError) throw error;
    if (!(error instanceof Error) || error instanceof TypeError || error instanceof ReadError) {
      throw error instanceof ReadError ? error.cause : error;
    }
    // yauzl's own errors say what is wrong with the archive.
    if (/encrypt/i.test(error.message)) throw new AppError("archive_encrypted");
    if (/multi-disk|zip64/i.test(error.message)) {
      throw unsupported("Zip64 and multi-disk archives are not taken.");
    }
    throw damaged("The directory at the end of the archive cannot be read; it may be cut off.");
  }
}

/** Judges an entry by what the directory says of it. */
function judge(central: CentralEntry, entries: Entries): PlannedEntry {
  if (central.fileNameLength > MAX_ARCHIVE_NAME_BYTES) {
    throw new AppError(
      "archive_path_unsafe",
      `An entry's name is longer than ${MAX_ARCHIVE_NAME_BYTES} bytes.`,
    );
  }
  const { getFileNameLowLevel } = yauzl as unknown as {
    getFileNameLowLevel(flags: number, name: Uint8Array, extra: unknown, strict: boolean): string;
  };
  const name = getFileNameLowLevel(
    central.generalPurposeBitFlag,
    central.fileNameRaw,
    central.extraFields,
    true,
  );
  const kind = kindOf(central, name);
  const path = entries.add(name, kind, central.uncompressedSize);
  if (central.generalPurposeBitFlag & ENCRYPTED) {
    throw new AppError("archive_encrypted", `"${path}" is encrypted.`);
  }
  if (central.compressionMethod !== STORED && central.compressionMethod !== DEFLATED) {
    throw unsupported(
      `"${path}" is compressed by method ${central.compressionMethod}; use deflate.`,
    );
  }
  if (kind === "directory" && central.uncompressedSize > 0) {
    throw damaged(`The directory "${path}" has content.`);
  }
  return { path, kind, central };
}

function kindOf(central: CentralEntry, name: string): EntryKind {
  const unixType = (central.externalFileAttributes >>> 16) & 0xf000;
  const namedDirectory = name.endsWith("/");
  switch (unixType) {
    case 0x0000:
      return namedDirectory ? "directory" : "file";
    case 0x8000:
      if (namedDirectory) throw damaged("A file is named as a directory.");
      return "file";
    case 0x4000:
      if (!namedDirectory) throw damaged("A directory is named as a file.");
      return "directory";
    case 0xa000:
      throw new AppError("archive_link", `"${name.slice(0, 120)}" is a symbolic link.`);
    default:
      throw new AppError("archive_special_file", `"${name.slice(0, 120)}" is not a file.`);
  }
}

/** Storage failed, not the archive. */
class ReadError extends Error {
  constructor(cause: unknown) {
    super("read failed", { cause });
  }
}

/** Reads the source in blocks, since yauzl asks for a few bytes at a time. */
function blockReader(source: ContentSource) {
  const { RandomAccessReader } = yauzl as unknown as {
    RandomAccessReader: new () => Record<string, unknown>;
  };
  const reader = new RandomAccessReader();
  let block = { start: 0, bytes: new Uint8Array(0) };
  const bytesAt = async (start: number, length: number): Promise<Uint8Array> => {
    if (start < block.start || start + length > block.start + block.bytes.length) {
      // What comes first, at the end, mostly has all of the directory before it in its block.
      const from = Math.min(start, Math.max(0, source.size - BLOCK_BYTES));
      const wanted = Math.min(Math.max(length, BLOCK_BYTES), source.size - from);
      block = { start: from, bytes: await source.read(from, wanted) as Uint8Array<ArrayBuffer> };
    }
    return block.bytes.subarray(start - block.start, start - block.start + length);
  };
  reader.read = (
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, count?: number) => void,
  ) => {
    if (length === 0) return queueMicrotask(() => callback(null, 0));
    if (position + length > source.size) {
      return queueMicrotask(() => callback(new Error("unexpected EOF")));
    }
    bytesAt(position, length).then(
      (bytes) => {
        buffer.set(bytes, offset);
        queueMicrotask(() => callback(null, bytes.length));
      },
      (error) => queueMicrotask(() => callback(new ReadError(error))),
    );
  };
  return reader;
}

const BLOCK_BYTES = 256 * 1024;

function open(source: ContentSource): Promise<CentralDirectory> {
  const { fromRandomAccessReader } = yauzl as unknown as {
    fromRandomAccessReader(
      reader: unknown,
      size: number,
      options: Record<string, boolean>,
      callback: (error: Error | null, zip: CentralDirectory) => void,
    ): void;
  };
  return new Promise((resolve, reject) => {
    fromRandomAccessReader(
      blockReader(source),
      source.size,
      { lazyEntries: true, decodeStrings: false, validateEntrySizes: true, autoClose: false },
      (error, zip) => error ? reject(error) : resolve(zip),
    );
  });
}
