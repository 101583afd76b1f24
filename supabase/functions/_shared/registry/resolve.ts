/**
 * Resolution: one version of each package that is needed, the highest that everybody who needs it takes. Pure, and linear
 * in what can be reached: names become numbers once, ranges are compared without text.
 *
 * There is no going back: where no version suits all who need a package, the conflict is explained by who needs what, and
 * is theirs to solve. Nothing is chosen that nobody asked for to make it go away.
 */
import { AppError } from "../errors.ts";
import { MAX_RESOLUTION_STEPS } from "../limits.ts";
import { compareVersions, type ParsedVersion, parseVersion } from "../semver.ts";
import { findCycles } from "./cycles.ts";
import { compileRange, highestMatch, satisfies, type VersionRange } from "./ranges.ts";

/** A version that may be chosen, and the ranges of what it needs, by "namespace/name". */
export interface Candidate {
  version: string;
  dependencies: Record<string, string>;
  status?: string;
  reason?: string | null;
}

/** Versions by "namespace/name", in any order. */
export type Candidates = Record<string, Candidate[]>;

export interface Requirer {
  /** "namespace/name@version", or null for the caller's own requirements. */
  package: string | null;
  range: string;
}

export interface Missing {
  package: string;
  reason: "unknown_package" | "no_matching_version";
  required_by: Requirer[];
  /** What there is instead, newest first. */
  available: string[];
  message: string;
}

export interface Conflict {
  package: string;
  required_by: Requirer[];
  available: string[];
  message: string;
}

export interface ResolvedNode {
  package: string;
  version: string;
  /** How far it is from the root. */
  depth: number;
  status?: string;
  reason?: string | null;
}

export interface ResolvedEdge {
  from: string;
  to: string;
  range: string;
  /** False where the chosen version is none that this requirer takes. */
  satisfied: boolean;
}

export interface Resolution {
  ok: boolean;
  /** What was chosen, by name; the root included. */
  versions: Record<string, string>;
  nodes: ResolvedNode[];
  /** From and to are "namespace/name@version". */
  edges: ResolvedEdge[];
  missing: Missing[];
  conflicts: Conflict[];
  /** Each in the order of its dependencies, ending where it began. */
  cycles: string[][];
}

interface Need {
  /** Index of the requirer's package; -1 for the caller. */
  from: number;
  to: number;
  range: VersionRange | null;
  text: string;
}

interface Choice {
  candidate: Candidate;
  parsed: ParsedVersion;
  needs: Need[] | null;
}

interface Package {
  id: string;
  choices: Choice[];
  versions: ParsedVersion[];
  prereleases: number;
  /** What it takes to hold one version against all needs. */
  weight: number;
  /** Who needs it in this round. */
  needs: Need[];
  selected: number;
  depth: number;
  round: number;
  label: string | null;
}

/** After so many rounds a choice may only become older, so that two packages cannot swap choices for ever. */
const FREE_ROUNDS = 8;
const MOST_ROUNDS = 1000;

/**
 * Resolves what `roots` need (ranges by "namespace/name"), from the candidates. Which candidates there are decides what can
 * be found: archived versions and drafts are not among them. Error: `package_graph_too_large`, for graphs that somebody made
 * to keep others busy.
 */
export function resolve(candidates: Candidates, roots: Record<string, string>): Resolution {
  const graph = new Graph(candidates, roots);
  for (let round = 1; round <= MOST_ROUNDS; round++) {
    graph.walk(round);
    if (!graph.choose(round > FREE_ROUNDS)) break;
  }
  return report(graph);
}

class Graph {
  readonly packages: Package[] = [];
  readonly roots: Need[];
  order: Package[] = [];
  #steps = 0;
  #indexes = new Map<string, number>();

  constructor(readonly candidates: Candidates, roots: Record<string, string>) {
    this.roots = this.#needs(-1, roots);
  }

  /** Counts work; ends it where no honest graph comes to. */
  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > MAX_RESOLUTION_STEPS) throw new AppError("package_graph_too_large");
  }

  /** Finds what can be reached with the present choices, nearest first, and notes who needs it. */
  walk(round: number): void {
    const order: Package[] = [];
    const reach = (need: Need, depth: number) => {
      const target = this.packages[need.to];
      if (target.round !== round) {
        target.round = round;
        target.depth = depth;
        target.needs = [];
        target.weight = 0;
        order.push(target);
      }
      target.needs.push(need);
      target.weight += need.range?.intervals.length ?? 1;
    };
    for (const need of this.roots) reach(need, 0);
    for (let index = 0; index < order.length; index++) {
      const target = order[index];
      this.spend(target.needs.length);
      // By those who are known so far; the others are heard when all are.
      if (target.selected === UNDECIDED) target.selected = pick(target, this);
      if (target.selected < 0) continue;
      for (const need of this.needsOf(target)) reach(need, target.depth + 1);
    }
    this.order = order;
  }

  /** Chooses anew with all who need each package; whether any choice changed. */
  choose(onlyOlder: boolean): boolean {
    let changed = false;
    for (const target of this.order) {
      const wanted = pick(target, this);
      if (wanted === target.selected || (onlyOlder && wanted < target.selected)) continue;
      target.selected = wanted;
      changed = true;
    }
    return changed;
  }

  needsOf(target: Package): Need[] {
    const choice = target.choices[target.selected];
    return choice.needs ??= this.#needs(
      this.#indexes.get(target.id)!,
      choice.candidate.dependencies,
    );
  }

  #needs(from: number, ranges: Record<string, string>): Need[] {
    const needs: Need[] = [];
    for (const name in ranges) {
      const text = ranges[name];
      needs.push({ from, to: this.#index(name), range: compileRange(text), text });
    }
    return needs;
  }

  #index(id: string): number {
    const known = this.#indexes.get(id);
    if (known !== undefined) return known;
    const choices: Choice[] = [];
    for (const candidate of Object.hasOwn(this.candidates, id) ? this.candidates[id] : []) {
      const parsed = parseVersion(candidate.version);
      if (parsed) choices.push({ candidate, parsed, needs: null });
    }
    choices.sort((a, b) => compareVersions(b.parsed, a.parsed));
    const versions = choices.map(({ parsed }) => parsed);
    const index = this.packages.length;
    this.packages.push({
      ...{ id, choices, versions },
      prereleases: versions.filter(({ prerelease }) => prerelease.length > 0).length,
      ...{ needs: [], weight: 0, selected: UNDECIDED, depth: 0, round: 0, label: null },
    });
    this.#indexes.set(id, index);
    return index;
  }
}

const UNDECIDED = -2;
const NONE = -1;

/** The highest version that all take; where there is none, the highest that the nearest requirer takes. */
function pick(target: Package, graph: Graph): number {
  const { needs, versions, weight } = target;
  // Where a range takes none of them, pre-releases are passed over one by one.
  graph.spend(1 + target.prereleases * (needs[0].range?.intervals.length ?? 0));
  const first = needs[0].range ? highestMatch(versions, needs[0].range) : NONE;
  if (needs.length === 1) return first;
  for (let index = Math.max(first, 0); index < versions.length; index++) {
    graph.spend(weight);
    if (needs.every(({ range }) => range !== null && satisfies(versions[index], range))) {
      return index;
    }
  }
  if (first >= 0) return first;
  for (const { range } of needs) {
    const match = range ? highestMatch(versions, range) : NONE;
    if (match >= 0) return match;
  }
  return NONE;
}

/** Once a package, when all is chosen: it stands in every edge. */
function label(target: Package): string {
  const { id, choices, selected } = target;
  return target.label ??= selected < 0 ? id : `${id}@${choices[selected].candidate.version}`;
}

function report(graph: Graph): Resolution {
  const { packages, order } = graph;
  const resolution: Resolution = {
    ...{ ok: true, versions: {}, nodes: [], edges: [] },
    ...{ missing: [], conflicts: [], cycles: [] },
  };
  for (const target of order) {
    const chosen = target.selected < 0 ? null : target.choices[target.selected];
    if (chosen) {
      const { version, status, reason } = chosen.candidate;
      resolution.versions[target.id] = version;
      resolution.nodes.push({ package: target.id, version, depth: target.depth, status, reason });
    }
    const unmet: Need[] = [];
    for (const need of target.needs) {
      const satisfied = chosen !== null && need.range !== null &&
        satisfies(chosen.parsed, need.range);
      if (!satisfied) unmet.push(need);
      if (need.from >= 0) {
        const from = label(packages[need.from]);
        resolution.edges.push({ from, to: label(target), range: need.text, satisfied });
      }
    }
    if (unmet.length > 0) explain(target, unmet, graph, resolution);
  }
  const next = (target: Package): Package[] =>
    target.selected < 0 ? [] : graph.needsOf(target).map(({ to }) => packages[to]);
  resolution.cycles = findCycles(order, next).map((cycle) => cycle.map(label));
  resolution.ok = resolution.missing.length + resolution.conflicts.length +
      resolution.cycles.length === 0;
  return resolution;
}

function explain(
  target: Package,
  unmet: Need[],
  graph: Graph,
  resolution: Resolution,
): void {
  const { id, versions } = target;
  const { packages } = graph;
  graph.spend(target.prereleases * target.weight);
  const available = target.choices.map(({ candidate }) => candidate.version);
  const requirer = ({ from, text }: Need): Requirer => ({
    package: from < 0 ? null : label(packages[from]),
    range: text,
  });
  const hopeless = unmet.filter(({ range }) => !range || highestMatch(versions, range) < 0);
  if (hopeless.length > 0) {
    const required_by = hopeless.map(requirer);
    const reason = versions.length === 0 ? "unknown_package" : "no_matching_version";
    const message = reason === "unknown_package"
      ? `There is no package ${id}: ${who(required_by)}.`
      : `No version of ${id} suits: ${who(required_by)}; there are ${some(available)}.`;
    resolution.missing.push({ package: id, reason, required_by, available, message });
  }
  const without = new Set(hopeless);
  const possible = target.needs.filter((need) => !without.has(need));
  if (unmet.length === hopeless.length) return;
  const required_by = quarrel(possible, versions, graph).map(requirer);
  resolution.conflicts.push({
    ...{ package: id, required_by, available },
    message: `No version of ${id} suits all: ${who(required_by)}; there are ${some(available)}.`,
  });
}

/** The two that cannot agree; all, if any two could. */
function quarrel(all: Need[], versions: ParsedVersion[], graph: Graph): Need[] {
  // Who asks for the same cannot quarrel.
  const seen = new Set<Need["range"]>();
  const needs = all.filter(({ range }) => !seen.has(range) && seen.add(range));
  for (const [index, one] of needs.entries()) {
    for (const other of needs.slice(index + 1)) {
      graph.spend(versions.length);
      const agree = versions.some((version) =>
        satisfies(version, one.range!) && satisfies(version, other.range!)
      );
      if (!agree) return [one, other];
    }
  }
  return all;
}

const MOST_NAMED = 10;

function who(requirers: Requirer[]): string {
  const said = requirers.map(({ package: name, range }) =>
    `${name ?? "you"} need${name ? "s" : ""} ${range}`
  );
  return said.length > MOST_NAMED
    ? `${said.slice(0, MOST_NAMED).join(", ")}, and ${said.length - MOST_NAMED} more`
    : said.join(", ");
}

function some(versions: string[]): string {
  return versions.length > MOST_NAMED
    ? `${versions.slice(0, MOST_NAMED).join(", ")}, …`
    : versions.join(", ");
}
