/** Listing objects: version 1 by offset, version 2 by cursor. */
import { json, jsonBody, type RequestContext } from "../context.ts";
import { type Cursor, decodeCursor, encodeCursor } from "../cursor.ts";
import { type ListedObject, listPage, searchObjects } from "../listing.ts";
import { assertBucketName } from "../names.ts";
import type { Route } from "../router.ts";

interface SortBy<Column extends string> {
  column: Column;
  order?: "asc" | "desc";
}

interface ListBody {
  prefix: string;
  limit?: number;
  offset?: number;
  search?: string;
  sortBy?: SortBy<"name" | "updated_at" | "created_at" | "last_accessed_at">;
}

interface ListV2Body {
  prefix?: string;
  limit?: number;
  cursor?: string;
  with_delimiter?: boolean;
  sortBy?: SortBy<"name" | "updated_at" | "created_at">;
}

const MAX_PAGE = 1000;
const SORT_ORDER = { type: "string", enum: ["asc", "desc"] } as const;

async function list({ request, params, db }: RequestContext): Promise<Response> {
  const body = await jsonBody<ListBody>(request, {
    type: "object",
    properties: {
      prefix: { type: "string" },
      limit: { type: "integer", minimum: 1 },
      offset: { type: "integer", minimum: 0 },
      sortBy: {
        type: "object",
        properties: {
          column: {
            type: "string",
            enum: ["name", "updated_at", "created_at", "last_accessed_at"],
          },
          order: SORT_ORDER,
        },
        required: ["column"],
      },
      search: { type: "string" },
    },
    required: ["prefix"],
  });
  assertBucketName(params.bucket);
  const rows = await db.asCaller((tx) =>
    searchObjects(tx, params.bucket, {
      ...body,
      // A prefix is a folder, whether or not it says so.
      prefix: body.prefix === "" || body.prefix.endsWith("/") ? body.prefix : `${body.prefix}/`,
    })
  );
  return json(rows);
}

async function listV2({ request, params, db }: RequestContext): Promise<Response> {
  const body = await jsonBody<ListV2Body>(request, {
    type: "object",
    properties: {
      prefix: { type: "string" },
      limit: { type: "integer", minimum: 1 },
      cursor: { type: "string" },
      with_delimiter: { type: "boolean" },
      sortBy: {
        type: "object",
        properties: {
          column: { type: "string", enum: ["name", "updated_at", "created_at"] },
          order: SORT_ORDER,
        },
        required: ["column"],
      },
    },
  });
  assertBucketName(params.bucket);
  const limit = Math.min(body.limit || MAX_PAGE, MAX_PAGE);
  const start = body.cursor ? decodeCursor(body.cursor) : undefined;
  const column = start?.sortColumn ?? body.sortBy?.column;
  const order = start?.sortOrder ?? body.sortBy?.order;

  const rows = await db.asCaller((tx) =>
    listPage(tx, params.bucket, {
      prefix: body.prefix ?? "",
      byFolder: body.with_delimiter ?? false,
      limit: limit + 1,
      column,
      order,
      after: start,
    })
  );
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const hasNext = rows.length > limit;
  const isFolder = (row: ListedObject) => row.id === null;
  return json({
    hasNext,
    nextCursor: hasNext && last ? encodeCursor(cursorBehind(last, column, order)) : undefined,
    nextCursorKey: hasNext ? last?.name : undefined,
    folders: page.filter(isFolder).map((row) => ({ ...row, name: `${row.name}/` })),
    objects: page.filter((row) => !isFolder(row)),
  });
}

/** In name order a folder's cursor keeps its slash: the file of the same name is another place in the list. */
function cursorBehind(
  row: ListedObject,
  column: Cursor["sortColumn"],
  order: Cursor["sortOrder"],
): Cursor {
  if (column === undefined || column === "name") {
    return {
      startAfter: row.id === null ? `${row.name}/` : row.name,
      sortOrder: order,
      sortColumn: column,
    };
  }
  return {
    startAfter: row.name,
    sortOrder: order,
    sortColumn: column,
    sortColumnAfter: row[column]?.toISOString(),
  };
}

export const listingRoutes: Route[] = [
  {
    method: "POST",
    path: "/object/list/:bucket",
    operation: "storage.object.list",
    access: "required",
    handle: list,
  },
  {
    method: "POST",
    path: "/object/list-v2/:bucket",
    operation: "storage.object.list_v2",
    access: "required",
    handle: listV2,
  },
];
