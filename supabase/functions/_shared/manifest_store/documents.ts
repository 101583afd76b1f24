/** What a backend has to do: keep documents under their keys. All other rules are the store's. */
import type { Json } from "./json.ts";

export type Document = { [key: string]: Json };

/** The collections, and the fields of a document that make its key. */
export const KEYS = {
  handler_manifests: ["handlerId", "version"],
  hook_manifests: ["handlerId"],
  gtypes: ["ref"],
  transformers: ["id"],
  version_graphs: ["handlerId"],
  timescape_metadata: ["handlerId", "version"],
} as const;

export type Collection = keyof typeof KEYS;
export const COLLECTIONS = Object.keys(KEYS) as Collection[];

/** Collections that are read as a whole, or as what a handler has in them. */
export type HandlerCollection = "handler_manifests" | "transformers";

export interface Documents {
  /** May be called when it was before; the store does not. */
  open(): Promise<void>;
  close(): Promise<void>;
  /** Replaces what has the same key, in one step. The document is the backend's to keep. */
  put(collection: Collection, document: Document): Promise<void>;
  get(collection: Collection, key: readonly string[]): Promise<Document | undefined>;
  /** The handler's newest manifest, as `ManifestStore.getManifest` defines it. */
  newestManifest(handlerId: string): Promise<Document | undefined>;
  /** In any order. */
  ofHandler(collection: HandlerCollection, handlerId: string): Promise<Document[]>;
  /** In any order. */
  allHookManifests(): Promise<Document[]>;
  counts(): Promise<Record<Collection, number>>;
  /** All collections or none. */
  clear(): Promise<void>;
}

export function keyOf(collection: Collection, document: Document): string[] {
  return KEYS[collection].map((field) => document[field] as string);
}
