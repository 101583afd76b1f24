/** The queries behind listing; folders and order are the database functions' work (`schema.sql`). */
import type { Cursor } from "./cursor.ts";
import type { Transaction } from "./database.ts";
import type { ObjectMetadata } from "./objects_table.ts";

/** A file, or, without an id, a folder. */
export interface ListedObject {
  name: string;
  id: string | null;
  updated_at: Date | null;
  created_at: Date | null;
  last_accessed_at: Date | null;
  metadata: ObjectMetadata | null;
}

export interface Search {
  prefix: string;
  limit?: number;
  offset?: number;
  search?: string;
  sortBy?: { column: string; order?: string };
}

export interface Page {
  prefix: string;
  /** One level below the prefix, with folders, instead of everything below it. */
  byFolder: boolean;
  limit: number;
  column?: Cursor["sortColumn"];
  order?: Cursor["sortOrder"];
  after?: Cursor;
}

const DEFAULT_LIMIT = 100;

const escapeLike = (text: string) => text.replace(/[\\%_]/g, "\\$&");

/** Version 1. Sorted by a timestamp, the function compares with `ilike`, so that wildcards must be escaped. */
export function searchObjects(
  tx: Transaction,
  bucket: string,
  { prefix, limit, offset, search, sortBy }: Search,
): Promise<ListedObject[]> {
  const column = sortBy?.column ?? "name";
  const literal = column === "name" ? (text: string) => text : escapeLike;
  const levels = `${prefix}${search ?? ""}`.split("/").length;
  return tx.query<ListedObject>(
    "select name, id, updated_at, created_at, last_accessed_at, metadata from storage.search($1, $2, $3, $4, $5, $6, $7, $8)",
    [
      literal(prefix),
      bucket,
      limit || DEFAULT_LIMIT,
      levels,
      offset ?? 0,
      literal(search ?? ""),
      column,
      sortBy?.order ?? "asc",
    ],
  );
}

/** Version 2. */
export function listPage(tx: Transaction, bucket: string, page: Page): Promise<ListedObject[]> {
  if (!page.byFolder) return listFlat(tx, bucket, page);
  return tx.query<ListedObject>("select * from storage.search_v2($1, $2, $3, $4, $5, $6, $7, $8)", [
    page.prefix,
    bucket,
    page.limit,
    page.prefix.split("/").length,
    page.after?.startAfter ?? "",
    page.order ?? "asc",
    page.column ?? "name",
    page.after?.sortColumnAfter ?? null,
  ]);
}

function listFlat(tx: Transaction, bucket: string, page: Page): Promise<ListedObject[]> {
  const descending = page.order === "desc";
  const direction = descending ? "desc" : "asc";
  const beyond = descending ? "<" : ">";
  const column = page.column === "name" ? undefined : page.column;
  const values: unknown[] = [bucket, page.limit, `${escapeLike(page.prefix)}%`];
  const place = (value: unknown) => `$${values.push(value)}`;

  let from = "";
  if (page.after && column && page.after.sortColumnAfter) {
    // Milliseconds are what JavaScript hands back of a timestamp.
    from = `and (date_trunc('milliseconds', ${column}), name collate "C") ${beyond}
      (${place(page.after.sortColumnAfter)}::timestamptz, ${place(page.after.startAfter)})`;
  } else if (page.after) {
    from = `and name collate "C" ${beyond} ${place(page.after.startAfter)}`;
  }
  const order = column ? `date_trunc('milliseconds', ${column}) ${direction},` : "";
  return tx.query<ListedObject>(
    `select id, name, metadata, updated_at, created_at, last_accessed_at from storage.objects
     where bucket_id = $1 and name like $3 ${from}
     order by ${order} name collate "C" ${direction} limit $2`,
    values,
  );
}
