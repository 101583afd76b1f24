/**
 * The error catalogue of the Storage API and how an error becomes an answer.
 *
 * The real server answers almost every refusal with HTTP 400 and tells the true status in the body's `statusCode`;
 * clients depend on both, so both are stated here, once.
 */
import pg from "pg";

/** The JSON body of every error. */
export interface ErrorBody {
  statusCode: string;
  error: string;
  message: string;
  code: string;
}

interface ErrorOptions {
  /** The status told in the body. */
  status: number;
  code: string;
  message: string;
  /** The body's `error`; the code when absent. */
  error?: string;
  /** The status on the wire, when it is not the usual 400 (or 500 for a 500). */
  httpStatus?: number;
  cause?: unknown;
}

/** A refusal with a defined answer. */
export class StorageError extends Error {
  readonly code: string;
  readonly httpStatus: number;
  readonly body: ErrorBody;

  constructor(options: ErrorOptions) {
    super(options.message, { cause: options.cause });
    this.name = "StorageError";
    this.code = options.code;
    this.httpStatus = options.httpStatus ?? (options.status === 500 ? 500 : 400);
    this.body = {
      statusCode: String(options.status),
      error: options.error ?? options.code,
      message: options.message,
      code: options.code,
    };
  }
}

const make = (status: number, code: string, message: string, more: Partial<ErrorOptions> = {}) =>
  new StorageError({ status, code, message, ...more });

export const errors = {
  noSuchBucket: () => make(404, "NoSuchBucket", "Bucket not found", { error: "Bucket not found" }),
  noSuchKey: () => make(404, "NoSuchKey", "Object not found", { error: "not_found" }),
  /** The row is there and the file is not, or went away between the two. */
  fileMissing: () => make(404, "NoSuchKey", "The resource was not found", { error: "Not found" }),
  bucketNotEmpty: () =>
    make(409, "ResourceNotEmpty", "The bucket you tried to delete is not empty"),
  unableToEmptyBucket: () =>
    make(
      409,
      "InvalidRequest",
      "Unable to empty the bucket because it contains too many objects",
    ),
  bucketExists: () =>
    make(409, "BucketAlreadyExists", "The resource already exists", { error: "Duplicate" }),
  keyExists: () =>
    make(409, "KeyAlreadyExists", "The resource already exists", { error: "Duplicate" }),
  resourceExists: () =>
    make(409, "ResourceAlreadyExists", "The resource already exists", { error: "Duplicate" }),
  accessDenied: (message = "Access denied", httpStatus?: number) =>
    make(403, "AccessDenied", message, { error: "Unauthorized", httpStatus }),
  invalidJwt: (message: string) => make(400, "InvalidJWT", message || "Invalid JWT"),
  invalidSignature: (message = "Invalid signature") => make(400, "InvalidSignature", message),
  expiredSignature: () => make(400, "ExpiredToken", "The provided token has expired."),
  invalidBucketName: () =>
    make(400, "InvalidBucketName", "Bucket name invalid", { error: "Invalid Input" }),
  invalidKey: (key: string) => make(400, "InvalidKey", `Invalid key: ${key}`),
  keyTooLong: () => make(400, "S3Error", "KeyTooLongError", { error: "Your key is too long" }),
  invalidParameter: (name: string, message?: string) =>
    make(400, "InvalidParameter", message || `Invalid Parameter ${name}`),
  missingParameter: (name: string) =>
    make(400, "MissingParameter", `Missing Required Parameter ${name}`),
  invalidMimeType: (type: string) =>
    make(415, "InvalidMimeType", `mime type ${type} is not supported`, {
      error: "invalid_mime_type",
    }),
  invalidContentType: () =>
    make(415, "InvalidMimeType", "Invalid Content-Type header", { error: "invalid_mime_type" }),
  invalidRobotsTag: (why: string) =>
    make(400, "InvalidRequest", `Invalid X-Robots-Tag header: ${why}`, {
      error: "invalid_x_robots_tag",
    }),
  invalidRange: () =>
    make(416, "InvalidRange", "invalid range provided", {
      error: "invalid_range",
      httpStatus: 416,
    }),
  invalidFileSizeLimit: () =>
    make(
      400,
      "InvalidRequest",
      "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B",
    ),
  tooLarge: (what = "object") =>
    make(413, "EntityTooLarge", `The ${what} exceeded the maximum allowed size`, {
      error: "Payload too large",
    }),
  noContent: (why?: string) => make(400, "InvalidRequest", why || "No content provided"),
  lockTimeout: () =>
    make(503, "LockTimeout", "acquiring lock timeout", { error: "acquiring_lock_timeout" }),
  featureNotEnabled: (feature: string) =>
    make(409, "FeatureNotEnabled", `The feature ${feature} is not enabled for this resource`),
  brokenUpload: (cause: unknown) =>
    make(500, "InternalError", cause instanceof Error ? cause.message : "Internal server error", {
      error: cause instanceof Error ? cause.name : "Internal server error",
      cause,
    }),
  internal: (cause: unknown) =>
    make(500, "InternalError", "Internal Server Error", { error: "Internal", cause }),

  /** A request that does not fit the route's schema; `message` is worded as the schema validator words it. */
  invalidRequest: (message: string) => make(400, "InvalidRequest", message, { error: "Error" }),
  /** A body that cannot be parsed at all. */
  unreadableBody: (message: string) =>
    make(400, "InvalidRequest", message, { error: "FastifyError" }),
  bodyTooLarge: () =>
    make(413, "EntityTooLarge", "Request body is too large", {
      error: "FastifyError",
      httpStatus: 413,
    }),
  routeNotFound: (method: string, path: string) =>
    make(404, "InvalidRequest", `Route ${method}:${path} not found`, {
      error: "Not Found",
      httpStatus: 404,
    }),
};

/** Row security's refusal reads the same whatever the table and policy: nothing about them is given away. */
const RLS_MESSAGE = "new row violates row-level security policy";

/** Translates what Postgres raised; anything that is not Postgres' passes through unchanged. */
export function fromPostgres(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError)) return error;
  const { code, message, detail } = error;
  const fail = (status: number, name: string, text: string, httpStatus?: number) =>
    make(status, name, text, { httpStatus, cause: error });

  switch (code) {
    case "42501":
      return errors.accessDenied(message.includes("row-level security") ? RLS_MESSAGE : message);
    case "23505":
      return errors.resourceExists();
    case "23503":
      return detail?.includes("is still referenced from table")
        ? fail(
          409,
          "ResourceReferenced",
          "The resource could not be updated or removed due to a foreign key constraint",
        )
        : fail(404, "InvalidRequest", "The related resource does not exist");
    case "55P03":
      return fail(423, "ResourceLocked", "The resource is locked");
    case "57014":
      return fail(544, "DatabaseTimeout", "The connection to the database timed out", 544);
    case "25006":
      return fail(
        503,
        "DatabaseReadOnly",
        "The database is currently in read-only mode. Please try again later.",
      );
    case "42P17":
      return fail(
        503,
        "DatabaseInvalidObjectDefinition",
        "The database schema is invalid or incompatible.",
      );
    case "22P02":
      return errors.invalidParameter("value", message);
    case "42703":
    case "42P01":
      return fail(
        503,
        "DatabaseSchemaMismatch",
        error.internalQuery && error.internalPosition
          ? `There is a database schema mismatch in a trigger or RLS policy: ${error.where}`
          : "The database schema is out of sync. Please run migrations or contact support.",
      );
    case "53300":
      return make(429, "SlowDown", "Too many connections issued to the database", {
        error: "too_many_connections",
        httpStatus: 429,
        cause: error,
      });
    default:
      return fail(500, "DatabaseError", `database error, code: ${code}`);
  }
}

/** Whether an error is of this code, e.g. to refine a general one. */
export function isStorageError(error: unknown, code: string): error is StorageError {
  return error instanceof StorageError && error.code === code;
}

/** The answer to an error; the body is left out for HEAD, which has none. */
export function errorResponse(error: unknown, method: string): Response {
  const known = error instanceof StorageError ? error : errors.internal(error);
  const headers = new Headers({ "content-type": "application/json; charset=utf-8" });
  if (known.body.message === "The resource was not found") headers.set("cache-control", "no-store");
  return new Response(method === "HEAD" ? null : JSON.stringify(known.body), {
    status: known.httpStatus,
    headers,
  });
}
