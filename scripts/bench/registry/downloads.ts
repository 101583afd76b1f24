/** Downloads over HTTP: with the cache, without it, and how often each asks the database. */
import type { Stack } from "../../stack/mod.ts";
import { serviceClient } from "../../testing/stack.ts";
import { seededRandom } from "../../test/cron/cases.ts";
import {
  type Instance,
  redisServer,
  startInstance,
  startRedis,
  until,
} from "../../../supabase/functions/tests/registry/instance.ts";
import { median, medianRatio, percentile } from "../queue/statistics.ts";
import { zipf } from "./hits.ts";

const PACKAGES = 400;
const REQUESTS = 400;
const ROUNDS = 5;
const EXPONENT = 1.2;

export interface DownloadResult {
  cache: string;
  /** Milliseconds. */
  median: number;
  p99: number;
  /** Requests to the Data API for one download. */
  queries: number;
  /** How many times as fast as without a cache. */
  ratio: number;
}

/** The stack's API, counting what is asked of the database. */
function countingProxy(target: string) {
  const counts = { queries: 0 };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    if (pathname.startsWith("/rest/")) counts.queries++;
    return await fetch(target + pathname + search, {
      method: request.method,
      headers: request.headers,
      body: request.body,
    });
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, counts, stop: () => server.shutdown() };
}

async function fill(stack: Stack): Promise<void> {
  const service = serviceClient(stack);
  await service.from("package_namespaces").insert({ name: "bench", is_reserved: true });
  for (let index = 0; index < PACKAGES; index++) {
    const yaml = `id: bench/p${index}\nversion: 1.0.0\nhandlers:\n` +
      "  - name: handler\n    path: /orders\n".repeat(50);
    const digest = new Uint8Array(
      await crypto.subtle.digest("SHA-256", new TextEncoder().encode(yaml)),
    ).toHex();
    const { error } = await service.rpc("publish_package", {
      ...{ actor: null, namespace: "bench", name: `p${index}`, version: "1.0.0" },
      ...{ sha256: digest, size: yaml.length, yaml_content: yaml, dependencies: [] },
    });
    if (error) throw error;
  }
}

async function ask(instance: Instance, rank: number): Promise<number> {
  const started = performance.now();
  const response = await instance.get(`bench/p${rank}/1.0.0/download`);
  await response.text();
  if (response.status !== 200) throw new Error(`download answered ${response.status}`);
  return performance.now() - started;
}

export async function measureDownloads(stack: Stack): Promise<DownloadResult[]> {
  await fill(stack);
  const redis = redisServer ? await startRedis() : undefined;
  const kinds: Record<string, Record<string, string>> = {
    "none": { PACKAGE_CACHE_BYTES: "0" },
    "memory": {},
    ...(redis && { "Redis": { REDIS_URL: redis.url } }),
  };
  const instances: Array<[string, Instance]> = [];
  const results: DownloadResult[] = [];
  try {
    for (const [name, env] of Object.entries(kinds)) {
      const instance = await startInstance(stack, env);
      instances.push([name, instance]);
      if (name === "none") continue;
      // Every one is in the cache, and is told of changes.
      for (let rank = 0; rank < PACKAGES; rank++) {
        await until(async () => {
          const response = await instance.get(`bench/p${rank}/1.0.0/download`);
          await response.body?.cancel();
          return response.headers.get("x-cache") === "hit";
        }, `p${rank} is cached`);
      }
    }
    const draw = zipf(PACKAGES, EXPONENT, seededRandom(1));
    const medians: Record<string, number[]> = {};
    const all: Record<string, number[]> = {};
    for (let round = 0; round < ROUNDS; round++) {
      const ranks = Array.from({ length: REQUESTS }, draw);
      for (const [name, instance] of instances) {
        const times: number[] = [];
        for (const rank of ranks) times.push(await ask(instance, rank));
        (medians[name] ??= []).push(median(times));
        (all[name] ??= []).push(...times);
      }
    }
    for (const [name, env] of Object.entries(kinds)) {
      results.push({
        cache: name,
        median: median(all[name]),
        p99: percentile(all[name], 0.99),
        queries: await queriesOf(stack, env),
        ratio: medianRatio(medians.none, medians[name]),
      });
    }
    return results;
  } finally {
    await Promise.all(instances.map(([, instance]) => instance.stop()));
    await redis?.stop();
  }
}

/** Behind a proxy of its own, which would cost time in what is timed. From a cold cache on, warmed with 50 packages. */
async function queriesOf(stack: Stack, env: Record<string, string>): Promise<number> {
  const proxy = countingProxy(stack.apiUrl);
  const instance = await startInstance(stack, { ...env, SUPABASE_URL: proxy.url });
  try {
    const draw = zipf(PACKAGES, EXPONENT, seededRandom(2));
    const requests = REQUESTS * ROUNDS;
    for (let request = 0; request < requests; request++) await ask(instance, draw());
    return proxy.counts.queries / requests;
  } finally {
    await instance.stop();
    await proxy.stop();
  }
}
