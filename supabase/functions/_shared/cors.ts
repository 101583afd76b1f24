/** Every origin may call: what counts is the token in the header, and no cookie is read. */
const HEADERS: Record<string, string> = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers":
    "authorization, x-client-info, apikey, content-type, x-request-id, if-none-match",
  "access-control-expose-headers": "x-request-id, etag, retry-after, location",
};

/** The answer to a preflight request. */
export function preflight(request: Request, methods: string[]): Response {
  const asked = request.headers.get("access-control-request-headers");
  return new Response(null, {
    status: 204,
    headers: {
      ...HEADERS,
      // Clients add headers of their own, for tracing and the like, which do no harm.
      ...(asked && { "access-control-allow-headers": asked }),
      "access-control-allow-methods": [...new Set([...methods, "OPTIONS"])].join(", "),
      "access-control-max-age": "86400",
    },
  });
}

/** Adds the CORS headers and the request's id to a response. */
export function withCommonHeaders(response: Response, requestId: string): Response {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  headers.set("x-request-id", requestId);
  return new Response(response.body, { status: response.status, headers });
}
