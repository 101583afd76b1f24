/** Keeps what this executor holds, and notices what it lost and what it shall stop. */
import { sleep } from "./backoff.ts";
import { CancelRequested, LeaseLost } from "./conclusions.ts";
import type { Logger } from "./log.ts";
import type { Telemetry } from "./telemetry.ts";

/** Something that this executor holds under a lease. */
export class Held<Item extends { id: string }> {
  readonly #stop = new AbortController();
  readonly #lost = new AbortController();
  /** Set once it was finished: what the server says of it then means nothing. */
  over = false;

  /** @param expiresAt by performance.now(), from before the server was asked: never later than the server's */
  constructor(readonly item: Item, public expiresAt: number) {}

  get signals(): { stop: AbortSignal; lost: AbortSignal } {
    return { stop: this.#stop.signal, lost: this.#lost.signal };
  }

  cancel(): void {
    this.#stop.abort(new CancelRequested("cancellation was requested"));
  }

  /** Ends everything about it. */
  end(reason: Error): void {
    this.#lost.abort(reason);
    this.#stop.abort(reason);
  }
}

/** The server's word on one that is still held. */
export interface Lease {
  id: string;
  cancelRequested: boolean;
}

/** Extends often enough that one lost answer, or a slow one, costs nothing. */
const BEATS_PER_LEASE = 3;

/** A server that does not answer is asked again while there is time. */
async function answerWithin<T>(answer: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${Math.round(ms)} ms`)), ms);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

export class Heartbeat {
  constructor(
    readonly extend: (ids: string[]) => Promise<Lease[]>,
    readonly held: ReadonlyMap<string, Held<{ id: string }>>,
    readonly leaseMs: number,
    readonly log: Logger,
    readonly telemetry: Telemetry,
  ) {}

  /** Beats until the signal aborts. */
  async keep(signal: AbortSignal): Promise<void> {
    const interval = this.leaseMs / BEATS_PER_LEASE;
    let wait = interval;
    while (!signal.aborted) {
      await sleep(wait, signal);
      if (signal.aborted) return;
      // After a failure sooner, to use what is left of the lease.
      wait = await this.beat() ? interval : interval / 4;
    }
  }

  /** Extends all leases once; false if the server could not be asked. */
  async beat(): Promise<boolean> {
    // The server may have given these to another of the same id, and would extend that one's lease.
    this.#loseExpired();
    const all = [...this.held.values()].filter(({ signals }) => !signals.lost.aborted);
    if (all.length === 0) return true;
    const asked = performance.now();
    try {
      const answer = await answerWithin(
        this.extend(all.map(({ item }) => item.id)),
        this.leaseMs / BEATS_PER_LEASE,
      );
      const byId = new Map(answer.map((lease) => [lease.id, lease]));
      for (const held of all) {
        const lease = byId.get(held.item.id);
        if (lease === undefined) this.#lost(held, "another executor may have it");
        else if (!held.over) {
          held.expiresAt = asked + this.leaseMs;
          if (lease.cancelRequested && !held.signals.stop.aborted) {
            this.log.info("cancellation requested", { id: held.item.id });
            held.cancel();
          }
        }
      }
      return true;
    } catch (error) {
      this.telemetry.failed("heartbeat");
      this.log.warn("heartbeat failed", { error: (error as Error).message });
      this.#loseExpired();
      return false;
    }
  }

  #loseExpired(): void {
    for (const held of this.held.values()) {
      if (performance.now() >= held.expiresAt) {
        this.#lost(held, "the lease ended before it could be extended");
      }
    }
  }

  #lost(held: Held<{ id: string }>, why: string): void {
    if (held.over || held.signals.lost.aborted) return;
    this.log.warn("lost run", { id: held.item.id, why });
    held.end(new LeaseLost(why));
  }
}
