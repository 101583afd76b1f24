/** One address for all servers: routes by path, checks API keys, answers preflights. */
import { setTimeout as delay } from "node:timers/promises";
import type { ApiRole, Keys } from "./keys.ts";
import { keyToRole } from "./keys.ts";
import { PortInUseError } from "./ports.ts";
import type { Signer } from "./signer.ts";

/** Answers a request whose path is as the client sent it, unless said otherwise. */
export type Service = (request: Request) => Promise<Response>;

export interface Routes {
  rest: Service;
  auth: Service;
  /** Its requests have lost the prefix `/storage/v1`. */
  storage: Service;
  /** Its requests have lost the prefix `/functions/v1`. */
  functions: Service;
}

export interface Gateway {
  port: number;
  /** Begins to serve; until then every request is answered with 503. */
  open(routes: Routes, keys: Keys, signer: Signer): void;
  stop(): Promise<void>;
}

const HOST = "127.0.0.1";
/** Paths of the Auth server that a browser opens without a key. */
const OPEN_AUTH = /^\/auth\/v1\/(verify|callback|authorize|sso\/saml|\.well-known)(\/|$)/;
const METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";
const STOP_PATIENCE_MS = 2_000;
const NO_REALTIME =
  "This local stack has no Realtime server: channels work with `supabase start` and on a hosted project. Poll here.";

/** Takes the port at once, so that a port in use is found before anything else is started. */
export function startGateway(port: number, log: (line: string) => void): Gateway {
  let handler: (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Promise<Response> =
    () => Promise.resolve(Response.json({ message: "The stack is starting" }, { status: 503 }));
  const abort = new AbortController();
  let pending = 0;
  let whenIdle = () => {};
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({
      hostname: HOST,
      port,
      signal: abort.signal,
      onListen: () => {},
      onError: (error) => {
        log(`gateway: ${error instanceof Error ? error.stack : error}`);
        return withCors(
          Response.json({ message: "An unexpected error occurred" }, { status: 500 }),
        );
      },
    }, (request, info) => {
      pending++;
      info.completed.catch(() => {}).finally(() => {
        if (--pending === 0) whenIdle();
      });
      return handler(request, info);
    });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) throw new PortInUseError(port, "--port");
    throw error;
  }
  return {
    port: server.addr.port,
    open(routes, keys, signer) {
      handler = createHandler(routes, keys, signer, server.addr.port, log);
    },
    async stop() {
      // Requests in flight get a moment; connections that are merely kept alive get none.
      handler = () =>
        Promise.resolve(Response.json({ message: "The stack is stopping" }, { status: 503 }));
      if (pending > 0) {
        const { promise: idle, resolve } = Promise.withResolvers<void>();
        whenIdle = resolve;
        await Promise.race([idle, delay(STOP_PATIENCE_MS, undefined, { ref: false })]);
      }
      abort.abort();
      await server.finished;
    },
  };
}

function createHandler(
  routes: Routes,
  keys: Keys,
  signer: Signer,
  port: number,
  log: (line: string) => void,
) {
  const roleOf = keyToRole(keys);
  let askedForRealtime = false;

  return async (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>): Promise<Response> => {
    const url = new URL(request.url);
    const { pathname } = url;
    if (pathname.startsWith("/functions/v1/")) {
      // Functions answer preflights and check callers themselves.
      return await routes.functions(
        forward(request, url, "/functions/v1", headersFor(request, info, port)),
      );
    }
    if (request.method === "OPTIONS" && request.headers.has("access-control-request-method")) {
      return preflight(request);
    }
    if (pathname === "/auth/v1/.well-known/jwks.json") {
      return withCors(Response.json(signer.publicKeys, {
        headers: { "cache-control": "public, max-age=600" },
      }));
    }
    if (pathname === "/auth/v1/health" || pathname === "/health") {
      return withCors(Response.json({ name: "stowage-stack", status: "ok" }));
    }
    if (pathname === "/realtime/v1" || pathname.startsWith("/realtime/v1/")) {
      // A client that is refused a WebSocket is not shown the answer, and tries for ever.
      if (!askedForRealtime) log(`realtime: ${NO_REALTIME}`);
      askedForRealtime = true;
      return withCors(Response.json({ message: NO_REALTIME }, { status: 404 }));
    }
    const headers = headersFor(request, info, port);
    if (pathname.startsWith("/storage/v1/")) {
      await setBearer(headers, url, roleOf, keys, signer);
      headers.set("x-forwarded-prefix", "/storage/v1");
      return withCors(await routes.storage(forward(request, url, "/storage/v1", headers)));
    }
    const isRest = pathname === "/rest/v1" || pathname.startsWith("/rest/v1/");
    if (!isRest && !pathname.startsWith("/auth/v1/")) {
      return withCors(
        Response.json({ message: "no Route matched with those values" }, { status: 404 }),
      );
    }
    if (isRest || !OPEN_AUTH.test(pathname)) {
      const refusal = checkKey(headers, url, roleOf);
      if (refusal) return withCors(refusal);
    }
    await setBearer(headers, url, roleOf, keys, signer);
    url.searchParams.delete("apikey");
    const response = await (isRest ? routes.rest : routes.auth)(forward(request, url, "", headers));
    return withCors(response);
  };
}

/** As the platform's gateway: the key is a header, or a parameter where headers cannot be set. */
function keyOf(headers: Headers, url: URL): string | undefined {
  return headers.get("apikey") ?? url.searchParams.get("apikey") ?? undefined;
}

function checkKey(
  headers: Headers,
  url: URL,
  roleOf: (key: string) => ApiRole | undefined,
): Response | undefined {
  const key = keyOf(headers, url);
  if (!key) {
    return Response.json({
      message: "No API key found in request",
      hint: "No `apikey` request header or url param was found.",
    }, { status: 401 });
  }
  if (!roleOf(key)) {
    return Response.json({
      message: "Invalid API key",
      hint: "Double check your Supabase `anon` or `service_role` API key.",
    }, { status: 401 });
  }
}

/** A user's token stays, under the shared secret; a key, which is no token, becomes its role's. */
async function setBearer(
  headers: Headers,
  url: URL,
  roleOf: (key: string) => ApiRole | undefined,
  keys: Keys,
  signer: Signer,
): Promise<void> {
  const bearer = /^Bearer (.+)$/i.exec(headers.get("authorization") ?? "")?.[1]?.trim();
  if (bearer && !roleOf(bearer)) {
    headers.set("authorization", `Bearer ${await signer.toShared(bearer)}`);
    return;
  }
  const role = roleOf(bearer ?? keyOf(headers, url) ?? "");
  if (role) {
    headers.set("authorization", `Bearer ${role === "anon" ? keys.anonKey : keys.serviceRoleKey}`);
  }
}

/** The request's headers and what a proxy adds to them. */
function headersFor(
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
  port: number,
): Headers {
  const headers = new Headers(request.headers);
  const before = headers.get("x-forwarded-for");
  headers.set("x-forwarded-for", [before, info.remoteAddr.hostname].filter(Boolean).join(", "));
  const defaults = {
    "x-forwarded-host": headers.get("host") ?? `${HOST}:${port}`,
    "x-forwarded-port": String(port),
    "x-forwarded-proto": "http",
  };
  for (const [name, value] of Object.entries(defaults)) {
    if (!headers.has(name)) headers.set(name, value);
  }
  return headers;
}

/** The request without `prefix`; its body is handed on as it arrives, and that its client has gone as it happens. */
function forward(request: Request, url: URL, prefix: string, headers: Headers): Request {
  const target = new URL(url);
  target.pathname = url.pathname.slice(prefix.length);
  return new Request(target, {
    method: request.method,
    headers,
    body: request.body,
    redirect: "manual",
    signal: request.signal,
  });
}

function preflight(request: Request): Response {
  return new Response(null, {
    status: 200,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-allow-methods": METHODS,
      "access-control-allow-headers": request.headers.get("access-control-request-headers") ?? "",
      "access-control-max-age": "3600",
    },
  });
}

function withCors(response: Response): Response {
  const headers = new Headers(response.headers);
  if (!headers.has("access-control-allow-origin")) headers.set("access-control-allow-origin", "*");
  return new Response(response.body, {
    status: response.status,
    statusText: response.statusText,
    headers,
  });
}
