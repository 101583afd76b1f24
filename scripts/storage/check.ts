/** `npm run storage:check`: do the tables and Storage agree? */
import { type AuditReport, auditStorage, type Finding } from "./audit.ts";
import { runCommand, wholeNumber } from "../command/command.ts";
import { connect } from "../command/project.ts";

const DEFAULT_MIN_AGE = "86400";

function describeFinding({ problem, source, id, bucket, name, detail, repair }: Finding): string {
  const what = name === undefined ? `${source} of company ${id}` : `${bucket}/${name}`;
  const row = name !== undefined && id !== undefined ? ` (${source} ${id})` : "";
  return `${problem.padEnd(18)} ${what}${row}: ${detail}${repair ? ` – ${repair}` : ""}`;
}

function describe(report: AuditReport, repair: boolean): string {
  const { objects, rows, checksums, findings, left } = report;
  const looked = `${objects} objects, ${rows} rows, ${checksums} checksums: ${findings} findings`;
  return repair
    ? `${looked}, ${left} left; ${report.deleted_objects} objects deleted.`
    : `${looked}.`;
}

const COMMAND = {
  name: "storage:check",
  usage: "[--repair] [--verify-checksums] [--min-age S] [--json]",
  help: `
Do the tables and Storage agree? Finds rows without objects, objects without rows, sizes and checksums that differ, and
usage that does not add up.

  --repair             do what can be done about it: see docs/storage.md
  --verify-checksums   read every file and build, and compare its SHA-256
  --min-age S          seconds that an object without a row must be old (default ${DEFAULT_MIN_AGE}): younger ones may be under way
  --json               one JSON document a line: the findings, then the report

The project is the one of SUPABASE_URL and SUPABASE_SECRET_KEY, or else this checkout's stack.
Exit codes: 0 all is well, or was repaired; 1 something is not; 2 it could not be found out.`,
  options: {
    "repair": { type: "boolean", default: false },
    "verify-checksums": { type: "boolean", default: false },
    "min-age": { type: "string", default: DEFAULT_MIN_AGE },
    "json": { type: "boolean", default: false },
  },
  failed: 2,
} as const;

await runCommand(COMMAND, async ({ values: { json, repair, ...options } }) => {
  const minAgeSeconds = wholeNumber("min-age", options["min-age"], 0);
  const report = await auditStorage(await connect(), {
    repair,
    verifyChecksums: options["verify-checksums"],
    minAgeSeconds,
    onFinding: (finding) =>
      console.log(json ? JSON.stringify({ finding }) : describeFinding(finding)),
  });
  console.log(json ? JSON.stringify({ report }) : describe(report, repair));
  for (const error of json ? [] : report.errors) console.error(`Storage: ${error}`);
  return report.left > 0 || report.errors.length > 0 ? 1 : 0;
});
