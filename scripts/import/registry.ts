/** What the import asks of the registry, as the service. */
import { answered, type Client as Service } from "../command/project.ts";
import { objectStore, readContent } from "../../supabase/functions/_shared/registry/content.ts";
import type { NewVersion } from "../../supabase/functions/packages/store.ts";
import { publishVersion } from "../../supabase/functions/packages/store.ts";

const PAGE = 1000;

/** SHA-256 by `namespace/name@version`, of all that a namespace has. */
export async function versionsOf(
  service: Service,
  namespace: string,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (let from = 0;; from += PAGE) {
    const data = answered(
      await service.from("package_versions")
        .select("version, sha256, packages!inner(namespace, name)")
        .eq("packages.namespace", namespace).order("id").range(from, from + PAGE - 1),
    );
    for (const { version, sha256, packages } of data) {
      found.set(`${packages.namespace}/${packages.name}@${version}`, sha256);
    }
    if (data.length < PAGE) return found;
  }
}

export interface Namespace {
  /** Null where it is reserved. */
  company_id: string | null;
  slug?: string;
}

/** Who has which. */
export async function namespaces(service: Service): Promise<Map<string, Namespace>> {
  const found = new Map<string, Namespace>();
  for (let from = 0;; from += PAGE) {
    const data = answered(
      await service.from("package_namespaces").select("name, company_id, companies(slug)")
        .order("name").range(from, from + PAGE - 1),
    );
    for (const { name, company_id, companies } of data) {
      found.set(name, { company_id, slug: companies?.slug });
    }
    if (data.length < PAGE) return found;
  }
}

/** Of the company; undefined if there is none. */
export async function slugOf(service: Service, companyId: string): Promise<string | undefined> {
  const found = await service.from("companies").select("slug").eq("id", companyId).limit(1);
  return answered(found)[0]?.slug;
}

export async function claimNamespace(
  service: Service,
  name: string,
  companyId: string,
): Promise<void> {
  answered(await service.from("package_namespaces").insert({ name, company_id: companyId }));
}

export type { Service };
export { publishVersion as publish };
export type { NewVersion };

/** Reads content back, wherever it is; fails if it is not what its checksum says. */
export async function readBack(service: Service, versionId: string): Promise<string> {
  const { data, error } = await service.from("package_versions")
    .select("sha256, yaml_content, storage_path").eq("id", versionId).single();
  if (error) throw error;
  const { sha256, yaml_content: content, storage_path: storagePath } = data;
  return await readContent({ sha256, content, storagePath }, objectStore(service));
}

/** Deletes a version that the run brought, and its package, if that was all it had. False if it is not there any more. */
export async function takeBack(
  service: Service,
  versionId: string,
  run: string,
): Promise<boolean> {
  const data = answered(
    await service.from("package_versions").delete()
      .eq("id", versionId).eq("import_run", run).select("package_id, storage_path"),
  );
  if (data.length === 0) return false;
  const [{ package_id, storage_path }] = data;
  if (storage_path) await objectStore(service).remove([storage_path]);
  const rest = await service.from("package_versions").select("id").eq("package_id", package_id)
    .limit(1);
  if (answered(rest).length === 0) {
    answered(await service.from("packages").delete().eq("id", package_id));
  }
  return true;
}
