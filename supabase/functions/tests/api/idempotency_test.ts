import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { createRateLimit } from "../../_shared/rate_limit.ts";
import { createHandler } from "../../_shared/serve.ts";
import { routes } from "../../api/handler.ts";
import { test } from "../world.ts";
import {
  api,
  type ApiAnswer,
  environmentOf,
  makePublishedApp,
  makeRun,
  withApiWorld,
} from "./world.ts";

const world = withApiWorld();

const key = () => crypto.randomUUID();
const newApp = () => ({
  slug: `made-${crypto.randomUUID().slice(0, 8)}`,
  name: "Made",
  publisher_company_id: world().publisherId,
});

function post(
  path: string,
  json: unknown,
  idempotencyKey: string,
  who: "owner" | "member" = "owner",
) {
  return api(world(), who, path, {
    method: "POST",
    json,
    headers: { "idempotency-key": idempotencyKey },
  });
}

function assertSame(again: ApiAnswer, first: ApiAnswer): void {
  assertEquals([again.status, again.body], [first.status, first.body]);
  for (const name of ["etag", "location"]) {
    assertEquals(again.headers.get(name), first.headers.get(name), name);
  }
  assertEquals(first.headers.get("idempotency-replayed"), null);
  assertEquals(again.headers.get("idempotency-replayed"), "true");
}

test("everything that is created is created once for a key, and answered alike", async () => {
  const appId = await makePublishedApp(world());
  const company_id = world().publisherId;
  const runId = await makeRun(world(), appId, "failed");
  const publicApp = await api(world(), "owner", "/apps", {
    method: "POST",
    json: { ...newApp(), visibility: "public" },
  });
  const creations: [string, unknown, string][] = [
    ["/apps", newApp(), "applications"],
    [`/apps/${appId}/versions`, { version: "2.0.0" }, "app_versions"],
    [`/apps/${appId}/builds`, { build_version: "1.0.0" }, "app_builds"],
    [`/apps/${appId}/runs`, { company_id, config: { b: 1, a: [2] } }, "app_runs"],
    [`/apps/${appId}/runs/${runId}/retry`, undefined, "app_runs"],
    [`/apps/${appId}/schedules`, { company_id, cron_expression: "@daily" }, "app_cron_schedules"],
    [`/apps/${appId}/webhooks`, { company_id, name: "Orders" }, "app_webhooks"],
    [`/apps/${publicApp.body.id}/assignments`, { company_id }, "app_assignments"],
  ];
  for (const [path, json, table] of creations) {
    const count = async () =>
      (await world().database.query(`select count(*)::int as n from ${table}`)).rows[0].n;
    const before = await count();
    const name = key();
    const first = await post(path, json, name);
    assertEquals(first.status, 201, first.text);
    assertSame(await post(path, json, name), first);
    assertEquals(await count(), before + 1, path);
    const other = await post(path, json === undefined ? undefined : { ...json, extra: 1 }, name);
    assertEquals(
      other.status,
      json === undefined ? 201 : 400,
      "bad input is said before anything else",
    );
  }
});

test("the key for another request is refused by name; keys of others do not matter", async () => {
  const name = key();
  assertEquals((await post("/apps", newApp(), name)).status, 201);
  const other = await post("/apps", newApp(), name);
  assertEquals([other.status, other.body.code], [409, "idempotency_key_reused"]);
  const appId = await makePublishedApp(world());
  const elsewhere = await post(`/apps/${appId}/runs`, { company_id: world().publisherId }, name);
  assertEquals(elsewhere.body.code, "idempotency_key_reused");
  const colleague = await post(
    `/apps/${appId}/runs`,
    { company_id: world().publisherId },
    name,
    "member",
  );
  assertEquals(colleague.status, 201);
});

test("the order of properties does not matter, the order of entries does", async () => {
  const appId = await makePublishedApp(world());
  const name = key();
  const { publisherId: company_id } = world();
  const run = (config: unknown) => post(`/apps/${appId}/runs`, { company_id, config }, name);
  const first = await run({ a: { x: 1, y: 2 }, list: [1, 2] });
  assertSame(await run({ list: [1, 2], a: { y: 2, x: 1 } }), first);
  assertEquals((await run({ a: { x: 1, y: 2 }, list: [2, 1] })).status, 409);
});

test("many at once make one", async () => {
  const json = newApp();
  const name = key();
  const answers = await Promise.all(Array.from({ length: 10 }, () => post("/apps", json, name)));
  const ids = new Set(answers.map(({ status, body, text }) => {
    assertEquals(status, 201, text);
    return body.id;
  }));
  assertEquals(ids.size, 1);
  assertEquals(
    answers.filter(({ headers }) => headers.get("idempotency-replayed") === null).length,
    1,
  );
});

test("what was refused may be asked again with the same key", async () => {
  const json = newApp();
  const name = key();
  assertEquals((await post("/apps", json, name, "member")).status, 403);
  const { status } = await post("/apps", { ...json, slug: "NO" }, name);
  assertEquals(status, 400);
  assertEquals((await post("/apps", json, name)).status, 201);
});

test("an answer that the caller kept instead of ours is not sent, unless it could be one", async () => {
  const answers = [
    ...["x", 5, true, [], {}, { status: 201 }, { status: 201, body: "{" }, {
      status: 201,
      body: 1,
    }],
    ...[{ status: 999, body: "1" }, { status: 101, body: "1" }, { status: 204, body: "1" }],
    ...[{ status: 201, body: "1", headers: { "location": "a\nb" } }],
  ];
  for (const answer of answers) {
    const json = newApp();
    const name = key();
    const first = await post("/apps", json, name);
    await world().database.query(
      "update private.api_creations set answer = $2 where idempotency_key = $1",
      [name, JSON.stringify(answer)],
    );
    const again = await post("/apps", json, name);
    assertEquals([again.status, again.body.id], [201, first.body.id], JSON.stringify(answer));
  }
  const json = newApp();
  const name = key();
  await post("/apps", json, name);
  const forged = {
    status: 201,
    body: '{"id": 1}',
    headers: { "location": "x", "set-cookie": "a=b", "content-type": "text/html" },
  };
  await world().database.query(
    "update private.api_creations set answer = $2 where idempotency_key = $1",
    [name, JSON.stringify(forged)],
  );
  const again = await post("/apps", json, name);
  assertEquals([again.status, again.body, again.headers.get("location")], [201, { id: 1 }, "x"]);
  assertEquals(again.headers.get("content-type"), "application/json");
  assertEquals(again.headers.get("set-cookie"), null);
});

test("whoever died after creating is followed by the thing as it is", async () => {
  const json = newApp();
  const name = key();
  const first = await post("/apps", json, name);
  const forget = (age: string) =>
    world().database.query(
      "update private.api_creations set answer = null, created_at = now() - $2::interval where idempotency_key = $1",
      [name, age],
    );
  await forget("1 minute");
  const again = await post("/apps", json, name);
  assertEquals([again.status, again.body.id], [201, first.body.id]);
  await forget("0");
  const pending = await post("/apps", json, name);
  assertEquals([pending.status, pending.body.code], [409, "idempotency_key_in_use"]);
  assert(Number(pending.headers.get("retry-after")) > 0);
});

test("a key is visible ASCII, and not longer than it may be", async () => {
  for (const bad of ["", "a b", "x".repeat(201), "é"]) {
    const answer = await post("/apps", newApp(), bad);
    assertEquals([answer.status, answer.body.errors?.[0].path], [400, "Idempotency-Key"], bad);
  }
});

// Two processes: each with its own memory, and the database in common.

function process() {
  const { stack } = world();
  const handler = createHandler("api", environmentOf(world()), routes, {
    admit: createRateLimit(),
  });
  return async (path: string, init: RequestInit = {}) => {
    const response = await handler(
      new Request(`${stack.apiUrl}/functions/v1/api${path}`, {
        ...init,
        headers: { apikey: stack.secretKey, "content-type": "application/json", ...init.headers },
      }),
    );
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };
}

test("a key holds across processes", async () => {
  const init = {
    method: "POST",
    body: JSON.stringify(newApp()),
    headers: { "idempotency-key": key() },
  };
  const [first, second] = [await process()("/apps", init), await process()("/apps", init)];
  assertEquals([first.status, second.status, second.text], [201, 201, first.text]);
  assertEquals(second.headers.get("idempotency-replayed"), "true");
});

test("requests are counted across processes, and refused with the time to wait", async () => {
  const limit = 45;
  const { database } = world();
  await database.query("delete from private.api_request_counts");
  await database.query(
    "update private.api_rate_policies set requests = $1 where caller_kind = 'service'",
    [limit],
  );
  try {
    const processes = [process(), process(), process()];
    const answers = await Promise.all(
      Array.from({ length: 120 }, (_, at) => processes[at % 3]("/apps?limit=1")),
    );
    const taken = answers.filter(({ status }) => status === 200);
    const refused = answers.filter(({ status }) => status === 429);
    assertEquals(taken.length + refused.length, 120);
    assertEquals(taken.length, limit, "exactly as many as there may be");
    for (const { headers } of answers) {
      assertEquals(headers.get("ratelimit-policy"), `"caller";q=${limit};w=60`);
      assert(/^"caller";r=\d+;t=\d+$/.test(headers.get("ratelimit")!));
    }
    const [{ headers, text }] = refused;
    const wait = Number(headers.get("retry-after"));
    assert(wait >= 1 && wait <= 60, String(wait));
    assertEquals(JSON.parse(text).code, "rate_limited");
    const user = await api(world(), "owner", "/apps");
    assertEquals(user.status, 200, "others have their own");
    assert(Number(/r=(\d+)/.exec(user.headers.get("ratelimit")!)![1]) > limit);
  } finally {
    await database.query("update private.api_rate_policies set requests = 1000000");
  }
});
