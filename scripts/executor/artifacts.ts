/** Stores what a run leaves: logs and outputs, as objects and rows. */
import type { LogFile } from "./log_files.ts";
import { isPart, type Progress } from "./log_shipper.ts";
import { objectName, type Outputs, RESULT_NAME } from "./outputs.ts";
import { metricData, METRICS_NAME } from "./reported_metrics.ts";
import {
  type Bucket,
  type Output,
  persistently,
  type Run,
  type Service,
  storable,
} from "./service.ts";

const MAX_ROW_NAME = 512;

export interface StoredPaths {
  logs_path: string;
  output_path?: string;
}

/**
 * Uploads logs and output files and writes the rows of app_outputs, in the place of what an earlier attempt left.
 * @param parts objects that held the logs while they grew
 * @param lost stops it between two calls: the run is another's by now
 */
export async function storeArtifacts(
  service: Service,
  run: Run,
  logs: { stdout: LogFile; stderr: LogFile },
  parts: string[],
  outputs: Outputs,
  lost: AbortSignal,
): Promise<StoredPaths> {
  const folder = `app_${run.app_id}/runs/${run.id}`;
  const earlier = run.was_held ? await persistently(() => service.outputs(run.id), lost) : [];
  // An executor that was lost, or gave the run back, may not have come to write down what it had sent.
  const unnoted = async (bucket: Bucket) =>
    run.was_held ? await persistently(() => service.list(bucket, folder), lost) : [];
  const sent = {
    "app-logs": [...parts, ...(await unnoted("app-logs")).filter(isPart)],
    "app-storage": await unnoted("app-storage"),
  };
  const rows = await Promise.all(
    Object.entries(logs).map(([type, log]) => storeLog(service, run, type, log, folder, lost)),
  );
  if (outputs.result !== undefined) {
    rows.push({
      run_id: run.id,
      output_type: "result",
      output_name: RESULT_NAME,
      output_data: outputs.result,
    });
  }
  if (outputs.resultError !== undefined) {
    rows.push(errorRow(run, RESULT_NAME, outputs.resultError));
  }
  for (const metric of outputs.report.metrics) {
    rows.push({
      run_id: run.id,
      output_type: "metric",
      output_name: metric.name,
      output_data: metricData(metric),
    });
  }
  if (outputs.report.mistakes.length > 0) {
    rows.push(errorRow(run, METRICS_NAME, outputs.report.mistakes.join("\n")));
  }
  const mistaken = rows.filter((row) => row.output_type === "error").map((row) => row.output_name);
  // Cut names may be the same, and a row has to have one of its own.
  for (const name of new Set(outputs.skipped.map(rowName)).difference(new Set(mistaken))) {
    rows.push(
      errorRow(run, name, "Not kept: a link, a special file, or more or larger than allowed."),
    );
  }
  rows.push(...await storeFiles(service, run, outputs, `${folder}/outputs`, lost));
  if (run.was_held) await persistently(() => service.deleteOutputs(run.id), lost);
  await persistently(() => service.addOutputs(rows), lost);
  const kept = new Set(rows.map((row) => row.output_path));
  for (const bucket of ["app-storage", "app-logs"] as const) {
    const gone = earlier.filter((each) => each.output_bucket === bucket)
      .map((each) => each.output_path!)
      .concat(sent[bucket])
      .filter((path) => !kept.has(path));
    await persistently(() => service.remove(bucket, [...new Set(gone)]), lost);
  }
  return {
    logs_path: `${folder}/stdout.log`,
    ...(outputs.files.length > 0 ? { output_path: `${folder}/outputs` } : {}),
  };
}

/** Says in the log's row what of it can be read while the app runs. */
export async function noteParts(
  service: Service,
  run: Run,
  type: "stdout" | "stderr",
  log: LogFile,
  { parts, bytes }: Progress,
): Promise<void> {
  await service.addOutputs([{
    run_id: run.id,
    output_type: type,
    output_name: `${type}.log`,
    output_bucket: "app-logs",
    output_path: parts.at(-1),
    output_data: { parts, truncated: log.truncated, written_bytes: log.written },
    file_size: bytes,
  }]);
}

async function storeLog(
  service: Service,
  run: Run,
  type: string,
  log: LogFile,
  folder: string,
  lost: AbortSignal,
): Promise<Output> {
  const content = await Deno.readFile(log.path);
  const path = `${folder}/${type}.log`;
  await persistently(() => service.upload("app-logs", path, content, "text/plain", lost), lost);
  return {
    run_id: run.id,
    output_type: type,
    output_name: `${type}.log`,
    output_bucket: "app-logs",
    output_path: path,
    output_data: { truncated: log.truncated, written_bytes: log.written },
    file_size: content.length,
  };
}

async function storeFiles(
  service: Service,
  run: Run,
  outputs: Outputs,
  folder: string,
  lost: AbortSignal,
): Promise<Output[]> {
  const rows: Output[] = [];
  for (const file of outputs.files) {
    const content = await Deno.readFile(file.path);
    const path = `${folder}/${objectName(file.name)}`;
    await persistently(
      () => service.upload("app-storage", path, content, file.contentType, lost),
      lost,
    );
    rows.push({
      run_id: run.id,
      // A result too large for a row is still the result.
      output_type: file.name === RESULT_NAME && !outputs.resultError ? "result" : "file",
      output_name: file.name,
      output_bucket: "app-storage",
      output_path: path,
      output_data: { content_type: file.contentType },
      file_size: file.size,
    });
  }
  return rows;
}

/** As much of the name as a row takes, without half a character at the end. */
function rowName(name: string): string {
  return name.slice(0, MAX_ROW_NAME).toWellFormed();
}

function errorRow(run: Run, name: string, message: string): Output {
  return {
    run_id: run.id,
    output_type: "error",
    output_name: rowName(name),
    output_data: { message: storable(message) },
  };
}
