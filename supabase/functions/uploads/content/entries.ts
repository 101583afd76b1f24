import { AppError } from "../../_shared/errors.ts";
import {
  MAX_ARCHIVE_ENTRIES,
  MAX_ARCHIVE_NAME_BYTES,
  MAX_MANIFEST_BYTES,
  MAX_UNPACK_RATIO,
  MAX_UNPACKED_BYTES,
  RATIO_MATTERS_FROM_BYTES,
} from "../../_shared/limits.ts";
import { MANIFEST_NAMES } from "../../_shared/manifest/schema.ts";

export type EntryKind = "file" | "directory";

/** A manifest found at the root of an archive. */
export interface FoundManifest {
  name: string;
  bytes: Uint8Array;
}

/**
 * What an archive may contain, whatever its format: every entry is added before its content is looked at, and the
 * first that breaks a rule is refused by name.
 */
export class Entries {
  /** Paths of files, without a leading "./". */
  readonly files = new Set<string>();
  unpackedBytes = 0;
  count = 0;
  #kinds = new Map<string, EntryKind | "implied">();
  #manifests: Array<{ name: string; parts: Uint8Array[]; size: number }> = [];

  /** `archiveBytes` is the size of the archive as uploaded, the base of the ratio. */
  constructor(readonly archiveBytes: number) {}

  /** Adds an entry. Returns its clean path; the archive's root itself, as tar writes it, is the empty path. */
  add(rawPath: string, kind: EntryKind, size: number): string {
    if (++this.count > MAX_ARCHIVE_ENTRIES) {
      throw new AppError(
        "archive_too_many_entries",
        `At most ${MAX_ARCHIVE_ENTRIES} entries are taken.`,
      );
    }
    const path = cleanPath(rawPath);
    if (path === "") {
      if (kind === "directory") return path;
      throw new AppError("archive_path_unsafe", "An entry has no name.");
    }
    this.#claim(path, kind);
    if (kind === "file") {
      this.files.add(path);
      this.addUnpacked(size);
    }
    return path;
  }

  /** Counts bytes that the archive unpacks to. */
  addUnpacked(bytes: number): void {
    this.unpackedBytes += bytes;
    if (
      this.unpackedBytes > RATIO_MATTERS_FROM_BYTES &&
      this.unpackedBytes > this.archiveBytes * MAX_UNPACK_RATIO
    ) {
      throw new AppError(
        "archive_bomb",
        `An archive may unpack to at most ${MAX_UNPACK_RATIO} times its size.`,
      );
    }
    if (this.unpackedBytes > MAX_UNPACKED_BYTES) {
      throw new AppError(
        "archive_too_large",
        `An archive may unpack to at most ${MAX_UNPACKED_BYTES} bytes.`,
      );
    }
  }

  /** Where the content of a file goes: collected for a manifest at the root, null for all others. */
  collector(path: string): ((chunk: Uint8Array) => void) | null {
    if (!(MANIFEST_NAMES as readonly string[]).includes(path)) return null;
    const manifest = { name: path, parts: [] as Uint8Array[], size: 0 };
    this.#manifests.push(manifest);
    return (chunk) => {
      manifest.size += chunk.length;
      // One byte too many is kept, so that the parser sees that there are too many.
      if (manifest.size - chunk.length <= MAX_MANIFEST_BYTES) manifest.parts.push(chunk.slice());
    };
  }

  /** The one manifest at the root. */
  manifest(): FoundManifest {
    if (this.#manifests.length > 1) {
      const names = this.#manifests.map(({ name }) => name).sort().join(" and ");
      throw new AppError("manifest_ambiguous", `There are ${names}: keep one.`);
    }
    const [found] = this.#manifests;
    if (!found) {
      const deeper = [...this.files].find((path) => /(^|\/)manifest\.(json|ya?ml)$/i.test(path));
      throw new AppError(
        "manifest_missing",
        deeper
          ? `There is "${printable(deeper)}"; it must be ${MANIFEST_NAMES.join(", ")} at the root.`
          : `One of ${MANIFEST_NAMES.join(", ")} must be at the root.`,
      );
    }
    const bytes = new Uint8Array(found.parts.reduce((sum, part) => sum + part.length, 0));
    let offset = 0;
    for (const part of found.parts) {
      bytes.set(part, offset);
      offset += part.length;
    }
    return { name: found.name, bytes };
  }

  #claim(path: string, kind: EntryKind): void {
    const segments = fold(path).split("/");
    for (let depth = 1; depth < segments.length; depth++) {
      const parent = segments.slice(0, depth).join("/");
      const known = this.#kinds.get(parent);
      if (known === "file") throw duplicate(path);
      if (!known) this.#kinds.set(parent, "implied");
    }
    const key = segments.join("/");
    const known = this.#kinds.get(key);
    // Tools write a directory again and again, and after what is in it; a file is written once.
    if (known && !(kind === "directory" && known !== "file")) throw duplicate(path);
    this.#kinds.set(key, kind);
  }
}

function duplicate(path: string): AppError {
  return new AppError(
    "archive_duplicate",
    `"${
      printable(path)
    }" is there twice, or differs from another name only in case or in how it is encoded.`,
  );
}

/** Two names with one fold are one file on some file system. */
function fold(path: string): string {
  return path.normalize("NFKC").toUpperCase().toLowerCase().normalize("NFKC");
}

function cleanPath(raw: string): string {
  const unsafe = (why: string) =>
    new AppError("archive_path_unsafe", `"${printable(raw)}" ${why}.`);
  if (new TextEncoder().encode(raw).length > MAX_ARCHIVE_NAME_BYTES) throw unsafe("is too long");
  if (/[\p{Cc}\u2028\u2029\ufffd]/u.test(raw)) throw unsafe("contains control characters");
  if (raw.includes("\\")) throw unsafe("contains a backslash");
  if (raw.startsWith("/") || /^[A-Za-z]:/.test(raw)) throw unsafe("is an absolute path");
  const segments = raw.replace(/^(\.\/+)+/, "").replace(/\/+$/, "").split("/");
  if (segments.length === 1 && (segments[0] === "." || segments[0] === "")) return "";
  for (const segment of segments) {
    // Some systems drop trailing dots and spaces, and then find ".." or another file.
    if (segment === "..") throw unsafe("leaves the archive");
    if (segment === "" || segment === "." || /[. ]$/.test(segment)) {
      throw unsafe("is not a plain path");
    }
  }
  return segments.join("/");
}

/** A name from an archive as it may be shown: short, one line. */
function printable(text: string): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd");
  return clean.length > 120 ? clean.slice(0, 117) + "..." : clean;
}
