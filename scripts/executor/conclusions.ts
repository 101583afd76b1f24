/** How work ends: what is said of it, and what the outcome of an app means in words for those who read its run. */
import type { Finish } from "./service.ts";
import { type ExceededLimit, KillNow, type Outcome } from "./sandbox/types.ts";

/** Abort reason: somebody asked for it to be cancelled. */
export class CancelRequested extends Error {
  override name = "CancelRequested";
}

/** Abort reason: it is another executor's by now, or may be. Nothing more is said of it. */
export class LeaseLost extends KillNow {
  override name = "LeaseLost";
}

/** Abort reason: the executor ends; what it holds goes back to the queue. */
export class ShuttingDown extends KillNow {
  override name = "ShuttingDown";
}

/** What every finish says, whatever was finished. */
export interface AnyFinish {
  status: string;
  error_message?: string;
}

export type Conclusion<F extends AnyFinish> =
  | {
    kind: "finish";
    finish: F;
    /** What failed, where it was this host or the server and not the app. */
    infrastructure?: unknown;
  }
  | { kind: "release" }
  | { kind: "drop" };

const MIB = 1024 * 1024;

const LIMIT_TEXTS: Record<ExceededLimit, (allowed: number) => string> = {
  output_size: (allowed) => `The app put out more than ${allowed / MIB} MiB of files.`,
  output_files: (allowed) => `The app put out more than ${allowed} files.`,
  output_depth: () => "The app put out folders that are closed, or lie too deep in each other.",
  temporary_files: (allowed) => `The app made more than ${allowed} temporary files.`,
  log_size: (allowed) => `The app wrote more than ${allowed / MIB} MiB to its log.`,
  hidden_processes: () => "The app hid a process from those who watch what it writes.",
  disk_writes: (allowed) => `The app wrote more than ${allowed / MIB} MiB to disk.`,
};

/** What this host or the server could not do is tried again. @param short whether its disk had too little room meanwhile */
export function notTheAppsFault(what: "run" | "build", error: unknown, short: boolean) {
  const message = error instanceof Error ? error.message : String(error);
  const error_message = `The executor could not ${what} the app, which is not the app's fault: ` +
    (short ? `there was too little room on its disk (${message})` : message);
  return {
    kind: "finish" as const,
    finish: { status: "failed" as const, retry: true, error_message },
    infrastructure: error,
  };
}

export const CANCELLED = "Cancelled while it was running.";

/** Status and message of the run. `aborted` means cancelled here: who aborts for other reasons does not finish the run. */
export function conclusionOf(outcome: Outcome): Pick<Finish, "status" | "error_message"> {
  switch (outcome.kind) {
    case "exited":
      if (outcome.code === 0) return { status: "success" };
      return {
        status: "failed",
        error_message: outcome.signal
          ? `The app was ended by ${outcome.signal} (exit code ${outcome.code}).`
          : `The app exited with code ${outcome.code}.`,
      };
    case "timeout":
      return {
        status: "timeout",
        error_message: `The app ran longer than its ${outcome.seconds} s.`,
      };
    case "out_of_memory":
      return {
        status: "failed",
        error_message: `The app ran out of memory: it may use ${outcome.megabytes} MB.`,
      };
    case "limit":
      return { status: "failed", error_message: LIMIT_TEXTS[outcome.limit](outcome.allowed) };
    case "aborted":
      return { status: "cancelled", error_message: CANCELLED };
  }
}
