/** Lists, all in one style: `?limit=&cursor=&sort=-created_at` and filters; pages by keyset, so that none is skipped. */
import { z } from "zod";
import type { Client } from "../_shared/caller.ts";
import { invalidField } from "../_shared/errors.ts";
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE } from "../_shared/limits.ts";
import { fromDatabase } from "../_shared/upstream_errors.ts";
import type { Answer } from "./operation.ts";
import { count, moment } from "./schema.ts";
import { columnsOf, type Key, presented, type Resource, type Row, tables } from "./store.ts";

type Operator = "eq" | "in" | "gte" | "lt" | "is";

export interface Filter {
  schema: z.ZodType;
  /** The column, where it has another name. */
  column?: string;
  operator?: Operator;
}

export interface ListSpec {
  filters: Record<string, Filter>;
  /**
   * Sortable properties, with the type of their columns. None is ever null, and texts are of a kind that holds no quotation
   * mark and no backslash, which not every REST server reads alike inside a filter.
   */
  sorts: Record<string, { column?: string; type: "time" | "text" | "number" }>;
  defaultSort: string;
  /** Unique among the rows of one list; settles the order of equals. */
  tieBreaker: string;
  /** Documents of any size, which a page leaves out. */
  omits?: string[];
}

/** A filter by one or more of these values, parted by commas. */
export function oneOf(values: readonly string[], description: string): Filter {
  const schema = z.string().transform((text) => text.split(","))
    .pipe(z.array(z.enum(values as [string, ...string[]])).max(values.length))
    .meta({ description, type: "array", items: { type: "string", enum: values } });
  return { schema, operator: "in" };
}

/** `created_after` (inclusive) and `created_before` (exclusive). */
export const CREATED: Record<string, Filter> = {
  created_after: {
    schema: moment.describe("Created at this time or later."),
    column: "created_at",
    operator: "gte",
  },
  created_before: {
    schema: moment.describe("Created before this time."),
    column: "created_at",
    operator: "lt",
  },
};

/** The schema of a list's parameters. */
export function listQuery({ filters, sorts, defaultSort }: ListSpec) {
  const directions = Object.keys(sorts).flatMap((name) => [name, `-${name}`]);
  return z.strictObject({
    limit: count(1, MAX_PAGE_SIZE).optional()
      .describe(`Entries on a page, 1 to ${MAX_PAGE_SIZE}; by default ${DEFAULT_PAGE_SIZE}.`),
    cursor: z.string().min(1).max(2048).optional()
      .describe("`next_cursor` of the page before. Goes with the same sort and filters."),
    sort: z.enum(directions as [string, ...string[]]).default(defaultSort)
      .describe("The property to sort by; descending with a minus."),
    ...Object.fromEntries(
      Object.entries(filters).map(([name, filter]) => [name, filter.schema.optional()]),
    ),
  });
}

/** An entry of a page: the resource without the documents that pages leave out. */
export function listEntry({ schema, list: { omits = [] } }: Resource): z.ZodObject {
  return schema.omit(Object.fromEntries(omits.map((name) => [name, true])) as Record<never, never>);
}

type ListQuery = { limit?: number; cursor?: string; sort: string } & Record<string, unknown>;

/** One page: `{ data, next_cursor }`, with a Link header to the next. */
export async function list(
  client: Client,
  resource: Resource,
  within: Key,
  given: unknown,
  url: URL,
): Promise<Answer> {
  const { list: spec } = resource;
  const { limit = DEFAULT_PAGE_SIZE, cursor, sort, ...filters } = given as ListQuery;
  const descending = sort.startsWith("-");
  const property = sort.replace(/^-/, "");
  const { column = property, type } = spec.sorts[property];
  const shown = columnsOf(resource).filter((name) => !spec.omits?.includes(name));
  const columns = [...new Set([...shown, column, spec.tieBreaker])];
  let query = tables(client).from(resource.table).select(columns.join(",")).match(within);
  for (const [name, value] of Object.entries(filters)) {
    if (value === undefined) continue;
    const filter = spec.filters[name];
    const target = filter.column ?? name;
    if (filter.operator === "in") query = query.in(target, value as string[]);
    else query = query.filter(target, filter.operator ?? "eq", value);
  }
  if (cursor !== undefined) {
    const after = decodeCursor(cursor, sort, type, keyOf(resource));
    const than = descending ? "lt" : "gt";
    const [value, key] = [quoted(after.value), quoted(after.key)];
    query = query.or(
      `${column}.${than}.${value},and(${column}.eq.${value},${spec.tieBreaker}.${than}.${key})`,
    );
  }
  const { data, error } = await query
    .order(column, { ascending: !descending })
    .order(spec.tieBreaker, { ascending: !descending })
    .limit(limit + 1);
  // All that came was checked, but for whether a cursor's key is of the kind that the list has.
  if (error && cursor !== undefined && NO_SUCH_VALUE.test(error.code)) throw invalidCursor();
  if (error) throw fromDatabase(error);
  const rows = data as unknown as Row[];
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const next = rows.length > limit && last
    ? encodeCursor(sort, last[column], String(last[spec.tieBreaker]))
    : null;
  return {
    status: 200,
    body: {
      data: page.map((row) => presented(resource, picked(row, shown))),
      next_cursor: next,
    },
    headers: next === null ? undefined : { link: linkTo(url, next) },
  };
}

/** Without the columns that were read for the order alone. */
function picked(row: Row, names: string[]): Row {
  return Object.fromEntries(names.map((name) => [name, row[name]]));
}

function linkTo(url: URL, cursor: string): string {
  const parameters = new URLSearchParams(url.search);
  parameters.set("cursor", cursor);
  return `<?${parameters}>; rel="next"`;
}

function encodeCursor(sort: string, value: unknown, key: string): string {
  return new TextEncoder().encode(JSON.stringify([sort, value, key]))
    .toBase64({ alphabet: "base64url", omitPadding: true });
}

/** Where a page ends. It is the caller's to send, and checked as anything else. */
function decodeCursor(
  cursor: string,
  sort: string,
  type: "time" | "text" | "number",
  key: z.ZodType<string>,
) {
  const parsed = cursorSchema(type, key).safeParse(parseCursor(cursor));
  if (!parsed.success) throw invalidCursor();
  const [sorted, value, last] = parsed.data;
  if (sorted !== sort) throw invalidField("cursor", `belongs to the sort ${sorted}.`);
  return { value: String(value), key: last };
}

/** SQLSTATE class 22, data exceptions. */
const NO_SUCH_VALUE = /^22/;

function invalidCursor() {
  return invalidField("cursor", "must be the next_cursor of a page.");
}

function parseCursor(cursor: string): unknown {
  try {
    const bytes = Uint8Array.fromBase64(cursor, { alphabet: "base64url" });
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

function cursorSchema(type: "time" | "text" | "number", key: z.ZodType<string>) {
  const value = {
    time: moment,
    text: z.string().max(1024).regex(PLAIN),
    number: z.number(),
  }[type];
  return z.tuple([z.string().regex(/^-?[a-z_]{1,40}$/), value, key]);
}

/** Visible ASCII and spaces, without what ends or escapes a quoted text. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** What the last row's key can be: visible, and of the kind that the resource has. */
function keyOf({ schema, list: { tieBreaker } }: Resource): z.ZodType<string> {
  return z.string().regex(/^[!-~]{1,200}$/).pipe(
    schema.shape[tieBreaker] as z.ZodType<string, string>,
  );
}

/** A value inside a filter of PostgREST, where commas and brackets mean something. */
function quoted(value: string): string {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
