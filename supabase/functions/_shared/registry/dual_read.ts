/** Reading during the transition: the database first, the legacy directory where that has nothing. */
import { isPackageName, packageId, type PackageName } from "./names.ts";
import { isSemver } from "../semver.ts";

export interface DualReadOptions {
  /** From the database; null if it is not there. */
  database(name: PackageName, version: string): Promise<string | null>;
  /** The directory: `{namespace}/{name}/{version}/{name}-{version}.yaml`. */
  directory: string;
  /** The flag `dual_read`. Asked at each miss, so that it can be turned off while this runs. */
  enabled(): Promise<boolean>;
  /** Told of each read that only the directory could answer: `count_package_fallbacks`. */
  onFallback(id: string): void;
}

export interface DualRead {
  text: string;
  source: "database" | "directory";
}

/** The YAML of a version, and where it was; null if it is in neither place. */
export async function dualRead(
  name: PackageName,
  version: string,
  { database, directory, enabled, onFallback }: DualReadOptions,
): Promise<DualRead | null> {
  // What can be no name could be a path out of the directory.
  if (!isPackageName(name.namespace) || !isPackageName(name.name) || !isSemver(version)) {
    return null;
  }
  const stored = await database(name, version);
  if (stored !== null) return { text: stored, source: "database" };
  if (!await enabled()) return null;
  const file = `${directory}/${packageId(name)}/${version}/${name.name}-${version}.yaml`;
  try {
    const text = await Deno.readTextFile(file);
    onFallback(`${packageId(name)}@${version}`);
    return { text, source: "directory" };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
