import { readJson } from "../_shared/body.ts";
import { AppError } from "../_shared/errors.ts";
import { objectStore, readContent } from "../_shared/registry/content.ts";
import { packageId } from "../_shared/registry/names.ts";
import { type Context, logFault, type Method, type Route, route } from "../_shared/serve.ts";
import { describe, packageNotFound, readWanted } from "./domain.ts";
import { nameOf, type Registry } from "./handler.ts";
import { publish } from "./publish.ts";
import { descriptionSchema, readOptions, reasonSchema } from "./schema.ts";
import {
  changeStatus,
  deleteVersion,
  describePackage,
  readStore,
  type Status,
  type VersionRecord,
} from "./store.ts";

/**
 * For owners and admins of the company that owns the namespace; the database decides. Members get 403, strangers 404.
 *
 * - `PATCH /packages/{namespace}/{name}`: description, keywords, license, homepage, repository, visibility. 200, the package.
 * - `POST …/{version}/publish`: a draft becomes what everybody may rely on; checked again, as if it came anew.
 * - `POST …/{version}/deprecate` and `…/archive` with `{ reason }`, `POST …/{version}/restore`: 200 with `{ success,
 *   package, version, status, status_reason }`.
 * - `DELETE …/{version}`: a draft. 204. What was published is never deleted: 409.
 */
export function lifecycleRoutes(registry: Registry): Route[] {
  const change = (
    method: Method,
    path: string,
    handle: (context: Context, registry: Registry) => Promise<Response>,
  ) => route(method, path, (context) => handle(context, registry), { lasting: true });
  const move = (path: string, status: Status) =>
    change(
      "POST",
      `/:namespace/:name/:version/${path}`,
      (context) => changeTo(status, context, registry),
    );
  return [
    change("PATCH", "/:namespace/:name", update),
    change("POST", "/:namespace/:name/:version/publish", publishDraft),
    move("deprecate", "deprecated"),
    move("archive", "archived"),
    move("restore", "published"),
    change("DELETE", "/:namespace/:name/:version", remove),
  ];
}

async function update(context: Context, { cache }: Registry): Promise<Response> {
  const values = await readJson(context.request, descriptionSchema);
  const name = nameOf(context);
  const store = readStore(context.caller.client);
  const record = await store.package(name);
  if (!record) throw packageNotFound();
  if (!await describePackage(context.caller.client, record.id, values)) throw notYours();
  await cache.invalidate(packageId(name));
  return Response.json(describe((await store.package(name))!));
}

async function changeTo(
  status: Status,
  context: Context,
  { cache }: Registry,
): Promise<Response> {
  const record = await exactVersion(context);
  const reason = status === "published"
    ? null
    : (await readJson(context.request, reasonSchema)).reason;
  // A draft is published by the one way that checks it.
  if (status === "published" && record.status === "draft") {
    throw new AppError("conflict", "A draft is published, not restored.");
  }
  if (!await changeStatus(context.caller.client, record.id, status, reason)) throw notYours();
  await cache.invalidate(packageId(record));
  return Response.json({
    success: true,
    package: packageId(record),
    version: record.version,
    status,
    status_reason: reason,
  });
}

async function publishDraft(context: Context, { cache, objects }: Registry): Promise<Response> {
  const record = await exactVersion(context);
  if (record.status !== "draft") {
    throw new AppError("conflict", `Version ${record.version} is ${record.status} already.`);
  }
  const read = (stored: { sha256: string; content: string | null; storage_path: string | null }) =>
    readContent({ ...stored, storagePath: stored.storage_path }, objects());
  const store = readStore(context.caller.client);
  const files = [];
  for (const file of await store.files(record.id)) {
    files.push({ path: file.path, text: await read(file) });
  }
  const yaml = new TextEncoder().encode(await read({ ...record, content: record.yaml_content }));
  const { namespace, name, version } = record;
  const answer = await publish({
    yaml,
    files,
    options: readOptions(Object.entries({ namespace, name, version })),
  }, {
    actor: context.caller.id,
    reader: store,
    service: context.service(),
    draftId: record.id,
    onFallback: (error) => logFault("packages", context.requestId, error),
  });
  await cache.invalidate(answer.package);
  return Response.json(answer);
}

async function remove(context: Context, { cache }: Registry): Promise<Response> {
  const record = await exactVersion(context);
  const store = readStore(context.caller.client);
  const files = await store.files(record.id);
  if (!await deleteVersion(context.caller.client, record.id)) throw notYours();
  const paths = [record.storage_path, ...files.map((file) => file.storage_path)]
    .filter((path) => path !== null);
  await objectStore(context.service()).remove(paths)
    .catch((error) => logFault("packages", context.requestId, error));
  await cache.invalidate(packageId(record));
  return new Response(null, { status: 204 });
}

/** What is to be changed is named exactly, never by a range. */
async function exactVersion(context: Context): Promise<VersionRecord> {
  const wanted = readWanted(context.params.version);
  const record = wanted.kind === "exact"
    ? await readStore(context.caller.client).version(nameOf(context), wanted.text)
    : null;
  if (!record) throw packageNotFound();
  return record;
}

function notYours(): AppError {
  return new AppError("forbidden", "Owners and admins of the company that owns the namespace may.");
}
