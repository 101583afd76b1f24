/** An executor: the workers for runs and builds, and the housekeeping beside them. */
import { backoffMs, sleep } from "./backoff.ts";
import { retireOnce } from "../storage/apply_retention.ts";
import { createServiceClient } from "../command/project.ts";
import { ConfigError, type ExecutorConfig } from "./config.ts";
import { Disk } from "./disk.ts";
import { executeBuild } from "./build.ts";
import { executeRun } from "./execute.ts";
import { Housekeeping } from "./housekeeping.ts";
import type { Logger } from "./log.ts";
import { Installer } from "./install/mod.ts";
import type { Sandbox } from "./sandbox/types.ts";
import {
  type Build,
  type BuildFinish,
  type Finish,
  type Run,
  Service,
  ServiceError,
} from "./service.ts";
import { Telemetry } from "./telemetry.ts";
import { type Kind, Worker } from "./worker.ts";

export const EXECUTOR_VERSION = "0.1.0";

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 30_000;
/** Tries to reach the server before giving up, in the modes that end by themselves. */
const IMPATIENT_TRIES = 5;

export class Executor {
  readonly service: Service;
  readonly telemetry: Telemetry;
  readonly #disk: Disk;
  readonly #installer: Installer;
  readonly #workers: Pick<
    Worker<Run, Finish>,
    "run" | "stop" | "stopNow" | "claimed" | "isShort"
  >[];
  readonly #stopping = new AbortController();
  /** Tells this process from another with the same id. */
  readonly #session = crypto.randomUUID();
  #namesake = false;
  #state: "starting" | "working" | "stopping" = "starting";

  constructor(
    readonly config: ExecutorConfig,
    readonly sandbox: Sandbox,
    readonly workDir: string,
    readonly log: Logger,
  ) {
    this.service = new Service(config.url, config.secretKey, config.id, config.leaseMs);
    this.telemetry = new Telemetry({
      id: config.id,
      version: EXECUTOR_VERSION,
      sandbox: sandbox.name,
    });
    this.#disk = new Disk(workDir, config.minFreeBytes, log);
    this.#installer = new Installer({ ...config, sandbox, workDir, disk: this.#disk }, log);
    const hasRoom = () => this.#disk.hasRoom();
    this.#workers = [
      new Worker(
        this.#runs(),
        { ...config, slots: config.concurrency, hasRoom },
        log,
        this.telemetry,
      ),
    ];
    // One run at most means: and nothing else.
    if (config.builds > 0 && config.mode !== "once") {
      this.#workers.push(
        new Worker(
          this.#builds(),
          { ...config, slots: config.builds, hasRoom },
          log,
          this.telemetry,
        ),
      );
    }
  }

  /** starting: not registered yet. full: claims nothing until there is room on the disk. stopping: claims no more. */
  get state(): "starting" | "working" | "full" | "stopping" {
    return this.#state === "working" && !this.#disk.hasRoom() ? "full" : this.#state;
  }

  /**
   * Works until it is stopped, or until there is nothing left to do in the modes that end.
   * @throws ConfigError when the server refuses this executor for good, where a mode that ends does so for want of room, and
   * after all is done when another was started with its id
   */
  async run(): Promise<void> {
    const short = new ConfigError(`${this.workDir} has less free space than --min-free asks for`);
    if (this.config.mode !== "serve" && !this.#disk.hasRoom()) throw short;
    await this.#register();
    if (this.#state === "starting") this.#state = "working";
    const ended = new AbortController();
    const storage = createServiceClient(this.config.url, this.config.secretKey);
    const keeping = new Housekeeping(
      this.service,
      this.config,
      this.log,
      this.telemetry,
      (signal) => retireOnce(storage, signal),
      () => this.#lookForNamesake(),
    ).keep(ended.signal);
    const unwatch = this.#disk.watch();
    try {
      await Promise.all(this.#workers.map((worker) => worker.run()));
    } finally {
      unwatch();
      ended.abort();
      await keeping;
    }
    this.log.info("executor ended", {
      executed: this.#workers.reduce((sum, worker) => sum + worker.claimed, 0),
    });
    if (this.#namesake) {
      throw new ConfigError(`another executor was started with the id ${this.config.id} (--id)`);
    }
    if (this.#workers.some((worker) => worker.isShort)) throw short;
  }

  /**
   * Of two with one id the older one ends: the newer one may be there because the older was thought dead, and answers for all that is
   * held in its name.
   */
  async #lookForNamesake(): Promise<number> {
    const session = await this.service.session();
    // Who is being stopped may have its successor already.
    if (
      typeof session === "string" && session !== this.#session && !this.#stopping.signal.aborted
    ) {
      this.#namesake = true;
      this.log.error("another executor has this id, stopping", { id: this.config.id });
      this.stop();
    }
    return 0;
  }

  /** Claims no more; what is going has the grace period to finish, then it is given back. */
  stop(): void {
    this.#state = "stopping";
    this.#stopping.abort();
    for (const worker of this.#workers) worker.stop();
  }

  /** Gives everything back at once. */
  stopNow(): void {
    this.stop();
    for (const worker of this.#workers) worker.stopNow();
  }

  #runs(): Kind<Run, Finish> {
    const { service } = this;
    const context = {
      service,
      sandbox: this.sandbox,
      installer: this.#installer,
      bounds: this.config.bounds,
      versions: this.sandbox.versions,
      workDir: this.workDir,
      disk: this.#disk,
    };
    return {
      name: "run",
      claim: (max, leaseMs) => service.claim(max, leaseMs),
      extend: (ids, leaseMs) => service.extendLeases(ids, leaseMs),
      release: (ids) => service.release(ids),
      finish: (run, finish) => service.finish(run, finish),
      finishAndClaim: (run, finish, leaseMs) => service.finishAndClaim(run, finish, leaseMs),
      execute: (run, held) => executeRun(run, context, held.signals),
      describe: (run) => ({ app: run.app_id, version: run.version, company: run.company_id }),
    };
  }

  #builds(): Kind<Build, BuildFinish> {
    const { service } = this;
    const context = {
      service,
      installer: this.#installer,
      bounds: this.config.bounds,
      versions: this.sandbox.versions,
      workDir: this.workDir,
      disk: this.#disk,
    };
    return {
      name: "build",
      claim: (max, leaseMs) => service.claimBuilds(max, leaseMs),
      extend: (ids, leaseMs) => service.extendBuildLeases(ids, leaseMs),
      release: (ids) => service.releaseBuilds(ids),
      finish: (build, finish) => service.finishBuild(build, finish),
      execute: (build, held) => executeBuild(build, context, held.signals),
      describe: (build) => ({ app: build.app_id, version: build.build_version }),
    };
  }

  async #register(): Promise<void> {
    for (let failures = 1; !this.#stopping.signal.aborted; failures++) {
      try {
        await this.service.register(
          this.config.concurrency,
          {
            ...this.config.labels,
            sandbox: this.sandbox.name,
            isolating: this.sandbox.isolating,
            arch: Deno.build.arch,
            session: this.#session,
          },
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
