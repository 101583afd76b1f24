/** The life of one run on this executor, from its files to what is to be said of it. */
import { join } from "node:path";
import { pullApp } from "./app_files.ts";
import { storeArtifacts, type StoredPaths } from "./artifacts.ts";
import {
  CANCELLED,
  type Conclusion,
  conclusionOf,
  LeaseLost,
  ShuttingDown,
} from "./conclusions.ts";
import { type AppDefinition, AppError, definitionOf } from "./definition.ts";
import { LogFile } from "./log_files.ts";
import { collectOutputs, type Outputs } from "./outputs.ts";
import type { LimitBounds } from "./sandbox/limits.ts";
import { outputExcess } from "./sandbox/monitor.ts";
import { KillNow, type Outcome, type Sandbox } from "./sandbox/types.ts";
import { type Finish, persistently, type Run, type Service } from "./service.ts";
import { makeRunDir, type RunDir } from "./work_dir.ts";

export interface ExecutionContext {
  service: Service;
  sandbox: Sandbox;
  bounds: LimitBounds;
  workDir: string;
}

/** How a run is stopped: `stop` ends the app, `lost` also everything after it. */
export interface StopSignals {
  stop: AbortSignal;
  lost: AbortSignal;
}

/** Never throws: what goes wrong here is not the app's fault and becomes another attempt. */
export async function executeRun(
  run: Run,
  context: ExecutionContext,
  signals: StopSignals,
): Promise<Conclusion<Finish>> {
  let dir: RunDir | undefined;
  try {
    dir = await makeRunDir(context.workDir);
    return { kind: "finish", finish: await execute(run, context, signals, dir) };
  } catch (error) {
    if (signals.stop.aborted) return conclusionOfAbort(signals.stop.reason);
    if (signals.lost.aborted) return conclusionOfAbort(signals.lost.reason);
    if (error instanceof AppError) {
      return { kind: "finish", finish: { status: "failed", error_message: error.message } };
    }
    const message = error instanceof Error ? error.message : String(error);
    return {
      kind: "finish",
      finish: {
        status: "failed",
        retry: true,
        error_message:
          `The executor could not run the app, which is not the app's fault: ${message}`,
      },
      infrastructure: error,
    };
  } finally {
    await dir?.remove().catch(() => {});
  }
}

function conclusionOfAbort(reason: unknown): Conclusion<Finish> {
  if (reason instanceof LeaseLost) return { kind: "drop" };
  if (reason instanceof ShuttingDown) return { kind: "release" };
  return { kind: "finish", finish: { status: "cancelled", error_message: CANCELLED } };
}

async function execute(
  run: Run,
  context: ExecutionContext,
  { stop, lost }: StopSignals,
  dir: RunDir,
): Promise<Finish> {
  const { service } = context;
  const started = performance.now();
  const [manifest, files] = await Promise.all([
    persistently(() => service.manifest(run.app_id, run.version), stop),
    persistently(() => service.files(run.app_id, run.version), stop),
  ]);
  const definition = definitionOf(manifest, context.bounds);
  const folder = `app_${run.app_id}/${run.version}/`;
  await pullApp(service, files, { folder, appDir: dir.app, scratchDir: dir.scratch }, stop);
  await requireEntrypoint(dir.app, definition.entrypoint);
  await Deno.writeTextFile(dir.config, JSON.stringify(run.config));
  const prepared = performance.now();
  const { outcome, logs } = await runInSandbox(run, context, definition, dir, stop);
  if (outcome.kind === "aborted" && stop.reason instanceof KillNow) throw stop.reason;
  lost.throwIfAborted();
  const ended = performance.now();
  // An app that is faster than the watch ends before it is noticed.
  const excess = outputExcess(dir.output, definition.limits);
  const conclusion = conclusionOf(excess?.kind === "limit" ? excess : outcome);
  const outputs: Outputs = excess
    ? { files: [], skipped: [] }
    : await collectOutputs(dir.output, definition.limits.outputFiles);
  if (conclusion.status === "success" && outputs.resultError !== undefined) {
    conclusion.status = "failed";
    conclusion.error_message = `${outputs.resultError}.`;
  }
  const stored: StoredPaths = await storeArtifacts(service, run, logs, outputs, lost);
  return {
    ...conclusion,
    ...stored,
    metadata: {
      sandbox: context.sandbox.name,
      runtime: definition.runtime,
      ...(outcome.kind === "exited" ? { exit_code: outcome.code } : {}),
      ...(outcome.kind === "exited" && outcome.signal ? { signal: outcome.signal } : {}),
      prepare_ms: Math.round(prepared - started),
      execute_ms: Math.round(ended - prepared),
      store_ms: Math.round(performance.now() - ended),
    },
  };
}

async function requireEntrypoint(appDir: string, entrypoint: string): Promise<void> {
  const info = await Deno.lstat(join(appDir, entrypoint)).catch(() => null);
  if (!info?.isFile) throw new AppError(`The app has no file ${entrypoint}, its entrypoint.`);
}

async function runInSandbox(
  run: Run,
  { sandbox }: ExecutionContext,
  definition: AppDefinition,
  dir: RunDir,
  stop: AbortSignal,
): Promise<{ outcome: Outcome; logs: { stdout: LogFile; stderr: LogFile } }> {
  const { limits } = definition;
  // Beside the sandbox's own files, which may come to belong to another user.
  const logs = {
    stdout: await LogFile.create(`${dir.config}.stdout`, limits.logBytes),
    stderr: await LogFile.create(`${dir.config}.stderr`, limits.logBytes),
  };
  try {
    const outcome = await sandbox.run({
      id: `${run.id}-${run.attempt}`,
      runtime: definition.runtime,
      appDir: dir.app,
      entrypoint: definition.entrypoint,
      configFile: dir.config,
      outputDir: dir.output,
      scratchDir: dir.scratch,
      env: { STOWAGE_RUN_ID: run.id, STOWAGE_APP_ID: run.app_id },
      limits,
      stdout: logs.stdout.append,
      stderr: logs.stderr.append,
    }, stop);
    return { outcome, logs };
  } finally {
    await logs.stdout.close();
    await logs.stderr.close();
  }
}
