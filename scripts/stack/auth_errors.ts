/** Errors of the Auth API: `{ code, error_code, msg }`. */

export class AuthError extends Error {
  override name = "AuthError";
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

/** The response for anything thrown; only our own faults are logged. */
export function errorResponse(error: unknown, log: (line: string) => void): Response {
  const known = error instanceof AuthError ? error : constraintError(error);
  if (!known) log(`auth: ${error instanceof Error ? error.stack : error}`);
  const { status, code, message } = known ??
    new AuthError(500, "unexpected_failure", "Database error");
  return Response.json({ code: status, error_code: code, msg: message }, {
    status,
    headers: { "x-sb-error-code": code },
  });
}

/** Two requests for the same address at once: the second meets the index. */
function constraintError(error: unknown): AuthError | undefined {
  const { code, constraint } = (error ?? {}) as { code?: string; constraint?: string };
  if (code !== "23505") return undefined;
  return constraint === "users_email_partial_key"
    ? new AuthError(
      422,
      "email_exists",
      "A user with this email address has already been registered",
    )
    : constraint === "users_phone_key"
    ? new AuthError(422, "phone_exists", "Phone number already registered by another user")
    : new AuthError(422, "user_already_exists", "User already registered");
}
