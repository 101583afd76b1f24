/** Reads and writes one resource as the caller. Row security decides what there is and what may be changed. */
import type { PostgrestError, SupabaseClient } from "@supabase/supabase-js";
import type { z } from "zod";
import type { Client } from "../_shared/caller.ts";
import { AppError } from "../_shared/errors.ts";
import { fromDatabase } from "../_shared/upstream_errors.ts";
import { constraintError } from "./constraints.ts";
import { etagOf, matches } from "./etag.ts";
import type { ListSpec } from "./list.ts";

// deno-lint-ignore no-explicit-any -- which table it is, is only known when it runs
export type AnyClient = SupabaseClient<any, "public", "public", any, any>;
export type Row = Record<string, unknown>;

/** A kind of thing that the API shows. */
export interface Resource {
  /** Its name in the OpenAPI document. */
  name: string;
  table: string;
  /** What is shown of it. */
  schema: z.ZodObject;
  /** The columns that are read, where they are not the properties of the schema. */
  columns?: string[];
  /** A row of these columns as what is shown. */
  present?(row: Row): Row;
  list: ListSpec;
}

/** What tells one row from all others. */
export type Key = Record<string, string>;

export function columnsOf({ schema, columns }: Resource): string[] {
  return columns ?? Object.keys(schema.shape);
}

export function presented(resource: Resource, row: Row): Row {
  return resource.present ? resource.present(row) : row;
}

export function tables(client: Client): AnyClient {
  return client as unknown as AnyClient;
}

/** The error of a write: by its constraint where that says more than the code. */
export function writeError(error: PostgrestError): AppError {
  return constraintError(error) ?? fromDatabase(error);
}

/** The row as it is shown; 404 if there is none, or none that the caller sees. */
export async function read(client: Client, resource: Resource, key: Key): Promise<Row> {
  const { data, error } = await tables(client).from(resource.table)
    .select(columnsOf(resource).join(",")).match(key).maybeSingle();
  if (error) throw fromDatabase(error);
  if (!data) throw new AppError("not_found");
  return presented(resource, data as unknown as Row);
}

/** 404 unless the caller sees the app. */
export async function requireApp(client: Client, appId: string): Promise<void> {
  const { data, error } = await client.from("applications").select("id").eq("id", appId)
    .maybeSingle();
  if (error) throw fromDatabase(error);
  if (!data) throw new AppError("not_found");
}

/**
 * Changes the row, if its representation is still the one that If-Match names. Between reading it and writing it nobody
 * else can have changed it: the update is for the row as it was last updated. 412 `precondition_failed` otherwise.
 */
export async function update(
  client: Client,
  resource: Resource,
  key: Key,
  values: Row,
  ifMatch: string | null,
): Promise<Row> {
  const before = await readForWriting(client, resource, key, ifMatch);
  let query = tables(client).from(resource.table).update(values).match(key);
  if (ifMatch !== null) query = query.eq("updated_at", before);
  const { data, error } = await query.select(columnsOf(resource).join(",")).maybeSingle();
  if (error) throw writeError(error);
  if (!data) throw await whyNothing(client, resource, key, before);
  return presented(resource, data as unknown as Row);
}

/** Deletes the row, on the same condition. */
export async function remove(
  client: Client,
  resource: Resource,
  key: Key,
  ifMatch: string | null,
): Promise<void> {
  const before = await readForWriting(client, resource, key, ifMatch);
  let query = tables(client).from(resource.table).delete().match(key);
  if (ifMatch !== null && before !== undefined) query = query.eq("updated_at", before);
  const { data, error } = await query.select(Object.keys(key).join(",")).maybeSingle();
  if (error) throw writeError(error);
  if (!data) throw await whyNothing(client, resource, key, before);
}

/** When the row was last updated; undefined for what never is. */
async function readForWriting(
  client: Client,
  resource: Resource,
  key: Key,
  ifMatch: string | null,
): Promise<unknown> {
  const row = await read(client, resource, key);
  if (ifMatch !== null && !matches(ifMatch, await etagOf(JSON.stringify(row)))) {
    throw new AppError("precondition_failed");
  }
  return row.updated_at;
}

/** The caller saw the row, and the write found none: it is gone, or has changed, or is not the caller's to write. */
async function whyNothing(
  client: Client,
  resource: Resource,
  key: Key,
  before: unknown,
): Promise<AppError> {
  const now = await read(client, resource, key);
  return new AppError(now.updated_at === before ? "forbidden" : "precondition_failed");
}
