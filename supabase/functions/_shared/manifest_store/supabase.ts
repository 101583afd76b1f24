/** Documents in the project's database. The service stores and reads; manifest readers and superadmins read. */
import type { PostgrestError, SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../database.types.ts";
import { fromDatabase } from "../upstream_errors.ts";
import type { ManifestStoreModule } from "./contract.ts";
import {
  type Collection,
  type Document,
  type Documents,
  type HandlerCollection,
} from "./documents.ts";
import { createModule } from "./store.ts";

/** Documents a request: as many of the largest are within what a hosted function holds. */
const PAGE = 100;

const KEY_COLUMNS: Record<Collection, string[]> = {
  handler_manifests: ["handler_id", "version"],
  hook_manifests: ["handler_id"],
  gtypes: ["ref"],
  transformers: ["id"],
  version_graphs: ["handler_id"],
  timescape_metadata: ["handler_id", "version"],
};

/** A store that acts as the client does; whom the database does not let read finds nothing. */
export function supabaseManifestStore(client: SupabaseClient<Database>): ManifestStoreModule {
  return createModule(
    "supabase",
    "Manifest store in a Supabase project",
    new SupabaseDocuments(client),
  );
}

// deno-lint-ignore no-explicit-any -- the tables differ in their keys alone, which the types cannot say
type AnyClient = SupabaseClient<any, "public", "public", any>;

class SupabaseDocuments implements Documents {
  readonly #client: AnyClient;

  constructor(client: SupabaseClient<Database>) {
    this.#client = client as unknown as AnyClient;
  }

  /** Fails where there is no such database, so that a wrong address is told at once. */
  async open(): Promise<void> {
    await this.counts();
  }

  async close(): Promise<void> {}

  async put(collection: Collection, document: Document): Promise<void> {
    const { error } = await this.#client.from(collection)
      .upsert({ document }, { onConflict: KEY_COLUMNS[collection].join(",") });
    if (error) throw fromDatabase(error);
  }

  async get(collection: Collection, key: readonly string[]): Promise<Document | undefined> {
    let query = this.#client.from(collection).select("document");
    KEY_COLUMNS[collection].forEach((column, index) => query = query.eq(column, key[index]));
    return first(await query);
  }

  async newestManifest(handlerId: string): Promise<Document | undefined> {
    const newest = this.#client.from("handler_manifests").select("document")
      .eq("handler_id", handlerId)
      .order("created_at_ms", { ascending: false })
      .order("version_key", { ascending: false })
      .order("version", { ascending: false })
      .limit(1);
    return first(await newest);
  }

  ofHandler(collection: HandlerCollection, handlerId: string): Promise<Document[]> {
    return this.#pages(collection, collection === "transformers" ? "id" : "version", handlerId);
  }

  allHookManifests(): Promise<Document[]> {
    return this.#pages("hook_manifests", "handler_id");
  }

  async counts(): Promise<Record<Collection, number>> {
    const { data, error } = await this.#client.rpc("manifest_store_stats").single();
    if (error) throw fromDatabase(error);
    const counts = data as Record<string, number>;
    return {
      handler_manifests: counts.manifest_count,
      hook_manifests: counts.hook_manifest_count,
      gtypes: counts.gtype_count,
      transformers: counts.transformer_count,
      version_graphs: counts.version_graph_count,
      timescape_metadata: counts.timescape_metadata_count,
    };
  }

  async clear(): Promise<void> {
    const { error } = await this.#client.rpc("clear_manifest_store");
    if (error) throw fromDatabase(error);
  }

  /** All documents, by `column`, a page after the last one of the page before: what is stored meanwhile shifts nothing. */
  async #pages(collection: Collection, column: string, handlerId?: string): Promise<Document[]> {
    const found: Document[] = [];
    let after: string | undefined;
    while (true) {
      let query = this.#client.from(collection)
        .select(`${column}, document`, { count: "exact" })
        .order(column).limit(PAGE);
      if (handlerId !== undefined) query = query.eq("handler_id", handlerId);
      if (after !== undefined) query = query.gt(column, after);
      const { data, error, count } = await query;
      if (error) throw fromDatabase(error);
      const rows = data as unknown as Record<string, unknown>[];
      found.push(...rows.map((row) => row.document as Document));
      // The server may send fewer than were asked for; the count is of all that were left.
      if (rows.length === 0 || rows.length >= (count ?? Infinity)) return found;
      after = rows.at(-1)![column] as string;
    }
  }
}

function first(answer: { data: unknown[] | null; error: PostgrestError | null }) {
  if (answer.error) throw fromDatabase(answer.error);
  return (answer.data?.[0] as { document: Document } | undefined)?.document;
}
