/** The life of one build on this executor: the version's files, its packages, and both packed for the runs to come. */
import { join } from "node:path";
import { ArchiveError } from "./archives/mod.ts";
import { type Conclusion, LeaseLost, notTheAppsFault, ShuttingDown } from "./conclusions.ts";
import { AppError } from "./definition.ts";
import type { Disk } from "./disk.ts";
import { AbortedInstall, type Installer } from "./install/mod.ts";
import { LogFile } from "./log_files.ts";
import { LogShipper } from "./log_shipper.ts";
import { packTree } from "./pack.ts";
import { type Build, type BuildFinish, persistently, type Service, storable } from "./service.ts";
import { type Host, needsInstall, pullSource, readSource, requireEntrypoint } from "./source.ts";
import { makeRunDir, type RunDir } from "./work_dir.ts";
import { MAX_FILE_BYTES } from "../../supabase/functions/_shared/limits.ts";

export interface BuildContext extends Host {
  service: Service;
  installer: Installer;
  workDir: string;
  disk: Disk;
}

const LOG_BYTES = 4 * 1024 * 1024;

/** Never throws: what goes wrong here is not the app's fault and becomes another attempt. */
export async function executeBuild(
  build: Build,
  context: BuildContext,
  signals: { stop: AbortSignal; lost: AbortSignal },
): Promise<Conclusion<BuildFinish>> {
  let dir: RunDir | undefined;
  const started = performance.now();
  try {
    dir = await makeRunDir(context.workDir);
    return { kind: "finish", finish: await executeLogged(build, context, signals, dir) };
  } catch (error) {
    const reason = signals.stop.aborted ? signals.stop.reason : signals.lost.reason;
    if (reason instanceof LeaseLost) return { kind: "drop" };
    if (reason instanceof ShuttingDown) return { kind: "release" };
    return notTheAppsFault("build", error, context.disk.wasShortSince(started));
  } finally {
    await dir?.remove().catch(() => {});
  }
}

/** Everything that is said of the build goes to its log, which publishers read while it grows. */
async function executeLogged(
  build: Build,
  context: BuildContext,
  signals: { stop: AbortSignal; lost: AbortSignal },
  dir: RunDir,
): Promise<BuildFinish> {
  const log = await LogFile.create(`${dir.config}.log`, LOG_BYTES);
  const folder = `app_${build.app_id}/builds/${build.id}`;
  const shipper = LogShipper.whole(context.service, log, `${folder}/build.log`, signals.lost);
  const say = (text: string) => log.append(new TextEncoder().encode(`${storable(text)}\n`));
  let finish: BuildFinish;
  try {
    try {
      finish = await execute(build, context, signals.stop, dir, log, say);
      await say(`Built: ${finish.file_size} bytes, ${finish.checksum}.`);
    } catch (error) {
      if (error instanceof AbortedInstall || signals.stop.aborted || signals.lost.aborted) {
        throw error;
      }
      const known = error instanceof AppError || error instanceof ArchiveError;
      const message = error instanceof Error ? error.message : String(error);
      await say(known ? message : `Not the app's fault: ${message}`);
      await shipper.close();
      if (!known) throw error;
      return { status: "failed", error_message: message };
    }
    await shipper.close();
    return finish;
  } finally {
    // Where the log itself could not be written, it is still open.
    await shipper.abandon();
  }
}

async function execute(
  build: Build,
  context: BuildContext,
  stop: AbortSignal,
  dir: RunDir,
  log: LogFile,
  say: (text: string) => Promise<void>,
): Promise<BuildFinish> {
  const { service, installer } = context;
  const source = await readSource(service, build.app_id, build.build_version, context, stop);
  await say(`Build of ${build.build_version}, attempt ${build.attempt}.`);
  await pullSource(service, source, dir, stop);
  if (needsInstall(source.definition)) {
    const id = `${build.id}-${build.attempt}`;
    await installer.install(source.definition, dir, id, log.append, stop);
  } else {
    await say("The manifest names no dependencies: nothing to install.");
  }
  await requireEntrypoint(dir.app, source.definition.entrypoint);
  const target = join(dir.scratch, "build.tar.gz");
  const packed = await packTree(dir.app, target, stop);
  if (packed.size > MAX_FILE_BYTES) {
    throw new AppError(`The build has ${packed.size} bytes; it may have ${MAX_FILE_BYTES}.`);
  }
  const build_path = `app_${build.app_id}/builds/${build.id}/build.tar.gz`;
  const content = await Deno.readFile(target);
  await persistently(
    () => service.upload("app-storage", build_path, content, "application/gzip", stop),
    stop,
  );
  return {
    status: "success",
    build_path,
    file_size: packed.size,
    checksum: packed.checksum,
    source_checksum: source.checksum,
  };
}
