/** Policies applied until nothing is left to do, or as much was done as was allowed. */
import { sweepDeletions } from "../../supabase/functions/_shared/object_deletions.ts";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import { answered, type Client } from "../command/project.ts";

/** What went, or would go, of one kind, company and app. */
export type Retired = Database["public"]["Functions"]["apply_retention"]["Returns"][number];

export interface RetentionReport {
  dry_run: boolean;
  retired: Retired[];
  /** Objects that Storage deleted, also of what was queued before. */
  deleted_objects: number;
  /** Objects that it did not; the next call tries again. */
  failed_objects: number;
  errors: string[];
  /** Objects whose deletion is queued still: for later, or because of the limit. */
  queued_objects: number;
}

/** Rows in one transaction. */
const BATCH = 500;
/** A dry run looks at so many rows at most. */
const MAX_DRY_RUN = 10_000;

/**
 * Deletes what is older than its policy keeps it: rows first, at most `limit`, then as many queued objects, through the
 * Storage API. It may be stopped, or die, anywhere: the next call goes on.
 */
export async function applyRetention(
  client: Client,
  { limit, dryRun = false, signal }: { limit: number; dryRun?: boolean; signal?: AbortSignal },
): Promise<RetentionReport> {
  const retired: Retired[] = [];
  const apply = async (max_rows: number) => {
    const found = answered(
      await client.rpc("apply_retention", { max_rows, dry_run: dryRun }),
    );
    addUp(retired, found);
    return found.reduce((sum, { rows }) => sum + rows, 0);
  };
  if (dryRun) {
    await apply(Math.min(limit, MAX_DRY_RUN));
  } else {
    for (let left = limit; left > 0 && !signal?.aborted;) {
      const rows = await apply(Math.min(left, BATCH));
      if (rows === 0) break;
      left -= rows;
    }
  }
  const swept = dryRun
    ? { deleted: 0, failed: 0, errors: [] }
    : await sweepDeletions(client, limit, signal);
  const [backlog] = answered(await client.rpc("object_deletion_backlog"));
  return {
    dry_run: dryRun,
    retired,
    deleted_objects: swept.deleted,
    failed_objects: swept.failed,
    errors: swept.errors,
    queued_objects: backlog.waiting,
  };
}

/** One bounded step of it. Answers how many rows and objects went. */
export async function retireOnce(client: Client, signal: AbortSignal): Promise<number> {
  const report = await applyRetention(client, { limit: BATCH, signal });
  return report.retired.reduce((sum, { rows }) => sum + rows, report.deleted_objects);
}

function addUp(sums: Retired[], found: Retired[]): void {
  for (const entry of found) {
    const sum = sums.find((each) =>
      each.kind === entry.kind && each.company_id === entry.company_id &&
      each.app_id === entry.app_id
    );
    if (!sum) {
      sums.push({ ...entry });
      continue;
    }
    sum.rows += entry.rows;
    sum.objects += entry.objects;
    sum.bytes += entry.bytes;
  }
}
