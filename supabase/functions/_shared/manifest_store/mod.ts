/**
 * The manifest store: what handlers are, in all their versions (docs/manifest-store.md).
 *
 * The other backends are modules of their own, so that nobody loads what is not used: `supabase.ts`, `node_sqlite.ts` and
 * `sqljs.ts`.
 */
import type { ManifestStoreModule } from "./contract.ts";
import { memoryManifestStore } from "./memory.ts";

export type * from "./contract.ts";
export { memoryManifestStore } from "./memory.ts";

/** Starts the module, in memory where none is named, and answers it: its `exports` are the store. */
export async function startManifestStore(
  module: ManifestStoreModule = memoryManifestStore(),
): Promise<ManifestStoreModule> {
  await module.init();
  return module;
}
