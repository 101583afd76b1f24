/** Documents for the tests of the manifest store: whole ones, in which any field can be replaced. */
import type {
  GType,
  HandlerManifest,
  HookManifest,
  TimescapeMetadata,
  Transformer,
  VersionGraph,
} from "../../_shared/manifest_store/mod.ts";

/** Every optional field is there. */
export function handler(fields: Partial<HandlerManifest> = {}): HandlerManifest {
  return {
    handlerId: "user.create",
    version: "1.0.0",
    path: "/users/:id",
    method: ["POST", "PUT"],
    gtypes: {
      request: "CreateUserRequest",
      response: "UserResponse",
      params: "UserParams",
      headers: "UserHeaders",
    },
    hooks: { before: ["auth", "log"], after: ["audit"], catch: ["report"] },
    timescapeVersion: "tsv:1732104000-user-001",
    policies: { roles: ["admin"], rateLimit: { limit: 100, window: 60_000 } },
    dependencies: { modules: ["db"], plugins: ["cache"] },
    hash: "sha256:abc",
    createdAt: 1_732_104_000_000,
    ...fields,
  };
}

export function hooks(fields: Partial<HookManifest> = {}): HookManifest {
  return {
    handlerId: "user.create",
    version: "1.0.0",
    hooks: [{
      id: "auth",
      type: "before",
      level: "global",
      isAsync: true,
      timeout: 500,
      retries: 2,
      sourceLocation: { file: "src/hooks/auth.ts", line: 12, column: 1 },
    }, { id: "report", type: "catch", level: "handler", isAsync: false }],
    createdAt: 1_732_104_000_000,
    ...fields,
  };
}

export function gtype(fields: Partial<GType> = {}): GType {
  return {
    ref: "CreateUserRequest",
    kind: "object",
    properties: {
      name: {
        type: {
          ref: "string",
          kind: "primitive",
          primitiveType: "string",
          validators: [{ type: "min", value: 1, message: "must not be empty" }, {
            type: "enum",
            value: ["a", null, { b: 2.5 }],
          }],
        },
        optional: false,
        description: "What people call the user",
      },
      friends: {
        type: {
          ref: "Array<User>",
          kind: "array",
          items: {
            ref: "User|null",
            kind: "union",
            types: [{ ref: "User", kind: "object" }, {
              ref: "null",
              kind: "primitive",
              primitiveType: "null",
            }],
          },
        },
        optional: true,
      },
    },
    required: ["name"],
    description: "A user to be created",
    ...fields,
  };
}

export function transformer(fields: Partial<Transformer> = {}): Transformer {
  return {
    id: "user.create:1.0.0->2.0.0",
    handlerId: "user.create",
    fromVersion: "1.0.0",
    toVersion: "2.0.0",
    direction: "forward",
    transformations: [
      { path: "user.email", type: "rename", details: { newName: "emailAddress" } },
      { path: "items[].price", type: "transform", details: null },
    ],
    hash: "sha256:def",
    createdAt: 1_732_104_000_000,
    ...fields,
  };
}

/** A transformer between two versions, whose id and direction follow from them. */
export function step(from: string, to: string, fields: Partial<Transformer> = {}): Transformer {
  return transformer({
    id: `${from}->${to}`,
    fromVersion: from,
    toVersion: to,
    direction: from < to ? "forward" : "backward",
    ...fields,
  });
}

export function graph(fields: Partial<VersionGraph> = {}): VersionGraph {
  return {
    handlerId: "user.create",
    versions: [
      {
        version: "1.0.0",
        manifestHash: "sha256:1",
        deployedAt: 1,
        active: false,
        breaking: false,
        transformers: [{ to: "2.0.0", transformerId: "user.create:1.0.0->2.0.0" }],
      },
      {
        version: "2.0.0",
        manifestHash: "sha256:2",
        deployedAt: 2,
        active: true,
        parent: "1.0.0",
        breaking: true,
      },
    ],
    currentVersion: "1.0.0",
    latestVersion: "2.0.0",
    ...fields,
  };
}

export function metadata(fields: Partial<TimescapeMetadata> = {}): TimescapeMetadata {
  return {
    handlerId: "user.create",
    version: "2.0.0",
    fingerprint: "fp_abc123",
    compatibility: {
      compatible: ["1.9.0"],
      incompatible: ["1.0.0"],
      transformable: ["1.0.0"],
    },
    deployment: { strategy: "canary", rolloutPercentage: 12.5, status: "active" },
    metrics: { requestCount: 15_000, errorRate: 0.002, avgLatency: 45.5, lastUpdated: 3 },
    ...fields,
  };
}
