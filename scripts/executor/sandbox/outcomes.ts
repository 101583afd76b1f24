/** Turns how a process ended into what that means for the app. */
import type { Limits } from "./limits.ts";
import type { Ending } from "./supervise.ts";
import type { Outcome } from "./types.ts";

/** Signals by number, those that commonly end a program. */
const SIGNALS: Record<number, string> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
  24: "SIGXCPU",
  25: "SIGXFSZ",
  31: "SIGSYS",
};

/** V8 says so in these words before it aborts. */
const HEAP_EXHAUSTED = /JavaScript heap out of memory|Fatal JavaScript out of memory/;

/** @param memoryKills processes of the app that the kernel killed for want of memory */
export function outcomeOf(ending: Ending, limits: Limits, memoryKills: number): Outcome {
  const outOfMemory: Outcome = { kind: "out_of_memory", megabytes: limits.memoryMegabytes };
  if (typeof ending.cause === "object") {
    return ending.cause.kind === "memory" ? outOfMemory : ending.cause;
  }
  if (ending.cause === "timeout") return { kind: "timeout", seconds: limits.timeoutSeconds };
  if (ending.cause === "aborted") return { kind: "aborted" };
  if (ending.code !== 0 && memoryKills > 0) return outOfMemory;
  const signal = ending.signal ?? SIGNALS[ending.code - 128];
  const aborted = signal === "SIGABRT" || signal === "SIGTRAP" || signal === "SIGILL";
  if (aborted && HEAP_EXHAUSTED.test(ending.stderrTail)) return outOfMemory;
  return { kind: "exited", code: ending.code, ...(signal ? { signal } : {}) };
}
