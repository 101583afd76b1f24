import type { CacheBackend } from "./cache.ts";

interface Entry {
  value: unknown;
  tag: string;
  bytes: number;
  expiresAt: number;
}

/** What an entry takes besides its text, roughly. */
const ENTRY_OVERHEAD_BYTES = 200;

/** Least recently used in, least recently used out, within so many bytes of this process. */
export class MemoryBackend implements CacheBackend {
  readonly name = "memory";
  /** In the order of use, oldest first. */
  #entries = new Map<string, Entry>();
  #keysByTag = new Map<string, Set<string>>();
  #stamps = new Map<string, number>();
  #stamp = 0;
  #bytes = 0;
  #evictions = 0;

  constructor(
    private readonly limitBytes: number,
    private readonly now: () => number = Date.now,
  ) {}

  look<T>(key: string, tag: string): Promise<{ value?: T; stamp: string }> {
    const entry = this.#entries.get(key);
    const stamp = this.#stampOf(tag);
    if (!entry) return Promise.resolve({ stamp });
    this.#remove(key, entry);
    if (entry.expiresAt <= this.now()) return Promise.resolve({ stamp });
    this.#add(key, entry);
    return Promise.resolve({ value: entry.value as T, stamp });
  }

  put<T>(key: string, tag: string, stamp: string, value: T, ttlMs: number): Promise<void> {
    if (stamp !== this.#stampOf(tag)) return Promise.resolve();
    const bytes = JSON.stringify(value).length + key.length + ENTRY_OVERHEAD_BYTES;
    const old = this.#entries.get(key);
    if (old) this.#remove(key, old);
    if (bytes > this.limitBytes) return Promise.resolve();
    this.#add(key, { value, tag, bytes, expiresAt: this.now() + ttlMs });
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.limitBytes) break;
      this.#remove(oldest, entry);
      this.#evictions++;
    }
    return Promise.resolve();
  }

  invalidate(tag?: string): Promise<void> {
    if (tag === undefined) {
      this.#entries.clear();
      this.#keysByTag.clear();
      this.#stamps.clear();
      this.#stamp++;
      this.#bytes = 0;
      return Promise.resolve();
    }
    for (const key of [...this.#keysByTag.get(tag) ?? []]) {
      this.#remove(key, this.#entries.get(key)!);
    }
    // Only what is being loaded asks for stamps; a new beginning makes all of that stale, and this small again.
    if (this.#stamps.size >= MOST_STAMPS) {
      this.#stamps.clear();
      this.#stamp++;
    }
    this.#stamps.set(tag, (this.#stamps.get(tag) ?? 0) + 1);
    return Promise.resolve();
  }

  size() {
    return Promise.resolve({
      evictions: this.#evictions,
      entries: this.#entries.size,
      bytes: this.#bytes,
      limit_bytes: this.limitBytes,
    });
  }

  close(): Promise<void> {
    return this.invalidate();
  }

  #stampOf(tag: string): string {
    return `${this.#stamp}.${this.#stamps.get(tag) ?? 0}`;
  }

  #add(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    const keys = this.#keysByTag.get(entry.tag) ?? new Set();
    this.#keysByTag.set(entry.tag, keys.add(key));
  }

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    const keys = this.#keysByTag.get(entry.tag);
    keys?.delete(key);
    if (keys?.size === 0) this.#keysByTag.delete(entry.tag);
  }
}

const MOST_STAMPS = 10_000;
