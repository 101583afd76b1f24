/** Statements on `storage.objects`. */
import type { Transaction } from "./database.ts";
import { errors, isStorageError } from "./errors.ts";
import { isUuid } from "./names.ts";

/** What is known of a file; the column `metadata`. */
export interface ObjectMetadata {
  eTag?: string;
  /** Bytes. */
  size?: number;
  mimetype?: string;
  cacheControl?: string;
  /** ISO 8601. */
  lastModified?: string;
  contentLength?: number;
  httpStatusCode?: number;
  xRobotsTag?: string;
}

export interface ObjectRow {
  id: string;
  bucket_id: string;
  name: string;
  version: string | null;
  owner: string | null;
  owner_id: string | null;
  metadata: ObjectMetadata | null;
  user_metadata: Record<string, unknown> | null;
  created_at: Date;
  updated_at: Date;
  last_accessed_at: Date;
}

export interface ObjectValues {
  bucket_id: string;
  name: string;
  version: string;
  owner?: string;
  metadata?: ObjectMetadata | null;
  user_metadata?: Record<string, unknown> | null;
}

/** Columns and values that are given; the deprecated `owner` is filled only where the owner is a uuid. */
function assigned(values: Partial<ObjectValues>): [string, unknown][] {
  const record: Record<string, unknown> = {
    name: values.name,
    owner: isUuid(values.owner) ? values.owner : undefined,
    owner_id: values.owner,
    bucket_id: values.bucket_id,
    metadata: values.metadata,
    user_metadata: values.user_metadata,
    version: values.version,
  };
  return Object.entries(record).filter(([, value]) => value !== undefined);
}

function insertSql(values: ObjectValues): { text: string; parameters: unknown[] } {
  const entries = assigned(values);
  const columns = entries.map(([column]) => column).join(", ");
  const places = entries.map((_, index) => `$${index + 1}`).join(", ");
  return {
    text: `insert into storage.objects (${columns}) values (${places})`,
    parameters: entries.map(([, value]) => value),
  };
}

/** Inserts without reading back, so that the caller needs no right to read. */
export async function insertObject(tx: Transaction, values: ObjectValues): Promise<void> {
  const { text, parameters } = insertSql(values);
  try {
    await tx.query(text, parameters);
  } catch (error) {
    throw isStorageError(error, "ResourceAlreadyExists") ? errors.keyExists() : error;
  }
}

/** Inserts or replaces, and reads back: the caller needs the rights to insert, to update and to read. */
export async function upsertObject(tx: Transaction, values: ObjectValues): Promise<ObjectRow> {
  const { text, parameters } = insertSql(values);
  const replaced = assigned(values)
    .filter(([column]) => column !== "name" && column !== "bucket_id")
    .map(([column]) => `${column} = excluded.${column}`);
  const [row] = await tx.query<ObjectRow>(
    `${text} on conflict (name, bucket_id) do update set ${replaced.join(", ")} returning *`,
    parameters,
  );
  return row;
}

export async function updateObject(
  tx: Transaction,
  bucket: string,
  name: string,
  values: Partial<ObjectValues>,
): Promise<ObjectRow> {
  const entries = assigned(values);
  const changes = entries.map(([column], index) => `${column} = $${index + 3}`).join(", ");
  const [row] = await tx.query<ObjectRow>(
    `update storage.objects set ${changes} where bucket_id = $1 and name = $2 returning *`,
    [bucket, name, ...entries.map(([, value]) => value)],
  );
  if (!row) throw errors.noSuchKey();
  return row;
}

/** The object, or nothing where it is not there or not visible. */
export async function lookUpObject(
  tx: Transaction,
  bucket: string,
  name: string,
  options: { lock?: boolean } = {},
): Promise<ObjectRow | undefined> {
  const [row] = await tx.query<ObjectRow>(
    `select * from storage.objects where bucket_id = $1 and name = $2${
      options.lock ? " for update" : ""
    }`,
    [bucket, name],
  );
  return row;
}

/** The object; NoSuchKey where it is not there or not visible. */
export async function findObject(
  tx: Transaction,
  bucket: string,
  name: string,
  options: { lock?: boolean } = {},
): Promise<ObjectRow> {
  const row = await lookUpObject(tx, bucket, name, options);
  if (!row) throw errors.noSuchKey();
  return row;
}

/** Which of these names the caller sees. */
export async function visibleNames(
  tx: Transaction,
  bucket: string,
  names: string[],
): Promise<Set<string>> {
  const rows = await tx.query<{ name: string }>(
    "select name from storage.objects where bucket_id = $1 and name = any($2::text[])",
    [bucket, names],
  );
  return new Set(rows.map((row) => row.name));
}

/** Deletes what the caller may delete of these, and returns it. */
export function deleteObjects(
  tx: Transaction,
  bucket: string,
  names: string[],
): Promise<ObjectRow[]> {
  return tx.query<ObjectRow>(
    "delete from storage.objects where bucket_id = $1 and name = any($2::text[]) returning *",
    [bucket, names],
  );
}

/** How many objects the bucket has that the caller sees, counting no further than `limit`. */
export async function countObjects(
  tx: Transaction,
  bucket: string,
  limit: number,
): Promise<number> {
  const rows = await tx.query("select 1 from storage.objects where bucket_id = $1 limit $2", [
    bucket,
    limit,
  ]);
  return rows.length;
}
