/**
 * What an archive may contain, whatever format it has. The upload was inspected with the same rules, but between then and now
 * lies a bucket that others can write to, so nothing is taken on trust.
 */

import {
  MAX_ARCHIVE_ENTRIES,
  MAX_ARCHIVE_NAME_BYTES,
  MAX_UNPACK_RATIO,
  MAX_UNPACKED_BYTES,
  RATIO_MATTERS_FROM_BYTES,
} from "../../../supabase/functions/_shared/limits.ts";

/** Bounds of one archive. Sizes are bytes of content, not of the compressed file. */
export interface ArchiveLimits {
  /** Files and directories, those named only as a parent included. */
  entries: number;
  totalBytes: number;
  fileBytes: number;
  /** Content per compressed byte, applied once the content exceeds `ratioFloorBytes`. */
  ratio: number;
  ratioFloorBytes: number;
  pathBytes: number;
  nameBytes: number;
  depth: number;
}

/**
 * The bounds of uploads. Where what is counted differs a little (tar headers, folders that are named only as parents), these are
 * twice as wide: an archive that was accepted must not fail here.
 */
export const DEFAULT_ARCHIVE_LIMITS: ArchiveLimits = {
  entries: 2 * MAX_ARCHIVE_ENTRIES,
  totalBytes: MAX_UNPACKED_BYTES,
  fileBytes: MAX_UNPACKED_BYTES,
  ratio: 2 * MAX_UNPACK_RATIO,
  ratioFloorBytes: RATIO_MATTERS_FROM_BYTES,
  pathBytes: 2 * MAX_ARCHIVE_NAME_BYTES,
  nameBytes: 255,
  depth: MAX_ARCHIVE_NAME_BYTES / 2,
};

export type ArchiveErrorCode =
  | "unreadable"
  | "unknown_format"
  | "unsafe_path"
  | "unsupported_entry"
  | "duplicate"
  | "encrypted"
  | "corrupt"
  | "too_many_entries"
  | "too_large"
  | "ratio_exceeded";

/** The archive breaks a rule: the app's fault, and a retry would not help. */
export class ArchiveError extends Error {
  override name = "ArchiveError";
  constructor(readonly code: ArchiveErrorCode, message: string, readonly entry?: string) {
    super(entry === undefined ? message : `${message}: ${JSON.stringify(entry)}`);
  }
}

export type EntryKind = "file" | "directory";

/** Receives the entries of an archive in order; `content` must be read to its end before the next entry comes. */
export interface EntryVisitor {
  directory(path: string): Promise<void>;
  file(path: string, content: AsyncIterable<Uint8Array>, executable: boolean): Promise<void>;
}

/** Two names that this maps to the same text are one file on some file system. */
export function foldName(path: string): string {
  return path.normalize("NFC").toUpperCase().toLowerCase().normalize("NFC");
}

/**
 * Checks the names and sizes of one archive's entries as they come.
 * @throws ArchiveError at the first one that breaks a rule
 */
export class ArchiveGuard {
  readonly #seen = new Map<string, { path: string; kind: EntryKind }>();
  #total = 0;

  constructor(readonly limits: ArchiveLimits, readonly compressedBytes: number) {}

  /** The entry's relative path in normal form, or "" for the archive's root itself. */
  admit(name: string, kind: EntryKind): string {
    const path = this.#clean(name, kind);
    if (path === "") return path;
    const parts = path.split("/");
    for (let i = 1; i < parts.length; i++) this.#register(parts.slice(0, i).join("/"), "directory");
    this.#register(path, kind);
    return path;
  }

  /** Refuses early on a declared size; what is really read is counted by `measured`. */
  declared(bytes: number, path: string): void {
    if (bytes > this.limits.fileBytes) this.#tooLarge(path);
    this.#checkTotal(this.#total + bytes, path);
  }

  /** Counts content that is not passed through. */
  counted(bytes: number, path: string): void {
    if (bytes > this.limits.fileBytes) this.#tooLarge(path);
    this.#total += bytes;
    this.#checkTotal(this.#total, path);
  }

  /** Passes content through, counting it. */
  async *measured(path: string, content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let size = 0;
    for await (const chunk of content) {
      size += chunk.length;
      this.#total += chunk.length;
      if (size > this.limits.fileBytes) this.#tooLarge(path);
      this.#checkTotal(this.#total, path);
      yield chunk;
    }
  }

  #tooLarge(path: string): never {
    throw new ArchiveError(
      "too_large",
      `a file is larger than ${this.limits.fileBytes} bytes`,
      path,
    );
  }

  #checkTotal(total: number, path: string): void {
    const { totalBytes, ratio, ratioFloorBytes } = this.limits;
    if (total > totalBytes) {
      throw new ArchiveError("too_large", `the archive holds more than ${totalBytes} bytes`, path);
    }
    if (total > ratioFloorBytes && total > ratio * this.compressedBytes) {
      throw new ArchiveError(
        "ratio_exceeded",
        `the archive expands to more than ${ratio} times its size`,
        path,
      );
    }
  }

  #clean(name: string, kind: EntryKind): string {
    const unsafe = (why: string): never => {
      throw new ArchiveError("unsafe_path", why, name);
    };
    // deno-lint-ignore no-control-regex
    if (/[\u0000-\u001f\u007f\ufffd]/.test(name)) {
      unsafe("a name has control characters or is not UTF-8");
    }
    if (name.includes("\\")) unsafe("a name has a backslash");
    if (name.startsWith("/") || /^[A-Za-z]:/.test(name)) unsafe("a name is absolute");
    let path = name;
    // `tar -C dir .` writes every name with this prefix.
    while (path.startsWith("./")) path = path.slice(2);
    if (kind === "directory") path = path.replace(/\/$/, "");
    if ((path === "" || path === ".") && kind === "directory") return "";
    if (path === "") unsafe("a file has no name");
    const parts = path.split("/");
    const bytes = new TextEncoder();
    for (const part of parts) {
      if (part === "..") unsafe("a name leaves the archive");
      if (part === "" || part === ".") unsafe("a name is not in normal form");
      if (bytes.encode(part).length > this.limits.nameBytes) unsafe("a name is too long");
    }
    if (bytes.encode(path).length > this.limits.pathBytes) unsafe("a path is too long");
    if (parts.length > this.limits.depth) unsafe("a path is too deep");
    return path;
  }

  #register(path: string, kind: EntryKind): void {
    const key = foldName(path);
    const known = this.#seen.get(key);
    if (known !== undefined) {
      if (known.path === path && kind === "directory" && known.kind === "directory") return;
      throw new ArchiveError(
        "duplicate",
        known.path === path
          ? "a name occurs twice"
          : `a name differs only by case from ${JSON.stringify(known.path)}`,
        path,
      );
    }
    if (this.#seen.size >= this.limits.entries) {
      throw new ArchiveError(
        "too_many_entries",
        `the archive has more than ${this.limits.entries} entries`,
      );
    }
    this.#seen.set(key, { path, kind });
  }
}
