import type { Client } from "./caller.ts";
import { fromDatabase } from "./upstream_errors.ts";

/** How long a claim is good for, and how much of that may pass before Storage is not asked any more. */
const LEASE_SECONDS = 300;
const STORAGE_TIMEOUT_MS = 120_000;
/** Names in one claim, and in one request to Storage. */
const BATCH = 500;

export interface SweepReport {
  /** Objects that are gone now. */
  deleted: number;
  /** Objects that Storage did not delete; they are due again when the claim ends. */
  failed: number;
  /** Why, each reason once. */
  errors: string[];
}

/**
 * Deletes objects whose deletion is queued: claims names, removes them through the Storage API, clears the queue. Whatever
 * it dies of, what it claimed is due again when the claim's lease ends; deleting twice does no harm. It ends when Storage
 * deletes nothing of a claim: then it is down, and the next call goes on.
 *
 * @param max at most so many objects
 * @param signal stops between two batches
 */
export async function sweepDeletions(
  client: Client,
  max: number,
  signal?: AbortSignal,
): Promise<SweepReport> {
  const report: SweepReport = { deleted: 0, failed: 0, errors: [] };
  for (let left = max; left > 0 && !signal?.aborted;) {
    const { data: claimed, error } = await client.rpc("claim_object_deletions", {
      max_objects: Math.min(left, BATCH),
      lease: `${LEASE_SECONDS} seconds`,
    });
    if (error) throw fromDatabase(error);
    if (claimed.length === 0) break;
    left -= claimed.length;
    // A request that is answered too late would find its names taken again.
    const late = AbortSignal.timeout(STORAGE_TIMEOUT_MS);
    const before = report.deleted;
    for (const [bucket, entries] of Map.groupBy(claimed, ({ bucket_id }) => bucket_id)) {
      await deleteFrom(client, bucket, entries, late, report);
    }
    if (report.deleted === before) break;
  }
  return report;
}

async function deleteFrom(
  client: Client,
  bucket: string,
  entries: { claim_id: string; name: string }[],
  late: AbortSignal,
  report: SweepReport,
): Promise<void> {
  const names = entries.map(({ name }) => name);
  const removal = client.storage.from(bucket).remove(names);
  const { error } = await Promise.race([removal, timeout(late)]);
  if (error) {
    noteFailure(report, names.length, error.message);
    return;
  }
  const finished = await client.rpc("finish_object_deletions", {
    claim_id: entries[0].claim_id,
    bucket_id: bucket,
    names,
  });
  if (finished.error) throw fromDatabase(finished.error);
  report.deleted += finished.data;
  const kept = names.length - finished.data;
  if (kept > 0) noteFailure(report, kept, `${bucket} has not deleted all that it was told to.`);
}

function noteFailure(report: SweepReport, objects: number, reason: string): void {
  report.failed += objects;
  if (!report.errors.includes(reason)) report.errors.push(reason);
}

function timeout(signal: AbortSignal): Promise<{ error: Error }> {
  return new Promise((resolve) => {
    const say = () => resolve({ error: new Error("Storage did not answer in time.") });
    if (signal.aborted) say();
    else signal.addEventListener("abort", say, { once: true });
  });
}
