/** Errors of the database as PostgREST puts them on the wire. */

export interface PostgresError {
  code: string;
  message: string;
  detail?: string;
  hint?: string;
}

/** The error as Postgres sent it, or undefined for any other. */
export function errorOf(error: unknown): PostgresError | undefined {
  const { code, message, detail, hint } = (error ?? {}) as PostgresError;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)
    ? { code, message, detail, hint }
    : undefined;
}

/** The response that PostgREST gives for the error; `headers` are those already decided on. */
export function sqlErrorResponse(
  error: PostgresError,
  authenticated: boolean,
  headers: Headers,
): Response {
  // `raise sqlstate 'PGRST'` writes its own response, which has been made already.
  const sent = new Headers(headers);
  sent.set("content-type", "application/json; charset=utf-8");
  sent.delete("content-length");
  const body = JSON.stringify({
    code: error.code,
    details: error.detail ?? null,
    hint: error.hint ?? null,
    message: error.message,
  });
  return new Response(body, { status: sqlErrorStatus(error, authenticated), headers: sent });
}

/** By the whole code where there is an entry, otherwise by its class. */
const STATUS: Record<string, number> = {
  "08": 503, // connection exception
  "09": 500, // triggered action exception
  "0L": 403, // invalid grantor
  "0P": 403, // invalid role specification
  "23503": 409, // foreign key violation
  "23505": 409, // unique violation
  "25006": 405, // read only transaction
  "25": 500, // invalid transaction state
  "28": 403, // invalid authorization
  "2D": 500, // invalid transaction termination
  "38": 500, // external routine exception
  "39": 500, // external routine invocation
  "3B": 500, // savepoint exception
  "40": 500, // transaction rollback
  "53400": 500, // configuration limit exceeded
  "53": 503, // insufficient resources
  "54": 500, // program limit exceeded
  "55": 500, // object not in prerequisite state
  "57P01": 503, // terminated by an administrator
  "57": 500, // operator intervention
  "58": 500, // system error
  "F0": 500, // configuration file error
  "HV": 500, // foreign data wrapper
  "P0001": 400, // raise without a code
  "P0": 500, // PL/pgSQL
  "XX": 500, // internal error
  "42883": 404, // undefined function
  "42P01": 404, // undefined table
  "42P17": 500, // infinite recursion
};

/** The HTTP status of an SQLSTATE; `PTxyz` names its own, and codes of one's own are 400. */
export function sqlErrorStatus(error: PostgresError, authenticated: boolean): number {
  const { code } = error;
  if (code.startsWith("PT")) {
    const status = Number(code.slice(2));
    return status >= 200 && status <= 599 ? status : 500;
  }
  if (code === "42501") return authenticated ? 403 : 401;
  if (code === "21000") return /requires a WHERE clause/.test(error.message) ? 400 : 500;
  return STATUS[code] ?? STATUS[code.slice(0, 2)] ?? 400;
}

/** What PostgREST says while it has no database. */
export function unavailableResponse(): Response {
  return Response.json({
    code: "PGRST001",
    details: null,
    hint: null,
    message: "Database client error. Retrying the connection.",
  }, { status: 503, headers: { "content-type": "application/json; charset=utf-8" } });
}
