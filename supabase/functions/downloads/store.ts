import type { Client } from "../_shared/caller.ts";
import { AppError } from "../_shared/errors.ts";
import { isSafePath } from "../_shared/safe_path.ts";
import { APP_STORAGE, type Bucket, bucketOfPath } from "../_shared/storage_paths.ts";
import { fromDatabase, fromStorage } from "../_shared/upstream_errors.ts";
import type { DownloadItem } from "./schema.ts";

/** An object that the caller was found to see. */
export interface Visible {
  bucket: Bucket;
  path: string;
  /** Bytes, where known. */
  size: number | null;
  contentType: string | null;
  checksum: string | null;
}

export interface DownloadStore {
  /** The object that the item names, if row security shows it to the caller; else the one 404. */
  find(item: DownloadItem): Promise<Visible>;
  /** A URL to the object, signed by the service. */
  sign(object: Visible, seconds: number, filename: string | false): Promise<string>;
}

export function downloadStore(caller: Client, service: Client): DownloadStore {
  return {
    async find(item) {
      if (item.file_id !== undefined) return await findFile(caller, item.file_id);
      if (item.output_id !== undefined) return await findOutput(caller, item.output_id);
      return await findObject(caller, item.bucket ?? bucketOfPath(item.path!), item.path!);
    },
    async sign({ bucket, path }, seconds, filename) {
      const { data, error } = await service.storage.from(bucket).createSignedUrl(path, seconds);
      if (error) throw fromStorage(error);
      if (filename === false) return data.signedUrl;
      // supabase-js would encode the name twice.
      const url = new URL(data.signedUrl);
      url.searchParams.set("download", filename);
      return url.href;
    },
  };
}

async function findFile(caller: Client, id: string): Promise<Visible> {
  const { data, error } = await caller.from("app_storage")
    .select("file_path, file_size, content_type, checksum").eq("id", id).maybeSingle();
  if (error) throw fromDatabase(error);
  if (!data) throw new AppError("not_found");
  return {
    bucket: APP_STORAGE,
    path: data.file_path,
    size: data.file_size,
    contentType: data.content_type,
    checksum: data.checksum,
  };
}

async function findOutput(caller: Client, id: string): Promise<Visible> {
  const { data, error } = await caller.from("app_outputs")
    .select("output_bucket, output_path, file_size").eq("id", id).maybeSingle();
  if (error) throw fromDatabase(error);
  if (!data?.output_path || !data.output_bucket) throw new AppError("not_found");
  return {
    bucket: data.output_bucket as Bucket,
    path: data.output_path,
    size: data.file_size,
    contentType: null,
    checksum: null,
  };
}

/** Storage shows an object to a caller exactly where the row that describes it is shown. */
async function findObject(caller: Client, bucket: Bucket, path: string): Promise<Visible> {
  // Every name here is a safe path. Another would be part of a URL, and could lead to quite another place.
  if (!isSafePath(path)) throw new AppError("not_found");
  const { data, error } = await caller.storage.from(bucket).info(path);
  if (error) {
    const known = fromStorage(error);
    // Storage refuses names that it would not take; to the caller there is no such object.
    throw known.code === "internal"
      ? new AppError("not_found", undefined, { cause: error })
      : known;
  }
  return {
    bucket,
    path,
    size: data.size ?? null,
    contentType: data.contentType ?? null,
    checksum: null,
  };
}
