import { z } from "zod";
import { fromDatabase } from "../../_shared/upstream_errors.ts";
import {
  createRow,
  deleteOperation,
  getOperation,
  listOperation,
  ok,
  type Place,
  updateOperation,
} from "../crud.ts";
import { CREATED } from "../list.ts";
import { type Operation, operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { change, count as countOf, document, id, moment, time } from "../schema.ts";
import { requireApp, type Resource, type Row } from "../store.ts";

const MISSED = ["skip", "run_once", "run_all"] as const;
const OVERLAP = ["allow", "skip"] as const;
const MAX_LATENESS_SECONDS = 31 * 86400;

const schedules: Resource = {
  name: "Schedule",
  table: "app_cron_schedules",
  schema: z.object({
    id,
    app_id: id,
    company_id: id,
    cron_expression: z.string(),
    timezone: z.string(),
    is_active: z.boolean(),
    last_run_at: time.nullable(),
    next_run_at: time.nullable(),
    last_run_id: id.nullable(),
    config: document.describe("The config of each run. Not on pages of a list."),
    missed_policy: z.enum(MISSED),
    overlap_policy: z.enum(OVERLAP),
    max_lateness_seconds: z.int(),
    created_by: id.nullable(),
    created_at: time,
    updated_at: time,
  }),
  columns: [
    ...["id", "app_id", "company_id", "cron_expression", "timezone", "is_active", "last_run_at"],
    ...["next_run_at", "last_run_id", "config", "missed_policy", "overlap_policy", "max_lateness"],
    ...["created_by", "created_at", "updated_at"],
  ],
  present({ max_lateness, ...row }) {
    return { ...row, max_lateness_seconds: secondsOf(String(max_lateness)) };
  },
  list: {
    filters: {
      company_id: { schema: id.describe("Schedules of this company.") },
      is_active: { schema: z.enum(["true", "false"]).describe("Whether it is switched on.") },
      ...CREATED,
    },
    sorts: { created_at: { type: "time" }, updated_at: { type: "time" } },
    defaultSort: "-created_at",
    tieBreaker: "id",
    omits: ["config"],
  },
};

/** An interval as Postgres writes it: `[D day[s] ][H:MM:SS]`. */
function secondsOf(interval: string): number {
  const [, days = 0, hours = 0, minutes = 0, seconds = 0] =
    /^(?:(\d+) days? ?)?(?:(\d+):(\d+):(\d+))?/.exec(interval)?.map((part) => Number(part ?? 0)) ??
      [];
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
}

/** A body as a row: the interval is in seconds outside, and Postgres's own type inside. */
function toRow({ max_lateness_seconds, ...rest }: Row): Row {
  return {
    ...rest,
    ...(max_lateness_seconds !== undefined && { max_lateness: `${max_lateness_seconds} seconds` }),
  };
}

const sample = {
  id: SAMPLE.schedule,
  app_id: SAMPLE.app,
  company_id: SAMPLE.northwind,
  cron_expression: "30 6 * * mon-fri",
  timezone: "Europe/Berlin",
  is_active: true,
  last_run_at: null,
  next_run_at: "2025-07-22T04:30:00+00:00",
  last_run_id: null,
  config: {},
  missed_policy: "run_once",
  overlap_policy: "skip",
  max_lateness_seconds: 3600,
  created_by: SAMPLE.ada,
  created_at: SAMPLE.time,
  updated_at: SAMPLE.time,
};

const place: Place = {
  resource: schedules,
  tag: "Schedules",
  one: "Schedule",
  many: "Schedules",
  path: "/apps/:appId/schedules",
  params: z.object({ appId: id }),
  itemPath: "/apps/:appId/schedules/:scheduleId",
  itemParams: z.object({ appId: id, scheduleId: id }),
  within: ({ appId }) => ({ app_id: appId }),
  key: ({ appId, scheduleId }) => ({ app_id: appId, id: scheduleId }),
  sample: {
    params: { appId: SAMPLE.app },
    itemParams: { appId: SAMPLE.app, scheduleId: SAMPLE.schedule },
    item: sample,
  },
};

const expression = z.string().min(1).max(200)
  .describe("Five fields with names, steps, ranges and lists, or a macro such as @daily.");
const zone = z.string().min(1).max(100).describe("A name of the IANA time zone database.");
const settings = {
  cron_expression: expression,
  timezone: zone,
  is_active: z.boolean(),
  config: document,
  missed_policy: z.enum(MISSED).describe("What happens to due times that nothing ticked for."),
  overlap_policy: z.enum(OVERLAP).describe("Whether it runs while the run before is unfinished."),
  max_lateness_seconds: z.int().min(0).max(MAX_LATENESS_SECONDS),
};

export const scheduleOperations: Operation[] = [
  listOperation(place, {
    summary: "List the schedules of an app",
    description: "Those of the caller's companies.",
    query: { is_active: "true" },
  }),
  operation({
    id: "createSchedule",
    method: "POST",
    path: place.path,
    tag: "Schedules",
    summary: "Schedule an app",
    description: "For owners and admins of a company that publishes the app or is assigned it.",
    params: z.object({ appId: id }),
    body: z.strictObject({ company_id: id, ...settings }).partial()
      .required({ company_id: true, cron_expression: true }),
    creates: true,
    status: 201,
    returns: { one: schedules },
    errors: ["forbidden", "app_not_runnable", "limit_reached"],
    example: {
      params: { appId: SAMPLE.app },
      body: {
        company_id: SAMPLE.northwind,
        cron_expression: "@daily",
        timezone: "Europe/Berlin",
        max_lateness_seconds: 86400,
      },
      response: {
        ...sample,
        id: "5f1d6f0a-9c52-4a5c-a0b1-7d5d0f3a8e41",
        cron_expression: "@daily",
        next_run_at: "2025-07-21T22:00:00+00:00",
        max_lateness_seconds: 86400,
      },
    },
    handle: async ({ params: { appId }, body, ...context }) => {
      await requireApp(context.caller.client, appId);
      return await createRow(context, {
        resource: schedules,
        within: { app_id: appId },
        statement: (client) =>
          client.from("app_cron_schedules").insert({ app_id: appId, ...toRow(body) }),
      });
    },
  }),
  operation({
    id: "previewSchedule",
    method: "GET",
    path: "/apps/:appId/schedules/preview",
    tag: "Schedules",
    summary: "Preview an expression",
    description: "When it would be due, without scheduling anything.",
    params: z.object({ appId: id }),
    query: z.strictObject({
      cron_expression: expression,
      timezone: zone.default("UTC"),
      count: countOf(1, 100).optional().describe("How many times, 1 to 100; by default 5."),
      after: moment.optional().describe("By default now."),
    }),
    status: 200,
    returns: {
      document: z.object({
        cron_expression: z.string(),
        timezone: z.string(),
        due_at: z.array(time),
      }),
    },
    example: {
      params: { appId: SAMPLE.app },
      query: {
        cron_expression: "30 6 * * mon-fri",
        timezone: "Europe/Berlin",
        count: "2",
        after: "2025-07-21T09:00:00Z",
      },
      response: {
        cron_expression: "30 6 * * mon-fri",
        timezone: "Europe/Berlin",
        due_at: ["2025-07-22T04:30:00+00:00", "2025-07-23T04:30:00+00:00"],
      },
    },
    handle: async ({ caller, params: { appId }, query }) => {
      const { cron_expression, timezone, count, after } = query;
      await requireApp(caller.client, appId);
      const { data, error } = await caller.client.rpc("preview_cron_runs", {
        expression: cron_expression,
        timezone,
        ...(count !== undefined && { count }),
        ...(after !== undefined && { after }),
      });
      if (error) throw fromDatabase(error, { expression: "cron_expression" });
      return ok({ cron_expression, timezone, due_at: data });
    },
  }),
  getOperation(place, { summary: "Get a schedule" }),
  updateOperation(place, {
    summary: "Change a schedule",
    description: "For owners and admins of its company.",
    body: change(settings),
    errors: ["forbidden", "app_not_runnable", "precondition_failed"],
    example: {
      body: { is_active: false },
      response: { ...sample, is_active: false, next_run_at: null },
    },
  }, toRow),
  deleteOperation(place, {
    summary: "Delete a schedule",
    description: "For owners and admins of its company.",
    errors: ["forbidden", "precondition_failed"],
  }),
];
