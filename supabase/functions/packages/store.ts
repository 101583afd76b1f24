import type { Client } from "../_shared/caller.ts";
import type { Json } from "../_shared/database.types.ts";
import { listFilePaths } from "../_shared/registry/files.ts";
import type { DependencyRow } from "../_shared/registry/imports.ts";
import type { PackageName } from "../_shared/registry/names.ts";
import type { Candidates } from "../_shared/registry/resolve.ts";
import { fromDatabase } from "../_shared/upstream_errors.ts";

export type Status = "draft" | "published" | "deprecated" | "archived";

/** A package with its versions, newest first: what `read_package` answers. */
export interface PackageRecord extends PackageName {
  id: string;
  kind: string;
  visibility: "private" | "public";
  description: string;
  keywords: string[];
  license: string;
  homepage: string;
  repository: string;
  latest_version: string | null;
  download_count: number;
  created_at: string;
  updated_at: string;
  versions: VersionSummary[];
}

export interface VersionSummary {
  id: string;
  version: string;
  status: Status;
  status_reason: string | null;
  is_public: boolean;
  sha256: string;
  size: number;
  published_at: string | null;
  created_at: string;
  download_count: number;
}

/** A version with its content, where that is in the row: what `read_package_version` answers. */
export interface VersionRecord extends PackageName, VersionSummary {
  package_id: string;
  kind: string;
  visibility: "private" | "public";
  is_prerelease: boolean;
  yaml_content: string | null;
  storage_path: string | null;
  dependencies_parsed_at: string | null;
  parse_error: string | null;
  resolution: Record<string, string> | null;
  resolved_at: string | null;
  files: FileSummary[];
  dependencies: DependencyRow[];
}

export interface FileSummary {
  path: string;
  content_type: string;
  sha256: string;
  size: number;
  proto_package: string | null;
}

export interface FileRecord {
  path: string;
  content_type: string;
  sha256: string;
  content: string | null;
  storage_path: string | null;
}

/** Reads as whoever the client is: row security decides what there is. */
export interface ReadStore {
  package(name: PackageName): Promise<PackageRecord | null>;
  version(name: PackageName, version: string): Promise<VersionRecord | null>;
  files(versionId: string, path?: string): Promise<FileRecord[]>;
  filePaths(name: PackageName, version: string): Promise<string[]>;
  search(search: SearchInput): Promise<Json>;
  candidates(roots: string[]): Promise<Candidates>;
  dependents(name: PackageName, limit: number, offset: number): Promise<Json>;
  changes(name: PackageName, limit: number, offset: number): Promise<ChangeRecord[] | null>;
}

export interface SearchInput {
  q: string;
  namespace?: string;
  kind?: string;
  limit: number;
  offset: number;
}

export interface ChangeRecord {
  change: string;
  reason: string | null;
  details: Json;
  created_at: string;
  version: string | null;
  /** For members of the company that owns the package alone. */
  changed_by?: string | null;
}

export function readStore(client: Client): ReadStore {
  return {
    async package(name) {
      const { data, error } = await client.rpc("read_package", { ...pick(name) });
      if (error) throw fromDatabase(error);
      return data as unknown as PackageRecord | null;
    },
    async version(name, version) {
      const { data, error } = await client.rpc("read_package_version", { ...pick(name), version });
      if (error) throw fromDatabase(error);
      return data as unknown as VersionRecord | null;
    },
    async files(versionId, path) {
      let query = client.from("package_files")
        .select("path, content_type, sha256, content, storage_path").eq("version_id", versionId);
      if (path !== undefined) query = query.eq("path", path);
      const { data, error } = await query.order("path");
      if (error) throw fromDatabase(error);
      return data;
    },
    filePaths: (name, version) => listFilePaths(client, name, version),
    async search({ q, namespace, kind, limit, offset }) {
      const { data, error } = await client.rpc("search_packages", {
        query: q,
        ...(namespace !== undefined && { namespace }),
        ...(kind !== undefined && { kind }),
        max_results: limit,
        skip: offset,
      });
      if (error) throw fromDatabase(error);
      return data;
    },
    async candidates(roots) {
      const { data, error } = await client.rpc("list_package_candidates", { roots });
      if (error) throw fromDatabase(error);
      return data as unknown as Candidates;
    },
    async dependents(name, limit, offset) {
      const { data, error } = await client.rpc("list_package_dependents", {
        ...pick(name),
        max_results: limit,
        skip: offset,
      });
      if (error) throw fromDatabase(error);
      return data;
    },
    async changes(name, limit, offset) {
      const { data, error } = await client.rpc("list_package_changes", {
        ...pick(name),
        max_results: limit,
        skip: offset,
      });
      if (error) throw fromDatabase(error);
      return data as unknown as ChangeRecord[] | null;
    },
  };
}

function pick({ namespace, name }: PackageName): PackageName {
  return { namespace, name };
}

/** What is published, as `publish_package` takes it. */
export interface NewVersion extends PackageName {
  actor: string | null;
  version: string;
  sha256: string;
  size: number;
  content: string | null;
  storagePath: string | null;
  details: Record<string, unknown>;
  dependencies: DependencyRow[] | null;
  files: NewFile[];
}

export interface NewFile {
  path: string;
  content_type: string;
  content: string | null;
  storage_path: string | null;
  sha256: string;
  size: number;
  proto_package: string | null;
}

export interface Published {
  /** `valid` is what a dry run says. */
  outcome: "published" | "drafted" | "unchanged" | "valid";
  /** Null after a dry run. */
  versionId: string;
  /** Objects that nothing names any more. */
  abandoned: string[];
}

/** Publishes, as the service, for the actor: null is the service itself. */
export async function publishVersion(service: Client, made: NewVersion): Promise<Published> {
  const { data, error } = await service.rpc("publish_package", {
    // The generated types know no argument that may be null.
    actor: made.actor as string,
    namespace: made.namespace,
    name: made.name,
    version: made.version,
    sha256: made.sha256,
    size: made.size,
    ...(made.content !== null && { yaml_content: made.content }),
    ...(made.storagePath !== null && { storage_path: made.storagePath }),
    details: made.details as Json,
    ...(made.dependencies && { dependencies: made.dependencies as unknown as Json }),
    files: made.files as unknown as Json,
  }).single();
  if (error) throw fromDatabase(error);
  return {
    outcome: data.outcome as Published["outcome"],
    versionId: data.version_id,
    abandoned: data.abandoned,
  };
}

/** The size above which content goes to object storage, in bytes. */
export async function inlineLimit(service: Client): Promise<number> {
  const { data, error } = await service.rpc("package_settings");
  if (error) throw fromDatabase(error);
  return (data as { inline_limit_bytes: number }).inline_limit_bytes;
}

/** Moves a version to another status as the caller; null if row security finds none to change. */
export async function changeStatus(
  client: Client,
  versionId: string,
  status: Status,
  reason: string | null,
): Promise<boolean> {
  const { data, error } = await client.from("package_versions")
    .update({ status, status_reason: reason }).eq("id", versionId).select("id");
  if (error) throw fromDatabase(error);
  return data.length > 0;
}

export async function describePackage(
  client: Client,
  id: string,
  values: Record<string, unknown>,
): Promise<boolean> {
  const { data, error } = await client.from("packages").update(values as never).eq("id", id)
    .select("id");
  if (error) throw fromDatabase(error);
  return data.length > 0;
}

export async function deleteVersion(client: Client, versionId: string): Promise<boolean> {
  const { data, error } = await client.from("package_versions").delete().eq("id", versionId)
    .select("id");
  if (error) throw fromDatabase(error);
  return data.length > 0;
}
