/** Background jobs: content goes where it belongs, and versions that nobody parsed get their dependencies. */
import type { Client } from "../caller.ts";
import type { Json } from "../database.types.ts";
import { fromDatabase } from "../upstream_errors.ts";
import { contentPath, type ObjectStore, readContent, sha256 } from "./content.ts";
import { type DeclaredDependency, readPackageDocument } from "./document.ts";
import { listVisibleFilePaths } from "./files.ts";
import { type DependencyRow, readFiles, resolveImports, yamlDependencyRows } from "./imports.ts";

export interface JobReport {
  done: number;
  failed: number;
  /** More was left than this run took. */
  more: boolean;
  errors: string[];
}

/**
 * Moves content between rows and object storage, as the settings say: writes it where it goes, reads it back, then changes
 * the row, then removes what is left behind. A run that is killed anywhere loses nothing, and the next one goes on.
 */
export async function moveContent(
  service: Client,
  objects: ObjectStore,
  limit: number,
): Promise<JobReport> {
  const { data, error } = await service.rpc("list_package_moves", { max_results: limit });
  if (error) throw fromDatabase(error);
  return await runJob(data, limit, async (move) => {
    const { part, id, content, sha256: checksum, storage_path: storagePath } = move;
    const text = await readContent({ sha256: checksum, content, storagePath }, objects);
    if (move.target === "row") {
      if (await change(service, { part, id, content: text })) await objects.remove([storagePath!]);
      return;
    }
    const path = contentPath(move, move.version, move.path);
    await objects.put(path, new TextEncoder().encode(text), move.content_type);
    const back = await objects.get(path);
    const moved = sha256(back) === checksum &&
      await change(service, { part, id, storage_path: path });
    if (!moved) await objects.remove([path]);
    if (sha256(back) !== checksum) throw new Error("what was read back differs");
  });
}

interface Change {
  part: string;
  id: string;
  content?: string;
  storage_path?: string;
}

async function change(service: Client, values: Change): Promise<boolean> {
  const { data, error } = await service.rpc("move_package_content", { ...values });
  if (error) throw fromDatabase(error);
  return data;
}

/** Parses versions that were stored without their dependencies: imported ones, and those of direct inserts. */
export async function parseVersions(
  service: Client,
  objects: ObjectStore,
  limit: number,
): Promise<JobReport> {
  const { data, error } = await service.rpc("list_unparsed_package_versions", {
    max_results: limit,
  });
  if (error) throw fromDatabase(error);
  return await runJob(data, limit, async (version) => {
    const stored = {
      sha256: version.sha256,
      content: version.yaml_content,
      storagePath: version.storage_path,
    };
    const bytes = new TextEncoder().encode(await readContent(stored, objects));
    const result = readPackageDocument(bytes, version);
    const problem = result.valid
      ? undefined
      : result.errors.map(({ line, path, message }) => `${line}: ${path} ${message}`).join("\n");
    const dependencies = result.valid
      ? [
        ...yamlDependencyRows(result.document.dependencies),
        ...await importsOf(service, objects, version, result.document.dependencies),
      ]
      : [];
    const { error } = await service.rpc("save_package_dependencies", {
      version_id: version.id,
      dependencies: dependencies as unknown as Json,
      ...(problem && { error: problem }),
    });
    if (error) throw fromDatabase(error);
  });
}

/** What the version's files import, from each other and from the packages that its company may read. */
async function importsOf(
  service: Client,
  objects: ObjectStore,
  version: { id: string; company_id: string },
  dependencies: DeclaredDependency[],
): Promise<DependencyRow[]> {
  const { data, error } = await service.from("package_files")
    .select("path, sha256, content, storage_path").eq("version_id", version.id).order("path");
  if (error) throw fromDatabase(error);
  const files = await Promise.all(data.map(async ({ path, storage_path, ...stored }) => ({
    path,
    text: await readContent({ ...stored, storagePath: storage_path }, objects),
  })));
  return await resolveImports(
    readFiles(files).files,
    dependencies,
    (dependency) => listVisibleFilePaths(service, version.company_id, dependency),
  );
}

/** One after the other; what fails is reported, and left for the next run. */
async function runJob<Item extends { id: string }>(
  items: Item[],
  limit: number,
  work: (item: Item) => Promise<void>,
): Promise<JobReport> {
  const report: JobReport = { done: 0, failed: 0, more: items.length === limit, errors: [] };
  for (const item of items) {
    try {
      await work(item);
      report.done++;
    } catch (error) {
      report.failed++;
      report.errors.push(`${item.id}: ${(error as Error).message}`);
    }
  }
  return report;
}
