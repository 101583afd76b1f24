/** Uploads that can be interrupted (TUS 1.0.0): made with the caller's own right, or with a signed upload's token. */
import { Buffer } from "node:buffer";
import { findBucket } from "../buckets_table.ts";
import { drain, type RequestContext } from "../context.ts";
import { errors } from "../errors.ts";
import { assertMimeAllowed } from "../limits.ts";
import { assertBucketName, assertObjectKey } from "../names.ts";
import {
  assertHeaders,
  CHUNK_TYPE,
  commonHeaders,
  formatMetadata,
  type Metadata,
  optionsHeaders,
  parseMetadata,
  tusErrorResponse,
  tusErrors,
} from "../resumable/protocol.ts";
import { expiryOf, type ResumableUpload, type UploadId } from "../resumable/store.ts";
import type { Route } from "../router.ts";
import { assertMayStore, replaceObject } from "../upload.ts";

const PATH = "/upload/resumable";
const SIGNED_PATH = `${PATH}/sign`;
const DEFAULT_TYPE = "application/octet-stream";

/** In whose name the object will be, and whether it may replace another. */
interface Right {
  owner?: string;
  upsert: boolean;
}

/** What of an upload a policy can see before it is stored. */
interface Planned {
  size: number | null;
  metadata: Metadata;
}

type Work = (context: RequestContext, headers: Headers) => Promise<Response>;

/** Runs the work if the request speaks the protocol, and answers its refusals as the protocol does. */
function speaking(work: Work): Route["handle"] {
  return async (context) => {
    const { request } = context;
    const headers = commonHeaders();
    try {
      assertHeaders(request);
      return await work(context, headers);
    } catch (error) {
      const response = tusErrorResponse(error, headers, request.method);
      if (!response) throw error;
      await drain(request);
      return response;
    }
  };
}

function isSigned({ url }: RequestContext): boolean {
  return url.pathname === SIGNED_PATH || url.pathname.startsWith(`${SIGNED_PATH}/`);
}

/** Throws unless the caller, or the signed upload's maker, may store this object. */
async function authorize(
  context: RequestContext,
  { bucket, name }: UploadId,
  { size, metadata }: Planned,
): Promise<Right> {
  const { request, caller, db, server } = context;
  if (isSigned(context)) {
    const token = request.headers.get("x-signature");
    if (!token) throw errors.invalidSignature("Missing x-signature header");
    const claims = await server.signer.verify(token, `${bucket}/${name}`, "upload");
    return { owner: claims.owner, upsert: claims.upsert ?? false };
  }
  const right = { owner: caller.owner, upsert: request.headers.get("x-upsert") === "true" };
  await assertMayStore(db, {
    bucket,
    name,
    ...right,
    metadata: {
      mimetype: metadata.contentType ?? undefined,
      contentLength: size ?? undefined,
    },
    userMetadata: userMetadata(metadata),
  });
  return right;
}

/** The pair `metadata`, JSON for the column `user_metadata`. What cannot be read counts as none. */
function userMetadata({ metadata }: Metadata): Record<string, unknown> | undefined {
  try {
    return metadata ? JSON.parse(metadata) : undefined;
  } catch {
    return undefined;
  }
}

/** Bytes that a file in this bucket may have. */
async function sizeLimit({ db, server }: RequestContext, bucket: string) {
  const settings = await db.asService((tx) => findBucket(tx, bucket));
  const limit = Math.min(settings.file_size_limit || server.fileSizeLimit, server.fileSizeLimit);
  return { limit, mimeRules: settings.allowed_mime_types };
}

/** POST: begins an upload, with its first bytes if they come along. */
async function create(context: RequestContext, headers: Headers): Promise<Response> {
  const { request, server } = context;
  const { headers: given } = request;
  if (given.has("upload-concat")) throw tusErrors.noConcatenation();
  const length = given.get("upload-length");
  if ((length === null) === (given.get("upload-defer-length") === null)) {
    throw tusErrors.lengthRequired();
  }
  const metadata = parseMetadata(given.get("upload-metadata") ?? "");
  if (!metadata) throw tusErrors.metadataRequired();
  const id: UploadId = {
    bucket: metadata.bucketName ?? "",
    name: metadata.objectName ?? "",
    version: crypto.randomUUID(),
  };
  assertBucketName(id.bucket);
  assertObjectKey(id.name);
  const size = length === null ? null : Number(length);
  const { limit, mimeRules } = await sizeLimit(context, id.bucket);
  if (size !== null && size > limit) throw tusErrors.maxSizeExceeded();
  const right = await authorize(context, id, { size, metadata });
  if (metadata.contentType) assertMimeAllowed(metadata.contentType, mimeRules, id.name);

  const seconds = metadata.cacheControl ?? "";
  metadata.cacheControl = /^-?\d+$/.test(seconds) ? `max-age=${seconds}` : "no-cache";
  const upload: ResumableUpload = {
    ...id,
    size,
    metadata,
    createdAt: new Date().toISOString(),
    finished: false,
  };
  return await server.uploadLocks.hold(id.version, async (signal) => {
    await server.resumable.create(upload);
    headers.set("location", locationOf(context, id));
    let offset = 0;
    if (given.get("content-type") === CHUNK_TYPE) {
      offset = await receive(context, upload, 0, limit, signal);
      headers.set("upload-offset", String(offset));
    }
    await conclude(context, upload, offset, right, headers);
    return new Response(null, { status: 201, headers });
  });
}

/** PATCH: adds bytes; with the last one the object is there. */
async function append(context: RequestContext, headers: Headers): Promise<Response> {
  const { request: { headers: given }, server } = context;
  const id = idOf(context);
  const claimed = given.get("upload-offset");
  if (claimed === null) throw tusErrors.offsetRequired();
  if (!given.has("content-type")) throw tusErrors.contentTypeRequired();
  const right = await authorize(context, id, (await server.resumable.get(id)).upload);
  const { limit } = await sizeLimit(context, id.bucket);
  return await server.uploadLocks.hold(id.version, async (signal) => {
    const { upload, offset } = await server.resumable.get(id);
    if (Number(claimed) !== offset) throw tusErrors.offsetConflict();
    const length = given.get("upload-length");
    if (length !== null) await declareSize(context, upload, offset, Number(length), limit);
    const after = await receive(context, upload, offset, limit, signal);
    headers.set("upload-offset", String(after));
    await conclude(context, upload, after, right, headers);
    return new Response(null, { status: 204, headers });
  });
}

async function declareSize(
  { server }: RequestContext,
  upload: ResumableUpload,
  offset: number,
  size: number,
  limit: number,
): Promise<void> {
  if (upload.size !== null || size < offset) throw tusErrors.lengthRequired();
  if (size > limit) throw tusErrors.maxSizeExceeded();
  upload.size = size;
  await server.resumable.save(upload);
}

/** Takes the request's bytes, held to what the upload still lacks. */
async function receive(
  { request, server }: RequestContext,
  upload: ResumableUpload,
  offset: number,
  limit: number,
  signal: AbortSignal,
): Promise<number> {
  const announced = request.headers.get("content-length");
  const room = (upload.size ?? limit) - offset;
  if (announced !== null && Number(announced) > room) throw tusErrors.sizeExceeded();
  if (upload.finished) return offset;
  return await server.resumable.append(upload, request.body, room, signal);
}

/** Makes the object when all bytes are there; until then tells when the upload ends unfinished. */
async function conclude(
  { db, server }: RequestContext,
  upload: ResumableUpload,
  offset: number,
  { owner }: Right,
  headers: Headers,
): Promise<void> {
  if (offset !== upload.size) {
    headers.set("upload-expires", expiryOf(upload).toUTCString());
    return;
  }
  headers.set("tus-complete", "1");
  if (upload.finished) return;
  const { bucket, name, version, metadata } = upload;
  try {
    const path = server.resumable.pathOf(upload);
    const stored = await server.files.adopt(bucket, name, version, path);
    await replaceObject(db, server, {
      bucket_id: bucket,
      name,
      version,
      owner,
      metadata: {
        eTag: stored.eTag,
        size: stored.size,
        mimetype: metadata.contentType || DEFAULT_TYPE,
        cacheControl: metadata.cacheControl ?? undefined,
        lastModified: stored.lastModified.toISOString(),
        contentLength: stored.size,
        httpStatusCode: 200,
      },
      user_metadata: userMetadata(metadata),
    });
  } catch (error) {
    await server.resumable.remove(upload);
    throw error;
  }
  // Kept, so that a client that missed this answer learns that it is done.
  await server.resumable.save({ ...upload, finished: true });
}

/** HEAD: how far the upload has come. As on the real server, its URL and any valid token are enough. */
async function show(context: RequestContext, headers: Headers): Promise<Response> {
  const { server } = context;
  const id = idOf(context);
  if (isSigned(context)) await authorize(context, id, { size: null, metadata: {} });
  const { upload, offset } = await server.uploadLocks.hold(
    id.version,
    () => server.resumable.get(id),
  );
  headers.set("cache-control", "no-store");
  headers.set("upload-offset", String(offset));
  if (upload.size === null) headers.set("upload-defer-length", "1");
  else headers.set("upload-length", String(upload.size));
  headers.set("upload-metadata", formatMetadata(upload.metadata));
  if (offset !== upload.size) headers.set("upload-expires", expiryOf(upload).toUTCString());
  return new Response(null, { status: 200, headers });
}

/** DELETE: gives an unfinished upload up. */
async function terminate(context: RequestContext, headers: Headers): Promise<Response> {
  const { server } = context;
  const id = idOf(context);
  await authorize(context, id, (await server.resumable.get(id)).upload);
  await server.uploadLocks.hold(id.version, async () => {
    const { upload, offset } = await server.resumable.get(id);
    if (offset === upload.size) throw tusErrors.alreadyComplete();
    await server.resumable.remove(id);
  });
  return new Response(null, { status: 204, headers });
}

/** The upload's URL, under the address that the client used. */
function locationOf(context: RequestContext, { bucket, name, version }: UploadId): string {
  const { request: { headers }, url } = context;
  const host = headers.get("x-forwarded-host") ?? url.host;
  const protocol = headers.get("x-forwarded-proto") ?? url.protocol.replace(":", "");
  const prefix = (headers.get("x-forwarded-prefix") ?? "").replace(/\/+$/, "");
  const id = Buffer.from(`${bucket}/${name}/${version}`, "utf8").toString("base64url");
  return `${protocol}://${host}${prefix}${isSigned(context) ? SIGNED_PATH : PATH}/${id}`;
}

function idOf({ params }: RequestContext): UploadId {
  const encoded = params["*"].replace(/\/$/, "");
  if (encoded === "") throw tusErrors.notFound();
  const parts = Buffer.from(encoded, "base64url").toString("utf8").split("/");
  const [bucket, version] = [parts.shift() ?? "", parts.pop() ?? ""];
  if (version === "") throw tusErrors.invalidUploadId();
  const name = parts.join("/");
  assertBucketName(bucket);
  assertObjectKey(name);
  return { bucket, name, version };
}

function options({ server }: RequestContext): Response {
  return new Response(null, { status: 204, headers: optionsHeaders(server.fileSizeLimit) });
}

/** The routes below one path; those with a signature need no token. */
function routesBelow(path: string, access: "token" | "none", suffix: string): Route[] {
  const both = (method: Route["method"], what: string, handle: Route["handle"], who = access) =>
    ["", "/*"].map((rest): Route => ({
      method,
      path: path + rest,
      operation: `storage.tus.${what}${suffix}`,
      access: who,
      handle,
    }));
  const one = (method: Route["method"], what: string, handle: Route["handle"]) =>
    both(method, what, handle).slice(1);
  return [
    ...both("POST", "upload.create", speaking(create)),
    ...one("PATCH", "upload.part", speaking(append)),
    ...one("HEAD", "upload.get", speaking(show)),
    ...one("DELETE", "upload.delete", speaking(terminate)),
    ...both("OPTIONS", "options", options, "none"),
  ];
}

export const resumableRoutes: Route[] = [
  ...routesBelow(PATH, "token", ""),
  ...routesBelow(SIGNED_PATH, "none", "_signed"),
];
