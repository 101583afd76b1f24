import { z } from "zod";
import { FILE_TYPES } from "../../_shared/media_types.ts";
import { logFault } from "../../_shared/serve.ts";
import { APP_STORAGE } from "../../_shared/storage_paths.ts";
import { fromDatabase, fromStorage } from "../../_shared/upstream_errors.ts";
import { getOperation, listOperation, type Place } from "../crud.ts";
import { CREATED, oneOf } from "../list.ts";
import { type Operation, operation } from "../operation.ts";
import { SAMPLE } from "../samples.ts";
import { document, id, time, version } from "../schema.ts";
import type { Resource } from "../store.ts";

const files: Resource = {
  name: "File",
  table: "app_storage",
  schema: z.object({
    id,
    app_id: id,
    version: z.string(),
    file_path: z.string().describe("Name of the object in the bucket app-storage."),
    file_type: z.enum(FILE_TYPES),
    file_size: z.int().describe("Bytes."),
    content_type: z.string(),
    checksum: z.string().describe("sha256: and 64 hexadecimal digits."),
    metadata: document,
    created_at: time,
    updated_at: time,
  }),
  list: {
    filters: {
      version: { schema: version.describe("Files of this version.") },
      file_type: oneOf(FILE_TYPES, "One or more types, parted by commas."),
      content_type: { schema: z.string().max(200).describe("Exactly this media type.") },
      ...CREATED,
    },
    sorts: {
      created_at: { type: "time" },
      file_path: { type: "text" },
      file_size: { type: "number" },
    },
    defaultSort: "-created_at",
    tieBreaker: "id",
    omits: ["metadata"],
  },
};

const place: Place = {
  resource: files,
  tag: "Storage",
  one: "File",
  many: "Files",
  path: "/apps/:appId/storage",
  params: z.object({ appId: id }),
  itemPath: "/apps/:appId/storage/:fileId",
  itemParams: z.object({ appId: id, fileId: id }),
  within: ({ appId }) => ({ app_id: appId }),
  key: ({ appId, fileId }) => ({ app_id: appId, id: fileId }),
  sample: {
    params: { appId: SAMPLE.app },
    itemParams: { appId: SAMPLE.app, fileId: SAMPLE.file },
    item: {
      id: SAMPLE.file,
      app_id: SAMPLE.app,
      version: SAMPLE.version,
      file_path: `app_${SAMPLE.app}/${SAMPLE.version}/source.zip`,
      file_type: "source",
      file_size: 2048,
      content_type: "application/zip",
      checksum: SAMPLE.checksum,
      metadata: {},
      created_at: SAMPLE.time,
      updated_at: SAMPLE.time,
    },
  },
};

export const storageOperations: Operation[] = [
  listOperation(place, {
    summary: "List the files of an app",
    description:
      "Files are sent through `POST /functions/v1/uploads`, and fetched from what `POST /functions/v1/downloads` signs, " +
      "given `{ file_id }`. Sources and files of drafts are the publisher's to see.",
    query: { version: SAMPLE.version, file_type: "source" },
  }),
  getOperation(place, { summary: "Get a file's description" }),
  operation({
    id: "deleteFile",
    method: "DELETE",
    path: place.itemPath,
    tag: "Storage",
    summary: "Delete a file of a draft",
    description:
      "Row and object. For owners and admins of the publisher; a version that was released keeps its files.",
    params: z.object({ appId: id, fileId: id }),
    status: 204,
    returns: { nothing: true },
    errors: ["forbidden", "version_not_draft"],
    example: { params: { appId: SAMPLE.app, fileId: SAMPLE.draftFile } },
    handle: async ({ caller, params: { appId, fileId }, service, requestId }) => {
      const { data: path, error } = await caller.client.rpc("delete_app_file", {
        app_id: appId,
        file_id: fileId,
      });
      if (error) throw fromDatabase(error);
      const removed = await service().storage.from(APP_STORAGE).remove([path]);
      // The file is gone all the same: what is left is an object without a row, which nobody sees.
      if (removed.error) logFault("api", requestId, fromStorage(removed.error));
      return { status: 204 };
    },
  }),
];
