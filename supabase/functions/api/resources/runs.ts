import { z } from "zod";
import { fromDatabase } from "../../_shared/upstream_errors.ts";
import { createRow, getOperation, listOperation, ok, type Place } from "../crud.ts";
import { CREATED, oneOf } from "../list.ts";
import { type Operation, operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { document, id, moment, time, version } from "../schema.ts";
import { columnsOf, read, requireApp, type Resource, tables } from "../store.ts";

const TYPES = ["manual", "cron", "webhook", "test"] as const;
const STATUSES = ["pending", "running", "success", "failed", "cancelled", "timeout"] as const;

export const runs: Resource = {
  name: "Run",
  table: "app_runs",
  schema: z.object({
    id,
    app_id: id,
    company_id: id,
    version: z.string(),
    build_id: id.nullable(),
    run_type: z.enum(TYPES),
    status: z.enum(STATUSES),
    priority: z.int(),
    run_after: time.describe("It does not start before."),
    attempt: z.int().describe("How often it was started."),
    max_attempts: z.int(),
    cancel_requested_at: time.nullable(),
    started_at: time.nullable(),
    completed_at: time.nullable(),
    duration_ms: z.int().nullable(),
    error_message: z.string().nullable(),
    config: document,
    requested_by: id.nullable(),
    retry_of: id.nullable(),
    created_at: time,
    updated_at: time,
  }),
  list: {
    filters: {
      status: oneOf(STATUSES, "One or more statuses, parted by commas."),
      run_type: oneOf(TYPES, "One or more types, parted by commas."),
      company_id: { schema: id.describe("Runs of this company.") },
      version: { schema: version.describe("Runs of this version.") },
      ...CREATED,
    },
    sorts: { created_at: { type: "time" }, run_after: { type: "time" } },
    defaultSort: "-created_at",
    tieBreaker: "id",
    omits: ["config"],
  },
};

const sample = {
  id: SAMPLE.run,
  app_id: SAMPLE.app,
  company_id: SAMPLE.northwind,
  version: SAMPLE.version,
  build_id: null,
  run_type: "manual",
  status: "success",
  priority: 0,
  run_after: SAMPLE.time,
  attempt: 1,
  max_attempts: 3,
  cancel_requested_at: null,
  started_at: SAMPLE.time,
  completed_at: "2025-07-21T09:00:03+00:00",
  duration_ms: 3000,
  error_message: null,
  config: { outlier_threshold: 3 },
  requested_by: SAMPLE.ada,
  retry_of: null,
  created_at: SAMPLE.time,
  updated_at: SAMPLE.time,
};
const waiting = {
  ...sample,
  status: "pending",
  attempt: 0,
  started_at: null,
  completed_at: null,
  duration_ms: null,
};

const place: Place = {
  resource: runs,
  tag: "Runs",
  one: "Run",
  many: "Runs",
  path: "/apps/:appId/runs",
  params: z.object({ appId: id }),
  itemPath: "/apps/:appId/runs/:runId",
  itemParams: z.object({ appId: id, runId: id }),
  within: ({ appId }) => ({ app_id: appId }),
  key: ({ appId, runId }) => ({ app_id: appId, id: runId }),
  sample: {
    params: { appId: SAMPLE.app },
    itemParams: { appId: SAMPLE.app, runId: SAMPLE.run },
    item: sample,
  },
};

const runBody = z.strictObject({
  company_id: id.describe("The company that it runs for."),
  version: version.optional().describe("By default the newest published one."),
  run_type: z.enum(["manual", "test"]).optional()
    .describe("A test may run a draft of the caller's own company."),
  config: document.optional(),
  priority: z.int().min(-100).max(100).optional(),
  run_after: moment.optional(),
  max_attempts: z.int().min(1).max(25).optional(),
});

export const runOperations: Operation[] = [
  listOperation(place, {
    summary: "List the runs of an app",
    description: "Those of the caller's companies.",
    query: { status: "success,failed", limit: "10" },
  }),
  operation({
    id: "createRun",
    method: "POST",
    path: place.path,
    tag: "Runs",
    summary: "Run an app",
    description:
      "For members of a company that publishes the app or is assigned it. An executor takes the run.",
    params: z.object({ appId: id }),
    body: runBody,
    creates: true,
    status: 201,
    returns: { one: runs },
    errors: ["app_not_runnable", "queue_full", "quota_exceeded"],
    example: {
      params: { appId: SAMPLE.app },
      body: { company_id: SAMPLE.northwind, config: { outlier_threshold: 3 } },
      response: { ...waiting, id: "e3a1e0f2-58c7-4b5e-9d0c-9a7a4f8d6c21" },
    },
    handle: async ({ params: { appId }, body, ...context }) => {
      await requireApp(context.caller.client, appId);
      return await createRow(context, {
        resource: runs,
        within: { app_id: appId },
        statement: (client) => client.rpc("request_app_run", { app_id: appId, ...body }),
      });
    },
  }),
  getOperation(place, { summary: "Get a run" }),
  operation({
    id: "cancelRun",
    method: "POST",
    path: `${place.itemPath}/cancel`,
    tag: "Runs",
    summary: "Cancel a run",
    description:
      "A waiting run is cancelled at once; the executor of a running one is asked to stop it; a finished one stays as it is.",
    params: z.object({ appId: id, runId: id }),
    status: 200,
    returns: { one: runs },
    example: {
      params: { appId: SAMPLE.app, runId: SAMPLE.waitingRun },
      response: {
        ...waiting,
        id: SAMPLE.waitingRun,
        config: {},
        status: "cancelled",
        cancel_requested_at: SAMPLE.time,
        completed_at: SAMPLE.time,
        error_message: "Cancelled before it started.",
      },
    },
    handle: async ({ caller, params: { appId, runId } }) => {
      await read(caller.client, runs, { app_id: appId, id: runId });
      const { data, error } = await tables(caller.client).rpc("cancel_app_run", { run_id: runId })
        .select(columnsOf(runs).join(",")).single();
      if (error) throw fromDatabase(error);
      return ok(data);
    },
  }),
  operation({
    id: "retryRun",
    method: "POST",
    path: `${place.itemPath}/retry`,
    tag: "Runs",
    summary: "Run again",
    description: "A new run like a finished one.",
    params: z.object({ appId: id, runId: id }),
    creates: true,
    status: 201,
    returns: { one: runs },
    errors: ["run_not_finished", "app_not_runnable", "queue_full", "quota_exceeded"],
    example: {
      params: { appId: SAMPLE.app, runId: SAMPLE.run },
      response: {
        ...waiting,
        id: "0d0f6b53-7a9e-4b7a-8a53-0a2b6d7c9e31",
        retry_of: SAMPLE.run,
      },
    },
    handle: async ({ params: { appId, runId }, ...context }) => {
      await read(context.caller.client, runs, { app_id: appId, id: runId });
      return await createRow(context, {
        resource: runs,
        within: { app_id: appId },
        statement: (client) => client.rpc("retry_app_run", { run_id: runId }),
        // Relative to …/runs/{runId}/retry.
        answer: (id, row) => ({ status: 201, body: row, headers: { location: `../${id}` } }),
      });
    },
  }),
];
