import { z } from "zod";
import { createRow, deleteOperation, getOperation, listOperation, type Place } from "../crud.ts";
import { CREATED } from "../list.ts";
import { type Operation, operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { id, time } from "../schema.ts";
import { type Resource } from "../store.ts";

const assignments: Resource = {
  name: "Assignment",
  table: "app_assignments",
  schema: z.object({
    app_id: id,
    company_id: id,
    assigned_by: id.nullable(),
    created_at: time,
  }),
  list: {
    filters: { company_id: { schema: id.describe("The assignment of this company.") }, ...CREATED },
    sorts: { created_at: { type: "time" } },
    defaultSort: "-created_at",
    tieBreaker: "company_id",
  },
};

const sample = {
  app_id: SAMPLE.app,
  company_id: SAMPLE.harbour,
  assigned_by: null,
  created_at: SAMPLE.time,
};

const place: Place = {
  resource: assignments,
  tag: "Assignments",
  one: "Assignment",
  many: "Assignments",
  path: "/apps/:appId/assignments",
  params: z.object({ appId: id }),
  itemPath: "/apps/:appId/assignments/:companyId",
  itemParams: z.object({ appId: id, companyId: id }),
  within: ({ appId }) => ({ app_id: appId }),
  key: ({ appId, companyId }) => ({ app_id: appId, company_id: companyId }),
  sample: {
    params: { appId: SAMPLE.app },
    itemParams: { appId: SAMPLE.app, companyId: SAMPLE.harbour },
    item: sample,
  },
};

export const assignmentOperations: Operation[] = [
  listOperation(place, {
    summary: "List the companies that use an app",
    description: "The publisher sees all, a customer its own assignment.",
    query: { company_id: SAMPLE.harbour },
  }),
  operation({
    id: "createAssignment",
    method: "POST",
    path: place.path,
    tag: "Assignments",
    summary: "Assign an app to a company",
    description:
      "A public app, by owners and admins of the company; a private one, by superadmins.",
    params: z.object({ appId: id }),
    body: z.strictObject({ company_id: id }),
    creates: true,
    status: 201,
    returns: { one: assignments },
    errors: ["forbidden", "conflict"],
    example: {
      params: { appId: SAMPLE.app },
      body: { company_id: SAMPLE.northwind },
      response: { ...sample, company_id: SAMPLE.northwind, assigned_by: SAMPLE.ada },
    },
    // Whoever is about to be assigned an app does not see it yet: whether it is there is the database's to say.
    handle: ({ params: { appId }, body, ...context }) =>
      createRow(context, {
        resource: assignments,
        within: { app_id: appId },
        named: "company_id",
        statement: (client) =>
          client.from("app_assignments")
            .insert({ app_id: appId, company_id: body.company_id }),
      }),
  }),
  getOperation(place, { summary: "Get an assignment" }),
  deleteOperation(place, {
    summary: "Take an app from a company",
    description:
      "For owners and admins of the company. What waits is cancelled, what runs is asked to stop.",
    errors: ["forbidden", "precondition_failed"],
    example: { params: { appId: SAMPLE.app, companyId: SAMPLE.northwind } },
  }),
];
