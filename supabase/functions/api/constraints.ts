import type { PostgrestError } from "@supabase/supabase-js";
import { AppError } from "../_shared/errors.ts";

/** What a broken constraint means to the caller, and the property that it is about. */
const MEANING: Record<
  string,
  { code: "conflict" | "invalid_request"; field: string; message: string }
> = {
  applications_publisher_slug_key: {
    code: "conflict",
    field: "slug",
    message: "Another app of this company has this slug.",
  },
  applications_publisher_company_id_fkey: {
    code: "invalid_request",
    field: "publisher_company_id",
    message: "There is no such company.",
  },
  app_assignments_pkey: {
    code: "conflict",
    field: "company_id",
    message: "The app is assigned to this company already.",
  },
  app_assignments_company_id_fkey: {
    code: "invalid_request",
    field: "company_id",
    message: "There is no such company.",
  },
  app_versions_pkey: {
    code: "conflict",
    field: "version",
    message: "The app has this version already.",
  },
  app_builds_build_version_fkey: {
    code: "conflict",
    field: "build_version",
    message: "The app has no such version, or the version is still built.",
  },
  app_builds_build_config_object: {
    code: "invalid_request",
    field: "build_config",
    message: "build_config takes 64 KiB, as the database keeps it.",
  },
  app_cron_schedules_config_size: {
    code: "invalid_request",
    field: "config",
    message: "config takes 256 KiB, as the database keeps it.",
  },
  app_runs_config_object: {
    code: "invalid_request",
    field: "config",
    message: "config takes 512 KiB, as the database keeps it.",
  },
};

/** What else points here when a thing cannot be deleted. */
const IN_USE = "Other things still need it: delete them first.";

/** The error of a constraint that callers can do something about; the constraint's name is in the message. */
export function constraintError(error: PostgrestError): AppError | undefined {
  if (!["23505", "23503", "23514"].includes(error.code)) return undefined;
  const name = /constraint "(\w+)"/.exec(error.message)?.[1];
  const meaning = name !== undefined && Object.hasOwn(MEANING, name) ? MEANING[name] : undefined;
  if (!meaning && error.code === "23514") return undefined;
  const isDeletion = /^update or delete on table/.test(error.message);
  if (!meaning || isDeletion) {
    return new AppError("conflict", isDeletion ? IN_USE : undefined, { cause: error });
  }
  const { code, field, message } = meaning;
  return new AppError(code, message, {
    cause: error,
    errors: [{ code, message, path: field, pointer: `/${field}` }],
  });
}
