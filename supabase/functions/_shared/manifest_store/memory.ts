// deno-lint-ignore-file require-await -- the contract is asynchronous
/** The default backend: documents in this process, gone with it. */
import type { HandlerManifest, ManifestStoreModule } from "./contract.ts";
import { type Collection, type Document, type Documents, keyOf, KEYS } from "./documents.ts";
import { byAge } from "./order.ts";
import { createModule } from "./store.ts";

/** A store in memory. `shutdown` forgets what it holds. */
export function memoryManifestStore(): ManifestStoreModule {
  return createModule("memory", "Manifest store in this process's memory", new MemoryDocuments());
}

/** Documents are kept as text, so that none is ever shared with a caller. */
interface Entry {
  handlerId: unknown;
  text: string;
}

type Held = Record<Collection, Map<string, Entry>>;

function nothing(): Held {
  return Object.fromEntries(Object.keys(KEYS).map((name) => [name, new Map()])) as Held;
}

class MemoryDocuments implements Documents {
  #held = nothing();

  async open(): Promise<void> {
    this.#held = nothing();
  }

  close(): Promise<void> {
    return this.open();
  }

  async put(collection: Collection, document: Document): Promise<void> {
    const key = JSON.stringify(keyOf(collection, document));
    this.#held[collection].set(key, {
      handlerId: document.handlerId,
      text: JSON.stringify(document),
    });
  }

  async get(collection: Collection, key: readonly string[]): Promise<Document | undefined> {
    const entry = this.#held[collection].get(JSON.stringify(key));
    return entry && JSON.parse(entry.text);
  }

  async newestManifest(handlerId: string): Promise<Document | undefined> {
    const versions = await this.ofHandler("handler_manifests", handlerId);
    return (versions as unknown as HandlerManifest[]).sort(byAge).at(-1) as Document | undefined;
  }

  async ofHandler(collection: Collection, handlerId: string): Promise<Document[]> {
    return [...this.#held[collection].values()]
      .filter((entry) => entry.handlerId === handlerId)
      .map((entry) => JSON.parse(entry.text));
  }

  async allHookManifests(): Promise<Document[]> {
    return Array.from(this.#held.hook_manifests.values(), (entry) => JSON.parse(entry.text));
  }

  async counts(): Promise<Record<Collection, number>> {
    return Object.fromEntries(
      Object.entries(this.#held).map(([name, documents]) => [name, documents.size]),
    ) as Record<Collection, number>;
  }

  clear(): Promise<void> {
    return this.open();
  }
}
