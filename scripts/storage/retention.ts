/**
 * `npm run storage:retention [-- options]`: deletes what is older than the policies in `retention_policies` keep it, rows and
 * objects, and what is of no more use (docs/storage.md).
 *
 *   --dry-run    say what would go, and delete nothing
 *   --limit N    rows, and objects, at most (default 10000)
 *   --json       the report as one JSON document
 *
 * The project is the one of SUPABASE_URL and SUPABASE_SECRET_KEY, or else this checkout's stack. Exit code 1: Storage did not
 * delete some objects; they are tried again by the next call.
 */
import { applyRetention, type RetentionReport } from "./apply_retention.ts";
import { connect, readOptions, runCommand, wholeNumber } from "./project.ts";

const DEFAULT_LIMIT = "10000";

function describe(report: RetentionReport): string[] {
  const lines = report.retired.map(({ kind, company_id, app_id, rows, objects, bytes }) =>
    `${kind.padEnd(20)} ${String(rows).padStart(7)} rows ${String(objects).padStart(7)} objects ${
      String(bytes).padStart(12)
    } bytes${company_id ? `  company ${company_id} app ${app_id}` : ""}`
  );
  if (lines.length === 0) lines.push("Nothing is older than it is kept.");
  if (report.dry_run) return [...lines, "Nothing was deleted: this was a dry run."];
  lines.push(
    `${report.deleted_objects} objects deleted, ${report.failed_objects} not, ${report.queued_objects} queued.`,
  );
  return [...lines, ...report.errors.map((error) => `Storage: ${error}`)];
}

await runCommand(async () => {
  const options = readOptions({
    "dry-run": { type: "boolean", default: false },
    "limit": { type: "string", default: DEFAULT_LIMIT },
    "json": { type: "boolean", default: false },
  });
  const report = await applyRetention(await connect(), {
    limit: wholeNumber("limit", options.limit, 1),
    dryRun: options["dry-run"],
  });
  console.log(options.json ? JSON.stringify(report) : describe(report).join("\n"));
  return report.failed_objects > 0 ? 1 : 0;
});
