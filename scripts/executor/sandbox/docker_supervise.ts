/** Sees a container through: feeds its output on, and ends it when it must end. What `supervise` does for a process. */
import { type ContainerState, demultiplex, type Engine } from "./docker_engine.ts";
import { startMonitor } from "./monitor.ts";
import type { Cause, Ending } from "./supervise.ts";
import { KillNow, type SandboxSpec } from "./types.ts";

const TAIL_BYTES = 4096;
const SIGKILL_CODE = 137;
const FAILED_KILL_RETRY_MS = 500;
/** The engine hears of the kernel's kills on another way than of a container's end; how long the former may be later. */
const OOM_LATE_MS = { killed: 1000, failed: 60 };
const LOOK_MS = 20;

export interface ContainerEnding {
  ending: Ending;
  outOfMemory: boolean;
}

/** Starts the container, which was just created, and returns when it has ended. Does not remove it. */
export async function superviseContainer(
  engine: Engine,
  id: string,
  spec: SandboxSpec,
  signal: AbortSignal,
): Promise<ContainerEnding> {
  const { limits } = spec;
  const end = new Terminator(engine, id, limits.graceSeconds * 1000);
  const hangUp = new AbortController();
  const stream = await engine.attach(id, hangUp.signal);
  const flood = { kind: "limit", limit: "log_size", allowed: limits.logFloodBytes } as const;
  const bounded = (sink: (chunk: Uint8Array) => void | Promise<void>) => {
    let total = 0;
    return async (chunk: Uint8Array) => {
      total += chunk.length;
      await sink(chunk);
      if (total > limits.logFloodBytes) end.terminate(flood, true);
    };
  };
  let tail = new Uint8Array();
  const pumped = demultiplex(stream, {
    stdout: bounded(spec.stdout),
    stderr: bounded((chunk) => {
      const joined = new Uint8Array(tail.length + chunk.length);
      joined.set(tail);
      joined.set(chunk, tail.length);
      tail = joined.slice(-TAIL_BYTES);
      return spec.stderr(chunk);
    }),
    // A sink that fails (a full disk) must end the app, and be reported once the app is gone.
  }).then(() => null, (error: unknown) => {
    end.terminate("aborted", true);
    return { error };
  });
  const ended = engine.ended(id, hangUp.signal);
  ended.catch(() => {});
  const onAbort = () => end.terminate("aborted", signal.reason instanceof KillNow);
  let stopMonitor = () => {};
  let deadline: ReturnType<typeof setTimeout> | undefined;
  let pid = 0;
  try {
    signal.throwIfAborted();
    await engine.start(id);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    deadline = setTimeout(() => end.terminate("timeout", false), limits.timeoutSeconds * 1000);
    pid = (await engine.state(id)).Pid;
    stopMonitor = startMonitor({
      // 0 when it has ended already.
      pid: pid || null,
      wrappers: 1,
      outputDir: spec.outputDir,
      limits,
      watchMemory: false,
      onExcess: (excess) => end.terminate(excess, true),
    });
    const code = await ended;
    end.ended();
    const failure = await pumped;
    if (failure) throw failure.error;
    const cause: Cause = end.cause ?? "exited";
    return {
      ending: { cause, code, signal: null, stderrTail: new TextDecoder().decode(tail) },
      outOfMemory: cause === "exited" && await wasOutOfMemory(engine, id, code),
    };
  } catch (error) {
    end.ended();
    hangUp.abort();
    killContainer(pid, id);
    await pumped;
    if (signal.aborted && error === signal.reason) {
      return {
        ending: { cause: "aborted", code: 0, signal: null, stderrTail: "" },
        outOfMemory: false,
      };
    }
    throw error;
  } finally {
    stopMonitor();
    clearTimeout(deadline);
    signal.removeEventListener("abort", onAbort);
  }
}

/** Without its engine, which may be gone while its containers live on: the first process takes all others with it. */
function killContainer(pid: number, id: string): void {
  try {
    // The number may be another process's by now.
    if (pid > 0 && Deno.readTextFileSync(`/proc/${pid}/cgroup`).includes(id)) {
      Deno.kill(pid, "SIGKILL");
    }
  } catch {
    // It is gone.
  }
}

async function wasOutOfMemory(engine: Engine, id: string, code: number): Promise<boolean> {
  if (code === 0) return false;
  const until = performance.now() +
    (code === SIGKILL_CODE ? OOM_LATE_MS.killed : OOM_LATE_MS.failed);
  while (true) {
    const state: ContainerState = await engine.state(id);
    if (state.OOMKilled) return true;
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Ends the container once, for the first cause that comes. */
class Terminator {
  cause: Cause | undefined;
  #gone = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly engine: Engine, readonly id: string, readonly graceMs: number) {}

  terminate(cause: Cause, now: boolean): void {
    if (this.#gone) return;
    if (this.cause === undefined) {
      this.cause = cause;
      if (!now) {
        this.#after(this.graceMs);
        this.engine.kill(this.id, "SIGTERM").catch(() => {});
        return;
      }
    } else if (!now) {
      return;
    }
    this.#after(0);
  }

  /** The engine may be too busy to answer; a container that must end is killed until it has ended. */
  #after(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      await this.engine.kill(this.id, "SIGKILL").catch(() => {});
      if (!this.#gone) this.#after(FAILED_KILL_RETRY_MS);
    }, ms);
  }

  ended(): void {
    this.#gone = true;
    clearTimeout(this.#timer);
  }
}
