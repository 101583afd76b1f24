/**
 * What every operation of the API is tried with: success, not signed in, outsider, wrong role, bad input, not found,
 * conflict. The tests walk this list, and docs/api-coverage.md is made from it.
 */
import type { ErrorCode } from "../../_shared/errors.ts";
import { CATALOGUE } from "../../_shared/errors.ts";
import type { Operation } from "../../api/operation.ts";
import { operations } from "../../api/operations.ts";
import {
  type Actor,
  type ApiWorld,
  archive,
  makeApp,
  makeBuild,
  makeOutput,
  makePublishedApp,
  makeRun,
  makeSchedule,
  makeVersion,
  makeWebhook,
  permissionOf,
  slugOf,
} from "./world.ts";

export const KINDS = [
  "success",
  "not signed in",
  "outsider",
  "wrong role",
  "bad input",
  "not found",
  "conflict",
] as const;
export type Kind = (typeof KINDS)[number];

/** A request without what the operation says itself. */
export interface Scene {
  params?: Record<string, string>;
  query?: Record<string, string>;
  body?: Record<string, unknown>;
  headers?: Record<string, string>;
}

/** What is tried, and what comes of it. */
export interface Case {
  actor: Actor | null;
  /** Makes what the request needs, and the request. */
  scene(world: ApiWorld): Promise<Scene>;
  status: number;
  code?: ErrorCode;
  /** The input that the error names. */
  field?: string;
}

/** Why a case cannot exist. */
export interface Never {
  never: string;
}

/** What differs from the request that succeeds. Defaults are in `casesOf`. */
interface Plan {
  scene(world: ApiWorld): Promise<Scene>;
  outsider?: { status: number; code?: ErrorCode };
  /** Who sees the thing, and may not do this. */
  weaker: Actor | Never;
  bad?: Scene & { field: string };
  notFound?: Never;
  conflict: Never | {
    code: ErrorCode;
    field?: string;
    /** Changes the request, or makes the state that it conflicts with. */
    by(world: ApiWorld, scene: Scene): Promise<Scene> | Scene;
  };
}

const READERS: Never = { never: "whoever sees it may read it" };
const MEMBERS: Never = { never: "every member may" };
const READING: Never = { never: "reading is in nobody's way" };

const stale = {
  code: "precondition_failed" as const,
  by: (_: ApiWorld, scene: Scene) => ({ ...scene, headers: { "if-match": '"of-another-time"' } }),
};

async function inApp(world: ApiWorld): Promise<{ appId: string }> {
  return { appId: await makePublishedApp(world) };
}

const PLANS: Record<string, Plan> = {
  listApps: {
    scene: () => Promise.resolve({}),
    outsider: { status: 200 },
    weaker: READERS,
    bad: { query: { limit: "1001" }, field: "limit" },
    notFound: { never: "a list of all apps is there for everybody" },
    conflict: READING,
  },
  createApp: {
    scene: (world) =>
      Promise.resolve({
        body: {
          slug: `made-${crypto.randomUUID().slice(0, 8)}`,
          name: "Made",
          publisher_company_id: world.publisherId,
        },
      }),
    outsider: { status: 403, code: "forbidden" },
    weaker: "member",
    bad: { body: { slug: "Not A Slug" }, field: "slug" },
    notFound: {
      never:
        "it names nothing but the publisher, which is forbidden like any that is not the caller's",
    },
    conflict: {
      code: "conflict",
      field: "slug",
      by: async (world, scene) => ({
        ...scene,
        body: { ...scene.body, slug: await slugOf(world, await makeApp(world)) },
      }),
    },
  },
  getApp: {
    scene: async (world) => ({ params: { appId: await makeApp(world) } }),
    weaker: READERS,
    conflict: READING,
  },
  updateApp: {
    scene: async (world) => ({
      params: { appId: await makeApp(world) },
      body: { name: "Renamed" },
    }),
    weaker: "customer",
    bad: { body: { visibility: "secret" }, field: "visibility" },
    conflict: {
      code: "conflict",
      field: "slug",
      by: async (world, scene) => ({
        ...scene,
        body: { slug: await slugOf(world, await makeApp(world)) },
      }),
    },
  },
  deleteApp: {
    scene: async (world) => ({ params: { appId: await makeApp(world) } }),
    weaker: "member",
    conflict: {
      code: "conflict",
      by: async (world, scene) => {
        await makeVersion(world, scene.params!.appId);
        return scene;
      },
    },
  },

  listVersions: {
    scene: async (world) => ({ params: await inApp(world) }),
    weaker: READERS,
    bad: { query: { status: "broken" }, field: "status[0]" },
    conflict: READING,
  },
  createVersion: {
    scene: async (world) => ({ params: await inApp(world), body: { version: "2.0.0+build.1" } }),
    weaker: "customer",
    bad: { body: { version: "v2" }, field: "version" },
    conflict: {
      code: "conflict",
      field: "version",
      by: (_, scene) => ({ ...scene, body: { version: "1.0.0" } }),
    },
  },
  getVersion: {
    scene: async (world) => ({ params: { ...await inApp(world), version: "1.0.0" } }),
    weaker: READERS,
    conflict: READING,
  },
  updateVersion: {
    scene: async (world) => ({
      params: { ...await inApp(world), version: "1.0.0" },
      body: { status: "deprecated", status_reason: "Old" },
    }),
    weaker: "member",
    bad: { body: { status: "draft" }, field: "status" },
    conflict: {
      code: "conflict",
      field: "manifest",
      by: async (world, scene) => {
        const { appId } = scene.params!;
        await world.database.query(
          "insert into app_versions (app_id, version) values ($1, '3.0.0')",
          [appId],
        );
        return { params: { appId, version: "3.0.0" }, body: { status: "published" } };
      },
    },
  },
  deleteVersion: {
    scene: async (world) => {
      const appId = await makeApp(world);
      await world.database.query(
        "insert into app_versions (app_id, version) values ($1, '3.0.0')",
        [
          appId,
        ],
      );
      return { params: { appId, version: "3.0.0" } };
    },
    weaker: "member",
    conflict: {
      code: "conflict",
      field: "status",
      by: async (world, scene) => {
        await makeVersion(world, scene.params!.appId);
        return { params: { ...scene.params, version: "1.0.0" } };
      },
    },
  },

  listFiles: {
    scene: async (world) => ({ params: await inApp(world) }),
    weaker: READERS,
    bad: { query: { version: "latest" }, field: "version" },
    conflict: READING,
  },
  getFile: {
    scene: async (world) => {
      const appId = await makeApp(world);
      return { params: { appId, fileId: await makeVersion(world, appId) } };
    },
    weaker: READERS,
    conflict: READING,
  },
  deleteFile: {
    scene: async (world) => {
      const appId = await makeApp(world);
      return { params: { appId, fileId: await makeVersion(world, appId, "2.0.0", "draft") } };
    },
    weaker: "member",
    conflict: {
      code: "version_not_draft",
      field: "version",
      by: async (world, { params }) => ({
        params: { ...params!, fileId: await makeVersion(world, params!.appId) },
      }),
    },
  },

  listBuilds: {
    scene: async (world) => ({ params: await inApp(world) }),
    weaker: READERS,
    bad: { query: { created_after: "yesterday" }, field: "created_after" },
    conflict: READING,
  },
  createBuild: {
    scene: async (world) => ({ params: await inApp(world), body: { build_version: "1.0.0" } }),
    weaker: "member",
    bad: { body: { build_config: [] as unknown as string }, field: "build_config" },
    conflict: {
      code: "conflict",
      field: "build_version",
      by: (_, scene) => ({ ...scene, body: { build_version: "9.9.9" } }),
    },
  },
  getBuild: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, buildId: await makeBuild(world, appId) } };
    },
    weaker: READERS,
    conflict: READING,
  },
  cancelBuild: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, buildId: await makeBuild(world, appId) } };
    },
    weaker: "member",
    conflict: {
      code: "conflict",
      field: "build_status",
      by: async (world, { params }) => ({
        params: { ...params!, buildId: await makeBuild(world, params!.appId, "failed") },
      }),
    },
  },

  listRuns: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      await makeRun(world, appId);
      return { params: { appId } };
    },
    weaker: READERS,
    bad: { query: { sort: "company_id" }, field: "sort" },
    conflict: READING,
  },
  createRun: {
    scene: async (world) => ({
      params: await inApp(world),
      body: { company_id: world.publisherId, config: { deep: [{ er: true }] } },
    }),
    weaker: MEMBERS,
    bad: { body: { priority: 101 }, field: "priority" },
    conflict: {
      code: "app_not_runnable",
      field: "version",
      by: async (world, scene) => ({ ...scene, params: { appId: await makeApp(world) } }),
    },
  },
  getRun: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, runId: await makeRun(world, appId) } };
    },
    weaker: READERS,
    conflict: READING,
  },
  cancelRun: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, runId: await makeRun(world, appId) } };
    },
    weaker: MEMBERS,
    conflict: { never: "a finished run is answered as it is" },
  },
  retryRun: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, runId: await makeRun(world, appId, "cancelled") } };
    },
    weaker: MEMBERS,
    conflict: {
      code: "run_not_finished",
      field: "run_id",
      by: async (world, { params }) => ({
        params: { ...params!, runId: await makeRun(world, params!.appId) },
      }),
    },
  },
  getRunLogs: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, runId: await makeRun(world, appId) } };
    },
    weaker: READERS,
    bad: { query: { stream: "stdin" }, field: "stream" },
    conflict: READING,
  },
  listOutputs: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      const runId = await makeRun(world, appId);
      await makeOutput(world, runId);
      return { params: { appId, runId } };
    },
    weaker: READERS,
    bad: { query: { output_type: "result,nothing" }, field: "output_type[1]" },
    conflict: READING,
  },
  getOutput: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      const runId = await makeRun(world, appId);
      return { params: { appId, runId, outputId: await makeOutput(world, runId) } };
    },
    weaker: READERS,
    conflict: READING,
  },

  listSchedules: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      await makeSchedule(world, appId);
      return { params: { appId } };
    },
    weaker: READERS,
    bad: { query: { is_active: "yes" }, field: "is_active" },
    conflict: READING,
  },
  createSchedule: {
    scene: async (world) => ({
      params: await inApp(world),
      body: { company_id: world.publisherId, cron_expression: "@hourly", max_lateness_seconds: 90 },
    }),
    weaker: "member",
    bad: { body: { cron_expression: "61 * * * *" }, field: "cron_expression" },
    conflict: {
      code: "app_not_runnable",
      field: "app_id",
      by: async (world, scene) => {
        await archive(world, scene.params!.appId);
        return scene;
      },
    },
  },
  previewSchedule: {
    scene: async (world) => ({
      params: await inApp(world),
      query: { cron_expression: "*/5 * * * *" },
    }),
    weaker: READERS,
    bad: { query: { cron_expression: "61 * * * *" }, field: "cron_expression" },
    conflict: READING,
  },
  getSchedule: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, scheduleId: await makeSchedule(world, appId) } };
    },
    weaker: READERS,
    conflict: READING,
  },
  updateSchedule: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return {
        params: { appId, scheduleId: await makeSchedule(world, appId) },
        body: { is_active: false },
      };
    },
    weaker: "member",
    bad: { body: { max_lateness_seconds: -1 }, field: "max_lateness_seconds" },
    conflict: stale,
  },
  deleteSchedule: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, scheduleId: await makeSchedule(world, appId) } };
    },
    weaker: "member",
    conflict: stale,
  },

  listWebhooks: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      await makeWebhook(world, appId);
      return { params: { appId } };
    },
    weaker: READERS,
    bad: { query: { company_id: "mine" }, field: "company_id" },
    conflict: READING,
  },
  createWebhook: {
    scene: async (world) => ({
      params: await inApp(world),
      body: { company_id: world.publisherId, name: "Orders" },
    }),
    weaker: "member",
    bad: { body: { name: "   " }, field: "name" },
    conflict: {
      code: "app_not_runnable",
      field: "app_id",
      by: async (world, scene) => {
        await archive(world, scene.params!.appId);
        return scene;
      },
    },
  },
  getWebhook: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, webhookId: await makeWebhook(world, appId) } };
    },
    weaker: READERS,
    conflict: READING,
  },
  updateWebhook: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return {
        params: { appId, webhookId: await makeWebhook(world, appId) },
        body: { name: "Renamed" },
      };
    },
    weaker: "member",
    bad: { body: { max_deliveries_per_minute: 0 }, field: "max_deliveries_per_minute" },
    conflict: {
      code: "app_not_runnable",
      field: "version",
      by: (_, scene) => ({ ...scene, body: { version: "9.9.9" } }),
    },
  },
  rotateWebhookSecret: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return {
        params: { appId, webhookId: await makeWebhook(world, appId) },
        body: { grace_seconds: 0 },
      };
    },
    weaker: "member",
    bad: { body: { grace_seconds: 2592001 }, field: "grace_seconds" },
    conflict: { never: "there can always be another secret" },
  },
  deleteWebhook: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, webhookId: await makeWebhook(world, appId) } };
    },
    weaker: "member",
    conflict: stale,
  },
  listDeliveries: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, webhookId: await makeWebhook(world, appId) } };
    },
    weaker: READERS,
    bad: { query: { cursor: "not a cursor" }, field: "cursor" },
    conflict: READING,
  },

  listPermissions: {
    scene: async (world) => ({ params: await inApp(world) }),
    weaker: READERS,
    bad: { query: { permission_type: "root" }, field: "permission_type[0]" },
    conflict: READING,
  },
  getPermission: {
    scene: async (world) => {
      const { appId } = await inApp(world);
      return { params: { appId, permissionId: await permissionOf(world, appId) } };
    },
    weaker: READERS,
    conflict: READING,
  },

  listAssignments: {
    scene: async (world) => ({ params: await inApp(world) }),
    weaker: READERS,
    bad: { query: { limit: "0" }, field: "limit" },
    conflict: READING,
  },
  createAssignment: {
    scene: async (world) => ({
      params: { appId: await makeApp(world, "public") },
      body: { company_id: world.publisherId },
    }),
    outsider: { status: 403, code: "forbidden" },
    weaker: "member",
    bad: { body: { company_id: "northwind" }, field: "company_id" },
    conflict: {
      code: "conflict",
      field: "company_id",
      by: async (world, scene) => {
        await world.database.query(
          "insert into app_assignments (app_id, company_id) values ($1, $2)",
          [scene.params!.appId, world.publisherId],
        );
        return scene;
      },
    },
  },
  getAssignment: {
    scene: async (world) => ({ params: { ...await inApp(world), companyId: world.customerId } }),
    weaker: READERS,
    conflict: READING,
  },
  deleteAssignment: {
    scene: async (world) => {
      const appId = await makeApp(world, "public");
      await world.database.query(
        "insert into app_assignments (app_id, company_id) values ($1, $2)",
        [
          appId,
          world.publisherId,
        ],
      );
      return { params: { appId, companyId: world.publisherId } };
    },
    weaker: "member",
    conflict: stale,
  },
};

/** The operations that there are plans for. */
export const PLANNED = Object.keys(PLANS);

/** Every case of an operation. What is said of all operations alike is said here. */
export function casesOf(operation: Operation): Record<Kind, Case | Never> {
  const { scene, outsider, weaker, bad, notFound, conflict } = PLANS[operation.id];
  const problem = (code: ErrorCode) => ({ status: CATALOGUE[code].status, code });
  return {
    "success": { actor: "owner", scene, status: operation.status },
    "not signed in": { actor: null, scene, ...problem("unauthenticated") },
    "outsider": { actor: "outsider", scene, ...(outsider ?? problem("not_found")) },
    "wrong role": typeof weaker === "string"
      ? { actor: weaker, scene, ...problem("forbidden") }
      : weaker,
    "bad input": {
      actor: "owner",
      scene: async (world) => spoiled(await scene(world), bad),
      ...problem("invalid_request"),
      field: bad?.field ?? "nonsense",
    },
    "not found": notFound ?? {
      actor: "owner",
      scene: async (world) => elsewhere(await scene(world)),
      ...problem("not_found"),
    },
    "conflict": "never" in conflict ? conflict : {
      actor: "owner",
      scene: async (world) => await conflict.by(world, await scene(world)),
      ...problem(conflict.code),
      field: conflict.field,
    },
  };
}

/** The request with something wrong in it: a parameter that there is none of, where nothing else is said. */
function spoiled(scene: Scene, bad: Scene | undefined): Scene {
  return {
    ...scene,
    query: { ...scene.query, ...(bad ? bad.query : { nonsense: "1" }) },
    ...(scene.body && { body: { ...scene.body, ...bad?.body } }),
  };
}

/** The request for something that is not there, by the last name in its path. */
function elsewhere(scene: Scene): Scene {
  const last = Object.keys(scene.params!).at(-1)!;
  const value = last === "version" ? "9.9.9" : crypto.randomUUID();
  return { ...scene, params: { ...scene.params, [last]: value } };
}

export { operations };
