/** Moving and copying objects, within a bucket or across. */
import { json, jsonBody, type RequestContext } from "../context.ts";
import { errors } from "../errors.ts";
import { assertBucketName, assertObjectKey } from "../names.ts";
import { findObject, type ObjectMetadata, updateObject } from "../objects_table.ts";
import type { Route } from "../router.ts";
import { objectShape } from "../shapes.ts";
import { assertMayStore, replaceObject } from "../upload.ts";
import { decodeUserMetadata } from "../upload_body.ts";
import type { ObjectSchema } from "../validate.ts";

interface Relocation {
  bucketId: string;
  sourceKey: string;
  destinationBucket?: string;
  destinationKey: string;
}

interface Copy extends Relocation {
  copyMetadata?: boolean;
  metadata?: { cacheControl?: string; mimetype?: string };
}

const RELOCATION = {
  bucketId: { type: "string" },
  sourceKey: { type: "string" },
  destinationBucket: { type: "string" },
  destinationKey: { type: "string" },
} as const;

const MOVE_BODY: ObjectSchema = {
  type: "object",
  properties: RELOCATION,
  required: ["bucketId", "sourceKey", "destinationKey"],
};

const COPY_BODY: ObjectSchema = {
  type: "object",
  properties: {
    ...RELOCATION,
    metadata: {
      type: "object",
      properties: { cacheControl: { type: "string" }, mimetype: { type: "string" } },
    },
    copyMetadata: { type: "boolean" },
  },
  required: ["sourceKey", "bucketId", "destinationKey"],
};

/** Needs the rights to read and to update the object, under its old name and its new one. */
async function move({ request, caller, db, server }: RequestContext): Promise<Response> {
  const body = await jsonBody<Relocation>(request, MOVE_BODY);
  const { bucketId: bucket, sourceKey: name, destinationKey: newName } = body;
  const newBucket = body.destinationBucket || bucket;
  const version = crypto.randomUUID();
  assertBucketName(bucket);
  assertObjectKey(newName);

  await db.probe(async (tx) => {
    await findObject(tx, bucket, name);
    await updateObject(tx, bucket, name, {
      name: newName,
      bucket_id: newBucket,
      version,
      owner: caller.owner,
    });
  });
  if (bucket === newBucket && name === newName) return json({ message: "Successfully moved" });

  const source = await db.asService((tx) => findObject(tx, bucket, name));
  const lastModified = await server.files.copy(
    { bucket, name, version: source.version ?? "" },
    { bucket: newBucket, name: newName, version },
  );
  try {
    await db.asService(async (tx) => {
      await tx.lockObject(newBucket, newName);
      const current = await findObject(tx, bucket, name, { lock: true });
      // Replaced while its bytes were being copied: what would move is not what is there now.
      if (current.version !== source.version) throw errors.noSuchKey();
      await updateObject(tx, bucket, name, {
        name: newName,
        bucket_id: newBucket,
        version,
        owner: caller.owner,
        metadata: movedMetadata(current.metadata, lastModified),
      });
    });
  } catch (error) {
    await server.discard(newBucket, newName, version);
    throw error;
  }
  await server.discard(bucket, name, source.version);
  return json({ message: "Successfully moved" });
}

/** What a move keeps is what the real server finds on the file: all but the robots tag. */
function movedMetadata(metadata: ObjectMetadata | null, lastModified: Date): ObjectMetadata {
  return { ...metadata, lastModified: lastModified.toISOString(), xRobotsTag: undefined };
}

/** Needs the right to read the source and to insert the copy; with `x-upsert`, also to update and read it. */
async function copy({ request, caller, db, server }: RequestContext): Promise<Response> {
  const body = await jsonBody<Copy>(request, COPY_BODY);
  const { bucketId: bucket, sourceKey: name, destinationKey: newName } = body;
  const newBucket = body.destinationBucket || bucket;
  const keepMetadata = body.copyMetadata ?? true;
  const userMetadata = request.headers.get("x-metadata");
  assertBucketName(bucket);
  assertObjectKey(newName);

  const source = await db.asCaller((tx) => findObject(tx, bucket, name));
  const metadata: ObjectMetadata = {
    ...source.metadata,
    ...(keepMetadata ? {} : definedOnly(body.metadata ?? {})),
  };
  const newUserMetadata = keepMetadata
    ? source.user_metadata
    : userMetadata === null
    ? undefined
    : decodeUserMetadata(userMetadata);
  await assertMayStore(db, {
    bucket: newBucket,
    name: newName,
    upsert: request.headers.get("x-upsert") === "true",
    owner: caller.owner,
    metadata,
    userMetadata: newUserMetadata || undefined,
  });

  const version = crypto.randomUUID();
  const copiedAt = await server.files.copy(
    { bucket, name, version: source.version ?? "" },
    { bucket: newBucket, name: newName, version },
  );
  const row = await replaceObject(db, server, {
    bucket_id: newBucket,
    name: newName,
    version,
    owner: caller.owner,
    metadata: { ...metadata, lastModified: copiedAt.toISOString() },
    user_metadata: newUserMetadata,
  });
  return json({ Id: row.id, Key: `${newBucket}/${newName}`, ...objectShape(row) });
}

function definedOnly(metadata: ObjectMetadata): ObjectMetadata {
  const { cacheControl, mimetype } = metadata;
  return {
    ...(cacheControl === undefined ? {} : { cacheControl }),
    ...(mimetype === undefined ? {} : { mimetype }),
  };
}

export const relocationRoutes: Route[] = [
  {
    method: "POST",
    path: "/object/move",
    operation: "storage.object.move",
    access: "required",
    handle: move,
  },
  {
    method: "POST",
    path: "/object/copy",
    operation: "storage.object.copy",
    access: "required",
    handle: copy,
  },
];
