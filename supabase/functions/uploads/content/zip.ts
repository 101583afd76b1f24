import yauzl from "yauzl";
import { AppError } from "../../_shared/errors.ts";
import { MAX_ARCHIVE_ENTRIES, MAX_ARCHIVE_NAME_BYTES } from "../../_shared/limits.ts";
import { crc32 } from "./crc32.ts";
import type { Cursor } from "./cursor.ts";
import { Entries, type EntryKind } from "./entries.ts";
import { CompressionError, Inflater } from "./inflate.ts";
import type { ContentSource } from "./source.ts";

/** What yauzl tells of an entry, with names left as bytes; it comes without types. */
interface CentralEntry {
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

interface PlannedEntry {
  path: string;
  kind: EntryKind;
  central: CentralEntry;
}

const damaged = (detail: string) => new AppError("archive_invalid", detail);
const unsupported = (detail: string) => new AppError("archive_unsupported", detail);

const END_RECORD_BYTES = 22;
const LOCAL_HEADER_BYTES = 30;
const ENCRYPTED = 0x1;
const HAS_DESCRIPTOR = 0x8;
const STORED = 0;
const DEFLATED = 8;

/**
 * Inspects a zip without extracting it. The central directory is read by random access and judged as a whole; then the
 * content passes once, in the order it is stored: every local header must say what the directory says, every byte must
 * belong to one entry, and every entry must unpack to its declared size and CRC.
 */
export async function inspectZip(source: ContentSource, cursor: Cursor): Promise<Entries> {
  const entries = new Entries(source.size);
  const { planned, start } = await readDirectory(source, entries);
  planned.sort((a, b) =>
    a.central.relativeOffsetOfLocalHeader - b.central.relativeOffsetOfLocalHeader
  );
  for (const [index, entry] of planned.entries()) {
    const next = planned[index + 1]?.central.relativeOffsetOfLocalHeader ?? start;
    await checkEntry(entry, cursor, next, entries);
  }
  if (cursor.position !== start) throw damaged("There are bytes that belong to no entry.");
  return entries;
}

async function readDirectory(source: ContentSource, entries: Entries) {
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
    return { planned, start };
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

async function checkEntry(
  entry: PlannedEntry,
  cursor: Cursor,
  next: number,
  entries: Entries,
): Promise<void> {
  const { central, path } = entry;
  if (central.relativeOffsetOfLocalHeader < cursor.position) {
    throw new AppError("archive_overlap", `"${path}" begins inside another entry.`);
  }
  if (central.relativeOffsetOfLocalHeader > cursor.position) {
    throw damaged("There are bytes that belong to no entry.");
  }
  await checkLocalHeader(entry, cursor);
  if (cursor.position + central.compressedSize > next) {
    throw new AppError("archive_overlap", `"${path}" reaches into what follows it.`);
  }
  await checkContent(entry, cursor, entries.collector(path));
  const rest = next - cursor.position;
  if (rest === 0) return;
  if (!(central.generalPurposeBitFlag & HAS_DESCRIPTOR) || ![12, 16, 20, 24].includes(rest)) {
    throw damaged("There are bytes that belong to no entry.");
  }
  await cursor.exactly(rest);
}

async function checkLocalHeader({ central, path }: PlannedEntry, cursor: Cursor): Promise<void> {
  const bytes = await cursor.exactly(LOCAL_HEADER_BYTES);
  if (bytes.length < LOCAL_HEADER_BYTES) throw damaged("The archive is cut off.");
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const u16 = (offset: number) => header.getUint16(offset, true);
  const u32 = (offset: number) => header.getUint32(offset, true);
  const mismatch = () =>
    damaged(`What stands before "${path}" is not what the archive's directory says.`);
  if (u32(0) !== 0x04034b50) throw mismatch();
  if (u16(6) !== central.generalPurposeBitFlag || u16(8) !== central.compressionMethod) {
    throw mismatch();
  }
  // With a descriptor, sizes and CRC come after the content, and may be zero here.
  const declared = [u32(14), u32(18), u32(22)];
  const expected = [central.crc32, central.compressedSize, central.uncompressedSize];
  const later = (central.generalPurposeBitFlag & HAS_DESCRIPTOR) !== 0;
  const zip64Placeholder = (value: number, index: number) =>
    later && index > 0 && value === 0xffffffff;
  if (
    declared.some((value, index) =>
      value !== expected[index] && !(later && value === 0) && !zip64Placeholder(value, index)
    )
  ) throw mismatch();
  const name = await cursor.exactly(u16(26));
  if (
    name.length !== central.fileNameRaw.length ||
    name.some((byte, index) => byte !== central.fileNameRaw[index])
  ) {
    throw mismatch();
  }
  const extra = u16(28);
  if ((await cursor.exactly(extra)).length < extra) throw damaged("The archive is cut off.");
}

async function checkContent(
  { central, path }: PlannedEntry,
  cursor: Cursor,
  collect: ((chunk: Uint8Array) => void) | null,
): Promise<void> {
  let size = 0;
  let crc = 0;
  const take = (data: Uint8Array) => {
    size += data.length;
    if (size > central.uncompressedSize) {
      throw damaged(`"${path}" unpacks to more than it declares.`);
    }
    crc = crc32(data, crc);
    collect?.(data);
  };
  const inflater = central.compressionMethod === DEFLATED
    ? new Inflater("deflate-raw", take)
    : null;
  try {
    for (let left = central.compressedSize; left > 0;) {
      const chunk = await cursor.some(left);
      if (!chunk) throw damaged("The archive is cut off.");
      left -= chunk.length;
      if (inflater) await inflater.write(chunk);
      else take(chunk);
    }
    await inflater?.end();
  } catch (error) {
    if (error instanceof CompressionError) {
      throw damaged(`The compressed data of "${path}" is damaged.`);
    }
    throw error;
  } finally {
    inflater?.close();
  }
  if (size !== central.uncompressedSize) {
    throw damaged(`"${path}" unpacks to less than it declares.`);
  }
  if (crc !== central.crc32) throw damaged(`The CRC of "${path}" is wrong.`);
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
      const wanted = Math.min(Math.max(length, BLOCK_BYTES), source.size - start);
      block = { start, bytes: await source.read(start, wanted) as Uint8Array<ArrayBuffer> };
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
