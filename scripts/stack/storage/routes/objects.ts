/** Uploading, replacing and removing objects. */
import { json, jsonBody, type RequestContext } from "../context.ts";
import { errors } from "../errors.ts";
import { DELETE_BATCH } from "../limits.ts";
import { assertBucketName } from "../names.ts";
import { deleteObjects, findObject, type ObjectRow } from "../objects_table.ts";
import type { Route } from "../router.ts";
import { objectShape } from "../shapes.ts";
import { storeUpload } from "../upload.ts";

async function upload(context: RequestContext, upsert: boolean): Promise<Response> {
  const row = await storeUpload(context, { upsert, owner: context.caller.owner });
  return json({ Id: row.id, Key: `${row.bucket_id}/${row.name}` });
}

/** The file goes after the row: a crash between the two leaves an orphan file, never a row without its file. */
async function discardAll({ server }: RequestContext, rows: ObjectRow[]): Promise<void> {
  for (const row of rows) await server.discard(row.bucket_id, row.name, row.version);
}

async function removeOne(context: RequestContext): Promise<Response> {
  const { bucket, "*": name } = context.params;
  assertBucketName(bucket);
  // Telling "not there" from "not yours" here is what the real server does.
  await context.db.asService((tx) => findObject(tx, bucket, name));
  const deleted = await context.db.asCaller((tx) => deleteObjects(tx, bucket, [name]));
  if (deleted.length === 0) throw errors.accessDenied();
  await discardAll(context, deleted);
  return json({ message: "Successfully deleted" });
}

async function removeMany(context: RequestContext): Promise<Response> {
  const { prefixes } = await jsonBody<{ prefixes: string[] }>(context.request, {
    type: "object",
    properties: { prefixes: { type: "array", items: { type: "string" }, minItems: 1 } },
    required: ["prefixes"],
  });
  const { bucket } = context.params;
  assertBucketName(bucket);
  const removed: ObjectRow[] = [];
  for (let start = 0; start < prefixes.length; start += DELETE_BATCH) {
    const names = prefixes.slice(start, start + DELETE_BATCH);
    const rows = await context.db.asCaller((tx) => deleteObjects(tx, bucket, names));
    await discardAll(context, rows);
    removed.push(...rows);
  }
  return json(removed.map(objectShape));
}

export const objectRoutes: Route[] = [
  {
    method: "POST",
    path: "/object/:bucket/*",
    operation: "storage.object.upload",
    access: "required",
    handle: (context) => upload(context, context.request.headers.get("x-upsert") === "true"),
  },
  {
    method: "PUT",
    path: "/object/:bucket/*",
    operation: "storage.object.upload_update",
    access: "required",
    handle: (context) => upload(context, true),
  },
  {
    method: "DELETE",
    path: "/object/:bucket/*",
    operation: "storage.object.delete",
    access: "required",
    handle: removeOne,
  },
  {
    method: "DELETE",
    path: "/object/:bucket",
    operation: "storage.object.delete_many",
    access: "required",
    handle: removeMany,
  },
];
