/**
 * Archives built from a readable description, so that bad ones need not be kept as binary files. Writes exactly what it
 * is told, however wrong.
 */
import zlib from "node:zlib";
import { crc32 } from "../uploads/content/crc32.ts";

export interface EntryDescription {
  name: string;
  /** The content: text, base64, bytes (not in files), or this many zero bytes. Default: empty. */
  bytes?: Uint8Array;
  text?: string;
  base64?: string;
  zeros?: number;
  /** A manifest that is right for version 1.0.0 with the entrypoint index.js. */
  manifest?: true;
  /** Unix mode with the type bits, as an octal string: "120777" is a symbolic link. */
  mode?: string;
  /** zip: what goes wrong. */
  flags?: number;
  method?: number;
  crcXor?: number;
  localName?: string;
  declaredSize?: number;
  descriptor?: true;
  /** zip: the directory says that the entry begins where the first one does. */
  overlapsFirst?: true;
  /** tar: the type flag ("2" is a symbolic link) and its target. */
  type?: string;
  target?: string;
  badChecksum?: true;
}

export interface ArchiveDescription {
  format: "zip" | "tar" | "tar.gz" | "gzip";
  entries: EntryDescription[];
  /** This many further empty files. */
  fillers?: number;
  /** Bytes cut off the end, or text put around it. */
  cutOff?: number;
  prefix?: string;
  suffix?: string;
}

export const GOOD_MANIFEST = {
  name: "Fixture",
  version: "1.0.0",
  type: "backend",
  runtime: { backend: { type: "node" } },
};

const utf8 = new TextEncoder();

/** Bytes that do not compress, the same each time. */
export function noise(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export function buildArchive(description: ArchiveDescription): Uint8Array<ArrayBuffer> {
  const fillers = Array.from(
    { length: description.fillers ?? 0 },
    (_, index) => ({ name: `filler/${index}` }),
  );
  const entries = [...description.entries, ...fillers];
  const plain = description.format === "zip"
    ? buildZip(entries)
    : description.format === "gzip"
    ? content(entries[0])
    : buildTar(entries);
  const packed = /gz/.test(description.format)
    ? new Uint8Array(zlib.gzipSync(plain, { level: 9 }))
    : plain;
  const whole = joinBytes([
    utf8.encode(description.prefix ?? ""),
    packed.subarray(0, packed.length - (description.cutOff ?? 0)),
    utf8.encode(description.suffix ?? ""),
  ]);
  return whole;
}

export function joinBytes(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function content(entry: EntryDescription): Uint8Array {
  if (entry.manifest) return utf8.encode(JSON.stringify(GOOD_MANIFEST));
  if (entry.bytes) return entry.bytes;
  if (entry.base64 !== undefined) {
    return Uint8Array.from(atob(entry.base64), (c) => c.charCodeAt(0));
  }
  return entry.zeros !== undefined ? new Uint8Array(entry.zeros) : utf8.encode(entry.text ?? "");
}

function buildZip(entries: EntryDescription[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const entry of entries) {
    const data = content(entry);
    const method = entry.method ?? (data.length > 0 ? 8 : 0);
    const packed = method === 8 ? new Uint8Array(zlib.deflateRawSync(data, { level: 9 })) : data;
    const flags = (entry.flags ?? 0) | 0x800 | (entry.descriptor ? 0x8 : 0);
    const crc = (crc32(data, 0) ^ (entry.crcXor ?? 0)) >>> 0;
    const size = entry.declaredSize ?? data.length;
    const name = utf8.encode(entry.name);
    const localName = utf8.encode(entry.localName ?? entry.name);
    const local = record([
      [4, 0x04034b50],
      [2, 20],
      [2, flags],
      [2, method],
      [4, 0],
      ...sizes(entry.descriptor ? [0, 0, 0] : [crc, packed.length, size]),
      [2, localName.length],
      [2, 0],
    ]);
    const descriptor = entry.descriptor
      ? record([[4, 0x08074b50], ...sizes([crc, packed.length, size])])
      : new Uint8Array(0);
    parts.push(local, localName, packed, descriptor);
    const mode = parseInt(entry.mode ?? (entry.name.endsWith("/") ? "40755" : "100644"), 8);
    directory.push(
      record([
        [4, 0x02014b50],
        [2, 0x0314],
        [2, 20],
        [2, flags],
        [2, method],
        [4, 0],
        ...sizes([crc, packed.length, size]),
        [2, name.length],
        [2, 0],
        [2, 0],
        [2, 0],
        [2, 0],
        [4, (mode << 16) >>> 0],
        [4, entry.overlapsFirst ? 0 : offset],
      ]),
      name,
    );
    offset += local.length + localName.length + packed.length + descriptor.length;
  }
  const directoryBytes = joinBytes(directory);
  const end = record([
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, entries.length],
    [2, entries.length],
    [4, directoryBytes.length],
    [4, offset],
    [2, 0],
  ]);
  return joinBytes([...parts, directoryBytes, end]);
}

function sizes(values: number[]): Array<[number, number]> {
  return values.map((value) => [4, value]);
}

/** Little-endian fields, each [bytes, value]. */
function record(fields: Array<[number, number]>): Uint8Array {
  return Uint8Array.from(
    fields.flatMap(([width, value]) =>
      Array.from({ length: width }, (_, byte) => Math.floor(value / 256 ** byte) & 255)
    ),
  );
}

const TAR_BLOCK = 512;

function buildTar(entries: EntryDescription[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    const data = content(entry);
    const header = new Uint8Array(TAR_BLOCK);
    const put = (offset: number, text: string) => header.set(utf8.encode(text), offset);
    const octal = (value: number, width: number) =>
      value.toString(8).padStart(width - 1, "0") + "\0";
    put(0, entry.name);
    put(100, octal(0o644, 8));
    put(108, octal(0, 8));
    put(116, octal(0, 8));
    put(124, octal(entry.declaredSize ?? data.length, 12));
    put(136, octal(0, 12));
    put(148, " ".repeat(8));
    put(156, entry.type ?? (entry.name.endsWith("/") ? "5" : "0"));
    put(157, entry.target ?? "");
    put(257, "ustar\u000000");
    const sum = header.reduce((total, byte) => total + byte, entry.badChecksum ? 1 : 0);
    put(148, sum.toString(8).padStart(6, "0") + "\0 ");
    parts.push(header, data, new Uint8Array((TAR_BLOCK - data.length % TAR_BLOCK) % TAR_BLOCK));
  }
  parts.push(new Uint8Array(2 * TAR_BLOCK));
  return joinBytes(parts);
}
