/** What the answers say. Pure. */
import { AppError } from "../_shared/errors.ts";
import { packageId, type PackageName } from "../_shared/registry/names.ts";
import { compileRange, highestMatch } from "../_shared/registry/ranges.ts";
import type { Resolution } from "../_shared/registry/resolve.ts";
import { isSemver, type ParsedVersion, parseVersion } from "../_shared/semver.ts";
import type { PackageRecord, VersionRecord, VersionSummary } from "./store.ts";

export function packageNotFound(): AppError {
  return new AppError("package_not_found", "Package not found");
}

/** For whoever reads the package. Drafts that they do not read are no versions either. */
export function versionNotFound(): AppError {
  return new AppError("package_not_found", "Package not found: it has no such version.");
}

/** A path's version: exact, `latest`, or a range. */
export type Wanted = { kind: "exact" | "latest" | "range"; text: string };

export function readWanted(text: string): Wanted {
  if (isSemver(text)) return { kind: "exact", text };
  if (text === "latest") return { kind: "latest", text };
  if (compileRange(text)) return { kind: "range", text };
  throw new AppError("invalid_request", `${text}: neither a version, nor a range, nor latest.`, {
    errors: [{
      code: "invalid",
      message: "must be a version, a range as npm reads it, or latest",
      path: "version",
      pointer: "/version",
    }],
  });
}

/** The version that is meant. 404 if none is; archived versions and drafts are found by their exact version alone. */
export function chooseVersion(record: PackageRecord, wanted: Wanted): VersionSummary {
  const found = wanted.kind === "latest"
    ? record.versions.find(({ version }) => version === record.latest_version)
    : wanted.kind === "exact"
    ? record.versions.find(({ version }) => version === wanted.text)
    : highest(record, wanted.text);
  if (!found) throw versionNotFound();
  return found;
}

function highest({ versions }: PackageRecord, range: string): VersionSummary | undefined {
  const live = versions.flatMap((summary) => {
    const parsed = parseVersion(summary.version);
    const resolves = summary.status === "published" || summary.status === "deprecated";
    return parsed && resolves ? [{ summary, parsed }] : [];
  });
  const parsed: ParsedVersion[] = live.map((one) => one.parsed);
  return live[highestMatch(parsed, compileRange(range)!)]?.summary;
}

/** A package without its versions. */
export function describe(record: PackageRecord): Record<string, unknown> {
  const { id: _, versions, ...rest } = record;
  return {
    ...rest,
    id: packageId(record),
    version_count: versions.length,
    deprecated: versions.length > 0 && versions.every(({ status }) => status !== "published"),
  };
}

export function describeSummary(summary: VersionSummary): Record<string, unknown> {
  const { id: _, is_public: _public, ...rest } = summary;
  return rest;
}

/** A version without its content. */
export function describeVersion(record: VersionRecord): Record<string, unknown> {
  const hidden = ["id", "package_id", "is_public", "yaml_content", "storage_path"];
  const shown = Object.entries(record).filter(([name]) => !hidden.includes(name));
  return { id: packageId(record), ...Object.fromEntries(shown) };
}

/** Headers that say of a version what its users should know. */
export function statusHeaders(
  { version, status, status_reason }: Pick<VersionSummary, "version" | "status" | "status_reason">,
): Record<string, string> {
  const headers: Record<string, string> = {
    "x-package-version": version,
    "x-package-status": status,
  };
  if (status === "deprecated" || status === "archived") {
    // A quoted string takes visible ASCII only.
    const reason = (status_reason ?? "no reason given").replaceAll(/[^ -~]/g, "?")
      .replaceAll(/["\\]/g, "\\$&");
    headers.warning = `299 - "${status}: ${reason}"`;
  }
  return headers;
}

/** What a publisher should know of what was published all the same. */
export function warningsOf(resolution: Resolution, unresolved: string[]): string[] {
  return [
    ...resolution.missing.map(({ message }) => message),
    ...resolution.conflicts.map(({ message }) => message),
    ...unresolved.map((path) => `No file of this version or of its dependencies is ${path}.`),
  ];
}

/** The cycle that a new version would close; undefined if there is none. */
export function cycleThrough(resolution: Resolution, name: PackageName): string[] | undefined {
  const own = `${packageId(name)}@`;
  return resolution.cycles.find((cycle) => cycle.some((label) => label.startsWith(own)));
}
