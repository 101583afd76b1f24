/** What the import asks of the registry, as the service. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import { objectStore, readContent } from "../../supabase/functions/_shared/registry/content.ts";
import type { NewVersion } from "../../supabase/functions/packages/store.ts";
import { publishVersion } from "../../supabase/functions/packages/store.ts";

export type Service = SupabaseClient<Database>;

export function connect(url: string, key: string): Service {
  return createClient<Database>(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
}

const PAGE = 1000;

/** SHA-256 by `namespace/name@version`, of all that a namespace has. */
export async function versionsOf(
  service: Service,
  namespace: string,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (let from = 0;; from += PAGE) {
    const { data, error } = await service.from("package_versions")
      .select("version, sha256, packages!inner(namespace, name)")
      .eq("packages.namespace", namespace).order("id").range(from, from + PAGE - 1);
    if (error) throw error;
    for (const { version, sha256, packages } of data) {
      found.set(`${packages.namespace}/${packages.name}@${version}`, sha256);
    }
    if (data.length < PAGE) return found;
  }
}

export async function namespaces(service: Service): Promise<Set<string>> {
  const found = new Set<string>();
  for (let from = 0;; from += PAGE) {
    const { data, error } = await service.from("package_namespaces").select("name").order("name")
      .range(from, from + PAGE - 1);
    if (error) throw error;
    for (const { name } of data) found.add(name);
    if (data.length < PAGE) return found;
  }
}

export async function claimNamespace(
  service: Service,
  name: string,
  companyId: string,
): Promise<void> {
  const { error } = await service.from("package_namespaces")
    .insert({ name, company_id: companyId });
  if (error) throw error;
}

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
  const { data, error } = await service.from("package_versions").delete()
    .eq("id", versionId).eq("import_run", run).select("package_id, storage_path");
  if (error) throw error;
  if (data.length === 0) return false;
  const [{ package_id, storage_path }] = data;
  if (storage_path) await objectStore(service).remove([storage_path]);
  const rest = await service.from("package_versions").select("id").eq("package_id", package_id)
    .limit(1);
  if (rest.error) throw rest.error;
  if (rest.data.length === 0) {
    const { error } = await service.from("packages").delete().eq("id", package_id);
    if (error) throw error;
  }
  return true;
}
