/** JWTs as PostgREST takes them. */
import { errors, jwtVerify } from "jose";

type Verified = { claims: Record<string, unknown> } | { response: Response };

/** The claims of an Authorization header, none for a missing one, or the refusal. */
export async function verifyToken(authorization: string | null, secret: string): Promise<Verified> {
  const token = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1]?.trim();
  if (!token) return { claims: {} };
  const parts = token.split(".").length;
  if (parts !== 3) {
    return refusal("PGRST301", `Expected 3 parts in JWT; got ${parts}`, null);
  }
  try {
    const key = new TextEncoder().encode(secret);
    const { payload } = await jwtVerify(token, key, { algorithms: ["HS256"] });
    return { claims: payload };
  } catch (error) {
    if (error instanceof errors.JWTExpired) return refusal("PGRST303", "JWT expired", null);
    const details = "None of the keys was able to decode the JWT";
    return refusal("PGRST301", "No suitable key or wrong key type", details);
  }
}

function refusal(code: string, message: string, details: string | null): Verified {
  const headers = {
    "access-control-allow-origin": "*",
    "www-authenticate": `Bearer error="invalid_token", error_description="${message}"`,
  };
  return {
    response: Response.json({ code, details, hint: null, message }, { status: 401, headers }),
  };
}
