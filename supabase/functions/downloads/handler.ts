import { createHash } from "node:crypto";
import { readJson } from "../_shared/body.ts";
import { AppError } from "../_shared/errors.ts";
import { idParam } from "../_shared/ids.ts";
import { isActiveType } from "../_shared/media_types.ts";
import { toProblem } from "../_shared/problem.ts";
import { publicUrl } from "../_shared/public_url.ts";
import { baseName } from "../_shared/safe_path.ts";
import { type Context, openRoute, type Route, route } from "../_shared/serve.ts";
import { deliver } from "./delivery.ts";
import { openLink, sealLink } from "./links.ts";
import { type DownloadItem, downloadSchema, TOKEN_SECRET, tokenSchema } from "./schema.ts";
import { callerStore, serviceStore, type Visible } from "./store.ts";

/**
 * - `POST /downloads` signs URLs of files, outputs and logs that the caller may see, for at most an hour, and logs them.
 *   One: `{ file_id | output_id | path (+ bucket), filename?, inline?, expires_in? }`. 200 with `{ signed_url, expires_at,
 *   expires_in, filename, bucket, path, file_size, content_type, checksum }`. Several: `{ items: [...], expires_in? }`. 200
 *   with `{ expires_in, results }`, in order, each `{ status: 200, … }` as for one, or `{ status, error }` with a problem: an
 *   item that fails does not fail the others.
 * - `POST /downloads/tokens` `{ file_id | output_id | path, max_downloads?, expires_in?, label?, filename?, company_id? }`
 *   makes a token for others. 201 with `{ id, secret, url, expires_at }`, the secret this once.
 * - `DELETE /downloads/tokens/{id}` revokes it. 200 with `{ token }`.
 * - `GET /downloads/t/{secret}`, without any key: the token's file. 200, 206, 304 or 416; 404 for every secret that is of
 *   no use, whatever the reason.
 * - `GET /downloads/l/{link}`, without any key: what `signed_url` is for files that a browser would run (HTML, SVG, XML).
 *
 * What is hidden from the caller and what does not exist are the same 404.
 */
export const routes: Route[] = [
  route("POST", "/", sign),
  route("POST", "/tokens", createToken),
  route("DELETE", "/tokens/:id", revokeToken),
  openRoute("GET", "/t/:secret", useToken),
  openRoute("GET", "/l/:link", followLink),
];

const PRIVATE = { "cache-control": "no-store" };

async function sign(context: Context): Promise<Response> {
  const { items, expires_in, isBatch } = await readJson(context.request, downloadSchema);
  const found = await callerStore(context.caller.client).request(items);
  const forStorage = found.filter((object) => object && !isActive(object)) as Visible[];
  const signed = await serviceStore(context.service()).sign(forStorage, expires_in);
  const urls = new Map(forStorage.map((object, index) => [object, signed[index]]));
  const results = found.map((object, index) =>
    object && describe(object, items[index], expires_in, urls.get(object), context)
  );
  if (!isBatch) {
    if (!results[0]) throw new AppError("not_found");
    return Response.json(results[0], { headers: PRIVATE });
  }
  const missing = new AppError("not_found");
  return Response.json({
    expires_in,
    results: results.map((result) =>
      result ? { status: 200, ...result } : {
        status: missing.entry.status,
        error: toProblem(missing, context.requestId),
      }
    ),
  }, { headers: PRIVATE });
}

/** Whoever uploads tells its type twice; the worse one counts. */
function isActive(object: Visible): boolean {
  return isActiveType(object.contentType) || isActiveType(object.storedType);
}

/** The answer for one object; null if it turned out to be gone. */
function describe(
  object: Visible,
  item: DownloadItem,
  seconds: number,
  signed: string | null | undefined,
  context: Context,
) {
  const filename = item.filename ?? baseName(object.path);
  const expires = Math.floor(Date.now() / 1000) + seconds;
  let url = signed;
  if (isActive(object)) {
    const sealed = sealLink({
      bucket: object.bucket,
      path: object.path,
      fileName: filename,
      size: object.storedSize,
      contentType: object.storedType,
      etag: object.checksum && `"${object.checksum.replace(":", "-")}"`,
      isImmutable: false,
      expires,
    }, context.environment);
    url = `/functions/v1/downloads/l/${sealed}`;
  }
  if (!url) return null;
  const address = new URL(publicUrl(url, context.request, context.environment));
  // supabase-js would encode the name twice.
  if (!isActive(object) && !item.inline) address.searchParams.set("download", filename);
  return {
    signed_url: address.href,
    expires_at: new Date(expires * 1000).toISOString(),
    expires_in: seconds,
    filename,
    bucket: object.bucket,
    path: object.path,
    file_size: object.size,
    content_type: object.contentType,
    checksum: object.checksum,
  };
}

async function createToken(context: Context): Promise<Response> {
  const input = await readJson(context.request, tokenSchema);
  const { id, secret, expiresAt } = await callerStore(context.caller.client).createToken(input);
  const path = `/functions/v1/downloads/t/${secret}`;
  const url = publicUrl(path, context.request, context.environment);
  return Response.json({ id, secret, url, expires_at: expiresAt }, {
    status: 201,
    headers: PRIVATE,
  });
}

async function revokeToken({ params, caller }: Context): Promise<Response> {
  const token = await callerStore(caller.client).revokeToken(idParam(params.id));
  return Response.json({ token }, { headers: PRIVATE });
}

async function useToken({ request, params, service }: Context<null>): Promise<Response> {
  if (!TOKEN_SECRET.test(params.secret)) throw new AppError("not_found");
  const store = serviceStore(service());
  const file = await store.findToken(createHash("sha256").update(params.secret).digest("hex"));
  if (!file) throw new AppError("not_found");
  return await deliver(request, file, store, (bytes) => store.useToken(file.tokenId, bytes));
}

async function followLink(context: Context<null>): Promise<Response> {
  const file = openLink(context.params.link, context.environment);
  if (!file) throw new AppError("not_found");
  return await deliver(context.request, file, serviceStore(context.service()));
}
