import { AppError } from "../../_shared/errors.ts";
import { crc32 } from "./crc32.ts";
import type { Cursor } from "./cursor.ts";
import type { Entries } from "./entries.ts";
import { CompressionError, createInflater } from "./inflate.ts";
import { DEFLATED, type Directory, type PlannedEntry } from "./zip_directory.ts";

const damaged = (detail: string) => new AppError("archive_invalid", detail);

const LOCAL_HEADER_BYTES = 30;
const HAS_DESCRIPTOR = 0x8;

/**
 * Inspects a zip without extracting it, once its directory was judged as a whole. The content passes once, in the order
 * it is stored: every local header must say what the directory says, every byte must belong to one entry, and every
 * entry must unpack to its declared size and CRC.
 */
export async function inspectZip(
  { entries, planned, start }: Directory,
  cursor: Cursor,
): Promise<Entries> {
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
  if (!later && declared.includes(0xffffffff, 1)) {
    throw new AppError("archive_unsupported", "Zip64 archives are not taken.");
  }
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
    ? createInflater("deflate-raw", take)
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
