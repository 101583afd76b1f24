/** Packs a tree into a tar.gz whose bytes depend on nothing but the tree. */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { Header, type HeaderData, Pax } from "tar";
import { ArchiveGuard, type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from "./archives/policy.ts";

const CHUNK = 64 * 1024;
/** What tar counts in. */
const BLOCK = 512;

export interface Packed {
  /** Bytes of the archive. */
  size: number;
  checksum: string;
  /** Files and folders in it. */
  entries: number;
}

/** What a build may hold: the app, and with it packages of many small files. */
export const BUILD_LIMITS: ArchiveLimits = {
  ...DEFAULT_ARCHIVE_LIMITS,
  entries: 5 * DEFAULT_ARCHIVE_LIMITS.entries,
  ratio: 10 * DEFAULT_ARCHIVE_LIMITS.ratio,
};

/**
 * Writes the archive of everything below `root`, which nobody else writes to, to `target`.
 * @throws ArchiveError when the tree holds more than a run would take
 */
export async function packTree(
  root: string,
  target: string,
  signal: AbortSignal,
): Promise<Packed> {
  const guard = new ArchiveGuard(BUILD_LIMITS, Infinity);
  const paths = await listTree(root, guard);
  const hash = createHash("sha256");
  let size = 0;
  await pipeline(
    tarOf(root, paths),
    createGzip({ level: 6 }),
    async function* (stream: AsyncIterable<Uint8Array>) {
      for await (const chunk of stream) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(target),
    { signal },
  );
  return { size, checksum: `sha256:${hash.digest("hex")}`, entries: paths.length };
}

/**
 * The tree as tar. Headers are the library's; files are read here, one at a time, since its own reader leaves one open when it is
 * broken off, and with it the room on the disk that the file takes after it was removed.
 */
async function* tarOf(root: string, paths: string[]): AsyncGenerator<Uint8Array> {
  for (const path of paths) {
    const { isDirectory, mode, size } = await Deno.lstat(join(root, path));
    const values: HeaderData = {
      path: isDirectory ? `${path}/` : path,
      type: isDirectory ? "Directory" : "File",
      mode: isDirectory || (mode! & 0o100) !== 0 ? 0o755 : 0o644,
      size: isDirectory ? 0 : size,
      // Neither owners nor times, and the same header on every system.
      mtime: new Date(0),
    };
    const header = new Header(values);
    if (header.encode()) yield new Pax({ path: values.path, size: values.size }).encode();
    yield header.block!;
    if (isDirectory) continue;
    using file = await Deno.open(join(root, path));
    let left = size;
    while (left > 0) {
      const chunk = new Uint8Array(Math.min(CHUNK, left));
      const length = await file.read(chunk);
      if (length === null) throw new Error(`${path} became shorter while it was packed`);
      left -= length;
      yield chunk.subarray(0, length);
    }
    yield new Uint8Array((BLOCK - size % BLOCK) % BLOCK);
  }
  yield new Uint8Array(2 * BLOCK);
}

/** Paths of files and folders in one order everywhere, a folder before what is in it. */
async function listTree(root: string, guard: ArchiveGuard): Promise<string[]> {
  const paths: string[] = [];
  const walk = async (prefix: string) => {
    const entries = [...Deno.readDirSync(join(root, prefix))];
    for (const entry of entries.toSorted((a, b) => a.name < b.name ? -1 : 1)) {
      const path = `${prefix}${entry.name}`;
      if (entry.isDirectory) {
        guard.admit(path, "directory");
        paths.push(path);
        await walk(`${path}/`);
      } else if (entry.isFile) {
        guard.admit(path, "file");
        const { size } = await Deno.lstat(join(root, path));
        guard.counted(size, path);
        paths.push(path);
      }
    }
  };
  await walk("");
  return paths;
}
