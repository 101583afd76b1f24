/** The contract of the manifest store: seventeen methods that every backend answers alike. */
import type { z } from "zod";
import type {
  GType,
  handlerManifest,
  hookManifest,
  timescapeMetadata,
  transformer,
  versionGraph,
} from "./schemas.ts";

export type { GType };
export type HandlerManifest = z.output<typeof handlerManifest>;
export type HookManifest = z.output<typeof hookManifest>;
export type Transformer = z.output<typeof transformer>;
export type VersionGraph = z.output<typeof versionGraph>;
export type TimescapeMetadata = z.output<typeof timescapeMetadata>;

/** How many documents of each kind there are. */
export interface StoreStats {
  manifestCount: number;
  gtypeCount: number;
  transformerCount: number;
  versionGraphCount: number;
  timescapeMetadataCount: number;
  hookManifestCount: number;
}

/**
 * Storing replaces what has the same key, in one step. What is given is copied before the call returns its promise, and what
 * is answered belongs to the caller: changing either changes nothing in the store. Keys of objects come in order.
 *
 * Every method rejects with an `AppError`: `invalid_request`, whose `errors` name each wrong field, before anything is
 * touched; `forbidden` where the caller may not; `unavailable` while the module is not started, or when what is below fails.
 */
export interface ManifestStore {
  /** Key: handlerId and version. */
  storeManifest(manifest: HandlerManifest): Promise<void>;
  /**
   * Without a version, the newest: that with the greatest createdAt; of several, that whose version has precedence (semver.org,
   * 11); of those, the last by its text.
   */
  getManifest(id: string, version?: string): Promise<HandlerManifest | undefined>;
  /** Oldest first, by the rule of `getManifest`. */
  getAllManifestVersions(id: string): Promise<HandlerManifest[]>;

  /** Key: handlerId; a handler has one, whatever its version. */
  storeHookManifest(manifest: HookManifest): Promise<void>;
  getHookManifest(handlerId: string): Promise<HookManifest | null>;
  /** In the order of their handlers' ids, by character code. */
  listHookManifests(): Promise<HookManifest[]>;

  /** Key: ref. */
  storeGType(gtype: GType): Promise<void>;
  getGType(ref: string): Promise<GType | undefined>;

  /** Key: id. */
  storeTransformer(transformer: Transformer): Promise<void>;
  getTransformer(id: string): Promise<Transformer | undefined>;
  /**
   * What to apply, in this order, to lead data from one version to the other; nothing where no way is known, and from a
   * version to itself. See `paths.ts` for which way is taken.
   */
  getTransformersForVersions(
    handlerId: string,
    fromVersion: string,
    toVersion: string,
  ): Promise<Transformer[]>;

  /** Key: handlerId. */
  storeVersionGraph(graph: VersionGraph): Promise<void>;
  getVersionGraph(handlerId: string): Promise<VersionGraph | undefined>;

  /** Key: handlerId and version. */
  storeTimescapeMetadata(metadata: TimescapeMetadata): Promise<void>;
  getTimescapeMetadata(handlerId: string, version: string): Promise<TimescapeMetadata | undefined>;

  /** Deletes every document, all or nothing. */
  clear(): Promise<void>;
  getStats(): Promise<StoreStats>;
}

/** A backend, in the shape of a module: started before use, and stopped after. Both may be called twice. */
export interface ManifestStoreModule {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  init(): Promise<void>;
  readonly exports: ManifestStore;
  shutdown(): Promise<void>;
}
