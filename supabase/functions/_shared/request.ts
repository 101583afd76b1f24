/** What is checked of every request before anything else looks at it. */
import { AppError } from "./errors.ts";
import { MAX_HEADER_BYTES, MAX_URL_LENGTH } from "./limits.ts";

const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** The client's X-Request-Id, if it is one that can stand in a log; else a new one. */
export function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id") ?? "";
  return REQUEST_ID.test(given) ? given : crypto.randomUUID();
}

/** Refuses a URL or headers that no client of ours sends: 414 and 431. */
export function checkSizes(request: Request): void {
  if (request.url.length > MAX_URL_LENGTH) {
    throw new AppError("uri_too_long", `A URL takes ${MAX_URL_LENGTH} characters.`);
  }
  let bytes = 0;
  for (const [name, value] of request.headers) bytes += name.length + value.length;
  if (bytes > MAX_HEADER_BYTES) {
    throw new AppError("headers_too_large", `All headers together take ${MAX_HEADER_BYTES} bytes.`);
  }
}
