import type { SupabaseEnv } from "@supabase/server";
import { resolveEnv } from "@supabase/server/core";

/** What the functions take from their environment. */
export interface Environment {
  supabase: SupabaseEnv;
  /** The legacy keys, where the project still has them. */
  serviceRoleKey?: string;
  /** The URL under which browsers reach the API, where that is not the one the function itself uses. */
  publicUrl?: string;
}

/** Reads the platform's variables. Projects with legacy keys only are served with those. */
export function readEnvironment(): Environment {
  const serviceRoleKey = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");
  const anonKey = Deno.env.get("SUPABASE_ANON_KEY");
  const { data: supabase, error } = resolveEnv();
  if (error) throw error;
  const orLegacy = (keys: Record<string, string>, legacy?: string) =>
    Object.keys(keys).length === 0 && legacy ? { default: legacy } : keys;
  return {
    supabase: {
      ...supabase,
      publishableKeys: orLegacy(supabase.publishableKeys, anonKey),
      secretKeys: orLegacy(supabase.secretKeys, serviceRoleKey),
    },
    serviceRoleKey,
    publicUrl: Deno.env.get("SUPABASE_PUBLIC_URL"),
  };
}
