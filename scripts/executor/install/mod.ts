/** Installs the packages that an app depends on, in the sandbox, as hostile as the app itself. */
import { dirname, join } from "node:path";
import { foldName } from "../archives/policy.ts";
import { type AppDefinition, AppError } from "../definition.ts";
import type { Disk } from "../disk.ts";
import type { Logger } from "../log.ts";
import { type LimitBounds, type Limits, limitsOf } from "../sandbox/limits.ts";
import { outputExcess } from "../sandbox/monitor.ts";
import { removeTree } from "../sandbox/remove_tree.ts";
import { KillNow, type Outcome, type Sandbox } from "../sandbox/types.ts";
import type { RunDir } from "../work_dir.ts";
import type { Project } from "./project.ts";
import { readProjectApart } from "./read_project.ts";
import { configuredRegistry, openRegistry } from "./registry.ts";
import { DRIVER, prepareTools, PROGRAMS, type Tools } from "./tools.ts";

export interface InstallerOptions {
  sandbox: Sandbox;
  bounds: LimitBounds;
  workDir: string;
  disk: Disk;
  /** Base address of the registry; undefined: the one that npm on this host uses. */
  registry?: string;
  registryToken?: string;
}

const MIB = 1024 * 1024;
const INSTALL_SECONDS = 300;
const INSTALL_MEGABYTES = 1024;
const OWNER_READS = 0o400;

export class Installer {
  #tools: Promise<Tools> | undefined;
  #registry: Promise<string> | undefined;

  constructor(readonly options: InstallerOptions, readonly log: Logger) {}

  /**
   * Adds `node_modules` to `dir.app`, in the place of one that came with the app. Leaves `dir.output` empty.
   * @param sink receives what the package manager says
   * @throws AppError when the app's packages cannot be installed; other errors are not the app's fault
   */
  async install(
    definition: AppDefinition,
    dir: RunDir,
    id: string,
    sink: (chunk: Uint8Array) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const tools = await this.#prepared();
    const project = await readProjectApart(dir.app, definition, tools.pnpmVersion, signal);
    const url = await this.#registryUrl();
    const config = `${dir.config}.install`;
    const commands = commandsFor(project, definition.installScripts, tools);
    await Deno.writeTextFile(config, JSON.stringify({ commands, files: project.files }));
    const gateway = await openRegistry(
      { url, token: this.options.registryToken },
      dir.output,
      dirname(dir.output),
      this.log,
    );
    const started = performance.now();
    let outcome: Outcome;
    try {
      outcome = await this.options.sandbox.run({
        id: `${id}-install`,
        runtime: "node",
        tool: true,
        appDir: tools.folder,
        entrypoint: DRIVER,
        configFile: config,
        outputDir: dir.output,
        scratchDir: dir.scratch,
        env: {},
        limits: this.#limits(),
        stdout: sink,
        stderr: sink,
      }, signal);
    } finally {
      await gateway.close();
    }
    if (
      outcome.kind === "exited" && outcome.code !== 0 && this.options.disk.wasShortSince(started)
    ) {
      throw new Error("the app's packages could not be installed");
    }
    refuseFailure(outcome, signal);
    // What a script does last, no watch sees.
    const excess = outputExcess(dir.output, this.#limits());
    if (excess?.kind === "limit") refuseFailure(excess, signal);
    await removeTree(join(dir.app, "node_modules"));
    // A script may have put a link in the project's place: what it leads to is the host's.
    if (isFolder(join(dir.output, "project"))) {
      await adopt(join(dir.output, "project/node_modules"), join(dir.app, "node_modules"), signal);
    }
    await emptyFolder(dir.output);
    await emptyFolder(dir.scratch);
  }

  /** Kept for the installs to come; what failed is tried again by the next. */
  #prepared(): Promise<Tools> {
    return this.#tools ??= prepareTools(this.options.workDir).catch((error) => {
      this.#tools = undefined;
      throw error;
    });
  }

  #registryUrl(): Promise<string> {
    const { registry } = this.options;
    return this.#registry ??= registry ? Promise.resolve(registry) : configuredRegistry()
      .catch((error) => {
        this.#registry = undefined;
        throw error;
      });
  }

  #limits(): Limits {
    const { bounds } = this.options;
    const limits = limitsOf(
      { timeout: INSTALL_SECONDS, memory_limit: INSTALL_MEGABYTES, cpu_limit: bounds.maxCpus },
      bounds,
    );
    return {
      ...limits,
      openFiles: 4096,
      fileBytes: 256 * MIB,
      outputBytes: 2048 * MIB,
      outputFiles: 300_000,
      diskWriteBytes: 4096 * MIB,
    };
  }
}

interface Command {
  title: string;
  program: string;
  args: string[];
}

/** In the order in which they are tried. A lockfile binds: nothing else is tried than what it was made for. */
function commandsFor(project: Project, scripts: boolean, tools: Tools): Command[] {
  const pnpm: Command = {
    title: `pnpm install${project.frozen ? " --frozen-lockfile" : ""} --prod`,
    program: PROGRAMS.pnpm,
    args: [
      ...["install", "--prod", project.frozen ? "--frozen-lockfile" : "--no-frozen-lockfile"],
      ...["--ignore-pnpmfile", "--ignore-workspace", "--reporter=append-only"],
      ...["--node-linker=hoisted", "--package-import-method=copy", "--registry={registry}"],
      ...["--network-concurrency=16"],
      ...["--store-dir={root}/store", "--config.manage-package-manager-versions=false"],
      ...["--config.package-manager-strict=false", "--config.update-notifier=false"],
      scripts ? "--config.dangerously-allow-all-builds=true" : "--ignore-scripts",
      // There is no shell in the sandbox.
      "--config.shell-emulator=true",
    ],
  };
  const npm: Command = {
    title: `npm ${project.frozen ? "ci" : "install"} --omit=dev`,
    program: PROGRAMS.npm,
    args: [
      ...[project.frozen ? "ci" : "install", "--omit=dev", "--no-audit", "--no-fund"],
      ...["--no-bin-links", "--no-update-notifier", "--registry={registry}"],
      ...["--cache={root}/cache", "--loglevel=notice", "--install-strategy=hoisted"],
      ...(scripts ? [] : ["--ignore-scripts"]),
    ],
  };
  const wanted = project.manager === "npm" ? [npm] : project.frozen ? [pnpm] : [pnpm, npm];
  const possible = wanted.filter((each) => each !== npm || tools.npm);
  if (possible.length === 0) {
    throw new Error("the app is installed with npm, which this host does not have");
  }
  return possible;
}

function refuseFailure(outcome: Outcome, signal: AbortSignal): void {
  switch (outcome.kind) {
    case "exited":
      if (outcome.code === 0) return;
      throw new AppError("The app's packages could not be installed; the log says why.");
    case "timeout":
      throw new AppError(`Installing the app's packages took longer than ${outcome.seconds} s.`);
    case "out_of_memory":
      throw new AppError(
        `Installing the app's packages took more than ${outcome.megabytes} MB of memory.`,
      );
    case "limit":
      throw new AppError("The app's packages are larger, or more files, than may be installed.");
    case "aborted":
      throw signal.reason instanceof KillNow ? signal.reason : new AbortedInstall();
  }
}

/** The work was cancelled while packages were being installed. */
export class AbortedInstall extends Error {
  override name = "AbortedInstall";
}

/**
 * Copies what was installed into a tree that is ours alone. Links and special files, which a package's script may have made, are
 * left out.
 */
async function adopt(
  from: string,
  to: string,
  signal: AbortSignal,
  isRoot = true,
): Promise<void> {
  // An app whose only dependencies are optional, and not for this machine, has none.
  if (!isFolder(from)) return;
  await Deno.mkdir(to, { mode: 0o755 });
  await Deno.chmod(to, 0o755);
  const seen = new Set<string>();
  const entries = [...Deno.readDirSync(from)].toSorted((a, b) => a.name < b.name ? -1 : 1);
  for (const entry of entries) {
    signal.throwIfAborted();
    // The package manager's own: of no use to a run, and in part different each time. No package's name begins with a dot.
    if (entry.name === ".bin" || (isRoot && entry.name.startsWith("."))) continue;
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (seen.has(foldName(entry.name))) {
      throw new AppError(`Two files of the app's packages differ only by case: ${entry.name}.`);
    }
    seen.add(foldName(entry.name));
    if (entry.isDirectory) {
      await adopt(source, target, signal, false);
    } else if (entry.isFile) {
      // A name that is no text cannot be asked for.
      const mode = (await Deno.lstat(source).catch(() => null))?.mode;
      if (mode === undefined || mode === null) {
        throw new AppError(
          `A file of the app's packages has a name that is not UTF-8: ${entry.name}.`,
        );
      }
      // A script may have closed it to its owner, who this process can be.
      if ((mode & OWNER_READS) === 0) await Deno.chmod(source, OWNER_READS);
      await Deno.copyFile(source, target);
      await Deno.chmod(target, (mode & 0o100) !== 0 ? 0o755 : 0o644);
    }
  }
}

/** Itself, not what a link leads to. */
function isFolder(path: string): boolean {
  try {
    return Deno.lstatSync(path).isDirectory;
  } catch {
    return false;
  }
}

async function emptyFolder(folder: string): Promise<void> {
  for (const entry of [...Deno.readDirSync(folder)]) {
    await removeTree(join(folder, entry.name));
  }
}
