/** Reads a tree of processes from /proc. What is gone meanwhile is left out. */
import { namesIn } from "./paths.ts";

const MIB = 1024 * 1024;

/** Every process that this one can see. */
export function allProcesses(): number[] {
  return namesIn("/proc").map(Number).filter((pid) => pid > 0);
}

/** The words that a process was started with, between blanks; "" when it is gone. */
export function commandLine(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
}

/** A process and its descendants. */
export function processTree(root: number): number[] {
  const found: number[] = [];
  const queue = [root];
  const children = hasChildrenFiles() ? childrenByFile : childrenByScan();
  for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
    found.push(pid);
    queue.push(...children(pid));
  }
  return found;
}

/** Memory that the processes hold and that is not a file's, in megabytes. */
export function memoryMegabytes(pids: number[]): number {
  let kilobytes = 0;
  for (const pid of pids) {
    const status = read(`/proc/${pid}/status`);
    for (const [, amount] of status.matchAll(/^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB/gm)) {
      kilobytes += Number(amount);
    }
  }
  return kilobytes * 1024 / MIB;
}

/** Bytes that the processes, and those of their children that ended, sent to disk. */
export function writtenBytes(pids: number[]): number {
  let bytes = 0;
  for (const pid of pids) {
    bytes += Number(/^write_bytes: (\d+)/m.exec(read(`/proc/${pid}/io`))?.[1] ?? 0);
  }
  return bytes;
}

/** Those that this user is not told of what they write: no process is so by itself, but one may see to it. Root is told. */
export function hiddenProcesses(pids: number[]): number[] {
  return pids.filter((pid) => {
    try {
      Deno.readTextFileSync(`/proc/${pid}/io`);
      return false;
    } catch (error) {
      return error instanceof Deno.errors.PermissionDenied && !isDead(pid);
    }
  });
}

/**
 * Bytes on the file system `dev` that only open descriptors of the processes hold: files that were deleted, and no listing shows.
 * What wrote them may be gone, and its account with it.
 */
export function deletedBytes(pids: number[], dev: number): number {
  const seen = new Set<number>();
  let bytes = 0;
  for (const pid of pids) {
    for (const fd of namesIn(`/proc/${pid}/fd`)) {
      try {
        const info = Deno.statSync(`/proc/${pid}/fd/${fd}`);
        if (!info.isFile || info.nlink !== 0 || info.dev !== dev || seen.has(info.ino!)) continue;
        seen.add(info.ino!);
        bytes += BLOCK_BYTES * (info.blocks ?? 0);
      } catch {
        // Closed meanwhile.
      }
    }
  }
  return bytes;
}

/** In which a file's blocks are counted, whatever the file system's are. */
const BLOCK_BYTES = 512;

/** Whether the process runs no more: gone, or dead and only not yet collected by its parent. */
export function isDead(pid: number): boolean {
  return /^[ZX]?$/.test(stateOf(pid));
}

/**
 * Kills a process and its descendants with SIGKILL. The process is stopped first: one that is just starting others would leave
 * behind what is not yet bound to it (bubblewrap's child, until it has asked to die with its parent).
 */
export function killTree(root: number): void {
  if (Deno.build.os !== "linux") return kill(root, "SIGKILL");
  kill(root, "SIGSTOP");
  const deadline = performance.now() + STOP_MS;
  while (!/^[TtZX]?$/.test(stateOf(root)) && performance.now() < deadline);
  const tree = processTree(root);
  for (const pid of tree) kill(pid, "SIGKILL");
}

/**
 * Kills every process that has `name=value` in its environment, and what these start meanwhile: those, too, whose parents ended before
 * them, so that no tree leads there.
 */
export async function killMarked(name: string, value: string): Promise<void> {
  const mark = `${name}=${value}\0`;
  for (let round = 0; round < MARKED_ROUNDS; round++) {
    const found = allProcesses().filter((pid) =>
      read(`/proc/${pid}/environ`).includes(mark) && !isDead(pid)
    );
    if (found.length === 0) return;
    for (const pid of found) kill(pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const MARKED_ROUNDS = 200;

/** How long a process may take to stop: it is busy in the kernel at most. */
const STOP_MS = 200;

export function kill(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}

function stateOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
}

export function childrenOf(pid: number): number[] {
  return (hasChildrenFiles() ? childrenByFile : childrenByScan())(pid);
}

let childrenFiles: boolean | undefined;

function hasChildrenFiles(): boolean {
  return childrenFiles ??= (() => {
    try {
      Deno.readTextFileSync(`/proc/self/task/${Deno.pid}/children`);
      return true;
    } catch {
      return false;
    }
  })();
}

function childrenByFile(pid: number): number[] {
  const children: number[] = [];
  try {
    for (const task of Deno.readDirSync(`/proc/${pid}/task`)) {
      const list = read(`/proc/${pid}/task/${task.name}/children`);
      children.push(...list.split(" ").filter((text) => text !== "").map(Number));
    }
  } catch {
    // The process is gone.
  }
  return children;
}

function childrenByScan(): (pid: number) => number[] {
  const byParent = new Map<number, number[]>();
  for (const pid of allProcesses()) {
    const stat = read(`/proc/${pid}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    byParent.set(parent, [...byParent.get(parent) ?? [], pid]);
  }
  return (pid) => byParent.get(pid) ?? [];
}

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
