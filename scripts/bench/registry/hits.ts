/** Hit ratios of the cache in memory on Zipf-distributed downloads, with room for a tenth of the packages. */
import { Cache } from "../../../supabase/functions/_shared/cache/cache.ts";
import { MemoryBackend } from "../../../supabase/functions/_shared/cache/memory.ts";
import { seededRandom } from "../../test/cron/cases.ts";

const PACKAGES = 10_000;
const REQUESTS = 300_000;
const SHARE = 0.1;

export interface HitResult {
  /** How steep popularity falls: the k-th is asked for k^-exponent as often as the first. */
  exponent: number;
  /** Of all requests, from an empty cache on. */
  ratio: number;
  /** What a cache that knew the future popularity would have, at most. */
  ideal: number;
  evictions: number;
}

/** Ranks drawn with Zipf's distribution, by bisection in the sums. */
export function zipf(count: number, exponent: number, random: () => number): () => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) sums[rank] = sum += (rank + 1) ** -exponent;
  return () => {
    const wanted = random() * sum;
    let low = 0;
    for (let high = count - 1; low < high;) {
      const middle = (low + high) >> 1;
      if (sums[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

export async function measureHits(exponent: number): Promise<HitResult> {
  const sizes = Array.from({ length: PACKAGES }, (_, index) => 500 + (index * 7919) % 4000);
  const values = sizes.map((size) => "x".repeat(size));
  const total = sizes.reduce((sum, size) => sum + size + 220, 0);
  const cache = new Cache(new MemoryBackend(total * SHARE));
  const draw = zipf(PACKAGES, exponent, seededRandom(3));
  for (let request = 0; request < REQUESTS; request++) {
    const rank = draw();
    await cache.get(
      `version:n/p${rank}@1.0.0`,
      `n/p${rank}`,
      3_600_000,
      () => Promise.resolve({ value: values[rank], cacheable: true }),
    );
  }
  const { hits, misses, evictions } = await cache.stats();
  const weight = (count: number) =>
    Array.from({ length: count }, (_, rank) => (rank + 1) ** -exponent).reduce((a, b) => a + b);
  return {
    exponent,
    ratio: hits / (hits + misses),
    ideal: weight(PACKAGES * SHARE) / weight(PACKAGES),
    evictions: evictions!,
  };
}
