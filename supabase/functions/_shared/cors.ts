/** Every origin may call: what counts is the token in the header, and no cookie is read. */
const HEADERS: Record<string, string> = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers":
    "authorization, x-client-info, apikey, content-type, x-request-id, if-match, if-none-match, idempotency-key",
  "access-control-expose-headers":
    "x-request-id, etag, retry-after, location, link, ratelimit, ratelimit-policy, idempotency-replayed, content-disposition, content-range, accept-ranges",
};

/** Nothing that we send is a page, unless a handler says so. Handlers' own headers win. */
const SECURITY: Record<string, string> = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "cross-origin",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  // What an answer says depends on who asks.
  "cache-control": "no-store",
};

/** The answer to a preflight request. */
export function preflight(request: Request, methods: string[]): Response {
  const asked = request.headers.get("access-control-request-headers");
  return new Response(null, {
    status: 204,
    headers: {
      // Clients add headers of their own, for tracing and the like, which do no harm.
      ...(asked && { "access-control-allow-headers": asked }),
      "access-control-allow-methods": [...new Set([...methods, "OPTIONS"])].join(", "),
      "access-control-max-age": "86400",
    },
  });
}

/** Adds what every answer has: CORS, security headers, the request's id. */
export function withCommonHeaders(
  response: Response,
  requestId: string,
  more: Record<string, string> = {},
): Response {
  const headers = new Headers({ ...HEADERS, ...SECURITY, ...more, "x-request-id": requestId });
  for (const [name, value] of response.headers) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}
