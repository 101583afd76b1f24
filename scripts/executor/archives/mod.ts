/** Safe extraction of the archives that apps are uploaded as. */
import { ArchiveError, type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from "./policy.ts";
import { visitTar } from "./tar.ts";
import { TreeWriter } from "./tree.ts";
import { visitZip } from "./zip.ts";

export {
  ArchiveError,
  type ArchiveErrorCode,
  type ArchiveLimits,
  DEFAULT_ARCHIVE_LIMITS,
} from "./policy.ts";
export { type TreeLimits, TreeWriter } from "./tree.ts";

export type ArchiveFormat = "zip" | "tar" | "tar.gz";

/** The archive's format by its content (a name or a content type is only a claim), or null. */
export async function sniffArchive(path: string): Promise<ArchiveFormat | null> {
  const head = new Uint8Array(512);
  const file = await Deno.open(path);
  let length = 0;
  try {
    while (length < head.length) {
      const n = await file.read(head.subarray(length));
      if (n === null) break;
      length += n;
    }
  } finally {
    file.close();
  }
  if (head[0] === 0x50 && head[1] === 0x4b && (head[2] === 3 || head[2] === 5)) return "zip";
  if (head[0] === 0x1f && head[1] === 0x8b) return "tar.gz";
  if (length === 512 && new TextDecoder().decode(head.subarray(257, 262)) === "ustar") return "tar";
  return null;
}

/**
 * Extracts a zip, tar or tar.gz into `root`, a folder or what writes to one. On an error what was written so far remains: the caller owns and removes the directory.
 * @throws ArchiveError when the archive breaks a rule; other errors are the disk's
 */
export async function extractArchive(
  path: string,
  root: string | TreeWriter,
  options: { limits?: ArchiveLimits; signal?: AbortSignal } = {},
): Promise<void> {
  const limits = options.limits ?? DEFAULT_ARCHIVE_LIMITS;
  const tree = typeof root === "string" ? new TreeWriter(root) : root;
  const format = await sniffArchive(path);
  if (format === "zip") return await visitZip(path, limits, tree, options.signal);
  if (format !== null) {
    return await visitTar(path, format === "tar.gz", limits, tree, options.signal);
  }
  throw new ArchiveError("unknown_format", "the file is neither a zip nor a tar archive");
}
