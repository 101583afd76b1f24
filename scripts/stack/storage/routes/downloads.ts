/** Reading objects: the file, its headers, or what is known of it; for members, the public, and holders of a link. */
import { ANONYMOUS } from "../auth.ts";
import { lookUpBucket } from "../buckets_table.ts";
import type { RequestContext } from "../context.ts";
import { errors } from "../errors.ts";
import { assertBucketName, assertObjectKey } from "../names.ts";
import { findObject, type ObjectRow } from "../objects_table.ts";
import { sendFile, sendHead, sendInfo } from "../render.ts";
import type { Route } from "../router.ts";

/** The object, if the caller may read it: in a public bucket everyone may, elsewhere row security decides. */
async function readable({ db, caller, params }: RequestContext): Promise<ObjectRow> {
  const { bucket: id, "*": name } = params;
  const bucket = await db.asService((tx) => lookUpBucket(tx, id));
  if (!bucket || (!caller.authenticated && !bucket.public)) throw errors.noSuchBucket();
  assertBucketName(id);
  assertObjectKey(name);
  return bucket.public
    ? await db.asService((tx) => findObject(tx, id, name))
    : await db.asCaller((tx) => findObject(tx, id, name));
}

/** An object of a public bucket, whoever asks. */
async function published(context: RequestContext): Promise<ObjectRow> {
  return await readable({ ...context, caller: ANONYMOUS });
}

export const downloadRoutes: Route[] = [
  {
    method: "GET",
    path: "/object/authenticated/:bucket/*",
    operation: "storage.object.get_authenticated",
    access: "required",
    handle: async (context) => sendFile(context, await readable(context)),
  },
  {
    method: "GET",
    path: "/object/:bucket/*",
    operation: "storage.object.get_authenticated",
    access: "optional",
    handle: async (context) => sendFile(context, await readable(context)),
  },
  {
    method: "GET",
    path: "/object/public/:bucket/*",
    operation: "storage.object.get_public",
    access: "none",
    handle: async (context) => sendFile(context, await published(context)),
  },
  {
    method: "HEAD",
    path: "/object/authenticated/:bucket/*",
    operation: "object.head_authenticated_info",
    access: "required",
    handle: async (context) => sendHead(context, await readable(context)),
  },
  {
    method: "HEAD",
    path: "/object/:bucket/*",
    operation: "object.head_authenticated_info",
    access: "optional",
    handle: async (context) => sendHead(context, await readable(context)),
  },
  {
    method: "HEAD",
    path: "/object/public/:bucket/*",
    operation: "storage.object.info_public",
    access: "none",
    handle: async (context) => sendHead(context, await published(context)),
  },
  {
    method: "GET",
    path: "/object/info/authenticated/:bucket/*",
    operation: "object.get_authenticated_info",
    access: "required",
    handle: async (context) => sendInfo(await readable(context)),
  },
  {
    method: "GET",
    path: "/object/info/:bucket/*",
    operation: "object.get_authenticated_info",
    access: "optional",
    handle: async (context) => sendInfo(await readable(context)),
  },
  {
    method: "GET",
    path: "/object/info/public/:bucket/*",
    operation: "storage.object.info_public",
    access: "none",
    handle: async (context) => sendInfo(await published(context)),
  },
];
