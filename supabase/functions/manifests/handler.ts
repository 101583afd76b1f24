import { mediaTypeOf, readBytes } from "../_shared/body.ts";
import { AppError } from "../_shared/errors.ts";
import { MAX_MANIFEST_BYTES } from "../_shared/limits.ts";
import { manifestJsonSchemaText } from "../_shared/manifest/json_schema.ts";
import type { ManifestFormat } from "../_shared/manifest/text.ts";
import { validateManifest } from "../_shared/manifest/validate.ts";
import { type Context, openRoute, type Route, route } from "../_shared/serve.ts";

/**
 * - `GET /manifests/schema`: the manifest's JSON Schema, for editors; open to everybody and cached.
 * - `POST /manifests/validate`: a manifest as the body, JSON or YAML by its content type or by `?format=json|yaml`.
 *   Whoever is signed in may ask; nothing is stored. A manifest that was checked is a success, whatever was found:
 *   200 with `{ valid: true, manifest, errors: [] }`, defaults filled in, or `{ valid: false, manifest: null, errors }`,
 *   each mistake with its path, pointer, line and column. Errors of the request itself (415, 413, 401) are problems.
 */
export const routes: Route[] = [
  openRoute("GET", "/schema", serveSchema),
  route("POST", "/validate", validate),
];

const SCHEMA_MAX_AGE_SECONDS = 3600;

async function serveSchema({ request }: Context<null>): Promise<Response> {
  const text = manifestJsonSchemaText();
  const digest = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
  );
  const etag = `"${
    Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("")
  }"`;
  const headers = { etag, "cache-control": `public, max-age=${SCHEMA_MAX_AGE_SECONDS}` };
  if (request.headers.get("if-none-match") === etag) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(request.method === "HEAD" ? null : text, {
    headers: { ...headers, "content-type": "application/schema+json" },
  });
}

const FORMATS: Record<string, ManifestFormat> = {
  "application/json": "json",
  "text/json": "json",
  "application/yaml": "yaml",
  "application/x-yaml": "yaml",
  "text/yaml": "yaml",
  "text/x-yaml": "yaml",
};

async function validate({ request, url }: Context): Promise<Response> {
  const format = formatOf(request, url);
  const result = validateManifest(await readBytes(request, MAX_MANIFEST_BYTES), format);
  return Response.json(
    result.valid
      ? { valid: true, manifest: result.manifest, errors: [] }
      : { valid: false, manifest: null, errors: result.errors },
    { headers: { "cache-control": "no-store" } },
  );
}

function formatOf(request: Request, url: URL): ManifestFormat {
  const asked = url.searchParams.get("format");
  if (asked === "json" || asked === "yaml") return asked;
  if (asked !== null) throw new AppError("unsupported_media_type", "format takes json or yaml.");
  const mediaType = mediaTypeOf(request);
  if (!Object.hasOwn(FORMATS, mediaType)) {
    throw new AppError("unsupported_media_type", "Send application/json or application/yaml.");
  }
  return FORMATS[mediaType];
}
