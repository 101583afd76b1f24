/** What the demo does over HTTP, beside what publishers do. */
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../supabase/functions/_shared/database.types.ts";
import type { Client } from "../command/project.ts";
import type { Stack } from "../stack/mod.ts";

/** Signs up a new user, who is then signed in on the client that is returned. */
export async function signUp(stack: Stack, email: string): Promise<Client> {
  const client = createClient<Database>(stack.apiUrl, stack.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { error } = await client.auth.signUp({ email, password: crypto.randomUUID() });
  if (error) throw new Error(`sign-up of ${email}: ${error.message}`);
  return client;
}

export interface FunctionAnswer {
  status: number;
  // deno-lint-ignore no-explicit-any -- a demo reads what it prints
  body: any;
}

/** Calls an Edge Function as the client's user; any status is an answer. */
export async function callFunction(
  stack: Stack,
  client: Client,
  path: string,
  body: unknown,
): Promise<FunctionAnswer> {
  const { data } = await client.auth.getSession();
  const response = await fetch(`${stack.apiUrl}/functions/v1/${path}`, {
    method: "POST",
    headers: {
      apikey: stack.publishableKey,
      authorization: `Bearer ${data.session?.access_token}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}
