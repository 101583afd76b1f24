import { createHmac } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { ExecutorProcess } from "../../../scripts/executor/tests/world.ts";
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { createUser, type TestUser } from "../../../scripts/testing/stack.ts";
import { MAX_WEBHOOK_BODY_BYTES } from "../_shared/limits.ts";
import { readDeliveryHeaders } from "../webhooks/schema.ts";
import { buildArchive } from "./archives.ts";
import {
  type Answer,
  assertProblem,
  call,
  createApp,
  createCompany,
  declare,
  test,
  upload,
  withWorld,
} from "./world.ts";

const world = withWorld();

/** Puts out what it was called with. */
const ECHO = `
const { readFileSync, writeFileSync } = require("node:fs");
const { webhook, ...rest } = JSON.parse(readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/result.json", JSON.stringify({ webhook, rest }));
`;
const ARCHIVE = buildArchive({
  format: "zip",
  entries: [{ name: "manifest.json", manifest: true }, { name: "index.js", text: ECHO }],
});

interface Customer {
  user: TestUser;
  companyId: string;
  appId: string;
}

let published: Promise<string> | undefined;

/** A published app that puts out its config; one for all tests. */
function echoApp(): Promise<string> {
  return published ??= (async () => {
    const { publisher, companyId } = world();
    const appId = await createApp(publisher, companyId);
    const begin = await declare(world(), ARCHIVE, { app_id: appId });
    assertEquals((await upload(world(), publisher, begin, ARCHIVE)).status, 200);
    const { error } = await publisher.client.from("app_versions").update({ status: "published" })
      .eq("app_id", appId);
    assertEquals(error, null);
    return appId;
  })();
}

/** A company of its own that is assigned the app. */
async function customer(): Promise<Customer> {
  const appId = await echoApp();
  const user = await createUser(world().stack);
  const companyId = await createCompany(user);
  const { error } = await world().service.from("app_assignments").insert({
    app_id: appId,
    company_id: companyId,
  });
  assertEquals(error, null);
  return { user, companyId, appId };
}

interface Made {
  id: string;
  secret: string;
}

async function makeWebhook(
  { user, companyId, appId }: Customer,
  values: Record<string, unknown> = {},
): Promise<Made> {
  const { data, error } = await user.client.rpc("create_app_webhook", {
    app_id: appId,
    company_id: companyId,
    name: "Orders",
    ...values,
  });
  assertEquals(error, null);
  return { id: data.webhook_id, secret: data.secret };
}

async function rotate({ user }: Customer, id: string, grace?: string): Promise<string> {
  const { data, error } = await user.client.rpc("rotate_app_webhook_secret", {
    webhook_id: id,
    ...(grace && { grace }),
  });
  assertEquals(error, null);
  return data.secret;
}

const seconds = (away = 0) => String(Math.floor(Date.now() / 1000) + away);

/** The signature by hand, as the specification says. */
function sign(secret: string, id: string, sentAt: string, body: string | Uint8Array): string {
  const key = Uint8Array.fromBase64(secret.slice("whsec_".length));
  const digest = createHmac("sha256", key).update(`${id}.${sentAt}.`).update(body).digest("base64");
  return `v1,${digest}`;
}

interface Delivery {
  id?: string;
  sentAt?: string;
  body?: string | Uint8Array<ArrayBuffer>;
  type?: string;
  signature?: string;
  /** What is sent in place of the body that is signed. */
  sent?: BodyInit;
  headers?: Record<string, string>;
}

let serial = 0;
const newId = () => `msg_${++serial}`;

/** Delivers as a sender would: without any key of the project. */
function deliver({ id: webhookId, secret }: Made, delivery: Delivery = {}): Promise<Answer> {
  const { id = newId(), sentAt = seconds(), body = '{"order":1}' } = delivery;
  return call(world(), null, `webhooks/${webhookId}`, {
    body: delivery.sent ?? body,
    headers: {
      "content-type": delivery.type ?? "application/json",
      "webhook-id": id,
      "webhook-timestamp": sentAt,
      "webhook-signature": delivery.signature ?? sign(secret, id, sentAt, body),
      ...delivery.headers,
    },
  });
}

async function runsOf({ companyId }: Customer) {
  const { data, error } = await world().service.from("app_runs").select().eq(
    "company_id",
    companyId,
  ).order("created_at");
  if (error) throw error;
  return data;
}

test("a delivery signed by hand starts a run, once", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  const first = await deliver(webhook, { id: "msg_once" });
  assertEquals(first.status, 202, JSON.stringify(first.body));
  assertEquals(first.body.delivery_id, "msg_once");
  assertEquals(first.headers.get("cache-control"), "no-store");
  // A sender that repeats a delivery signs it with the time of the repetition.
  const again = await deliver(webhook, { id: "msg_once", sentAt: seconds(-60) });
  assertEquals([again.status, again.body], [200, first.body]);
  const runs = await runsOf(owner);
  assertEquals(
    runs.map(({ id, run_type, status }) => [id, run_type, status]),
    [[first.body.run_id, "webhook", "pending"]],
  );
  const { data } = await owner.user.client.from("app_webhook_deliveries").select();
  assertEquals(
    data!.map(({ delivery_id, run_id, outcome, received_count, body_size }) => [
      delivery_id,
      run_id,
      outcome,
      received_count,
      body_size,
    ]),
    [["msg_once", first.body.run_id, "enqueued", 2, 11]],
  );
});

test("what the senders' library signs is verified", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  const id = newId();
  const now = new Date();
  const body = JSON.stringify({ text: "Schöne Grüße ✓" });
  const answer = await deliver(webhook, {
    id,
    sentAt: String(Math.floor(now.getTime() / 1000)),
    body,
    signature: new Webhook(webhook.secret).sign(id, now, body),
  });
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  const [run] = await runsOf(owner);
  assertEquals(run.config.webhook.payload, { text: "Schöne Grüße ✓" });
});

test("the same delivery many times at once is one run", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  const sentAt = seconds();
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => deliver(webhook, { id: "msg_storm", sentAt })),
  );
  assertEquals(answers.map(({ status }) => status).sort(), [...Array(19).fill(200), 202]);
  assertEquals(new Set(answers.map(({ body }) => body.run_id)).size, 1);
  assertEquals((await runsOf(owner)).length, 1);
});

test("nobody can tell why a delivery was not verified", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  const other = await makeWebhook(owner);
  const inactive = await makeWebhook(owner);
  const off = await owner.user.client.from("app_webhooks").update({ is_active: false })
    .eq("id", inactive.id);
  assertEquals(off.error, null);
  const stranger = { id: webhook.id, secret: other.secret };
  const id = newId();
  const signature = sign(webhook.secret, id, seconds(), "{}");
  const attempts: Record<string, Promise<Answer>> = {
    "another webhook's secret": deliver(stranger),
    "a tampered body": deliver(webhook, { sent: '{"order":2}' }),
    "a body with one space more": deliver(webhook, { sent: '{"order": 1}' }),
    "another id": deliver(webhook, { signature, body: "{}" }),
    "another time": deliver(webhook, { id, sentAt: seconds(-10), signature, body: "{}" }),
    "no such scheme": deliver(webhook, { id, signature: signature.replace("v1,", "v9,") }),
    "an inactive webhook": deliver(inactive),
    "an unknown webhook": deliver({ id: crypto.randomUUID(), secret: webhook.secret }),
    "what is no id": deliver({ id: "orders", secret: webhook.secret }),
  };
  const bodies = new Set<string>();
  for (const [what, attempt] of Object.entries(attempts)) {
    const { status, headers, body } = await attempt;
    assertEquals([status, headers.get("www-authenticate")], [401, "StandardWebhooks"], what);
    const { instance: _, ...rest } = body;
    bodies.add(JSON.stringify(rest));
  }
  assertEquals(bodies.size, 1);
  assertEquals((await runsOf(owner)).length, 0);
});

test("deliveries from the past and the future are refused, for every webhook alike", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  for (const away of [-302, 330, -86_400]) {
    for (const made of [webhook, { id: crypto.randomUUID(), secret: webhook.secret }]) {
      const { status, body } = await deliver(made, { sentAt: seconds(away) });
      assertEquals([status, body.detail], [
        401,
        "The timestamp is more than 5 minutes from now.",
      ]);
    }
  }
  assertEquals((await deliver(webhook, { sentAt: seconds(-290) })).status, 202);
  assertEquals((await deliver(webhook, { sentAt: seconds(290) })).status, 202);
});

test("a recorded delivery replayed later under another id is refused", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  // The full stops part what is signed: an id with one in it could take the time's place.
  const [old, now] = [seconds(-600), seconds()];
  const body = `${now}.{}`;
  const answer = await deliver(webhook, {
    id: `msg.${old}`,
    sentAt: now,
    sent: "{}",
    signature: sign(webhook.secret, "msg", old, body),
  });
  assertEquals([answer.status, answer.body.errors[0].path], [401, "webhook-id"]);
});

test("headers that are missing or malformed are named", async () => {
  const webhook = { id: crypto.randomUUID(), secret: "whsec_AAAA" };
  const base = { id: "msg", sentAt: seconds(), signature: "v1,x" };
  for (
    const [delivery, path] of [
      [{ ...base, headers: { "webhook-id": "" } }, "webhook-id"],
      [{ ...base, id: "a b" }, "webhook-id"],
      [{ ...base, id: "a".repeat(201) }, "webhook-id"],
      [{ ...base, sentAt: "yesterday" }, "webhook-timestamp"],
      [{ ...base, sentAt: "1.5" }, "webhook-timestamp"],
      [{ ...base, signature: "v1,".repeat(2000) }, "webhook-signature"],
    ] as const
  ) {
    const { status, body } = await deliver(webhook, delivery);
    assertEquals([status, body.code, body.errors[0].path], [401, "webhook_unverified", path]);
  }
  const none = await call(world(), null, `webhooks/${webhook.id}`, { body: "{}" });
  assertEquals(
    [none.status, none.body.errors.map(({ path }: { path: string }) => path)],
    [401, ["webhook-id", "webhook-timestamp", "webhook-signature"]],
  );
  // Neither a key nor a session makes up for a signature.
  const keyed = await call(world(), world().stack.secretKey, `webhooks/${webhook.id}`, {
    body: "{}",
  });
  assertEquals(keyed.status, 401);
});

test("the function and the database take the same ids and times", async () => {
  const ids = ["", "a", "a".repeat(200), "a".repeat(201), "a.b", "a b", "!", "~", "-", "/", "é"];
  const times = ["", "0", "1".repeat(12), "1".repeat(13), "-1", "+1", "1.5", "1e3", "0x1"];
  for (
    const [id, sentAt] of [
      ...ids.map((id) => [id, "0"]),
      ...times.map((sentAt) => ["a", sentAt]),
    ]
  ) {
    let taken = true;
    try {
      readDeliveryHeaders(
        new Headers({ "webhook-id": id, "webhook-timestamp": sentAt, "webhook-signature": "v1," }),
      );
    } catch {
      taken = false;
    }
    const { error } = await world().service.rpc("receive_app_webhook", {
      webhook_id: crypto.randomUUID(),
      delivery_id: id,
      sent_at: sentAt,
      signatures: "v1,",
      body: "",
    });
    assertEquals(error === null, taken, JSON.stringify([id, sentAt, error]));
  }
});

test("a secret is rotated while the old one is still in use", async () => {
  const owner = await customer();
  const old = await makeWebhook(owner);
  const next = { id: old.id, secret: await rotate(owner, old.id) };
  assertEquals((await deliver(old)).status, 202);
  assertEquals((await deliver(next)).status, 202);
  // A sender that rotates signs with both.
  const [id, sentAt] = [newId(), seconds()];
  const strange = `whsec_${btoa("another secret, of another sender")}`;
  const signature = [strange, next.secret].map((secret) => sign(secret, id, sentAt, "{}")).join(
    " ",
  );
  assertEquals((await deliver(next, { id, sentAt, body: "{}", signature })).status, 202);
  const last = { id: old.id, secret: await rotate(owner, old.id, "0") };
  assertEquals((await deliver(old)).status, 401);
  assertEquals((await deliver(next)).status, 401);
  assertEquals((await deliver(last)).status, 202);
});

test("secrets are shown once, and to nobody after", async () => {
  const owner = await customer();
  const { id, secret } = await makeWebhook(owner);
  for (const client of [owner.user.client, world().service]) {
    const { data, error } = await client.from("app_webhooks").select("*").eq("id", id).single();
    assertEquals(error, null);
    assert(!JSON.stringify(data).includes(secret.slice("whsec_".length)), JSON.stringify(data));
    assert(!Object.keys(data).includes("secret"));
    const hidden = await client.schema("private" as "public").from("app_webhook_secrets" as "apps")
      .select();
    assert(hidden.error !== null);
  }
  const member = await createUser(world().stack);
  const added = await owner.user.client.from("company_members").insert({
    company_id: owner.companyId,
    user_id: member.id,
    role: "member",
  });
  assertEquals(added.error, null);
  assertEquals((await member.client.from("app_webhooks").select()).data?.length, 1);
  const refused = await member.client.rpc("rotate_app_webhook_secret", { webhook_id: id });
  assertEquals(refused.error?.code, "SW003");
});

test("a body may have any type, and is what was sent byte by byte", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  const bytes = new Uint8Array([0xff, 0, 0xfe]);
  const cases: Array<[Delivery, unknown, string]> = [
    [{ body: '{"a":[1,null]}' }, { a: [1, null] }, "json"],
    [{ body: "a=1&b=2", type: "application/x-www-form-urlencoded" }, "a=1&b=2", "text"],
    [{ body: '{"a": "\\u0000"}' }, '{"a": "\\u0000"}', "text"],
    [{ body: "" }, "", "text"],
    [{ body: bytes, type: "application/octet-stream" }, "/wD+", "base64"],
  ];
  for (const [delivery, payload, encoding] of cases) {
    const { status, body } = await deliver(webhook, delivery);
    assertEquals(status, 202, JSON.stringify(body));
    const run = (await runsOf(owner)).find(({ id }) => id === body.run_id)!;
    assertEquals([run.config.webhook.payload, run.config.webhook.payload_encoding], [
      payload,
      encoding,
    ]);
  }
});

test("a body as large as may be is taken, a larger one is not, whatever its length is said to be", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  const largest = `"${"x".repeat(MAX_WEBHOOK_BODY_BYTES - 2)}"`;
  assertEquals((await deliver(webhook, { body: largest })).status, 202);
  const random = new Uint8Array(MAX_WEBHOOK_BODY_BYTES).fill(0xff);
  assertEquals((await deliver(webhook, { body: random, type: "image/png" })).status, 202);
  const declared = await deliver(webhook, { body: largest + " " });
  assertEquals([declared.status, declared.body.code], [413, "request_too_large"]);
  // A stream has no Content-Length; this one would never end.
  const chunk = new Uint8Array(16 * 1024);
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(chunk);
      sent += chunk.length;
    },
  });
  const streamed = await fetch(`${world().stack.apiUrl}/functions/v1/webhooks/${webhook.id}`, {
    method: "POST",
    body: endless,
    headers: {
      "webhook-id": newId(),
      "webhook-timestamp": seconds(),
      "webhook-signature": "v1,x",
    },
  });
  const problem = {
    status: streamed.status,
    headers: streamed.headers,
    body: await streamed.json(),
  };
  assertProblem(problem);
  assertEquals(problem.status, 413);
  assert(sent < 64 * MAX_WEBHOOK_BODY_BYTES, `${sent} bytes were taken`);
  assertEquals((await runsOf(owner)).length, 2);
});

test("a full queue and a sender gone wild are told when to come again", async () => {
  const owner = await customer();
  const limit = await world().service.from("companies").update({ max_queued_runs: 1 })
    .eq("id", owner.companyId);
  assertEquals(limit.error, null);
  const webhook = await makeWebhook(owner, { max_deliveries_per_minute: 2 });
  assertEquals((await deliver(webhook)).status, 202);
  const full = await deliver(webhook, { id: "msg_full" });
  assertEquals([full.status, full.body.code], [429, "queue_full"]);
  assert(Number(full.headers.get("retry-after")) > 0);
  const wild = await deliver(webhook);
  assertEquals([wild.status, wild.body.code], [429, "rate_limited"]);
  const wait = Number(wild.headers.get("retry-after"));
  assert(wait > 0 && wait <= 60, `${wait}`);
  // What was refused is not forgotten: it is taken when it comes again and there is room.
  const { error } = await world().service.from("companies").update({ max_queued_runs: 2 })
    .eq("id", owner.companyId);
  assertEquals(error, null);
  assertEquals((await deliver(webhook, { id: "msg_full" })).status, 202);
});

test("a company whose storage is full runs nothing new, and is told so wherever it asks", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  assertEquals((await deliver(webhook)).status, 202);
  const [{ id, app_id }] = await runsOf(owner);
  const output = await world().service.from("app_outputs").insert({
    run_id: id,
    company_id: owner.companyId,
    output_type: "file",
    output_name: "large",
    output_bucket: "app-storage",
    output_path: `app_${app_id}/runs/${id}/outputs/large`,
    file_size: 2_000_000,
  });
  assertEquals(output.error, null);
  const quota = async (storage_quota_bytes: number) => {
    const { error } = await world().service.from("companies").update({ storage_quota_bytes })
      .eq("id", owner.companyId);
    assertEquals(error, null);
  };
  await quota(1_999_999);
  const refused = await deliver(webhook, { id: "msg_storage" });
  assertEquals([refused.status, refused.body.code], [409, "quota_exceeded"]);
  assert(refused.body.detail.includes("2000000 of 1999999 bytes"), refused.body.detail);
  const { data } = await owner.user.client.from("app_webhook_deliveries").select("outcome")
    .eq("delivery_id", "msg_storage");
  assertEquals(data, [{ outcome: "storage_full" }]);
  const asked = await call(world(), owner.user, `api/apps/${app_id}/runs`, {
    json: { company_id: owner.companyId },
  });
  assertEquals([asked.status, asked.body.code], [409, "quota_exceeded"]);
  assertEquals(asked.body.errors[0].path, "company_id");
  await quota(2_000_000);
  assertEquals((await deliver(webhook, { id: "msg_storage" })).status, 202);
});

test("a company that lost the app is told so, and runs nothing", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner);
  const { error } = await owner.user.client.from("app_assignments").delete()
    .eq("company_id", owner.companyId);
  assertEquals(error, null);
  const { status, body } = await deliver(webhook);
  assertEquals([status, body.code], [409, "app_not_runnable"]);
  assertEquals((await runsOf(owner)).length, 0);
  const { data } = await owner.user.client.from("app_webhook_deliveries").select("outcome");
  assertEquals(data, [{ outcome: "not_runnable" }]);
});

test("other methods and paths are not there", async () => {
  const id = crypto.randomUUID();
  const wrongMethod = await call(world(), null, `webhooks/${id}`, { method: "GET" });
  assertEquals([wrongMethod.status, wrongMethod.headers.get("allow")], [405, "POST, OPTIONS"]);
  assertEquals((await call(world(), null, "webhooks")).status, 404);
  assertEquals((await call(world(), null, `webhooks/${id}/more`)).status, 404);
});

/** Exit code of an executor that found no sandbox. */
const NO_SANDBOX = 2;

/** Has an executor do all there is to do, in an isolating sandbox where there is one. */
async function drain(): Promise<void> {
  for (const sandbox of ["auto", "trusted"]) {
    const executor = new ExecutorProcess(world().stack, ["--drain", "--sandbox", sandbox], {});
    const code = await executor.exited;
    if (code === 0) return;
    assertEquals([code, sandbox], [NO_SANDBOX, "auto"], executor.text);
  }
}

test("the app gets the payload, and the webhook's config", async () => {
  const owner = await customer();
  const webhook = await makeWebhook(owner, { config: { region: "eu" } });
  const sentAt = seconds();
  const { status, body } = await deliver(webhook, {
    id: "msg_run",
    sentAt,
    body: '{"order":{"id":7,"lines":["å"]}}',
    headers: { "user-agent": "Sender/1.0", authorization: "Bearer of nothing" },
  });
  assertEquals(status, 202, JSON.stringify(body));
  await drain();
  const run = await owner.user.client.from("app_runs").select().eq("id", body.run_id).single();
  assertEquals([run.data?.status, run.data?.error_message], ["success", null]);
  const { data } = await owner.user.client.from("app_outputs").select("output_data")
    .eq("run_id", body.run_id).eq("output_type", "result").single();
  assertEquals(data?.output_data, {
    rest: { region: "eu" },
    webhook: {
      id: webhook.id,
      delivery_id: "msg_run",
      timestamp: Number(sentAt),
      headers: { "content-type": "application/json", "user-agent": "Sender/1.0" },
      payload: { order: { id: 7, lines: ["å"] } },
      payload_encoding: "json",
    },
  });
});
