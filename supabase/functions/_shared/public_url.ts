import type { Environment } from "./environment.ts";

/**
 * A signed URL under the address that the caller can reach. Inside containers the API has another one (a bare host name
 * such as `kong`), and then the caller's own is what the gateway says it was asked under.
 */
export function publicUrl(
  signed: string,
  request: Request,
  { supabase, publicUrl }: Environment,
): string {
  const url = new URL(signed, supabase.url);
  const base = publicUrl ?? forwardedBase(request, new URL(supabase.url));
  return base ? new URL(url.pathname + url.search, base).href : url.href;
}

function forwardedBase(request: Request, own: URL): string | undefined {
  const internal = own.protocol === "http:" && /^[a-z][a-z0-9_-]*$/.test(own.hostname) &&
    own.hostname !== "localhost";
  const host = request.headers.get("x-forwarded-host");
  if (!internal || !host) return undefined;
  const port = request.headers.get("x-forwarded-port");
  const protocol = request.headers.get("x-forwarded-proto") ?? "http";
  return `${protocol}://${host.includes(":") || !port ? host : `${host}:${port}`}`;
}
