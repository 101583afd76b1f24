import { createContextClient } from "@supabase/server/core";
import type { Client } from "../_shared/caller.ts";
import type { Database } from "../_shared/database.types.ts";
import type { Environment } from "../_shared/environment.ts";
import type { PackageName } from "../_shared/registry/names.ts";
import type { Registry } from "./handler.ts";
import { findPackage, findVersion } from "./registry.ts";
import { readStore } from "./store.ts";

/** Reads the packages that are downloaded most, and the newest version of each, as anybody would: they are cached then. */
export async function warm(
  registry: Registry,
  environment: Environment,
  limit: number,
): Promise<number> {
  const store = readStore(createContextClient<Database>({ env: environment.supabase }) as Client);
  const reader = { isAnonymous: true, store: () => Promise.resolve(store) };
  const { packages } = await store.search({ q: "", limit, offset: 0 }) as unknown as {
    packages: PackageName[];
  };
  for (const name of packages) {
    const { record } = await findPackage(name, reader, registry.cache);
    if (record.latest_version === null) continue;
    const wanted = { kind: "exact", text: record.latest_version } as const;
    await findVersion(name, wanted, reader, registry.cache, registry.objects);
  }
  return packages.length;
}
