/** What bad requests are sent to: every route of every function. A function that is not here fails the test. */
import { z } from "zod";
import type { Route } from "../../_shared/serve.ts";
import { openApiDocument } from "../../api/openapi.ts";
import { routes as api } from "../../api/handler.ts";
import { routes as downloads } from "../../downloads/handler.ts";
import { routes as manifests } from "../../manifests/handler.ts";
import { manifestJsonSchema } from "../../_shared/manifest/json_schema.ts";
import { readRoutes } from "../../packages/handler.ts";
import { jobRoutes } from "../../packages/jobs.ts";
import { lifecycleRoutes } from "../../packages/lifecycle.ts";
import { descriptionSchema, jobSchema, reasonSchema } from "../../packages/schema.ts";
import { tokenSchema } from "../../downloads/schema.ts";
import { routes as uploads } from "../../uploads/handler.ts";
import { beginSchema } from "../../uploads/schema.ts";
import { routes as webhooks } from "../../webhooks/handler.ts";

/** JSON Schema. */
export type Schema = Record<string, unknown>;

export interface Target {
  function: string;
  method: string;
  /** Such as `/:id/complete`. */
  path: string;
  /** What a body should be like, where it is JSON. */
  body?: Schema;
  /** Names of parameters in the query, and what they should be like. */
  query: Record<string, Schema>;
}

function jsonSchema(schema: z.ZodType): Schema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Schema;
}

/** Bodies of the functions without an OpenAPI document, by method and path. */
const BODIES: Record<string, Record<string, Schema>> = {
  uploads: { "POST /": jsonSchema(beginSchema) },
  downloads: {
    "POST /": {
      type: "object",
      properties: {
        file_id: { type: "string", format: "uuid" },
        output_id: { type: "string", format: "uuid" },
        path: { type: "string" },
        bucket: { type: "string", enum: ["app-storage", "app-logs"] },
        filename: { type: "string" },
        inline: { type: "boolean" },
        expires_in: { type: "integer", minimum: 1, maximum: 3600 },
        items: { type: "array", items: { type: "object" } },
      },
    },
    "POST /tokens": jsonSchema(tokenSchema),
  },
  manifests: { "POST /validate": manifestJsonSchema() },
  packages: {
    "PATCH /:namespace/:name": jsonSchema(descriptionSchema),
    "POST /:namespace/:name/:version/deprecate": jsonSchema(reasonSchema),
    "POST /:namespace/:name/:version/archive": jsonSchema(reasonSchema),
    "POST /jobs/move": jsonSchema(jobSchema),
    "POST /jobs/parse": jsonSchema(jobSchema),
    "POST /jobs/warm": jsonSchema(jobSchema),
  },
  webhooks: { "POST /:webhookId": { type: "object" } },
};

const TEXT: Schema = { type: "string" };
const QUERIES: Record<string, Record<string, Schema>> = {
  manifests: { format: { type: "string", enum: ["json", "yaml"] } },
  packages: {
    q: TEXT,
    limit: { type: "integer", minimum: 1, maximum: 100 },
    offset: { type: "integer", minimum: 0, maximum: 1000000 },
    namespace: TEXT,
    format: { type: "string", enum: ["json", "dot", "mermaid"] },
    sha256: TEXT,
  },
};

const unused = {} as never;
/** What each function serves. */
export const ROUTES: Record<string, Route[]> = {
  api,
  downloads,
  manifests,
  packages: [...jobRoutes(unused), ...readRoutes(unused), ...lifecycleRoutes(unused)],
  uploads,
  webhooks,
};

interface OperationObject {
  parameters: { name?: string; in?: string; schema?: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

/** What the OpenAPI document says of a route of the API. */
function fromDocument(method: string, path: string): Pick<Target, "body" | "query"> {
  const paths = DOCUMENT.paths as Record<string, Record<string, OperationObject>>;
  const operation = paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()];
  const query = (operation?.parameters ?? []).filter((parameter) => parameter.in === "query");
  return {
    body: operation?.requestBody?.content["application/json"].schema,
    query: Object.fromEntries(query.map(({ name, schema }) => [name, schema!])),
  };
}

const DOCUMENT = openApiDocument();

export const targets: Target[] = Object.entries(ROUTES).flatMap(([name, routes]) =>
  routes.map(({ method, path }) => ({
    function: name,
    method,
    path,
    ...(name === "api" ? fromDocument(method, path) : {
      body: BODIES[name]?.[`${method} ${path}`],
      query: QUERIES[name] ?? {},
    }),
  }))
);

export const functionNames = Object.keys(ROUTES);
