/** What the outcome of an app means for its run, in words for those who read the run. */
import type { Finish } from "./service.ts";
import type { ExceededLimit, Outcome } from "./sandbox/types.ts";

const MIB = 1024 * 1024;

const LIMIT_TEXTS: Record<ExceededLimit, (allowed: number) => string> = {
  output_size: (allowed) => `The app put out more than ${allowed / MIB} MiB of files.`,
  output_files: (allowed) => `The app put out more than ${allowed} files.`,
  log_size: (allowed) => `The app wrote more than ${allowed / MIB} MiB to its log.`,
  disk_writes: (allowed) => `The app wrote more than ${allowed / MIB} MiB to disk.`,
};

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
