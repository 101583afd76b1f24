/**
 * The one catalogue of errors: what a caller can be told, and nothing else.
 *
 * `status` is the HTTP status on the wire and in the body; `fault` says who has to act (ours are logged as errors);
 * `retry` says whether the same request may succeed later without being changed.
 */
interface CatalogueEntry {
  readonly status: number;
  readonly title: string;
  readonly fault: "caller" | "ours";
  readonly retry: boolean;
}

function caller(status: number, title: string, retry = false): CatalogueEntry {
  return { status, title, fault: "caller", retry };
}

function ours(status: number, title: string, retry: boolean): CatalogueEntry {
  return { status, title, fault: "ours", retry };
}

export const CATALOGUE = {
  invalid_request: caller(400, "The request is not valid"),
  unauthenticated: caller(401, "Sign in, or send a secret key"),
  forbidden: caller(403, "Your role does not allow this"),
  not_found: caller(404, "There is no such thing, or it is not yours to see"),
  method_not_allowed: caller(405, "The resource does not take this method"),
  conflict: caller(409, "The state of the resource does not allow this"),
  request_too_large: caller(413, "The request is larger than this endpoint takes"),
  request_timeout: caller(408, "The request's body did not come in time", true),
  precondition_failed: caller(412, "The resource has changed since it was read"),
  range_not_satisfiable: caller(416, "The file does not have this range"),
  uri_too_long: caller(414, "The URL is longer than this endpoint takes"),
  headers_too_large: caller(431, "The headers are larger than this endpoint takes"),
  client_gone: caller(499, "The client closed the connection", true),
  unsupported_media_type: caller(415, "The endpoint does not take this media type"),

  file_too_large: caller(413, "The file is larger than allowed"),
  quota_exceeded: caller(409, "The storage quota of the company is used up"),
  version_not_draft: caller(409, "Only a draft version can be changed"),
  upload_not_received: caller(409, "The file has not been uploaded yet", true),
  upload_busy: caller(409, "The upload is being verified by another request", true),
  upload_over: caller(409, "The upload is over"),
  upload_expired: caller(410, "The upload has expired"),

  app_not_runnable: caller(409, "The app cannot be run"),
  limit_reached: caller(409, "There are as many of these as there may be"),
  queue_full: caller(429, "The company has as much waiting as it may", true),
  webhook_unverified: caller(401, "There is no such webhook, or the delivery is not signed for it"),
  rate_limited: caller(429, "There were too many requests", true),
  run_not_finished: caller(409, "The run is not finished yet", true),
  idempotency_key_reused: caller(409, "The idempotency key was used for another request"),
  idempotency_key_in_use: caller(
    409,
    "A request with this idempotency key is being answered",
    true,
  ),

  size_mismatch: caller(422, "The file does not have the declared size"),
  checksum_mismatch: caller(422, "The file does not have the declared checksum"),
  content_mismatch: caller(422, "The content is not of the declared type"),
  content_unsafe: caller(422, "The content could run code where it is shown"),
  archive_required: caller(422, "This file type takes an archive"),
  archive_invalid: caller(422, "The archive is damaged or contradicts itself"),
  archive_unsupported: caller(422, "The archive uses a feature that is not supported"),
  archive_encrypted: caller(422, "The archive is encrypted"),
  archive_too_many_entries: caller(422, "The archive has too many entries"),
  archive_too_large: caller(422, "The archive unpacks to more than is allowed"),
  archive_bomb: caller(422, "The archive unpacks to far more than its size"),
  archive_path_unsafe: caller(422, "The archive names a path outside itself"),
  archive_link: caller(422, "The archive contains a link"),
  archive_special_file: caller(422, "The archive contains a device or another special file"),
  archive_duplicate: caller(422, "The archive names the same file twice"),
  archive_overlap: caller(422, "Entries of the archive overlap"),
  manifest_missing: caller(422, "The archive has no manifest at its root"),
  manifest_ambiguous: caller(422, "The archive has more than one manifest at its root"),
  manifest_invalid: caller(422, "The manifest is not valid"),
  manifest_version_mismatch: caller(422, "The manifest is of another version than the upload"),
  entrypoint_missing: caller(422, "The archive lacks the entrypoint that its manifest names"),

  package_not_found: caller(404, "Package not found"),
  package_invalid: caller(422, "The package is not valid"),
  package_name_taken: caller(409, "The name is taken, or could be mistaken for one that is"),
  package_version_exists: caller(409, "This version exists with other content"),
  package_dependency_cycle: caller(422, "The package would depend on itself"),
  package_graph_too_large: caller(422, "What the package needs is too much to be resolved"),

  content_corrupted: ours(500, "Stored content does not have its checksum", false),
  internal: ours(500, "Something went wrong on our side", true),
  timed_out: ours(504, "This took too long", true),
  unavailable: ours(503, "A service that this needs does not answer", true),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof CATALOGUE;

/** One mistake in the input. `path` and `pointer` name the same place, for people and for programs. */
export interface Mistake {
  /** What is wrong, stable: `required`, `unrecognized_key`, `invalid_type`, … */
  code: string;
  message: string;
  /** Dotted, with array indexes in brackets: `permissions[0].scope`; empty for the whole. */
  path: string;
  /** RFC 6901. */
  pointer: string;
  /** One-based position in the text, where there is a text. */
  line?: number;
  column?: number;
}

export interface AppErrorOptions {
  errors?: Mistake[];
  /** The original, for our logs only. */
  cause?: unknown;
  headers?: Record<string, string>;
}

/** An error of the catalogue, with what is particular to this occurrence. `detail` is shown to the caller. */
export class AppError extends Error {
  readonly entry: CatalogueEntry;

  constructor(
    readonly code: ErrorCode,
    readonly detail?: string,
    readonly options: AppErrorOptions = {},
  ) {
    super(detail ?? CATALOGUE[code].title, { cause: options.cause });
    this.name = "AppError";
    this.entry = CATALOGUE[code];
  }
}

/** A mistake in one field of a request: 400 `invalid_request` naming it. */
export function invalidField(field: string, message: string): AppError {
  return new AppError("invalid_request", message, {
    errors: [{ code: "invalid", message, path: field, pointer: `/${field}` }],
  });
}
