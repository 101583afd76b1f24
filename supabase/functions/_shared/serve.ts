import { Hono } from "hono";
import { type Caller, type Client, identify, serviceClient } from "./caller.ts";
import { preflight, withCommonHeaders } from "./cors.ts";
import type { Environment } from "./environment.ts";
import { AppError } from "./errors.ts";
import { REQUEST_DEADLINE_MS } from "./limits.ts";
import { problemResponse, toAppError } from "./problem.ts";
import { fetchUntil } from "./queries.ts";
import { checkSizes, requestIdOf } from "./request.ts";

/** What a handler gets besides the request. */
export interface Context<C extends Caller | null = Caller> {
  request: Request;
  url: URL;
  /** The named parts of the path, decoded. */
  params: Record<string, string>;
  caller: C;
  requestId: string;
  environment: Environment;
  /** For clients that act for this request. What it fetches ends with the request, unless the route lasts. */
  fetch?: typeof fetch;
  /** Acts past row security: only for what the caller was found to be allowed. */
  service(): Client;
}

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

export interface Route {
  method: Method;
  /** Below the function's name, such as `/:id/complete`. */
  path: string;
  /** Answers without a caller when true. */
  open?: boolean;
  /**
   * Goes on when the client goes away: what it does takes several steps, which are better taken than left, or is wanted by
   * others too. The queries of all other routes end with their request.
   */
  lasting?: boolean;
  handle(context: Context): Promise<Response> | Response;
}

export interface ServeOptions {
  /** Runs before each route that has a caller; refuses by throwing. What it returns are headers for the answer. */
  admit?: (context: Context) => Promise<Record<string, string>>;
  /** In milliseconds; otherwise those of all functions. */
  deadlines?: { request?: number; query?: number };
}

type RouteOptions = Pick<Route, "lasting">;

/** A route for everybody, also without a key. */
export function openRoute(
  method: Method,
  path: string,
  handle: (context: Context<null>) => Promise<Response> | Response,
  options: RouteOptions = {},
): Route {
  return { method, path, open: true, handle: handle as unknown as Route["handle"], ...options };
}

export function route(
  method: Method,
  path: string,
  handle: Route["handle"],
  options: RouteOptions = {},
): Route {
  return { method, path, handle, ...options };
}

/** What the router carries from the entry to the route. */
interface Entry {
  requestId: string;
  /** Ends when the client goes away, and when the request's time is over. */
  fetch: typeof fetch;
  /** As the route says, once it is known. */
  lasting?: boolean;
  headers: Record<string, string>;
}

/**
 * The entry of a function: limits, routes, CORS, who calls, and one shape for all errors. Errors of the caller's making
 * are not logged; ours are, with the request's id and the cause, never with headers or bodies.
 */
export function createHandler(
  name: string,
  environment: Environment,
  routes: Route[],
  options: ServeOptions = {},
) {
  const router = createRouter(name, environment, routes, options);
  const { request: deadline = REQUEST_DEADLINE_MS, query } = options.deadlines ?? {};
  return async (request: Request): Promise<Response> => {
    const requestId = requestIdOf(request);
    const ends = new AbortController();
    const bounded = fetchUntil(ends.signal, environment, query);
    const entry: Entry = { requestId, fetch: bounded, headers: {} };
    const leave = () => ends.abort(new AppError("client_gone"));
    request.signal.addEventListener("abort", leave, { once: true });
    // Cleared below: a timer of its own that every request leaves behind would hold on to it for minutes.
    const timer = setTimeout(() => ends.abort(new AppError("timed_out")), deadline);
    try {
      checkSizes(request);
      const response = await router.fetch(request, entry);
      return withCommonHeaders(response, requestId, entry.headers);
    } catch (thrown) {
      // Whatever an aborted query said, the reason is that nobody waits any more, or that it took too long. What goes on to
      // its end fails for reasons of its own.
      const isCut = ends.signal.aborted && !entry.lasting;
      const error = toAppError(isCut ? ends.signal.reason : thrown);
      if (error.entry.fault === "ours") logFault(name, requestId, error);
      return withCommonHeaders(problemResponse(error, requestId), requestId, entry.headers);
    } finally {
      clearTimeout(timer);
      // A body that nobody read would keep its connection.
      if (request.body && !request.bodyUsed) await request.body.cancel().catch(() => {});
    }
  };
}

function createRouter(
  name: string,
  environment: Environment,
  routes: Route[],
  options: ServeOptions,
) {
  const prefix = new RegExp(`^(/functions/v1)?/${name}(?=/|$)`);
  const router = new Hono<{ Bindings: Entry }>({
    getPath: (request) =>
      new URL(request.url).pathname.replace(prefix, "").replace(/\/+$/, "") || "/",
  });
  router.onError((error) => {
    throw error;
  });
  for (const { method, path, open, lasting, handle } of routes) {
    router.on(method, path, async ({ req, env }) => {
      const { requestId } = env;
      env.lasting = lasting;
      const fetch = lasting ? undefined : env.fetch;
      const caller = open ? null as unknown as Caller : await identify(req.raw, environment, fetch);
      const context: Context = {
        request: req.raw,
        url: new URL(req.url),
        params: req.param(),
        caller,
        requestId,
        environment,
        fetch,
        service: () => serviceClient(environment, fetch),
      };
      if (!open && options.admit) env.headers = await options.admit(context);
      return await handle(context);
    });
  }
  // After the routes: whatever comes here names a path that is there, with a method that it does not take.
  for (const path of new Set(routes.map((route) => route.path))) {
    const methods = routes.filter((route) => route.path === path).map((route) => route.method);
    router.all(path, ({ req }) => {
      if (req.raw.method === "OPTIONS") return preflight(req.raw, methods);
      throw new AppError("method_not_allowed", undefined, {
        headers: { allow: [...methods, "OPTIONS"].join(", ") },
      });
    });
  }
  router.notFound(({ req }) => {
    if (req.raw.method === "OPTIONS") return preflight(req.raw, []);
    throw new AppError("not_found");
  });
  return router;
}

/** One line of JSON on standard error: what the platform's log explorer can search. */
export function logFault(name: string, requestId: string, error: unknown): void {
  const { code, cause, message, stack } = error as AppError & {
    cause?: { message?: string; code?: string };
  };
  console.error(JSON.stringify({
    level: "error",
    function: name,
    request_id: requestId,
    code,
    message: cause?.message ?? message,
    cause_code: cause?.code,
    stack: (cause instanceof Error ? cause.stack : stack)?.split("\n").slice(1, 6).map((
      line: string,
    ) => line.trim()),
  }));
}
