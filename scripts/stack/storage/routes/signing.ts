/** Signed URLs: made by who has the right, used by whoever holds them. */
import { json, jsonBody, query, type RequestContext } from "../context.ts";
import { MAX_OBJECTS_PER_REQUEST, SIGNED_UPLOAD_SECONDS } from "../limits.ts";
import { assertBucketName, assertObjectKey } from "../names.ts";
import { findObject, visibleNames } from "../objects_table.ts";
import { sendFile } from "../render.ts";
import type { Route } from "../router.ts";
import { assertExpiresIn } from "../signing.ts";
import { assertMayStore, storeUpload } from "../upload.ts";
import { decodeUserMetadata } from "../upload_body.ts";
import type { Schema } from "../validate.ts";

const EXPIRES_IN: Schema = { type: "integer", minimum: 1 };
const TOKEN_QUERY: Schema = {
  type: "object",
  properties: { token: { type: "string" }, download: { type: "string" } },
  required: ["token"],
};
const UNREADABLE = "Either the object does not exist or you do not have access to it";

/** A link to read one object. */
async function signOne({ request, url, params, db, server }: RequestContext): Promise<Response> {
  const { expiresIn } = await jsonBody<{ expiresIn: number }>(request, {
    type: "object",
    properties: { expiresIn: EXPIRES_IN, transform: { type: "object", properties: {} } },
    required: ["expiresIn"],
  });
  assertExpiresIn(expiresIn);
  assertBucketName(params.bucket);
  assertObjectKey(params["*"]);
  await db.asCaller((tx) => findObject(tx, params.bucket, params["*"]));
  // As the real server: what the path says once decoded as a URI, where reserved characters stay encoded.
  const object = decodeURI(url.pathname.split("/").slice(3).join("/"));
  const token = await server.signer.sign({ url: object, scope: "download" }, expiresIn);
  return json({ signedURL: `/object/sign/${object}?token=${token}` });
}

/** Links to many objects of a bucket; one that cannot be read has an error in its place. */
async function signMany({ request, params, db, server }: RequestContext): Promise<Response> {
  const { expiresIn, paths } = await jsonBody<{ expiresIn: number; paths: string[] }>(request, {
    type: "object",
    properties: {
      expiresIn: EXPIRES_IN,
      paths: {
        type: "array",
        items: { type: "string" },
        minItems: 1,
        maxItems: MAX_OBJECTS_PER_REQUEST,
      },
    },
    required: ["expiresIn", "paths"],
  });
  assertExpiresIn(expiresIn);
  assertBucketName(params.bucket);
  const readable = await db.asCaller((tx) => visibleNames(tx, params.bucket, paths));
  return json(
    await Promise.all(paths.map(async (path) => {
      if (!readable.has(path)) return { error: UNREADABLE, path, signedURL: null };
      const object = `${params.bucket}/${path}`;
      const token = await server.signer.sign({ url: object, scope: "download" }, expiresIn);
      return { error: null, path, signedURL: `/object/sign/${object}?token=${token}` };
    })),
  );
}

/** A link to write one object once or, with `x-upsert`, over what is there. */
async function signUpload(
  { request, params, caller, db, server }: RequestContext,
): Promise<Response> {
  const { bucket, "*": name } = params;
  const upsert = request.headers.get("x-upsert") === "true";
  const metadata = request.headers.get("x-metadata");
  const length = request.headers.get("content-length");
  assertBucketName(bucket);
  await assertMayStore(db, {
    bucket,
    name,
    upsert,
    owner: caller.owner,
    userMetadata: metadata === null ? undefined : decodeUserMetadata(metadata),
    metadata: {
      mimetype: request.headers.get("content-type") ?? undefined,
      contentLength: length === null ? undefined : Number(length),
    },
  });
  const token = await server.signer.sign(
    { owner: caller.owner, url: `${bucket}/${name}`, upsert, scope: "upload" },
    SIGNED_UPLOAD_SECONDS,
  );
  return json({ url: `/object/upload/sign/${bucket}/${name}?token=${token}`, token });
}

/** The object behind a link. The right was checked when the link was made. */
async function download(context: RequestContext): Promise<Response> {
  const { url, params, db, server } = context;
  const { token } = query<{ token: string }>(url, TOKEN_QUERY);
  assertBucketName(params.bucket);
  const claims = await server.signer.verify(token, `${params.bucket}/${params["*"]}`, "download");
  assertObjectKey(params["*"]);
  const object = await db.asService((tx) => findObject(tx, params.bucket, params["*"]));
  return await sendFile(context, object, new Date(claims.exp * 1000));
}

/** An upload through a link, as its maker: the object is theirs. */
async function upload(context: RequestContext): Promise<Response> {
  const { url, params, server } = context;
  const { token } = query<{ token: string }>(url, TOKEN_QUERY);
  assertBucketName(params.bucket);
  const claims = await server.signer.verify(token, `${params.bucket}/${params["*"]}`, "upload");
  const { owner, upsert = false } = claims;
  const row = await storeUpload(context, { owner, upsert });
  return json({ Key: `${row.bucket_id}/${row.name}` });
}

export const signingRoutes: Route[] = [
  {
    method: "POST",
    path: "/object/sign/:bucket/*",
    operation: "storage.object.sign",
    access: "required",
    handle: signOne,
  },
  {
    method: "POST",
    path: "/object/sign/:bucket",
    operation: "storage.object.sign_many",
    access: "required",
    handle: signMany,
  },
  {
    method: "POST",
    path: "/object/upload/sign/:bucket/*",
    operation: "storage.object.sign_upload_url",
    access: "required",
    handle: signUpload,
  },
  {
    method: "GET",
    path: "/object/sign/:bucket/*",
    operation: "storage.object.get_signed",
    access: "none",
    handle: download,
  },
  {
    method: "PUT",
    path: "/object/upload/sign/:bucket/*",
    operation: "storage.object.upload_signed",
    access: "none",
    handle: upload,
  },
];
