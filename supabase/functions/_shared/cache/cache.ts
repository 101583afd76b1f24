/**
 * Cache-aside for what is read far more often than it changes. A value is kept under a key until its time is over, until it
 * is pushed out, or until its tag is invalidated. What was being loaded while that happened is handed out, but not kept.
 */

export interface CacheStats {
  backend: "memory" | "redis";
  hits: number;
  misses: number;
  /** Entries pushed out for want of room; null where the backend does not say. */
  evictions: number | null;
  invalidations: number;
  /** Times that the backend did not answer, and the value was loaded as if there were no cache. */
  errors: number;
  entries: number | null;
  bytes: number | null;
  limit_bytes: number | null;
}

export interface Loaded<T> {
  value: T;
  /** False for what not everybody may see, or what is not there. */
  cacheable: boolean;
}

export interface CacheBackend {
  readonly name: CacheStats["backend"];
  /** The value under a key, and a stamp that `put` shows: it changes when the tag is invalidated. */
  look<T>(key: string, tag: string): Promise<{ value?: T; stamp: string }>;
  /** Keeps a value, unless the stamp is not the tag's any more. */
  put<T>(key: string, tag: string, stamp: string, value: T, ttlMs: number): Promise<void>;
  /** Forgets what has the tag; everything without one. */
  invalidate(tag?: string): Promise<void>;
  size(): Promise<Pick<CacheStats, "evictions" | "entries" | "bytes" | "limit_bytes">>;
  close(): Promise<void>;
}

export interface Cached<T> {
  value: T;
  hit: boolean;
}

export class Cache {
  #hits = 0;
  #misses = 0;
  #errors = 0;
  #invalidations = 0;
  #loading = new Map<string, Promise<Loaded<unknown>>>();

  /** `maxAgeMs` is asked at each put: how long entries may live when nobody tells of changes. */
  constructor(
    private readonly backend: CacheBackend,
    private readonly maxAgeMs: () => number = () => Infinity,
  ) {}

  /**
   * The value under the key, or what `load` says. Many who miss at the same time load once: `load` must say the same
   * whoever calls.
   */
  async get<T>(
    key: string,
    tag: string,
    ttlMs: number,
    load: () => Promise<Loaded<T>>,
  ): Promise<Cached<T>> {
    let stamp: string | null = null;
    try {
      const found = await this.backend.look<T>(key, tag);
      if (found.value !== undefined) {
        this.#hits++;
        return { value: found.value, hit: true };
      }
      stamp = found.stamp;
    } catch {
      this.#errors++;
    }
    this.#misses++;
    const loading = this.#loading.get(key) as Promise<Loaded<T>> | undefined;
    if (loading) return { value: (await loading).value, hit: false };
    const loaded = this.#load(key, tag, stamp, ttlMs, load);
    this.#loading.set(key, loaded);
    try {
      return { value: (await loaded).value, hit: false };
    } finally {
      // Unless it was forgotten meanwhile, and somebody else has begun anew.
      if (this.#loading.get(key) === loaded) this.#loading.delete(key);
    }
  }

  /** The value under the key, if it is there. */
  async peek<T>(key: string, tag: string): Promise<Cached<T> | undefined> {
    try {
      const { value } = await this.backend.look<T>(key, tag);
      if (value !== undefined) {
        this.#hits++;
        return { value, hit: true };
      }
    } catch {
      this.#errors++;
    }
    this.#misses++;
    return undefined;
  }

  async #load<T>(
    key: string,
    tag: string,
    stamp: string | null,
    ttlMs: number,
    load: () => Promise<Loaded<T>>,
  ): Promise<Loaded<T>> {
    const loaded = await load();
    if (stamp === null || !loaded.cacheable) return loaded;
    try {
      await this.backend.put(key, tag, stamp, loaded.value, Math.min(ttlMs, this.maxAgeMs()));
    } catch {
      this.#errors++;
    }
    return loaded;
  }

  /** Forgets what has the tag; everything without one. Never fails: what cannot be told ages out. */
  async invalidate(tag?: string): Promise<void> {
    this.#invalidations++;
    // Who comes from now on must not share what began before.
    this.#loading.clear();
    try {
      await this.backend.invalidate(tag);
    } catch {
      this.#errors++;
    }
  }

  async stats(): Promise<CacheStats> {
    const counts = {
      backend: this.backend.name,
      hits: this.#hits,
      misses: this.#misses,
      invalidations: this.#invalidations,
      errors: this.#errors,
    };
    try {
      return { ...counts, ...await this.backend.size() };
    } catch {
      return { ...counts, evictions: null, entries: null, bytes: null, limit_bytes: null };
    }
  }

  async close(): Promise<void> {
    await this.backend.close();
  }
}
