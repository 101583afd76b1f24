/** Download tokens, what the files come with, and the log. */
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { createUser, type TestUser } from "../../../scripts/testing/stack.ts";
import { peakMemory } from "./process.ts";
import { assertProblem, call, createApp, createCompany, test, withWorld } from "./world.ts";

const world = withWorld();
const MIB = 1024 * 1024;
const encoder = new TextEncoder();

interface Published {
  appId: string;
  customer: TestUser;
  customerId: string;
  /** Ids of rows of app_storage by file name. */
  files: Record<string, string>;
}

const FILES: Record<string, [type: string, content: string, fileType?: string]> = {
  "data.bin": ["application/octet-stream", "0123456789"],
  "empty.bin": ["application/octet-stream", ""],
  "page.html": ["text/html", "<script>alert(1)</script>"],
  "chart.svg": ["image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"/>'],
  "source.zip": ["application/zip", "PK", "source"],
};

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", encoder.encode(text));
  return "sha256:" + new Uint8Array(digest).toHex();
}

async function addFile(
  appId: string,
  version: string,
  name: string,
  [type, content, fileType = "asset"]: (typeof FILES)[string],
  storedAs = type,
): Promise<string> {
  const { service } = world();
  const path = `app_${appId}/${version}/${name}`;
  const stored = await service.storage.from("app-storage")
    .upload(path, encoder.encode(content), { contentType: storedAs });
  assertEquals(stored.error, null);
  const { data, error } = await service.from("app_storage").insert({
    app_id: appId,
    version,
    file_path: path,
    file_type: fileType,
    file_size: content.length,
    content_type: type,
    checksum: await sha256(content),
  }).select("id").single();
  assertEquals(error, null);
  return data!.id;
}

/** A released version with the files, and a customer who is assigned the app. */
async function publish(): Promise<Published> {
  const { service, publisher, companyId } = world();
  const appId = await createApp(publisher, companyId);
  const files: Published["files"] = {};
  for (const [name, file] of Object.entries(FILES)) {
    files[name] = await addFile(appId, "1.0.0", name, file);
  }
  const { error } = await service.from("app_versions")
    .update({ manifest: { version: "1.0.0" }, status: "published" }).eq("app_id", appId);
  assertEquals(error, null);
  const customer = await createUser(world().stack);
  const customerId = await createCompany(customer);
  const assigned = await service.from("app_assignments")
    .insert({ app_id: appId, company_id: customerId });
  assertEquals(assigned.error, null);
  return { appId, customer, customerId, files };
}

let shared: Promise<Published> | undefined;
const app = () => shared ??= publish();

async function createToken(who: TestUser | string, json: unknown) {
  const { status, body } = await call(world(), who, "downloads/tokens", { json });
  assertEquals(status, 201, JSON.stringify(body));
  return body as { id: string; secret: string; url: string; expires_at: string };
}

async function tokenRow(id: string) {
  const { data, error } = await world().service.from("app_download_tokens").select().eq("id", id)
    .single();
  assertEquals(error, null);
  return data!;
}

test("a token gives its file to whoever holds it, is counted and logged", async () => {
  const { customer, customerId, files, appId } = await app();
  const created = await createToken(customer, {
    file_id: files["data.bin"],
    label: "For the auditors",
    max_downloads: 2,
    expires_in: 60,
  });
  assert(/^swd_[A-Za-z0-9_-]{43}$/.test(created.secret), created.secret);
  assertEquals(created.url, `${world().stack.apiUrl}/functions/v1/downloads/t/${created.secret}`);
  const response = await fetch(created.url);
  assertEquals([response.status, await response.text()], [200, "0123456789"]);
  const row = await tokenRow(created.id);
  assertEquals([row.download_count, row.company_id, row.created_by, row.label], [
    1,
    customerId,
    customer.id,
    "For the auditors",
  ]);
  // The secret is nowhere: only its hash, which opens nothing.
  assertEquals("sha256:" + row.secret_sha256, await sha256(created.secret));
  assertEquals((await fetch(created.url.replace(/[^/]+$/, row.secret_sha256))).status, 404);
  const { data: log } = await customer.client.from("app_downloads").select().eq(
    "token_id",
    created.id,
  );
  assertEquals(
    log!.map(({ method, bytes, user_id, version, app_id, file_id }) => ({
      method,
      bytes,
      user_id,
      version,
      app_id,
      file_id,
    })),
    [{
      method: "token",
      bytes: 10,
      user_id: null,
      version: "1.0.0",
      app_id: appId,
      file_id: files["data.bin"],
    }],
  );
});

test("a token for one download is good for one among twenty at once", async () => {
  const { customer, files } = await app();
  const { url, id } = await createToken(customer, {
    file_id: files["data.bin"],
    max_downloads: 1,
  });
  const answers = await Promise.all(Array.from({ length: 20 }, async () => {
    const response = await fetch(url);
    return [response.status, await response.text()] as const;
  }));
  assertEquals(answers.filter(([status]) => status === 200), [[200, "0123456789"]]);
  assertEquals(answers.filter(([status]) => status === 404).length, 19);
  assertEquals((await tokenRow(id)).download_count, 1);
  const { count } = await world().service.from("app_downloads")
    .select("id", { count: "exact", head: true }).eq("token_id", id);
  assertEquals(count, 1);
});

test("every token that is of no use is refused alike", async () => {
  const { service, publisher } = world();
  const own = await publish();
  const file_id = own.files["data.bin"];
  const make = (json = {}) => createToken(own.customer, { file_id, ...json });
  const [used, expired, revoked, ofPublisher, lost] = [
    await make({ max_downloads: 1 }),
    await make(),
    await make(),
    await createToken(publisher, { path: `app_${own.appId}/1.0.0/source.zip` }),
    await make(),
  ];
  assertEquals(await (await fetch(used.url)).text(), "0123456789");
  await service.from("app_download_tokens")
    .update({ expires_at: "2020-01-01T00:00:00Z" }).eq("id", expired.id);
  const revocation = await call(world(), own.customer, `downloads/tokens/${revoked.id}`, {
    method: "DELETE",
  });
  assertEquals([revocation.status, revocation.body.token.id], [200, revoked.id]);
  assert(revocation.body.token.revoked_at && !("secret_sha256" in revocation.body.token));
  assertEquals((await fetch(lost.url, { method: "HEAD" })).status, 200);
  await service.from("app_assignments").delete().eq("app_id", own.appId);
  const base = lost.url.replace(/[^/]+$/, "");
  const bodies = [];
  for (
    const url of [
      used.url,
      expired.url,
      revoked.url,
      lost.url,
      `${base}swd_${"A".repeat(43)}`,
      `${base}swd_x`,
      `${base}${lost.id}`,
      `${base}%00`,
    ]
  ) {
    const response = await fetch(url);
    const body = await response.json();
    assertProblem({ status: response.status, headers: response.headers, body });
    const { instance: _, ...rest } = body;
    bodies.push(rest);
    assertEquals(response.headers.get("cache-control"), "no-store");
  }
  assertEquals(bodies.map(({ status }) => status), Array(8).fill(404));
  for (const body of bodies) assertEquals(body, bodies[0]);
  // The publisher's does not depend on the customer.
  assertEquals(await (await fetch(ofPublisher.url)).text(), "PK");
});

test("tokens are made by whoever may read the file, and ended by their makers and admins", async () => {
  const { customer, customerId, files } = await app();
  const { outsider, publisher, service, stack } = world();
  const create = (who: TestUser | string, json: unknown) =>
    call(world(), who, "downloads/tokens", { json });
  const none = crypto.randomUUID();
  for (
    const [who, json] of [
      [outsider, { file_id: files["data.bin"] }],
      [outsider, { file_id: none }],
      [customer, { file_id: files["source.zip"] }],
      [customer, { file_id: none }],
      [customer, { path: "app_x/1.0.0/data.bin" }],
      [customer, { output_id: none }],
      [customer, { file_id: files["data.bin"], company_id: none }],
      [outsider, { file_id: files["data.bin"], company_id: customerId }],
      [publisher, { file_id: files["source.zip"], company_id: customerId }],
      [stack.secretKey, { file_id: files["source.zip"], company_id: customerId }],
    ] as const
  ) {
    const { status, body } = await create(who, json);
    assertEquals([status, body.code], [404, "not_found"], JSON.stringify(json));
  }
  assertEquals((await create(stack.publishableKey, { file_id: files["data.bin"] })).status, 401);
  for (
    const [json, path] of [
      [{}, ""],
      [{ file_id: none, output_id: none }, ""],
      [{ file_id: none, max_downloads: 0 }, "max_downloads"],
      [{ file_id: none, expires_in: 0 }, "expires_in"],
      [{ file_id: none, expires_in: 367 * 86400 }, "expires_in"],
      [{ file_id: none, label: " " }, "label"],
      [{ file_id: none, filename: "a/b" }, "filename"],
      [{ file_id: none, filename: "x\u202egnp.exe" }, "filename"],
      [{ file_id: none, secret: "mine" }, "secret"],
    ] as const
  ) {
    const { status, body } = await create(customer, json);
    assertEquals([status, body.errors?.[0].path], [400, path], JSON.stringify(json));
  }
  const colleague = await createUser(stack);
  const joined = await service.from("company_members")
    .insert({ company_id: customerId, user_id: colleague.id, role: "member" });
  assertEquals(joined.error, null);
  const revoke = (who: TestUser, id: string) =>
    call(world(), who, `downloads/tokens/${id}`, { method: "DELETE" });
  const [byOwner, byMember] = [
    await createToken(customer, { file_id: files["data.bin"] }),
    await createToken(colleague, { file_id: files["data.bin"] }),
  ];
  assertEquals((await revoke(outsider, byOwner.id)).status, 404);
  assertEquals((await revoke(publisher, byOwner.id)).status, 404);
  assertEquals((await revoke(customer, none)).status, 404);
  assertEquals((await revoke(customer, "x")).status, 404);
  assertEquals((await revoke(colleague, byOwner.id)).status, 403);
  assertEquals((await revoke(colleague, byMember.id)).status, 200);
  const again = await revoke(customer, byMember.id);
  assertEquals([again.status, again.body.token.revoked_by], [200, colleague.id]);
  const byService = await createToken(stack.secretKey, {
    file_id: files["data.bin"],
    company_id: customerId,
  });
  const { data: listed } = await colleague.client.from("app_download_tokens").select("id");
  const ids = listed!.map(({ id }) => id);
  assert([byOwner.id, byMember.id, byService.id].every((id) => ids.includes(id)));
  assertEquals(
    (await publisher.client.from("app_download_tokens").select().in("id", ids)).data,
    [],
  );
});

test("a file is saved under any name that it was given", async () => {
  const { customer, files } = await app();
  for (
    const name of ['say "hi" 100%.txt', "ünïcode.bin", "حساب.csv", "👩‍🚀 日本.json", "it's; a=b.txt"]
  ) {
    const file_id = files["data.bin"];
    const { url } = await createToken(customer, { file_id, filename: name });
    const token = (await fetch(url)).headers.get("content-disposition")!;
    const link = await call(world(), customer, "downloads", { json: { file_id, filename: name } });
    const signed = await fetch(link.body.signed_url);
    await signed.body?.cancel();
    for (const value of [token, signed.headers.get("content-disposition")!]) {
      const extended = /filename\*=UTF-8''([^;]+)$/.exec(value)?.[1];
      const given = extended ? decodeURIComponent(extended) : /filename="(.*)"$/.exec(value)?.[1];
      assertEquals([value.startsWith("attachment;"), given], [true, name], value);
    }
  }
});

test("a released file is cached for ever by whoever has it, a draft's is asked for anew", async () => {
  const { customer, files, appId } = await app();
  const { url, id } = await createToken(customer, { file_id: files["data.bin"] });
  const first = await fetch(url);
  await first.body?.cancel();
  const etag = first.headers.get("etag")!;
  assertEquals(etag, `"${(await sha256("0123456789")).replace(":", "-")}"`);
  assertEquals(first.headers.get("cache-control"), "private, max-age=31536000, immutable");
  for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
    const again = await fetch(url, { headers: { "if-none-match": tag } });
    assertEquals([again.status, again.headers.get("etag"), await again.text()], [304, etag, ""]);
  }
  const other = await fetch(url, { headers: { "if-none-match": '"other"' } });
  assertEquals([other.status, await other.text()], [200, "0123456789"]);
  // What carried no bytes is not counted.
  assertEquals((await tokenRow(id)).download_count, 2);
  const draft = await addFile(appId, "2.0.0", "data.bin", FILES["data.bin"]);
  const ofDraft = await createToken(world().publisher, { file_id: draft });
  const response = await fetch(ofDraft.url);
  await response.body?.cancel();
  assertEquals(response.headers.get("cache-control"), "private, no-cache");
});

test("ranges are passed through; HEAD tells what GET would send, and is no download", async () => {
  const { customer, files } = await app();
  const { url, id } = await createToken(customer, { file_id: files["data.bin"] });
  const etag = (await fetch(url, { method: "HEAD" })).headers.get("etag")!;
  const ask = async (headers: Record<string, string>, method = "GET") => {
    const response = await fetch(url, { method, headers });
    const text = response.status === 416 ? "" : await response.text();
    if (response.status === 416) await response.body?.cancel();
    return [
      response.status,
      text,
      response.headers.get("content-range"),
      response.headers.get("content-length"),
    ];
  };
  const whole = [200, "0123456789", null, "10"];
  for (
    const [range, expected] of [
      ["bytes=0-0", [206, "0", "bytes 0-0/10", "1"]],
      ["bytes=2-4", [206, "234", "bytes 2-4/10", "3"]],
      ["bytes=7-", [206, "789", "bytes 7-9/10", "3"]],
      ["bytes=-2", [206, "89", "bytes 8-9/10", "2"]],
      ["bytes=-99", [206, "0123456789", "bytes 0-9/10", "10"]],
      ["bytes=8-99", [206, "89", "bytes 8-9/10", "2"]],
      ["bytes=0-1,4-5", whole],
      ["bytes=5-2", whole],
      ["lines=1-2", whole],
      ["bytes=-", whole],
    ] as const
  ) assertEquals(await ask({ range }), expected, range);
  for (const range of ["bytes=10-", "bytes=99-100", "bytes=-0"]) {
    const [status, , contentRange] = await ask({ range });
    assertEquals([status, contentRange], [416, "bytes */10"], range);
  }
  assertEquals((await ask({ range: "bytes=0-0", "if-range": etag }))[0], 206);
  assertEquals(await ask({ range: "bytes=0-0", "if-range": '"other"' }), whole);
  assertEquals(await ask({ range: "bytes=0-0", "if-range": `W/${etag}` }), whole);
  const before = (await tokenRow(id)).download_count;
  assertEquals(await ask({ range: "bytes=2-4" }, "HEAD"), [200, "", null, "10"]);
  assertEquals((await tokenRow(id)).download_count, before);
  const empty = await createToken(customer, { file_id: files["empty.bin"] });
  const nothing = await fetch(empty.url);
  assertEquals([nothing.status, await nothing.text()], [200, ""]);
  const noRange = await fetch(empty.url, { headers: { range: "bytes=0-" } });
  await noRange.body?.cancel();
  assertEquals([noRange.status, noRange.headers.get("content-range")], [416, "bytes */0"]);
});

/** A browser that shows this runs nothing of it in our origin. */
async function assertInert(url: string, content: string, options: RequestInit = {}) {
  const response = await fetch(url, options);
  const { headers } = response;
  assertEquals([response.status, await response.text()], [200, content]);
  assert(headers.get("content-disposition")!.startsWith("attachment;"), url);
  assertEquals(headers.get("x-content-type-options"), "nosniff");
  const policy = headers.get("content-security-policy")!.split(/;\s*/);
  assert(policy.includes("sandbox") && policy.includes("default-src 'none'"), policy.join("; "));
}

test("HTML and SVG run on no way that leads to them", async () => {
  const { customer, files, appId } = await app();
  const { publisher, stack } = world();
  for (const name of ["page.html", "chart.svg"]) {
    const content = FILES[name][1];
    const file_id = files[name];
    await assertInert((await createToken(customer, { file_id })).url, content);
    for (const inline of [true, false]) {
      const { body } = await call(world(), customer, "downloads", { json: { file_id, inline } });
      assert(!body.signed_url.includes("/storage/"), body.signed_url);
      await assertInert(body.signed_url, content);
      // Nothing in the link can be changed, as `download` could be taken from one of Storage's.
      const forged = body.signed_url.replace(/\/l\/./, "/l/f");
      assertEquals((await fetch(forged)).status, 404);
      assertEquals((await fetch(body.signed_url + "x")).status, 404);
    }
    const path = `app_${appId}/1.0.0/${name}`;
    const storage = customer.client.storage.from("app-storage");
    assertEquals((await storage.download(path)).error, null);
    assert((await storage.createSignedUrl(path, 60)).error);
    assert((await storage.createSignedUrls([path], 60)).data![0].error);
  }
  const plain = customer.client.storage.from("app-storage");
  assertEquals((await plain.createSignedUrl(`app_${appId}/1.0.0/data.bin`, 60)).error, null);
  // Whoever uploads may tell Storage another type than they declared.
  const liar = await addFile(appId, "3.0.0", "data.bin", FILES["page.html"], "image/svg+xml");
  const octets = await addFile(
    appId,
    "3.0.0",
    "x.bin",
    ["application/octet-stream", "<svg/>"],
    "image/svg+xml",
  );
  for (const file_id of [liar, octets]) {
    const { body } = await call(world(), publisher, "downloads", { json: { file_id } });
    assert(body.signed_url.includes("/downloads/l/"), body.signed_url);
    await assertInert(body.signed_url, file_id === liar ? FILES["page.html"][1] : "<svg/>");
  }
  // A link ends, and only a key of the project makes one.
  const short = await call(world(), customer, "downloads", {
    json: { file_id: files["chart.svg"], expires_in: 1 },
  });
  const deadline = Date.now() + 30_000;
  let status = 200;
  while (status === 200 && Date.now() < deadline) {
    const response = await fetch(short.body.signed_url);
    await response.body?.cancel();
    status = response.status;
  }
  assertEquals(status, 404);
  assert(stack.secretKey);
});

test("links and tokens stand in the log of the company; the publisher learns their number", async () => {
  const { appId, customer, customerId, files } = await publish();
  const { publisher, outsider, stack } = world();
  const file_id = files["data.bin"];
  const items = [{ file_id }, { file_id: crypto.randomUUID() }, { file_id: files["chart.svg"] }];
  assertEquals((await call(world(), customer, "downloads", { json: { items } })).status, 200);
  await call(world(), outsider, "downloads", { json: { file_id } });
  await call(world(), publisher, "downloads", { json: { file_id: files["source.zip"] } });
  await call(world(), stack.secretKey, "downloads", { json: { file_id } });
  await (await fetch((await createToken(customer, { file_id })).url)).body?.cancel();
  const log = async (who: TestUser) => {
    const { data, error } = await who.client.from("app_downloads")
      .select("company_id, user_id, method, path, bytes").eq("app_id", appId).order("created_at");
    assertEquals(error, null);
    return data!.map((row) => [row.company_id, row.user_id, row.method, row.path, row.bytes]);
  };
  const path = (name: string) => `app_${appId}/1.0.0/${name}`;
  const size = (name: string) => FILES[name][1].length;
  const byPath = (a: unknown[], b: unknown[]) => String(a[3]) < String(b[3]) ? -1 : 1;
  const rows = await log(customer);
  assertEquals(rows.slice(0, 2).sort(byPath), [
    [customerId, customer.id, "link", path("chart.svg"), size("chart.svg")],
    [customerId, customer.id, "link", path("data.bin"), 10],
  ]);
  assertEquals(rows.slice(2), [[customerId, null, "token", path("data.bin"), 10]]);
  assertEquals(await log(publisher), [
    [world().companyId, publisher.id, "link", path("source.zip"), 2],
    [world().companyId, null, "link", path("data.bin"), 10],
  ]);
  assertEquals(await log(outsider), []);
  const counts = async (who: TestUser) =>
    (await who.client.rpc("list_app_download_counts", { app_id: appId })).data!.map(
      ({ last_download_at: _, ...rest }: Record<string, unknown>) => rest,
    );
  assertEquals(await counts(publisher), [
    { version: "1.0.0", method: "link", downloads: 4, bytes: 22 + size("chart.svg") },
    { version: "1.0.0", method: "token", downloads: 1, bytes: 10 },
  ]);
  assertEquals(await counts(customer), []);
});

test("a hundred megabytes pass through in memory that does not grow with them", async () => {
  const { appId } = await app();
  const { service, publisher } = world();
  const path = `app_${appId}/4.0.0/large.bin`;
  const size = 100 * MIB;
  const stored = await service.storage.from("app-storage")
    .upload(path, new Blob([new Uint8Array(size)]), { contentType: "application/octet-stream" });
  assertEquals(stored.error, null);
  const { error } = await service.from("app_storage").insert({
    app_id: appId,
    version: "4.0.0",
    file_path: path,
    file_type: "asset",
    file_size: size,
    checksum: "sha256:" + "0".repeat(64),
  });
  assertEquals(error, null);
  const { url } = await createToken(publisher, { path });
  const before = await peakMemory("downloads");
  const read = async () => {
    let received = 0;
    for await (const chunk of (await fetch(url)).body!) received += chunk.length;
    return received;
  };
  assertEquals(await Promise.all([read(), read()]), [size, size]);
  // Whoever goes away takes the reading of Storage along.
  const abort = new AbortController();
  const given = await fetch(url, { signal: abort.signal });
  await given.body!.getReader().read();
  abort.abort();
  const grown = await peakMemory("downloads") - before;
  console.log(`two downloads of 100 MiB at once: ${Math.round(grown / MIB)} MiB more`);
  assert(grown < 32 * MIB, `${grown}`);
});
