/** What ends a command with one line instead of a stack: whoever called it can do something about it. */
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { CONNECTION_ERROR } from "./reach.ts";

/** The message says what is wrong and what to do. */
export class CommandError extends Error {
  override name = "CommandError";
  /** @param exitCode default: the command's own for what it could not do */
  constructor(message: string, readonly exitCode?: number) {
    super(message);
  }
}

/** The command line, or the environment, does not say what is needed; the command's usage is shown, too. */
export class UsageError extends CommandError {
  override name = "UsageError";
  constructor(message: string) {
    super(message, 2);
  }
}

/** An answer of the project that is an error: PostgREST's, Storage's, or a gateway's before them. */
interface RefusedAnswer {
  message: string;
  code?: string;
  details?: string | null;
  hint?: string | null;
}

/** One line on an error that is nobody's bug; undefined for one that may be a bug, whose stack is needed. */
export function explain(error: unknown): string | undefined {
  if (error instanceof CommandError) return error.message;
  if (error instanceof AppError) return explain(error.cause) ?? error.message;
  if (isRefusedAnswer(error)) return explainAnswer(error);
  if (error instanceof Error && error.name === CONNECTION_ERROR) return error.message;
}

function isRefusedAnswer(error: unknown): error is RefusedAnswer {
  if (typeof error !== "object" || error === null) return false;
  const { message } = error as { message?: unknown };
  if (typeof message !== "string" || message === "") return false;
  // supabase-js answers plain objects, or classes of its own that say so.
  return !(error instanceof Error) || "details" in error || "__isStorageError" in error;
}

function explainAnswer({ message, code }: RefusedAnswer): string {
  if (message.startsWith(`${CONNECTION_ERROR}: `)) {
    return message.slice(CONNECTION_ERROR.length + 2);
  }
  if (code === "PGRST301" || code === "PGRST303" || /^(invalid|no) api key/i.test(message)) {
    return `the project refuses the key in SUPABASE_SECRET_KEY: ${message}`;
  }
  if (code === "PGRST202" || code === "PGRST205") {
    return `${message.split("\n")[0]}: are the migrations applied?`;
  }
  return `the project answers: ${message.split("\n")[0]}${code ? ` (${code})` : ""}`;
}
