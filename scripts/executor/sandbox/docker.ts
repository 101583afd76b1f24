/**
 * Apps in containers of Docker (or an engine with the same API), one a run: no network, nothing of the host but the app's own folder,
 * an unprivileged user, all limits held by the kernel's control groups.
 */
import { imageEntries, imageName } from "../image/contents.ts";
import { containerDefinition, writeRunFiles } from "./docker_container.ts";
import { Engine, EngineError, type EngineInfo, engineSocket } from "./docker_engine.ts";
import { ownerLabels, removeOwn, sweep } from "./docker_owner.ts";
import { superviseContainer } from "./docker_supervise.ts";
import { type EgressSettings, openEgress } from "./egress.ts";
import { sandboxUser } from "./identity.ts";
import { outcomeOf } from "./outcomes.ts";
import type { RuntimePaths } from "./runtimes.ts";
import { tryOut } from "./try_out.ts";
import {
  type Availability,
  type Outcome,
  type RuntimeVersions,
  type Sandbox,
  SandboxError,
  type SandboxSpec,
} from "./types.ts";

export interface DockerOptions extends EgressSettings {
  /** Where runs are; the engine must see the same files there. */
  workDir: string;
  runtimes: RuntimePaths;
  /** Another image than that of `npm run executor:image`. */
  image?: string;
  /** DOCKER_HOST unless told. */
  host?: string;
}

const INSTALL =
  "install it with: apt-get install docker.io (Debian, Ubuntu), or see https://docs.docker.com/engine/install/";
const SWEEP_INTERVAL_MS = 60_000;
/** What a run may take beyond its timeout and grace: starting, and being removed. */
const LIFE_SLACK_MS = 60_000;
const REMOVE_RETRY_MS = 1000;
/** How long a run waits for its container to be removed, while the engine does not answer: without it nothing else runs here either. */
const REMOVE_PATIENCE_MS = { going: 30_000, ending: 5000 };

export class DockerSandbox implements Sandbox {
  readonly name = "docker";
  readonly isolating = true;
  versions: RuntimeVersions = { node: "", deno: "" };
  #engine: Engine | undefined;
  #image: string | undefined;
  #swept = 0;

  constructor(readonly options: DockerOptions) {}

  async check(): Promise<Availability> {
    try {
      return await this.#check();
    } catch (error) {
      await this.close();
      return unavailable((error as Error).message);
    }
  }

  async #check(): Promise<Availability> {
    if (Deno.build.os !== "linux") return unavailable("containers of this host's files need Linux");
    const socket = engineSocket(this.options.host);
    if (typeof socket === "string") return unavailable(socket);
    const problem = await unreachable(socket.path);
    if (problem !== null) return unavailable(problem);
    const engine = new Engine(socket.path);
    this.#engine = engine;
    const info = await engine.info();
    const unfit = unfitness(info);
    if (unfit !== null) throw new Error(unfit);
    const image = this.options.image ?? await ownImage(this.options.runtimes);
    if (!await engine.imageExists(image)) {
      throw new Error(
        this.options.image === undefined
          ? `the image ${image} is missing; make it with: npm run executor:image`
          : `the image ${image} is missing; fetch it with: docker pull ${image}`,
      );
    }
    this.#image = image;
    await sweep(engine);
    this.versions = await tryOut(this, this.options.workDir);
    return {
      available: true,
      unenforced: unenforced(info),
      details: {
        ...this.versions,
        engine: info.ServerVersion,
        image,
        memory: `control group v${info.CgroupVersion ?? "1"}`,
        network: "what an app's permissions name, through a proxy",
        user: Deno.uid() === 0 ? "a user of its own for each run" : `user ${Deno.uid()}`,
      },
    };
  }

  async run(spec: SandboxSpec, signal: AbortSignal): Promise<Outcome> {
    const engine = this.#engine;
    const image = this.#image;
    if (!engine || !image) throw new SandboxError("the sandbox was not checked");
    this.#sweepNowAndThen(engine);
    const user = sandboxUser() ?? Deno.uid()!;
    if (user !== Deno.uid()) await Deno.chown(spec.outputDir, user, user);
    const files = await writeRunFiles(spec, user);
    const egress = await openEgress(spec, this.options);
    files.egressSocket = egress?.socket;
    let id: string | undefined;
    try {
      const { timeoutSeconds, graceSeconds } = spec.limits;
      const life = 1000 * (timeoutSeconds + graceSeconds) + LIFE_SLACK_MS;
      id = await engine.create(
        `stowage-${crypto.randomUUID()}`,
        containerDefinition(spec, { image, user, files, labels: ownerLabels(spec.id, life) }),
      );
      const { ending, outOfMemory } = await superviseContainer(engine, id, spec, signal);
      return outcomeOf(ending, spec.limits, outOfMemory ? 1 : 0);
    } catch (error) {
      if (error instanceof EngineError) {
        throw new SandboxError(`the container failed: ${error.message}`);
      }
      throw error;
    } finally {
      await egress?.close();
      if (id !== undefined) {
        await removeSurely(
          engine,
          id,
          () => signal.aborted ? REMOVE_PATIENCE_MS.ending : REMOVE_PATIENCE_MS.going,
        );
      }
    }
  }

  async close(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    if (!engine) return;
    await removeOwn(engine).catch(() => {});
    engine.close();
  }

  /** Containers of an executor that was killed run on until somebody removes them. */
  #sweepNowAndThen(engine: Engine): void {
    const now = performance.now();
    if (now - this.#swept < SWEEP_INTERVAL_MS) return;
    this.#swept = now;
    sweep(engine).catch(() => {});
  }
}

function unavailable(problem: string): Availability {
  return { available: false, problem, unenforced: [], details: {} };
}

/** The image that `npm run executor:image` makes from the same runtimes. */
async function ownImage(runtimes: RuntimePaths): Promise<string> {
  const { repository, tag } = await imageName(await imageEntries(runtimes));
  return `${repository}:${tag}`;
}

async function unreachable(path: string): Promise<string | null> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      return `no Docker engine listens at ${path}; ${INSTALL}, and start it, or set DOCKER_HOST`;
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      return `the user of this executor may not use the Docker engine at ${path}; ` +
        "add it to the engine's group (usermod -aG docker USER) and log in again";
    }
    return `the Docker engine at ${path} does not answer (${
      (error as Error).message
    }); is it running?`;
  }
}

function unfitness(info: EngineInfo): string | null {
  if (info.OSType !== "linux") return `the engine runs ${info.OSType} containers, not Linux`;
  if (!info.MemoryLimit || !info.PidsLimit) {
    return "the engine cannot limit memory and processes: the control groups of the kernel are missing or not delegated to it";
  }
  const options = info.SecurityOptions ?? [];
  if (!options.some((option) => option.startsWith("name=seccomp"))) {
    return "the engine does not filter system calls (seccomp)";
  }
  const mapped = options.find((option) => /^name=(userns|rootless)/.test(option));
  // Its users are others on this host, who could neither read the app nor write outputs.
  if (mapped) return `an engine with mapped users (${mapped}) cannot be used`;
  return null;
}

function unenforced(info: EngineInfo): string[] {
  return [
    ...(info.SwapLimit ? [] : ["Swap is not limited: an app can use as much of it as there is."]),
    ...(info.CpuCfsQuota ? [] : ["The share of the processors is not limited, only the time."]),
    "The size of all output files together is watched, not limited by the kernel.",
    "An app outlives an executor that is killed until one on the same engine removes it.",
  ];
}

async function removeSurely(
  engine: Engine,
  id: string,
  patienceMs: () => number,
): Promise<void> {
  const started = performance.now();
  while (true) {
    try {
      return await engine.remove(id);
    } catch (error) {
      if (performance.now() - started > patienceMs()) {
        throw new SandboxError(
          `the container ${id} cannot be removed: ${(error as Error).message}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, REMOVE_RETRY_MS));
    }
  }
}
