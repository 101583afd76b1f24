const NUMBER = "(0|[1-9][0-9]*)";
const IDENTIFIER = "(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)";

/** Semantic version 2.0.0. The same rule as `private.is_semver` in the database, which also limits the length. */
export const SEMVER = new RegExp(
  `^${NUMBER}\\.${NUMBER}\\.${NUMBER}(-${IDENTIFIER}(\\.${IDENTIFIER})*)?(\\+[0-9a-zA-Z-]+(\\.[0-9a-zA-Z-]+)*)?$`,
);

export const MAX_VERSION_LENGTH = 64;

export function isSemver(value: string): boolean {
  return value.length <= MAX_VERSION_LENGTH && SEMVER.test(value);
}

/** A version taken apart; build metadata has no part in precedence. */
export interface ParsedVersion {
  readonly text: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Empty for a release. */
  readonly prerelease: ReadonlyArray<string | number>;
}

/** Null for what is no semantic version, and for numbers that npm does not take either, above 2^53 - 1. */
export function parseVersion(text: string): ParsedVersion | null {
  if (!isSemver(text)) return null;
  const bare = text.split("+", 1)[0];
  const dash = bare.indexOf("-");
  const [major, minor, patch] = (dash < 0 ? bare : bare.slice(0, dash)).split(".").map(Number);
  const prerelease = dash < 0 ? [] : bare.slice(dash + 1).split(".").map((identifier) => {
    const number = /^[0-9]+$/.test(identifier) ? Number(identifier) : NaN;
    return Number.isSafeInteger(number) ? number : identifier;
  });
  if (![major, minor, patch].every(Number.isSafeInteger)) return null;
  return { text, major, minor, patch, prerelease };
}

/** Precedence (semver.org, 11): negative, zero or positive. The same order as `private.semver_key` in the database. */
export function compareVersions(a: ParsedVersion, b: ParsedVersion): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch ||
    comparePrereleases(a.prerelease, b.prerelease);
}

type Prerelease = ParsedVersion["prerelease"];

function comparePrereleases(a: Prerelease, b: Prerelease): number {
  if (a.length === 0 || b.length === 0) return b.length - a.length;
  for (let index = 0; index < a.length && index < b.length; index++) {
    const [left, right] = [a[index], b[index]];
    if (left === right) continue;
    if (typeof left === "number" && typeof right === "number") return left - right;
    if (typeof left !== typeof right) return typeof left === "number" ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return a.length - b.length;
}
