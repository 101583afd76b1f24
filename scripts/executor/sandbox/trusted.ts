/**
 * Apps on Deno with its permissions, for development with apps of one's own. This is no sandbox: a symbolic link in an app reads
 * any file that the user can, and one hole in the runtime is enough. It is never chosen by itself.
 */
import { join } from "node:path";
import process from "node:process";
import { parseAddress } from "../../../supabase/functions/_shared/addresses.ts";
import {
  type Grant,
  parseGrant,
} from "../../../supabase/functions/_shared/manifest/network_scopes.ts";
import { type ControlGroups, findControlGroups } from "./cgroups.ts";
import { closeInheritedOnExec } from "./descriptors.ts";
import { sandboxUser } from "./identity.ts";
import { heapMegabytes } from "./limits.ts";
import { outcomeOf } from "./outcomes.ts";
import { killMarked } from "./processes.ts";
import {
  denoArguments,
  findProgram,
  isolatedArguments,
  runnableByAll,
  type RuntimePaths,
} from "./runtimes.ts";
import { NOT_STARTED, supervise } from "./supervise.ts";
import {
  type Availability,
  type Outcome,
  type Sandbox,
  SandboxError,
  type SandboxSpec,
} from "./types.ts";

export interface TrustedOptions {
  workDir: string;
  runtimes: RuntimePaths;
}

const WARNING = `
  ************************************************************************************
  *  --sandbox trusted: apps are NOT isolated from this machine. Use it only for     *
  *  apps that you wrote yourself, never for apps of others. An isolating sandbox:   *
  *  apt-get install bubblewrap, then --sandbox bubblewrap.                          *
  ************************************************************************************
`;

/** Known by it are the processes of a run, where no control group keeps them together. */
const MARK = "STOWAGE_TRUSTED_RUN";

/** Harmless facts about the machine that programs commonly ask for. */
const SYSTEM_FACTS = ["cpus", "loadavg", "osRelease", "osUptime", "systemMemoryInfo", "uid", "gid"];

export class TrustedSandbox implements Sandbox {
  readonly name = "trusted";
  readonly isolating = false;
  /** What is written for Node runs on Deno, too, which says what version of Node it stands for. */
  readonly versions = { node: process.versions.node, deno: Deno.version.deno };
  #groups: ControlGroups | null = null;
  #deno: string | undefined;
  #node = "";
  #prlimit: string | null = null;
  #setpriv: string | null = null;

  constructor(
    readonly options: TrustedOptions,
    readonly warn: (text: string) => void = console.error,
  ) {}

  async check(): Promise<Availability> {
    this.warn(WARNING);
    if (Deno.build.os === "windows") {
      return unavailable("the trusted sandbox needs a Unix shell");
    }
    if (this.options.workDir.includes(",")) {
      return unavailable("Deno takes no path with a comma; set another with --work-dir");
    }
    closeInheritedOnExec();
    const groups = await findControlGroups();
    this.#groups = typeof groups === "string" ? null : groups;
    await this.#groups?.sweep();
    this.#prlimit = findProgram("prlimit");
    this.#setpriv = findProgram("setpriv");
    const folder = join(this.options.workDir, "runtime");
    await Deno.mkdir(folder, { recursive: true });
    await Deno.chmod(folder, 0o755);
    this.#deno = Deno.uid() === 0
      ? await runnableByAll(this.options.runtimes.deno, folder)
      : this.options.runtimes.deno;
    this.#node = Deno.uid() === 0
      ? await runnableByAll(this.options.runtimes.node, folder)
      : this.options.runtimes.node;
    const linux = Deno.build.os === "linux";
    return {
      available: true,
      unenforced: [
        "Apps are not isolated: a symbolic link inside an app reads any file that the executor's user may read.",
        "Hosts that an app's permissions name are reached directly: where their names lead is not looked at.",
        ...(this.#groups ? [] : [
          linux
            ? "Memory is watched, not limited by the kernel."
            : "Only the heap's memory is limited.",
        ]),
        ...(this.#groups?.cpu
          ? []
          : ["The share of the processors is not limited, only the time."]),
        ...(this.#prlimit
          ? []
          : ["Open files and file sizes are not limited (prlimit is not installed)."]),
        ...(this.#setpriv
          ? []
          : ["An app outlives an executor that is killed (setpriv is not installed)."]),
      ],
      details: {
        ...this.versions,
        memory: this.#groups
          ? `control group v${this.#groups.version}`
          : linux
          ? "watched"
          : "heap only",
        user: Deno.uid() === 0 ? "a user of its own for each run" : `user ${Deno.uid()}`,
      },
    };
  }

  async run(spec: SandboxSpec, signal: AbortSignal): Promise<Outcome> {
    if (!this.#deno) throw new SandboxError("the sandbox was not checked");
    const uid = sandboxUser();
    if (uid !== undefined) {
      for (const path of [spec.scratchDir, spec.outputDir]) await Deno.chown(path, uid, uid);
    }
    const group = await this.#groups?.create(spec.id, spec.limits);
    try {
      const ending = await supervise(
        {
          argv: [...this.#limiters(spec), ...this.#command(spec, this.#deno)],
          env: {
            PATH: "/usr/local/bin:/usr/bin:/bin",
            HOME: spec.scratchDir,
            TMPDIR: spec.scratchDir,
            LANG: "C.UTF-8",
            DENO_DIR: join(spec.scratchDir, ".deno"),
            DENO_NO_UPDATE_CHECK: "1",
            [MARK]: spec.id,
            ...spec.env,
            STOWAGE_CONFIG: spec.configFile,
            STOWAGE_OUTPUT_DIR: spec.outputDir,
          },
          cwd: spec.appDir,
          uid,
          group,
          wrappers: 0,
          watchMemory: group === undefined,
          askToEnd: (pid) => {
            Deno.kill(pid, "SIGTERM");
            return true;
          },
        },
        spec,
        signal,
      );
      if (ending.cause === "exited" && ending.code === NOT_STARTED) {
        throw new SandboxError(`the app could not be started: ${ending.stderrTail.trim()}`);
      }
      return outcomeOf(ending, spec.limits, await group?.memoryKills() ?? 0);
    } finally {
      await group?.remove();
      if (Deno.build.os === "linux") await killMarked(MARK, spec.id);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #limiters({ limits }: SandboxSpec): string[] {
    return [
      ...(this.#setpriv ? [this.#setpriv, "--pdeathsig", "KILL", "--no-new-privs", "--"] : []),
      ...(this.#prlimit
        ? [
          this.#prlimit,
          "--core=1",
          `--nofile=${limits.openFiles}`,
          `--fsize=${limits.fileBytes}`,
          "--",
        ]
        : []),
    ];
  }

  #command(spec: SandboxSpec, deno: string): string[] {
    return spec.tool
      ? [this.#node, ...isolatedArguments("node", spec.entrypoint, spec.limits)]
      : [deno, ...this.#arguments(spec)];
  }

  #arguments(spec: SandboxSpec): string[] {
    const hosts = (spec.network ?? []).map(parseGrant)
      .flatMap((grant) => typeof grant === "string" ? [] : allowedBy(grant));
    return [
      "run",
      `--allow-read=${[spec.appDir, spec.configFile, spec.outputDir].join(",")}`,
      `--allow-write=${spec.outputDir}`,
      ...(hosts.length > 0 ? [`--allow-net=${hosts.join(",")}`] : []),
      // The whole environment is the app's own.
      "--allow-env",
      `--allow-sys=${SYSTEM_FACTS.join(",")}`,
      "--deny-import",
      ...denoArguments(heapMegabytes(spec.limits.memoryMegabytes), spec.runtime),
      `./${spec.entrypoint}`,
    ];
  }
}

function unavailable(problem: string): Availability {
  return { available: false, problem, unenforced: [], details: {} };
}

/** The grant in Deno's words. */
function allowedBy({ host, subdomains, ports }: Grant): string[] {
  const name = parseAddress(host)?.bits === 128 ? `[${host}]` : subdomains ? `*.${host}` : host;
  return ports.map((port) => `${name}:${port}`);
}
