/** The files of a version as a run or a build begins with them. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Json } from "../../supabase/functions/_shared/database.types.ts";
import { pullApp } from "./app_files.ts";
import { type AppDefinition, AppError, definitionOf, requireRuntime } from "./definition.ts";
import type { LimitBounds } from "./sandbox/limits.ts";
import type { RuntimeVersions } from "./sandbox/types.ts";
import { type AppFile, persistently, type Service } from "./service.ts";
import type { RunDir } from "./work_dir.ts";

export interface Source {
  appId: string;
  version: string;
  definition: AppDefinition;
  files: AppFile[];
  /** Of all that a build is made from: it is good for a run exactly if this is the same. */
  checksum: string;
}

/** What this executor has for apps. */
export interface Host {
  bounds: LimitBounds;
  versions: RuntimeVersions;
}

/**
 * What a version is made of, without its bytes.
 * @throws AppError where it cannot be run here
 */
export async function readSource(
  service: Service,
  appId: string,
  version: string,
  host: Host,
  signal: AbortSignal,
): Promise<Source> {
  const [manifest, files] = await Promise.all([
    persistently(() => service.manifest(appId, version), signal),
    persistently(() => service.files(appId, version), signal),
  ]);
  const definition = definitionOf(manifest, host.bounds);
  requireRuntime(definition, host.versions);
  return {
    appId,
    version,
    definition,
    files,
    checksum: sourceChecksum(manifest, files),
  };
}

/** The files, extracted and checked, in `dir.app`. */
export async function pullSource(
  service: Service,
  { appId, version, files }: Source,
  dir: RunDir,
  signal: AbortSignal,
): Promise<void> {
  const folder = `app_${appId}/${version}/`;
  await pullApp(service, files, { folder, appDir: dir.app, scratchDir: dir.scratch }, signal);
}

/** @throws AppError */
export async function requireEntrypoint(appDir: string, entrypoint: string): Promise<void> {
  const info = await Deno.lstat(join(appDir, entrypoint)).catch(() => null);
  if (!info?.isFile) throw new AppError(`The app has no file ${entrypoint}, its entrypoint.`);
}

export function needsInstall({ dependencies }: AppDefinition): boolean {
  return Object.keys(dependencies).length > 0;
}

function sourceChecksum(manifest: Json, files: AppFile[]): string {
  const { runtime, permissions } = (manifest ?? {}) as { runtime?: Json; permissions?: Json };
  const names = files.map(({ file_path, file_type, checksum }) => [file_path, file_type, checksum]);
  const text = JSON.stringify([runtime ?? null, permissions ?? null, names.toSorted()]);
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
