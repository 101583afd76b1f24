import { createContextClient, extractCredentials } from "@supabase/server/core";
import { type Caller, type Client, fetching, identify, isPublicKey } from "./caller.ts";
import type { Database } from "./database.types.ts";
import type { Environment } from "./environment.ts";

/** Who reads what is open to everybody: somebody known, or anybody. */
export type Visitor = Caller | { kind: "anonymous"; id: null; client: Client };

/**
 * Finds out who visits. No credentials, or the public key alone, as supabase-js sends it before anybody has signed in, are
 * a visit without a name; what claims to be more must verify, or the answer is 401.
 */
export async function identifyVisitor(
  request: Request,
  environment: Environment,
  fetch?: typeof globalThis.fetch,
): Promise<Visitor> {
  if (isAnonymous(request)) {
    const client = createContextClient<Database>({
      env: environment.supabase,
      supabaseOptions: fetching(fetch),
    }) as Client;
    return { kind: "anonymous", id: null, client };
  }
  return await identify(request, environment, fetch);
}

/** Neither the token nor the key says who it is. To be taken for anonymous gives nobody anything. */
export function isAnonymous(request: Request): boolean {
  const { token, apikey } = extractCredentials(request);
  return [token, apikey].every((key) => key === null || isPublicKey(key));
}
