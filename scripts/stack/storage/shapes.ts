/**
 * Rows as they go over the wire. The real server's serializer lets through what its schemas name and writes a missing
 * text as an empty one, which clients have come to expect.
 */
import type { BucketRow } from "./buckets_table.ts";
import type { ObjectRow } from "./objects_table.ts";

export function bucketShape(row: BucketRow): Record<string, unknown> {
  return {
    id: row.id,
    name: row.name,
    owner: row.owner ?? "",
    public: row.public ?? false,
    ...(row.type === undefined ? {} : { type: row.type }),
    file_size_limit: row.file_size_limit,
    allowed_mime_types: row.allowed_mime_types,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

/** A whole row, as deleting and copying answer. */
export function objectShape(row: ObjectRow): Record<string, unknown> {
  return {
    name: row.name,
    bucket_id: row.bucket_id,
    owner: row.owner ?? "",
    owner_id: row.owner_id ?? "",
    version: row.version ?? "",
    id: row.id,
    updated_at: row.updated_at,
    created_at: row.created_at,
    last_accessed_at: row.last_accessed_at,
    metadata: row.metadata,
    user_metadata: row.user_metadata,
  };
}
