/** The legacy directory: `{namespace}/{name}/{version}/{name}-{version}.yaml`. */
import { join } from "node:path";
import { isPackageName } from "../../supabase/functions/_shared/registry/names.ts";
import { parseVersion } from "../../supabase/functions/_shared/semver.ts";

export interface LegacyFile {
  namespace: string;
  name: string;
  version: string;
  /** Relative to the directory. */
  path: string;
}

export interface Misplaced {
  path: string;
  kind: "missing" | "invalid";
  reason: string;
}

/** Everything in the directory, in one order: files where they belong, and what does not. */
export async function* walk(dir: string): AsyncGenerator<LegacyFile | Misplaced> {
  for (const namespace of await list(dir)) {
    if (!namespace.isDirectory) yield stray(namespace.name);
    else if (!isPackageName(namespace.name)) yield invalid(namespace.name, "is no namespace");
    else yield* walkNamespace(dir, namespace.name);
  }
}

async function* walkNamespace(dir: string, namespace: string) {
  for (const name of await list(join(dir, namespace))) {
    const path = `${namespace}/${name.name}`;
    if (!name.isDirectory) yield stray(path);
    else if (!isPackageName(name.name)) yield invalid(path, "is no name of a package");
    else yield* walkPackage(dir, namespace, name.name);
  }
}

async function* walkPackage(dir: string, namespace: string, name: string) {
  for (const entry of await list(join(dir, namespace, name))) {
    const folder = `${namespace}/${name}/${entry.name}`;
    const version = entry.name;
    if (!entry.isDirectory) {
      yield stray(folder);
      continue;
    }
    if (!parseVersion(version)) {
      yield invalid(folder, "is no semantic version");
      continue;
    }
    const expected = `${name}-${version}.yaml`;
    const files = await list(join(dir, folder));
    const path = `${folder}/${expected}`;
    if (files.some((file) => file.isFile && file.name === expected)) {
      yield { namespace, name, version, path };
    } else yield { path, kind: "missing" as const, reason: "The version has no YAML." };
    for (const file of files) if (file.name !== expected) yield stray(`${folder}/${file.name}`);
  }
}

async function list(dir: string): Promise<Deno.DirEntry[]> {
  const entries = await Array.fromAsync(Deno.readDir(dir));
  // Links could lead out of the directory, or round in it.
  return entries.sort((a, b) => a.name < b.name ? -1 : 1);
}

function stray(path: string): Misplaced {
  return invalid(path, "does not belong here");
}

function invalid(path: string, what: string): Misplaced {
  return { path, kind: "invalid", reason: `${path.slice(path.lastIndexOf("/") + 1)} ${what}.` };
}
