import { Client } from "pg";
import type { Stack } from "../../../../scripts/stack/mod.ts";
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { anonClient, serviceClient, startTestStack } from "../../../../scripts/testing/stack.ts";
import { templateOf } from "../../api/openapi.ts";
import type { Operation } from "../../api/operation.ts";
import { operations } from "../../api/operations.ts";
import { SAMPLE } from "../../api/samples.ts";
import { test } from "../world.ts";

let stack: Stack;
let token: string;

Deno.test.beforeAll(async () => {
  stack = await startTestStack({ seed: true });
  const database = new Client({ connectionString: stack.dbUrl });
  await database.connect();
  await database.query(await Deno.readTextFile(new URL("samples.sql", import.meta.url)));
  await database.end();
  const log = `app_${SAMPLE.app}/runs/${SAMPLE.run}/stdout.log`;
  const sent = await serviceClient(stack).storage.from("app-logs")
    .upload(log, "Hello from the sandbox\n", { contentType: "text/plain" });
  assertEquals(sent.error, null);
  const { data, error } = await anonClient(stack).auth.signInWithPassword({
    email: "ada@northwind.example",
    password: "stowage-demo",
  });
  assertEquals(error, null);
  token = data.session!.access_token;
});

Deno.test.afterAll(async () => await stack?.stop());

/** What is read first, then what changes, then what removes: no example is in the way of another. */
const ORDER = ["GET", "POST", "PATCH", "DELETE"];
const inOrder = operations.toSorted((a, b) => ORDER.indexOf(a.method) - ORDER.indexOf(b.method));

for (const operation of inOrder) {
  test(`the example of ${operation.id} does what it says`, async () => {
    const response = await send(operation);
    const text = await response.text();
    assertEquals(response.status, operation.status, text);
    const { returns, example } = operation;
    if ("nothing" in returns) assertEquals(text, "");
    else if ("text" in returns) assertEquals(text, returns.text);
    else {
      assert(example.response !== undefined, "there is an example of the answer");
      assertAlike(JSON.parse(text), example.response, operation.id);
    }
  });
}

async function send({ path, method, example }: Operation): Promise<Response> {
  const filled = templateOf(path).replace(
    /\{(\w+)\}/g,
    (_, name) => encodeURIComponent(example.params![name]),
  );
  const url = new URL(`${stack.apiUrl}/functions/v1/api${filled}`);
  for (const [name, value] of Object.entries(example.query ?? {})) {
    url.searchParams.set(name, value);
  }
  return await fetch(url, {
    method,
    headers: {
      apikey: stack.publishableKey,
      authorization: `Bearer ${token}`,
      ...(example.body !== undefined && { "content-type": "application/json" }),
    },
    body: example.body === undefined ? undefined : JSON.stringify(example.body),
  });
}

/** What differs from one call to the next: ids and times of what is new, and secrets. */
const VOLATILE = [
  /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d$/,
  /^whsec_[A-Za-z0-9+/]+=*$/,
  /^[0-9a-f]{16}$/,
];
const NEVER_SEED = /^5eed0000-/;

function assertAlike(actual: unknown, expected: unknown, at: string): void {
  if (typeof actual === "string" && typeof expected === "string") {
    const form = VOLATILE.find((form) => form.test(expected));
    if (form && !NEVER_SEED.test(expected)) assert(form.test(actual), `${at}: ${actual}`);
    else assertEquals(actual, expected, at);
  } else if (isObject(actual) && isObject(expected)) {
    assertEquals(Object.keys(actual).sort(), Object.keys(expected).sort(), at);
    for (const key of Object.keys(expected)) {
      assertAlike(actual[key], expected[key], `${at}.${key}`);
    }
  } else assertEquals(actual, expected, at);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
