/** Brings a version's files to this host: streamed to disk, checked, extracted. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  ArchiveError,
  type ArchiveLimits,
  DEFAULT_ARCHIVE_LIMITS,
  extractArchive,
  sniffArchive,
  TreeWriter,
} from "./archives/mod.ts";
import { ArchiveGuard } from "./archives/policy.ts";
import { AppError } from "./definition.ts";
import { type AppFile, persistently, type Service } from "./service.ts";

/** What storage gave is not what was uploaded: not the app's fault, and another attempt may do better. */
export class IntegrityError extends Error {
  override name = "IntegrityError";
}

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
  const single: { file: AppFile; path: string; name: string }[] = [];
  const rank = ({ file_type }: AppFile) => ARCHIVE_TYPES.indexOf(file_type);
  for (const [index, file] of files.toSorted((a, b) => rank(a) - rank(b)).entries()) {
    if (!file.file_path.startsWith(app.folder)) {
      throw new AppError(`The file ${file.file_path} is not in the version's folder.`);
    }
    const path = join(app.scratchDir, `file-${index}`);
    await persistently(() => fetchFile(service, file, path, signal), signal);
    if (rank(file) >= 0 && await sniffArchive(path) !== null) {
      await extract(path, app.appDir, file, app.limits, signal);
      await Deno.remove(path);
    } else {
      single.push({ file, path, name: file.file_path.slice(app.folder.length) });
    }
  }
  await placeSingleFiles(single, app.appDir);
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
    for await (const chunk of await service.download(file.file_path, signal)) {
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
  root: string,
  file: AppFile,
  limits: ArchiveLimits | undefined,
  signal: AbortSignal,
): Promise<void> {
  try {
    await extractArchive(path, root, { limits, signal });
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    throw new AppError(
      `The archive ${file.file_path.split("/").pop()} is refused: ${error.message}.`,
    );
  }
}

async function placeSingleFiles(
  files: { path: string; name: string }[],
  root: string,
): Promise<void> {
  const guard = new ArchiveGuard(DEFAULT_ARCHIVE_LIMITS, Infinity);
  const tree = new TreeWriter(root);
  for (const { path, name } of files) {
    let clean: string;
    try {
      clean = guard.admit(name, "file");
    } catch (error) {
      throw new AppError(`A file of the version cannot be placed: ${(error as Error).message}.`);
    }
    const content = await Deno.open(path);
    await tree.file(clean, content.readable, false);
    await Deno.remove(path);
  }
}
