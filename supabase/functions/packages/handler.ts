import type { Cache } from "../_shared/cache/cache.ts";
import type { ObjectStore } from "../_shared/registry/content.ts";
import { readContent } from "../_shared/registry/content.ts";
import { toGraphviz, toMermaid, toTree } from "../_shared/registry/graph.ts";
import { isPackageName, packageId, type PackageName } from "../_shared/registry/names.ts";
import { resolve } from "../_shared/registry/resolve.ts";
import { type Context, logFault, openRoute, type Route, route } from "../_shared/serve.ts";
import { identifyVisitor, isAnonymous } from "../_shared/visitor.ts";
import { cacheControl, hasTag, immutable } from "./caching.ts";
import {
  describe,
  describeSummary,
  describeVersion,
  packageNotFound,
  readWanted,
  statusHeaders,
} from "./domain.ts";
import type { DownloadCounter } from "./downloads.ts";
import { readPublication } from "./publication.ts";
import { publish } from "./publish.ts";
import {
  findPackage,
  findVersion,
  METADATA_SECONDS,
  type Reader,
  VERSION_SECONDS,
} from "./registry.ts";
import { readFormat, readPage, readSearch } from "./schema.ts";
import { type ReadStore, readStore } from "./store.ts";

/** What the function keeps between requests. */
export interface Registry {
  cache: Cache;
  downloads: DownloadCounter;
  objects(): ObjectStore;
}

type Open = Context<null>;

/**
 * Reading is open to everybody; what is private is there for members of its company alone, and 404 for all others.
 *
 * - `POST /packages`: publishes; raw YAML, or a form with the YAML in `file` and other files. 201 with `{ success, package,
 *   version, outcome, sha256, size, dependencies, resolution, warnings }`; 200 if exactly this is published already.
 * - `GET /packages`, `GET /packages/search?q=`, `GET /packages/{namespace}`: `{ total, packages }`.
 * - `GET /packages/{namespace}/{name}`: metadata; below it `/versions`, `/changelog`, `/dependents`.
 * - `GET /packages/{namespace}/{name}/{version}`: a version, exact, `latest` or a range; below it `/download`,
 *   `/dependencies?format=json|dot|mermaid`, `/files`, `/files/{path}`.
 */
export function readRoutes(registry: Registry): Route[] {
  const get = (path: string, handle: (context: Open, registry: Registry) => Promise<Response>) =>
    openRoute("GET", path, (context) => handle(context, registry));
  return [
    route("POST", "/", (context) => create(context, registry), { lasting: true }),
    get("/", list),
    get("/search", list),
    get("/:namespace", listNamespace),
    get("/:namespace/:name", showPackage),
    get("/:namespace/:name/versions", listVersions),
    get("/:namespace/:name/changelog", listChanges),
    get("/:namespace/:name/dependents", listDependents),
    get("/:namespace/:name/:version", showVersion),
    get("/:namespace/:name/:version/download", download),
    get("/:namespace/:name/:version/dependencies", showDependencies),
    get("/:namespace/:name/:version/files", listFiles),
    get("/:namespace/:name/:version/files/:path{.+}", downloadFile),
  ];
}

async function create(context: Context, { cache }: Registry): Promise<Response> {
  const { request, url, caller, requestId } = context;
  const publication = await readPublication(request, url);
  const answer = await publish(publication, {
    actor: caller.id,
    reader: readStore(caller.client),
    service: context.service(),
    onFallback: (error) => logFault("packages", requestId, error),
  });
  await cache.invalidate(answer.package);
  const status = answer.outcome === "published" || answer.outcome === "drafted" ? 201 : 200;
  const location = `/functions/v1/packages/${answer.package}/${answer.version}`;
  return Response.json(answer, { status, headers: { ...(status === 201 && { location }) } });
}

async function list(context: Open): Promise<Response> {
  const found = await (await storeOf(context)).search(readSearch(context.url));
  return json(found, cacheControl(isAnonymous(context.request), METADATA_SECONDS));
}

async function listNamespace(context: Open): Promise<Response> {
  const { namespace } = context.params;
  if (!isPackageName(namespace)) throw packageNotFound();
  const search = { ...readSearch(context.url), namespace };
  const found = await (await storeOf(context)).search(search);
  return json(found, cacheControl(isAnonymous(context.request), METADATA_SECONDS));
}

async function showPackage(context: Open, { cache }: Registry): Promise<Response> {
  const { record, hit } = await findPackage(nameOf(context), readerOf(context), cache);
  return json(describe(record), {
    ...cacheControl(isAnonymous(context.request), METADATA_SECONDS),
    ...cacheHeader(hit),
  });
}

async function listVersions(context: Open, { cache }: Registry): Promise<Response> {
  const { record, hit } = await findPackage(nameOf(context), readerOf(context), cache);
  return json({
    package: packageId(record),
    latest_version: record.latest_version,
    versions: record.versions.map(describeSummary),
  }, {
    ...cacheControl(isAnonymous(context.request), METADATA_SECONDS),
    ...cacheHeader(hit),
  });
}

async function listChanges(context: Open, { cache }: Registry): Promise<Response> {
  const { limit, offset } = readPage(context.url);
  const { record } = await findPackage(nameOf(context), readerOf(context), cache);
  const changes = await (await storeOf(context)).changes(record, limit, offset);
  if (!changes) throw packageNotFound();
  return json(
    { package: packageId(record), changes },
    cacheControl(isAnonymous(context.request), METADATA_SECONDS),
  );
}

async function listDependents(context: Open, { cache }: Registry): Promise<Response> {
  const { limit, offset } = readPage(context.url);
  const { record } = await findPackage(nameOf(context), readerOf(context), cache);
  const found = await (await storeOf(context)).dependents(record, limit, offset);
  return json(
    { package: packageId(record), ...found as object },
    cacheControl(isAnonymous(context.request), METADATA_SECONDS),
  );
}

async function showVersion(context: Open, registry: Registry): Promise<Response> {
  const { record, hit } = await versionOf(context, registry);
  return json(describeVersion(record), {
    ...cacheControl(record.is_public, record.is_public ? VERSION_SECONDS : 0),
    ...statusHeaders(record),
    ...cacheHeader(hit),
  });
}

async function download(context: Open, registry: Registry): Promise<Response> {
  const { record, hit } = await versionOf(context, registry);
  registry.downloads.count(record.id);
  const isExact = context.params.version === record.version;
  return content(context.request, {
    text: record.yaml_content,
    sha256: record.sha256,
    type: "text/yaml; charset=utf-8",
    filename: `${record.name}-${record.version}.yaml`,
  }, {
    ...(record.status !== "draft" && isExact
      ? immutable(record.is_public)
      : cacheControl(record.is_public, record.status === "draft" ? 0 : METADATA_SECONDS)),
    ...statusHeaders(record),
    ...cacheHeader(hit),
  });
}

async function showDependencies(context: Open, registry: Registry): Promise<Response> {
  const format = readFormat(context.url);
  const { record } = await versionOf(context, registry);
  const id = packageId(record);
  const candidates = await (await storeOf(context)).candidates([id]);
  const needs = Object.fromEntries(
    record.dependencies.filter(({ source }) => source === "yaml")
      .map((dependency) => [packageId(dependency as PackageName), dependency.range!]),
  );
  // Of what resolves nowhere else, an archived version or a draft, one may still see what it needs.
  const { version, status, status_reason: reason } = record;
  const others = (candidates[id] ?? []).filter((candidate) => candidate.version !== version);
  candidates[id] = [...others, { version, status, reason, dependencies: needs }];
  const resolution = resolve(candidates, { [id]: version });
  const headers = cacheControl(isAnonymous(context.request), METADATA_SECONDS);
  if (format === "dot") return plain(toGraphviz(resolution), "text/vnd.graphviz", headers);
  if (format === "mermaid") return plain(toMermaid(resolution), "text/vnd.mermaid", headers);
  return json({
    package: id,
    version,
    parsed: record.dependencies_parsed_at !== null,
    ...resolution,
    tree: toTree(resolution, id),
    declared: record.dependencies,
    stored: { resolution: record.resolution, resolved_at: record.resolved_at },
  }, headers);
}

async function listFiles(context: Open, registry: Registry): Promise<Response> {
  const { record } = await versionOf(context, registry);
  return json(
    { package: packageId(record), version: record.version, files: record.files },
    cacheControl(record.is_public, record.is_public ? VERSION_SECONDS : 0),
  );
}

async function downloadFile(context: Open, registry: Registry): Promise<Response> {
  const { record } = await versionOf(context, registry);
  const store = await storeOf(context);
  const [file] = await store.files(record.id, context.params.path);
  if (!file) throw packageNotFound();
  const { sha256, content: inRow, storage_path: storagePath } = file;
  const text = await readContent({ sha256, content: inRow, storagePath }, registry.objects());
  return content(context.request, {
    text,
    sha256,
    type: "text/plain; charset=utf-8",
    filename: file.path.slice(file.path.lastIndexOf("/") + 1),
  }, {
    ...(record.status !== "draft" && context.params.version === record.version
      ? immutable(record.is_public)
      : cacheControl(record.is_public, 0)),
    ...statusHeaders(record),
  });
}

interface Content {
  text: string;
  sha256: string;
  type: string;
  filename: string;
}

function content(
  request: Request,
  { text, sha256, type, filename }: Content,
  more: Record<string, string>,
): Response {
  const etag = `"${sha256}"`;
  const headers = { ...more, etag };
  if (hasTag(request, etag)) return new Response(null, { status: 304, headers });
  return new Response(request.method === "HEAD" ? null : text, {
    headers: {
      ...headers,
      "content-type": type,
      "content-disposition": `attachment; filename="${filename}"`,
    },
  });
}

async function versionOf(context: Open, { cache, objects }: Registry) {
  const wanted = readWanted(context.params.version);
  return await findVersion(nameOf(context), wanted, readerOf(context), cache, objects);
}

/** What can be no name cannot be found. */
export function nameOf({ params }: Pick<Context, "params">): PackageName {
  const { namespace, name } = params;
  if (!isPackageName(namespace) || !isPackageName(name)) throw packageNotFound();
  return { namespace, name };
}

function readerOf(context: Open): Reader {
  const anonymous = isAnonymous(context.request);
  return {
    isAnonymous: anonymous,
    // What is read for the cache, others may wait for too.
    store: () => storeOf(anonymous ? { ...context, fetch: undefined } : context),
  };
}

/** Reads as the visitor. */
async function storeOf({ request, environment, fetch }: Open): Promise<ReadStore> {
  return readStore((await identifyVisitor(request, environment, fetch)).client);
}

function cacheHeader(hit: boolean): Record<string, string> {
  return { "x-cache": hit ? "hit" : "miss" };
}

function json(body: unknown, headers: Record<string, string>): Response {
  return Response.json(body, { headers });
}

function plain(text: string, type: string, headers: Record<string, string>): Response {
  return new Response(text, { headers: { ...headers, "content-type": `${type}; charset=utf-8` } });
}
