/**
 * The route table: which handler answers a method and path, and under which operation's name policies see it.
 *
 * Groups of routes are lists of `Route`; adding a group means adding its list in `mod.ts`.
 */
import { errors } from "./errors.ts";
import type { RequestContext } from "./context.ts";

/** Who may call a route. */
export type Access =
  /** A valid token or key is needed. */
  | "required"
  /** As required, but a missing one is told as a bad one. */
  | "token"
  /** A valid one counts; without one, or with a bad one, the caller is anonymous. */
  | "optional"
  /** As required, and it must be the service's. */
  | "service"
  /** The URL itself carries the right, or the bucket is public: no token is looked at. */
  | "none";

export interface Route {
  method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS";
  /** `/object/info/:bucket/*`: a named segment, and a rest that may be empty. */
  path: string;
  /** What `storage.operation()` answers while the route works. */
  operation: string;
  access: Access;
  handle(context: RequestContext): Promise<Response> | Response;
}

export interface Match {
  route: Route;
  /** Decoded; the rest under `*`. */
  params: Record<string, string>;
}

interface Compiled {
  route: Route;
  segments: string[];
}

export class Router {
  readonly #routes: Compiled[];

  constructor(routes: Route[]) {
    this.#routes = routes
      .map((route) => ({ route, segments: route.path.split("/").slice(1) }))
      .sort((a, b) => bySpecificity(a.segments, b.segments));
  }

  /** The most specific route that fits, or a 404. */
  match(method: string, pathname: string, url: string): Match {
    const parts = pathname.split("/").slice(1);
    for (const { route, segments } of this.#routes) {
      if (route.method !== method) continue;
      const params = fit(segments, parts, pathname);
      if (params) return { route, params };
    }
    throw errors.routeNotFound(method, url);
  }
}

const rank = (segment: string | undefined) =>
  segment === undefined ? 3 : segment === "*" ? 2 : segment.startsWith(":") ? 1 : 0;

/** Fixed segments before named ones, named ones before a rest, left to right. */
function bySpecificity(a: string[], b: string[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = rank(a[index]) - rank(b[index]);
    if (difference !== 0) return difference;
  }
  return 0;
}

function fit(
  segments: string[],
  parts: string[],
  pathname: string,
): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    if (segment === "*") {
      if (parts.length <= index) return undefined;
      params["*"] = decode(parts.slice(index).join("/"), pathname);
      return params;
    }
    const part = parts[index];
    if (part === undefined) return undefined;
    if (segment.startsWith(":")) {
      if (part === "") return undefined;
      params[segment.slice(1)] = decode(part, pathname);
    } else if (segment !== part) {
      return undefined;
    }
  }
  return parts.length === segments.length ? params : undefined;
}

function decode(text: string, pathname: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw errors.unreadableBody(`'${pathname}' is not a valid url component`);
  }
}
