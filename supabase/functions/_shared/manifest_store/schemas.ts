/** What each kind of document is, field by field. */
import { z } from "zod";
import { byPrecedence, isVersion } from "./order.ts";

const text = z.string().min(1).max(255).regex(/^[^\p{Cc}]*$/u, "must be one line of text");
const longText = z.string().max(5000);

/** What names a handler, a GType or a transformer: the same rule as `private.is_manifest_id`. */
export const identifier = z.string().min(1).max(255).regex(
  /^[!-~]*$/,
  "must be printable ASCII characters without spaces",
);

export const version = z.string().refine(isVersion, {
  error: "must be a semantic version such as 1.4.0",
  // What compares versions is not asked about anything else.
  abort: true,
});

const count = z.int().min(0);
/** Milliseconds since 1970. */
const time = z.int().min(0);
const texts = z.array(text).max(1000);
const versions = z.array(version).max(1000);

const httpMethod = z.string().regex(/^[A-Z]{1,20}$/, "must be an HTTP method such as GET");

export const handlerManifest = z.strictObject({
  handlerId: identifier,
  version,
  path: z.string().max(2000).regex(/^\/[^\p{Cc}\s]*$/u, 'must be a path that begins with "/"'),
  method: z.union([httpMethod, z.array(httpMethod).min(1).max(20)], {
    error: "must be an HTTP method such as GET, or a list of them",
  }),
  /** References to GTypes. */
  gtypes: z.strictObject({
    request: identifier,
    response: identifier,
    params: identifier.optional(),
    headers: identifier.optional(),
  }),
  hooks: z.strictObject({ before: texts, after: texts, catch: texts.optional() }),
  timescapeVersion: text,
  policies: z.strictObject({
    roles: texts.optional(),
    /** At most `limit` requests in `window` milliseconds. */
    rateLimit: z.strictObject({ limit: count, window: z.int().min(1) }).optional(),
  }),
  dependencies: z.strictObject({ modules: texts, plugins: texts.optional() }),
  hash: text,
  createdAt: time,
});

const hook = z.strictObject({
  id: text,
  type: z.enum(["before", "after", "catch"]),
  level: z.enum(["global", "handler", "request"]),
  isAsync: z.boolean(),
  /** Milliseconds. */
  timeout: count.optional(),
  retries: count.optional(),
  sourceLocation: z.strictObject({ file: z.string().min(1).max(2000), line: count, column: count })
    .optional(),
});

export const hookManifest = z.strictObject({
  handlerId: identifier,
  version,
  hooks: z.array(hook).max(1000),
  createdAt: time,
}).superRefine(({ hooks }, context) => {
  refuseRepeated(hooks.map(({ id }) => id), (index) => ["hooks", index, "id"], context);
});

export interface GType {
  ref: string;
  kind: "object" | "array" | "primitive" | "union" | "intersection";
  /** Of an object. */
  properties?: Record<string, { type: GType; optional: boolean; description?: string }>;
  /** Of an array, which must have it. */
  items?: GType;
  /** Of a union or an intersection, which must have them. */
  types?: GType[];
  /** Of a primitive, which must have it. */
  primitiveType?: "string" | "number" | "boolean" | "null";
  /** Names among `properties`. */
  required?: string[];
  validators?: {
    type: "min" | "max" | "pattern" | "enum" | "custom";
    value: unknown;
    message?: string;
  }[];
  description?: string;
}

const gtypeProperty = z.strictObject({
  get type(): z.ZodType<GType> {
    return gtype;
  },
  optional: z.boolean(),
  description: longText.optional(),
});

const validator = z.strictObject({
  type: z.enum(["min", "max", "pattern", "enum", "custom"]),
  value: z.unknown().refine((value) => value !== undefined, "This is required."),
  message: longText.optional(),
});

export const gtype: z.ZodType<GType> = z.strictObject({
  ref: identifier,
  kind: z.enum(["object", "array", "primitive", "union", "intersection"]),
  properties: z.record(z.string().min(1).max(255), gtypeProperty).optional(),
  items: z.lazy(() => gtype).optional(),
  types: z.array(z.lazy(() => gtype)).min(1).max(1000).optional(),
  primitiveType: z.enum(["string", "number", "boolean", "null"]).optional(),
  required: texts.optional(),
  validators: z.array(validator).max(100).optional(),
  description: longText.optional(),
}).superRefine((type, context) => {
  const wanted = {
    array: "items",
    union: "types",
    intersection: "types",
    primitive: "primitiveType",
  };
  const field = type.kind === "object" ? undefined : wanted[type.kind] as keyof GType;
  if (field && type[field as keyof typeof type] === undefined) {
    context.addIssue({
      code: "custom",
      path: [field],
      message: `This is required of the kind "${type.kind}".`,
    });
  }
  type.required?.forEach((name, index) => {
    if (Object.hasOwn(type.properties ?? {}, name)) return;
    context.addIssue({
      code: "custom",
      path: ["required", index],
      message: "must be the name of a property",
    });
  });
});

export const transformer = z.strictObject({
  id: identifier,
  handlerId: identifier,
  fromVersion: version,
  toVersion: version,
  direction: z.enum(["forward", "backward"]),
  transformations: z.array(z.strictObject({
    path: z.string().min(1).max(2000),
    type: z.enum(["rename", "remove", "add", "transform"]),
    /** Any JSON: what the type needs. */
    details: z.unknown().refine((value) => value !== undefined, "This is required."),
  })).max(1000),
  hash: text,
  createdAt: time,
}).superRefine(({ fromVersion, toVersion, direction }, context) => {
  if (fromVersion === toVersion) {
    context.addIssue({
      code: "custom",
      path: ["toVersion"],
      message: "must be another version than fromVersion",
    });
  } else if (byPrecedence(fromVersion, toVersion) * (direction === "forward" ? 1 : -1) > 0) {
    context.addIssue({
      code: "custom",
      path: ["direction"],
      message: "is forward to a greater version, and backward to a smaller one",
    });
  }
});

const versionNode = z.strictObject({
  version,
  manifestHash: text,
  deployedAt: time,
  active: z.boolean(),
  /** May be one that the graph no longer has. */
  parent: version.optional(),
  breaking: z.boolean(),
  transformers: z.array(z.strictObject({ to: version, transformerId: identifier })).max(1000)
    .optional(),
});

export const versionGraph = z.strictObject({
  handlerId: identifier,
  versions: z.array(versionNode).min(1).max(1000),
  currentVersion: version,
  latestVersion: version,
}).superRefine((graph, context) => {
  const known = graph.versions.map((node) => node.version);
  refuseRepeated(known, (index) => ["versions", index, "version"], context);
  for (const field of ["currentVersion", "latestVersion"] as const) {
    if (known.includes(graph[field])) continue;
    context.addIssue({ code: "custom", path: [field], message: "must be one of the versions" });
  }
  graph.versions.forEach((node, index) => {
    if (node.parent !== node.version) return;
    context.addIssue({
      code: "custom",
      path: ["versions", index, "parent"],
      message: "must be another version",
    });
  });
});

export const timescapeMetadata = z.strictObject({
  handlerId: identifier,
  version,
  fingerprint: text,
  compatibility: z.strictObject({
    compatible: versions,
    incompatible: versions,
    transformable: versions,
  }).superRefine(({ compatible, incompatible }, context) => {
    incompatible.forEach((entry, index) => {
      if (!compatible.includes(entry)) return;
      context.addIssue({
        code: "custom",
        path: ["incompatible", index],
        message: "must not be among the compatible ones too",
      });
    });
  }),
  deployment: z.strictObject({
    strategy: z.enum(["blue-green", "canary", "rolling"]),
    rolloutPercentage: z.number().min(0).max(100).optional(),
    status: z.enum(["pending", "active", "draining", "decommissioned"]),
  }),
  metrics: z.strictObject({
    requestCount: count,
    errorRate: z.number().min(0).max(1),
    /** Milliseconds. */
    avgLatency: z.number().min(0),
    lastUpdated: time,
  }).optional(),
});

function refuseRepeated(
  names: string[],
  at: (index: number) => (string | number)[],
  context: z.RefinementCtx,
): void {
  names.forEach((name, index) => {
    if (names.indexOf(name) === index) return;
    context.addIssue({ code: "custom", path: at(index), message: `"${name}" is there twice` });
  });
}
