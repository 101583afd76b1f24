/** The life of one run on this executor, from its files to what is to be said of it. */
import { pullApp } from "./app_files.ts";
import { noteParts, storeArtifacts, type StoredPaths } from "./artifacts.ts";
import {
  CANCELLED,
  type Conclusion,
  conclusionOf,
  LeaseLost,
  notTheAppsFault,
  ShuttingDown,
} from "./conclusions.ts";
import { type AppDefinition, AppError } from "./definition.ts";
import type { Disk } from "./disk.ts";
import type { Installer } from "./install/mod.ts";
import { LogFile } from "./log_files.ts";
import { LogShipper } from "./log_shipper.ts";
import { collectOutputs, NO_OUTPUTS } from "./outputs.ts";
import { BUILD_LIMITS } from "./pack.ts";
import { outputExcess } from "./sandbox/monitor.ts";
import { KillNow, type Outcome, type Sandbox, type SandboxSpec } from "./sandbox/types.ts";
import { type Finish, persistently, type ReadyBuild, type Run, type Service } from "./service.ts";
import {
  type Host,
  needsInstall,
  pullSource,
  readSource,
  requireEntrypoint,
  type Source,
} from "./source.ts";
import { makeRunDir, type RunDir } from "./work_dir.ts";

export interface ExecutionContext extends Host {
  service: Service;
  sandbox: Sandbox;
  installer: Installer;
  workDir: string;
  disk: Disk;
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
  const started = performance.now();
  try {
    dir = await makeRunDir(context.workDir);
    return await execute(run, context, signals, dir);
  } catch (error) {
    if (signals.stop.aborted) return conclusionOfAbort(signals.stop.reason);
    if (signals.lost.aborted) return conclusionOfAbort(signals.lost.reason);
    if (error instanceof AppError) {
      return { kind: "finish", finish: { status: "failed", error_message: error.message } };
    }
    return notTheAppsFault("run", error, context.disk.wasShortSince(started));
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
): Promise<Conclusion<Finish>> {
  const { service } = context;
  const started = performance.now();
  const source = await readSource(service, run.app_id, run.version, context, stop);
  const { definition } = source;
  // Beside the sandbox's own files, which may come to belong to another user.
  const stdout = await LogFile.create(`${dir.config}.stdout`, definition.limits.logBytes);
  const stderr = await LogFile.create(`${dir.config}.stderr`, definition.limits.logBytes)
    .catch(async (error) => {
      await stdout.close();
      throw error;
    });
  const logs = { stdout, stderr };
  const shippers = Object.entries(logs).map(([type, log]) =>
    LogShipper.parts(
      service,
      log,
      `app_${run.app_id}/runs/${run.id}/${type}`,
      (progress) => noteParts(service, run, type as keyof typeof logs, log, progress),
      lost,
    )
  );
  let conclusion: Pick<Finish, "status" | "error_message">;
  let outputs = NO_OUTPUTS;
  let outcome: Outcome | undefined;
  let prepared = started;
  try {
    const build = await prepareApp(run, source, context, dir, logs.stderr, stop);
    if (build) await persistently(() => service.setBuild(run, build.id), stop);
    await Deno.writeTextFile(dir.config, JSON.stringify(run.config));
    prepared = performance.now();
    outcome = await context.sandbox.run(specOf(run, definition, dir, logs), stop);
    if (outcome.kind === "aborted" && stop.reason instanceof KillNow) throw stop.reason;
    // An app that is faster than the watch ends before it is noticed.
    const excess = outputExcess(dir.output, definition.limits);
    conclusion = conclusionOf(excess?.kind === "limit" ? excess : outcome);
    if (!excess) outputs = await collectOutputs(dir.output, definition.limits.outputFiles);
  } catch (error) {
    // What was installed before is in the log, and so it is kept.
    if (!(error instanceof AppError) || logs.stderr.size === 0) throw error;
    conclusion = { status: "failed", error_message: error.message };
  } finally {
    await Promise.all(shippers.map((shipper) => shipper.abandon()));
  }
  lost.throwIfAborted();
  const ended = performance.now();
  if (conclusion.status === "success" && outputs.resultError !== undefined) {
    conclusion.status = "failed";
    conclusion.error_message = `${outputs.resultError}.`;
  }
  // What an app does that cannot write, nobody knows. What it did itself, and was refused, is its own.
  const mayBeTheDisk = conclusion.status === "failed" && outcome?.kind === "exited" &&
    context.disk.wasShortSince(started);
  const parts = shippers.flatMap((shipper) => shipper.parts);
  const stored: StoredPaths = await storeArtifacts(service, run, logs, parts, outputs, lost);
  const finish: Finish = {
    ...conclusion,
    ...stored,
    metadata: {
      sandbox: context.sandbox.name,
      runtime: definition.runtime,
      ...(outcome?.kind === "exited" ? { exit_code: outcome.code } : {}),
      ...(outcome?.kind === "exited" && outcome.signal ? { signal: outcome.signal } : {}),
      prepare_ms: Math.round(prepared - started),
      execute_ms: Math.round(ended - prepared),
      store_ms: Math.round(performance.now() - ended),
    },
  };
  if (!mayBeTheDisk) return { kind: "finish", finish };
  const blamed = notTheAppsFault("run", new Error(conclusion.error_message), true);
  return { ...blamed, finish: { ...finish, ...blamed.finish } };
}

/** The app's files in `dir.app`, packages included: from the build if there is one, else installed now. */
async function prepareApp(
  run: Run,
  source: Source,
  { service, installer }: ExecutionContext,
  dir: RunDir,
  log: LogFile,
  stop: AbortSignal,
): Promise<ReadyBuild | null> {
  const { definition } = source;
  const build = needsInstall(definition)
    ? await persistently(() => service.build(run.app_id, run.version, source.checksum), stop)
    : null;
  if (build) {
    const archive = {
      file_path: build.build_path!,
      file_type: "build",
      file_size: build.file_size!,
      checksum: build.checksum!,
    };
    const folder = `app_${run.app_id}/builds/${build.id}/`;
    await pullApp(service, [archive], {
      folder,
      appDir: dir.app,
      scratchDir: dir.scratch,
      limits: BUILD_LIMITS,
    }, stop);
  } else {
    await pullSource(service, source, dir, stop);
    if (needsInstall(definition)) {
      await installer.install(definition, dir, `${run.id}-${run.attempt}`, log.append, stop);
    }
  }
  await requireEntrypoint(dir.app, definition.entrypoint);
  return build;
}

function specOf(
  run: Run,
  definition: AppDefinition,
  dir: RunDir,
  logs: { stdout: LogFile; stderr: LogFile },
): SandboxSpec {
  return {
    id: `${run.id}-${run.attempt}`,
    runtime: definition.runtime,
    appDir: dir.app,
    entrypoint: definition.entrypoint,
    configFile: dir.config,
    outputDir: dir.output,
    scratchDir: dir.scratch,
    env: { STOWAGE_RUN_ID: run.id, STOWAGE_APP_ID: run.app_id },
    network: definition.network,
    limits: definition.limits,
    stdout: logs.stdout.append,
    stderr: logs.stderr.append,
  };
}
