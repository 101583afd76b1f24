/**
 * `npm run import:packages -- --from DIR [options]`: legacy files to packages.
 *
 *   --from DIR          holds {namespace}/{name}/{version}/{name}-{version}.yaml
 *   --dry-run           says what would be, and changes nothing
 *   --visibility V      of new packages: private (default) or public
 *   --company ID        gets the namespaces that nobody has
 *   --concurrency N     files at the same time, 8 by default
 *   --report FILE       the report as JSON
 *   --rollback-file F   where to note what was brought; import-<time>.rollback.jsonl by default
 *   --undo FILE         takes back what such a file names, instead of importing
 *
 * SUPABASE_URL and SUPABASE_SECRET_KEY say which project. Begin it again whenever it was interrupted. Exits with 1 if
 * anything was invalid, missing, or there with other content.
 */
import { parseArgs } from "node:util";
import { importPackages, type ImportReport } from "./import.ts";
import { progressBar } from "./progress.ts";
import { connect } from "./registry.ts";
import { rollBack, RollbackFile } from "./rollback.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    from: { type: "string" },
    "dry-run": { type: "boolean", default: false },
    visibility: { type: "string", default: "private" },
    company: { type: "string" },
    concurrency: { type: "string", default: "8" },
    report: { type: "string" },
    "rollback-file": { type: "string" },
    undo: { type: "string" },
  },
});

const MOST_LISTED = 50;

function fail(message: string): never {
  console.error(message);
  Deno.exit(2);
}

function print(report: ImportReport): void {
  const rows: Array<[string, number]> = [
    [report.dry_run ? "would migrate" : "migrated", report.migrated],
    ["skipped", report.skipped],
    ["missing", report.missing.length],
    ["invalid", report.invalid.length],
    ["conflicts", report.conflicts.length],
  ];
  for (const [name, count] of rows) console.log(`${name.padEnd(14)}${String(count).padStart(8)}`);
  console.log(
    `${report.total} files in ${report.seconds.toFixed(1)} s, ` +
      `${report.files_per_second.toFixed(0)} a second`,
  );
  for (const kind of ["missing", "invalid", "conflicts"] as const) {
    for (const { path, reason } of report[kind].slice(0, MOST_LISTED)) {
      console.log(`${kind}: ${path}: ${reason}`);
    }
  }
}

const url = Deno.env.get("SUPABASE_URL") ?? fail("SUPABASE_URL is not set.");
const key = Deno.env.get("SUPABASE_SECRET_KEY") ?? fail("SUPABASE_SECRET_KEY is not set.");
const service = connect(url, key);

if (values.undo !== undefined) {
  const { removed, gone } = await rollBack(service, values.undo);
  console.log(`${removed} versions taken back, ${gone} were gone already`);
  Deno.exit(0);
}

const { visibility } = values;
const concurrency = Number(values.concurrency);
if (values.from === undefined) fail("--from DIR is needed.");
if (visibility !== "private" && visibility !== "public") fail("--visibility: private or public.");
if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 64) {
  fail("--concurrency takes 1 to 64.");
}

const rollback = values["dry-run"] ? undefined : await RollbackFile.open(
  values["rollback-file"] ??
    `import-${new Date().toISOString().replaceAll(":", "-")}.rollback.jsonl`,
);
try {
  const report = await importPackages(service, {
    from: values.from,
    dryRun: values["dry-run"],
    concurrency,
    visibility,
    companyId: values.company,
    rollback,
    onProgress: progressBar(),
  });
  print(report);
  if (values.report) await Deno.writeTextFile(values.report, JSON.stringify(report, null, 2));
  const { missing, invalid, conflicts } = report;
  Deno.exitCode = missing.length + invalid.length + conflicts.length > 0 ? 1 : 0;
} finally {
  rollback?.close();
}
