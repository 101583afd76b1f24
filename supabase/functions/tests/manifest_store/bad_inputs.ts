/** Input that every backend refuses, with the places that the error has to name. */
import type { ManifestStore } from "../../_shared/manifest_store/mod.ts";
import { graph, gtype, handler, hooks, metadata, step, transformer } from "./samples.ts";

export interface BadInput {
  what: string;
  call(store: ManifestStore): Promise<unknown>;
  paths: string[];
}

// deno-lint-ignore no-explicit-any -- it is the point of these inputs that the types forbid them
type Wrong = any;

function nested(depth: number): unknown {
  return depth === 0 ? 1 : [nested(depth - 1)];
}

const circular: Wrong = {};
circular.self = circular;

/** The whole handler manifest but for what is wrong. */
const wrongHandlers: [string, Wrong, ...string[]][] = [
  [
    "nothing in it",
    {},
    "handlerId",
    "version",
    "path",
    "method",
    "gtypes",
    "hooks",
    "timescapeVersion",
    "policies",
    "dependencies",
    "hash",
    "createdAt",
  ],
  ["an id with a space", handler({ handlerId: "user create" }), "handlerId"],
  ["an empty id", handler({ handlerId: "" }), "handlerId"],
  ["an id that is too long", handler({ handlerId: "a".repeat(256) }), "handlerId"],
  ["an id that is a number", handler({ handlerId: 7 as Wrong }), "handlerId"],
  ["a version with a v", handler({ version: "v1.0.0" }), "version"],
  ["a version with two numbers", handler({ version: "1.0" }), "version"],
  ["a version that is too long", handler({ version: `1.0.0-${"a".repeat(60)}` }), "version"],
  [
    "a version of a number that is not counted exactly",
    handler({ version: "9007199254740992.0.0" }),
    "version",
  ],
  [
    "a pre-release of a number that is not counted exactly",
    handler({ version: "1.0.0-9007199254740992" }),
    "version",
  ],
  ["a path without a slash", handler({ path: "users" }), "path"],
  ["a method in lower case", handler({ method: "get" }), "method"],
  ["no methods", handler({ method: [] }), "method"],
  [
    "a hook that is no text",
    handler({ hooks: { before: [1 as Wrong], after: [] } }),
    "hooks.before[0]",
  ],
  ["no request type", handler({ gtypes: { response: "R" } as Wrong }), "gtypes.request"],
  [
    "a rate limit of no time",
    handler({ policies: { rateLimit: { limit: 1, window: 0 } } }),
    "policies.rateLimit.window",
  ],
  ["a property that there is not", { ...handler(), colour: "red" }, "colour"],
  ["a time of the past century's past", handler({ createdAt: -1 }), "createdAt"],
  ["half a millisecond", handler({ createdAt: 1.5 }), "createdAt"],
  ["a time that is not counted exactly", handler({ createdAt: 2 ** 53 }), "createdAt"],
  ["a time that is no number", handler({ createdAt: NaN }), "createdAt"],
  ["a date", handler({ createdAt: new Date(0) as Wrong }), "createdAt"],
  ["NUL in a text", handler({ hash: "a\0b" }), "hash"],
  ["half a surrogate pair in a text", handler({ hash: "\ud800" }), "hash"],
  ["a line break in a text", handler({ hash: "a\nb" }), "hash"],
  ["null where a text belongs", handler({ hash: null as Wrong }), "hash"],
];

const wrongTypes: [string, Wrong, ...string[]][] = [
  ["an array of nothing", gtype({ ref: "A", kind: "array" }), "items"],
  ["a union of nothing", { ref: "A", kind: "union", types: [] }, "types"],
  ["a primitive of no type", { ref: "A", kind: "primitive" }, "primitiveType"],
  ["a kind that there is not", { ref: "A", kind: "class" }, "kind"],
  ["a required property that there is not", gtype({ required: ["name", "age"] }), "required[1]"],
  ["a mistake deep inside", {
    ref: "A",
    kind: "array",
    items: { ref: "B", kind: "union", types: [{ ref: "", kind: "object" }] },
  }, "items.types[0].ref"],
  [
    "a validator without a value",
    { ref: "A", kind: "object", validators: [{ type: "min" }] },
    "validators[0].value",
  ],
  [
    "a function",
    { ref: "A", kind: "object", validators: [{ type: "custom", value: () => 1 }] },
    "validators[0].value",
  ],
  [
    "a map",
    { ref: "A", kind: "object", validators: [{ type: "custom", value: new Map() }] },
    "validators[0].value",
  ],
  ["undefined in a list", {
    ref: "A",
    kind: "object",
    validators: [{ type: "enum", value: [undefined] }],
  }, "validators[0].value[0]"],
  [
    "a property called __proto__",
    JSON.parse('{"ref":"A","kind":"object","properties":{"__proto__":{}}}'),
    "properties.__proto__",
  ],
  ["values in endless nesting", {
    ref: "A",
    kind: "object",
    validators: [{ type: "enum", value: circular }],
  }, "validators[0].value"],
  ["values nested too deep", {
    ref: "A",
    kind: "object",
    validators: [{ type: "enum", value: nested(64) }],
  }, "validators[0].value"],
  ["more bytes than a document has", {
    ref: "A",
    kind: "object",
    validators: [{ type: "enum", value: "a".repeat(256 * 1024) }],
  }, ""],
  ["more values than a document has", {
    ref: "A",
    kind: "object",
    validators: [{ type: "enum", value: Array(50_001).fill(1) }],
  }, ""],
];

const wrongTransformers: [string, Wrong, ...string[]][] = [
  [
    "versions that are none",
    transformer({ fromVersion: "", toVersion: "2" }),
    "fromVersion",
    "toVersion",
  ],
  ["a way from a version to itself", transformer({ toVersion: "1.0.0" }), "toVersion"],
  [
    "a way forward to a smaller version",
    step("2.0.0", "1.0.0", { direction: "forward" }),
    "direction",
  ],
  [
    "a way backward to a greater version",
    step("1.0.0", "1.0.1-rc.1", { direction: "backward" }),
    "direction",
  ],
  [
    "a transformation of no kind",
    transformer({ transformations: [{ path: "a", type: "move" as Wrong, details: {} }] }),
    "transformations[0].type",
  ],
  [
    "a transformation without details",
    transformer({ transformations: [{ path: "a", type: "add" } as Wrong] }),
    "transformations[0].details",
  ],
];

const wrongGraphs: [string, Wrong, ...string[]][] = [
  ["no versions", graph({ versions: [] }), "versions", "currentVersion", "latestVersion"],
  [
    "a version twice",
    graph({ versions: [...graph().versions, graph().versions[0]] }),
    "versions[2].version",
  ],
  ["a current version that it does not have", graph({ currentVersion: "3.0.0" }), "currentVersion"],
  ["a latest version that it does not have", graph({ latestVersion: "3.0.0" }), "latestVersion"],
  [
    "a version that is its own parent",
    graph({ versions: graph().versions.map((node) => ({ ...node, parent: "2.0.0" })) }),
    "versions[1].parent",
  ],
];

const wrongMetadata: [string, Wrong, ...string[]][] = [
  [
    "a rollout of 101 %",
    metadata({ deployment: { strategy: "canary", status: "active", rolloutPercentage: 101 } }),
    "deployment.rolloutPercentage",
  ],
  [
    "an error rate above 1",
    metadata({ metrics: { ...metadata().metrics!, errorRate: 1.1 } }),
    "metrics.errorRate",
  ],
  [
    "a version that is compatible and not",
    metadata({
      compatibility: { compatible: ["1.0.0"], incompatible: ["1.0.0"], transformable: [] },
    }),
    "compatibility.incompatible[0]",
  ],
];

const wrongHooks: [string, Wrong, ...string[]][] = [
  ["a hook twice", hooks({ hooks: [hooks().hooks[0], hooks().hooks[0]] }), "hooks[1].id"],
  [
    "a hook of no level",
    hooks({ hooks: [{ ...hooks().hooks[0], level: "app" as Wrong }] }),
    "hooks[0].level",
  ],
];

function storing(
  noun: string,
  method: keyof ManifestStore,
  inputs: [string, Wrong, ...string[]][],
): BadInput[] {
  return inputs.map(([what, input, ...paths]) => ({
    what: `${noun} with ${what}`,
    paths,
    call: (store) => (store[method] as (input: unknown) => Promise<unknown>)(input),
  }));
}

export const BAD_INPUTS: BadInput[] = [
  ...storing("a handler manifest", "storeManifest", wrongHandlers),
  ...storing("a hook manifest", "storeHookManifest", wrongHooks),
  ...storing("a GType", "storeGType", wrongTypes),
  ...storing("a transformer", "storeTransformer", wrongTransformers),
  ...storing("a version graph", "storeVersionGraph", wrongGraphs),
  ...storing("timescape metadata", "storeTimescapeMetadata", wrongMetadata),
  ...([
    "storeManifest",
    "storeHookManifest",
    "storeGType",
    "storeTransformer",
    "storeVersionGraph",
    "storeTimescapeMetadata",
  ] as const).flatMap((method) =>
    [null, undefined, 7, "text", []].map((input) => ({
      what: `${method} of ${JSON.stringify(input)}`,
      paths: [""],
      call: (store: ManifestStore) => store[method](input as Wrong),
    }))
  ),
  { what: "getManifest of no id", call: (store) => store.getManifest("" as Wrong), paths: ["id"] },
  {
    what: "getManifest of an empty version",
    call: (store) => store.getManifest("a", ""),
    paths: ["version"],
  },
  {
    what: "getManifest of null",
    call: (store) => store.getManifest("a", null as Wrong),
    paths: ["version"],
  },
  {
    what: "getManifest of two wrongs",
    call: (store) => store.getManifest("a b", "1"),
    paths: ["id", "version"],
  },
  {
    what: "getAllManifestVersions of a number",
    call: (store) => store.getAllManifestVersions(1 as Wrong),
    paths: ["id"],
  },
  {
    what: "getHookManifest of nothing",
    call: (store) => store.getHookManifest(undefined as Wrong),
    paths: ["handlerId"],
  },
  { what: "getGType of an object", call: (store) => store.getGType({} as Wrong), paths: ["ref"] },
  { what: "getTransformer of NUL", call: (store) => store.getTransformer("\0"), paths: ["id"] },
  {
    what: "getTransformersForVersions of ranges",
    call: (store) => store.getTransformersForVersions("a", "^1.0.0", "2.x"),
    paths: ["fromVersion", "toVersion"],
  },
  {
    what: "getVersionGraph of a line break",
    call: (store) => store.getVersionGraph("a\n"),
    paths: ["handlerId"],
  },
  {
    what: "getTimescapeMetadata of no version",
    call: (store) => store.getTimescapeMetadata("a", undefined as Wrong),
    paths: ["version"],
  },
];
