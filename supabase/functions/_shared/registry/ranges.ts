/**
 * Ranges of versions as npm reads them: npm's own parser takes the text apart, once a text. What is left are intervals, in
 * which the highest of a sorted list of versions is found without any text.
 */
import semver from "semver";
import { MAX_RANGE_LENGTH } from "../limits.ts";
import { compareVersions, type ParsedVersion, parseVersion } from "../semver.ts";

/** One alternative of a range: versions between two bounds. */
interface Interval {
  low?: ParsedVersion;
  lowInclusive: boolean;
  high?: ParsedVersion;
  highInclusive: boolean;
  /** Pre-releases are taken of these versions only: those that the range itself names a pre-release of. */
  prereleasesOf: ReadonlyArray<ParsedVersion>;
}

export interface VersionRange {
  readonly text: string;
  readonly intervals: ReadonlyArray<Interval>;
}

const compiled = new Map<string, VersionRange | null>();
let kept = 0;
/** Intervals, of which one text may be full. */
const MOST_KEPT = 20_000;

/** The range; null if npm would not take the text, or if it is longer than any that people write. */
export function compileRange(text: string): VersionRange | null {
  if (text.length > MAX_RANGE_LENGTH) return null;
  const known = compiled.get(text);
  if (known !== undefined) return known;
  const range = compile(text);
  kept += range?.intervals.length ?? 1;
  // What was there first is not better than what comes, and beginning anew keeps this small.
  if (kept > MOST_KEPT) {
    compiled.clear();
    kept = 0;
  }
  compiled.set(text, range);
  return range;
}

function compile(text: string): VersionRange | null {
  const parsed = semver.validRange(text) === null ? null : new semver.Range(text);
  if (!parsed) return null;
  return {
    text,
    intervals: parsed.set.map((comparators) => intervalOf(comparators as semver.Comparator[])),
  };
}

function intervalOf(comparators: semver.Comparator[]): Interval {
  const interval: Interval = { lowInclusive: true, highInclusive: true, prereleasesOf: [] };
  const prereleasesOf: ParsedVersion[] = [];
  for (const comparator of comparators) {
    const bound = comparator.semver instanceof semver.SemVer
      ? parseVersion(comparator.semver.version)
      : null;
    // Any version.
    if (!bound) continue;
    if (bound.prerelease.length > 0) prereleasesOf.push(bound);
    const { operator } = comparator as { operator: string };
    if (operator !== "<" && operator !== "<=") raise(interval, bound, operator !== ">");
    if (operator !== ">" && operator !== ">=") lower(interval, bound, operator !== "<");
  }
  return { ...interval, prereleasesOf };
}

function raise(interval: Interval, bound: ParsedVersion, inclusive: boolean): void {
  const order = interval.low ? compareVersions(bound, interval.low) : 1;
  if (order < 0 || (order === 0 && inclusive)) return;
  interval.low = bound;
  interval.lowInclusive = inclusive;
}

function lower(interval: Interval, bound: ParsedVersion, inclusive: boolean): void {
  const order = interval.high ? compareVersions(bound, interval.high) : -1;
  if (order > 0 || (order === 0 && inclusive)) return;
  interval.high = bound;
  interval.highInclusive = inclusive;
}

/** Whether npm's `satisfies` would say yes. */
export function satisfies(version: ParsedVersion, range: VersionRange): boolean {
  return range.intervals.some((interval) =>
    isBelowHigh(version, interval) && isAboveLow(version, interval) &&
    takesPrerelease(version, interval)
  );
}

function isBelowHigh(version: ParsedVersion, { high, highInclusive }: Interval): boolean {
  if (!high) return true;
  const order = compareVersions(version, high);
  return order < 0 || (order === 0 && highInclusive);
}

function isAboveLow(version: ParsedVersion, { low, lowInclusive }: Interval): boolean {
  if (!low) return true;
  const order = compareVersions(version, low);
  return order > 0 || (order === 0 && lowInclusive);
}

function takesPrerelease(version: ParsedVersion, { prereleasesOf }: Interval): boolean {
  return version.prerelease.length === 0 ||
    prereleasesOf.some((of) =>
      of.major === version.major && of.minor === version.minor && of.patch === version.patch
    );
}

/** The index of the highest version in the range, of versions sorted newest first; -1 if there is none. */
export function highestMatch(versions: ReadonlyArray<ParsedVersion>, range: VersionRange): number {
  let best = -1;
  for (const interval of range.intervals) {
    // The first one that is not above the interval.
    let from = 0;
    for (let to = versions.length; from < to;) {
      const middle = (from + to) >> 1;
      if (isBelowHigh(versions[middle], interval)) to = middle;
      else from = middle + 1;
    }
    for (let index = from; index < versions.length && (best < 0 || index < best); index++) {
      if (!isAboveLow(versions[index], interval)) break;
      if (takesPrerelease(versions[index], interval)) best = index;
    }
  }
  return best;
}
