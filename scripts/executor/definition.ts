/** What a version's manifest says of how it is run. */
import type { Json } from "../../supabase/functions/_shared/database.types.ts";
import { parseGrant } from "./egress/grants.ts";
import { type LimitBounds, type Limits, limitsOf } from "./sandbox/limits.ts";
import type { Runtime } from "./sandbox/types.ts";

export interface AppDefinition {
  runtime: Runtime;
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

/** A scope that opens nothing is refused where the app cannot do without it, and otherwise gives nothing. */
function networkOf(permissions: Record<string, unknown>[]): string[] {
  return permissions.filter(({ type }) => type === "network").flatMap(({ scope, required }) => {
    const grant = parseGrant(String(scope));
    if (typeof grant !== "string") return [String(scope)];
    if (required === false) return [];
    throw new AppError(`The app's network permission cannot be given: ${grant}.`);
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
