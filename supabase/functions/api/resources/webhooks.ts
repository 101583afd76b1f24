import { z } from "zod";
import { fromDatabase } from "../../_shared/upstream_errors.ts";
import {
  created,
  deleteOperation,
  getOperation,
  listOperation,
  ok,
  type Place,
  updateOperation,
} from "../crud.ts";
import { etagOf } from "../etag.ts";
import { createOnce } from "../idempotency.ts";
import { CREATED, list, listQuery, oneOf } from "../list.ts";
import { type Operation, operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { change, document, id, text, time, version } from "../schema.ts";
import { read, requireApp, type Resource, tables, writeError } from "../store.ts";

const MAX_GRACE_SECONDS = 30 * 86400;
const DEFAULT_GRACE_SECONDS = 86400;

const shape = {
  id,
  app_id: id,
  company_id: id,
  name: z.string(),
  version: z.string().nullable().describe("Null for the newest published one."),
  is_active: z.boolean(),
  config: document,
  max_deliveries_per_minute: z.int(),
  secret_fingerprint: z.string().nullable().describe("Tells which secret a sender holds."),
  secret_rotated_at: time.nullable(),
  previous_secret_expires_at: time.nullable(),
  last_delivery_at: time.nullable(),
  created_by: id.nullable(),
  created_at: time,
  updated_at: time,
};

const webhooks: Resource = {
  name: "Webhook",
  table: "app_webhooks",
  schema: z.object(shape),
  list: {
    filters: {
      company_id: { schema: id.describe("Webhooks of this company.") },
      is_active: { schema: z.enum(["true", "false"]).describe("Whether it takes deliveries.") },
      ...CREATED,
    },
    sorts: { created_at: { type: "time" }, updated_at: { type: "time" } },
    defaultSort: "-created_at",
    tieBreaker: "id",
    omits: ["config"],
  },
};

const secret = z.string().nullable()
  .describe(
    "Shown in this answer alone: whsec_ and base64. Null in a repeated answer that was not kept.",
  );

/** A webhook as it is when it has just been made. */
const newWebhook: Resource = {
  ...webhooks,
  name: "NewWebhook",
  schema: z.object({ ...shape, secret }),
};

const newSecret = z.object({
  webhook_id: id,
  secret: z.string().describe("Shown in this answer alone: whsec_ and base64."),
  secret_fingerprint: z.string(),
  previous_secret_expires_at: time.nullable(),
});

const OUTCOMES = ["enqueued", "queue_full", "storage_full", "not_runnable", "failed"] as const;

const deliveries: Resource = {
  name: "Delivery",
  table: "app_webhook_deliveries",
  schema: z.object({
    webhook_id: id,
    delivery_id: z.string(),
    run_id: id.nullable(),
    outcome: z.enum(OUTCOMES),
    message: z.string().nullable(),
    body_size: z.int().describe("Bytes."),
    received_count: z.int(),
    received_at: time,
    last_received_at: time,
  }),
  list: {
    filters: { outcome: oneOf(OUTCOMES, "One or more outcomes, parted by commas.") },
    sorts: { received_at: { type: "time" } },
    defaultSort: "-received_at",
    tieBreaker: "delivery_id",
  },
};

const sample = {
  id: SAMPLE.webhook,
  app_id: SAMPLE.app,
  company_id: SAMPLE.northwind,
  name: "Orders",
  version: null,
  is_active: true,
  config: {},
  max_deliveries_per_minute: 120,
  secret_fingerprint: "0123456789abcdef",
  secret_rotated_at: SAMPLE.time,
  previous_secret_expires_at: null,
  last_delivery_at: null,
  created_by: SAMPLE.ada,
  created_at: SAMPLE.time,
  updated_at: SAMPLE.time,
};
const sampleSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const place: Place = {
  resource: webhooks,
  tag: "Webhooks",
  one: "Webhook",
  many: "Webhooks",
  path: "/apps/:appId/webhooks",
  params: z.object({ appId: id }),
  itemPath: "/apps/:appId/webhooks/:webhookId",
  itemParams: z.object({ appId: id, webhookId: id }),
  within: ({ appId }) => ({ app_id: appId }),
  key: ({ appId, webhookId }) => ({ app_id: appId, id: webhookId }),
  sample: {
    params: { appId: SAMPLE.app },
    itemParams: { appId: SAMPLE.app, webhookId: SAMPLE.webhook },
    item: sample,
  },
};

const perMinute = z.int().min(1).max(6000);

export const webhookOperations: Operation[] = [
  listOperation(place, {
    summary: "List the webhooks of an app",
    description: "Those of the caller's companies.",
    query: { is_active: "true" },
  }),
  operation({
    id: "createWebhook",
    method: "POST",
    path: place.path,
    tag: "Webhooks",
    summary: "Create a webhook",
    description:
      "Others start runs with it: `POST /functions/v1/webhooks/{id}`, signed with the secret that this answer shows. For " +
      "owners and admins of a company that publishes the app or is assigned it.",
    params: z.object({ appId: id }),
    body: z.strictObject({
      company_id: id,
      name: text(200),
      version: version.optional(),
      config: document.optional(),
      max_deliveries_per_minute: perMinute.optional(),
    }),
    creates: true,
    status: 201,
    returns: { one: newWebhook },
    errors: ["forbidden", "app_not_runnable"],
    example: {
      params: { appId: SAMPLE.app },
      body: { company_id: SAMPLE.northwind, name: "Orders" },
      response: { ...sample, id: "ab1d6f0a-9c52-4a5c-a0b1-7d5d0f3a8e51", secret: sampleSecret },
    },
    handle: async ({ caller, params: { appId }, body, url, idempotency }) => {
      await requireApp(caller.client, appId);
      const show = async (id: string, secret: string | null) => {
        const row = await read(caller.client, webhooks, { app_id: appId, id });
        const answer = created(url, id, { ...row, secret });
        // The tag is that of the webhook, which is what the next change is made to.
        const etag = await etagOf(JSON.stringify(row));
        return { ...answer, headers: { ...answer.headers, etag, "cache-control": "no-store" } };
      };
      return await createOnce(
        caller,
        idempotency,
        async (mark) => {
          const call = tables(caller.client).rpc("create_app_webhook", { app_id: appId, ...body })
            .single();
          const { data, error } = await mark(call);
          if (error) throw writeError(error);
          const issued = data as { webhook_id: string; secret: string };
          return await show(issued.webhook_id, issued.secret);
        },
        (id) => show(id, null),
      );
    },
  }),
  getOperation(place, { summary: "Get a webhook" }),
  updateOperation(place, {
    summary: "Change a webhook",
    description: "For owners and admins of its company.",
    body: change({
      name: text(200),
      version: version.nullable(),
      is_active: z.boolean(),
      config: document,
      max_deliveries_per_minute: perMinute,
    }),
    errors: ["forbidden", "app_not_runnable", "precondition_failed"],
    example: {
      body: { max_deliveries_per_minute: 10 },
      response: { ...sample, max_deliveries_per_minute: 10 },
    },
  }),
  operation({
    id: "rotateWebhookSecret",
    method: "POST",
    path: `${place.itemPath}/rotate-secret`,
    tag: "Webhooks",
    summary: "Rotate a webhook's secret",
    description:
      "For owners and admins of its company. The secret before stays valid for the time of grace: 0 after a leak.",
    params: z.object({ appId: id, webhookId: id }),
    body: z.strictObject({
      grace_seconds: z.int().min(0).max(MAX_GRACE_SECONDS).default(DEFAULT_GRACE_SECONDS),
    }),
    status: 200,
    returns: { document: newSecret },
    errors: ["forbidden"],
    example: {
      params: { appId: SAMPLE.app, webhookId: SAMPLE.inactiveWebhook },
      body: { grace_seconds: 3600 },
      response: {
        webhook_id: SAMPLE.inactiveWebhook,
        secret: sampleSecret,
        secret_fingerprint: "0123456789abcdef",
        previous_secret_expires_at: "2025-07-21T10:00:00+00:00",
      },
    },
    handle: async ({ caller, params: { appId, webhookId }, body }) => {
      await read(caller.client, webhooks, { app_id: appId, id: webhookId });
      const { data, error } = await caller.client.rpc("rotate_app_webhook_secret", {
        webhook_id: webhookId,
        grace: `${body.grace_seconds} seconds`,
      });
      if (error) throw fromDatabase(error);
      return { ...ok(data), headers: { "cache-control": "no-store" } };
    },
  }),
  deleteOperation(place, {
    summary: "Delete a webhook",
    description: "For owners and admins of its company.",
    errors: ["forbidden", "precondition_failed"],
  }),
  operation({
    id: "listDeliveries",
    method: "GET",
    path: `${place.itemPath}/deliveries`,
    tag: "Webhooks",
    summary: "List what came to a webhook",
    description: "Deliveries whose signature was right, the latest first, and what became of them.",
    params: z.object({ appId: id, webhookId: id }),
    query: listQuery(deliveries.list),
    status: 200,
    returns: { page: deliveries },
    example: {
      params: { appId: SAMPLE.app, webhookId: SAMPLE.webhook },
      query: { outcome: "enqueued" },
      response: {
        data: [{
          webhook_id: SAMPLE.webhook,
          delivery_id: "msg_1",
          run_id: SAMPLE.run,
          outcome: "enqueued",
          message: null,
          body_size: 18,
          received_count: 1,
          received_at: SAMPLE.time,
          last_received_at: SAMPLE.time,
        }],
        next_cursor: null,
      },
    },
    handle: async ({ caller, params: { appId, webhookId }, query, url }) => {
      await read(caller.client, webhooks, { app_id: appId, id: webhookId });
      return await list(caller.client, deliveries, { webhook_id: webhookId }, query, url);
    },
  }),
];
