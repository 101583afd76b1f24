/** The bytes of packages: in the row or in the bucket `packages`, and the same SHA-256 in either. */
import { createHash } from "node:crypto";
import type { Client } from "../caller.ts";
import { AppError } from "../errors.ts";
import { fromStorage } from "../upstream_errors.ts";
import { packageId, type PackageName } from "./names.ts";

export const PACKAGES_BUCKET = "packages";

/** SHA-256, 64 hexadecimal digits. */
export function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

export interface ObjectStore {
  put(path: string, bytes: Uint8Array<ArrayBuffer>, contentType: string): Promise<void>;
  get(path: string): Promise<Uint8Array<ArrayBuffer>>;
  remove(paths: string[]): Promise<void>;
}

/** The bucket, as the service. Errors: `unavailable`, `not_found`. */
export function objectStore(service: Client): ObjectStore {
  const bucket = () => service.storage.from(PACKAGES_BUCKET);
  return {
    async put(path, bytes, contentType) {
      const { error } = await bucket().upload(path, bytes, { contentType, upsert: false });
      if (error) throw fromStorage(error);
    },
    async get(path) {
      const { data, error } = await bucket().download(path);
      if (error) throw fromStorage(error);
      return new Uint8Array(await data.arrayBuffer());
    },
    async remove(paths) {
      if (paths.length === 0) return;
      const { error } = await bucket().remove(paths);
      if (error) throw fromStorage(error);
    },
  };
}

/**
 * A place of its own for each copy: what one request puts there, no other relies on, so that it can be removed when the
 * request comes to nothing.
 */
export function contentPath(name: PackageName, version: string, file: string): string {
  return `${packageId(name)}/${version}/${crypto.randomUUID()}/${file}`;
}

export interface Stored {
  sha256: string;
  content: string | null;
  storagePath: string | null;
}

/** Reads content from where it is, and checks it. Error: `content_corrupted`, and the object store's. */
export async function readContent(stored: Stored, objects: ObjectStore): Promise<string> {
  if (stored.content !== null) return checked(stored.content, stored.sha256);
  const bytes = await objects.get(stored.storagePath!);
  if (sha256(bytes) !== stored.sha256) throw corrupted(stored);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** The content, if it is what the checksum says. */
export function checked(content: string, expected: string): string {
  if (sha256(content) !== expected) {
    throw corrupted({ sha256: expected, content: "", storagePath: null });
  }
  return content;
}

function corrupted({ sha256, storagePath }: Stored): AppError {
  return new AppError("content_corrupted", undefined, {
    cause: new Error(`content with sha256 ${sha256} is damaged in ${storagePath ?? "its row"}`),
  });
}

export interface Placed {
  content: string | null;
  storagePath: string | null;
}

/**
 * Puts content where its size says: above the limit into object storage, read back before it counts. When that does not
 * work, into the row, from where the background job moves it later: publishing goes on while object storage is down.
 */
export async function placeContent(
  text: string,
  path: string,
  contentType: string,
  inlineLimit: number,
  objects: ObjectStore,
  onFallback: (error: unknown) => void,
): Promise<Placed> {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= inlineLimit) return { content: text, storagePath: null };
  try {
    await objects.put(path, bytes, contentType);
    if (sha256(await objects.get(path)) !== sha256(bytes)) throw new Error("read back differs");
    return { content: null, storagePath: path };
  } catch (error) {
    onFallback(error);
    return { content: text, storagePath: null };
  }
}
