/**
 * Apps in namespaces of their own, made by bubblewrap as an unprivileged user: no network but through the egress proxy, no file of
 * the host but the libraries of the runtime, no other process, a filter on system calls. Limits by control groups where they can be
 * had, otherwise by resource limits and by watching.
 */
import { join } from "node:path";
import {
  bubblewrapCommand,
  bubblewrapOptions,
  type Fixture,
  prepareFixture,
} from "./bubblewrap_arguments.ts";
import { type ControlGroup, type ControlGroups, findControlGroups } from "./cgroups.ts";
import { closeInheritedOnExec } from "./descriptors.ts";
import { type Egress, type EgressSettings, limitsWithEgress, openEgress } from "./egress.ts";
import { sandboxUser } from "./identity.ts";
import type { Limits } from "./limits.ts";
import { outcomeOf } from "./outcomes.ts";
import { childrenOf, isDead } from "./processes.ts";
import { findProgram, type RuntimePaths } from "./runtimes.ts";
import { type Program, supervise } from "./supervise.ts";
import { tryOut } from "./try_out.ts";
import {
  type Availability,
  type Outcome,
  type RuntimeVersions,
  type Sandbox,
  SandboxError,
  type SandboxSpec,
} from "./types.ts";

export interface BubblewrapOptions extends EgressSettings {
  /** Where runs are; every user must be able to get there when this process is root. */
  workDir: string;
  runtimes: RuntimePaths;
  /** False leaves control groups alone even where they can be had. */
  controlGroups?: boolean;
}

const INSTALL =
  "install it with: apt-get install bubblewrap (Debian, Ubuntu), dnf install bubblewrap (Fedora)";
/** How long the kernel may take to end the processes of a namespace. */
const GONE_MS = 15_000;

export class BubblewrapSandbox implements Sandbox {
  readonly name = "bubblewrap";
  readonly isolating = true;
  versions: RuntimeVersions = { node: "", deno: "" };
  #groups: ControlGroups | null = null;
  #fixture: Fixture | undefined;

  constructor(readonly options: BubblewrapOptions) {}

  async check(): Promise<Availability> {
    const unavailable = (problem: string): Availability => ({
      available: false,
      problem,
      unenforced: [],
      details: {},
    });
    if (Deno.build.os !== "linux") return unavailable("bubblewrap works on Linux only");
    const bwrap = findProgram("bwrap");
    if (bwrap === null) return unavailable(`bubblewrap (bwrap) is not installed; ${INSTALL}`);
    const prlimit = findProgram("prlimit");
    if (prlimit === null) {
      return unavailable("prlimit is not installed; install the package util-linux");
    }
    const groups = this.options.controlGroups === false
      ? "they were turned off"
      : await findControlGroups();
    this.#groups = typeof groups === "string" ? null : groups;
    try {
      closeInheritedOnExec();
      await this.#groups?.sweep();
      this.#fixture = await prepareFixture(bwrap, prlimit, this.options);
      this.versions = await tryOut(this, this.options.workDir);
    } catch (error) {
      return unavailable(`bubblewrap does not work here: ${(error as Error).message}`);
    }
    return {
      available: true,
      unenforced: this.#unenforced(typeof groups === "string" ? groups : ""),
      details: {
        ...this.versions,
        memory: this.#groups
          ? `control group v${this.#groups.version}`
          : "watched, and resource limits",
        processes: this.#groups ? `control group v${this.#groups.version}` : "resource limit",
        cpu: this.#groups?.cpu ? `control group v${this.#groups.version}` : "not limited",
        network: "what an app's permissions name, through a proxy",
        syscalls: this.#fixture.seccomp ? "filtered" : "not filtered",
        user: Deno.uid() === 0 ? "a user of its own for each run" : `user ${Deno.uid()}`,
      },
    };
  }

  #unenforced(reason: string): string[] {
    const sentences: string[] = [];
    if (!this.#groups) {
      sentences.push(
        `Memory is watched from outside instead of being limited by the kernel, because ${reason}: ` +
          "an app can exceed its limit for a moment before it is ended.",
      );
    }
    if (!this.#groups?.cpu) {
      sentences.push("The share of the processors is not limited, only the time.");
    }
    if (!this.#fixture?.seccomp) {
      sentences.push(`System calls are not filtered on ${Deno.build.arch}.`);
    }
    sentences.push("The size of all output files together is watched, not limited by the kernel.");
    return sentences;
  }

  async run(spec: SandboxSpec, signal: AbortSignal): Promise<Outcome> {
    const fixture = this.#fixture;
    if (!fixture) throw new SandboxError("the sandbox was not checked");
    const egress = await openEgress(spec, this.options);
    try {
      return await this.#run(spec, signal, fixture, egress);
    } finally {
      await egress?.close();
    }
  }

  async #run(
    spec: SandboxSpec,
    signal: AbortSignal,
    fixture: Fixture,
    egress: Egress | null,
  ): Promise<Outcome> {
    const uid = sandboxUser();
    const argumentsFile = join(spec.scratchDir, "arguments");
    const statusFile = join(spec.scratchDir, "status");
    const options = bubblewrapOptions(fixture, spec, egress);
    await Deno.writeTextFile(argumentsFile, options.join("\0") + "\0");
    await Deno.writeTextFile(statusFile, "");
    if (uid !== undefined) {
      for (const path of [spec.scratchDir, argumentsFile, statusFile, spec.outputDir]) {
        await Deno.chown(path, uid, uid);
      }
    }
    const limits = egress ? limitsWithEgress(spec.limits) : spec.limits;
    const group = await this.#group(spec.id, limits);
    const grouped = group !== null;
    try {
      const program: Program = {
        // Options come from a file, since the app can read the command line of its namespace's first process.
        argv: [
          ...[fixture.bwrap, "--args", "8", "--"],
          ...bubblewrapCommand(spec, limits, { grouped, hasEgress: egress !== null }),
        ],
        env: {},
        cwd: "/",
        uid,
        group: group ?? undefined,
        wrappers: 2,
        watchMemory: !grouped,
        // bubblewrap cannot limit the number of files in it.
        temporaryDir: () => {
          const { init } = readStatus(statusFile);
          return init === undefined ? null : ownTemporaryDir(`/proc/${init}/root/tmp`);
        },
        descriptors: [
          ...(fixture.seccomp ? [{ fd: 7, mode: "<" as const, path: fixture.seccomp }] : []),
          { fd: 8, mode: "<", path: argumentsFile },
          { fd: 9, mode: ">", path: statusFile },
        ],
        askToEnd: () => askAppToEnd(readStatus(statusFile).init),
      };
      const ending = await supervise(program, { ...spec, limits }, signal);
      const status = readStatus(statusFile);
      if (status.init !== undefined) await waitUntilGone(status.init);
      const memoryKills = await group?.memoryKills() ?? 0;
      // Out of memory, the kernel may have ended bubblewrap together with the app.
      if (ending.cause === "exited" && status.exitCode === undefined && memoryKills === 0) {
        throw new SandboxError(
          `bubblewrap failed: ${explain(ending.stderrTail.trim() || `code ${ending.code}`)}`,
        );
      }
      return outcomeOf(ending, spec.limits, memoryKills);
    } finally {
      await group?.remove();
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #group(id: string, limits: Limits): Promise<ControlGroup | null> {
    if (!this.#groups) return null;
    try {
      return await this.#groups.create(id, limits);
    } catch (error) {
      throw new SandboxError(`a control group cannot be created: ${(error as Error).message}`);
    }
  }
}

interface Status {
  /** The first process of the app's namespace, as the host numbers it. */
  init?: number;
  /** Absent when the app was never started or bubblewrap was killed. */
  exitCode?: number;
}

function readStatus(path: string): Status {
  const status: Status = {};
  for (const line of Deno.readTextFileSync(path).split("\n")) {
    try {
      const record = JSON.parse(line);
      status.init ??= record["child-pid"];
      status.exitCode ??= record["exit-code"];
    } catch {
      // An unfinished line, or the empty last one.
    }
  }
  return status;
}

/** bubblewrap passes no signals on, so the app is looked up: it is the child of its namespace's first process. */
function askAppToEnd(init: number | undefined): boolean {
  const app = init === undefined ? undefined : childrenOf(init)[0];
  if (app === undefined) return false;
  try {
    Deno.kill(app, "SIGTERM");
    return true;
  } catch {
    return false;
  }
}

/** A namespace's first process is dead only after all others in it are. */
async function waitUntilGone(init: number): Promise<void> {
  const deadline = Date.now() + GONE_MS;
  while (!isDead(init)) {
    if (Date.now() > deadline) throw new SandboxError("the app's processes do not end");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function explain(message: string): string {
  if (/uid map|user namespace|Operation not permitted|No permissions to create/i.test(message)) {
    return `${message} (are unprivileged user namespaces allowed? See sysctl user.max_user_namespaces, ` +
      "kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns)";
  }
  if (/Can't find source path|Permission denied/i.test(message) && Deno.uid() === 0) {
    return `${message} (apps run as an unprivileged user, who must be able to reach the working directory: see --work-dir)`;
  }
  return message;
}

/** The path, once it is the sandbox's: until its process has a root of its own, it leads to the host's files. */
export function ownTemporaryDir(path: string): string | null {
  try {
    return Deno.statSync(path).dev === Deno.statSync("/tmp").dev ? null : path;
  } catch {
    return null;
  }
}
