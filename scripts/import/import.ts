/**
 * Legacy files become packages. The database is the only record of how far it got: what is there with the same checksum is
 * skipped, so that an import can be killed anywhere and begun again. Nothing that is there is ever changed.
 */
import { join } from "node:path";
import type { Mistake } from "../../supabase/functions/_shared/errors.ts";
import { MAX_PACKAGE_YAML_BYTES } from "../../supabase/functions/_shared/limits.ts";
import {
  contentPath,
  objectStore,
  placeContent,
  sha256,
} from "../../supabase/functions/_shared/registry/content.ts";
import { readPackageDocument } from "../../supabase/functions/_shared/registry/document.ts";
import { yamlDependencyRows } from "../../supabase/functions/_shared/registry/imports.ts";
import { textOf } from "../../supabase/functions/packages/publication.ts";
import { inlineLimit } from "../../supabase/functions/packages/store.ts";
import { findPlaces, type Places } from "./namespaces.ts";
import { claimNamespace, publish, readBack, type Service, versionsOf } from "./registry.ts";
import type { RollbackFile } from "./rollback.ts";
import { type LegacyFile, walk } from "./walk.ts";

export interface ImportOptions {
  from: string;
  dryRun: boolean;
  concurrency: number;
  visibility: "private" | "public";
  /** Who gets namespaces that nobody has, and has the others; without one, whoever has them gets the files. */
  companyId?: string;
  rollback?: RollbackFile;
  onProgress?(done: number, total: number): void;
}

export interface Problem {
  path: string;
  reason: string;
}

export interface ImportReport {
  run: string;
  dry_run: boolean;
  total: number;
  migrated: number;
  /** There already, with the same content. */
  skipped: number;
  /** Versions without their file. */
  missing: Problem[];
  invalid: Problem[];
  /** There already, with other content; left as they are. */
  conflicts: Problem[];
  seconds: number;
  files_per_second: number;
}

type Outcome = "migrated" | "skipped" | { conflict: string } | { invalid: string };

export async function importPackages(
  service: Service,
  options: ImportOptions,
): Promise<ImportReport> {
  const started = performance.now();
  const report: ImportReport = {
    ...{ run: crypto.randomUUID(), dry_run: options.dryRun },
    ...{ total: 0, migrated: 0, skipped: 0, missing: [], invalid: [], conflicts: [] },
    ...{ seconds: 0, files_per_second: 0 },
  };
  const files: LegacyFile[] = [];
  for await (const entry of walk(options.from)) {
    if ("kind" in entry) report[entry.kind].push({ path: entry.path, reason: entry.reason });
    else files.push(entry);
  }
  report.total = files.length;
  const importer = new Importer(service, options, report.run);
  await importer.prepare(files);
  let done = 0;
  await forEachConcurrently(files, options.concurrency, async (file) => {
    const outcome = await importer.take(file);
    if (typeof outcome === "string") report[outcome]++;
    else if ("conflict" in outcome) {
      report.conflicts.push({ path: file.path, reason: outcome.conflict });
    } else report.invalid.push({ path: file.path, reason: outcome.invalid });
    options.onProgress?.(++done, files.length);
  });
  report.seconds = (performance.now() - started) / 1000;
  report.files_per_second = files.length / report.seconds;
  for (const list of [report.missing, report.invalid, report.conflicts]) {
    list.sort((a, b) => a.path < b.path ? -1 : 1);
  }
  return report;
}

class Importer {
  #known = new Map<string, string>();
  #places: Places = { present: [], free: [], refused: new Map() };
  #inlineLimit = 0;

  constructor(
    private readonly service: Service,
    private readonly options: ImportOptions,
    private readonly run: string,
  ) {}

  /** Learns what is there already, and claims what nobody has. */
  async prepare(files: LegacyFile[]): Promise<void> {
    const { companyId, dryRun } = this.options;
    this.#inlineLimit = await inlineLimit(this.service);
    this.#places = await findPlaces(this.service, files, companyId);
    for (const namespace of this.#places.present) {
      for (const [id, digest] of await versionsOf(this.service, namespace)) {
        this.#known.set(id, digest);
      }
    }
    for (const namespace of dryRun ? [] : this.#places.free) {
      await claimNamespace(this.service, namespace, companyId!);
    }
  }

  async take(file: LegacyFile): Promise<Outcome> {
    const { namespace, name, version, path } = file;
    const { refused } = this.#places;
    const reason = refused.get(namespace) ?? refused.get(`${namespace}/${name}`);
    if (reason) return { invalid: reason };
    const full = join(this.options.from, path);
    if ((await Deno.stat(full)).size > MAX_PACKAGE_YAML_BYTES) {
      return { invalid: `The file is larger than ${MAX_PACKAGE_YAML_BYTES} bytes.` };
    }
    const bytes = await Deno.readFile(full);
    const digest = sha256(bytes);
    const known = this.#known.get(`${namespace}/${name}@${version}`);
    if (known === digest) return "skipped";
    if (known !== undefined) return { conflict: "The version is there with other content." };
    const result = readPackageDocument(bytes, { namespace, name, version });
    if (!result.valid) return { invalid: result.errors.map(sentence).join(" ") };
    // What is not claimed yet holds nothing that this could be at odds with.
    if (this.options.dryRun && this.#places.free.includes(namespace)) return "migrated";
    return await this.#publish(file, textOf(bytes)!, digest, result.document);
  }

  async #publish(
    { namespace, name, version, path }: LegacyFile,
    text: string,
    digest: string,
    document: Extract<ReturnType<typeof readPackageDocument>, { valid: true }>["document"],
  ): Promise<Outcome> {
    const { kind, description, keywords, license, homepage, repository } = document;
    const { dryRun, rollback } = this.options;
    try {
      // Before the first one, so that whatever it brings can be taken back, also when it is killed before it notes that.
      if (!dryRun) await rollback?.begin(this.run);
      const placed = dryRun ? { content: text, storagePath: null } : await placeContent(
        text,
        contentPath({ namespace, name }, version, `${name}-${version}.yaml`),
        "text/yaml",
        this.#inlineLimit,
        objectStore(this.service),
        () => {},
      );
      const { outcome, versionId } = await publish(this.service, {
        actor: null,
        ...{ namespace, name, version, sha256: digest },
        size: new TextEncoder().encode(text).length,
        ...placed,
        details: {
          ...{ kind, description, keywords, license, homepage, repository },
          ...{ visibility: this.options.visibility, import_run: this.run, dry_run: dryRun },
        },
        dependencies: yamlDependencyRows(document.dependencies),
        files: [],
      });
      if (outcome === "unchanged") return "skipped";
      if (dryRun) return "migrated";
      await rollback?.note({ run: this.run, version_id: versionId, path });
      if (await readBack(this.service, versionId) !== text) {
        return { invalid: "What was read back differs." };
      }
      return "migrated";
    } catch (error) {
      const { code, detail, message } = error as {
        code?: string;
        detail?: string;
        message: string;
      };
      if (code === "package_version_exists") return { conflict: detail ?? message };
      // Trouble with the service ends the import, which can be begun again; trouble with the file is the file's.
      if (code === undefined || code === "unavailable" || code === "internal") throw error;
      return { invalid: detail ?? message };
    }
  }
}

function sentence({ line, path, message }: Mistake): string {
  return `${line ? `${line}: ` : ""}${path ? `${path}: ` : ""}${message}`;
}

async function forEachConcurrently<T>(
  items: readonly T[],
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  let failed = false;
  const worker = async () => {
    for (const item of queue) {
      if (failed) return;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
