import { serviceClient } from "../_shared/caller.ts";
import { inBackground } from "../_shared/background.ts";
import { Cache } from "../_shared/cache/cache.ts";
import { listen, type Listener } from "../_shared/cache/listener.ts";
import { MemoryBackend } from "../_shared/cache/memory.ts";
import { RedisBackend } from "../_shared/cache/redis.ts";
import { readEnvironment } from "../_shared/environment.ts";
import { objectStore } from "../_shared/registry/content.ts";
import { createHandler } from "../_shared/serve.ts";
import { DownloadCounter } from "./downloads.ts";
import { readRoutes, type Registry } from "./handler.ts";
import { jobRoutes } from "./jobs.ts";
import { lifecycleRoutes } from "./lifecycle.ts";
import { warm } from "./warm.ts";

const MIB = 1024 * 1024;
const DEFAULT_CACHE_BYTES = 32 * MIB;
/** How old an answer may be while nobody tells this process of changes. */
const UNHEARD_MS = 5_000;
/** How many packages a new process reads before anybody asks. */
const WARM_PACKAGES = 50;

const environment = readEnvironment();
const redisUrl = Deno.env.get("REDIS_URL");
const databaseUrl = Deno.env.get("SUPABASE_DB_URL");
const cacheBytes = Number(Deno.env.get("PACKAGE_CACHE_BYTES") ?? DEFAULT_CACHE_BYTES);

let listener: Listener | undefined;
const cache = new Cache(
  redisUrl ? new RedisBackend(redisUrl) : new MemoryBackend(cacheBytes),
  () => listener?.connected ? Infinity : UNHEARD_MS,
);

const service = serviceClient(environment);
const objects = objectStore(service);

const registry: Registry = {
  cache,
  downloads: new DownloadCounter(
    async (counts) => {
      const { error } = await service.rpc("count_package_downloads", { counts });
      if (error) throw error;
    },
    inBackground,
  ),
  objects: () => objects,
};

if (databaseUrl) {
  listener = listen(databaseUrl, "package_changes", (id) => cache.invalidate(id), async () => {
    await cache.invalidate();
    // Without it the first visitors wait a little longer, and that is all.
    await warm(registry, environment, WARM_PACKAGES).catch(() => {});
  });
}

Deno.serve(createHandler("packages", environment, [
  ...jobRoutes(registry),
  ...readRoutes(registry),
  ...lifecycleRoutes(registry),
]));
