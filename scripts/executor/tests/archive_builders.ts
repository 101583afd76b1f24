/** Writes archives byte by byte, broken ones included: a well-behaved library would refuse to. */
import { Buffer } from "node:buffer";
import zlib from "node:zlib";

export interface Entry {
  name: string;
  content?: string | Uint8Array;
  /** Unix mode with the file type, as zip keeps it; tar uses the permission bits only. */
  mode?: number;
  /** tar: the type flag; zip: ignored. */
  type?: string;
  linkName?: string;
  /** zip: what the local header says instead. */
  localName?: string;
  crc?: number;
  flags?: number;
  stored?: boolean;
  /** zip: point at the local header of this earlier entry. */
  sameDataAs?: number;
  /** zip and tar: a declared size that is not the real one. */
  declaredSize?: number;
}

function bytesOf(content: string | Uint8Array | undefined): Uint8Array {
  return typeof content === "string"
    ? new TextEncoder().encode(content)
    : content ?? new Uint8Array();
}

export function zip(entries: Entry[]): Uint8Array {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  const offsets: number[] = [];
  let offset = 0;
  for (const entry of entries) {
    const plain = bytesOf(entry.content);
    const data = entry.stored ? Buffer.from(plain) : zlib.deflateRawSync(plain);
    const name = Buffer.from(entry.name);
    const localName = Buffer.from(entry.localName ?? entry.name);
    const crc = entry.crc ?? zlib.crc32(plain);
    const size = entry.declaredSize ?? plain.length;
    const method = entry.stored ? 0 : 8;
    const flags = 0x800 | (entry.flags ?? 0);
    const fields = (buffer: Buffer, at: number, nameLength: number) => {
      buffer.writeUInt16LE(20, at);
      buffer.writeUInt16LE(flags, at + 2);
      buffer.writeUInt16LE(method, at + 4);
      buffer.writeUInt32LE(crc >>> 0, at + 10);
      buffer.writeUInt32LE(data.length, at + 14);
      buffer.writeUInt32LE(size, at + 18);
      buffer.writeUInt16LE(nameLength, at + 22);
    };
    const start = entry.sameDataAs === undefined ? offset : offsets[entry.sameDataAs];
    offsets.push(start);
    if (entry.sameDataAs === undefined) {
      const local = Buffer.alloc(30);
      local.writeUInt32LE(0x04034b50, 0);
      fields(local, 4, localName.length);
      parts.push(local, localName, data);
      offset += local.length + localName.length + data.length;
    }
    const header = Buffer.alloc(46);
    header.writeUInt32LE(0x02014b50, 0);
    header.writeUInt16LE(0x0314, 4);
    fields(header, 6, name.length);
    header.writeUInt32LE(((entry.mode ?? 0o100644) << 16) >>> 0, 38);
    header.writeUInt32LE(start, 42);
    central.push(header, name);
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return new Uint8Array(Buffer.concat([...parts, directory, end]));
}

export function tar(entries: Entry[]): Uint8Array {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const content = bytesOf(entry.content);
    const header = Buffer.alloc(512);
    header.write(entry.name, 0, 100);
    header.write(((entry.mode ?? 0o644) & 0o7777).toString(8).padStart(7, "0"), 100);
    header.write("0000000", 108);
    header.write("0000000", 116);
    header.write((entry.declaredSize ?? content.length).toString(8).padStart(11, "0"), 124);
    header.write("00000000000", 136);
    header.write("        ", 148);
    header.write(entry.type ?? "0", 156);
    if (entry.linkName) header.write(entry.linkName, 157, 100);
    header.write("ustar\0" + "00", 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(sum.toString(8).padStart(6, "0") + "\0 ", 148);
    blocks.push(header, Buffer.from(content), Buffer.alloc((512 - content.length % 512) % 512));
  }
  blocks.push(Buffer.alloc(1024));
  return new Uint8Array(Buffer.concat(blocks));
}

export function gzip(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(zlib.gzipSync(bytes));
}
