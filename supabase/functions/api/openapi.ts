/** The OpenAPI 3.1 document, made from the operations and their zod schemas. */
import { z } from "zod";
import { CATALOGUE, type ErrorCode } from "../_shared/errors.ts";
import { listEntry } from "./list.ts";
import type { Operation, Response_ } from "./operation.ts";
import { operations } from "./operations.ts";

type Json = Record<string, unknown>;

/** What every operation may answer. */
const COMMON: ErrorCode[] = [
  "invalid_request",
  "unauthenticated",
  "not_found",
  "uri_too_long",
  "rate_limited",
  "headers_too_large",
  "internal",
  "unavailable",
];
const WITH_BODY: ErrorCode[] = ["request_timeout", "request_too_large", "unsupported_media_type"];
const CREATING: ErrorCode[] = ["idempotency_key_reused", "idempotency_key_in_use"];

/** Every error that an operation names, in the catalogue's order of statuses. */
export function errorsOf({ errors = [], body, creates }: Operation): ErrorCode[] {
  const codes = [...COMMON, ...(body ? WITH_BODY : []), ...(creates ? CREATING : []), ...errors];
  return [...new Set(codes)].sort((a, b) => CATALOGUE[a].status - CATALOGUE[b].status);
}

export function openApiDocument(): Json {
  const paths: Record<string, Json> = {};
  for (const operation of operations) {
    const path = templateOf(operation.path);
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describe(operation) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Stowage",
      version: "1.0.0",
      summary: "Apps, their versions, files, builds, runs, schedules and webhooks.",
      description:
        "Acts with the caller's own rights: what is not the caller's to see is not found. Errors are problems (RFC 9457) " +
        "with a stable `code`. A list answers a page, and `next_cursor` asks for the next; with an `Idempotency-Key` a " +
        "request may be sent again, and with `If-Match` it changes only what its caller has seen. `docs/api.md` in the " +
        "repository has the details.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/functions/v1/api", description: "Edge Function of the project" }],
    security: [{ user: [], publishableKey: [] }, { secretKey: [] }, { serviceRole: [] }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: componentSchemas(),
      responses: componentResponses(),
      parameters: PARAMETERS,
      headers: HEADERS,
      securitySchemes: SECURITY,
    },
  };
}

let text: string | undefined;

/** The text as it is served and as the copy in docs/ is kept. */
export function openApiText(): string {
  return text ??= JSON.stringify(openApiDocument(), null, 2) + "\n";
}

/** `/apps/:appId` as OpenAPI writes it. */
export function templateOf(path: string): string {
  return path.replace(/:(\w+)/g, "{$1}");
}

function describe(operation: Operation): Json {
  const { id, tag, summary, description, body, status, example } = operation;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description && { description }),
    parameters: parametersOf(operation),
    ...(body && {
      requestBody: {
        required: true,
        content: { "application/json": { schema: schemaOf(body, "input"), example: example.body } },
      },
    }),
    responses: { [status]: success(operation), ...failures(operation) },
  };
}

function parametersOf({ params, query, creates, conditional, method, example }: Operation): Json[] {
  const path = schemaOf(params, "input").properties as Record<string, Json> ?? {};
  const asked = query ? schemaOf(query, "input") : {};
  return [
    ...Object.entries(path).map(([name, schema]) => ({
      name,
      in: "path",
      required: true,
      schema,
      example: example.params?.[name],
    })),
    ...Object.entries(asked.properties as Record<string, Json> ?? {}).map(
      ([name, { description, ...schema }]) => ({
        name,
        in: "query",
        ...((asked.required as string[] | undefined)?.includes(name) && { required: true }),
        ...(description !== undefined && { description }),
        schema,
        ...(schema.type === "array" && { style: "form", explode: false }),
        ...(example.query?.[name] !== undefined && {
          example: typed(example.query[name], schema.type),
        }),
      }),
    ),
    ...(creates ? [{ $ref: "#/components/parameters/IdempotencyKey" }] : []),
    ...(conditional ? [{ $ref: "#/components/parameters/IfMatch" }] : []),
    ...(method === "GET" ? [{ $ref: "#/components/parameters/IfNoneMatch" }] : []),
    { $ref: "#/components/parameters/RequestId" },
  ];
}

/** A parameter's text as the value that it stands for. */
function typed(text: string, type: unknown): unknown {
  return type === "integer" ? Number(text) : type === "array" ? text.split(",") : text;
}

function success({ returns, status, creates, example }: Operation): Json {
  const names = [
    ...("nothing" in returns || "text" in returns ? [] : ["ETag"]),
    ...(creates ? ["Location", "Idempotency-Replayed"] : []),
    ...("page" in returns ? ["Link"] : []),
    ...["X-Request-Id", "RateLimit", "RateLimit-Policy"],
  ];
  const headers = Object.fromEntries(
    names.map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
  return {
    description: status === 201 ? "Created." : status === 204 ? "Done." : "As asked.",
    headers,
    ...contentOf(returns, example.response),
  };
}

function contentOf(returns: Response_, example: unknown): Json {
  if ("nothing" in returns) return {};
  if ("text" in returns) {
    return { content: { "text/plain": { schema: { type: "string" }, example: returns.text } } };
  }
  const schema = "one" in returns
    ? { $ref: `#/components/schemas/${returns.one.name}` }
    : "page" in returns
    ? pageOf(entryName(returns.page.name, returns.page.list.omits))
    : schemaOf(returns.document, "output");
  return { content: { "application/json": { schema, example } } };
}

function pageOf(name: string): Json {
  return {
    type: "object",
    required: ["data", "next_cursor"],
    properties: {
      data: { type: "array", items: { $ref: `#/components/schemas/${name}` } },
      next_cursor: {
        type: ["string", "null"],
        description: "Given as `cursor`, it asks for the next page; null on the last.",
      },
    },
  };
}

function entryName(name: string, omits: string[] | undefined): string {
  return omits?.length ? `${name}Entry` : name;
}

/** One response a status. */
function failures(operation: Operation): Json {
  return Object.fromEntries(
    [...byStatus(operation)].map(([status, codes]) => [status, {
      $ref: `#/components/responses/${responseName(status, codes)}`,
    }]),
  );
}

function byStatus(operation: Operation): Map<number, ErrorCode[]> {
  return Map.groupBy(errorsOf(operation), (code) => CATALOGUE[code].status);
}

/** Responses are said once, and named by their codes: `409_conflict_idempotency_key_in_use`. */
function responseName(status: number, codes: ErrorCode[]): string {
  return [status, ...codes].join("_");
}

function componentResponses(): Json {
  const responses: Record<string, Json> = {};
  for (const [status, codes] of operations.flatMap((operation) => [...byStatus(operation)])) {
    responses[responseName(status, codes)] = {
      description: codes.map((code) => `\`${code}\`: ${CATALOGUE[code].title}.`).join(" "),
      headers: {
        "X-Request-Id": { $ref: "#/components/headers/X-Request-Id" },
        ...(codes.some((code) => CATALOGUE[code].retry) && {
          "Retry-After": { $ref: "#/components/headers/Retry-After" },
        }),
      },
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
    };
  }
  return Object.fromEntries(Object.entries(responses).sort(([a], [b]) => a < b ? -1 : 1));
}

function componentSchemas(): Record<string, Json> {
  const schemas: Record<string, Json> = {};
  for (const { returns } of operations) {
    if ("one" in returns) schemas[returns.one.name] = schemaOf(returns.one.schema, "output");
    if ("page" in returns) {
      const { name, list } = returns.page;
      schemas[entryName(name, list.omits)] = schemaOf(listEntry(returns.page), "output");
    }
  }
  schemas.Problem = PROBLEM;
  return Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => a < b ? -1 : 1));
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io,
    target: "draft-2020-12",
    // The formats say it, in a page of regular expressions less.
    override({ jsonSchema }) {
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
    },
  }) as Json;
  // A later version may answer with more.
  if (io === "output") delete json.additionalProperties;
  return json;
}

const PROBLEM: Json = {
  type: "object",
  description: "RFC 9457.",
  required: ["type", "title", "status", "code", "instance", "retryable"],
  properties: {
    type: { type: "string", description: "urn:stowage:error: and the code." },
    title: { type: "string" },
    status: { type: "integer" },
    code: { type: "string", enum: Object.keys(CATALOGUE) },
    detail: { type: "string" },
    instance: { type: "string", description: "Names the request, as X-Request-Id does." },
    retryable: { type: "boolean", description: "The same request may succeed later." },
    errors: {
      type: "array",
      items: {
        type: "object",
        required: ["code", "message", "path", "pointer"],
        properties: {
          code: { type: "string" },
          message: { type: "string" },
          path: { type: "string", description: "Such as permissions[0].scope." },
          pointer: { type: "string", description: "The same place as a JSON Pointer (RFC 6901)." },
        },
      },
    },
  },
};

const header = (name: string, description: string, schema: Json = { type: "string" }) => ({
  name,
  in: "header",
  description,
  schema,
});

const PARAMETERS: Json = {
  IdempotencyKey: header(
    "Idempotency-Key",
    "1 to 200 visible ASCII characters of the caller's own. The same request with the same key within a day creates " +
      "nothing more, and is answered alike.",
    { type: "string", minLength: 1, maxLength: 200, pattern: "^[!-~]+$" },
  ),
  IfMatch: header("If-Match", "An ETag: nothing happens if the resource has another by now."),
  IfNoneMatch: header("If-None-Match", "An ETag: 304 if the answer would be the same."),
  RequestId: header("X-Request-Id", "Comes back in the answer; one is made if there is none.", {
    type: "string",
    pattern: "^[A-Za-z0-9._-]{1,128}$",
  }),
};

const described = (description: string, schema: Json = { type: "string" }) => ({
  description,
  schema,
});

const HEADERS: Json = {
  ETag: described("Names this representation."),
  Location: described("Where the new thing is, relative to the request."),
  Link: described('`rel="next"`: the next page.'),
  "Idempotency-Replayed": described("The answer is one that was given before.", {
    type: "string",
    enum: ["true"],
  }),
  "X-Request-Id": described("Names the request in our logs."),
  "Retry-After": described("Seconds after which to try again.", { type: "integer" }),
  RateLimit: described("What is left, and for how long: draft-ietf-httpapi-ratelimit-headers."),
  "RateLimit-Policy": described("How many requests in how many seconds."),
};

const SECURITY: Json = {
  user: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "A user's access token.",
  },
  publishableKey: {
    type: "apiKey",
    in: "header",
    name: "apikey",
    description: "The publishable key, or the legacy anon key, beside a user's token.",
  },
  secretKey: {
    type: "apiKey",
    in: "header",
    name: "apikey",
    description: "A secret key: the service.",
  },
  serviceRole: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "The legacy service_role key: the service.",
  },
};
