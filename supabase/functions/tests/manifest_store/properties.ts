/** The same random operations on every backend: whatever they are, all have to answer alike, to the last character. */
import fc from "fast-check";
import { AppError } from "../../_shared/errors.ts";
import type { ManifestStore } from "../../_shared/manifest_store/mod.ts";
import { byPrecedence } from "../../_shared/manifest_store/order.ts";
import { graph, gtype, handler, hooks, metadata, transformer } from "./samples.ts";

export interface Operation {
  method: keyof ManifestStore;
  input: unknown[];
}

// Few of each, so that operations meet.
const id = fc.constantFrom("a", "B", "a.b", "~", `x,"y"`);
const version = fc.constantFrom(
  "1.0.0-rc.2",
  "1.0.0-rc.10",
  "1.0.0",
  "1.0.0+a",
  "1.0.0+b",
  "1.2.0",
  "1.10.0",
  "2.0.0",
  "9007199254740991.0.0",
);
const near = fc.constantFrom("1.0.0-rc.2", "1.0.0+a", "1.0.0+b", "1.10.0", "2.0.0");
const time = fc.constantFrom(0, 1, 2, 1_732_104_000_000);
const text = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" });
const json = fc.jsonValue({ maxDepth: 3 });
/** What may be anywhere by mistake. */
const junk = fc.oneof(json, fc.constantFrom(undefined, NaN, "\0", "\ud800", "v1", new Date(0)));

const documents = {
  storeManifest: fc.record({ handlerId: id, version, createdAt: time, hash: text }).map(handler),
  storeHookManifest: fc.record({ handlerId: id, version, createdAt: time }).map(hooks),
  storeGType: fc.record({
    ref: id,
    validators: fc.array(fc.record({ type: fc.constant("custom" as const), value: json }), {
      maxLength: 2,
    }),
  }).map(gtype),
  storeTransformer: fc.record({
    // More of these, so that ways have several hops.
    id: fc.stringMatching(/^[a-z][0-9]$/),
    handlerId: fc.constantFrom("a", "a", "a", "B"),
    fromVersion: near,
    toVersion: near,
    createdAt: time,
    backward: fc.boolean(),
  }).map(({ backward, ...fields }) => {
    const order = byPrecedence(fields.fromVersion, fields.toVersion) || (backward ? 1 : -1);
    return transformer({ ...fields, direction: order > 0 ? "backward" : "forward" });
  }),
  storeVersionGraph: fc.record({
    handlerId: id,
    currentVersion: fc.constantFrom("1.0.0", "2.0.0", "3.0.0"),
  }).map(graph),
  storeTimescapeMetadata: fc.record({ handlerId: id, version, fingerprint: text }).map(metadata),
};

/** The document with one field replaced by anything, or with one more. */
function spoilt(document: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(document, fc.nat(12), junk).map(([whole, index, value]) => {
    const keys = [...Object.keys(whole as object), "extra"];
    return { ...whole as object, [keys[index % keys.length]]: value };
  });
}

const operation = <T extends unknown[]>(
  method: keyof ManifestStore,
  input: fc.Arbitrary<T>,
  weight = 1,
) => ({ weight, arbitrary: input.map((input): Operation => ({ method, input })) });

const key = fc.oneof({ weight: 9, arbitrary: id }, { weight: 1, arbitrary: junk });
const anyVersion = fc.oneof({ weight: 9, arbitrary: version }, { weight: 1, arbitrary: junk });
const none = fc.tuple();

const anything: fc.Arbitrary<Operation[]> = fc.array(
  fc.oneof(
    ...Object.entries(documents).flatMap(([method, document]) => [
      operation(
        method as keyof ManifestStore,
        fc.tuple(document as fc.Arbitrary<unknown>),
        method === "storeTransformer" || method === "storeManifest" ? 16 : 4,
      ),
      operation(method as keyof ManifestStore, fc.tuple(spoilt(document)), 1),
    ]),
    operation("getManifest", fc.tuple(key), 6),
    operation("getManifest", fc.tuple(key, anyVersion), 2),
    operation("getAllManifestVersions", fc.tuple(key), 6),
    operation("getHookManifest", fc.tuple(key), 2),
    operation("listHookManifests", none, 2),
    operation("getGType", fc.tuple(key), 3),
    operation("getTransformer", fc.tuple(key), 2),
    operation(
      "getTransformersForVersions",
      fc.tuple(
        fc.constantFrom("a", "a", "a", "B"),
        fc.oneof({ weight: 4, arbitrary: near }, { weight: 1, arbitrary: anyVersion }),
        fc.oneof({ weight: 4, arbitrary: near }, { weight: 1, arbitrary: anyVersion }),
      ),
      16,
    ),
    operation("getVersionGraph", fc.tuple(key), 2),
    operation("getTimescapeMetadata", fc.tuple(key, anyVersion), 2),
    operation("getStats", none, 2),
    operation("clear", none, 1),
  ),
  { minLength: 15, maxLength: 50, size: "max" },
);

/** Anything, where there are ways already. */
export const operations: fc.Arbitrary<Operation[]> = fc.tuple(
  fc.array(documents.storeTransformer, { minLength: 6, maxLength: 12, size: "max" }),
  anything,
).map(([transformers, rest]) => [
  ...transformers.map((one): Operation => ({ method: "storeTransformer", input: [one] })),
  ...rest,
]);

/** What the store answers, or how it refuses. */
export async function outcome(store: ManifestStore, { method, input }: Operation): Promise<string> {
  try {
    const call = store[method] as (...input: unknown[]) => Promise<unknown>;
    return JSON.stringify(await call(...input)) ?? "undefined";
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return `${error.code} ${JSON.stringify(error.options.errors)}`;
  }
}
