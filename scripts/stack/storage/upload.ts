/**
 * Storing a file: ask row security, write the bytes, change the row, drop what it replaced.
 *
 * The order is the real server's: a caller without the right is refused before the first byte is kept, and the row
 * appears only when the file is whole. Whatever fails on the way takes the new file with it.
 */
import { findBucket } from "./buckets_table.ts";
import type { RequestContext } from "./context.ts";
import { assertBucketName, assertObjectKey } from "./names.ts";
import {
  insertObject,
  lookUpObject,
  type ObjectMetadata,
  type ObjectRow,
  upsertObject,
} from "./objects_table.ts";
import { type IncomingFile, withIncomingFile } from "./upload_body.ts";

export interface UploadTarget {
  bucket: string;
  name: string;
  upsert: boolean;
  owner?: string;
}

/** What policies can see of an object that is not there yet. */
export interface PlannedObject extends UploadTarget {
  metadata?: ObjectMetadata;
  userMetadata?: Record<string, unknown> | null;
}

/** The version that a probing row carries. */
const PROBE_VERSION = "1";

/**
 * Throws unless the caller may store this object: to create, the right to insert; to replace, also the rights to update
 * and to read, whether or not there is something to replace.
 */
export async function assertMayStore(
  db: RequestContext["db"],
  planned: PlannedObject,
): Promise<void> {
  const values = {
    bucket_id: planned.bucket,
    name: planned.name,
    version: PROBE_VERSION,
    owner: planned.owner,
    metadata: planned.metadata,
    user_metadata: planned.userMetadata,
  };
  await db.probe((tx) => planned.upsert ? upsertObject(tx, values) : insertObject(tx, values));
}

/** Takes the file out of the request and stores it. */
export async function storeUpload(
  context: RequestContext,
  { upsert, owner }: Pick<UploadTarget, "upsert" | "owner">,
): Promise<ObjectRow> {
  const { db, request, server } = context;
  const { bucket, "*": name } = context.params;
  assertBucketName(bucket);
  const settings = await db.asService((tx) => findBucket(tx, bucket));
  const expected = {
    name,
    bucketLimit: settings.file_size_limit,
    globalLimit: server.fileSizeLimit,
    mimeRules: settings.allowed_mime_types,
  };
  return await withIncomingFile(request, expected, async (file) => {
    assertObjectKey(name);
    const target = { bucket, name, upsert, owner };
    await assertMayStore(db, {
      ...target,
      metadata: { mimetype: file.mimetype, contentLength: file.declaredLength },
      userMetadata: file.userMetadata,
    });
    return await storeFile(context, target, file);
  });
}

async function storeFile(
  { db, server }: RequestContext,
  { bucket, name, owner }: UploadTarget,
  file: IncomingFile,
): Promise<ObjectRow> {
  const version = crypto.randomUUID();
  const stored = await server.files.write(bucket, name, version, file.body, file.limit);
  const metadata: ObjectMetadata = {
    eTag: stored.eTag,
    size: stored.size,
    mimetype: file.mimetype,
    cacheControl: file.cacheControl,
    lastModified: stored.lastModified.toISOString(),
    contentLength: stored.size,
    httpStatusCode: 200,
    ...(file.robotsTag ? { xRobotsTag: file.robotsTag } : {}),
  };
  const userMetadata = { ...file.userMetadata };
  return await replaceObject(db, server, {
    bucket_id: bucket,
    name,
    version,
    owner,
    metadata,
    user_metadata: userMetadata,
  });
}

/**
 * Points the object's row at a new version, whose file is there already, and then removes the old version's file. Where
 * the row cannot be written, the new file goes instead.
 */
export async function replaceObject(
  db: RequestContext["db"],
  server: RequestContext["server"],
  values: Parameters<typeof upsertObject>[1],
): Promise<ObjectRow> {
  const { bucket_id: bucket, name, version } = values;
  try {
    const { row, replaced } = await db.asService(async (tx) => {
      await tx.lockObject(bucket, name);
      const current = await lookUpObject(tx, bucket, name, { lock: true });
      return { row: await upsertObject(tx, values), replaced: current };
    });
    if (replaced && replaced.version !== version) {
      await server.discard(bucket, name, replaced.version);
    }
    return row;
  } catch (error) {
    await server.discard(bucket, name, version);
    throw error;
  }
}
