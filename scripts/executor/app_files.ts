/** Brings a version's files to this host: streamed to disk, checked, extracted. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  ArchiveError,
  type ArchiveLimits,
  DEFAULT_ARCHIVE_LIMITS,
  extractArchive,
  sniffArchive,
  type TreeLimits,
  TreeWriter,
} from "./archives/mod.ts";
import { ArchiveGuard } from "./archives/policy.ts";
import { AppError } from "./definition.ts";
import { unbroken } from "./sandbox/unbroken.ts";
import { type AppFile, persistently, type Service, ServiceError } from "./service.ts";

/** What storage gave is not what was uploaded: not the app's fault, and another attempt may do better. */
export class IntegrityError extends Error {
  override name = "IntegrityError";
}

/** What all files of a version may hold together, in whole archives: each of many could be as large as one may be. */
const ARCHIVES_WORTH = 2;

/** Archives of these types hold the app; later ones lie over earlier ones. Files of other types stay as they are. */
const ARCHIVE_TYPES = ["source", "build", "dist"];

/**
 * Writes the version's files below `appDir`: archives extracted, single files at their paths.
 * @param app folder: what the names of the version's objects begin with; scratchDir: for the archives while they are extracted, from which they are removed
 * @throws AppError when the files cannot make an app, IntegrityError when they are damaged
 */
export async function pullApp(
  service: Service,
  files: AppFile[],
  app: { folder: string; appDir: string; scratchDir: string; limits?: ArchiveLimits },
  signal: AbortSignal,
): Promise<void> {
  if (files.length === 0) throw new AppError("The version has no files.");
  const { totalBytes, entries } = app.limits ?? DEFAULT_ARCHIVE_LIMITS;
  const bounds: TreeLimits = {
    bytes: ARCHIVES_WORTH * totalBytes,
    entries: ARCHIVES_WORTH * entries,
  };
  if (files.reduce((sum, { file_size }) => sum + file_size, 0) > bounds.bytes) {
    throw new AppError(`The version's files have more than ${bounds.bytes} bytes together.`);
  }
  const tree = new TreeWriter(app.appDir, bounds);
  const single: { file: AppFile; path: string; name: string }[] = [];
  const rank = ({ file_type }: AppFile) => ARCHIVE_TYPES.indexOf(file_type);
  for (const [index, file] of files.toSorted((a, b) => rank(a) - rank(b)).entries()) {
    if (!file.file_path.startsWith(app.folder)) {
      throw new AppError(`The file ${file.file_path} is not in the version's folder.`);
    }
    const path = join(app.scratchDir, `file-${index}`);
    await persistently(() => fetchFile(service, file, path, signal), signal);
    if (rank(file) >= 0 && await sniffArchive(path) !== null) {
      await extract(path, tree, file, app.limits, signal);
      await Deno.remove(path);
    } else {
      single.push({ file, path, name: file.file_path.slice(app.folder.length) });
    }
  }
  await placeSingleFiles(single, tree);
}

async function fetchFile(
  service: Service,
  file: AppFile,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash("sha256");
  let size = 0;
  const target = await Deno.open(path, { write: true, create: true, truncate: true });
  try {
    const content = await service.download(file.file_path, signal);
    const broken = ({ message }: Error) =>
      new ServiceError(`storage: ${file.file_path} broke off: ${message}`, 0);
    for await (const chunk of unbroken(content, broken)) {
      size += chunk.length;
      if (size > file.file_size) break;
      hash.update(chunk);
      for (let at = 0; at < chunk.length;) at += await target.write(chunk.subarray(at));
    }
  } finally {
    target.close();
  }
  if (size !== file.file_size || `sha256:${hash.digest("hex")}` !== file.checksum) {
    throw new IntegrityError(
      `The stored file ${file.file_path} does not have the size and checksum it was uploaded with.`,
    );
  }
}

async function extract(
  path: string,
  tree: TreeWriter,
  file: AppFile,
  limits: ArchiveLimits | undefined,
  signal: AbortSignal,
): Promise<void> {
  try {
    await extractArchive(path, tree, { limits, signal });
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    throw new AppError(
      `The archive ${file.file_path.split("/").pop()} is refused: ${error.message}.`,
    );
  }
}

async function placeSingleFiles(
  files: { path: string; name: string }[],
  tree: TreeWriter,
): Promise<void> {
  const guard = new ArchiveGuard(DEFAULT_ARCHIVE_LIMITS, Infinity);
  for (const { path, name } of files) {
    try {
      const clean = guard.admit(name, "file");
      const { readable } = await Deno.open(path);
      // What is refused before it is read would stay open.
      await tree.file(clean, readable, false).finally(() => readable.cancel().catch(() => {}));
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      throw new AppError(`A file of the version cannot be placed: ${error.message}.`);
    }
    await Deno.remove(path);
  }
}
