/** The programs that apps are run by, and what they need to start. */
import { dirname, join } from "node:path";
import { heapMegabytes, type Limits } from "./limits.ts";
import type { Runtime } from "./types.ts";

export interface RuntimePaths {
  node: string;
  deno: string;
}

/** Both runtimes: Node from PATH (or STOWAGE_NODE), Deno as the one that runs this. */
export function locateRuntimes(): RuntimePaths | string {
  const node = Deno.env.get("STOWAGE_NODE") ?? findProgram("node");
  if (node === null) return "Node was not found in PATH; set STOWAGE_NODE to its path";
  try {
    return { node: Deno.realPathSync(node), deno: Deno.realPathSync(Deno.execPath()) };
  } catch {
    return `Node was not found at ${node}`;
  }
}

/** The path of a program in PATH or where system programs are, or null. */
export function findProgram(name: string): string | null {
  const folders = [
    ...(Deno.env.get("PATH") ?? "").split(":"),
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
  ];
  for (const folder of folders) {
    if (!folder.startsWith("/")) continue;
    const path = join(folder, name);
    try {
      const info = Deno.statSync(path);
      if (info.isFile && (info.mode! & 0o111) !== 0) return path;
    } catch {
      // Not here.
    }
  }
  return null;
}

/** Arguments that make the runtime run the entrypoint inside a wall that is not its own. */
export function isolatedArguments(runtime: Runtime, entrypoint: string, limits: Limits): string[] {
  const heap = heapMegabytes(limits.memoryMegabytes);
  // A name that begins with a dash is a file, not a flag.
  const file = `./${entrypoint}`;
  if (runtime === "node") return [`--max-old-space-size=${heap}`, file];
  return [
    "run",
    "--allow-all",
    ...denoArguments(heap, runtime),
    file,
  ];
}

/**
 * What every app on Deno gets: nothing is fetched, installed or asked.
 * @param runtime the app's own: what is written for Node may be CommonJS. Deno guesses that of modules which only wait, too
 */
export function denoArguments(heap: number, runtime: Runtime): string[] {
  return [
    "--no-prompt",
    "--no-remote",
    "--no-lock",
    "--quiet",
    "--node-modules-dir=manual",
    ...(runtime === "node" ? ["--unstable-detect-cjs"] : []),
    `--v8-flags=--max-old-space-size=${heap}`,
  ];
}

/** Shared libraries of a program as its loader names them, the loader included. */
export async function sharedLibraries(program: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("ldd", {
    args: [program],
    stdout: "piped",
    stderr: "null",
    env: { LC_ALL: "C" },
  }).output();
  const paths = new Set<string>();
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const path = /(?:=>\s+|^\s+)(\/\S+)/.exec(line)?.[1];
    if (path) paths.add(path);
  }
  return [...paths];
}

/** Whether any user may read the file and get to it. */
export function isReadableByAll(path: string): boolean {
  if ((Deno.statSync(path).mode! & 0o005) !== 0o005) return false;
  for (let folder = dirname(path);; folder = dirname(folder)) {
    if ((Deno.statSync(folder).mode! & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** The program's path if every user can run it, else that of a copy in `folder`. */
export async function runnableByAll(path: string, folder: string): Promise<string> {
  if (isReadableByAll(path)) return path;
  const copy = join(folder, path.split("/").pop()!);
  await Deno.copyFile(path, copy);
  await Deno.chmod(copy, 0o755);
  return copy;
}
