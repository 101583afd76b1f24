import { readJson } from "../_shared/body.ts";
import { toAppError, toProblem } from "../_shared/problem.ts";
import { publicUrl } from "../_shared/public_url.ts";
import { baseName } from "../_shared/safe_path.ts";
import { type Context, logFault, type Route, route } from "../_shared/serve.ts";
import { type DownloadItem, downloadSchema } from "./schema.ts";
import { type DownloadStore, downloadStore } from "./store.ts";

/**
 * `POST /downloads` signs URLs of files, outputs and logs that the caller may see, for at most an hour.
 *
 * One: `{ file_id | output_id | path (+ bucket), filename?, inline?, expires_in? }`. 200 with `{ signed_url, expires_at,
 * expires_in, filename, bucket, path, file_size, content_type, checksum }`.
 *
 * Several: `{ items: [...], expires_in? }`. 200 with `{ expires_in, results }`, in order, each `{ status: 200, … }` as for
 * one, or `{ status, error }` with a problem: an item that fails does not fail the others.
 *
 * What is hidden from the caller and what does not exist are the same 404.
 */
export const routes: Route[] = [route("POST", "/", sign)];

/** How many items of a batch are looked up at the same time. */
const CONCURRENCY = 8;

async function sign(context: Context): Promise<Response> {
  const { items, expires_in, isBatch } = await readJson(context.request, downloadSchema);
  const store = downloadStore(context.caller.client, context.service());
  const one = (item: DownloadItem) => signOne(item, expires_in, store, context);
  const headers = { "cache-control": "no-store" };
  if (!isBatch) return Response.json(await one(items[0]), { headers });
  const results = await mapConcurrently(items, async (item) => {
    try {
      return { status: 200, ...await one(item) };
    } catch (thrown) {
      const error = toAppError(thrown);
      if (error.entry.fault === "ours") logFault("downloads", context.requestId, error);
      return { status: error.entry.status, error: toProblem(error, context.requestId) };
    }
  });
  return Response.json({ expires_in, results }, { headers });
}

async function signOne(
  item: DownloadItem,
  seconds: number,
  store: DownloadStore,
  context: Context,
) {
  const object = await store.find(item);
  const filename = item.filename ?? baseName(object.path);
  const expiresAt = new Date(Date.now() + seconds * 1000);
  const signed = await store.sign(object, seconds, item.inline ? false : filename);
  return {
    signed_url: publicUrl(signed, context.request, context.environment),
    expires_at: expiresAt.toISOString(),
    expires_in: seconds,
    filename,
    bucket: object.bucket,
    path: object.path,
    file_size: object.size,
    content_type: object.contentType,
    checksum: object.checksum,
  };
}

async function mapConcurrently<T, R>(values: T[], work: (value: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(values.length);
  const queue = values.entries();
  const worker = async () => {
    for (const [index, value] of queue) results[index] = await work(value);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return results;
}
