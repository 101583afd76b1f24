/** The seventeen methods over a backend's documents: all that is checked, ordered and copied is so here, once. */
import { z } from "zod";
import { AppError } from "../errors.ts";
import { mistakesOf } from "../mistakes.ts";
import type { ManifestStore, ManifestStoreModule, Transformer } from "./contract.ts";
import { type Collection, type Document, type Documents } from "./documents.ts";
import { byCodeUnit, copyPlain, inOrder, type Json } from "./json.ts";
import { byAge } from "./order.ts";
import { findPath } from "./paths.ts";
import * as schemas from "./schemas.ts";

/** The version of the contract, which all backends here share. */
const CONTRACT_VERSION = "1.0.0";

const schemaOf: Record<Collection, z.ZodType> = {
  handler_manifests: schemas.handlerManifest,
  hook_manifests: schemas.hookManifest,
  gtypes: schemas.gtype,
  transformers: schemas.transformer,
  version_graphs: schemas.versionGraph,
  timescape_metadata: schemas.timescapeMetadata,
};

/** A module of the contract that keeps its documents in these. */
export function createModule(
  name: string,
  description: string,
  documents: Documents,
): ManifestStoreModule {
  let started = false;
  let turn: Promise<unknown> = Promise.resolve();
  /** Starts and stops take turns, so that each finds the module in a state. */
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const result = turn.then(work);
    turn = result.catch(() => {});
    return result;
  };
  return Object.freeze({
    name,
    version: CONTRACT_VERSION,
    description,
    init: () =>
      inTurn(async () => {
        if (!started) await answer(() => documents.open());
        started = true;
      }),
    exports: createStore(documents, () => started),
    shutdown: () =>
      inTurn(async () => {
        const wasStarted = started;
        started = false;
        if (wasStarted) await answer(() => documents.close());
      }),
  });
}

function createStore(documents: Documents, isStarted: () => boolean): ManifestStore {
  /** Asks the backend, once the arguments are known to be good. */
  const ask = <T>(question: () => Promise<T>): Promise<T> => {
    if (!isStarted()) {
      throw new AppError("unavailable", "The manifest store is not started: call init() first.");
    }
    return answer(question);
  };
  const put = async (collection: Collection, input: unknown): Promise<void> => {
    // Before anything is awaited: from here on the caller may change what it gave.
    const document = checked(schemaOf[collection], input) as Document;
    await ask(() => documents.put(collection, document));
  };
  // deno-lint-ignore no-explicit-any -- documents were checked against the type of their collection when they were stored
  const given = (document: Document | undefined): any => document && inOrder(document);
  const get = async (collection: Collection, fields: Record<string, unknown>) => {
    const key = named(fields);
    return given(await ask(() => documents.get(collection, key)));
  };

  return Object.freeze<ManifestStore>({
    storeManifest: (manifest) => put("handler_manifests", manifest),
    async getManifest(id, version) {
      if (version !== undefined) return await get("handler_manifests", { id, version });
      const [handlerId] = named({ id });
      return given(await ask(() => documents.newestManifest(handlerId)));
    },
    async getAllManifestVersions(id) {
      const [handlerId] = named({ id });
      const found = await ask(() => documents.ofHandler("handler_manifests", handlerId));
      return found.map(given).sort(byAge);
    },

    storeHookManifest: (manifest) => put("hook_manifests", manifest),
    getHookManifest: async (handlerId) => (await get("hook_manifests", { handlerId })) ?? null,
    async listHookManifests() {
      const found = await ask(() => documents.allHookManifests());
      return found.map(given).sort((a, b) => byCodeUnit(a.handlerId, b.handlerId));
    },

    storeGType: (gtype) => put("gtypes", gtype),
    getGType: (ref) => get("gtypes", { ref }),

    storeTransformer: (transformer) => put("transformers", transformer),
    getTransformer: (id) => get("transformers", { id }),
    async getTransformersForVersions(handlerId, fromVersion, toVersion) {
      const [handler, from, to] = named({ handlerId, fromVersion, toVersion });
      const found = await ask(() => documents.ofHandler("transformers", handler));
      return findPath(found.map(given) as Transformer[], from, to);
    },

    storeVersionGraph: (graph) => put("version_graphs", graph),
    getVersionGraph: (handlerId) => get("version_graphs", { handlerId }),

    storeTimescapeMetadata: (metadata) => put("timescape_metadata", metadata),
    getTimescapeMetadata: (handlerId, version) => get("timescape_metadata", { handlerId, version }),

    async clear() {
      await ask(() => documents.clear());
    },
    async getStats() {
      const counts = await ask(() => documents.counts());
      return {
        manifestCount: counts.handler_manifests,
        gtypeCount: counts.gtypes,
        transformerCount: counts.transformers,
        versionGraphCount: counts.version_graphs,
        timescapeMetadataCount: counts.timescape_metadata,
        hookManifestCount: counts.hook_manifests,
      };
    },
  });
}

/** What the backend says; a failure of what is below it as one of the catalogue. */
async function answer<T>(question: () => Promise<T>): Promise<T> {
  try {
    return await question();
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("unavailable", "The manifest store's backend failed.", { cause: error });
  }
}

/** A copy of the input, which the schema accepts; else an error that names what is wrong with it. */
function checked(schema: z.ZodType, input: unknown): Json {
  const copied = copyPlain(input);
  if (!copied.ok) throw invalid(copied.mistakes);
  const result = schema.safeParse(copied.copy, { reportInput: true });
  if (result.success) return copied.copy;
  throw invalid(mistakesOf(result.error.issues).map(({ at: _, ...mistake }) => mistake));
}

/** The values of these arguments, in the order given: versions where the name says so, identifiers elsewhere. */
function named(values: Record<string, unknown>): string[] {
  const shape = Object.fromEntries(
    Object.keys(values).map((name) => {
      return [name, /version$/i.test(name) ? schemas.version : schemas.identifier];
    }),
  );
  const result = z.strictObject(shape).safeParse(values, { reportInput: true });
  if (result.success) return Object.keys(values).map((name) => values[name] as string);
  throw invalid(mistakesOf(result.error.issues).map(({ at: _, ...mistake }) => mistake));
}

function invalid(errors: NonNullable<AppError["options"]["errors"]>): AppError {
  const [{ path, message }] = errors;
  return new AppError("invalid_request", path === "" ? message : `${path}: ${message}`, { errors });
}
