import type { z } from "zod";
import { parseInput, readJson } from "../_shared/body.ts";
import { AppError, type ErrorCode, invalidField, type Mistake } from "../_shared/errors.ts";
import { refuseText } from "../_shared/json_values.ts";
import { mistake } from "../_shared/mistakes.ts";
import { type Context, type Method, type Route, route } from "../_shared/serve.ts";
import { etagOf, matches } from "./etag.ts";
import type { Resource } from "./store.ts";

/** What an answer consists of. The ETag and 304 are made of it. */
export interface Answer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

/** One call of an operation, checked. */
export interface Call<P, Q, B> extends Omit<Context, "params"> {
  params: P;
  query: Q;
  body: B;
  /** The Idempotency-Key, and a hash of what is asked for, where the operation creates. */
  idempotency?: { key: string; fingerprint: string };
  /** The If-Match header, where the operation changes something. */
  ifMatch: string | null;
}

/** What a request and its answer look like; the request is one that tests send. */
export interface Example {
  /** By name of the parameter. */
  params?: Record<string, string>;
  query?: Record<string, string>;
  body?: unknown;
  response?: unknown;
}

/** What comes back: a resource, a page of one, another document, text, or nothing. */
export type Response_ =
  | { one: Resource }
  | { page: Resource }
  | { document: z.ZodType }
  | { text: string }
  | { nothing: true };

/** One operation of the API. Routes, the OpenAPI document and the tests are all made of these. */
export interface Operation {
  id: string;
  method: Method;
  /** Such as `/apps/:appId`. */
  path: string;
  tag: string;
  summary: string;
  description?: string;
  params: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodType;
  /** Creates something: takes an Idempotency-Key. */
  creates?: boolean;
  /** Changes something that has an ETag: takes If-Match. */
  conditional?: boolean;
  status: 200 | 201 | 204;
  returns: Response_;
  /** Errors of its own, beside those that every operation has. */
  errors?: ErrorCode[];
  example: Example;
  // deno-lint-ignore no-explicit-any -- what it is called with is what its schemas say; see `operation`
  handle(call: Call<any, any, any>): Promise<Answer | Response>;
}

type OutputOf<S, Otherwise> = S extends z.ZodType ? z.output<S> : Otherwise;

/** An operation whose handler gets what its schemas say. */
export function operation<
  P extends z.ZodObject,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(
  spec: Omit<Operation, "params" | "query" | "body" | "handle"> & {
    params: P;
    query?: Q;
    body?: B;
    handle(
      call: Call<z.output<P>, OutputOf<Q, undefined>, OutputOf<B, undefined>>,
    ): Promise<Answer | Response>;
  },
): Operation {
  return spec as unknown as Operation;
}

const MAX_KEY_LENGTH = 200;
const IDEMPOTENCY_KEY = new RegExp(`^[!-~]{1,${MAX_KEY_LENGTH}}$`);

/** The route of an operation: checks what came, calls it, and makes its answer a response. */
export function toRoute(spec: Operation): Route {
  return route(spec.method, spec.path, async (context) => {
    const params = spec.params.safeParse(context.params);
    // What is no id cannot be found: the same answer as for what is hidden or missing.
    if (!params.success) throw new AppError("not_found");
    const query = readQuery(context.url, spec.query);
    const body = spec.body ? await readJson(context.request, spec.body) : undefined;
    const { headers } = context.request;
    const answer = await spec.handle({
      ...context,
      params: params.data,
      query,
      body,
      ifMatch: spec.conditional ? headers.get("if-match") : null,
      idempotency: spec.creates ? await readKey(spec, context, body) : undefined,
    });
    return answer instanceof Response ? answer : await respond(answer, context);
  });
}

function readQuery(url: URL, schema: z.ZodObject | undefined): unknown {
  const given: Record<string, string> = {};
  const errors: Mistake[] = [];
  for (const [name, value] of url.searchParams) {
    const wrong = refuseText(value) ?? refuseText(name);
    if (wrong) errors.push(mistake("invalid_value", ["query"], `A parameter ${wrong}`));
    else if (!schema || !Object.hasOwn(schema.shape, name)) {
      errors.push(mistake("unrecognized_key", [name], `There is no parameter "${name}" here.`));
    } else if (Object.hasOwn(given, name)) {
      errors.push(mistake("duplicate", [name], "This parameter is there twice."));
    } else given[name] = value;
  }
  if (errors.length > 0) {
    const [first] = errors;
    throw new AppError("invalid_request", `${first.path}: ${first.message}`, {
      errors: errors.slice(0, 10),
    });
  }
  return schema ? parseInput(given, schema) : undefined;
}

async function readKey(spec: Operation, { request, url }: Context, body: unknown) {
  const key = request.headers.get("idempotency-key");
  if (key === null) return undefined;
  if (!IDEMPOTENCY_KEY.test(key)) {
    throw invalidField("Idempotency-Key", `takes 1 to ${MAX_KEY_LENGTH} visible ASCII characters.`);
  }
  const asked = `${spec.id}\n${url.pathname}\n${JSON.stringify(sorted(body))}`;
  const digest = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(asked)),
  );
  return { key, fingerprint: digest.toHex() };
}

/** The value with the keys of its objects in order, so that equal bodies are equal texts. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)
      .map(([key, child]) => [key, sorted(child)]),
  );
}

async function respond({ status, body, headers }: Answer, { request }: Context): Promise<Response> {
  if (body === undefined) return new Response(null, { status, headers });
  const text = JSON.stringify(body);
  const etag = await etagOf(text);
  const known = request.headers.get("if-none-match");
  if (request.method !== "POST" && known !== null && matches(known, etag)) {
    return new Response(null, { status: 304, headers: { ...headers, etag } });
  }
  return new Response(text, {
    status,
    headers: {
      "content-type": "application/json",
      // Kept by the caller's browser alone, and asked about each time.
      ...(request.method === "GET" && { "cache-control": "private, no-cache" }),
      etag,
      ...headers,
    },
  });
}
