/** Claims runs while there is room for them, executes them, and ends in good order. */
import { backoffMs, sleep } from "./backoff.ts";
import { ConfigError, type ExecutorConfig } from "./config.ts";
import { type Conclusion, executeRun, LeaseLost, ShuttingDown } from "./execute.ts";
import { Heartbeat, HeldRun } from "./heartbeat.ts";
import type { Logger } from "./log.ts";
import type { Sandbox } from "./sandbox/types.ts";
import { type Finish, type Run, Service, ServiceError } from "./service.ts";

export const EXECUTOR_VERSION = "0.1.0";

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 30_000;
/** Tries to reach the server before giving up, in the modes that end by themselves. */
const IMPATIENT_TRIES = 5;
/** Runs of dead executors are looked for this often, or once a lease if that is shorter. */
const REAP_INTERVAL_MS = 30_000;

export class Executor {
  readonly #held = new Map<string, HeldRun>();
  readonly #work = new Set<Promise<void>>();
  /** Aborted when no more is claimed. */
  readonly #stopping = new AbortController();
  /** Aborted when all is over. */
  readonly #ended = new AbortController();
  #wake = new AbortController();
  #failures = 0;
  #claimed = 0;

  constructor(
    readonly config: ExecutorConfig,
    readonly sandbox: Sandbox,
    readonly workDir: string,
    readonly log: Logger,
    readonly service: Service = new Service(config.url, config.secretKey, config.id),
  ) {}

  /**
   * Works until it is stopped, or until there is nothing left to do in the modes that end.
   * @throws ConfigError when the server refuses this executor for good
   */
  async run(): Promise<void> {
    await this.#register();
    const heartbeat = new Heartbeat(this.service, this.#held, this.config.leaseMs, this.log);
    const beside = [heartbeat.keep(this.#ended.signal), this.#reap()];
    try {
      await this.#claimLoop();
      await this.#settle();
    } finally {
      this.#ended.abort();
      await Promise.all(beside);
    }
    this.log.info("executor ended", { executed: this.#claimed });
  }

  /** Claims no more; runs have the grace period to finish, then they are given back. */
  stop(): void {
    this.#stopping.abort();
    this.#wake.abort();
  }

  /** Gives everything back at once. */
  stopNow(): void {
    this.stop();
    for (const held of this.#held.values()) held.end(new ShuttingDown("the executor is stopped"));
  }

  async #register(): Promise<void> {
    for (let failures = 1; !this.#stopping.signal.aborted; failures++) {
      try {
        await this.service.register(
          this.config.concurrency,
          { sandbox: this.sandbox.name, isolating: this.sandbox.isolating, arch: Deno.build.arch },
          EXECUTOR_VERSION,
        );
        return;
      } catch (error) {
        const impatient = this.config.mode !== "serve" && failures >= IMPATIENT_TRIES;
        if (!(error instanceof ServiceError) || !error.temporary || impatient) {
          throw refusal(error, this.config.url);
        }
        this.log.warn("server not reached", { url: this.config.url, error: error.message });
        await sleep(backoffMs(failures, FIRST_BACKOFF_MS, MAX_BACKOFF_MS), this.#stopping.signal);
      }
    }
  }

  async #claimLoop(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#wake = new AbortController();
      if (this.#stopping.signal.aborted) return;
      const room = this.#room();
      if (room === 0) {
        await sleep(this.config.leaseMs, this.#wake.signal);
        continue;
      }
      const claimed = await this.#claim(room);
      if (claimed === null) {
        await this.#pause(backoffMs(this.#failures, FIRST_BACKOFF_MS, MAX_BACKOFF_MS));
        continue;
      }
      if (this.config.mode === "once" && this.#claimed > 0) return;
      // As many as there was room for: there may be more by the time one ends.
      if (claimed === room) continue;
      if (this.config.mode !== "serve" && this.#held.size === 0) return;
      await sleep(this.config.pollIntervalMs * (0.75 + Math.random() / 2), this.#wake.signal);
    }
  }

  #room(): number {
    if (this.config.mode === "once") return this.#claimed > 0 ? 0 : 1;
    return this.config.concurrency - this.#held.size;
  }

  /** How many runs were claimed; null if the server could not be asked. */
  async #claim(room: number): Promise<number | null> {
    const asked = performance.now();
    let runs: Run[];
    try {
      runs = await this.service.claim(room, this.config.leaseMs);
    } catch (error) {
      this.#failures++;
      this.log.warn("claim failed", { error: (error as Error).message, failures: this.#failures });
      return null;
    }
    if (this.#stopping.signal.aborted && runs.length > 0) {
      await this.#release(runs.map(({ id }) => id));
      return 0;
    }
    for (const run of runs) this.#start(run, asked + this.config.leaseMs);
    return runs.length;
  }

  #start(run: Run, expiresAt: number): void {
    this.#claimed++;
    const earlier = this.#held.get(run.id);
    // The server gave this executor a run that it lost without noticing yet.
    earlier?.end(new LeaseLost("claimed anew"));
    const held = new HeldRun(run, expiresAt);
    this.#held.set(run.id, held);
    const work = this.#execute(held).catch((error) => {
      this.log.error("unexpected", { run: run.id, error: String(error?.stack ?? error) });
    }).finally(() => {
      held.over = true;
      if (this.#held.get(run.id) === held) this.#held.delete(run.id);
      this.#work.delete(work);
      this.#wake.abort();
    });
    this.#work.add(work);
  }

  async #execute(held: HeldRun): Promise<void> {
    const { run } = held;
    const log = this.log.with({ run: run.id, attempt: run.attempt });
    log.info("run started", { app: run.app_id, version: run.version, company: run.company_id });
    const started = performance.now();
    const context = {
      service: this.service,
      sandbox: this.sandbox,
      bounds: this.config.bounds,
      workDir: this.workDir,
    };
    const conclusion = await executeRun(run, context, held.signals);
    const answer = await this.#conclude(held, conclusion);
    log.info("run ended", {
      answer,
      status: conclusion.kind === "finish" ? conclusion.finish.status : undefined,
      error: conclusion.kind === "finish" ? conclusion.finish.error_message : undefined,
      ms: Math.round(performance.now() - started),
    });
    if (conclusion.kind === "finish" && conclusion.infrastructure !== undefined) {
      log.error("infrastructure failed", {
        error: String((conclusion.infrastructure as Error)?.stack ?? conclusion.infrastructure),
      });
      // A host that cannot run apps must not use up the attempts of every run in the queue.
      this.#failures++;
      await this.#pause(
        backoffMs(this.#failures, FIRST_BACKOFF_MS, MAX_BACKOFF_MS),
        held.signals.stop,
      );
    } else if (conclusion.kind === "finish") {
      this.#failures = 0;
    }
  }

  async #conclude(held: HeldRun, conclusion: Conclusion): Promise<string> {
    if (conclusion.kind === "drop") return "dropped";
    if (conclusion.kind === "release") {
      await this.#release([held.run.id]);
      held.over = true;
      return "released";
    }
    const answer = await this.#finish(held, conclusion.finish);
    held.over = true;
    return answer;
  }

  /** Says how the run ended, again and again until the server has heard it or the run is another's. */
  async #finish(held: HeldRun, finish: Finish): Promise<string> {
    for (let failures = 1;; failures++) {
      try {
        return await this.service.finish(held.run, finish);
      } catch (error) {
        const temporary = error instanceof ServiceError && error.temporary;
        if (!temporary) {
          this.log.error("finish refused", { run: held.run.id, error: (error as Error).message });
          return "refused";
        }
        if (held.signals.lost.aborted || performance.now() > held.expiresAt) return "lost";
        this.log.warn("finish failed", { run: held.run.id, error: error.message });
        await sleep(
          backoffMs(failures, FIRST_BACKOFF_MS, this.config.leaseMs / 2),
          held.signals.lost,
        );
      }
    }
  }

  async #release(ids: string[]): Promise<void> {
    try {
      await this.service.release(ids);
    } catch (error) {
      // The lease ends by itself.
      this.log.warn("release failed", { runs: ids.join(","), error: (error as Error).message });
    }
  }

  /** Waits for the runs that are going: all of them, or for the grace period after a stop. */
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
      this.log.info("stopping", { runs: this.#held.size, grace_ms: this.config.shutdownGraceMs });
    }
    const grace = new AbortController();
    all.then(() => grace.abort());
    await sleep(this.config.shutdownGraceMs, grace.signal);
    for (const held of this.#held.values()) held.end(new ShuttingDown("the executor is stopped"));
    await all;
  }

  /** Gives runs of dead executors back to the queue; any executor may, and all do. */
  async #reap(): Promise<void> {
    const interval = Math.min(REAP_INTERVAL_MS, this.config.leaseMs);
    while (!this.#ended.signal.aborted) {
      await sleep(interval * (0.5 + Math.random()), this.#ended.signal);
      if (this.#ended.signal.aborted) return;
      try {
        const count = await this.service.releaseExpired();
        if (count > 0) {
          this.log.warn("runs of lost executors given back", { runs: count });
        }
      } catch (error) {
        this.log.warn("release of expired runs failed", { error: (error as Error).message });
      }
    }
  }

  async #pause(ms: number, signal: AbortSignal = this.#stopping.signal): Promise<void> {
    await sleep(ms, AbortSignal.any([signal, this.#stopping.signal]));
  }
}

function refusal(error: unknown, url: string): Error {
  if (!(error instanceof ServiceError)) return error as Error;
  if (error.unauthorized) {
    return new ConfigError(`${url} refuses the key in SUPABASE_SECRET_KEY: ${error.message}`);
  }
  if (error.status === 404) {
    return new ConfigError(
      `${url} has no function register_executor: are the migrations applied? (${error.message})`,
    );
  }
  return new ConfigError(`${url} cannot be used: ${error.message}`);
}
