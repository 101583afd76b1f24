/** What the tests over HTTP need: a publisher with an app on a stack, and calls to the functions. */
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import {
  createUser,
  serviceClient,
  startTestStack,
  type TestUser,
} from "../../../scripts/testing/stack.ts";
import type { Stack } from "../../../scripts/stack/mod.ts";
import { checksumOf } from "./fixtures.ts";

export interface World {
  stack: Stack;
  service: ReturnType<typeof serviceClient>;
  publisher: TestUser;
  /** Owner of a company that has nothing to do with the publisher's. */
  outsider: TestUser;
  companyId: string;
  appId: string;
  logs: string[];
  stop(): Promise<void>;
}

export async function createWorld(): Promise<World> {
  const logs: string[] = [];
  const stack = await startTestStack({ seed: false, log: (line) => logs.push(line) });
  try {
    const [publisher, outsider] = await Promise.all([createUser(stack), createUser(stack)]);
    const companyId = await createCompany(publisher);
    await createCompany(outsider);
    const appId = await createApp(publisher, companyId);
    return {
      stack,
      service: serviceClient(stack),
      publisher,
      outsider,
      companyId,
      appId,
      logs,
      stop: stack.stop,
    };
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

let serial = 0;

export async function createCompany(user: TestUser): Promise<string> {
  const slug = `company-${++serial}`;
  const { data, error } = await user.client.rpc("create_company", { slug, name: slug });
  if (error) throw error;
  return data.id;
}

export async function createApp(user: TestUser, companyId: string): Promise<string> {
  const slug = `app-${++serial}`;
  const { data, error } = await user.client.from("applications")
    .insert({ slug, name: slug, publisher_company_id: companyId }).select().single();
  if (error) throw error;
  return data.id;
}

export interface Answer {
  status: number;
  headers: Headers;
  // deno-lint-ignore no-explicit-any -- tests look into what comes
  body: any;
}

export interface Call {
  method?: string;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
}

/** Calls a function as a user, with a key, or as nobody; checks that problems are problems. */
export async function call(
  world: World,
  who: TestUser | string | null,
  path: string,
  options: Call = {},
): Promise<Answer> {
  const { method = "POST", json, body, headers = {} } = options;
  const key = typeof who === "string" ? who : world.stack.publishableKey;
  const response = await fetch(`${world.stack.apiUrl}/functions/v1/${path}`, {
    method,
    headers: {
      ...(who !== null && { apikey: key }),
      ...(who !== null && typeof who !== "string" &&
        { authorization: `Bearer ${who.accessToken}` }),
      ...(json !== undefined && { "content-type": "application/json" }),
      ...headers,
    },
    body: json !== undefined ? JSON.stringify(json) : body,
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  const answer = {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  };
  if (response.status >= 400) assertProblem(answer);
  return answer;
}

/** Every error is RFC 9457, and says the same status as the wire. */
export function assertProblem({ status, headers, body }: Answer): void {
  assertEquals(headers.get("content-type"), "application/problem+json", JSON.stringify(body));
  assertEquals(body.status, status);
  assertEquals(body.type, `urn:stowage:error:${body.code}`);
  assert(
    body.title && body.instance === `urn:uuid:${headers.get("x-request-id")}`,
    JSON.stringify(body),
  );
  assertEquals(headers.get("access-control-allow-origin"), "*");
}

export interface Begin {
  app_id: string;
  version: string;
  file_name: string;
  file_type: string;
  content_type: string;
  file_size: number;
  checksum: string;
}

export async function declare(
  world: World,
  bytes: Uint8Array<ArrayBuffer>,
  over: Partial<Begin> = {},
): Promise<Begin> {
  return {
    app_id: world.appId,
    version: "1.0.0",
    file_name: "app.zip",
    file_type: "source",
    content_type: "application/zip",
    file_size: bytes.length,
    checksum: await checksumOf(bytes),
    ...over,
  };
}

/** Begins an upload, sends the bytes to the signed URL, and completes it. The answer of the last call made. */
export async function upload(
  world: World,
  user: TestUser,
  begin: Begin,
  bytes: BodyInit,
): Promise<Answer> {
  const begun = await call(world, user, "uploads", { json: begin });
  if (begun.status !== 201) return begun;
  await send(begun, bytes, begin.content_type);
  return await call(world, user, `uploads/${begun.body.upload.id}/complete`);
}

/** Sends bytes to the signed URL of an upload that has begun. */
export async function send(begun: Answer, bytes: BodyInit, contentType: string): Promise<void> {
  const sent = await fetch(begun.body.signed_url, {
    method: "PUT",
    headers: { "content-type": contentType },
    body: bytes,
  });
  const text = await sent.text();
  assert(sent.ok, text);
}

/** All names in the bucket app-storage below the app's folder. */
export async function objectNames(world: World, appId = world.appId): Promise<string[]> {
  const names: string[] = [];
  const walk = async (prefix: string) => {
    const { data, error } = await world.service.storage.from("app-storage").list(prefix, {
      limit: 1000,
    });
    if (error) throw error;
    for (const { name, id } of data) {
      if (id === null) await walk(`${prefix}/${name}`);
      else names.push(`${prefix}/${name}`);
    }
  };
  await walk(`app_${appId}`);
  return names.sort();
}

/** Rows of app_storage of the app, by path. */
export async function fileRows(world: World, appId = world.appId) {
  const { data, error } = await world.service.from("app_storage").select().eq("app_id", appId)
    .order("file_path");
  if (error) throw error;
  return data;
}

/** Gives the tests of a file one world. */
export function withWorld(): () => World {
  let world: World | undefined;
  Deno.test.beforeAll(async () => {
    world = await createWorld();
  });
  Deno.test.afterAll(async () => {
    await world?.stop();
  });
  return () => {
    if (!world) throw new Error("The world does not stand yet.");
    return world;
  };
}

/** A test that may leave connections to the stack open, which are kept for the next one. */
export function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}
