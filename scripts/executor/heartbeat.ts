/** Keeps what this executor holds, and notices what it lost and what it shall stop. */
import { sleep } from "./backoff.ts";
import { CancelRequested, LeaseLost } from "./execute.ts";
import type { Logger } from "./log.ts";
import type { Run, Service } from "./service.ts";

/** A run that this executor holds. */
export class HeldRun {
  readonly #stop = new AbortController();
  readonly #lost = new AbortController();
  /** Set once the run was finished: what the server says of it then means nothing. */
  over = false;

  /** @param expiresAt by performance.now(), from before the server was asked: never later than the server's */
  constructor(readonly run: Run, public expiresAt: number) {}

  get signals(): { stop: AbortSignal; lost: AbortSignal } {
    return { stop: this.#stop.signal, lost: this.#lost.signal };
  }

  cancel(): void {
    this.#stop.abort(new CancelRequested("cancellation was requested"));
  }

  /** Ends everything about the run. */
  end(reason: Error): void {
    this.#lost.abort(reason);
    this.#stop.abort(reason);
  }
}

/** Extends often enough that one lost answer, or a slow one, costs nothing. */
const BEATS_PER_LEASE = 3;

export class Heartbeat {
  constructor(
    readonly service: Service,
    readonly held: Map<string, HeldRun>,
    readonly leaseMs: number,
    readonly log: Logger,
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
    const runs = [...this.held.values()];
    if (runs.length === 0) return true;
    const asked = performance.now();
    try {
      const answer = await this.service.extendLeases(runs.map(({ run }) => run.id), this.leaseMs);
      const byId = new Map(answer.map((row) => [row.run_id, row]));
      for (const held of runs) {
        const row = byId.get(held.run.id);
        if (row === undefined) this.#lost(held, "another executor may have it");
        else if (!held.over) {
          held.expiresAt = asked + this.leaseMs;
          if (row.cancel_requested && !held.signals.stop.aborted) {
            this.log.info("cancellation requested", { run: held.run.id });
            held.cancel();
          }
        }
      }
      return true;
    } catch (error) {
      this.log.warn("heartbeat failed", { error: (error as Error).message });
      for (const held of runs) {
        if (performance.now() >= held.expiresAt) {
          this.#lost(held, "the lease ended before it could be extended");
        }
      }
      return false;
    }
  }

  #lost(held: HeldRun, why: string): void {
    if (held.over || held.signals.lost.aborted) return;
    this.log.warn("lost run", { run: held.run.id, why });
    held.end(new LeaseLost(why));
  }
}
