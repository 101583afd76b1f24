/** `npm run storage:retention`: deletes what is older than its policy keeps it. */
import { applyRetention, type RetentionReport } from "./apply_retention.ts";
import { runCommand, wholeNumber } from "../command/command.ts";
import { connect } from "../command/project.ts";

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

const COMMAND = {
  name: "storage:retention",
  usage: "[--dry-run] [--limit N] [--json]",
  help: `
Deletes what is older than the policies in retention_policies keep it, rows and objects, and what is of no more use
(docs/storage.md).

  --dry-run    say what would go, and delete nothing
  --limit N    rows, and objects, at most (default ${DEFAULT_LIMIT})
  --json       the report as one JSON document

The project is the one of SUPABASE_URL and SUPABASE_SECRET_KEY, or else this checkout's stack.
Exit codes: 0 done; 1 Storage did not delete some objects, which the next call tries again; 2 it could not be done.`,
  options: {
    "dry-run": { type: "boolean", default: false },
    "limit": { type: "string", default: DEFAULT_LIMIT },
    "json": { type: "boolean", default: false },
  },
  failed: 2,
} as const;

await runCommand(COMMAND, async ({ values }) => {
  const limit = wholeNumber("limit", values.limit, 1);
  const report = await applyRetention(await connect(), { limit, dryRun: values["dry-run"] });
  console.log(values.json ? JSON.stringify(report) : describe(report).join("\n"));
  return report.failed_objects > 0 ? 1 : 0;
});
