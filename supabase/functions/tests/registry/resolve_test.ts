import semver from "semver";
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { seededRandom } from "../../../../scripts/test/cron/cases.ts";
import { toGraphviz, toMermaid, toTree } from "../../_shared/registry/graph.ts";
import { type Candidates, resolve } from "../../_shared/registry/resolve.ts";

/** `{"a/a@1.0.0": {"a/b": "^1"}}` as candidates. */
function candidates(packages: Record<string, Record<string, string>>): Candidates {
  const result: Candidates = {};
  for (const [label, dependencies] of Object.entries(packages)) {
    const [id, version] = label.split("@");
    (result[id] ??= []).push({ version, dependencies });
  }
  return result;
}

Deno.test("the highest version that all requirers take is chosen, all the way down", () => {
  const { ok, versions, edges } = resolve(
    candidates({
      "a/app@1.0.0": { "a/lib": "^1.0.0", "a/tool": "2.x" },
      "a/lib@1.0.0": {},
      "a/lib@1.2.0": { "a/log": ">=1" },
      "a/lib@1.3.0": { "a/log": ">=1" },
      "a/lib@2.0.0": {},
      "a/lib@1.4.0-rc.1": {},
      "a/tool@2.1.0": { "a/lib": "<1.3.0", "a/log": "~1.1" },
      "a/log@1.1.4": {},
      "a/log@1.2.0": {},
    }),
    { "a/app": "*" },
  );
  assert(ok);
  assertEquals(versions, {
    "a/app": "1.0.0",
    "a/lib": "1.2.0",
    "a/tool": "2.1.0",
    "a/log": "1.1.4",
  });
  assert(edges.every(({ satisfied }) => satisfied));
});

Deno.test("what only an abandoned choice needed is not in the answer", () => {
  const { ok, versions } = resolve(
    candidates({
      "a/app@1.0.0": { "a/lib": "^1.0.0", "a/tool": "*" },
      "a/lib@1.9.0": { "a/only-here": "^1.0.0" },
      "a/lib@1.0.0": {},
      "a/tool@1.0.0": { "a/lib": "1.0.0" },
      "a/only-here@1.0.0": {},
    }),
    { "a/app": "*" },
  );
  assert(ok);
  assertEquals(Object.keys(versions).sort(), ["a/app", "a/lib", "a/tool"]);
});

Deno.test("cycles are named in order", () => {
  const resolution = resolve(
    candidates({
      "a/app@1.0.0": { "a/x": "^1", "a/p": "*" },
      "a/x@1.0.0": { "a/y": "^1" },
      "a/y@1.1.0": { "a/z": "^1" },
      "a/z@1.0.0": { "a/x": "^1", "a/app": "*" },
      "a/p@1.0.0": { "a/q": "*" },
      "a/q@1.0.0": { "a/p": "*" },
    }),
    { "a/p": "*", "a/x": "*" },
  );
  assertEquals(resolution.ok, false);
  assertEquals(resolution.cycles.sort((a, b) => a.length - b.length), [
    ["a/p@1.0.0", "a/q@1.0.0", "a/p@1.0.0"],
    ["a/x@1.0.0", "a/y@1.1.0", "a/z@1.0.0", "a/x@1.0.0"],
  ]);
});

Deno.test("ranges that cannot agree are explained by both requirers", () => {
  const { conflicts, ok } = resolve(
    candidates({
      "a/app@1.0.0": { "a/left": "1", "a/right": "1", "a/other": "1" },
      "a/left@1.0.0": { "a/log": "^1.0.0" },
      "a/right@1.0.0": { "a/log": "^2.0.0" },
      "a/other@1.0.0": { "a/log": "*" },
      "a/log@1.5.0": {},
      "a/log@2.5.0": {},
    }),
    { "a/app": "*" },
  );
  assertEquals(ok, false);
  assertEquals(conflicts, [{
    package: "a/log",
    required_by: [
      { package: "a/left@1.0.0", range: "^1.0.0" },
      { package: "a/right@1.0.0", range: "^2.0.0" },
    ],
    available: ["2.5.0", "1.5.0"],
    message:
      "No version of a/log suits all: a/left@1.0.0 needs ^1.0.0, a/right@1.0.0 needs ^2.0.0; there are 2.5.0, 1.5.0.",
  }]);
});

Deno.test("missing packages and versions name who needs them", () => {
  const { missing } = resolve(
    candidates({
      "a/app@1.0.0": { "a/gone": "^1.0.0", "a/old": "^3.0.0" },
      "a/old@1.0.0": {},
    }),
    { "a/app": "*", "b/nothing": "1" },
  );
  assertEquals(missing.map(({ message }) => message), [
    "There is no package b/nothing: you need 1.",
    "There is no package a/gone: a/app@1.0.0 needs ^1.0.0.",
    "No version of a/old suits: a/app@1.0.0 needs ^3.0.0; there are 1.0.0.",
  ]);
});

Deno.test("pre-releases are chosen only where a range names them, as by npm", () => {
  const only = candidates({ "a/x@1.0.0-beta.2": {}, "a/x@0.9.0": {} });
  assertEquals(resolve(only, { "a/x": "*" }).versions["a/x"], "0.9.0");
  assertEquals(resolve(only, { "a/x": ">=1.0.0-alpha" }).versions["a/x"], "1.0.0-beta.2");
});

Deno.test("two packages whose choices depend on each other come to an end", () => {
  const resolution = resolve(
    candidates({
      "a/x@1.0.0": {},
      "a/x@2.0.0": { "a/y": "1" },
      "a/y@1.0.0": { "a/x": "1" },
      "a/y@2.0.0": { "a/x": "2" },
    }),
    { "a/x": "*", "a/y": "*" },
  );
  assert(resolution.versions["a/x"] && resolution.versions["a/y"]);
});

Deno.test("a chain of 20,000 is resolved, without recursion", () => {
  const packages: Candidates = {};
  for (let index = 0; index < 20_000; index++) {
    packages[`a/p${index}`] = [{
      version: "1.0.0",
      dependencies: index < 19_999 ? { [`a/p${index + 1}`]: "^1.0.0" } : { "a/p0": "*" },
    }];
  }
  const resolution = resolve(packages, { "a/p0": "*" });
  const { nodes, cycles } = resolution;
  assertEquals([nodes.length, cycles.length, cycles[0].length], [20_000, 1, 20_001]);
  // Written as JSON, a tree of them all would overflow the stack.
  let last = toTree(resolution, "a/p0")!;
  assert(JSON.stringify(last).endsWith(`"cut":true}${"]}".repeat(199)}`));
  let levels = 1;
  for (; last.dependencies.length > 0; last = last.dependencies[0]) levels++;
  assertEquals([levels, last.cut], [200, true]);
});

Deno.test("random graphs: every choice is the highest that npm says all its requirers take", () => {
  const random = seededRandom(11);
  const int = (below: number) => Math.floor(random() * below);
  for (let round = 0; round < 200; round++) {
    const packages: Candidates = {};
    for (let index = 0; index < 12; index++) {
      packages[`a/p${index}`] = Array.from({ length: 1 + int(4) }, (_, minor) => ({
        version: `1.${minor}.0`,
        dependencies: Object.fromEntries(
          Array.from({ length: index < 11 ? int(3) : 0 }, () => [
            `a/p${index + 1 + int(11 - index)}`,
            ["^1.0.0", `>=1.${int(2)}.0`, `<1.${1 + int(4)}.0`][int(3)],
          ]),
        ),
      }));
    }
    const { versions, edges, conflicts, missing } = resolve(packages, { "a/p0": "*" });
    const unhappy = new Set([...conflicts, ...missing].map((problem) => problem.package));
    for (const [id, version] of Object.entries(versions)) {
      const ranges = edges.filter(({ to }) => to === `${id}@${version}`).map(({ range }) => range);
      if (unhappy.has(id)) continue;
      const all = packages[id].map((candidate) => candidate.version);
      assertEquals(version, semver.maxSatisfying(all, ranges.join(" ") || "*"), `${id}: ${ranges}`);
    }
    // What is called a conflict is one: no version suits the requirers that are named.
    for (const { package: id, required_by } of conflicts) {
      const all = packages[id].map((candidate) => candidate.version);
      const ranges = required_by.map(({ range }) => range).join(" ");
      assertEquals(semver.maxSatisfying(all, ranges), null);
    }
  }
});

Deno.test("the graph is nodes and edges, Graphviz, Mermaid and a tree", () => {
  const resolution = resolve(
    candidates({
      "a/app@1.0.0": { "a/lib": ">=1 <3", "a/log": "*", "a/gone": "1" },
      "a/lib@1.0.0": { "a/log": "^1.0.0" },
      "a/log@1.0.0": {},
    }),
    { "a/app": "*" },
  );
  assertEquals(resolution.nodes.map(({ package: id, depth }) => [id, depth]), [
    ["a/app", 0],
    ["a/lib", 1],
    ["a/log", 1],
  ]);
  assertEquals(
    toGraphviz(resolution),
    `digraph dependencies {
  rankdir=LR;
  node [shape=box];
  "a/app@1.0.0";
  "a/lib@1.0.0";
  "a/log@1.0.0";
  "a/gone" [style=dashed];
  "a/app@1.0.0" -> "a/lib@1.0.0" [label=">=1 <3"];
  "a/app@1.0.0" -> "a/log@1.0.0" [label="*"];
  "a/lib@1.0.0" -> "a/log@1.0.0" [label="^1.0.0"];
  "a/app@1.0.0" -> "a/gone" [label="1", color=red];
}
`,
  );
  assertEquals(
    toMermaid(resolution),
    `graph LR
  n0["a/app@1.0.0"]
  n1["a/lib@1.0.0"]
  n2["a/log@1.0.0"]
  n3["a/gone"]
  n0 -->|"#62;=1 #60;3"| n1
  n0 -->|"*"| n2
  n1 -->|"^1.0.0"| n2
  n0 -.->|"1"| n3
`,
  );
  assertEquals(toTree(resolution, "a/app"), {
    package: "a/app",
    version: "1.0.0",
    range: null,
    dependencies: [
      {
        package: "a/lib",
        version: "1.0.0",
        range: ">=1 <3",
        dependencies: [
          { package: "a/log", version: "1.0.0", range: "^1.0.0", repeated: true, dependencies: [] },
        ],
      },
      { package: "a/log", version: "1.0.0", range: "*", dependencies: [] },
      { package: "a/gone", version: null, range: "1", dependencies: [] },
    ],
  });
});
