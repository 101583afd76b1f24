/** `npm run import:packages`: legacy files to packages. */
import { runCommand, wholeNumber } from "../command/command.ts";
import { CommandError, UsageError } from "../command/errors.ts";
import { connect } from "../command/project.ts";
import { isId } from "../../supabase/functions/_shared/ids.ts";
import { importPackages, type ImportReport } from "./import.ts";
import { progressBar } from "./progress.ts";
import { defaultRollbackPath, rollBack, RollbackFile } from "./rollback.ts";

const MOST_LISTED = 50;
const MOST_AT_ONCE = 64;

const COMMAND = {
  name: "import:packages",
  usage: "--from DIR [--company ID] [--dry-run] […], or --undo FILE",
  help: `
Legacy files to packages. Begin it again whenever it was interrupted: what is there is skipped, and never changed.

  --from DIR          holds {namespace}/{name}/{version}/{name}-{version}.yaml
  --company ID        gets the namespaces that nobody has; those of other companies are refused. Without it, files go to
                      whoever has their namespace
  --dry-run           says what would be, and changes nothing
  --visibility V      of new packages: private (default) or public
  --concurrency N     files at the same time, 1 to ${MOST_AT_ONCE} (default 8)
  --report FILE       the report as JSON
  --rollback-file F   where to note what was brought (default: a new file in ~/.local/state/stowage/imports)
  --undo FILE         takes back what such a file names, instead of importing

The project is the one of SUPABASE_URL and SUPABASE_SECRET_KEY, or else this checkout's stack.
Exit codes: 0 all is there; 1 something was invalid, missing, or there with other content; 2 it could not be done.`,
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
  failed: 2,
} as const;

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

await runCommand(COMMAND, async ({ values }) => {
  if (values.undo !== undefined) {
    const { removed, gone } = await rollBack(await connect(), values.undo);
    console.log(`${removed} versions taken back, ${gone} were gone already`);
    return 0;
  }
  const { visibility, from, company: companyId } = values;
  const dryRun = values["dry-run"];
  if (from === undefined) throw new UsageError("--from DIR is needed.");
  if (visibility !== "private" && visibility !== "public") {
    throw new UsageError(`--visibility takes private or public, not ${visibility}.`);
  }
  if (companyId !== undefined && !isId(companyId)) {
    throw new UsageError(`--company takes the id of a company, not ${companyId}.`);
  }
  const concurrency = wholeNumber("concurrency", values.concurrency, 1, MOST_AT_ONCE);
  await requireDirectory(from);
  const service = await connect();
  const rollback = new RollbackFile(
    values["rollback-file"] ?? defaultRollbackPath(Deno.env.toObject()),
  );
  let report: ImportReport | undefined;
  try {
    report = await importPackages(service, {
      ...{ from, dryRun, concurrency, visibility, companyId, rollback },
      onProgress: progressBar(),
    });
    print(report);
  } finally {
    if (await rollback.close(report !== undefined)) {
      console.log(`to take it back: npm run import:packages -- --undo ${quoted(rollback.path)}`);
    }
  }
  if (values.report) await Deno.writeTextFile(values.report, JSON.stringify(report, null, 2));
  const { missing, invalid, conflicts } = report;
  return missing.length + invalid.length + conflicts.length > 0 ? 1 : 0;
});

async function requireDirectory(path: string): Promise<void> {
  const isDirectory = await Deno.stat(path).then((info) => info.isDirectory, () => false);
  if (!isDirectory) throw new CommandError(`--from ${path}: there is no such directory.`);
}

/** As a shell takes it for one word. */
function quoted(path: string): string {
  return /^[\w./:+-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
