/** Which files the packages have that a version names. */
import type { Client } from "../caller.ts";
import { parseVersion } from "../semver.ts";
import { fromDatabase } from "../upstream_errors.ts";
import type { DeclaredDependency } from "./document.ts";
import type { PackageName } from "./names.ts";
import { compileRange, highestMatch } from "./ranges.ts";

/** The paths of a version's files, as far as the client sees them. */
export async function listFilePaths(
  client: Client,
  { namespace, name }: PackageName,
  version: string,
): Promise<string[]> {
  const { data, error } = await client.from("package_files")
    .select("path, package_versions!inner(version, packages!inner(namespace, name))")
    .eq("package_versions.version", version)
    .eq("package_versions.packages.namespace", namespace)
    .eq("package_versions.packages.name", name)
    .order("path");
  if (error) throw fromDatabase(error);
  return data.map(({ path }) => path);
}

/**
 * For the background job, which reads as the service: the paths of the highest version that the range takes, of a package
 * that the company may read; none of any other.
 */
export async function listVisibleFilePaths(
  service: Client,
  companyId: string | null,
  { namespace, name, range }: DeclaredDependency,
): Promise<string[] | undefined> {
  const { data, error } = await service.from("packages")
    .select("is_public, company_id, package_versions(version)")
    .eq("namespace", namespace).eq("name", name)
    .in("package_versions.status", ["published", "deprecated"])
    .order("version_key", { referencedTable: "package_versions", ascending: false })
    .maybeSingle();
  if (error) throw fromDatabase(error);
  if (!data || !(data.is_public || data.company_id === companyId)) return undefined;
  const versions = data.package_versions.flatMap(({ version }) => parseVersion(version) ?? []);
  const chosen = versions[highestMatch(versions, compileRange(range)!)];
  return chosen && await listFilePaths(service, { namespace, name }, chosen.text);
}
