/** Buckets and the shapes of object names in them. */
export const APP_STORAGE = "app-storage";
export const APP_LOGS = "app-logs";

export type Bucket = typeof APP_STORAGE | typeof APP_LOGS;

/**
 * Where an upload waits while it is verified. The caller's signed URL is for the staging path; a file under this name
 * can no longer be replaced by whoever holds that URL.
 */
export function verifyingPath(stagingPath: string): string {
  return `${stagingPath}.verifying`;
}

/** The bucket of a path when the caller does not say: logs of runs and builds are in one, all else is in the other. */
export function bucketOfPath(path: string): Bucket {
  return /^app_[^/]+\/(runs|builds)\/[^/]+\/[^/]+\.log$/.test(path) ? APP_LOGS : APP_STORAGE;
}

/** Where resumable uploads begin that carry a signed upload's token, below the project's URL. */
export const SIGNED_RESUMABLE_PATH = "/storage/v1/upload/resumable/sign";
