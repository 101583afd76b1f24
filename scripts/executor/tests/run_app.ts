/** Runs a fixture app in a sandbox and tells what came of it. Also a program of its own: options as JSON in, result as JSON out. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BubblewrapSandbox } from "../sandbox/bubblewrap.ts";
import { type Limits, limitsOf } from "../sandbox/limits.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import { TrustedSandbox } from "../sandbox/trusted.ts";
import type { Outcome, Runtime, Sandbox } from "../sandbox/types.ts";

export interface RunOptions {
  app: string;
  runtime?: Runtime;
  entrypoint?: string;
  sandbox?: "bubblewrap" | "trusted";
  config?: Record<string, unknown>;
  limits?: Partial<Limits>;
  controlGroups?: boolean;
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
  /** Command lines of processes of the app that are left. */
  left: string[];
  seconds: number;
}

const KEPT = 64 * 1024;
const APPS = join(dirname(fileURLToPath(import.meta.url)), "apps");

export async function runApp(options: RunOptions): Promise<RunResult> {
  const workDir = await Deno.makeTempDir({ prefix: "stowage test " });
  await Deno.chmod(workDir, Deno.uid() === 0 ? 0o711 : 0o700);
  const runtimes = locateRuntimes();
  if (typeof runtimes === "string") throw new Error(runtimes);
  const sandbox: Sandbox = options.sandbox === "trusted"
    ? new TrustedSandbox({ workDir, runtimes }, () => {})
    : new BubblewrapSandbox({ workDir, runtimes, controlGroups: options.controlGroups });
  try {
    const availability = await sandbox.check();
    if (!availability.available) throw new Error(availability.problem);
    return await execute(sandbox, workDir, options);
  } finally {
    await sandbox.close();
    await Deno.remove(workDir, { recursive: true });
  }
}

/** Runs the app in a sandbox that was checked, in a new folder. */
export async function execute(
  sandbox: Sandbox,
  workDir: string,
  options: RunOptions,
): Promise<RunResult> {
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
    env: { STOWAGE_RUN_ID: "run", STOWAGE_APP_ID: "app" },
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

function processesNaming(marker: string): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(entry.name)) continue;
    try {
      const line = Deno.readTextFileSync(`/proc/${entry.name}/cmdline`).replaceAll("\0", " ");
      if (line.includes(marker)) found.push(line);
    } catch {
      // Gone.
    }
  }
  return found;
}

function list(folder: string, prefix = ""): string[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) =>
    entry.isDirectory
      ? list(join(folder, entry.name), `${prefix}${entry.name}/`)
      : [`${prefix}${entry.name}`]
  ).sort();
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
  const options: RunOptions = JSON.parse(Deno.args[0]);
  const result = await runApp(options);
  console.log(JSON.stringify(result));
}
