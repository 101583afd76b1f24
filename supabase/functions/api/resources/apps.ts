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
import { change, id, slug, text, time } from "../schema.ts";
import { type Resource } from "../store.ts";

const STATUSES = ["active", "suspended", "archived"] as const;
const VISIBILITIES = ["private", "public"] as const;

export const apps: Resource = {
  name: "App",
  table: "applications",
  schema: z.object({
    id,
    slug: z.string(),
    name: z.string(),
    description: z.string(),
    publisher_company_id: id,
    status: z.enum(STATUSES).describe("Only active apps run; superadmins suspend them."),
    visibility: z.enum(VISIBILITIES).describe(
      "Owners and admins of any company assign public apps.",
    ),
    created_by: id.nullable(),
    created_at: time,
    updated_at: time,
  }),
  list: {
    filters: {
      status: oneOf(STATUSES, "One or more statuses, parted by commas."),
      visibility: oneOf(VISIBILITIES, "private, public, or both."),
      publisher_company_id: { schema: id.describe("Apps of this publisher.") },
      slug: { schema: z.string().max(63).describe("Exactly this slug.") },
      ...CREATED,
    },
    sorts: {
      created_at: { type: "time" },
      updated_at: { type: "time" },
      slug: { type: "text" },
    },
    defaultSort: "-created_at",
    tieBreaker: "id",
  },
};

const description = z.string().refine(
  (value) => [...value].length <= 10000,
  "takes 10000 characters",
)
  .meta({ maxLength: 10000 });

const sample = {
  id: SAMPLE.app,
  slug: "regional-sales",
  name: "Regional sales",
  description: "Totals, trends and outliers of monthly sales by region, with a chart.",
  publisher_company_id: SAMPLE.northwind,
  status: "active",
  visibility: "public",
  created_by: null,
  created_at: SAMPLE.time,
  updated_at: SAMPLE.time,
};

const place: Place = {
  resource: apps,
  tag: "Apps",
  one: "App",
  many: "Apps",
  path: "/apps",
  params: z.object({}),
  itemPath: "/apps/:appId",
  itemParams: z.object({ appId: id }),
  within: () => ({}),
  key: ({ appId }) => ({ id: appId }),
  sample: { params: {}, itemParams: { appId: SAMPLE.app }, item: sample },
};

export const appOperations: Operation[] = [
  listOperation(place, {
    summary: "List apps",
    description: "The apps that the caller's companies publish or are assigned.",
    query: { slug: "regional-sales", sort: "-created_at" },
  }),
  operation({
    id: "createApp",
    method: "POST",
    path: "/apps",
    tag: "Apps",
    summary: "Create an app",
    description: "For owners and admins of the publisher.",
    params: z.object({}),
    body: z.strictObject({
      slug,
      name: text(200),
      description: description.optional(),
      publisher_company_id: id,
      visibility: z.enum(VISIBILITIES).optional(),
    }),
    creates: true,
    status: 201,
    returns: { one: apps },
    errors: ["forbidden", "conflict"],
    example: {
      body: { slug: "stock-report", name: "Stock report", publisher_company_id: SAMPLE.northwind },
      response: {
        ...sample,
        id: "0b8e5a4e-6d3f-4f0c-9a51-3d1f0c5b7a10",
        slug: "stock-report",
        name: "Stock report",
        description: "",
        visibility: "private",
        created_by: SAMPLE.ada,
      },
    },
    handle: ({ body, ...context }) =>
      createRow(context, {
        resource: apps,
        within: {},
        statement: (client) => client.from("applications").insert(body),
      }),
  }),
  getOperation(place, { summary: "Get an app" }),
  updateOperation(place, {
    summary: "Update an app",
    description:
      "For owners and admins of the publisher. Suspending, and what is suspended, is for superadmins.",
    body: change({
      slug,
      name: text(200),
      description,
      status: z.enum(STATUSES),
      visibility: z.enum(VISIBILITIES),
    }),
    errors: ["forbidden", "conflict", "precondition_failed"],
    example: {
      body: { name: "Regional sales, monthly" },
      response: { ...sample, name: "Regional sales, monthly" },
    },
  }),
  deleteOperation(place, {
    summary: "Delete an app",
    description: "For owners and admins of the publisher, while it has no versions.",
    errors: ["forbidden", "conflict", "precondition_failed"],
    example: { params: { appId: SAMPLE.privateApp } },
  }),
];
