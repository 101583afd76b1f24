/**
 * Runs fixture apps in a sandbox and tells what came of each. Also a program of its own: settings as JSON on the first line of its
 * input, options on each that follows, a result on each line of its output.
 */
import { dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isForeignAddress } from "../egress/addresses.ts";
import type { EgressEvent } from "../egress/proxy.ts";
import { BubblewrapSandbox } from "../sandbox/bubblewrap.ts";
import { ownGroups } from "../sandbox/cgroups.ts";
import { DockerSandbox } from "../sandbox/docker.ts";
import { type Limits, limitsOf } from "../sandbox/limits.ts";
import { namesIn } from "../sandbox/paths.ts";
import { allProcesses, commandLine } from "../sandbox/processes.ts";
import { removeTree } from "../sandbox/remove_tree.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import { TrustedSandbox } from "../sandbox/trusted.ts";
import type { Outcome, Runtime, Sandbox } from "../sandbox/types.ts";

export interface Settings {
  sandbox: "docker" | "bubblewrap" | "trusted";
  /** Of the engine, for docker. */
  host?: string;
  controlGroups?: boolean;
}

export interface RunOptions {
  app: string;
  runtime?: Runtime;
  entrypoint?: string;
  env?: Record<string, string>;
  config?: Record<string, unknown>;
  limits?: Partial<Limits>;
  /** Aborted when the app has written this to stdout. */
  abortAfter?: string;
  network?: string[];
}

export interface RunResult {
  outcome: Outcome;
  stdout: string;
  stdoutBytes: number;
  stderr: string;
  outputs: string[];
  egress: EgressEvent[];
  /** Processes, control groups and files of the app that are there after its end. */
  left: string[];
  seconds: number;
}

export interface Lab {
  run(options: RunOptions): Promise<RunResult>;
  close(): Promise<void>;
}

const KEPT = 64 * 1024;
const APPS = join(dirname(fileURLToPath(import.meta.url)), "apps");

/** Where names lead in tests; the last two are no places for an app, whatever its permissions. */
const NAMES: Record<string, string> = {
  "api.example.com": "127.0.0.1",
  "other.example.com": "127.0.0.1",
  "private.example.com": "10.0.0.1",
  "metadata.example.com": "169.254.169.254",
};

/** @throws Error that says what is missing for the sandbox */
export async function openLab(settings: Settings): Promise<Lab> {
  const workDir = await Deno.makeTempDir({ prefix: "stowage test " });
  await Deno.chmod(workDir, Deno.uid() === 0 ? 0o711 : 0o700);
  const runtimes = locateRuntimes();
  if (typeof runtimes === "string") throw new Error(runtimes);
  const events: EgressEvent[] = [];
  const options = {
    ...{ workDir, runtimes },
    logEgress: (_: string, event: EgressEvent) => void events.push(event),
    egress: {
      resolve: (name: string) => Promise.resolve([NAMES[name] ?? "127.0.0.2"]),
      // Besides what may be reached anywhere, the servers of the test.
      isAllowedAddress: (address: string) => address === "127.0.0.1" || isForeignAddress(address),
    },
  };
  const sandbox: Sandbox = settings.sandbox === "trusted"
    ? new TrustedSandbox(options, () => {})
    : settings.sandbox === "docker"
    ? new DockerSandbox({ ...options, host: settings.host })
    : new BubblewrapSandbox({ ...options, controlGroups: settings.controlGroups });
  const close = async () => {
    await sandbox.close();
    await Deno.remove(workDir, { recursive: true });
  };
  const { available, problem } = await sandbox.check();
  if (!available) {
    await close();
    throw new Error(problem);
  }
  return {
    close,
    async run(options) {
      const before = new Set(namesIn(workDir));
      events.length = 0;
      const dir = await Deno.makeTempDir({ dir: workDir });
      await Deno.chmod(dir, Deno.uid() === 0 ? 0o711 : 0o700);
      const result = await execute(sandbox, dir, options);
      await removeTree(dir);
      const files = namesIn(workDir).filter((name) => !before.has(name));
      return { ...result, egress: [...events], left: [...result.left, ...files, ...groups()] };
    },
  };
}

/** Runs the app in a sandbox that was checked, in a new folder. */
async function execute(
  sandbox: Sandbox,
  workDir: string,
  options: RunOptions,
): Promise<Omit<RunResult, "egress">> {
  // The entrypoint gets a name of its own, by which its processes are known.
  const marker = `main-${crypto.randomUUID().slice(0, 8)}`;
  const paths = Object.fromEntries(
    ["app", "output", "scratch", "other"].map((name) => [name, join(workDir, name)]),
  );
  for (const path of Object.values(paths)) await Deno.mkdir(path, { mode: 0o755 });
  await copy(join(APPS, options.app), paths.app);
  const file = options.entrypoint ?? "index.js";
  const entrypoint = `${marker}${file.slice(file.lastIndexOf("."))}`;
  await Deno.copyFile(join(paths.app, file), join(paths.app, entrypoint));
  const secret = join(paths.other, "secret.txt");
  await Deno.writeTextFile(secret, "another app's secret");
  await Deno.symlink(secret, join(paths.app, "linked.txt"));
  const configFile = join(workDir, "config.json");
  await Deno.writeTextFile(
    configFile,
    JSON.stringify({ paths: [secret, workDir], ...options.config }),
  );
  const abort = new AbortController();
  const log = { stdout: "", stdoutBytes: 0, stderr: "" };
  const decoder = new TextDecoder();
  const started = performance.now();
  const outcome = await sandbox.run({
    id: crypto.randomUUID(),
    runtime: options.runtime ?? "node",
    appDir: paths.app,
    entrypoint,
    configFile,
    outputDir: paths.output,
    scratchDir: paths.scratch,
    env: { STOWAGE_RUN_ID: "run", STOWAGE_APP_ID: "app", ...options.env },
    network: options.network,
    limits: { ...limitsOf({}), timeoutSeconds: 20, graceSeconds: 0.5, ...options.limits },
    stdout: (chunk) => {
      log.stdoutBytes += chunk.length;
      if (log.stdout.length < KEPT) log.stdout += decoder.decode(chunk);
      if (options.abortAfter && log.stdout.includes(options.abortAfter)) abort.abort();
    },
    stderr: (chunk) => {
      if (log.stderr.length < KEPT) log.stderr += decoder.decode(chunk);
    },
  }, abort.signal);
  const seconds = (performance.now() - started) / 1000;
  return { ...log, outcome, seconds, outputs: list(paths.output), left: processesNaming(marker) };
}

/** Control groups that this process made for apps. */
function groups(): string[] {
  const folders = ownGroups(
    Deno.readTextFileSync("/proc/self/cgroup"),
    Deno.readTextFileSync("/proc/self/mountinfo"),
  );
  return [...new Set(Object.values(folders))].flatMap((folder) =>
    namesIn(folder)
      .filter((name) => name.startsWith(`stowage-${Deno.pid}-`) && !name.endsWith("-executor"))
      .map((name) => `control group ${join(folder, name)}`)
  );
}

function processesNaming(marker: string): string[] {
  return allProcesses().map(commandLine).filter((line) => line.includes(marker));
}

function list(folder: string, prefix = ""): string[] {
  return namesIn(folder).flatMap((name) => {
    const path = join(folder, name);
    // An app may have made more of a path than can be asked for.
    if (path.length > 2000) return [];
    return Deno.lstatSync(path).isDirectory
      ? list(path, `${prefix}${name}/`)
      : [`${prefix}${name}`];
  }).sort();
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const entry of Deno.readDir(from)) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory) await copy(source, target);
    else await Deno.writeFile(target, await Deno.readFile(source));
  }
}

if (import.meta.main) {
  let lab: Lab | undefined;
  try {
    for await (const line of createInterface({ input: process.stdin })) {
      if (lab) console.log(JSON.stringify(await lab.run(JSON.parse(line))));
      else lab = await openLab(JSON.parse(line));
    }
  } finally {
    await lab?.close();
  }
}
