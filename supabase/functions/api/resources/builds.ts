import { z } from "zod";
import { createRow, getOperation, listOperation, ok, type Place } from "../crud.ts";
import { CREATED, oneOf } from "../list.ts";
import { type Operation, operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { document, id, time, version } from "../schema.ts";
import { requireApp, type Resource, update } from "../store.ts";

const STATUSES = ["pending", "building", "success", "failed", "cancelled"] as const;

const builds: Resource = {
  name: "Build",
  table: "app_builds",
  schema: z.object({
    id,
    app_id: id,
    build_version: z.string(),
    build_status: z.enum(STATUSES),
    build_path: z.string().nullable().describe(
      "Name of the packed build in the bucket app-storage.",
    ),
    build_logs: z.string().nullable().describe(
      "Name of the log in the bucket app-logs, for the publisher.",
    ),
    build_config: document,
    file_size: z.int().nullable().describe("Bytes of the packed build."),
    checksum: z.string().nullable(),
    error_message: z.string().nullable(),
    requested_by: id.nullable(),
    created_at: time,
    updated_at: time,
    completed_at: time.nullable(),
  }),
  list: {
    filters: {
      build_status: oneOf(STATUSES, "One or more statuses, parted by commas."),
      build_version: { schema: version.describe("Builds of this version.") },
      ...CREATED,
    },
    sorts: { created_at: { type: "time" }, updated_at: { type: "time" } },
    defaultSort: "-created_at",
    tieBreaker: "id",
    omits: ["build_config"],
  },
};

const sample = {
  id: SAMPLE.build,
  app_id: SAMPLE.app,
  build_version: SAMPLE.version,
  build_status: "success",
  build_path: `app_${SAMPLE.app}/builds/${SAMPLE.build}/build.tar.gz`,
  build_logs: `app_${SAMPLE.app}/builds/${SAMPLE.build}/build.log`,
  build_config: {},
  file_size: 4096,
  checksum: SAMPLE.checksum,
  error_message: null,
  requested_by: SAMPLE.ada,
  created_at: SAMPLE.time,
  updated_at: SAMPLE.time,
  completed_at: SAMPLE.time,
};
const waiting = {
  ...sample,
  id: SAMPLE.waitingBuild,
  build_status: "pending",
  build_path: null,
  build_logs: null,
  file_size: null,
  checksum: null,
  completed_at: null,
};

const place: Place = {
  resource: builds,
  tag: "Builds",
  one: "Build",
  many: "Builds",
  path: "/apps/:appId/builds",
  params: z.object({ appId: id }),
  itemPath: "/apps/:appId/builds/:buildId",
  itemParams: z.object({ appId: id, buildId: id }),
  within: ({ appId }) => ({ app_id: appId }),
  key: ({ appId, buildId }) => ({ app_id: appId, id: buildId }),
  sample: {
    params: { appId: SAMPLE.app },
    itemParams: { appId: SAMPLE.app, buildId: SAMPLE.build },
    item: sample,
  },
};

export const buildOperations: Operation[] = [
  listOperation(place, {
    summary: "List the builds of an app",
    description: "Customers see the successful builds of released versions.",
    query: { build_status: "success" },
  }),
  operation({
    id: "createBuild",
    method: "POST",
    path: place.path,
    tag: "Builds",
    summary: "Ask for a build",
    description: "For owners and admins of the publisher. An executor takes it.",
    params: z.object({ appId: id }),
    body: z.strictObject({ build_version: version, build_config: document.optional() }),
    creates: true,
    status: 201,
    returns: { one: builds },
    errors: ["forbidden", "conflict", "queue_full", "quota_exceeded"],
    example: {
      params: { appId: SAMPLE.app },
      body: { build_version: SAMPLE.version },
      response: { ...waiting, id: "7f1c1d5e-1b0f-4d5c-8a44-0c8c1f6f2b11" },
    },
    handle: async ({ params: { appId }, body, ...context }) => {
      await requireApp(context.caller.client, appId);
      return await createRow(context, {
        resource: builds,
        within: { app_id: appId },
        statement: (client) => client.from("app_builds").insert({ app_id: appId, ...body }),
      });
    },
  }),
  getOperation(place, { summary: "Get a build" }),
  operation({
    id: "cancelBuild",
    method: "POST",
    path: `${place.itemPath}/cancel`,
    tag: "Builds",
    summary: "Cancel a build",
    description: "One that waits or is being built, for owners and admins of the publisher.",
    params: z.object({ appId: id, buildId: id }),
    conditional: true,
    status: 200,
    returns: { one: builds },
    errors: ["forbidden", "conflict", "precondition_failed"],
    example: {
      params: { appId: SAMPLE.app, buildId: SAMPLE.waitingBuild },
      response: { ...waiting, build_status: "cancelled", completed_at: SAMPLE.time },
    },
    handle: async ({ caller, params: { appId, buildId }, ifMatch }) => {
      const key = { app_id: appId, id: buildId };
      return ok(await update(caller.client, builds, key, { build_status: "cancelled" }, ifMatch));
    },
  }),
];
