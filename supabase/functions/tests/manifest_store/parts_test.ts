/** What the manifest store is made of, by itself. */
import fc from "fast-check";
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import type { Transformer } from "../../_shared/manifest_store/mod.ts";
import { byPrecedence, byVersion } from "../../_shared/manifest_store/order.ts";
import { findPath } from "../../_shared/manifest_store/paths.ts";
import { transformer } from "./samples.ts";

const VERSIONS = ["1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.0.0+a", "1.0.0+b", "1.2.0", "1.10.0"];

/** Every way that visits no version twice, by trying all; the best one by the rules of paths.ts. */
function bestByTrial(transformers: Transformer[], from: string, to: string): string[] {
  const ways: { direction: string; versions: string[] }[] = [];
  const walk = (direction: string, versions: string[]) => {
    const at = versions.at(-1)!;
    if (at === to) return void ways.push({ direction, versions });
    for (const one of transformers) {
      if (one.direction !== direction || one.fromVersion !== at) continue;
      if (!versions.includes(one.toVersion)) walk(direction, [...versions, one.toVersion]);
    }
  };
  walk("forward", [from]);
  walk("backward", [from]);
  ways.sort((a, b) =>
    a.versions.length - b.versions.length ||
    (a.direction === b.direction ? 0 : a.direction === "forward" ? -1 : 1) ||
    a.versions.map((version, index) => byVersion(version, b.versions[index]))
      .find((order) => order !== 0) ||
    0
  );
  if (ways.length === 0) return [];
  const [{ direction, versions }] = ways;
  return versions.slice(1).flatMap((version, index) =>
    transformers
      .filter((one) =>
        one.direction === direction && one.fromVersion === versions[index] &&
        one.toVersion === version
      )
      .sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
      .map(({ id }) => id)
  );
}

Deno.test("the way that is found is the best of all that there are", () => {
  const version = fc.constantFrom(...VERSIONS);
  const hops = fc.array(
    fc.record({ from: version, to: version, createdAt: fc.nat(2), backward: fc.boolean() }),
    { minLength: 4, maxLength: 16, size: "max" },
  );
  const lengths = new Map<number, number>();
  fc.assert(
    fc.property(hops, (list) => {
      const transformers = list.filter(({ from, to }) => from !== to)
        .map(({ from, to, createdAt, backward }, index) => {
          const order = byPrecedence(from, to) || (backward ? 1 : -1);
          return transformer({
            id: `${index}`,
            fromVersion: from,
            toVersion: to,
            direction: order < 0 ? "forward" : "backward",
            createdAt,
          });
        });
      for (const from of VERSIONS) {
        for (const to of VERSIONS) {
          const found = findPath(transformers, from, to).map(({ id }) => id);
          assertEquals(found, from === to ? [] : bestByTrial(transformers, from, to));
          lengths.set(found.length, (lengths.get(found.length) ?? 0) + 1);
        }
      }
    }),
    { numRuns: 300, seed: 1 },
  );
  for (const length of [0, 1, 2, 3, 4]) {
    assert((lengths.get(length) ?? 0) > 0, `no way had ${length} transformers`);
  }
});
