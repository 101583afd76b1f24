/** Reading through the cache. What is in it is public, so that whoever asks may have it without saying who they are. */
import type { Cache } from "../_shared/cache/cache.ts";
import { AppError } from "../_shared/errors.ts";
import { type ObjectStore, readContent, sha256 } from "../_shared/registry/content.ts";
import { packageId, type PackageName } from "../_shared/registry/names.ts";
import { chooseVersion, packageNotFound, versionNotFound, type Wanted } from "./domain.ts";
import type { PackageRecord, ReadStore, VersionRecord, VersionSummary } from "./store.ts";

export const METADATA_SECONDS = 300;
export const VERSION_SECONDS = 3600;

/** A version with its content at hand. */
export interface WholeVersion extends VersionRecord {
  yaml_content: string;
}

export interface Found<T> {
  record: T;
  hit: boolean;
}

export interface Reader {
  /** Nobody in particular: reads what is public, and may be kept. */
  isAnonymous: boolean;
  /** Reads as the visitor. Called when the cache has nothing. */
  store(): Promise<ReadStore>;
}

/** Reads a package with its versions. Who is known sees drafts too, and what is private, and so is not served from the cache. */
export async function findPackage(
  name: PackageName,
  reader: Reader,
  cache: Cache,
): Promise<Found<PackageRecord>> {
  const id = packageId(name);
  const load = async () => {
    const record = await (await reader.store()).package(name);
    return { value: record, cacheable: record?.visibility === "public" };
  };
  const { value, hit } = reader.isAnonymous
    ? await cache.get(`package:${id}`, id, METADATA_SECONDS * 1000, load)
    : { value: (await load()).value, hit: false };
  if (!value) throw packageNotFound();
  return { record: value, hit };
}

/** The version that is meant, with its content, checked. */
export async function findVersion(
  name: PackageName,
  wanted: Wanted,
  reader: Reader,
  cache: Cache,
  objects: () => ObjectStore,
): Promise<Found<WholeVersion>> {
  const id = packageId(name);
  let version = wanted.text;
  let summary: VersionSummary | undefined;
  if (wanted.kind !== "exact") {
    summary = chooseVersion((await findPackage(name, reader, cache)).record, wanted);
    version = summary.version;
  }
  const load = async () => {
    const record = await readWhole(name, version, await reader.store(), objects());
    // Build metadata is no part of a version's identity: by all its spellings one could push everything else out.
    return { value: record, cacheable: record?.is_public === true && record.version === version };
  };
  // A stranger's miss must not become the answer of somebody who waits for the same.
  let { value, hit } = reader.isAnonymous
    ? await cache.get(`version:${id}@${version}`, id, VERSION_SECONDS * 1000, load)
    : await known(cache, `version:${id}@${version}`, id, load);
  if (hit && value && sha256(value.yaml_content) !== value.sha256) {
    // What the cache has damaged, the database still has.
    await cache.invalidate(id);
    [value, hit] = [(await load()).value, false];
  }
  if (!value) {
    // Whoever does not read the package is told nothing of its versions.
    await findPackage(name, reader, cache);
    throw versionNotFound();
  }
  return { record: value, hit };
}

/** For who is known, what is public comes from the cache too; what is not is loaded for them alone. */
async function known<T>(
  cache: Cache,
  key: string,
  tag: string,
  load: () => Promise<{ value: T; cacheable: boolean }>,
) {
  return await cache.peek<T>(key, tag) ?? { value: (await load()).value, hit: false };
}

async function readWhole(
  name: PackageName,
  version: string,
  store: ReadStore,
  objects: ObjectStore,
): Promise<WholeVersion | null> {
  const record = await store.version(name, version);
  if (!record) return null;
  try {
    return { ...record, yaml_content: await contentOf(record, objects) };
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "not_found") throw error;
    // It was moved between the two reads.
    const again = await store.version(name, version);
    if (!again) return null;
    return { ...again, yaml_content: await contentOf(again, objects) };
  }
}

function contentOf(record: VersionRecord, objects: ObjectStore): Promise<string> {
  const { sha256, yaml_content: content, storage_path: storagePath } = record;
  return readContent({ sha256, content, storagePath }, objects);
}
