/** Claims one kind of work while there is room for it, sees it done, and ends in good order. */
import { backoffMs, sleep } from "./backoff.ts";
import { type AnyFinish, type Conclusion, LeaseLost, ShuttingDown } from "./conclusions.ts";
import { Heartbeat, Held, type Lease } from "./heartbeat.ts";
import type { Fields, Logger } from "./log.ts";
import { ServiceError } from "./service.ts";
import type { Telemetry } from "./telemetry.ts";

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 30_000;
/** Claims pass over what another claim has locked: only several that find nothing, one after the other, mean that nothing is left. */
const EMPTY_CLAIMS_TO_BE_DRAINED = 3;
/** Between two looks at whether a host without room has some again. */
const NO_ROOM_MS = 1000;

/** What is claimed and held under a lease. */
export interface WorkItem {
  id: string;
  attempt: number;
}

/** One kind of work: how it is asked for, held, done and answered. */
export interface Kind<Item extends WorkItem, Finish extends AnyFinish> {
  readonly name: "run" | "build";
  claim(max: number, leaseMs: number): Promise<Item[]>;
  /** What is still held; what is missing in the answer is lost. */
  extend(ids: string[], leaseMs: number): Promise<Lease[]>;
  release(ids: string[]): Promise<void>;
  /** `finished`, `retrying`, or `not_held` when it is another's by now. */
  finish(item: Item, finish: Finish): Promise<string>;
  /** The same, and a claim of the next one in the same call, where there is such a call. */
  finishAndClaim?(
    item: Item,
    finish: Finish,
    leaseMs: number,
  ): Promise<{ answer: string; claimed: Item[] }>;
  /** Never throws. */
  execute(item: Item, held: Held<Item>): Promise<Conclusion<Finish>>;
  /** What the log says when it starts. */
  describe(item: Item): Fields;
}

export interface WorkerOptions {
  /** Pieces of work at the same time. */
  slots: number;
  /** once: one piece at most. drain: until nothing is left to claim. serve: until told to stop. */
  mode: "serve" | "once" | "drain";
  leaseMs: number;
  pollIntervalMs: number;
  shutdownGraceMs: number;
  /** Whether this host can take more work now. */
  hasRoom(): boolean;
}

export class Worker<Item extends WorkItem, Finish extends AnyFinish> {
  readonly #held = new Map<string, Held<Item>>();
  readonly #work = new Set<Promise<void>>();
  /** Aborted when no more is claimed. */
  readonly #stopping = new AbortController();
  #wake = new AbortController();
  #failures = 0;
  #claimed = 0;
  #isShort = false;

  constructor(
    readonly kind: Kind<Item, Finish>,
    readonly options: WorkerOptions,
    readonly log: Logger,
    readonly telemetry: Telemetry,
  ) {
    telemetry.watchSlots(kind.name, options.slots, () => this.#held.size);
  }

  /** How many pieces of work were begun. */
  get claimed(): number {
    return this.#claimed;
  }

  /** Whether it ended before all was claimed, in a mode that ends, since the host has no room for more. */
  get isShort(): boolean {
    return this.#isShort;
  }

  /** Works until it is stopped, or until there is nothing left to do in the modes that end. */
  async run(): Promise<void> {
    const ended = new AbortController();
    const heartbeat = new Heartbeat(
      (ids) => this.kind.extend(ids, this.options.leaseMs),
      this.#held,
      this.options.leaseMs,
      this.log,
      this.telemetry,
    );
    const beating = heartbeat.keep(ended.signal);
    try {
      await this.#claimLoop();
      await this.#settle();
    } finally {
      ended.abort();
      await beating;
    }
  }

  /** Claims no more; what is going has the grace period to finish, then it is given back. */
  stop(): void {
    this.#stopping.abort();
    this.#wake.abort();
  }

  /** Gives everything back at once. */
  stopNow(): void {
    this.stop();
    for (const held of this.#held.values()) held.end(new ShuttingDown("the executor is stopped"));
  }

  async #claimLoop(): Promise<void> {
    let empty = 0;
    while (!this.#stopping.signal.aborted) {
      this.#wake = new AbortController();
      if (this.#stopping.signal.aborted) return;
      const room = this.#room();
      if (room === 0) {
        await sleep(this.options.leaseMs, this.#wake.signal);
        continue;
      }
      if (!this.options.hasRoom()) {
        // Nothing is going that could make room when it ends.
        this.#isShort = this.options.mode !== "serve" && this.#held.size === 0;
        if (this.#isShort) return;
        await this.#pause(NO_ROOM_MS);
        continue;
      }
      const claimed = await this.#claim(room);
      if (claimed === null) {
        await this.#pause(backoffMs(this.#failures, FIRST_BACKOFF_MS, MAX_BACKOFF_MS));
        continue;
      }
      if (this.options.mode === "once" && this.#claimed > 0) return;
      empty = claimed === 0 && this.#held.size === 0 ? empty + 1 : 0;
      if (this.options.mode !== "serve" && empty >= EMPTY_CLAIMS_TO_BE_DRAINED) return;
      // As many as there was room for: there may be more by the time one ends.
      if (claimed === room) continue;
      await sleep(this.options.pollIntervalMs * (0.75 + Math.random() / 2), this.#wake.signal);
    }
  }

  #room(): number {
    if (this.options.mode === "once") return this.#claimed > 0 ? 0 : 1;
    // What was claimed in the place of one that ends is held beside it for a moment.
    return Math.max(0, this.options.slots - this.#held.size);
  }

  /** How many were claimed; null if the server could not be asked. */
  async #claim(room: number): Promise<number | null> {
    const asked = performance.now();
    let items: Item[];
    try {
      items = await this.kind.claim(room, this.options.leaseMs);
    } catch (error) {
      this.#failures++;
      this.telemetry.failed("claim");
      this.log.warn("claim failed", {
        kind: this.kind.name,
        error: (error as Error).message,
        failures: this.#failures,
      });
      return null;
    }
    return await this.#take(items, asked);
  }

  /** Begins what was claimed, or gives it back if it came too late. How many were begun. */
  async #take(items: Item[], asked: number): Promise<number> {
    this.telemetry.claimed(this.kind.name, items.length);
    if (this.#stopping.signal.aborted && items.length > 0) {
      await this.#release(items.map(({ id }) => id));
      return 0;
    }
    for (const item of items) this.#start(item, asked + this.options.leaseMs);
    return items.length;
  }

  #start(item: Item, expiresAt: number): void {
    this.#claimed++;
    // The server gave this executor what it lost without noticing yet.
    this.#held.get(item.id)?.end(new LeaseLost("claimed anew"));
    const held = new Held(item, expiresAt);
    this.#held.set(item.id, held);
    const work = this.#execute(held).catch((error) => {
      this.log.error("unexpected", {
        [this.kind.name]: item.id,
        error: String(error?.stack ?? error),
      });
    }).finally(() => {
      held.over = true;
      if (this.#held.get(item.id) === held) this.#held.delete(item.id);
      this.#work.delete(work);
      this.#wake.abort();
    });
    this.#work.add(work);
  }

  async #execute(held: Held<Item>): Promise<void> {
    const { item } = held;
    const { name } = this.kind;
    const log = this.log.with({ [name]: item.id, attempt: item.attempt });
    log.info(`${name} started`, this.kind.describe(item));
    const started = performance.now();
    const conclusion = await this.kind.execute(item, held);
    const answer = await this.#conclude(held, conclusion);
    const finish = conclusion.kind === "finish" ? conclusion.finish : undefined;
    const ms = Math.round(performance.now() - started);
    log.info(`${name} ended`, { answer, status: finish?.status, error: finish?.error_message, ms });
    this.telemetry.ended(name, answer === "finished" ? finish!.status : answer, ms / 1000);
    if (conclusion.kind !== "finish") return;
    if (conclusion.infrastructure === undefined) {
      this.#failures = 0;
      return;
    }
    this.telemetry.failed("infrastructure");
    log.error("infrastructure failed", {
      error: String((conclusion.infrastructure as Error)?.stack ?? conclusion.infrastructure),
    });
    // A host that cannot run apps must not use up the attempts of all that is in the queue.
    this.#failures++;
    await this.#pause(
      backoffMs(this.#failures, FIRST_BACKOFF_MS, MAX_BACKOFF_MS),
      held.signals.stop,
    );
  }

  async #conclude(held: Held<Item>, conclusion: Conclusion<Finish>): Promise<string> {
    if (conclusion.kind === "drop") return "dropped";
    if (conclusion.kind === "release") {
      await this.#release([held.item.id]);
      held.over = true;
      return "released";
    }
    const goesOn = conclusion.infrastructure === undefined && this.#failures === 0 &&
      this.options.mode !== "once" && !this.#stopping.signal.aborted && this.options.hasRoom();
    const answer = (goesOn ? await this.#finishAndClaim(held, conclusion.finish) : null) ??
      await this.#finish(held, conclusion.finish);
    held.over = true;
    return answer;
  }

  /** Says how it ended and claims the next one; null if it did not come to that, and is to be said alone. */
  async #finishAndClaim(held: Held<Item>, finish: Finish): Promise<string | null> {
    const asked = performance.now();
    try {
      const turn = await this.kind.finishAndClaim?.(held.item, finish, this.options.leaseMs);
      if (!turn) return null;
      held.over = true;
      await this.#take(turn.claimed, asked);
      return turn.answer;
    } catch (error) {
      this.telemetry.failed("finish");
      this.log.warn("finish failed", {
        [this.kind.name]: held.item.id,
        error: (error as Error).message,
      });
      return null;
    }
  }

  /** Says how it ended, again and again until the server has heard it or it is another's. */
  async #finish(held: Held<Item>, finish: Finish): Promise<string> {
    for (let failures = 1;; failures++) {
      try {
        return await this.kind.finish(held.item, finish);
      } catch (error) {
        this.telemetry.failed("finish");
        const about = { [this.kind.name]: held.item.id, error: (error as Error).message };
        if (!(error instanceof ServiceError && error.temporary)) {
          this.log.error("finish refused", about);
          return "refused";
        }
        if (held.signals.lost.aborted || performance.now() > held.expiresAt) return "lost";
        this.log.warn("finish failed", about);
        await sleep(
          backoffMs(failures, FIRST_BACKOFF_MS, this.options.leaseMs / 2),
          held.signals.lost,
        );
      }
    }
  }

  async #release(ids: string[]): Promise<void> {
    try {
      await this.kind.release(ids);
    } catch (error) {
      // The lease ends by itself.
      this.log.warn("release failed", {
        [`${this.kind.name}s`]: ids.join(","),
        error: (error as Error).message,
      });
    }
  }

  /** Waits for what is going: all of it, or for the grace period after a stop. */
  async #settle(): Promise<void> {
    const all = Promise.all([...this.#work]);
    const stopped = new Promise<void>((resolve) => {
      const { signal } = this.#stopping;
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.race([all, stopped]);
    if (!this.#stopping.signal.aborted) return;
    if (this.#work.size > 0) {
      this.log.info("stopping", {
        [`${this.kind.name}s`]: this.#held.size,
        grace_ms: this.options.shutdownGraceMs,
      });
    }
    const grace = new AbortController();
    all.then(() => grace.abort());
    await sleep(this.options.shutdownGraceMs, grace.signal);
    for (const held of this.#held.values()) held.end(new ShuttingDown("the executor is stopped"));
    await all;
  }

  async #pause(ms: number, signal: AbortSignal = this.#stopping.signal): Promise<void> {
    await sleep(ms, AbortSignal.any([signal, this.#stopping.signal]));
  }
}
