/**
 * One request at a time works on an upload. The newer one wins: a client that comes back has given up the connection
 * that the older one still reads from.
 */
import { setTimeout as delay } from "node:timers/promises";
import { errors } from "../errors.ts";

/** How long the older request may go on, and how long the newer one waits in all. */
const DRAIN_MS = 3_000;
const WAIT_MS = 5_000;

interface Holder {
  stop: AbortController;
  released: Promise<void>;
}

export class UploadLocks {
  #holders = new Map<string, Holder>();

  /** Runs `work` alone on the upload; the signal tells it that another request waits. Throws lockTimeout. */
  async hold<T>(version: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const deadline = Date.now() + WAIT_MS;
    for (let holder = this.#holders.get(version); holder; holder = this.#holders.get(version)) {
      const patience = Math.min(DRAIN_MS, deadline - Date.now());
      if (patience <= 0) throw errors.lockTimeout();
      await settled(holder.released, patience);
      holder.stop.abort();
      await settled(holder.released, Math.max(0, deadline - Date.now()));
    }
    const stop = new AbortController();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    this.#holders.set(version, { stop, released });
    try {
      return await work(stop.signal);
    } finally {
      this.#holders.delete(version);
      release();
    }
  }
}

async function settled(promise: Promise<void>, ms: number): Promise<void> {
  const over = new AbortController();
  await Promise.race([promise, delay(ms, undefined, { signal: over.signal }).catch(() => {})]);
  over.abort();
}
