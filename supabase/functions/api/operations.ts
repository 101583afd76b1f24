import type { Operation } from "./operation.ts";
import { appOperations } from "./resources/apps.ts";
import { assignmentOperations } from "./resources/assignments.ts";
import { buildOperations } from "./resources/builds.ts";
import { outputOperations } from "./resources/outputs.ts";
import { permissionOperations } from "./resources/permissions.ts";
import { runOperations } from "./resources/runs.ts";
import { scheduleOperations } from "./resources/schedules.ts";
import { storageOperations } from "./resources/storage.ts";
import { versionOperations } from "./resources/versions.ts";
import { webhookOperations } from "./resources/webhooks.ts";

/** Everything that the API does. */
export const operations: Operation[] = [
  ...appOperations,
  ...versionOperations,
  ...storageOperations,
  ...buildOperations,
  ...runOperations,
  ...outputOperations,
  ...scheduleOperations,
  ...webhookOperations,
  ...permissionOperations,
  ...assignmentOperations,
];
