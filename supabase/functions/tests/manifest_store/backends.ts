/** Every backend there is, for tests that all of them have to pass. */
import { join } from "node:path";
import { serviceClient } from "../../../../scripts/testing/stack.ts";
import type { Stack } from "../../../../scripts/stack/mod.ts";
import { type ManifestStoreModule, memoryManifestStore } from "../../_shared/manifest_store/mod.ts";
import { nodeSqliteManifestStore } from "../../_shared/manifest_store/node_sqlite.ts";
import { sqlJsManifestStore } from "../../_shared/manifest_store/sqljs.ts";
import { supabaseManifestStore } from "../../_shared/manifest_store/supabase.ts";

export interface Backend {
  title: string;
  /** A module that nobody else uses, not started yet. The Supabase one shares its tables with all others. */
  create(): ManifestStoreModule;
}

/** Files are made in `directory`; whoever made it removes it. */
export function backends(stack: Stack, directory: string): Backend[] {
  let serial = 0;
  const file = () => join(directory, `store ${++serial}.db`);
  return [
    { title: "memory", create: memoryManifestStore },
    { title: "node:sqlite in a file", create: () => nodeSqliteManifestStore({ path: file() }) },
    { title: "node:sqlite in memory", create: () => nodeSqliteManifestStore() },
    { title: "sql.js in a file", create: () => sqlJsManifestStore({ path: file() }) },
    { title: "sql.js in memory", create: () => sqlJsManifestStore() },
    { title: "Supabase", create: () => supabaseManifestStore(serviceClient(stack)) },
  ];
}

/** Runs the work on a started, empty store, and stops it. */
export async function withStore(
  backend: Backend,
  work: (module: ManifestStoreModule) => Promise<void>,
): Promise<void> {
  const module = backend.create();
  await module.init();
  try {
    await module.exports.clear();
    await work(module);
  } finally {
    await module.shutdown();
  }
}
