// Three ways to upload a file of an app's version; `supabase` is signed in as an owner or admin of the app's publisher.
import { Buffer } from "node:buffer";
import { FunctionsHttpError, type SupabaseClient } from "@supabase/supabase-js";
import { Upload } from "tus-js-client";

/** In one request: at most 10 MiB. */
export async function uploadAtOnce(
  supabase: SupabaseClient,
  version: { app_id: string; version: string },
  file: File,
) {
  const form = new FormData();
  form.set("app_id", version.app_id);
  form.set("version", version.version);
  form.set("file_type", "source");
  form.set("file", file); // its name and type are the file's
  return await call(supabase, "uploads", form); // { upload, file }
}

/** In three steps: the bytes go straight to Storage, at most 100 MiB. */
export async function uploadInSteps(
  supabase: SupabaseClient,
  version: { app_id: string; version: string },
  file: File,
) {
  const begun = await call(supabase, "uploads", await declare(version, file));
  const { error } = await supabase.storage.from(begun.bucket)
    .uploadToSignedUrl(begun.path, begun.token, file, { contentType: file.type });
  if (error) throw error;
  return await call(supabase, `uploads/${begun.upload.id}/complete`);
}

/** The same over a connection that may break: the bytes go in chunks, by TUS. */
export async function uploadResumably(
  supabase: SupabaseClient,
  version: { app_id: string; version: string },
  file: File,
) {
  const { upload, resumable } = await call(supabase, "uploads", await declare(version, file));
  const bytes = Buffer.from(await file.arrayBuffer()); // a page gives the file itself
  await new Promise<void>((resolve, reject) => {
    new Upload(bytes, {
      endpoint: resumable.endpoint,
      headers: resumable.headers, // the token; it lives as long as the upload, two hours
      metadata: resumable.metadata,
      chunkSize: resumable.chunk_size, // 6 MiB: the platform takes no other size
      onSuccess: () => resolve(),
      onError: reject,
    }).start();
  });
  return await call(supabase, `uploads/${upload.id}/complete`);
}

/** What begins an upload: where the file goes, and what it will be. */
async function declare(version: { app_id: string; version: string }, file: File) {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0"));
  return {
    ...version,
    file_name: file.name,
    file_type: "source",
    content_type: file.type,
    file_size: file.size,
    checksum: `sha256:${hex.join("")}`,
  };
}

/** Calls the function; what it refuses is thrown as the problem that says why: `{ code, title, detail, errors }`. */
// deno-lint-ignore no-explicit-any -- functions' answers have no types
async function call(supabase: SupabaseClient, name: string, body?: any): Promise<any> {
  const { data, error } = await supabase.functions.invoke(name, { method: "POST", body });
  if (error instanceof FunctionsHttpError) throw await error.context.json();
  if (error) throw error;
  return data;
}
