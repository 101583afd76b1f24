import type { PostgrestError } from "@supabase/supabase-js";
import { AppError, type ErrorCode } from "./errors.ts";

/** The database's own errors, listed in the foundation migration. */
const OWN: Record<string, ErrorCode> = {
  SW001: "invalid_request",
  SW002: "not_found",
  SW003: "forbidden",
  SW010: "conflict",
  SW011: "limit_reached",
  SW020: "version_not_draft",
  SW021: "conflict",
  SW022: "conflict",
  SW023: "conflict",
  SW030: "quota_exceeded",
  SW031: "upload_expired",
  SW032: "upload_busy",
  SW033: "upload_over",
  SW034: "file_too_large",
  SW040: "app_not_runnable",
  SW041: "queue_full",
  SW042: "run_not_finished",
  SW043: "idempotency_key_reused",
  SW050: "invalid_request",
  SW051: "invalid_request",
  SW052: "idempotency_key_in_use",
  SW053: "limit_reached",
  SW060: "quota_exceeded",
  SW061: "upload_busy",
  SW095: "queue_full",
  SW100: "package_name_taken",
  SW101: "package_version_exists",
  SW103: "checksum_mismatch",
  SW104: "forbidden",
  SW105: "package_dependency_cycle",
  SW107: "conflict",
  SW113: "quota_exceeded",
  SW120: "package_graph_too_large",
  SW121: "conflict",
  SW125: "conflict",
};

/** Postgres's and PostgREST's codes that mean something to a caller. */
const FOREIGN: Record<string, ErrorCode> = {
  "22P02": "invalid_request",
  "22P05": "invalid_request",
  "22021": "invalid_request",
  "22008": "invalid_request",
  "22001": "invalid_request",
  "22003": "invalid_request",
  "22007": "invalid_request",
  "22009": "invalid_request",
  "22023": "invalid_request",
  "23514": "invalid_request",
  "23503": "conflict",
  "23505": "conflict",
  "42501": "forbidden",
  "55P03": "unavailable",
  "40001": "unavailable",
  "40P01": "unavailable",
  "53300": "unavailable",
  "57014": "unavailable",
  PGRST116: "not_found",
  PGRST301: "unauthenticated",
  PGRST302: "unauthenticated",
  PGRST303: "unauthenticated",
};

/**
 * An error of the Data API as one of the catalogue. Messages of our own errors are meant for callers; all others stay
 * in `cause`, since they may name what the caller must not know of.
 * @param names what the caller knows an input of the database by, where that is not the same
 */
export function fromDatabase(
  error: PostgrestError,
  names: Readonly<Record<string, string>> = {},
): AppError {
  const own = Object.hasOwn(OWN, error.code) ? OWN[error.code] : undefined;
  // What is hidden and what is missing must look alike, whatever the message says.
  if (own === "not_found") return new AppError("not_found", undefined, { cause: error });
  if (own) {
    const told = fieldOf(error.details);
    const field = told !== undefined && Object.hasOwn(names, told) ? names[told] : told;
    return new AppError(own, error.message, {
      cause: error,
      ...(field &&
        { errors: [{ code: own, message: error.message, path: field, pointer: `/${field}` }] }),
    });
  }
  // supabase-js answers failed connections with an empty code; PostgREST's own are PGRST0xx.
  const unreachable = !error.code || /^(PGRST0|08|57P|53)/.test(error.code);
  const foreign = Object.hasOwn(FOREIGN, error.code) ? FOREIGN[error.code] : undefined;
  return new AppError(foreign ?? (unreachable ? "unavailable" : "internal"), undefined, {
    cause: error,
  });
}

function fieldOf(details: string | null | undefined): string | undefined {
  try {
    const { field } = JSON.parse(details ?? "");
    return typeof field === "string" ? field : undefined;
  } catch {
    return undefined;
  }
}

/** What Storage says of an object that is not there; its HTTP status is 400 or 404. */
export function isMissingObject(error: unknown): boolean {
  const { status, statusCode } = statusOf(error);
  return statusCode === "404" || status === 404;
}

/** What Storage says when the target is there already. */
export function isExistingObject(error: unknown): boolean {
  const { status, statusCode } = statusOf(error);
  return statusCode === "409" || status === 409;
}

/** An error of the Storage API as one of the catalogue. */
export function fromStorage(error: unknown): AppError {
  if (isMissingObject(error)) return new AppError("not_found", undefined, { cause: error });
  const { status, statusCode } = statusOf(error);
  if (statusCode === "413" || status === 413) {
    return new AppError("file_too_large", undefined, { cause: error });
  }
  const ours = status === undefined || status >= 500 || status === 429;
  return new AppError(ours ? "unavailable" : "internal", undefined, { cause: error });
}

function statusOf(error: unknown): { status?: number; statusCode?: string } {
  if (typeof error !== "object" || error === null) return {};
  const { status, statusCode } = error as { status?: unknown; statusCode?: unknown };
  return {
    ...(typeof status === "number" && { status }),
    ...((typeof statusCode === "string" || typeof statusCode === "number") &&
      { statusCode: String(statusCode) }),
  };
}
