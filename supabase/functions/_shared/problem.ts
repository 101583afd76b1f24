import { AppError, type Mistake } from "./errors.ts";
import { isId } from "./ids.ts";
import { MAX_DETAIL_LENGTH } from "./limits.ts";
import { shortened } from "./mistakes.ts";

/** The body of every error: RFC 9457, with a stable `code` and, where input was wrong, each mistake. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail?: string;
  instance: string;
  retryable: boolean;
  errors?: Mistake[];
}

/** Anything thrown becomes an error of the catalogue; what nobody foresaw is `internal`, without its message. */
export function toAppError(error: unknown): AppError {
  return error instanceof AppError ? error : new AppError("internal", undefined, { cause: error });
}

/**
 * The problem for an error. It says nothing of the cause: two callers who may not see two things get equal bodies
 * but for `instance`, which names the request.
 */
export function toProblem(error: AppError, requestId: string): Problem {
  return {
    type: `urn:stowage:error:${error.code}`,
    title: error.entry.title,
    status: error.entry.status,
    code: error.code,
    ...(error.detail !== undefined && { detail: shortened(error.detail, MAX_DETAIL_LENGTH) }),
    instance: isId(requestId) ? `urn:uuid:${requestId}` : `urn:stowage:request:${requestId}`,
    retryable: error.entry.retry,
    ...(error.options.errors && { errors: error.options.errors }),
  };
}

const RETRY_AFTER_SECONDS = 5;

export function problemResponse(error: AppError, requestId: string): Response {
  return new Response(JSON.stringify(toProblem(error, requestId)), {
    status: error.entry.status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      ...(error.entry.retry && { "retry-after": String(RETRY_AFTER_SECONDS) }),
      ...error.options.headers,
    },
  });
}
