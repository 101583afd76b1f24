import { mediaTypeOf, readJson } from "../_shared/body.ts";
import type { Caller } from "../_shared/caller.ts";
import { idParam } from "../_shared/ids.ts";
import { publicUrl } from "../_shared/public_url.ts";
import { type Context, logFault, type Route, route } from "../_shared/serve.ts";
import { RESUMABLE_CHUNK_BYTES } from "../_shared/limits.ts";
import { APP_STORAGE, SIGNED_RESUMABLE_PATH, verifyingPath } from "../_shared/storage_paths.ts";
import { completeUpload } from "./completion.ts";
import { type BeginInput, beginSchema, readForm } from "./schema.ts";
import { callerStore, serviceStore, type Upload } from "./store.ts";

/**
 * - `POST /uploads`, JSON: begins an upload. 201 with `{ upload, bucket, path, token, signed_url, resumable, expires_at }`;
 *   the bytes go to `signed_url` by PUT, to supabase-js's `uploadToSignedUrl(path, token, file)`, or, where the connection
 *   may break, in chunks by TUS with what `resumable` says (`{ endpoint, headers, metadata, chunk_size }`, which
 *   tus-js-client takes as it is). The same call again answers the same upload.
 * - `POST /uploads`, multipart/form-data with a part `file`: a small file in one call. 201 with `{ upload, file }`.
 * - `POST /uploads/{id}/complete`: verifies what was uploaded. 200 with `{ upload, file }`; may be repeated.
 * - `GET /uploads/{id}`: `{ upload }`.
 * - `DELETE /uploads/{id}`: gives a pending upload up. 200 with `{ upload }`.
 *
 * Owners and admins of the app's publisher may; the database decides. Whoever is neither gets 404, and so does everybody
 * for what does not exist.
 */
export const routes: Route[] = [
  route("POST", "/", create, { lasting: true }),
  route("POST", "/:id/complete", complete, { lasting: true }),
  route("GET", "/:id", show),
  route("DELETE", "/:id", abort, { lasting: true }),
];

async function create(context: Context): Promise<Response> {
  if (mediaTypeOf(context.request) === "multipart/form-data") return await createFromForm(context);
  const input = await readJson(context.request, beginSchema);
  const upload = await begin(context, input);
  const { signedUrl, token } = await serviceStore(context.service()).signUpload(
    upload.staging_path!,
  );
  return json(201, {
    upload,
    bucket: APP_STORAGE,
    path: upload.staging_path,
    token,
    signed_url: publicUrl(signedUrl, context.request, context.environment),
    resumable: {
      endpoint: publicUrl(SIGNED_RESUMABLE_PATH, context.request, context.environment),
      headers: { "x-signature": token },
      metadata: {
        bucketName: APP_STORAGE,
        objectName: upload.staging_path,
        contentType: upload.content_type,
      },
      chunk_size: RESUMABLE_CHUNK_BYTES,
    },
    expires_at: upload.expires_at,
  });
}

async function createFromForm(context: Context): Promise<Response> {
  const { input, bytes } = await readForm(context.request);
  const upload = await begin(context, input);
  const service = serviceStore(context.service());
  await service.put(upload.staging_path!, bytes, upload.content_type);
  return json(201, await completeUpload(upload.id, own(context.caller), service));
}

async function begin(context: Context, input: BeginInput): Promise<Upload> {
  const upload = await own(context.caller).begin(input);
  try {
    await serviceStore(context.service()).sweep();
  } catch (error) {
    // The next upload tries again; this one has begun.
    logFault("uploads", context.requestId, error);
  }
  return upload;
}

async function complete({ params, caller, service }: Context): Promise<Response> {
  return json(200, await completeUpload(idParam(params.id), own(caller), serviceStore(service())));
}

async function show({ params, caller }: Context): Promise<Response> {
  return json(200, { upload: await own(caller).find(idParam(params.id)) });
}

async function abort({ params, caller, service }: Context): Promise<Response> {
  const upload = await own(caller).cancel(idParam(params.id));
  await serviceStore(service()).remove([upload.staging_path!, verifyingPath(upload.staging_path!)]);
  return json(200, { upload });
}

function own(caller: Caller) {
  return callerStore(caller.client);
}

function json(status: number, body: unknown): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store" } });
}
