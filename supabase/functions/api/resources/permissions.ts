import { z } from "zod";
import { getOperation, listOperation, type Place } from "../crud.ts";
import { CREATED, oneOf } from "../list.ts";
import type { Operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { id, time, version } from "../schema.ts";
import type { Resource } from "../store.ts";

const TYPES = ["storage", "network", "database", "api", "system", "custom"] as const;

const permissions: Resource = {
  name: "Permission",
  table: "app_permissions",
  schema: z.object({
    id,
    app_id: id,
    version: z.string().nullable(),
    permission_type: z.enum(TYPES),
    permission_value: z.string().describe("The scope in the manifest, such as a host for network."),
    description: z.string().nullable(),
    is_required: z.boolean(),
    created_at: time,
  }),
  list: {
    filters: {
      version: { schema: version.describe("What this version asks for.") },
      permission_type: oneOf(TYPES, "One or more types, parted by commas."),
      is_required: { schema: z.enum(["true", "false"]).describe("Whether the app needs it.") },
      ...CREATED,
    },
    sorts: { created_at: { type: "time" } },
    defaultSort: "-created_at",
    tieBreaker: "id",
  },
};

const place: Place = {
  resource: permissions,
  tag: "Permissions",
  one: "Permission",
  many: "Permissions",
  path: "/apps/:appId/permissions",
  params: z.object({ appId: id }),
  itemPath: "/apps/:appId/permissions/:permissionId",
  itemParams: z.object({ appId: id, permissionId: id }),
  within: ({ appId }) => ({ app_id: appId }),
  key: ({ appId, permissionId }) => ({ app_id: appId, id: permissionId }),
  sample: {
    params: { appId: SAMPLE.app },
    itemParams: { appId: SAMPLE.app, permissionId: SAMPLE.permission },
    item: {
      id: SAMPLE.permission,
      app_id: SAMPLE.app,
      version: SAMPLE.version,
      permission_type: "network",
      permission_value: "api.example.com",
      description: null,
      is_required: true,
      created_at: SAMPLE.time,
    },
  },
};

/** Read only: permissions follow the manifest of their version. */
export const permissionOperations: Operation[] = [
  listOperation(place, {
    summary: "List what an app asks for",
    description: "The permissions in the manifests of the versions that the caller sees.",
    query: { version: SAMPLE.version },
  }),
  getOperation(place, { summary: "Get a permission" }),
];
