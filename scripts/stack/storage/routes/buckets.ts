/** Making, reading, changing, emptying and deleting buckets. */
import {
  type BucketListOptions,
  type BucketSettings,
  deleteBucket,
  findBucket,
  insertBucket,
  listBuckets,
  updateBucket,
} from "../buckets_table.ts";
import { json, jsonBody, query, type RequestContext } from "../context.ts";
import { errors } from "../errors.ts";
import { assertMimeRules, bucketSizeLimit, DELETE_BATCH, EMPTY_BUCKET_MAX } from "../limits.ts";
import { assertBucketName, assertNewBucketName } from "../names.ts";
import { countObjects, deleteObjects } from "../objects_table.ts";
import type { Route } from "../router.ts";
import { bucketShape } from "../shapes.ts";
import type { Schema } from "../validate.ts";

interface SettingsBody {
  public?: boolean;
  /** Bytes, or a text such as `20MB`. */
  file_size_limit?: number | string | null;
  allowed_mime_types?: string[] | null;
}

const SETTINGS: Record<string, Schema> = {
  public: { type: "boolean" },
  file_size_limit: {
    anyOf: [
      { type: "integer", minimum: 0, nullable: true },
      {
        type: "string",
        pattern: /^[0-9]+(?:\.[0-9]+)?(?:[gG][bB]|[mM][bB]|[kK][bB]|[bB])$/,
        nullable: true,
      },
    ],
  },
  allowed_mime_types: { type: "array", items: { type: "string" }, nullable: true },
};

/** The settings as they are stored, checked. What the body leaves out stays undefined. */
function settings(body: SettingsBody, globalLimit: number): BucketSettings {
  const { file_size_limit: limit } = body;
  const mimeTypes = body.allowed_mime_types?.filter((type) => type !== "") ??
    body.allowed_mime_types;
  const stored = {
    public: body.public,
    file_size_limit: limit === null || limit === undefined
      ? limit
      : bucketSizeLimit(limit, globalLimit),
    allowed_mime_types: mimeTypes,
  };
  if (mimeTypes) assertMimeRules(mimeTypes);
  return stored;
}

async function create({ request, caller, db, server }: RequestContext): Promise<Response> {
  const body = await jsonBody<SettingsBody & { name: string; id?: string; type?: string }>(
    request,
    {
      type: "object",
      properties: {
        name: { type: "string" },
        id: { type: "string" },
        type: { type: "string", enum: ["STANDARD", "ANALYTICS"] },
        ...SETTINGS,
      },
      required: ["name"],
    },
  );
  assertNewBucketName(body.name);
  if (body.type === "ANALYTICS") {
    throw errors.featureNotEnabled("Iceberg buckets are not enabled for this tenant");
  }
  const bucket = {
    ...settings(body, server.fileSizeLimit),
    id: body.id || body.name,
    name: body.name,
    owner: caller.owner,
  };
  await db.asCaller((tx) => insertBucket(tx, bucket));
  return json({ name: body.name });
}

async function list({ url, db }: RequestContext): Promise<Response> {
  const options = query<BucketListOptions>(url, {
    type: "object",
    properties: {
      limit: { type: "integer", minimum: 1 },
      offset: { type: "integer", minimum: 0 },
      sortColumn: { type: "string", enum: ["id", "name", "created_at", "updated_at"] },
      sortOrder: { type: "string", enum: ["asc", "desc"] },
      search: { type: "string" },
    },
  });
  const rows = await db.asCaller((tx) => listBuckets(tx, options));
  return json(rows.map(bucketShape));
}

async function get({ params, db }: RequestContext): Promise<Response> {
  return json(bucketShape(await db.asCaller((tx) => findBucket(tx, params.id))));
}

async function update({ request, params, db, server }: RequestContext): Promise<Response> {
  const body = await jsonBody<SettingsBody>(request, {
    type: "object",
    properties: SETTINGS,
    minProperties: 1,
    anyRequired: ["public", "file_size_limit", "allowed_mime_types"],
  });
  assertBucketName(params.id);
  await db.asCaller((tx) => updateBucket(tx, params.id, settings(body, server.fileSizeLimit)));
  return json({ message: "Successfully updated" });
}

async function remove({ params, caller, db }: RequestContext): Promise<Response> {
  await db.asService(async (tx) => {
    await findBucket(tx, params.id, { lock: true });
    if (await countObjects(tx, params.id, 1) > 0) throw errors.bucketNotEmpty();
    await tx.become(caller);
    if (!await deleteBucket(tx, params.id)) throw errors.noSuchBucket();
  });
  return json({ message: "Successfully deleted" });
}

/** The platform queues the work; here it is done when the answer comes. */
async function empty({ params, db, server }: RequestContext): Promise<Response> {
  const { id } = params;
  const before = new Date();
  await db.asCaller(async (tx) => {
    await findBucket(tx, id);
    if (await countObjects(tx, id, EMPTY_BUCKET_MAX + 1) > EMPTY_BUCKET_MAX) {
      throw errors.unableToEmptyBucket();
    }
  });
  for (;;) {
    const gone = await db.asService(async (tx) => {
      const rows = await tx.query<{ name: string }>(
        `select name from storage.objects where bucket_id = $1 and created_at <= $2
         order by name collate "C" limit $3`,
        [id, before, DELETE_BATCH],
      );
      return await deleteObjects(tx, id, rows.map((row) => row.name));
    });
    for (const row of gone) await server.discard(id, row.name, row.version);
    if (gone.length < DELETE_BATCH) break;
  }
  return json({ message: "Empty bucket has been queued. Completion may take up to an hour." });
}

export const bucketRoutes: Route[] = [
  {
    method: "POST",
    path: "/bucket",
    operation: "storage.bucket.create",
    access: "required",
    handle: create,
  },
  {
    method: "GET",
    path: "/bucket",
    operation: "storage.bucket.list",
    access: "required",
    handle: list,
  },
  {
    method: "GET",
    path: "/bucket/:id",
    operation: "storage.bucket.get",
    access: "required",
    handle: get,
  },
  {
    method: "PUT",
    path: "/bucket/:id",
    operation: "storage.bucket.update",
    access: "required",
    handle: update,
  },
  {
    method: "DELETE",
    path: "/bucket/:id",
    operation: "storage.bucket.delete",
    access: "required",
    handle: remove,
  },
  {
    method: "POST",
    path: "/bucket/:id/empty",
    operation: "storage.bucket.empty",
    access: "service",
    handle: empty,
  },
];
