import { createClient } from "redis";
import type { CacheBackend } from "./cache.ts";

const PREFIX = "stowage:cache:";
/** Longer than any entry lives: a stamp that is gone must not come back while an entry still shows it. */
const STAMP_SECONDS = 24 * 3600;
const MOST_TTL_MS = STAMP_SECONDS * 1000 / 2;
/** A cache that takes longer than the database is none. */
const COMMAND_DEADLINE_MS = 150;
/** How long Redis is left alone after it did not answer. */
const PAUSE_MS = 1_000;
/** A connection that has not answered for so long is given up: its other end may be gone without a word. */
const RENEW_AFTER_MS = 4_000;

interface Kept {
  /** The stamps of the tag and of everything, as they were before the value was loaded. */
  stamp: string;
  value: unknown;
}

/**
 * One cache for all instances. Entries carry the stamp of their tag, and count only while it is that: invalidating is one
 * increment, whoever holds what. Size and eviction are Redis's own (`maxmemory`, `allkeys-lru`).
 */
export class RedisBackend implements CacheBackend {
  readonly name = "redis";
  #client: ReturnType<typeof connect>;
  #pausedUntil = 0;
  #failingSince: number | null = null;
  /** It could not be told of a change: once it answers again, all that it holds is old. */
  #owed = false;

  constructor(private readonly url: string) {
    this.#client = connect(url);
  }

  async look<T>(key: string, tag: string): Promise<{ value?: T; stamp: string }> {
    if (this.#owed) await this.#forgetAll();
    const [text, ofTag, ofAll] = await this.#command(() =>
      this.#client.mGet([`${PREFIX}entry:${key}`, `${PREFIX}stamp:${tag}`, `${PREFIX}all`])
    );
    const stamp = `${ofAll ?? 0}.${ofTag ?? 0}`;
    if (text === null) return { stamp };
    const kept = JSON.parse(text) as Kept;
    return kept.stamp === stamp ? { value: kept.value as T, stamp } : { stamp };
  }

  async put<T>(key: string, _tag: string, stamp: string, value: T, ttlMs: number): Promise<void> {
    const kept: Kept = { stamp, value };
    await this.#command(() =>
      this.#client.set(`${PREFIX}entry:${key}`, JSON.stringify(kept), {
        expiration: { type: "PX", value: Math.max(1, Math.min(Math.round(ttlMs), MOST_TTL_MS)) },
      })
    );
  }

  async invalidate(tag?: string): Promise<void> {
    try {
      await this.#increment(tag === undefined ? `${PREFIX}all` : `${PREFIX}stamp:${tag}`);
    } catch (error) {
      this.#owed = true;
      throw error;
    }
  }

  async #forgetAll(): Promise<void> {
    await this.#increment(`${PREFIX}all`);
    this.#owed = false;
  }

  async #increment(key: string): Promise<void> {
    await this.#command(() => this.#client.multi().incr(key).expire(key, STAMP_SECONDS).exec());
  }

  async size() {
    const [stats, memory, entries] = await this.#command(() =>
      Promise.all([
        this.#client.info("stats"),
        this.#client.info("memory"),
        this.#client.dbSize(),
      ])
    );
    const number = (text: string, name: string) =>
      Number(new RegExp(`^${name}:(\\d+)`, "m").exec(text)?.[1] ?? NaN);
    const limit = number(memory, "maxmemory");
    return {
      evictions: number(stats, "evicted_keys"),
      entries,
      bytes: number(memory, "used_memory"),
      limit_bytes: limit > 0 ? limit : null,
    };
  }

  close(): Promise<void> {
    leave(this.#client);
    return Promise.resolve();
  }

  async #command<T>(run: () => Promise<T>): Promise<T> {
    if (Date.now() < this.#pausedUntil) throw new Error("Redis is left alone for a moment");
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("Redis did not answer")), COMMAND_DEADLINE_MS);
    });
    try {
      const answer = await Promise.race([run(), deadline]);
      this.#failingSince = null;
      return answer;
    } catch (error) {
      const now = Date.now();
      this.#pausedUntil = now + PAUSE_MS;
      this.#failingSince ??= now;
      if (now - this.#failingSince >= RENEW_AFTER_MS) {
        this.#failingSince = now;
        leave(this.#client);
        this.#client = connect(this.url);
      }
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

function connect(url: string) {
  const client = createClient({
    url,
    // While there is no connection, commands fail at once, and the database answers.
    disableOfflineQueue: true,
    socket: {
      connectTimeout: 1_000,
      reconnectStrategy: (retries) => Math.min(50 * 2 ** retries, PAUSE_MS),
    },
  });
  // Each command says it too; nobody listening would end the process.
  client.on("error", () => {});
  client.connect().catch(() => {});
  return client;
}

function leave(client: ReturnType<typeof connect>): void {
  if (client.isOpen) client.destroy();
}
