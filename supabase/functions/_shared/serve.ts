import { type Caller, type Client, identify, serviceClient } from "./caller.ts";
import { preflight, withCommonHeaders } from "./cors.ts";
import type { Environment } from "./environment.ts";
import { AppError } from "./errors.ts";
import { problemResponse, toAppError } from "./problem.ts";

/** What a handler gets besides the request. */
export interface Context<C extends Caller | null = Caller> {
  request: Request;
  url: URL;
  /** The named parts of the path. */
  params: Record<string, string>;
  caller: C;
  requestId: string;
  environment: Environment;
  /** Acts past row security: only for what the caller was found to be allowed. */
  service(): Client;
}

export interface Route {
  method: "GET" | "POST" | "DELETE";
  /** Below the function's name, such as `/:id/complete`. */
  path: string;
  /** Answers without a caller when true. */
  open?: boolean;
  handle(context: Context): Promise<Response> | Response;
}

/** A route for everybody, also without a key. */
export function openRoute(
  method: Route["method"],
  path: string,
  handle: (context: Context<null>) => Promise<Response> | Response,
): Route {
  return { method, path, open: true, handle: handle as unknown as Route["handle"] };
}

export function route(method: Route["method"], path: string, handle: Route["handle"]): Route {
  return { method, path, handle };
}

/**
 * The entry of a function: routes, CORS, who calls, and one shape for all errors. Errors of the caller's making are not
 * logged; ours are, with the request's id and the cause, never with headers or bodies.
 */
export function createHandler(name: string, environment: Environment, routes: Route[]) {
  const compiled = routes.map((route) => ({ route, pattern: compile(route.path) }));
  const prefix = new RegExp(`^(/functions/v1)?/${name}(?=/|$)`);
  return async (request: Request): Promise<Response> => {
    const requestId = crypto.randomUUID();
    const url = new URL(request.url);
    const path = url.pathname.replace(prefix, "").replace(/\/+$/, "") || "/";
    const matches = compiled.flatMap(({ route, pattern }) => {
      const groups = pattern.exec(path)?.groups;
      return groups || pattern.test(path) ? [{ route, params: { ...groups } }] : [];
    });
    if (request.method === "OPTIONS") {
      return preflight(
        request,
        matches.map(({ route }) => route.method),
      );
    }
    try {
      const match = matches.find(({ route }) =>
        route.method === (request.method === "HEAD" ? "GET" : request.method)
      );
      if (!match) throw unrouted(matches.map(({ route }) => route.method));
      const caller = match.route.open
        ? null as unknown as Caller
        : await identify(request, environment);
      const service = () => serviceClient(environment);
      const context = {
        request,
        url,
        params: match.params,
        caller,
        requestId,
        environment,
        service,
      };
      return withCommonHeaders(await match.route.handle(context), requestId);
    } catch (thrown) {
      const error = toAppError(thrown);
      if (error.entry.fault === "ours") logFault(name, requestId, error);
      return withCommonHeaders(problemResponse(error, requestId), requestId);
    } finally {
      // A body that nobody read would keep its connection.
      if (request.body && !request.bodyUsed) await request.body.cancel().catch(() => {});
    }
  };
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

function compile(path: string): RegExp {
  return new RegExp(`^${path.replace(/:(\w+)/g, "(?<$1>[^/]+)")}$`);
}

function unrouted(methods: string[]): AppError {
  return methods.length === 0
    ? new AppError("not_found")
    : new AppError("method_not_allowed", undefined, {
      headers: { allow: [...methods, "OPTIONS"].join(", ") },
    });
}
