/** The part of yauzl that is used here, typed: the package carries no types of its own. */
import type { Readable } from "node:stream";
// @ts-types="./yauzl_untyped.d.ts"
import untyped from "yauzl";

export interface ZipEntry {
  fileName: string;
  generalPurposeBitFlag: number;
  compressionMethod: number;
  crc32: number;
  compressedSize: number;
  uncompressedSize: number;
  externalFileAttributes: number;
  versionMadeBy: number;
  relativeOffsetOfLocalHeader: number;
}

export interface ZipLocalHeader {
  fileDataStart: number;
  fileName: Uint8Array;
  compressionMethod: number;
}

export interface ZipFile {
  entryCount: number;
  readEntry(): void;
  close(): void;
  on(event: "entry", listener: (entry: ZipEntry) => void): this;
  on(event: "end", listener: () => void): this;
  on(event: "error", listener: (error: Error) => void): this;
  openReadStreamPromise(entry: ZipEntry): Promise<Readable>;
  readLocalFileHeaderPromise(entry: ZipEntry): Promise<ZipLocalHeader>;
}

export const openZip = (untyped as {
  openPromise(path: string, options: {
    autoClose: boolean;
    lazyEntries: boolean;
    strictFileNames: boolean;
    validateEntrySizes: boolean;
  }): Promise<ZipFile>;
}).openPromise;
