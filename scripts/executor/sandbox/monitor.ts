/** Looks at a running app again and again, for limits that the kernel does not hold by itself. */
import { statfsSync } from "node:fs";
import { join } from "node:path";
import type { Limits } from "./limits.ts";
import {
  childrenOf,
  deletedBytes,
  hiddenProcesses,
  memoryMegabytes,
  processTree,
  writtenBytes,
} from "./processes.ts";
import type { ExceededLimit } from "./types.ts";

const INTERVAL_MS = 100;
/** Between two looks at files, which cost more than those at processes. */
const LISTING_INTERVAL_MS = 200;
/** A large tree takes long to look through: at most a tenth of the time goes into that. What processes write is seen meanwhile. */
const PAUSE_PER_LOOK = 9;

/** A process that cannot be watched for this many looks at files is hidden. */
const LOOKS_UNTIL_HIDDEN = 5;

/** Folders inside each other in the output directory. */
export const MAX_OUTPUT_DEPTH = 100;

export type Excess = { kind: "memory" } | { kind: "limit"; limit: ExceededLimit; allowed: number };

export interface MonitorOptions {
  /** The root of the app's processes; null where there is no /proc. */
  pid: number | null;
  /** How many of the processes from there on, each the child of the one before it, are the sandbox's own. */
  wrappers: number;
  outputDir: string;
  limits: Limits;
  /** False where a control group holds the memory limit. */
  watchMemory: boolean;
  /** Where the files of the temporary directory are counted; null as long as there is none. */
  temporaryDir?: () => string | null;
  onExcess: (excess: Excess) => void;
}

/** Starts watching; call the result to stop. `onExcess` is called once at most. */
export function startMonitor(options: MonitorOptions): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  let nextListing = 0;
  const hidden = new HiddenProcesses(options);
  const look = () => {
    if (stopped) return;
    const started = performance.now();
    let excess = processExcess(options) ?? temporaryExcess(options);
    const looked = performance.now();
    if (!excess && looked >= nextListing) {
      excess = outputExcess(options.outputDir, options.limits) ?? deletedExcess(options) ??
        hidden.excess();
      nextListing = idleUntil(looked);
    }
    if (excess) {
      stopped = true;
      options.onExcess(excess);
    } else {
      timer = setTimeout(look, Math.max(INTERVAL_MS, PAUSE_PER_LOOK * (looked - started)));
    }
  };
  timer = setTimeout(look, INTERVAL_MS);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

function idleUntil(started: number): number {
  const now = performance.now();
  return now + Math.max(LISTING_INTERVAL_MS, PAUSE_PER_LOOK * (now - started));
}

function processExcess({ pid, limits, watchMemory }: MonitorOptions): Excess | null {
  if (pid === null) return null;
  const pids = processTree(pid);
  if (watchMemory && memoryMegabytes(pids) > limits.memoryMegabytes) return { kind: "memory" };
  if (writtenBytes(pids) > limits.diskWriteBytes) {
    return { kind: "limit", limit: "disk_writes", allowed: limits.diskWriteBytes };
  }
  return null;
}

/** Processes that cannot be watched, look after look: a sandbox may make one for a moment. */
class HiddenProcesses {
  readonly #looks = new Map<number, number>();

  constructor(readonly options: MonitorOptions) {}

  excess(): Excess | null {
    const pids = Deno.uid() === 0 ? [] : hiddenProcesses(this.#ofTheApp());
    for (const pid of this.#looks.keys()) if (!pids.includes(pid)) this.#looks.delete(pid);
    for (const pid of pids) this.#looks.set(pid, (this.#looks.get(pid) ?? 0) + 1);
    const most = Math.max(0, ...this.#looks.values());
    return most > LOOKS_UNTIL_HIDDEN
      ? { kind: "limit", limit: "hidden_processes", allowed: 0 }
      : null;
  }

  /** bubblewrap's own may be hidden, where it has the right to become root. */
  #ofTheApp(): number[] {
    const { pid, wrappers } = this.options;
    let roots = pid === null ? [] : [pid];
    for (let level = 0; level < wrappers; level++) roots = roots.flatMap(childrenOf);
    return roots.flatMap(processTree);
  }
}

/** What is deleted takes as much of the disk as what is put out, as long as it is open. */
function deletedExcess({ pid, outputDir, limits }: MonitorOptions): Excess | null {
  if (pid === null) return null;
  const { outputBytes: allowed } = limits;
  try {
    const bytes = deletedBytes(processTree(pid), Deno.statSync(outputDir).dev);
    return bytes > allowed ? { kind: "limit", limit: "output_size", allowed } : null;
  } catch {
    return null; // Ended meanwhile.
  }
}

function temporaryExcess({ temporaryDir, limits }: MonitorOptions): Excess | null {
  const path = temporaryDir?.() ?? null;
  if (path === null) return null;
  try {
    const { files, ffree } = statfsSync(path);
    const allowed = limits.temporaryFiles;
    return files - ffree > allowed ? { kind: "limit", limit: "temporary_files", allowed } : null;
  } catch {
    return null; // The app has not begun, or has ended.
  }
}

/** Whether the output directory holds more than it may. Counts no further than needed to know. */
export function outputExcess(outputDir: string, limits: Limits): Excess | null {
  let entries = 0;
  let bytes = 0;
  const folders = [{ path: outputDir, depth: 0 }];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    if (folder.depth > MAX_OUTPUT_DEPTH) {
      return { kind: "limit", limit: "output_depth", allowed: MAX_OUTPUT_DEPTH };
    }
    let listing: Iterable<Deno.DirEntry>;
    try {
      listing = [...Deno.readDirSync(folder.path)];
    } catch (error) {
      // The app removed it just now.
      if (error instanceof Deno.errors.NotFound) continue;
      if (error instanceof Deno.errors.NotADirectory) continue;
      // Too deep to be named, or closed to this user: what is below would not be counted.
      return { kind: "limit", limit: "output_depth", allowed: MAX_OUTPUT_DEPTH };
    }
    for (const entry of listing) {
      if (++entries > limits.outputFiles) {
        return { kind: "limit", limit: "output_files", allowed: limits.outputFiles };
      }
      const path = join(folder.path, entry.name);
      if (entry.isDirectory) folders.push({ path, depth: folder.depth + 1 });
      else if (entry.isFile) bytes += sizeOf(path);
      if (bytes > limits.outputBytes) {
        return { kind: "limit", limit: "output_size", allowed: limits.outputBytes };
      }
    }
  }
  return null;
}

function sizeOf(path: string): number {
  try {
    return Deno.lstatSync(path).size;
  } catch {
    return 0;
  }
}
