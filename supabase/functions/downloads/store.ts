import type { Client } from "../_shared/caller.ts";
import type { Database } from "../_shared/database.types.ts";
import { AppError } from "../_shared/errors.ts";
import { isSafePath } from "../_shared/safe_path.ts";
import { APP_STORAGE, type Bucket, bucketOfPath } from "../_shared/storage_paths.ts";
import { fromDatabase, fromStorage } from "../_shared/upstream_errors.ts";
import type { Deliverable } from "./delivery.ts";
import type { ByteRange } from "./ranges.ts";
import type { DownloadItem, TokenRequest } from "./schema.ts";

/** An object that the caller was found to see. */
export interface Visible {
  bucket: Bucket;
  path: string;
  /** Bytes, where known. */
  size: number | null;
  contentType: string;
  /** What Storage serves it as: whoever uploads says that, once more. */
  storedType: string;
  storedSize: number;
  checksum: string | null;
}

export type Token = Omit<
  Database["public"]["Tables"]["app_download_tokens"]["Row"],
  "secret_sha256"
>;

/** What the caller may do with downloads; the database decides whether. */
export interface CallerStore {
  /** The objects that the items name, in order; null for what row security hides and for what is not there. Logged. */
  request(items: DownloadItem[]): Promise<(Visible | null)[]>;
  createToken(input: TokenRequest): Promise<{ id: string; secret: string; expiresAt: string }>;
  revokeToken(id: string): Promise<Token>;
}

/** The bytes of files. */
export interface FileReader {
  /** A stream of the file, or of a part of it; 404 if it is gone. Null for no bytes. */
  open(
    bucket: string,
    path: string,
    range: ByteRange | null,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array> | null>;
}

/** What the service does for callers who were found to be allowed. */
export interface ServiceStore extends FileReader {
  /** URLs of Storage to the objects, in order; null for one that is gone. */
  sign(objects: Visible[], seconds: number): Promise<(string | null)[]>;
  /** What the token with this hash leads to now; null for every token that is of no use. */
  findToken(sha256: string): Promise<(Deliverable & { tokenId: string }) | null>;
  /** Counts and logs one use; false if none is left. */
  useToken(id: string, bytes: number): Promise<boolean>;
}

export function callerStore(caller: Client): CallerStore {
  return {
    async request(items) {
      const { data, error } = await caller.rpc("request_app_downloads", {
        items: items.map(toArgument),
      });
      if (error) throw fromDatabase(error);
      const found = new Map(data.map((row) => [row.number, row]));
      return items.map((_, index) => {
        const row = found.get(index + 1);
        return row
          ? {
            bucket: row.bucket as Bucket,
            path: row.path!,
            size: row.file_size,
            contentType: row.content_type ?? row.stored_type!,
            storedType: row.stored_type!,
            storedSize: row.stored_size ?? row.file_size ?? 0,
            checksum: row.checksum,
          }
          : null;
      });
    },
    async createToken(input) {
      const { data, error } = await caller.rpc("create_download_token", {
        ...await targetOf(caller, input),
        max_downloads: input.max_downloads,
        expires_in: `${input.expires_in} seconds`,
        label: input.label,
        file_name: input.filename,
        company_id: input.company_id,
      });
      if (error) throw fromDatabase(error);
      return { id: data.token_id!, secret: data.secret!, expiresAt: data.expires_at! };
    },
    async revokeToken(id) {
      const { data, error } = await caller.rpc("revoke_download_token", { token_id: id });
      if (error) throw fromDatabase(error);
      const { secret_sha256: _, ...token } = data;
      return token;
    },
  };
}

function toArgument({ file_id, output_id, path, bucket }: DownloadItem) {
  if (path === undefined) return { file_id, output_id };
  // Every name here is a safe path. Another would be part of a URL, and could lead to quite another place.
  return isSafePath(path) ? { path, bucket: bucket ?? bucketOfPath(path) } : {};
}

async function targetOf(caller: Client, { file_id, output_id, path }: TokenRequest) {
  if (path === undefined) return { file_id, output_id };
  const { data, error } = await caller.from("app_storage").select("id").eq("file_path", path)
    .maybeSingle();
  if (error) throw fromDatabase(error);
  if (!data) throw new AppError("not_found");
  return { file_id: data.id };
}

export function serviceStore(service: Client): ServiceStore {
  return {
    async open(bucket, path, range, signal) {
      const files = service.storage.from(bucket);
      if (range) files.setHeader("range", `bytes=${range.from}-${range.to}`);
      const { data, error } = await files.download(path, {}, { signal }).asStream();
      if (error) throw fromStorage(error);
      return data;
    },
    async sign(objects, seconds) {
      const urls = new Map<string, string>();
      for (const bucket of new Set(objects.map((object) => object.bucket))) {
        const paths = objects.filter((object) => object.bucket === bucket).map(({ path }) => path);
        const { data, error } = await service.storage.from(bucket).createSignedUrls(paths, seconds);
        if (error) throw fromStorage(error);
        for (const one of data) {
          if (one.signedUrl && !one.error) urls.set(`${bucket}/${one.path}`, one.signedUrl);
        }
      }
      return objects.map(({ bucket, path }) => urls.get(`${bucket}/${path}`) ?? null);
    },
    async findToken(sha256) {
      const { data, error } = await service.rpc("find_download_token", { secret_sha256: sha256 })
        .maybeSingle();
      if (error) throw fromDatabase(error);
      if (!data) return null;
      return {
        tokenId: data.token_id!,
        bucket: data.bucket ?? APP_STORAGE,
        path: data.path!,
        fileName: data.file_name!,
        size: data.file_size ?? 0,
        contentType: data.stored_type!,
        etag: data.etag,
        isImmutable: data.is_immutable ?? false,
      };
    },
    async useToken(id, bytes) {
      const { data, error } = await service.rpc("use_download_token", { token_id: id, bytes });
      if (error) throw fromDatabase(error);
      return data;
    },
  };
}
