/** What a version's manifest says of how it is run. */
import type { Json } from "../../supabase/functions/_shared/database.types.ts";
import { scopeRefusal } from "../../supabase/functions/_shared/manifest/network_scopes.ts";
import { shortened } from "../../supabase/functions/_shared/mistakes.ts";
import { compileRange, satisfies } from "../../supabase/functions/_shared/registry/ranges.ts";
import { parseVersion } from "../../supabase/functions/_shared/semver.ts";
import { type LimitBounds, type Limits, limitsOf } from "./sandbox/limits.ts";
import type { Runtime, RuntimeVersions } from "./sandbox/types.ts";

export interface AppDefinition {
  runtime: Runtime;
  /** Versions of the runtime that the app runs on, as npm reads ranges; undefined where it does not say. */
  runtimeRange?: string;
  entrypoint: string;
  limits: Limits;
  /** Hosts that the app may reach: scopes of its network permissions. */
  network: string[];
  packageManager: "pnpm" | "npm";
  /** Packages that have to be installed before the app runs, by name, with their ranges. */
  dependencies: Record<string, string>;
  /** Whether scripts of those packages run while they are installed. */
  installScripts: boolean;
}

/** The app cannot be run, or not by any attempt: the run fails with this message. */
export class AppError extends Error {
  override name = "AppError";
}

const RUNTIMES = ["node", "deno"];
/** The permission by which a manifest lets packages run their scripts. */
const INSTALL_SCRIPTS = { type: "system", scope: "install-scripts" };
const DEFAULT_ENTRYPOINT = "index.js";
/** Of what a manifest says, in an error. */
const MAX_TOLD = 100;

/** @param manifest as stored; a version without one is run as Node's index.js. */
export function definitionOf(manifest: Json, bounds: LimitBounds): AppDefinition {
  const root = object(manifest);
  const runtime = object(root.runtime);
  if (manifest !== null && runtime.backend === undefined) {
    throw new AppError("The app has no backend to run (runtime.backend in its manifest).");
  }
  const backend = object(runtime.backend);
  const type = backend.type ?? "node";
  if (typeof type !== "string" || !RUNTIMES.includes(type)) {
    throw new AppError(
      `The runtime ${JSON.stringify(type)} is not supported; there are ${RUNTIMES.join(" and ")}.`,
    );
  }
  const entrypoint = backend.entrypoint ?? DEFAULT_ENTRYPOINT;
  if (typeof entrypoint !== "string" || !isInside(entrypoint)) {
    throw new AppError(
      `The entrypoint ${JSON.stringify(entrypoint)} is not a path inside the app.`,
    );
  }
  const permissions = Array.isArray(root.permissions) ? root.permissions.map(object) : [];
  return {
    runtime: type as Runtime,
    ...(backend.version !== undefined && { runtimeRange: String(backend.version) }),
    entrypoint,
    limits: limitsOf(object(root.config), bounds),
    network: networkOf(permissions),
    packageManager: backend.package_manager === "npm" ? "npm" : "pnpm",
    dependencies: Object.fromEntries(
      Object.entries(object(backend.dependencies)).map(([name, range]) => [name, String(range)]),
    ),
    installScripts: permissions.some(({ type, scope }) =>
      type === INSTALL_SCRIPTS.type && scope === INSTALL_SCRIPTS.scope
    ),
  };
}

const RUNTIME_NAMES = { node: "Node", deno: "Deno" } as const satisfies Record<Runtime, string>;

/** @throws AppError where the app does not run on the version of its runtime that is here */
export function requireRuntime(
  { runtime, runtimeRange }: AppDefinition,
  versions: RuntimeVersions,
): void {
  if (runtimeRange === undefined) return;
  const present = parseVersion(versions[runtime]);
  const range = compileRange(runtimeRange);
  if (present && range && satisfies(present, range)) return;
  const name = RUNTIME_NAMES[runtime];
  throw new AppError(
    `The app runs on ${name} ${
      shortened(runtimeRange, MAX_TOLD)
    } (runtime.backend.version in its manifest), and this ` +
      `executor has ${name} ${versions[runtime]}.`,
  );
}

/** A scope that opens nothing is refused where the app cannot do without it, and otherwise gives nothing. */
function networkOf(permissions: Record<string, unknown>[]): string[] {
  return permissions.filter(({ type }) => type === "network").flatMap(({ scope, required }) => {
    const refusal = scopeRefusal(String(scope));
    if (refusal === null) return [String(scope)];
    if (required === false) return [];
    throw new AppError(`The app's network permission cannot be given: ${refusal}.`);
  });
}

function isInside(path: string): boolean {
  return path !== "" && !path.includes("\\") && !path.includes("\0") &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : {};
}
