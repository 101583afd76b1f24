import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { createUser } from "../../../scripts/testing/stack.ts";
import { buildArchive } from "./archives.ts";
import {
  call,
  createApp,
  createCompany,
  declare,
  fileRows,
  test,
  upload,
  withWorld,
  type World,
} from "./world.ts";

const world = withWorld();

const BYTES = buildArchive({
  format: "zip",
  entries: [{ name: "manifest.json", manifest: true }, { name: "index.js", text: "1" }],
});
const STYLE = new TextEncoder().encode("a { color: red }\n");

/** A published app with a source and an asset, assigned to a customer who ran it once. */
async function publishedApp(world: World) {
  const appId = await createApp(world.publisher, world.companyId);
  const sent = [
    [BYTES, await declare(world, BYTES, { app_id: appId })],
    [
      STYLE,
      await declare(world, STYLE, {
        app_id: appId,
        file_name: "css/main (1).css",
        file_type: "asset",
        content_type: "text/css",
      }),
    ],
  ] as const;
  for (const [bytes, begin] of sent) {
    assertEquals((await upload(world, world.publisher, begin, bytes)).status, 200);
  }
  const { error } = await world.publisher.client.from("app_versions").update({
    status: "published",
  }).eq("app_id", appId);
  assertEquals(error, null);
  const customer = await createUser(world.stack);
  const companyId = await createCompany(customer);
  const assigned = await world.service.from("app_assignments").insert({
    app_id: appId,
    company_id: companyId,
  });
  assertEquals(assigned.error, null);
  const run = await customer.client.rpc("request_app_run", {
    app_id: appId,
    company_id: companyId,
  });
  assertEquals(run.error, null);
  const runId: string = run.data.id;
  const log = `app_${appId}/runs/${runId}/stdout.log`;
  const logged = await world.service.storage.from("app-logs").upload(log, "hello\n", {
    contentType: "text/plain",
  });
  assertEquals(logged.error, null);
  const chart = `app_${appId}/runs/${runId}/outputs/chart.svg`;
  const svg = new Blob(["<svg/>"], { type: "image/svg+xml" });
  const stored = await world.service.storage.from("app-storage").upload(chart, svg, {
    contentType: "image/svg+xml",
  });
  assertEquals(stored.error, null);
  const output = await world.service.from("app_outputs").insert({
    run_id: runId,
    output_type: "file",
    output_name: "chart.svg",
    output_bucket: "app-storage",
    output_path: chart,
    file_size: 6,
  }).select().single();
  assertEquals(output.error, null);
  const rows = await fileRows(world, appId);
  const find = (type: string) => rows.find(({ file_type }) => file_type === type)!;
  return {
    appId,
    customer,
    log,
    chart,
    outputId: output.data.id as string,
    source: find("source"),
    asset: find("asset"),
  };
}

let shared: ReturnType<typeof publishedApp> | undefined;
const app = () => shared ??= publishedApp(world());

const download = (who: Parameters<typeof call>[1], json: unknown) =>
  call(world(), who, "downloads", { json });

test("a file is signed by its row, with a name and an expiry", async () => {
  const { asset, customer } = await app();
  const before = Date.now();
  const { status, body } = await download(customer, {
    file_id: asset.id,
    expires_in: 60,
    filename: "schön.css",
  });
  assertEquals(status, 200, JSON.stringify(body));
  assertEquals([
    body.bucket,
    body.path,
    body.file_size,
    body.content_type,
    body.checksum,
    body.filename,
  ], [
    "app-storage",
    asset.file_path,
    STYLE.length,
    "text/css",
    asset.checksum,
    "schön.css",
  ]);
  const lives = Date.parse(body.expires_at) - before;
  assert(lives >= 59_000 && lives < 90_000, `${lives}`);
  const response = await fetch(body.signed_url);
  assertEquals(new Uint8Array(await response.arrayBuffer()), STYLE);
  const disposition = response.headers.get("content-disposition")!;
  assert(
    disposition.startsWith("attachment;") && decodeURIComponent(disposition).includes("schön.css"),
    disposition,
  );
});

test("a file is signed by its path, a log and an output too", async () => {
  const { asset, customer, log, chart, outputId } = await app();
  for (
    const [item, text, name] of [
      [{ path: asset.file_path }, "a { color: red }\n", "main (1).css"],
      [{ path: log }, "hello\n", "stdout.log"],
      [{ path: log, bucket: "app-logs" }, "hello\n", "stdout.log"],
      [{ path: chart, bucket: "app-storage" }, "<svg/>", "chart.svg"],
      [{ output_id: outputId }, "<svg/>", "chart.svg"],
    ] as const
  ) {
    const { status, body } = await download(customer, item);
    assertEquals([status, body.filename, body.expires_in], [200, name, 300], JSON.stringify(body));
    assertEquals(await (await fetch(body.signed_url)).text(), text);
  }
});

test("inline has no Content-Disposition that saves", async () => {
  const { customer, asset } = await app();
  const { body } = await download(customer, { file_id: asset.id, inline: true });
  const response = await fetch(body.signed_url);
  await response.body?.cancel();
  assert(!response.headers.get("content-disposition")?.startsWith("attachment"));
});

test("a customer does not see the source, the publisher and the service do", async () => {
  const { customer, source } = await app();
  for (const item of [{ file_id: source.id }, { path: source.file_path }]) {
    assertEquals((await download(customer, item)).status, 404);
    assertEquals((await download(world().publisher, item)).status, 200);
    assertEquals((await download(world().stack.secretKey, item)).status, 200);
    assertEquals((await download(world().stack.serviceRoleKey, item)).status, 200);
  }
});

test("hidden and missing are one answer", async () => {
  const { asset, log, chart, outputId, appId } = await app();
  const none = crypto.randomUUID();
  const pairs = [
    [{ file_id: asset.id }, { file_id: none }],
    [{ output_id: outputId }, { output_id: none }],
    [{ path: asset.file_path }, { path: `app_${none}/1.0.0/x.css` }],
    [{ path: log }, { path: `app_${appId}/runs/${none}/stdout.log` }],
    [{ path: chart }, { path: "../../etc/passwd" }],
    [{ path: chart }, { path: "a//b" }],
    [{ path: chart }, { path: "%2e%2e/%2e%2e/%2e%2e/bucket" }],
    [{ path: chart }, { path: `${chart}?x` }],
    [{ path: chart }, { path: `${chart}#x` }],
    [{ path: chart }, { path: "weird \u0001 name#?%" }],
  ];
  for (const [hidden, missing] of pairs) {
    const [a, b] = [
      await download(world().outsider, hidden),
      await download(world().outsider, missing),
    ];
    assertEquals([a.status, b.status], [404, 404], JSON.stringify(missing));
    const { instance: _a, ...bodyA } = a.body;
    const { instance: _b, ...bodyB } = b.body;
    assertEquals(bodyA, bodyB);
  }
});

test("a batch answers item by item, in order", async () => {
  const { asset, source, customer, log } = await app();
  const items = [
    { file_id: asset.id },
    { file_id: source.id },
    { path: log, filename: "log.txt" },
    { path: "nothing" },
  ];
  const { status, body } = await download(customer, { items, expires_in: 3600 });
  assertEquals([status, body.expires_in], [200, 3600]);
  assertEquals(body.results.map((result: { status: number }) => result.status), [
    200,
    404,
    200,
    404,
  ]);
  assertEquals(body.results[2].filename, "log.txt");
  const { instance: _1, ...hidden } = body.results[1].error;
  const { instance: _2, ...missing } = body.results[3].error;
  assertEquals(hidden, missing);
});

test("what is asked for is checked", async () => {
  const { customer, asset } = await app();
  const id = { file_id: asset.id };
  for (
    const [json, path] of [
      [{ ...id, expires_in: 3601 }, "expires_in"],
      [{ ...id, expires_in: 0 }, "expires_in"],
      [{ ...id, expires_in: 1.5 }, "expires_in"],
      [{ ...id, filename: "../x" }, "filename"],
      [{ ...id, filename: "a\r\nSet-Cookie: b" }, "filename"],
      [{ ...id, path: "x" }, ""],
      [{}, ""],
      [{ file_id: "1" }, "file_id"],
      [{ path: "x", bucket: "other" }, "bucket"],
      [{ ...id, extra: 1 }, "extra"],
      [{ items: [] }, "items"],
      [{ items: Array(51).fill(id) }, "items"],
      [{ items: [id, { file_id: "1" }] }, "items[1].file_id"],
    ] as const
  ) {
    const { status, body } = await download(customer, json);
    assertEquals([status, body.errors?.[0].path], [400, path], JSON.stringify([json, body]));
  }
});
