import { createHash } from "node:crypto";
import { AppError } from "../../_shared/errors.ts";
import type { Manifest } from "../../_shared/manifest/schema.ts";
import { formatOfName, validateManifest } from "../../_shared/manifest/validate.ts";
import { MAX_MANIFEST_BYTES } from "../../_shared/limits.ts";
import { type FileType, isArchiveType } from "../../_shared/media_types.ts";
import { baseName } from "../../_shared/safe_path.ts";
import { Cursor } from "./cursor.ts";
import type { Entries } from "./entries.ts";
import { checkJson } from "./json.ts";
import type { ContentSource } from "./source.ts";
import { checkSvg } from "./svg.ts";
import { inspectGzip, inspectTar, looksLikeTar } from "./tar.ts";
import { checkText } from "./text.ts";
import { inspectZip } from "./zip.ts";
import { type Directory, readDirectory } from "./zip_directory.ts";

/** What the caller promised when the upload began. */
export interface Declared {
  fileName: string;
  fileType: FileType;
  contentType: string;
  size: number;
  /** `sha256:` and 64 lower-case hexadecimal digits. */
  checksum: string;
  version: string;
}

/** What the bytes turned out to be. */
export interface Inspection {
  /** Goes into `app_storage.metadata`. */
  metadata: Record<string, string | number>;
  /** The manifest of the version, if this file carries it. */
  manifest?: Manifest;
}

/**
 * Checks a file against what was promised of it, in one pass and in memory that does not grow with it: size, SHA-256,
 * type, and for archives and manifests what is inside. Errors of the catalogue say what is wrong; a wrong checksum is
 * told before anything that a file damaged on its way would cause.
 */
export async function inspect(source: ContentSource, declared: Declared): Promise<Inspection> {
  if (source.size !== declared.size) {
    throw new AppError(
      "size_mismatch",
      `Declared were ${declared.size} bytes; ${source.size} arrived.`,
    );
  }
  // A zip's directory, at its end, is read while its beginning comes.
  const directory = declared.contentType === "application/zip" ? readDirectory(source) : null;
  directory?.catch(() => {}); // Told when it is asked for.
  const hash = createHash("sha256");
  const cursor = new Cursor(await source.stream(), (chunk) => hash.update(chunk));
  let inspection: Inspection | undefined;
  let refusal: AppError | undefined;
  try {
    try {
      inspection = await inspectContent(cursor, declared, directory);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      refusal = error;
    }
    await cursor.drain();
  } finally {
    await cursor.cancel();
  }
  if (cursor.position !== source.size) {
    throw new AppError("unavailable", "The file could not be read to its end.");
  }
  const checksum = `sha256:${hash.digest("hex")}`;
  if (checksum !== declared.checksum) {
    throw new AppError(
      "checksum_mismatch",
      `Declared was ${declared.checksum}; the file has ${checksum}.`,
    );
  }
  if (!inspection) throw refusal;
  return inspection;
}

async function inspectContent(
  cursor: Cursor,
  declared: Declared,
  directory: Promise<Directory> | null,
): Promise<Inspection> {
  if (declared.fileType === "manifest") return await inspectManifestFile(cursor, declared);
  const entries = await checkType(cursor, declared, directory);
  const metadata: Inspection["metadata"] = entries
    ? { entries: entries.count, unpacked_size: entries.unpackedBytes }
    : {};
  if (declared.fileType !== "source") return { metadata };
  if (!entries) {
    throw new AppError("archive_required", "A source is a zip, a tar or a gzipped tar.");
  }
  const { manifest, name } = manifestOf(entries, declared.version);
  return { metadata: { ...metadata, manifest: name }, manifest };
}

/** Checks the content against its declared media type. The entries, if it is an archive. */
async function checkType(
  cursor: Cursor,
  declared: Declared,
  directory: Promise<Directory> | null,
): Promise<Entries | null> {
  const { contentType, size } = declared;
  const head = await cursor.peek(HEAD_BYTES);
  const mismatch = new AppError(
    "content_mismatch",
    `The file does not begin as ${contentType} does.`,
  );
  const expectBytes = (...bytes: number[]) => {
    if (bytes.some((byte, index) => head[index] !== byte)) throw mismatch;
  };
  switch (contentType) {
    case "application/zip":
      // An empty archive consists of its end record.
      if (head[2] === 0x05) expectBytes(0x50, 0x4b, 0x05, 0x06);
      else expectBytes(0x50, 0x4b, 0x03, 0x04);
      return await inspectZip(await directory!, cursor);
    case "application/x-tar":
      if (!looksLikeTar(head)) throw mismatch;
      return await inspectTar(cursor, size);
    case "application/gzip":
      expectBytes(0x1f, 0x8b, 0x08);
      return await inspectGzip(cursor, size, declared.fileType === "source");
    case "image/png":
      // The signature, then the header chunk of 13 bytes.
      expectBytes(
        0x89,
        0x50,
        0x4e,
        0x47,
        0x0d,
        0x0a,
        0x1a,
        0x0a,
        0,
        0,
        0,
        13,
        0x49,
        0x48,
        0x44,
        0x52,
      );
      return null;
    case "image/jpeg":
      expectBytes(0xff, 0xd8, 0xff);
      return null;
    case "image/svg+xml":
      await checkSvg(cursor);
      return null;
    case "application/json":
      await checkJson(cursor);
      return null;
    case "text/html":
    case "text/css":
    case "text/javascript":
    case "application/javascript":
      await checkText(cursor, contentType);
      return null;
    case "application/octet-stream":
      return null;
    default:
      throw new AppError("content_mismatch", `Files of type ${contentType} are not taken.`);
  }
}

const HEAD_BYTES = 512;

function manifestOf(entries: Entries, version: string): { manifest: Manifest; name: string } {
  const { name, bytes } = entries.manifest();
  const manifest = validManifest(bytes, name, version);
  const missing = [manifest.runtime.backend?.entrypoint, manifest.runtime.frontend?.entrypoint]
    .find((path) => path !== undefined && !entries.files.has(path));
  if (missing !== undefined) {
    throw new AppError("entrypoint_missing", `There is no file "${missing}" in the archive.`);
  }
  return { manifest, name };
}

async function inspectManifestFile(cursor: Cursor, declared: Declared): Promise<Inspection> {
  if (isArchiveType(declared.contentType)) {
    throw new AppError("content_mismatch", "A manifest is JSON or YAML text.");
  }
  const bytes = await cursor.exactly(MAX_MANIFEST_BYTES + 1);
  const name = declared.contentType === "application/json"
    ? "manifest.json"
    : baseName(declared.fileName);
  return { metadata: {}, manifest: validManifest(bytes, name, declared.version) };
}

function validManifest(bytes: Uint8Array, name: string, version: string): Manifest {
  const result = validateManifest(bytes, formatOfName(name));
  if (!result.valid) {
    const count = result.errors.length;
    throw new AppError(
      "manifest_invalid",
      `${name} has ${count === 1 ? "a mistake" : `${count} mistakes`}.`,
      {
        errors: result.errors,
      },
    );
  }
  if (result.manifest.version !== version) {
    throw new AppError(
      "manifest_version_mismatch",
      `The upload is for version ${version}, its manifest says ${result.manifest.version}.`,
    );
  }
  return result.manifest;
}
