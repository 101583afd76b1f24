/**
 * The way between two versions of a handler.
 *
 * A way goes forward all along, or backward all along: going past the target and back would lose what the versions between do
 * not know. Of all such ways the one with the fewest hops is taken; of several, that through the smaller versions; should
 * there be one of each direction, which takes versions of equal precedence, the shorter, then forward. A hop is made of all
 * transformers between its two versions, by the time they were created, then by id.
 */
import type { Transformer } from "./contract.ts";
import { byCodeUnit } from "./json.ts";
import { byVersion } from "./order.ts";

/** What leads from one version to the other, of these transformers of one handler; empty where nothing does. */
export function findPath(transformers: Transformer[], from: string, to: string): Transformer[] {
  if (from === to) return [];
  const ways = (["forward", "backward"] as const)
    .map((direction) => transformers.filter((one) => one.direction === direction))
    .map((candidates) => ({ candidates, versions: shortest(hopsOf(candidates), from, to) }))
    .filter(({ versions }) => versions.length > 0)
    .sort((a, b) => a.versions.length - b.versions.length);
  if (ways.length === 0) return [];
  const [{ candidates, versions }] = ways;
  return versions.slice(1).flatMap((version, index) =>
    candidates
      .filter((one) => one.fromVersion === versions[index] && one.toVersion === version)
      .sort((a, b) => a.createdAt - b.createdAt || byCodeUnit(a.id, b.id))
  );
}

/** Where one gets from each version in one hop, smaller versions first. */
function hopsOf(transformers: Transformer[]): Map<string, string[]> {
  const hops = new Map<string, Set<string>>();
  for (const { fromVersion, toVersion } of transformers) {
    const targets = hops.get(fromVersion) ?? new Set();
    hops.set(fromVersion, targets.add(toVersion));
  }
  return new Map([...hops].map(([from, targets]) => [from, [...targets].sort(byVersion)]));
}

/** The versions on the shortest way, both ends included; none if there is no way. Breadth first, so the first found is it. */
function shortest(hops: Map<string, string[]>, from: string, to: string): string[] {
  const cameFrom = new Map<string, string | undefined>([[from, undefined]]);
  // A map gives its keys in the order in which they were added, those added meanwhile included.
  for (const version of cameFrom.keys()) {
    for (const next of hops.get(version) ?? []) {
      if (!cameFrom.has(next)) cameFrom.set(next, version);
    }
  }
  if (!cameFrom.has(to)) return [];
  const way: string[] = [];
  for (let at: string | undefined = to; at !== undefined; at = cameFrom.get(at)) way.unshift(at);
  return way;
}
