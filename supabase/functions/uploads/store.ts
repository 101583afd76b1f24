import type { Client } from "../_shared/caller.ts";
import type { Database, Json } from "../_shared/database.types.ts";
import { AppError } from "../_shared/errors.ts";
import { VERIFICATION_LEASE_SECONDS } from "../_shared/limits.ts";
import { sweepDeletions } from "../_shared/object_deletions.ts";
import { APP_STORAGE } from "../_shared/storage_paths.ts";
import {
  fromDatabase,
  fromStorage,
  isExistingObject,
  isMissingObject,
} from "../_shared/upstream_errors.ts";
import type { ContentSource } from "./content/source.ts";
import type { Inspection } from "./content/inspect.ts";
import type { BeginInput } from "./schema.ts";

export type Upload = Database["public"]["Tables"]["app_uploads"]["Row"];
export type StoredFile = Database["public"]["Tables"]["app_storage"]["Row"];

/** What the caller may do with uploads; the database decides whether. */
export interface CallerStore {
  begin(input: BeginInput): Promise<Upload>;
  find(id: string): Promise<Upload>;
  startVerification(id: string): Promise<Upload>;
  cancel(id: string): Promise<Upload>;
}

/** What the service does for callers who were found to be allowed. */
export interface ServiceStore {
  /** Throws what `complete` would, and changes nothing. */
  check(upload: Upload, inspection: Inspection): Promise<void>;
  /** Ends a verified upload, in one transaction. */
  complete(upload: Upload, inspection: Inspection): Promise<StoredFile>;
  /** Ends a refused upload. */
  fail(id: string, code: string, message: string): Promise<void>;
  /** Lets go of an upload that could not be verified for now. */
  release(id: string): Promise<void>;
  file(id: string): Promise<StoredFile>;
  /** Whether some file's row names the object. */
  isRecorded(path: string): Promise<boolean>;
  /** Deletes some of the objects that uploads ended by time, or by later ones, have left. */
  sweep(): Promise<void>;

  signUpload(path: string): Promise<{ signedUrl: string; token: string }>;
  put(path: string, bytes: Uint8Array<ArrayBuffer>, contentType: string): Promise<void>;
  /** The object's size, or null if there is none. */
  sizeOf(path: string): Promise<number | null>;
  /** Moves an object. `missing` if there is none, `exists` if something is at the target. */
  move(from: string, to: string): Promise<"moved" | "missing" | "exists">;
  /** Puts an object's content in the place of another's, which is there until then. */
  copyOver(from: string, to: string): Promise<void>;
  remove(paths: string[]): Promise<void>;
  /** The object's content. Reads end with the signal. */
  source(path: string, size: number, signal: AbortSignal): ContentSource;
}

/** How many uploads past their time are ended, and objects deleted, along with an upload that begins. */
const SWEEP_AT_ONCE = 20;

export function callerStore(client: Client): CallerStore {
  return {
    begin: async (input) => one(await client.rpc("begin_app_upload", input)),
    async find(id) {
      const { data, error } = await client.from("app_uploads").select().eq("id", id).maybeSingle();
      if (error) throw fromDatabase(error);
      if (!data) throw new AppError("not_found");
      return data;
    },
    startVerification: async (id) =>
      one(
        await client.rpc("start_app_upload_verification", {
          upload_id: id,
          lease: `${VERIFICATION_LEASE_SECONDS} seconds`,
        }),
      ),
    cancel: async (id) => one(await client.rpc("cancel_app_upload", { upload_id: id })),
  };
}

/** What the inspection came to, as the database takes it. */
function findings(upload: Upload, { metadata, manifest }: Inspection) {
  return {
    upload_id: upload.id,
    content_type: upload.content_type,
    metadata,
    ...(manifest && { manifest: manifest as unknown as Json }),
  };
}

type RpcAnswer<T> = { data: T | null; error: Parameters<typeof fromDatabase>[0] | null };

/** The row that a function returned. */
function one<T>({ data, error }: RpcAnswer<T>): T {
  if (error) throw fromDatabase(error);
  if (data === null) {
    throw new AppError("internal", undefined, { cause: new Error("the function returned no row") });
  }
  return data;
}

export function serviceStore(client: Client): ServiceStore {
  const bucket = () => client.storage.from(APP_STORAGE);
  return {
    async check(upload, inspection) {
      const { error } = await client.rpc("check_app_upload", findings(upload, inspection));
      if (error) throw fromDatabase(error);
    },
    complete: async (upload, inspection) =>
      one(await client.rpc("complete_app_upload", findings(upload, inspection))),
    async fail(id, code, message) {
      one(
        await client.rpc("fail_app_upload", {
          upload_id: id,
          error_code: code,
          error_message: message,
        }),
      );
    },
    async release(id) {
      const { error } = await client.from("app_uploads").update({ status: "pending" })
        .eq("id", id).eq("status", "verifying");
      if (error) throw fromDatabase(error);
    },
    async file(id) {
      const { data, error } = await client.from("app_storage").select().eq("id", id).maybeSingle();
      if (error) throw fromDatabase(error);
      if (!data) throw new AppError("not_found");
      return data;
    },
    async isRecorded(path) {
      const { data, error } = await client.from("app_storage").select("id").eq("file_path", path)
        .maybeSingle();
      if (error) throw fromDatabase(error);
      return data !== null;
    },
    async sweep() {
      const { error } = await client.rpc("expire_app_uploads", { max_uploads: SWEEP_AT_ONCE });
      if (error) throw fromDatabase(error);
      await sweepDeletions(client, SWEEP_AT_ONCE);
    },

    async signUpload(path) {
      // Whoever was cut off may send the file again.
      const { data, error } = await bucket().createSignedUploadUrl(path, { upsert: true });
      if (error) throw fromStorage(error);
      return data;
    },
    async put(path, bytes, contentType) {
      const { error } = await bucket().upload(path, bytes, { contentType, upsert: true });
      if (error) throw fromStorage(error);
    },
    async sizeOf(path) {
      const { data, error } = await bucket().info(path);
      if (error && isMissingObject(error)) return null;
      if (error) throw fromStorage(error);
      return data.size ?? 0;
    },
    async move(from, to) {
      const { error } = await bucket().move(from, to);
      if (!error) return "moved";
      if (isExistingObject(error)) return "exists";
      if (isMissingObject(error)) return "missing";
      throw fromStorage(error);
    },
    async copyOver(from, to) {
      const { error } = await bucket().setHeader("x-upsert", "true").copy(from, to);
      if (error) throw fromStorage(error);
    },
    async remove(paths) {
      const { error } = await bucket().remove(paths);
      if (error) throw fromStorage(error);
    },
    source: (path, size, signal) => ({
      size,
      async read(offset, length) {
        const range = `bytes=${offset}-${offset + length - 1}`;
        const { data, error } = await bucket().setHeader("range", range).download(path, {}, {
          signal,
        });
        if (error) throw fromStorage(error);
        const bytes = new Uint8Array(await data.arrayBuffer());
        // A server that ignores the range would send everything, and be misread.
        if (bytes.length !== length) {
          throw new AppError("unavailable", undefined, { cause: new Error("short read") });
        }
        return bytes;
      },
      async stream() {
        const { data, error } = await bucket().download(path, {}, { signal }).asStream();
        if (error) throw fromStorage(error);
        return data;
      },
    }),
  };
}
