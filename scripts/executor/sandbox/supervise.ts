/** Starts one program under limits, feeds its output on, and ends it when it must end. What all sandboxes of processes share. */
import type { ControlGroup } from "./cgroups.ts";
import { type Excess, startMonitor } from "./monitor.ts";
import { killTree } from "./processes.ts";
import { KillNow, type SandboxSpec } from "./types.ts";

export interface Program {
  /** Path and arguments; run by the shell's `exec`, so that its process id is the one that is known here. */
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  /** User to become; only root can. */
  uid?: number;
  /** Files to open as descriptors 3 to 9. */
  descriptors?: { fd: number; mode: "<" | ">"; path: string }[];
  group?: ControlGroup;
  /** How many processes stand before the app's first: the program and its first children. */
  wrappers: number;
  watchMemory: boolean;
  /** The app's temporary directory as this process sees it, if the number of files in it is to be watched. */
  temporaryDir?: () => string | null;
  /** Asks the app to end by itself; false when it cannot be asked. */
  askToEnd: (pid: number) => boolean;
}

export type Cause = "exited" | "timeout" | "aborted" | Excess;

export interface Ending {
  cause: Cause;
  code: number;
  signal: string | null;
  /** The end of what the program wrote to stderr. */
  stderrTail: string;
}

const TAIL_BYTES = 4096;
/** Exit code of the shell when it never got to start the program. */
export const NOT_STARTED = 125;

/**
 * Runs the program to its end and returns how it ended. Only the process itself is sure to be gone then: whoever made the tree
 * (a process namespace, a control group) sees to the rest.
 */
export async function supervise(
  program: Program,
  spec: SandboxSpec,
  signal: AbortSignal,
): Promise<Ending> {
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", gate(program), "sh", ...program.argv],
    env: program.env,
    clearEnv: true,
    cwd: program.cwd,
    uid: program.uid,
    gid: program.uid,
    // In a group of its own: Ctrl-C in a terminal is meant for the executor, which lets its runs finish.
    detached: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const end = new Terminator(child, program, spec.limits.graceSeconds * 1000);
  const tail = new Tail();
  const flooded = () =>
    end.terminate({ kind: "limit", limit: "log_size", allowed: spec.limits.logFloodBytes }, true);
  const pumps = Promise.all([
    pump(child.stdout, spec.stdout, spec.limits.logFloodBytes, flooded),
    pump(
      child.stderr,
      (chunk) => {
        tail.add(chunk);
        return spec.stderr(chunk);
      },
      spec.limits.logFloodBytes,
      flooded,
    ),
  ]);
  // A sink that fails (a full disk) must end the app, and be reported once the app is gone.
  const pumped = pumps.then(() => null, (error: unknown) => {
    end.terminate("aborted", true);
    return { error };
  });
  const onAbort = () => end.terminate("aborted", signal.reason instanceof KillNow);
  let stopMonitor = () => {};
  let deadline: ReturnType<typeof setTimeout> | undefined;
  try {
    await program.group?.add(child.pid);
    await open(child.stdin);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    deadline = setTimeout(() => end.terminate("timeout", false), spec.limits.timeoutSeconds * 1000);
    stopMonitor = startMonitor({
      pid: Deno.build.os === "linux" ? child.pid : null,
      wrappers: program.wrappers,
      outputDir: spec.outputDir,
      limits: spec.limits,
      watchMemory: program.watchMemory,
      temporaryDir: program.temporaryDir,
      onExcess: (excess) => end.terminate(excess, true),
    });
    const status = await child.status;
    end.ended();
    const failure = await pumped;
    if (failure) throw failure.error;
    return {
      cause: end.cause ?? "exited",
      code: status.code,
      signal: status.signal,
      stderrTail: tail.text(),
    };
  } catch (error) {
    end.kill();
    await child.status;
    await pumped;
    throw error;
  } finally {
    end.ended();
    stopMonitor();
    clearTimeout(deadline);
    signal.removeEventListener("abort", onAbort);
  }
}

/** The shell waits for a line, so that the process is in its control group before it can start others. */
function gate(program: Program): string {
  const redirections = (program.descriptors ?? []).map(({ fd, mode, path }) =>
    `${fd}${mode}${quote(path)}`
  );
  return `read -r _ || exit ${NOT_STARTED}; exec "$@" ${redirections.join(" ")} </dev/null`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

async function open(stdin: WritableStream<Uint8Array>): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode("\n"));
    await writer.close();
  } catch {
    // The shell is gone; its status tells.
  }
}

async function pump(
  stream: ReadableStream<Uint8Array>,
  sink: (chunk: Uint8Array) => void | Promise<void>,
  limit: number,
  flooded: () => void,
): Promise<void> {
  let total = 0;
  for await (const chunk of stream) {
    const before = total;
    total += chunk.length;
    await sink(chunk);
    if (before <= limit && total > limit) flooded();
  }
}

/** Ends the program once, for the first cause that comes. */
class Terminator {
  cause: Cause | undefined;
  #gone = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly child: Deno.ChildProcess,
    readonly program: Program,
    readonly graceMs: number,
  ) {}

  terminate(cause: Cause, now: boolean): void {
    if (this.#gone) return;
    if (this.cause === undefined) {
      this.cause = cause;
      if (!now && this.program.askToEnd(this.child.pid)) {
        this.#timer = setTimeout(() => this.kill(), this.graceMs);
        return;
      }
    } else if (!now) {
      return;
    }
    this.kill();
  }

  kill(): void {
    if (!this.#gone) killTree(this.child.pid);
  }

  ended(): void {
    this.#gone = true;
    clearTimeout(this.#timer);
  }
}

class Tail {
  #bytes = new Uint8Array();

  add(chunk: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + chunk.length);
    joined.set(this.#bytes);
    joined.set(chunk, this.#bytes.length);
    this.#bytes = joined.slice(-TAIL_BYTES);
  }

  text(): string {
    return new TextDecoder().decode(this.#bytes);
  }
}
