import { z } from "zod";
import {
  createRow,
  deleteOperation,
  getOperation,
  listOperation,
  type Place,
  updateOperation,
} from "../crud.ts";
import { CREATED, oneOf } from "../list.ts";
import { type Operation, operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { change, document, id, time, version } from "../schema.ts";
import { requireApp, type Resource } from "../store.ts";

const STATUSES = ["draft", "published", "deprecated", "archived"] as const;

const versions: Resource = {
  name: "Version",
  table: "app_versions",
  schema: z.object({
    app_id: id,
    version: z.string(),
    manifest: document.nullable().describe(
      "As it was uploaded and validated. Not on pages of a list.",
    ),
    status: z.enum(STATUSES),
    status_reason: z.string().nullable().describe("Why it was deprecated or archived."),
    created_by: id.nullable(),
    published_by: id.nullable(),
    published_at: time.nullable(),
    created_at: time,
    updated_at: time,
  }),
  list: {
    filters: { status: oneOf(STATUSES, "One or more statuses, parted by commas."), ...CREATED },
    sorts: { version: { column: "version_key", type: "text" }, created_at: { type: "time" } },
    defaultSort: "-version",
    tieBreaker: "version",
    omits: ["manifest"],
  },
};

const sample = {
  app_id: SAMPLE.app,
  version: SAMPLE.version,
  manifest: {
    name: "regional-sales",
    version: SAMPLE.version,
    type: "backend",
    permissions: [{ type: "network", scope: "api.example.com", required: true }],
  },
  status: "published",
  status_reason: null,
  created_by: SAMPLE.ada,
  published_by: null,
  published_at: SAMPLE.time,
  created_at: SAMPLE.time,
  updated_at: SAMPLE.time,
};

const place: Place = {
  resource: versions,
  tag: "Versions",
  one: "Version",
  many: "Versions",
  path: "/apps/:appId/versions",
  params: z.object({ appId: id }),
  itemPath: "/apps/:appId/versions/:version",
  itemParams: z.object({ appId: id, version }),
  within: ({ appId }) => ({ app_id: appId }),
  key: ({ appId, version }) => ({ app_id: appId, version }),
  sample: {
    params: { appId: SAMPLE.app },
    itemParams: { appId: SAMPLE.app, version: SAMPLE.version },
    item: sample,
  },
};

export const versionOperations: Operation[] = [
  listOperation(place, {
    summary: "List the versions of an app",
    description:
      "Newest first by semantic version. Drafts and archived versions are the publisher's to see.",
    query: { status: "published" },
  }),
  operation({
    id: "createVersion",
    method: "POST",
    path: place.path,
    tag: "Versions",
    summary: "Begin a version",
    description:
      "A draft, for owners and admins of the publisher. Its files come through the function uploads.",
    params: z.object({ appId: id }),
    body: z.strictObject({ version }),
    creates: true,
    status: 201,
    returns: { one: versions },
    errors: ["forbidden", "conflict"],
    example: {
      params: { appId: SAMPLE.app },
      body: { version: "2.0.0" },
      response: {
        ...sample,
        version: "2.0.0",
        manifest: null,
        status: "draft",
        published_at: null,
      },
    },
    handle: async ({ params: { appId }, body, ...context }) => {
      await requireApp(context.caller.client, appId);
      return await createRow(context, {
        resource: versions,
        within: { app_id: appId },
        named: "version",
        statement: (client) =>
          client.from("app_versions").insert({ app_id: appId, version: body.version }),
      });
    },
  }),
  getOperation(place, { summary: "Get a version, with its manifest" }),
  updateOperation(place, {
    summary: "Release or retire a version",
    description:
      "draft → published ⇄ deprecated → archived, for owners and admins of the publisher.",
    body: change({
      status: z.enum(["published", "deprecated", "archived"]),
      status_reason: z.string().refine(
        (value) => [...value].length <= 1000,
        "takes 1000 characters",
      )
        .meta({ maxLength: 1000 }).nullable(),
    }),
    errors: ["forbidden", "conflict", "precondition_failed"],
    example: {
      body: { status: "deprecated", status_reason: "Use 2.0.0." },
      response: { ...sample, status: "deprecated", status_reason: "Use 2.0.0." },
    },
  }),
  deleteOperation(place, {
    summary: "Delete a version",
    description:
      "A draft or an archived one that has no files, builds and runs; for owners and admins of the publisher. The number of " +
      "one that was published is not given again.",
    errors: ["forbidden", "conflict", "precondition_failed"],
    example: { params: { appId: SAMPLE.app, version: "1.0.1" } },
  }),
];
