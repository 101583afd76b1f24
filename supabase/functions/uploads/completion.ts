import { AppError } from "../_shared/errors.ts";
import { VERIFICATION_DEADLINE_MS } from "../_shared/limits.ts";
import type { FileType } from "../_shared/media_types.ts";
import { toAppError } from "../_shared/problem.ts";
import { verifyingPath } from "../_shared/storage_paths.ts";
import { type Declared, inspect, type Inspection } from "./content/inspect.ts";
import type { CallerStore, ServiceStore, StoredFile, Upload } from "./store.ts";

export interface Completed {
  upload: Upload;
  file: StoredFile;
}

/**
 * Verifies what was uploaded and makes it a file of its version. One request at a time holds an upload, for a lease; each
 * step finds what an earlier request that died has left, so that repeating the call is always right:
 *
 * 1. the staged object is moved away from where the caller's signed URL can replace it;
 * 2. its content is inspected;
 * 3. it is moved to its final path, in place of the draft's earlier file if there is one;
 * 4. the file's row, the version's manifest and the end of the upload are one transaction.
 *
 * Content that is refused is removed and the upload failed. When something of ours fails, the upload is let go, and the
 * same call may be repeated.
 */
export async function completeUpload(
  id: string,
  caller: CallerStore,
  service: ServiceStore,
  deadline: AbortSignal = AbortSignal.timeout(VERIFICATION_DEADLINE_MS),
): Promise<Completed> {
  const upload = await caller.startVerification(id);
  if (upload.status === "completed") {
    return { upload, file: await service.file(upload.file_id!) };
  }
  const file = await verifyAndPlace(upload, service, deadline).catch(async (thrown) => {
    throw await giveUp(upload, service, deadline.aborted ? tooSlow(thrown) : toAppError(thrown));
  });
  const [completed] = await Promise.all([
    caller.find(id),
    // The caller's URL may have been used once more meanwhile.
    service.remove([upload.staging_path!, verifyingPath(upload.staging_path!)]).catch(() => {}),
  ]);
  return { upload: completed, file };
}

async function verifyAndPlace(
  upload: Upload,
  service: ServiceStore,
  deadline: AbortSignal,
): Promise<StoredFile> {
  const { path, size } = await secure(upload, service);
  const placed = path === upload.file_path;
  let inspection: Inspection;
  try {
    inspection = await inspect(service.source(path, size, deadline), declaredOf(upload));
  } catch (error) {
    // What is at the final path is the draft's earlier file: nothing has arrived since.
    if (placed && isRefusal(error)) {
      throw new AppError("upload_not_received", undefined, { cause: error });
    }
    throw error;
  }
  deadline.throwIfAborted();
  if (!placed) {
    await place(path, upload.file_path, service, () => service.check(upload, inspection));
  }
  return await service.complete(upload, inspection).catch(async (error) => {
    if (isDefinite(error)) await unplace(upload, service);
    throw error;
  });
}

/** Finds the uploaded object, out of the caller's reach. */
async function secure(
  upload: Upload,
  service: ServiceStore,
): Promise<{ path: string; size: number }> {
  const held = verifyingPath(upload.staging_path!);
  // Whatever comes of it: what an earlier request has moved there is what counts.
  await service.move(upload.staging_path!, held);
  let size = await service.sizeOf(held);
  if (size !== null) return { path: held, size };
  // An earlier request may have come as far as the final path.
  size = await service.sizeOf(upload.file_path);
  if (size === null || size !== upload.file_size) throw new AppError("upload_not_received");
  return { path: upload.file_path, size };
}

/**
 * Replaced, the earlier file is there until the new one is: a copy takes its place at once, where moves do not. It is gone
 * for good then, so that whatever could still be refused is refused before.
 */
async function place(
  from: string,
  to: string,
  service: ServiceStore,
  check: () => Promise<void>,
): Promise<void> {
  const outcome = await service.move(from, to);
  if (outcome === "exists") {
    await check();
    return await service.copyOver(from, to);
  }
  if (outcome === "missing") {
    throw new AppError("unavailable", undefined, { cause: new Error(`${from} is gone`) });
  }
}

/** Takes back an object that no row came to name. */
async function unplace(upload: Upload, service: ServiceStore): Promise<void> {
  if (!await service.isRecorded(upload.file_path)) await service.remove([upload.file_path]);
}

/** Leaves nothing behind that would stand in the way of the next attempt. Returns what to tell the caller. */
async function giveUp(upload: Upload, service: ServiceStore, error: AppError): Promise<AppError> {
  if (error.entry.fault === "caller" && error.code !== "upload_not_received") {
    try {
      // Objects first: should this stop in between, repeating the call finds the upload as it was.
      await service.remove([upload.staging_path!, verifyingPath(upload.staging_path!)]);
      await service.fail(upload.id, error.code, error.message);
      return error;
    } catch (failure) {
      error = toAppError(failure);
    }
  }
  // If this fails too, the lease runs out by itself.
  await service.release(upload.id).catch(() => {});
  return error;
}

/** The file itself was refused. */
function isRefusal(error: unknown): boolean {
  return error instanceof AppError && (error.entry.status === 422 || error.entry.status === 413);
}

/** The caller's fault: the same call would end the same way. */
function isDefinite(error: unknown): boolean {
  return error instanceof AppError && error.entry.fault === "caller";
}

function tooSlow(cause: unknown): AppError {
  return new AppError("unavailable", "The file could not be read in time.", { cause });
}

function declaredOf(upload: Upload): Declared {
  return {
    fileName: upload.file_name,
    fileType: upload.file_type as FileType,
    contentType: upload.content_type,
    size: upload.file_size,
    checksum: upload.checksum,
    version: upload.version,
  };
}
