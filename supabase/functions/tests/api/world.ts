/** What the tests of the API act in: a publisher, its customer and an outsider, and things made as they are needed. */
import { resolveEnv } from "@supabase/server/core";
import { Client } from "pg";
import type { Stack } from "../../../../scripts/stack/mod.ts";
import { createUser, startTestStack, type TestUser } from "../../../../scripts/testing/stack.ts";
import type { Environment } from "../../_shared/environment.ts";

export const ACTORS = ["owner", "member", "customer", "outsider"] as const;
/** The publisher's owner and member, the customer's owner, and the owner of another company. */
export type Actor = (typeof ACTORS)[number];

export interface ApiWorld {
  stack: Stack;
  database: Client;
  users: Record<Actor, TestUser>;
  publisherId: string;
  customerId: string;
  outsiderId: string;
  logs: string[];
  stop(): Promise<void>;
}

export async function createApiWorld(): Promise<ApiWorld> {
  const logs: string[] = [];
  const stack = await startTestStack({ seed: false, log: (line) => logs.push(line) });
  const database = new Client({ connectionString: stack.dbUrl });
  const stop = async () => {
    await database.end();
    await stack.stop();
  };
  try {
    await database.connect();
    // What is tested here is not how many requests there may be, but for the test that says otherwise.
    await database.query("update private.api_rate_policies set requests = 1000000");
    const made = await Promise.all(ACTORS.map((name) => createUser(stack, `${name}@example.com`)));
    const users = Object.fromEntries(
      ACTORS.map((name, at) => [name, made[at]]),
    ) as ApiWorld["users"];
    const [publisherId, customerId, outsiderId] = await Promise.all(
      (["owner", "customer", "outsider"] as const).map(async (name) => {
        const { data, error } = await users[name].client.rpc("create_company", {
          slug: `company-of-${name}`,
          name: `Company of ${name}`,
        });
        if (error) throw error;
        return data.id as string;
      }),
    );
    await database.query(
      "insert into company_members (company_id, user_id, role) values ($1, $2, 'member')",
      [publisherId, users.member.id],
    );
    return { stack, database, users, publisherId, customerId, outsiderId, logs, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What a function's process knows; with a signing key that nothing here is signed with. */
export function environmentOf({ stack }: ApiWorld): Environment {
  const { data: supabase } = resolveEnv({
    url: stack.apiUrl,
    publishableKeys: { default: stack.publishableKey },
    secretKeys: { default: stack.secretKey },
    jwks: null,
  } as never);
  return { supabase: supabase!, serviceRoleKey: stack.serviceRoleKey };
}

async function insert(world: ApiWorld, sql: string, values: unknown[]): Promise<string> {
  const { rows } = await world.database.query(sql, values);
  return rows[0].id;
}

let serial = 0;

/** A private app of the publisher that the customer is assigned. */
export async function makeApp(world: ApiWorld, visibility = "private"): Promise<string> {
  const slug = `app-${++serial}`;
  const id = await insert(
    world,
    "insert into applications (slug, name, publisher_company_id, visibility) values ($1, $1, $2, $3) returning id",
    [slug, world.publisherId, visibility],
  );
  await world.database.query("insert into app_assignments (app_id, company_id) values ($1, $2)", [
    id,
    world.customerId,
  ]);
  return id;
}

export async function slugOf(world: ApiWorld, appId: string): Promise<string> {
  const { rows } = await world.database.query("select slug from applications where id = $1", [
    appId,
  ]);
  return rows[0].slug;
}

/** A version with a manifest and one file; the file's id. */
export async function makeVersion(
  world: ApiWorld,
  appId: string,
  version = "1.0.0",
  status = "published",
): Promise<string> {
  const manifest = {
    name: "app",
    version,
    type: "backend",
    permissions: [{ type: "network", scope: "api.example.com", required: true }],
  };
  await world.database.query(
    "insert into app_versions (app_id, version, manifest) values ($1, $2, $3)",
    [appId, version, manifest],
  );
  const fileId = await insert(
    world,
    `insert into app_storage (app_id, version, file_path, file_type, file_size, checksum)
     values ($1, $2, $3, 'dist', 1, 'sha256:' || repeat('00', 32)) returning id`,
    [appId, version, `app_${appId}/${version}/dist/index.js`],
  );
  if (status !== "draft") {
    await world.database.query(
      "update app_versions set status = 'published' where app_id = $1 and version = $2",
      [appId, version],
    );
  }
  return fileId;
}

/** An app with a published version. */
export async function makePublishedApp(world: ApiWorld): Promise<string> {
  const appId = await makeApp(world);
  await makeVersion(world, appId);
  return appId;
}

export async function makeBuild(world: ApiWorld, appId: string, status = "pending") {
  const id = await insert(
    world,
    "insert into app_builds (app_id, build_version) values ($1, '1.0.0') returning id",
    [appId],
  );
  if (status !== "pending") {
    await world.database.query("update app_builds set build_status = $2 where id = $1", [
      id,
      status,
    ]);
  }
  return id;
}

/** A run of the publisher's. A finished one never ran. */
export async function makeRun(world: ApiWorld, appId: string, status = "pending") {
  const id = await insert(
    world,
    "insert into app_runs (app_id, company_id) values ($1, $2) returning id",
    [appId, world.publisherId],
  );
  if (status !== "pending") {
    await world.database.query("update app_runs set status = $2 where id = $1", [id, status]);
  }
  return id;
}

export async function makeOutput(world: ApiWorld, runId: string) {
  return await insert(
    world,
    `insert into app_outputs (run_id, company_id, output_type, output_name, output_data)
     values ($1, $2, 'result', 'result', '{"answer": 42}') returning id`,
    [runId, world.publisherId],
  );
}

export async function makeSchedule(world: ApiWorld, appId: string) {
  return await insert(
    world,
    "insert into app_cron_schedules (app_id, company_id, cron_expression) values ($1, $2, '@daily') returning id",
    [appId, world.publisherId],
  );
}

export async function makeWebhook(world: ApiWorld, appId: string) {
  return await insert(
    world,
    "select webhook_id as id from create_app_webhook($1, $2, 'Orders')",
    [appId, world.publisherId],
  );
}

export async function permissionOf(world: ApiWorld, appId: string): Promise<string> {
  return await insert(world, "select id from app_permissions where app_id = $1", [appId]);
}

/** Makes an app one that nobody can run. */
export async function archive(world: ApiWorld, appId: string): Promise<void> {
  await world.database.query("update applications set status = 'archived' where id = $1", [appId]);
}

export interface ApiAnswer {
  status: number;
  headers: Headers;
  // deno-lint-ignore no-explicit-any -- tests look into what comes
  body: any;
  text: string;
}

export interface ApiCall {
  method?: string;
  query?: Record<string, string>;
  json?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Calls the API as an actor, with a key, or as nobody. */
export async function api(
  world: ApiWorld,
  who: Actor | { key: string } | null,
  path: string,
  { method = "GET", query = {}, json, headers = {}, signal }: ApiCall = {},
): Promise<ApiAnswer> {
  const { stack, users } = world;
  const credentials: Record<string, string> = who === null
    ? {}
    : typeof who === "object"
    ? { apikey: who.key }
    : { apikey: stack.publishableKey, authorization: `Bearer ${users[who].accessToken}` };
  const search = new URLSearchParams(query).toString();
  const response = await fetch(
    `${stack.apiUrl}/functions/v1/api${path}${search && `?${search}`}`,
    {
      method,
      headers: {
        ...credentials,
        ...(json !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      body: json === undefined ? undefined : JSON.stringify(json),
      signal,
    },
  );
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && text !== "" ? JSON.parse(text) : undefined,
    text,
  };
}

/** Gives the tests of a file one world. */
export function withApiWorld(): () => ApiWorld {
  let world: ApiWorld | undefined;
  Deno.test.beforeAll(async () => {
    world = await createApiWorld();
  });
  Deno.test.afterAll(async () => await world?.stop());
  return () => {
    if (!world) throw new Error("The world does not stand yet.");
    return world;
  };
}
