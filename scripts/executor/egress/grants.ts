/** Whether what an app asks for is among what its network permissions open. */
import type { Grant } from "../../../supabase/functions/_shared/manifest/network_scopes.ts";

/** @param host as `cleanHost` gives it */
export function isGranted(grants: Grant[], host: string, port: number): boolean {
  return grants.some((grant) =>
    grant.ports.includes(port) &&
    (grant.subdomains ? host.endsWith(`.${grant.host}`) : host === grant.host)
  );
}
