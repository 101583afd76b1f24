/** The orders in which answers come. */
import { compareVersions, parseVersion } from "../semver.ts";
import { byCodeUnit } from "./json.ts";

interface Versioned {
  version: string;
  createdAt: number;
}

/** From the oldest to the newest; see `ManifestStore.getManifest`. */
export function byAge(a: Versioned, b: Versioned): number {
  return a.createdAt - b.createdAt || byVersion(a.version, b.version);
}

/** By precedence; versions that differ in build metadata alone, by their text. */
export function byVersion(a: string, b: string): number {
  return byPrecedence(a, b) || byCodeUnit(a, b);
}

/** semver.org, 11, of versions that `isVersion` takes. */
export function byPrecedence(a: string, b: string): number {
  return compareVersions(parseVersion(a)!, parseVersion(b)!);
}

/** A semantic version all of whose numbers JavaScript counts exactly, so that every backend orders it alike. */
export function isVersion(text: string): boolean {
  const parsed = parseVersion(text);
  return parsed !== null &&
    parsed.prerelease.every((one) => typeof one === "number" || !/^[0-9]+$/.test(one));
}
