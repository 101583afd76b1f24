/** Stacks and users for tests. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { type Stack, type StackOptions, startStack } from "../stack/mod.ts";
import { removeServerDirectory } from "../stack/postgres_location.ts";

// deno-lint-ignore no-explicit-any
export type AnyClient = SupabaseClient<any, "public", "public", any>;

export interface TestUser {
  id: string;
  email: string;
  /** Signed in as the user. */
  client: AnyClient;
  accessToken: string;
}

export const TEST_PASSWORD = "correct horse battery staple";

/** A stack of its own, in a temporary directory on free ports; `stop()` removes it. */
export async function startTestStack(options: Partial<StackOptions> = {}): Promise<Stack> {
  const dataDir = options.dataDir ?? await Deno.makeTempDir({ prefix: "stowage stack " });
  // Under root Postgres runs as another user, which has to pass through.
  await Deno.chmod(dataDir, 0o755);
  const remove = async () => {
    await removeServerDirectory(`${dataDir}/postgres`);
    await Deno.remove(dataDir, { recursive: true });
  };
  try {
    const stack = await startStack({ port: 0, dbPort: 0, durable: false, ...options, dataDir });
    const stop = async () => {
      await stack.stop();
      await remove();
    };
    return { ...stack, stop };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A new, confirmed user, signed in. */
export async function createUser(stack: Stack, email?: string): Promise<TestUser> {
  const address = email ?? `user-${crypto.randomUUID()}@example.com`;
  const created = await serviceClient(stack).auth.admin.createUser({
    email: address,
    password: TEST_PASSWORD,
    email_confirm: true,
  });
  if (created.error) throw created.error;
  const client = anonClient(stack);
  const { data, error } = await client.auth.signInWithPassword({
    email: address,
    password: TEST_PASSWORD,
  });
  if (error) throw error;
  return { id: data.user.id, email: address, client, accessToken: data.session.access_token };
}

/** A client with the secret key, past row security. */
export function serviceClient(stack: Stack): AnyClient {
  return client(stack, stack.secretKey);
}

/** A client with the publishable key and nobody signed in. */
export function anonClient(stack: Stack): AnyClient {
  return client(stack, stack.publishableKey);
}

function client(stack: Stack, key: string): AnyClient {
  return createClient(stack.apiUrl, key, {
    // A timer that refreshes tokens would outlive the test.
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
}
