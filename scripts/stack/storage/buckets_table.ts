/** Statements on `storage.buckets`. */
import type { Transaction } from "./database.ts";
import { errors, isStorageError } from "./errors.ts";
import { isUuid } from "./names.ts";

export interface BucketRow {
  id: string;
  name: string;
  owner: string | null;
  public: boolean | null;
  type?: string;
  /** Bytes. */
  file_size_limit: number | null;
  allowed_mime_types: string[] | null;
  created_at: Date;
  updated_at: Date;
}

export interface BucketSettings {
  public?: boolean;
  file_size_limit?: number | null;
  allowed_mime_types?: string[] | null;
}

export interface BucketListOptions {
  limit?: number;
  offset?: number;
  sortColumn?: "id" | "name" | "created_at" | "updated_at";
  sortOrder?: "asc" | "desc";
  search?: string;
}

/** A double holds every size that a disk has, and arrives as a number where a bigint would be a text. */
const COLUMNS =
  "id, name, owner, public, created_at, updated_at, file_size_limit::float8 as file_size_limit, allowed_mime_types";

const escapeLike = (text: string) => text.replace(/[\\%_]/g, "\\$&");

export async function insertBucket(
  tx: Transaction,
  bucket: BucketSettings & { id: string; name: string; owner?: string },
): Promise<void> {
  try {
    await tx.query(
      `insert into storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
       values ($1, $2, $3, $4, $5, $6, $7)`,
      [
        bucket.id,
        bucket.name,
        isUuid(bucket.owner) ? bucket.owner : null,
        bucket.owner ?? null,
        bucket.public ?? false,
        bucket.file_size_limit ?? null,
        bucket.allowed_mime_types ?? null,
      ],
    );
  } catch (error) {
    throw isStorageError(error, "ResourceAlreadyExists") ? errors.bucketExists() : error;
  }
}

/** The bucket, or nothing where it is not there or not visible. */
export async function lookUpBucket(
  tx: Transaction,
  id: string,
  options: { lock?: boolean } = {},
): Promise<BucketRow | undefined> {
  const [row] = await tx.query<BucketRow>(
    `select ${COLUMNS} from storage.buckets where id = $1${options.lock ? " for update" : ""}`,
    [id],
  );
  return row;
}

/** The bucket; NoSuchBucket where it is not there or not visible. */
export async function findBucket(
  tx: Transaction,
  id: string,
  options: { lock?: boolean } = {},
): Promise<BucketRow> {
  const row = await lookUpBucket(tx, id, options);
  if (!row) throw errors.noSuchBucket();
  return row;
}

export function listBuckets(tx: Transaction, options: BucketListOptions): Promise<BucketRow[]> {
  const values: unknown[] = [];
  const place = (value: unknown) => `$${values.push(value)}`;
  const search = options.search
    ? `where name ilike ${place(`%${escapeLike(options.search)}%`)}`
    : "";
  const order = options.sortColumn
    ? `order by ${options.sortColumn} ${options.sortOrder === "desc" ? "desc" : "asc"}`
    : "";
  const limit = options.limit === undefined ? "" : `limit ${place(options.limit)}`;
  const offset = options.offset === undefined ? "" : `offset ${place(options.offset)}`;
  return tx.query<BucketRow>(
    `select ${COLUMNS}, type from storage.buckets ${search} ${order} ${limit} ${offset}`,
    values,
  );
}

export async function updateBucket(
  tx: Transaction,
  id: string,
  settings: BucketSettings,
): Promise<void> {
  const entries = Object.entries(settings).filter(([, value]) => value !== undefined);
  const changes = entries.map(([column], index) => `${column} = $${index + 2}`).join(", ");
  const rows = await tx.query(
    `update storage.buckets set ${changes} where id = $1 returning id`,
    [id, ...entries.map(([, value]) => value)],
  );
  if (rows.length === 0) throw errors.noSuchBucket();
}

/** Whether there was one that the caller may delete. */
export async function deleteBucket(tx: Transaction, id: string): Promise<boolean> {
  const rows = await tx.query("delete from storage.buckets where id = $1 returning id", [id]);
  return rows.length > 0;
}
