/** Packs a tree into a tar.gz whose bytes depend on nothing but the tree. */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { create } from "tar";
import { ArchiveGuard, type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from "./archives/policy.ts";

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
 * Writes the archive of everything below `root` to `target`.
 * @throws ArchiveError when the tree holds more than a run would take
 */
export async function packTree(root: string, target: string): Promise<Packed> {
  const guard = new ArchiveGuard(BUILD_LIMITS, Infinity);
  const paths = await listTree(root, guard);
  const archive = create(
    {
      cwd: root,
      // Neither owners nor times, and the same header on every system.
      portable: true,
      mtime: new Date(0),
      gzip: { level: 6 },
      noDirRecurse: true,
      // The order is ours.
      jobs: 1,
    },
    // A name that begins with @ would be taken for an archive to be included.
    paths.map((path) => `./${path}`),
  );
  const hash = createHash("sha256");
  let size = 0;
  archive.on("data", (chunk: Uint8Array) => {
    hash.update(chunk);
    size += chunk.length;
  });
  await pipeline(archive as unknown as NodeJS.ReadableStream, createWriteStream(target));
  return { size, checksum: `sha256:${hash.digest("hex")}`, entries: paths.length };
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
