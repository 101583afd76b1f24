import { assert, assertEquals, assertNotEquals } from "../../../../scripts/testing/assert.ts";
import { serviceClient } from "../../../../scripts/testing/stack.ts";
import { openApiText } from "../../api/openapi.ts";
import { test } from "../world.ts";
import {
  api,
  makeApp,
  makePublishedApp,
  makeRun,
  makeVersion,
  makeWebhook,
  slugOf,
  withApiWorld,
} from "./world.ts";

const world = withApiWorld();

const fresh = () => `made-${crypto.randomUUID().slice(0, 8)}`;
const newApp = (slug = fresh()) => ({
  slug,
  name: "Made",
  publisher_company_id: world().publisherId,
});

// ETags

test("what has not changed is not sent again", async () => {
  const appId = await makeApp(world());
  for (const path of ["/apps", `/apps/${appId}`, `/apps/${appId}/versions`]) {
    const first = await api(world(), "owner", path);
    const etag = first.headers.get("etag")!;
    assertEquals(first.headers.get("cache-control"), "private, no-cache");
    const again = await api(world(), "owner", path, {
      headers: { "if-none-match": `"x", W/${etag}` },
    });
    assertEquals([again.status, again.text, again.headers.get("etag")], [304, "", etag], path);
    const other = await api(world(), "owner", path, { headers: { "if-none-match": '"x"' } });
    assertEquals(other.status, 200);
  }
});

test("a change is made to what was read, and to nothing else", async () => {
  const path = `/apps/${await makeApp(world())}`;
  const etag = (await api(world(), "owner", path)).headers.get("etag")!;
  const change = (name: string, ifMatch: string) =>
    api(world(), "owner", path, {
      method: "PATCH",
      json: { name },
      headers: { "if-match": ifMatch },
    });
  const changed = await change("One", etag);
  assertEquals([changed.status, changed.body.name], [200, "One"]);
  assertEquals((await change("Two", etag)).body.code, "precondition_failed");
  assertEquals((await change("Two", changed.headers.get("etag")!)).status, 200);
  assertEquals((await change("Three", "*")).status, 200);
  const removed = (ifMatch: string) =>
    api(world(), "owner", path, { method: "DELETE", headers: { "if-match": ifMatch } });
  assertEquals((await removed(etag)).status, 412);
  const now = (await api(world(), "owner", path)).headers.get("etag")!;
  assertEquals((await removed(now)).status, 204);
});

test("of many who change the same thing at once, one does", async () => {
  const path = `/apps/${await makeApp(world())}`;
  const etag = (await api(world(), "owner", path)).headers.get("etag")!;
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, at) =>
      api(world(), "owner", path, {
        method: "PATCH",
        json: { name: `Number ${at}` },
        headers: { "if-match": etag },
      })),
  );
  const won = answers.filter(({ status }) => status === 200);
  assertEquals(won.length, 1);
  assertEquals(answers.filter(({ status }) => status === 412).length, 7);
  assertEquals((await api(world(), "owner", path)).body.name, won[0].body.name);
});

// Keys

test("each kind of key is who it is", async () => {
  const { stack, users } = world();
  const path = `/apps/${await makeApp(world())}`;
  const bearer = { authorization: `Bearer ${users.owner.accessToken}` };
  const status = async (headers: Record<string, string>) =>
    (await api(world(), null, path, { headers })).status;
  assertEquals(await status({ apikey: stack.publishableKey, ...bearer }), 200);
  assertEquals(await status({ apikey: stack.anonKey, ...bearer }), 200);
  assertEquals(await status(bearer), 200);
  assertEquals(await status({ apikey: stack.secretKey }), 200);
  assertEquals(await status({ apikey: stack.serviceRoleKey }), 200);
  assertEquals(await status({ authorization: `Bearer ${stack.serviceRoleKey}` }), 200);
  assertEquals(await status({ apikey: stack.publishableKey }), 401);
  assertEquals(
    await status({ apikey: stack.anonKey, authorization: `Bearer ${stack.anonKey}` }),
    401,
  );
  assertEquals(await status({ apikey: `${stack.secretKey}x` }), 401);
});

test("the service does what its key allows: it creates, changes and deletes", async () => {
  const key = { key: world().stack.secretKey };
  const made = await api(world(), key, "/apps", { method: "POST", json: newApp() });
  assertEquals([made.status, made.body.created_by], [201, null]);
  const path = `/apps/${made.body.id}`;
  assertEquals(
    (await api(world(), key, path, { method: "PATCH", json: { status: "suspended" } })).status,
    200,
  );
  assertEquals(
    (await api(world(), "owner", path, { method: "PATCH", json: { status: "active" } })).body.code,
    "forbidden",
    "what is suspended is not the owner's to bring back",
  );
  assertEquals((await api(world(), key, path, { method: "DELETE" })).status, 204);
});

// The wire

test("what is created is where Location says", async () => {
  const made = await api(world(), "owner", "/apps", { method: "POST", json: newApp() });
  assertEquals(made.headers.get("location"), `apps/${made.body.id}`);
  const version = await api(world(), "owner", `/apps/${made.body.id}/versions`, {
    method: "POST",
    json: { version: "1.0.0+a.b" },
  });
  const found = await api(
    world(),
    "owner",
    `/apps/${made.body.id}/${version.headers.get("location")}`,
  );
  assertEquals([found.status, found.body.version], [200, "1.0.0+a.b"]);
  const appId = await makePublishedApp(world());
  const runId = await makeRun(world(), appId, "failed");
  const again = await api(world(), "owner", `/apps/${appId}/runs/${runId}/retry`, {
    method: "POST",
  });
  const url = new URL(again.headers.get("location")!, `http://x/apps/${appId}/runs/${runId}/retry`);
  assertEquals((await api(world(), "owner", url.pathname)).body.retry_of, runId);
});

test("a request has the id that it came with, if that can stand in a log", async () => {
  const named = await api(world(), "owner", "/apps/none", {
    headers: { "x-request-id": "trace-1.a_b" },
  });
  assertEquals(named.headers.get("x-request-id"), "trace-1.a_b");
  assertEquals(named.body.instance, "urn:stowage:request:trace-1.a_b");
  for (const odd of ['"quoted"', "a b", "x".repeat(129), "a/b"]) {
    const { headers } = await api(world(), "owner", "/apps", { headers: { "x-request-id": odd } });
    assert(/^[0-9a-f-]{36}$/.test(headers.get("x-request-id")!), odd);
  }
});

test("methods are those of the document, HEAD and OPTIONS included", async () => {
  const appId = await makeApp(world());
  const put = await api(world(), "owner", `/apps/${appId}`, { method: "PUT" });
  assertEquals([put.status, put.headers.get("allow")], [405, "GET, PATCH, DELETE, OPTIONS"]);
  const head = await api(world(), "owner", `/apps/${appId}`, { method: "HEAD" });
  assertEquals([head.status, head.text, head.headers.has("etag")], [200, "", true]);
  const preflight = await api(world(), null, `/apps/${appId}`, {
    method: "OPTIONS",
    headers: {
      "access-control-request-method": "PATCH",
      "access-control-request-headers": "if-match",
    },
  });
  assertEquals(preflight.status, 204);
  assert(preflight.headers.get("access-control-allow-methods")!.includes("PATCH"));
  assertEquals(preflight.headers.get("access-control-allow-headers"), "if-match");
});

test("a body says what it is, is no deeper and no larger than it may be, and holds what can be stored", async () => {
  const path = `/apps/${await makePublishedApp(world())}/runs`;
  const send = async (body: string, type = "application/json") => {
    const answer = await api(world(), "owner", path, {
      method: "POST",
      json: undefined,
      headers: { "content-type": type },
    });
    assertEquals(answer.status, type === "application/json" ? 400 : 415);
    const response = await fetch(`${world().stack.apiUrl}/functions/v1/api${path}`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${world().users.owner.accessToken}`,
        "content-type": type,
      },
      body,
    });
    const { code, errors } = await response.json();
    return [response.status, code, errors?.[0]?.path];
  };
  const config = (value: string) => `{"company_id": "${world().publisherId}", "config": ${value}}`;
  assertEquals(await send("{}", "text/plain"), [415, "unsupported_media_type", undefined]);
  assertEquals(await send("{"), [400, "invalid_request", undefined]);
  assertEquals(await send(config('{"a": "\\u0000"}')), [400, "invalid_request", "config.a"]);
  assertEquals(await send(config('{"a": ["\\ud800"]}')), [400, "invalid_request", "config.a[0]"]);
  assertEquals(await send(config('{"\\u0000": 1}')), [400, "invalid_request", "config"]);
  // It would get lost on the way, or change the object that an app copies its config into.
  assertEquals(await send(config('{"__proto__": {"a": 1}}')), [400, "invalid_request", "config"]);
  assertEquals(await send(config('{"a": {"__proto__": 1}}')), [400, "invalid_request", "config.a"]);
  assertEquals(await send(config('{"a": 1e999}')), [400, "invalid_request", "config.a"]);
  const deep = await send(config('{"a":'.repeat(100) + "1" + "}".repeat(100)));
  assertEquals(deep.slice(0, 2), [400, "invalid_request"]);
  assertEquals(await send(config(`{"a": "${"x".repeat(300_000)}"}`)), [
    413,
    "request_too_large",
    undefined,
  ]);
});

test("a document that is too large where it is kept is refused by name", async () => {
  const appId = await makePublishedApp(world());
  const { publisherId: company_id } = world();
  // As numbers, which take several times the room of their text.
  const numbers = { a: Array.from({ length: 40_000 }, (_, index) => index) };
  const asked: [string, string, unknown][] = [
    ["builds", "build_config", { build_version: "1.0.0", build_config: numbers }],
    ["schedules", "config", { company_id, cron_expression: "@daily", config: numbers }],
    ["webhooks", "config", { company_id, name: "Orders", config: numbers }],
  ];
  for (const [resource, path, json] of asked) {
    const answer = await api(world(), "owner", `/apps/${appId}/${resource}`, {
      method: "POST",
      json,
    });
    assertEquals([answer.status, answer.body.errors?.[0].path], [400, path], resource);
  }
});

test("a company that has as many schedules as it may adds none", async () => {
  const appId = await makePublishedApp(world());
  const { database, publisherId } = world();
  const limit = (most: number) =>
    database.query("update companies set max_schedules = $1 where id = $2", [most, publisherId]);
  await limit(0);
  try {
    const { status, body } = await api(world(), "owner", `/apps/${appId}/schedules`, {
      method: "POST",
      json: { company_id: publisherId, cron_expression: "@daily" },
    });
    assertEquals([status, body.code, body.errors[0].path], [409, "limit_reached", "company_id"]);
    assertEquals(body.detail, "The company has 0 schedules, as many as it may (max_schedules).");
  } finally {
    await limit(1000);
  }
});

test("URLs and headers have an end", async () => {
  const long = await api(world(), "owner", "/apps", { query: { slug: "x".repeat(9000) } });
  assertEquals([long.status, long.body.code], [414, "uri_too_long"]);
  const headers = Object.fromEntries(
    Array.from({ length: 30 }, (_, at) => [`x-${at}`, "y".repeat(1000)]),
  );
  const many = await api(world(), "owner", "/apps", { headers });
  assertEquals([many.status, many.body.code], [431, "headers_too_large"]);
});

// Things of their own

test("a log is read as it grows, and as a whole", async () => {
  const appId = await makePublishedApp(world());
  const runId = await makeRun(world(), appId);
  const path = `/apps/${appId}/runs/${runId}/logs`;
  const read = async (who: "owner" | "customer" = "owner", stream = "stdout") => {
    const { status, text, headers } = await api(world(), who, path, { query: { stream } });
    return [status, status === 200 ? text : "", headers.get("content-type")];
  };
  const type = "text/plain; charset=utf-8";
  assertEquals(await read(), [200, "", type]);
  const bucket = serviceClient(world().stack).storage.from("app-logs");
  const folder = `app_${appId}/runs/${runId}`;
  const parts = ["one é", "two 🐳", "three"];
  const names = parts.map((_, at) => `${folder}/stdout.000${at + 1}.log`);
  for (const [at, part] of parts.entries()) {
    const { error } = await bucket.upload(names[at], part, { contentType: "text/plain" });
    assertEquals(error, null);
  }
  await world().database.query(
    `insert into app_outputs (run_id, company_id, output_type, output_name, output_data, output_bucket, output_path)
     values ($1, $2, 'stdout', 'stdout.log', $3, 'app-logs', $4)`,
    [runId, world().publisherId, { parts: names }, names.at(-1)],
  );
  assertEquals(await read(), [200, parts.join(""), type]);
  assertEquals((await read("owner", "stderr")).slice(0, 2), [200, ""]);
  assertEquals((await read("customer"))[0], 404, "the publisher's run is not the customer's");
});

test("a draft's file is deleted with its object; a released one stays", async () => {
  const appId = await makeApp(world());
  const fileId = await makeVersion(world(), appId, "2.0.0", "draft");
  const name = `app_${appId}/2.0.0/dist/index.js`;
  const bucket = serviceClient(world().stack).storage.from("app-storage");
  assertEquals((await bucket.upload(name, "1", { contentType: "text/javascript" })).error, null);
  const path = `/apps/${appId}/storage/${fileId}`;
  assertEquals((await api(world(), "owner", path, { method: "DELETE" })).status, 204);
  assertEquals((await bucket.exists(name)).data, false);
  assertEquals((await api(world(), "owner", path)).status, 404);
});

test("a webhook's secret is shown by what makes it, and never after", async () => {
  const appId = await makePublishedApp(world());
  const path = `/apps/${appId}/webhooks`;
  const made = await api(world(), "owner", path, {
    method: "POST",
    json: { company_id: world().publisherId, name: "Orders" },
  });
  assert(/^whsec_/.test(made.body.secret));
  assertEquals(made.headers.get("cache-control"), "no-store");
  const shown = await api(world(), "owner", `${path}/${made.body.id}`);
  assertEquals(shown.headers.get("etag"), made.headers.get("etag"));
  assert(!("secret" in shown.body) && !shown.text.includes("whsec_"));
  const other = await makeWebhook(world(), appId);
  const rotated = await api(world(), "owner", `${path}/${other}/rotate-secret`, {
    method: "POST",
    json: {},
  });
  assertEquals([rotated.status, rotated.headers.get("cache-control")], [200, "no-store"]);
  assert(rotated.body.previous_secret_expires_at > new Date().toISOString());
});

test("ids of another app lead nowhere", async () => {
  const [one, two] = [await makePublishedApp(world()), await makePublishedApp(world())];
  const [runId, webhookId] = [await makeRun(world(), one), await makeWebhook(world(), one)];
  for (
    const [method, path] of [
      ["GET", `runs/${runId}`],
      ["POST", `runs/${runId}/cancel`],
      ["POST", `runs/${runId}/retry`],
      ["GET", `runs/${runId}/logs`],
      ["GET", `runs/${runId}/outputs`],
      ["GET", `webhooks/${webhookId}`],
      ["GET", `webhooks/${webhookId}/deliveries`],
      ["DELETE", `webhooks/${webhookId}`],
    ]
  ) {
    assertEquals(
      (await api(world(), "owner", `/apps/${two}/${path}`, { method })).status,
      404,
      path,
    );
  }
});

// The document and the page

test("the document is the one in docs, for everybody, and not sent again", async () => {
  const { status, text, headers } = await api(world(), null, "/openapi.json");
  assertEquals([status, text], [200, openApiText()]);
  const etag = headers.get("etag")!;
  assertEquals(
    (await api(world(), null, "/openapi.json", { headers: { "if-none-match": etag } })).status,
    304,
  );
});

test("the reference page loads nothing from elsewhere, and runs nothing but its own script", async () => {
  const { status, text, headers } = await api(world(), null, "/reference");
  assertEquals([status, headers.get("content-type")], [200, "text/html; charset=utf-8"]);
  assert(!/\b(https?:)?\/\/[a-z]/i.test(text), "no address of another server");
  assert(!/\bsrc=|<link|@import|\burl\(/.test(text), "nothing to load");
  assert(
    !/innerHTML|insertAdjacentHTML|document\.write|\beval\(/.test(text),
    "no markup from data",
  );
  const policy = headers.get("content-security-policy")!;
  assert(policy.startsWith("default-src 'none'; ") && !/unsafe|\*|data:|http/.test(policy), policy);
  for (const tag of ["script", "style"]) {
    const [source] = [...text.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, "gs"))].map((
      [, inner],
    ) => inner);
    const digest = new Uint8Array(
      await crypto.subtle.digest("SHA-256", new TextEncoder().encode(source)),
    );
    assert(policy.includes(`${tag}-src 'sha256-${digest.toBase64()}'`), tag);
  }
});

test("slugs are told apart by what they are, and their conflicts by name", async () => {
  const appId = await makeApp(world());
  const { status, body } = await api(world(), "owner", "/apps", {
    method: "POST",
    json: newApp(await slugOf(world(), appId)),
  });
  assertEquals([status, body.errors[0].pointer, body.detail], [
    409,
    "/slug",
    "Another app of this company has this slug.",
  ]);
  assertNotEquals(body.instance, undefined);
});
