/** Publishing: what the YAML says is checked, what it needs resolved, what is large put away, and all of it stored at once. */
import type { Client } from "../_shared/caller.ts";
import { AppError, type Mistake } from "../_shared/errors.ts";
import { contentPath, objectStore, placeContent, sha256 } from "../_shared/registry/content.ts";
import { type PackageDocument, readPackageDocument } from "../_shared/registry/document.ts";
import {
  type DependencyRow,
  type ReadFile,
  readFiles,
  resolveImports,
  yamlDependencyRows,
} from "../_shared/registry/imports.ts";
import { packageId } from "../_shared/registry/names.ts";
import { type Resolution, resolve } from "../_shared/registry/resolve.ts";
import { cycleThrough, warningsOf } from "./domain.ts";
import { invalidPackage, type Publication, textOf } from "./publication.ts";
import {
  inlineLimit,
  type NewFile,
  type NewVersion,
  type Published,
  publishVersion,
  type ReadStore,
} from "./store.ts";

export interface Publisher {
  /** Null is the service itself. */
  actor: string | null;
  /** Reads as the publisher. */
  reader: ReadStore;
  service: Client;
  /** The draft that is published, so that no other is. */
  draftId?: string;
  /** Told of what went wrong and was got over. */
  onFallback(error: unknown): void;
}

export interface PublishAnswer {
  success: true;
  package: string;
  version: string;
  outcome: "published" | "drafted" | "unchanged" | "valid";
  sha256: string;
  size: number;
  dependencies: DependencyRow[];
  resolution: Record<string, string>;
  warnings: string[];
}

/** Publishes, or says every mistake at once: 422 `package_invalid`. Nothing is stored of what is refused. */
export async function publish(
  publication: Publication,
  publisher: Publisher,
): Promise<PublishAnswer> {
  const { options, yaml } = publication;
  const { document, files } = check(publication);
  const text = textOf(yaml)!;
  const digest = sha256(yaml);
  if (options.sha256 !== undefined && options.sha256 !== digest) {
    throw new AppError("checksum_mismatch", `The YAML has the SHA-256 ${digest}.`);
  }
  const resolution = await resolveNew(document, publisher.reader);
  const dependencies = [
    ...yamlDependencyRows(document.dependencies),
    ...await resolveImports(files, document.dependencies, async (dependency) => {
      const version = resolution.versions[packageId(dependency)];
      return version ? await publisher.reader.filePaths(dependency, version) : undefined;
    }),
  ];
  const { [packageId(document)]: _, ...versions } = resolution.versions;
  const answer = (outcome: PublishAnswer["outcome"]): PublishAnswer => ({
    success: true,
    package: packageId(document),
    version: document.version,
    outcome,
    sha256: digest,
    size: yaml.length,
    dependencies,
    resolution: versions,
    warnings: warningsOf(resolution, unresolved(dependencies)),
  });
  const { kind, description, keywords, license, homepage, repository } = document;
  const { outcome } = await store(
    {
      actor: publisher.actor,
      ...{ namespace: document.namespace, name: document.name, version: document.version },
      ...{ sha256: digest, size: yaml.length, content: text, storagePath: null },
      details: {
        ...{ kind, description, keywords, license, homepage, repository },
        ...{ visibility: options.visibility, status: options.status, resolution: versions },
        ...{ draft: publisher.draftId },
      },
      dependencies,
      files: files.map(({ path, text, protoPackage }) => ({
        path,
        content_type: "text/plain",
        content: text,
        storage_path: null,
        sha256: sha256(text),
        size: new TextEncoder().encode(text).length,
        proto_package: protoPackage,
      })),
    },
    options.dry_run,
    publisher,
  );
  return answer(outcome);
}

function check({ yaml, files, options }: Publication): {
  document: PackageDocument;
  files: ReadFile[];
} {
  const { namespace, name, version } = options;
  const result = readPackageDocument(yaml, { namespace, name, version });
  const read = readFiles(files);
  const errors: Mistake[] = [...(result.valid ? [] : result.errors), ...read.errors];
  if (!result.valid || errors.length > 0) throw invalidPackage(errors);
  return { document: result.document, files: read.files };
}

/** What the new version needs, with itself among the candidates, so that a cycle through it is found before it is there. */
async function resolveNew(document: PackageDocument, reader: ReadStore): Promise<Resolution> {
  const id = packageId(document);
  const needs = Object.fromEntries(
    document.dependencies.map((dependency) => [packageId(dependency), dependency.range]),
  );
  if (document.dependencies.length === 0) {
    return resolve({ [id]: [{ version: document.version, dependencies: {} }] }, {
      [id]: document.version,
    });
  }
  const candidates = await reader.candidates(Object.keys(needs));
  const others = (candidates[id] ?? []).filter(({ version }) => version !== document.version);
  candidates[id] = [...others, { version: document.version, dependencies: needs }];
  const resolution = resolve(candidates, { [id]: document.version });
  const cycle = cycleThrough(resolution, document);
  if (cycle) {
    const message = `The package would depend on itself: ${cycle.join(" → ")}.`;
    throw new AppError("package_dependency_cycle", message, {
      errors: [{ code: "cycle", message, path: "dependencies", pointer: "/dependencies" }],
    });
  }
  return resolution;
}

function unresolved(rows: DependencyRow[]): string[] {
  return [
    ...new Set(
      rows.filter((row) => row.resolution === "unresolved").map((row) => row.import_path!),
    ),
  ];
}

/**
 * Puts large content away, then stores all rows in one transaction. Objects of what is refused are removed; for what would be
 * refused anyway, none are made.
 */
async function store(
  made: NewVersion,
  isDryRun: boolean,
  { service, onFallback }: Publisher,
): Promise<Published> {
  const objects = objectStore(service);
  const limit = await inlineLimit(service);
  if (isDryRun || [made, ...made.files].some(({ size }) => size > limit)) {
    const tried = await publishVersion(service, {
      ...made,
      details: { ...made.details, dry_run: true },
    });
    if (isDryRun || tried.outcome === "unchanged") return tried;
  }
  const place = (text: string, file: string, type: string) =>
    placeContent(text, contentPath(made, made.version, file), type, limit, objects, onFallback);
  const yaml = await place(made.content!, `${made.name}-${made.version}.yaml`, "text/yaml");
  const files: NewFile[] = [];
  for (const file of made.files) {
    const { content, storagePath } = await place(file.content!, file.path, file.content_type);
    files.push({ ...file, content, storage_path: storagePath });
  }
  const paths = [yaml.storagePath, ...files.map((file) => file.storage_path)]
    .filter((path) => path !== null);
  const remove = (abandoned: string[]) => objects.remove(abandoned).catch(onFallback);
  try {
    const published = await publishVersion(service, { ...made, ...yaml, files });
    await remove(published.outcome === "unchanged" ? paths : published.abandoned);
    return published;
  } catch (error) {
    // Of a refusal nothing is stored. Of anything else nobody knows, and what is stored must keep its objects.
    if (error instanceof AppError && error.entry.fault === "caller") await remove(paths);
    throw error;
  }
}
