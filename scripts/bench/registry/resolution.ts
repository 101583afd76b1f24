/** Resolution of a large graph beside npm's own `semver`, in memory, written plainly. */
import semver from "semver";
import { seededRandom } from "../../test/cron/cases.ts";
import { type Candidates, resolve } from "../../../supabase/functions/_shared/registry/resolve.ts";
import { median, medianRatio } from "../queue/statistics.ts";

const PACKAGES = 10_000;
const NEEDS = 5;
const ROUNDS = 7;
const RANGES = ["^1.0.0", ">=1.0.0 <2.0.0", "1.x", "^1.0.0 || ^0.9.0", "~1.0.0 || >=1.1.0 <2"];

export interface ResolutionResult {
  packages: number;
  edges: number;
  /** Milliseconds, medians. */
  ours: number;
  plain: number;
  /** How many times as fast as the plain one. */
  ratio: number;
}

/** Each package has one to five versions, and each version needs five packages after it. */
function invent(): Candidates {
  const random = seededRandom(7);
  const int = (below: number) => Math.floor(random() * below);
  const packages: Candidates = {};
  for (let index = 0; index < PACKAGES; index++) {
    const after = PACKAGES - index - 1;
    const needed = new Set<number>([Math.min(index + 1, PACKAGES - 1)]);
    while (needed.size < Math.min(NEEDS, after)) needed.add(index + 1 + int(after));
    const dependencies = Object.fromEntries(
      after === 0 ? [] : [...needed].map((other) => [`n/p${other}`, RANGES[int(RANGES.length)]]),
    );
    packages[`n/p${index}`] = Array.from({ length: 1 + int(5) }, (_, minor) => ({
      version: `1.${minor}.${int(20)}`,
      dependencies,
    }));
  }
  return packages;
}

/** As one writes it with npm's `semver`: the highest that satisfies, for each need of each chosen version. */
function plain(packages: Candidates, root: string): Map<string, string> {
  const chosen = new Map<string, string>();
  const seen = new Set<string>();
  const queue: Array<[string, string]> = [[root, "*"]];
  for (const [name, range] of queue) {
    const versions = packages[name];
    const version = semver.maxSatisfying(versions.map((candidate) => candidate.version), range);
    if (version === null) throw new Error(`nothing of ${name} satisfies ${range}`);
    if (seen.has(`${name}@${version}`)) continue;
    seen.add(`${name}@${version}`);
    chosen.set(name, version);
    const { dependencies } = versions.find((candidate) => candidate.version === version)!;
    queue.push(...Object.entries(dependencies));
  }
  return chosen;
}

export function measureResolution(): ResolutionResult {
  const packages = invent();
  const ours: number[] = [];
  const theirs: number[] = [];
  let edges = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const [a, resolution] = timed(() => resolve(packages, { "n/p0": "*" }));
    const [b, chosen] = timed(() => plain(packages, "n/p0"));
    ours.push(a);
    theirs.push(b);
    edges = resolution.edges.length;
    if (!resolution.ok || chosen.size !== resolution.nodes.length) throw new Error("they differ");
    for (const [name, version] of chosen) {
      if (resolution.versions[name] !== version) throw new Error(`they differ on ${name}`);
    }
  }
  return {
    packages: PACKAGES,
    edges,
    ours: median(ours),
    plain: median(theirs),
    ratio: medianRatio(theirs, ours),
  };
}

function timed<T>(work: () => T): [number, T] {
  const started = performance.now();
  const result = work();
  return [performance.now() - started, result];
}
