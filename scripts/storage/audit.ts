/** Rows and objects compared, page by page, in memory that does not grow with either; and what can be done about it. */
import { createHash } from "node:crypto";
import { sweepDeletions } from "../../supabase/functions/_shared/object_deletions.ts";
import { isMissingObject } from "../../supabase/functions/_shared/upstream_errors.ts";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import { answered, type Client } from "../command/project.ts";

export type Problem =
  | "object_without_row"
  | "row_without_object"
  | "size_mismatch"
  | "checksum_mismatch"
  | "usage_mismatch";

export interface Finding {
  problem: Problem;
  /** The table, or the kind of usage. */
  source?: string;
  id?: string;
  bucket?: string;
  name?: string;
  detail: string;
  /** What was done: of objects `queued`, of rows what `repair_storage_row` says, of usage `noted`. */
  repair?: string;
}

export interface AuditReport {
  objects: number;
  rows: number;
  checksums: number;
  findings: number;
  /** Findings that are as they were: nobody asked for repair, or it cannot be done. */
  left: number;
  deleted_objects: number;
  /** What could not be looked at, or repaired, since the database or Storage did not do its part: each reason once. */
  errors: string[];
}

export interface AuditOptions {
  repair?: boolean;
  /** Reads every file, build and package, and hashes it. */
  verifyChecksums?: boolean;
  /** Objects younger than this may belong to something under way. */
  minAgeSeconds: number;
  /** Objects, and rows, in one call. */
  page?: number;
  onFinding(finding: Finding): void;
}

type AuditedRow = Database["public"]["Functions"]["audit_storage_rows"]["Returns"][number];

const BUCKETS = ["app-storage", "app-logs", "packages"];
const SOURCES = [
  "app_storage",
  "app_builds",
  "app_build_logs",
  "app_outputs",
  "package_versions",
  "package_files",
] as const;
type Source = typeof SOURCES[number];
const PAGE = 500;
const FIRST_ID = "00000000-0000-0000-0000-000000000000";

export async function auditStorage(client: Client, options: AuditOptions): Promise<AuditReport> {
  const report: AuditReport = {
    objects: 0,
    rows: 0,
    checksums: 0,
    findings: 0,
    left: 0,
    deleted_objects: 0,
    errors: [],
  };
  const note = (finding: Finding, done: boolean) => {
    report.findings++;
    if (!done) report.left++;
    options.onFinding(finding);
  };
  if (options.repair) answered(await client.rpc("expire_app_uploads", { max_uploads: 10_000 }));
  // Rows first: what their repair leaves of objects is queued, and not found once more.
  for (const source of SOURCES) await auditRows(client, source, options, report, note);
  for (const bucket of BUCKETS) await auditObjects(client, bucket, options, report, note);
  await auditUsage(client, options, note);
  if (options.repair) {
    const swept = await sweepDeletions(client, Infinity);
    report.deleted_objects = swept.deleted;
    for (const error of swept.errors) noteError(report, error);
  }
  return report;
}

type Note = (finding: Finding, done: boolean) => void;

function noteError(report: AuditReport, message: string): void {
  if (!report.errors.includes(message)) report.errors.push(message);
}

async function auditObjects(
  client: Client,
  bucket: string,
  { repair, minAgeSeconds, page = PAGE }: AuditOptions,
  report: AuditReport,
  note: Note,
): Promise<void> {
  const min_age = `${minAgeSeconds} seconds`;
  for (let after = "";;) {
    const objects = answered(
      await client.rpc("audit_storage_objects", {
        bucket_id: bucket,
        after,
        max_objects: page,
        min_age,
      }),
    );
    report.objects += objects.length;
    const orphans = objects.filter(({ problem }) => problem !== null);
    if (repair && orphans.length > 0) {
      const names = orphans.map(({ name }) => name);
      answered(await client.rpc("queue_orphans", { bucket_id: bucket, names, min_age }));
    }
    for (const { name, size, created_at } of orphans) {
      note({
        problem: "object_without_row",
        bucket,
        name,
        detail: `${size} bytes since ${created_at}`,
        ...(repair && { repair: "queued" }),
      }, repair ?? false);
    }
    if (objects.length < page) return;
    after = objects.at(-1)!.name;
  }
}

async function auditRows(
  client: Client,
  source: Source,
  options: AuditOptions,
  report: AuditReport,
  note: Note,
): Promise<void> {
  const { page = PAGE } = options;
  for (let after = FIRST_ID;;) {
    const rows = answered(
      await client.rpc("audit_storage_rows", { source, after, max_rows: page }),
    );
    report.rows += rows.length;
    for (const row of rows) {
      const found = await judge(client, source, row, options, report);
      if (!found) continue;
      const finding = { ...found, source, id: row.id, bucket: row.bucket_id, name: row.name };
      const repair = options.repair && await repairRow(client, source, row, found.problem, report);
      note(repair ? { ...finding, repair } : finding, Boolean(repair) && repair !== "kept");
    }
    if (rows.length < page) return;
    after = rows.at(-1)!.id;
  }
}

/** What became of it; nothing if the database could not do it now, which is told. */
async function repairRow(
  client: Client,
  source: Source,
  row: AuditedRow,
  problem: Problem,
  report: AuditReport,
): Promise<string | undefined> {
  const { data, error } = await client.rpc("repair_storage_row", {
    source,
    id: row.id,
    problem,
    ...(row.checksum !== null && { checksum: row.checksum }),
  });
  if (!error) return data;
  noteError(report, `${source} ${row.id} could not be repaired: ${error.message}`);
}

async function judge(
  client: Client,
  source: Source,
  row: AuditedRow,
  { verifyChecksums }: AuditOptions,
  report: AuditReport,
): Promise<Pick<Finding, "problem" | "detail"> | undefined> {
  const kept = row.kept ? ", of a released version" : "";
  if (row.problem === "row_without_object") {
    return { problem: row.problem, detail: `${row.row_size} bytes are missing${kept}` };
  }
  if (row.problem === "size_mismatch") {
    const detail = `${row.row_size} bytes in the row, ${row.object_size} in the object${kept}`;
    return { problem: row.problem, detail };
  }
  if (!verifyChecksums || !row.checksum) return undefined;
  const actual = await checksumOf(client, row);
  if ("error" in actual) {
    noteError(report, `${row.bucket_id}/${row.name} could not be read: ${actual.error}`);
    return undefined;
  }
  report.checksums++;
  if (actual.checksum === row.checksum) return undefined;
  // The file may have been replaced, or have gone, while it was read.
  const still = await stillSays(client, source, row);
  if (typeof still !== "boolean") {
    noteError(report, `${source} ${row.id} could not be read again: ${still.error}`);
  }
  if (still !== true) return undefined;
  return {
    problem: "checksum_mismatch",
    detail: `${row.checksum} in the row, ${actual.checksum ?? "nothing"} in the object${kept}`,
  };
}

/**
 * Of an object's bytes as they come: null if there is no such object. Whatever else Storage answers says nothing of the
 * object, and nothing is done about that.
 */
async function checksumOf(
  client: Client,
  { bucket_id, name }: AuditedRow,
): Promise<{ checksum: string | null } | { error: string }> {
  try {
    const { data, error } = await client.storage.from(bucket_id).download(name).asStream();
    if (error) return isMissingObject(error) ? { checksum: null } : { error: error.message };
    const hash = createHash("sha256");
    for await (const chunk of data as ReadableStream<Uint8Array>) hash.update(chunk);
    return { checksum: `sha256:${hash.digest("hex")}` };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** Whether the row is there, and has the checksum that it had. */
async function stillSays(
  client: Client,
  source: Source,
  row: AuditedRow,
): Promise<boolean | { error: string }> {
  if (source === "package_versions" || source === "package_files") {
    const { data, error } = await client.from(source).select("sha256").eq("id", row.id)
      .eq("storage_path", row.name).maybeSingle();
    if (error) return { error: error.message };
    return data !== null && `sha256:${data.sha256}` === row.checksum;
  }
  const table = source === "app_builds" ? source : "app_storage";
  const { data, error } = await client.from(table).select("checksum").eq("id", row.id)
    .maybeSingle();
  if (error) return { error: error.message };
  return data?.checksum === row.checksum;
}

async function auditUsage(client: Client, { repair }: AuditOptions, note: Note): Promise<void> {
  const differences = answered(await client.rpc("check_storage_usage"));
  if (repair && differences.length > 0) answered(await client.rpc("repair_storage_usage"));
  for (const each of differences) {
    note({
      problem: "usage_mismatch",
      source: each.kind,
      id: each.company_id,
      detail: `${each.noted_bytes} bytes and ${each.noted_objects} objects noted, ` +
        `${each.actual_bytes} and ${each.actual_objects} there`,
      ...(repair && { repair: "noted" }),
    }, repair ?? false);
  }
}
