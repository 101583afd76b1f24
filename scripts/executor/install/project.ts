/**
 * What an app wants installed: read from its files and its manifest, and refused where a package manager would do more than
 * install packages of the registry (read the host, run code of its own, ask another host).
 */
import { join } from "node:path";
import { parse } from "yaml";
import { AppError } from "../definition.ts";

export interface Project {
  /** The package manager that is to be tried first. */
  manager: "pnpm" | "npm";
  /** Exactly what the lockfile says is installed. */
  frozen: boolean;
  /** package.json, reduced to what an install needs, and the lockfile, as JSON, if there is one. */
  files: Record<string, string>;
}

export interface Wanted {
  packageManager: "pnpm" | "npm";
  /** The manifest's. */
  dependencies: Record<string, string>;
}

/** Files by which a package manager would be told to do other things. */
const REFUSED = /^(\.npmrc|\.pnpmfile\.[cm]?js|pnpm-workspace\.ya?ml|\.yarnrc(\.yml)?)$/;
const PNPM_LOCK = "pnpm-lock.yaml";
const NPM_LOCKS = ["npm-shrinkwrap.json", "package-lock.json"];
const MAX_FILE_BYTES = 8 * 1024 * 1024;
const MAX_REASON_LENGTH = 1000;
const MAX_QUOTED_LENGTH = 200;

const DEPENDENCY_FIELDS = [
  "dependencies",
  "optionalDependencies",
  "devDependencies",
  "peerDependencies",
];
const OVERRIDE_FIELDS = ["overrides", "resolutions"];
/** As in the manifest: a version, a range or a tag of the registry. Nothing with a colon or a slash, but for an alias. */
const RANGE =
  /^(npm:(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*@)?[0-9A-Za-z^~<>=|.*+$ -]*$/;
const NAME = /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*$/;

type Json = Record<string, unknown>;

/**
 * @param pnpmVersion the one that would be used
 * @throws AppError that names the file and what is wrong with it
 */
export async function readProject(
  appDir: string,
  wanted: Wanted,
  pnpmVersion: string,
): Promise<Project> {
  refuseSettings(appDir);
  const text = await read(appDir, "package.json");
  const manifest = text === null ? {} : object(parseJson(text, "package.json"), "package.json");
  refuseManagers(manifest, pnpmVersion);
  for (const name of ["workspaces", "pnpm"]) {
    if (manifest[name] !== undefined) refuse("package.json", `the field ${name} is not taken`);
  }
  const reduced: Json = { name: "app", version: "0.0.0", private: true };
  for (const field of DEPENDENCY_FIELDS) {
    if (manifest[field] !== undefined) reduced[field] = ranges(manifest[field], field);
  }
  for (const field of OVERRIDE_FIELDS) {
    if (manifest[field] !== undefined) reduced[field] = overrides(manifest[field], field);
  }
  reduced.dependencies = merge(
    (reduced.dependencies ?? {}) as Record<string, string>,
    ranges(wanted.dependencies, "dependencies"),
  );
  const files: Record<string, string> = { "package.json": JSON.stringify(reduced, null, 2) };

  const pnpmLock = await read(appDir, PNPM_LOCK);
  if (pnpmLock !== null) {
    return {
      manager: "pnpm",
      frozen: true,
      files: { ...files, [PNPM_LOCK]: checkPnpmLock(pnpmLock) },
    };
  }
  for (const name of NPM_LOCKS) {
    const lock = await read(appDir, name);
    if (lock === null) continue;
    return {
      manager: "npm",
      frozen: true,
      files: { ...files, [name]: checkNpmLock(lock, name) },
    };
  }
  return { manager: wanted.packageManager, frozen: false, files };
}

/** What is quoted may be as long as the file. */
function refuse(file: string, why: string): never {
  const short = why.length > MAX_REASON_LENGTH ? `${why.slice(0, MAX_REASON_LENGTH)}…` : why;
  throw new AppError(`${file.slice(0, MAX_REASON_LENGTH)} is refused: ${short}.`);
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH)}…` : text;
}

function refuseSettings(appDir: string): void {
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of Deno.readDirSync(join(appDir, folder))) {
      if (REFUSED.test(entry.name)) {
        refuse(`${folder}${entry.name}`, "settings of package managers are the executor's");
      }
      if (entry.isDirectory && entry.name !== "node_modules") {
        folders.push(`${folder}${entry.name}/`);
      }
    }
  }
}

/** A package manager of another version would be downloaded and run. */
function refuseManagers(manifest: Json, pnpmVersion: string): void {
  const engines = manifest.devEngines as Json | undefined;
  if (engines?.packageManager !== undefined) {
    refuse("package.json", "the field devEngines.packageManager is not taken");
  }
  const manager = manifest.packageManager;
  if (manager === undefined) return;
  const ours = typeof manager === "string" && (manager.startsWith("npm@") ||
    new RegExp(`^pnpm@${pnpmVersion.replaceAll(".", "\\.")}(\\+|$)`).test(manager));
  if (!ours) {
    refuse(
      "package.json",
      `packageManager is ${quoted(manager)}; there are pnpm@${pnpmVersion} and npm`,
    );
  }
}

function ranges(value: unknown, field: string): Record<string, string> {
  for (const [name, range] of Object.entries(object(value, `package.json: ${field}`))) {
    if (!NAME.test(name)) refuse("package.json", `${field} has the name ${quoted(name)}`);
    if (typeof range !== "string" || !RANGE.test(range)) {
      refuse(
        "package.json",
        `${field}.${name} is ${
          quoted(range)
        }; versions and ranges are taken, not paths, URLs and repositories`,
      );
    }
  }
  return value as Record<string, string>;
}

function overrides(value: unknown, field: string): Json {
  const entries = object(value, `package.json: ${field}`);
  for (const [name, inner] of Object.entries(entries)) {
    if (typeof inner === "object") overrides(inner, `${field}.${name}`);
    else if (typeof inner !== "string" || !RANGE.test(inner)) {
      refuse("package.json", `${field}.${name} is ${quoted(inner)}`);
    }
  }
  return entries;
}

function merge(
  own: Record<string, string>,
  manifest: Record<string, string>,
): Record<string, string> {
  for (const [name, range] of Object.entries(manifest)) {
    if (own[name] !== undefined && own[name] !== range) {
      refuse(
        "package.json",
        `it wants ${name} ${own[name]}, and the app's manifest ${name} ${range}`,
      );
    }
  }
  return { ...own, ...manifest };
}

/**
 * Every package of the lockfile must be one of the registry, known by its hash.
 * @returns the lockfile as JSON, of which every parser of YAML makes the same: what pnpm reads is what was looked at here
 */
function checkPnpmLock(text: string): string {
  let json: string;
  try {
    json = JSON.stringify(parse(text, { maxAliasCount: 0 }));
  } catch (error) {
    refuse(PNPM_LOCK, `it is not valid YAML (${(error as Error).message.split("\n")[0]})`);
  }
  const lock = object(JSON.parse(json), PNPM_LOCK);
  for (const name of Object.keys(object(lock.importers ?? {}, PNPM_LOCK))) {
    if (name !== ".") refuse(PNPM_LOCK, `it is the lockfile of a workspace (${name})`);
  }
  for (const name of ["patchedDependencies", "pnpmfileChecksum"]) {
    if (lock[name] !== undefined) refuse(PNPM_LOCK, `it has ${name}`);
  }
  const { packages = {}, ...rest } = lock;
  refuseReferences(rest);
  for (const [name, entry] of Object.entries(object(packages, PNPM_LOCK))) {
    const { resolution, deprecated, ...others } = object(entry, `${PNPM_LOCK}: ${name}`);
    // A message for people, which may hold addresses.
    refuseReferences({
      [name]: typeof deprecated === "string" ? others : { deprecated, ...others },
    });
    const { integrity, ...elsewhere } = object(resolution, `${PNPM_LOCK}: ${name}`);
    if (typeof integrity !== "string" || Object.keys(elsewhere).length > 0) {
      refuse(PNPM_LOCK, `${name} does not come from the registry`);
    }
  }
  return json;
}

const REFERENCE = /(^|[\s'"@(])(link|file|git|git\+[a-z]+|https?|workspace):/m;

/** What stands for something else: a mapping that is to be merged, and what is not of the registry. */
function refuseReferences(value: unknown): void {
  if (typeof value === "string" && REFERENCE.test(value)) {
    refuse(PNPM_LOCK, "it names a path, a URL or a repository");
  }
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (key === "<<") refuse(PNPM_LOCK, "it merges mappings");
    refuseReferences(key);
    refuseReferences(inner);
  }
}

/** The lockfile, its addresses left out: packages are then asked for by name, and checked by their hash. */
function checkNpmLock(text: string, file: string): string {
  const lock = object(parseJson(text, file), file);
  const packages = object(lock.packages, `${file} (of a version before 2)`);
  if (packages[""] !== undefined) {
    const { name, version } = packages[""] as Json;
    packages[""] = { ...(packages[""] as Json), name: name ?? "app", version: version ?? "0.0.0" };
  }
  for (const [path, entry] of Object.entries(packages)) {
    const each = object(entry, `${file}: ${path}`);
    if (path === "") continue;
    const inside = path.startsWith("node_modules/") && !path.split("/").includes("..");
    if (!inside || each.link || (each.resolved && !/^https?:/.test(String(each.resolved)))) {
      refuse(file, `${path} does not come from the registry`);
    }
    if (typeof each.integrity !== "string" && !each.inBundle) {
      refuse(file, `${path} has no integrity`);
    }
    delete each.resolved;
  }
  delete lock.dependencies;
  return JSON.stringify(lock, null, 2);
}

async function read(appDir: string, name: string): Promise<string | null> {
  const path = join(appDir, name);
  const info = await Deno.lstat(path).catch(() => null);
  if (info === null) return null;
  if (!info.isFile || info.size > MAX_FILE_BYTES) refuse(name, "it is no file, or too large");
  return await Deno.readTextFile(path);
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    refuse(file, `it is not valid JSON (${(error as Error).message})`);
  }
}

function object(value: unknown, what: string): Json {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
  refuse(what, "an object is expected");
}
