/** The operations that most resources have, made from what is particular to each. */
import type { PostgrestError } from "@supabase/supabase-js";
import type { z } from "zod";
import type { Caller } from "../_shared/caller.ts";
import type { ErrorCode } from "../_shared/errors.ts";
import { createOnce, type Idempotency } from "./idempotency.ts";
import { list, listQuery } from "./list.ts";
import { type Answer, type Example, type Operation, operation } from "./operation.ts";
import {
  columnsOf,
  type Key,
  presented,
  read,
  remove,
  requireApp,
  type Resource,
  type Row,
  tables,
  update,
  writeError,
} from "./store.ts";

/** Where a resource lies, and what its operations say of themselves. */
export interface Place {
  resource: Resource;
  tag: string;
  /** Singular and plural in the ids of operations: `App`, `Apps`. */
  one: string;
  many: string;
  /** The list's path, such as `/apps/:appId/builds`, and its parameters. */
  path: string;
  params: z.ZodObject;
  /** The item's path and parameters. */
  itemPath: string;
  itemParams: z.ZodObject;
  /** Columns and values of the parameters: of a list, and of one item. */
  within(params: Params): Key;
  key(params: Params): Key;
  /** What an item looks like, and the parameters that lead to it. */
  sample: { params: Record<string, string>; itemParams: Record<string, string>; item: Row };
}

export type Params = Record<string, string>;

export interface Words {
  summary: string;
  description?: string;
  errors?: ErrorCode[];
}

export function ok(row: unknown): Answer {
  return { status: 200, body: row };
}

/** 201 with the new thing, and where it is, relative to the list. */
export function created(url: URL, id: string, row: unknown): Answer {
  const list = url.pathname.replace(/\/+$/, "").split("/").at(-1);
  return {
    status: 201,
    body: row,
    headers: { location: `${list}/${encodeURIComponent(id)}` },
  };
}

interface Made extends PromiseLike<{ data: unknown; error: PostgrestError | null }> {
  setHeader(name: string, value: string): this;
}

interface Creation {
  resource: Resource;
  /** Columns and values that all its siblings have, and the column that names it among them: `id` unless said otherwise. */
  within: Key;
  named?: string;
  /** The insertion or call that makes it. */
  statement: (client: ReturnType<typeof tables>) => { select(columns: string): { single(): Made } };
  /** 201 with the row, below the list, unless said otherwise. */
  answer?: (name: string, row: Row) => Answer;
}

/** Makes one row, once for each idempotency key, and answers with it as it is shown. */
export function createRow(
  { caller, idempotency, url }: { caller: Caller; idempotency?: Idempotency; url: URL },
  { resource, within, named = "id", statement, answer }: Creation,
): Promise<Answer> {
  const show = answer ?? ((name, row) => created(url, name, row));
  return createOnce(
    caller,
    idempotency,
    async (mark) => {
      const { data, error } = await mark(
        statement(tables(caller.client)).select(columnsOf(resource).join(",")).single(),
      );
      if (error) throw writeError(error);
      const row = presented(resource, data as Row);
      return show(String(row[named]), row);
    },
    async (name) => show(name, await read(caller.client, resource, { ...within, [named]: name })),
  );
}

/** 404 for a list below an app that the caller does not see: an empty list would look like a success. */
async function requireParent(params: Params, client: Parameters<typeof requireApp>[0]) {
  if (params.appId !== undefined) await requireApp(client, params.appId);
}

export function listOperation(place: Place, words: Words & { query?: Record<string, string> }) {
  return operation({
    id: `list${place.many}`,
    method: "GET",
    path: place.path,
    tag: place.tag,
    ...words,
    params: place.params,
    query: listQuery(place.resource.list),
    status: 200,
    returns: { page: place.resource },
    example: {
      params: place.sample.params,
      query: words.query ?? { limit: "1" },
      response: {
        data: [without(place.sample.item, place.resource.list.omits)],
        next_cursor: null,
      },
    },
    async handle({ params, query, caller, url }) {
      const within = place.within(params as Params);
      const [answer] = await Promise.all([
        list(caller.client, place.resource, within, query, url),
        requireParent(params as Params, caller.client),
      ]);
      return answer;
    },
  });
}

export function getOperation(place: Place, words: Words): Operation {
  return operation({
    id: `get${place.one}`,
    method: "GET",
    path: place.itemPath,
    tag: place.tag,
    ...words,
    params: place.itemParams,
    status: 200,
    returns: { one: place.resource },
    example: { params: place.sample.itemParams, response: place.sample.item },
    handle: async ({ params, caller }) =>
      ok(await read(caller.client, place.resource, place.key(params as Params))),
  });
}

export function updateOperation<B extends z.ZodType<Row>>(
  place: Place,
  words: Words & { body: B; example: Pick<Example, "body" | "response"> & Partial<Example> },
  toRow: (body: z.output<B>) => Row = (body) => body,
): Operation {
  const { body, example, ...rest } = words;
  return operation({
    id: `update${place.one}`,
    method: "PATCH",
    path: place.itemPath,
    tag: place.tag,
    ...rest,
    params: place.itemParams,
    body,
    conditional: true,
    status: 200,
    returns: { one: place.resource },
    example: { params: place.sample.itemParams, ...example },
    handle: async ({ params, caller, body, ifMatch }) => {
      const key = place.key(params as Params);
      return ok(
        await update(caller.client, place.resource, key, toRow(body as z.output<B>), ifMatch),
      );
    },
  });
}

export function deleteOperation(place: Place, words: Words & { example?: Example }): Operation {
  const { example, ...rest } = words;
  return operation({
    id: `delete${place.one}`,
    method: "DELETE",
    path: place.itemPath,
    tag: place.tag,
    ...rest,
    params: place.itemParams,
    conditional: true,
    status: 204,
    returns: { nothing: true },
    example: example ?? { params: place.sample.itemParams },
    handle: async ({ params, caller, ifMatch }) => {
      await remove(caller.client, place.resource, place.key(params as Params), ifMatch);
      return { status: 204 };
    },
  });
}

export function without(row: Row, names: string[] = []): Row {
  return Object.fromEntries(Object.entries(row).filter(([name]) => !names.includes(name)));
}
