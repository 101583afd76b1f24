/** What any executor may do for all, and every one does again and again: tick schedules, give back what the dead held. */
import { sleep } from "./backoff.ts";
import type { Logger } from "./log.ts";
import type { Service } from "./service.ts";
import type { Telemetry } from "./telemetry.ts";

/** Work of dead executors is looked for this often, or once a lease if that is shorter. */
const REAP_INTERVAL_MS = 30_000;
/** Ticks in a row before others get their turn, should a schedule never be done. */
const MAX_TICKS_IN_A_ROW = 100;

interface Chore {
  name: string;
  intervalMs: number;
  /** How many things it found to do. */
  once(signal: AbortSignal): Promise<number>;
  /** Whether it is done again at once after it found something. */
  greedy: boolean;
}

export interface HousekeepingOptions {
  leaseMs: number;
  /** 0: this executor does not tick. */
  tickIntervalMs: number;
  /** 0: this executor deletes nothing that is old. */
  retentionIntervalMs: number;
}

export class Housekeeping {
  readonly #chores: Chore[];

  constructor(
    service: Pick<Service, "enqueueDue" | "releaseExpired" | "releaseExpiredBuilds">,
    { leaseMs, tickIntervalMs, retentionIntervalMs }: HousekeepingOptions,
    readonly log: Logger,
    readonly telemetry: Telemetry,
    /** Deletes some of what is older than it is kept; answers how much. */
    retire: (signal: AbortSignal) => Promise<number>,
    /** Sees to it that nobody else has this executor's id; answers 0. */
    lookForNamesake: () => Promise<number>,
  ) {
    const reapMs = Math.min(REAP_INTERVAL_MS, leaseMs);
    this.#chores = [
      {
        name: "runs of lost executors given back",
        intervalMs: reapMs,
        once: () => service.releaseExpired(),
        greedy: false,
      },
      {
        name: "builds of lost executors given back",
        intervalMs: reapMs,
        once: () => service.releaseExpiredBuilds(),
        greedy: false,
      },
      { name: "namesake looked for", intervalMs: reapMs, once: lookForNamesake, greedy: false },
    ];
    if (tickIntervalMs > 0) {
      this.#chores.push({
        name: "due times of schedules handled",
        intervalMs: tickIntervalMs,
        once: () => service.enqueueDue(),
        greedy: true,
      });
    }
    if (retentionIntervalMs > 0) {
      this.#chores.push({
        name: "old rows and objects deleted",
        intervalMs: retentionIntervalMs,
        once: retire,
        greedy: true,
      });
    }
  }

  /** Does all chores in their intervals until the signal aborts. */
  async keep(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#chores.map((chore) => this.#repeat(chore, signal)));
  }

  async #repeat(chore: Chore, signal: AbortSignal): Promise<void> {
    // Executors that were started together spread.
    let wait = chore.intervalMs * Math.random();
    while (!signal.aborted) {
      await sleep(wait, signal);
      if (signal.aborted) return;
      await this.#do(chore, signal);
      wait = chore.intervalMs * (0.75 + Math.random() / 2);
    }
  }

  async #do(chore: Chore, signal: AbortSignal): Promise<void> {
    try {
      for (let turn = 0; turn < MAX_TICKS_IN_A_ROW && !signal.aborted; turn++) {
        const count = await chore.once(signal);
        if (count > 0) this.log.info(chore.name, { count });
        if (count === 0 || !chore.greedy) return;
      }
    } catch (error) {
      this.telemetry.failed("housekeeping");
      this.log.warn("housekeeping failed", {
        what: chore.name,
        error: (error as Error).message,
      });
    }
  }
}
