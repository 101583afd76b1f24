import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { createUser } from "../../../scripts/testing/stack.ts";
import { buildArchive, GOOD_MANIFEST } from "./archives.ts";
import { checksumOf } from "./fixtures.ts";
import {
  call,
  createApp,
  declare,
  fileRows,
  objectNames,
  send,
  test,
  upload,
  withWorld,
} from "./world.ts";

const world = withWorld();

const MANIFEST = { name: "manifest.json", manifest: true as const };
const archive = (text: string) =>
  buildArchive({ format: "zip", entries: [MANIFEST, { name: "index.js", text }] });

const newApp = () => createApp(world().publisher, world().companyId);

test("an upload becomes a file of its version, with its manifest", async () => {
  const appId = await newApp();
  const bytes = archive("console.log(1)");
  const begin = await declare(world(), bytes, { app_id: appId });
  const { status, body } = await upload(world(), world().publisher, begin, bytes);
  assertEquals([status, body.upload.status, body.upload.file_id], [200, "completed", body.file.id]);
  const path = `app_${appId}/1.0.0/app.zip`;
  assertEquals([body.file.file_path, body.file.checksum], [path, await checksumOf(bytes)]);
  assertEquals(body.file.metadata, {
    entries: 2,
    unpacked_size: 14 + JSON.stringify(GOOD_MANIFEST).length,
    manifest: "manifest.json",
  });
  assertEquals(await objectNames(world(), appId), [path]);
  const { data: version } = await world().publisher.client.from("app_versions").select().eq(
    "app_id",
    appId,
  ).single();
  assertEquals(version.manifest.runtime.backend, {
    type: "node",
    entrypoint: "index.js",
    package_manager: "pnpm",
  });
  const { data: object } = await world().service.storage.from("app-storage").download(path);
  assertEquals(new Uint8Array(await object!.arrayBuffer()), bytes);
});

test("supabase-js sends to the signed URL by path and token", async () => {
  const appId = await newApp();
  const bytes = archive("1");
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), bytes, { app_id: appId }),
  });
  assertEquals([begun.status, begun.body.bucket], [201, "app-storage"]);
  const sent = await world().publisher.client.storage.from("app-storage")
    .uploadToSignedUrl(begun.body.path, begun.body.token, new Blob([bytes]), {
      contentType: "application/zip",
    });
  assertEquals(sent.error, null);
  const { data, error } = await world().publisher.client.functions.invoke(
    `uploads/${begun.body.upload.id}/complete`,
  );
  assertEquals([error, data?.upload.status], [null, "completed"]);
});

function formOf(fields: Record<string, string | File>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}

test("a small file comes in one multipart call", async () => {
  const appId = await newApp();
  const bytes = archive("1");
  const file = new File([bytes], "app.zip", { type: "application/zip" });
  const form = formOf({ app_id: appId, version: "1.0.0", file_type: "source", file });
  const { status, body } = await call(world(), world().publisher, "uploads", { body: form });
  assertEquals([status, body.upload?.status], [201, "completed"], JSON.stringify(body));
  assertEquals(await objectNames(world(), appId), [`app_${appId}/1.0.0/app.zip`]);
});

test("a part that calls itself octets is what its name says", async () => {
  const appId = await newApp();
  const file = new File([archive("1")], "App.ZIP", { type: "application/octet-stream" });
  const form = formOf({ app_id: appId, version: "1.0.0", file_type: "source", file });
  const { status, body } = await call(world(), world().publisher, "uploads", { body: form });
  assertEquals([status, body.file?.content_type], [201, "application/zip"], JSON.stringify(body));
  form.set("content_type", "application/octet-stream");
  const refused = await call(world(), world().publisher, "uploads", { body: form });
  assertEquals([refused.status, refused.body.detail], [
    400,
    "content_type: must be application/zip, application/x-tar or application/gzip for a source, not application/octet-stream",
  ]);
});

test("a multipart call that is refused leaves nothing, and names its fields", async () => {
  const appId = await newApp();
  const file = new File(["<html>"], "logo.png", { type: "image/png" });
  const form = formOf({ app_id: appId, version: "one", file_type: "asset", file });
  const fields = await call(world(), world().publisher, "uploads", { body: form });
  assertEquals([fields.status, fields.body.errors.map((e: { path: string }) => e.path)], [400, [
    "version",
  ]]);
  form.set("version", "1.0.0");
  const content = await call(world(), world().publisher, "uploads", { body: form });
  assertEquals([content.status, content.body.code], [422, "content_mismatch"]);
  assertEquals(await objectNames(world(), appId), []);
  assertEquals(
    (await call(world(), world().publisher, "uploads", { body: new FormData() })).status,
    400,
  );
});

test("a multipart call larger than it may be is refused", async () => {
  const form = new FormData();
  form.set("file", new File([new Uint8Array(11 * 1024 * 1024)], "big.bin"));
  const { status, body } = await call(world(), world().publisher, "uploads", { body: form });
  assertEquals([status, body.code], [413, "request_too_large"]);
});

test("the same beginning answers the same upload, another takes its place", async () => {
  const appId = await newApp();
  const [one, two] = [archive("1"), archive("22")];
  const begin = await declare(world(), one, { app_id: appId });
  const first = await call(world(), world().publisher, "uploads", { json: begin });
  const again = await call(world(), world().publisher, "uploads", { json: begin });
  assertEquals(again.body.upload.id, first.body.upload.id);
  await send(first, one, "application/zip");
  const other = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), two, { app_id: appId }),
  });
  assert(other.body.upload.id !== first.body.upload.id);
  assertEquals(await objectNames(world(), appId), [], "the superseded upload's object is gone");
  const late = await call(world(), world().publisher, `uploads/${first.body.upload.id}/complete`);
  assertEquals([late.status, late.body.code], [409, "upload_over"]);
});

test("completing before the file has arrived says so, and works once it has", async () => {
  const appId = await newApp();
  const bytes = archive("1");
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), bytes, { app_id: appId }),
  });
  const complete = () =>
    call(world(), world().publisher, `uploads/${begun.body.upload.id}/complete`);
  const early = await complete();
  assertEquals([early.status, early.body.code, early.body.retryable], [
    409,
    "upload_not_received",
    true,
  ]);
  await send(begun, bytes, "application/zip");
  assertEquals((await complete()).status, 200);
});

test("completing again answers the same file", async () => {
  const appId = await newApp();
  const bytes = archive("1");
  const done = await upload(
    world(),
    world().publisher,
    await declare(world(), bytes, { app_id: appId }),
    bytes,
  );
  const again = await call(world(), world().publisher, `uploads/${done.body.upload.id}/complete`);
  assertEquals([again.status, again.body.file], [200, done.body.file]);
});

test("what a request that died has left is found: before the file was placed, and after", async () => {
  for (const reached of ["secured", "placed"]) {
    const appId = await newApp();
    const bytes = archive("1");
    const begin = await declare(world(), bytes, { app_id: appId });
    const begun = await call(world(), world().publisher, "uploads", { json: begin });
    await send(begun, bytes, "application/zip");
    const { id, staging_path, file_path } = begun.body.upload;
    const started = await world().publisher.client.rpc("start_app_upload_verification", {
      upload_id: id,
    });
    assertEquals(started.error, null);
    const target = reached === "secured" ? `${staging_path}.verifying` : file_path;
    const moved = await world().service.storage.from("app-storage").move(staging_path, target);
    assertEquals(moved.error, null);
    const complete = () => call(world(), world().publisher, `uploads/${id}/complete`);
    const busy = await complete();
    assertEquals([busy.body.code, busy.headers.get("retry-after")], ["upload_busy", "5"]);
    const lapsed = await world().service.from("app_uploads")
      .update({ verifying_until: new Date(0).toISOString() }).eq("id", id);
    assertEquals(lapsed.error, null);
    assertEquals((await complete()).body.upload?.status, "completed", reached);
    assertEquals(await objectNames(world(), appId), [file_path]);
  }
});

test("of requests that complete at the same time, one verifies and none does harm", async () => {
  const appId = await newApp();
  const bytes = archive("1");
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), bytes, { app_id: appId }),
  });
  await send(begun, bytes, "application/zip");
  const answers = await Promise.all(
    Array.from(
      { length: 5 },
      () => call(world(), world().publisher, `uploads/${begun.body.upload.id}/complete`),
    ),
  );
  assert(answers.some(({ status }) => status === 200));
  for (const { status, body } of answers) {
    assert(status === 200 || body.code === "upload_busy", JSON.stringify(body));
  }
  assertEquals((await fileRows(world(), appId)).length, 1);
});

test("a draft's file is replaced; a published version's never", async () => {
  const appId = await newApp();
  const [one, two, three] = [archive("1"), archive("22"), archive("333")];
  const first = await upload(
    world(),
    world().publisher,
    await declare(world(), one, { app_id: appId }),
    one,
  );
  const second = await upload(
    world(),
    world().publisher,
    await declare(world(), two, { app_id: appId }),
    two,
  );
  assertEquals([second.status, second.body.file.id], [200, first.body.file.id]);
  assertEquals(second.body.file.checksum, await checksumOf(two));
  const path = `app_${appId}/1.0.0/app.zip`;
  const content = async () => {
    const { data } = await world().service.storage.from("app-storage").download(path);
    return new Uint8Array(await data!.arrayBuffer());
  };
  assertEquals(await content(), two);

  // Begun while it was a draft, and completed after the release.
  const late = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), three, { app_id: appId }),
  });
  await send(late, three, "application/zip");
  const released = await world().publisher.client.from("app_versions").update({
    status: "published",
  })
    .eq("app_id", appId).select();
  assertEquals(released.error, null);
  const refused = await call(world(), world().publisher, `uploads/${late.body.upload.id}/complete`);
  assertEquals([refused.status, refused.body.code], [409, "version_not_draft"]);
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), three, { app_id: appId }),
  });
  assertEquals([begun.status, begun.body.code, begun.body.errors[0].path], [
    409,
    "version_not_draft",
    "version",
  ]);
  assertEquals(await content(), two);
});

test("a manifest may come as a file of its own", async () => {
  const appId = await newApp();
  const text = "name: App\nversion: 1.0.0\ntype: frontend\nruntime: {frontend: {type: static}}\n";
  const bytes = new TextEncoder().encode(text);
  const begin = await declare(world(), bytes, {
    app_id: appId,
    file_name: "manifest.yaml",
    file_type: "manifest",
    content_type: "application/octet-stream",
  });
  assertEquals((await upload(world(), world().publisher, begin, bytes)).status, 200);
  const { data } = await world().publisher.client.from("app_versions").select("manifest").eq(
    "app_id",
    appId,
  ).single();
  assertEquals(data!.manifest.runtime.frontend.entrypoint, "index.html");
});

test("an upload is given up, and its object goes with it", async () => {
  const appId = await newApp();
  const bytes = archive("1");
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), bytes, { app_id: appId }),
  });
  await send(begun, bytes, "application/zip");
  const id = begun.body.upload.id;
  const shown = await call(world(), world().publisher, `uploads/${id}`, { method: "GET" });
  assertEquals(shown.body.upload.status, "pending");
  const aborted = await call(world(), world().publisher, `uploads/${id}`, { method: "DELETE" });
  assertEquals([aborted.status, aborted.body.upload.status], [200, "cancelled"]);
  assertEquals(await objectNames(world(), appId), []);
  assertEquals(
    (await call(world(), world().publisher, `uploads/${id}/complete`)).body.code,
    "upload_over",
  );
});

test("an upload past its time is refused, and the next one that begins clears it away", async () => {
  const [appId, otherApp] = [await newApp(), await newApp()];
  const bytes = archive("1");
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), bytes, { app_id: appId }),
  });
  await send(begun, bytes, "application/zip");
  const { id } = begun.body.upload;
  const past = new Date(0).toISOString();
  const { error } = await world().service.from("app_uploads").update({ expires_at: past }).eq(
    "id",
    id,
  );
  assertEquals(error, null);
  const late = await call(world(), world().publisher, `uploads/${id}/complete`);
  assertEquals([late.status, late.body.code], [410, "upload_expired"]);
  const other = await declare(world(), bytes, { app_id: otherApp });
  assertEquals((await call(world(), world().publisher, "uploads", { json: other })).status, 201);
  assertEquals(await objectNames(world(), appId), []);
  const shown = await call(world(), world().publisher, `uploads/${id}`, { method: "GET" });
  assertEquals(shown.body.upload.status, "expired");
});

test("what begins an upload is checked field by field, all at once", async () => {
  const bytes = archive("1");
  const good = await declare(world(), bytes);
  const bad = {
    ...good,
    version: "1",
    file_name: "../x",
    file_type: "sources",
    file_size: 0,
    checksum: "md5:1",
    extra: 1,
  };
  const { status, body } = await call(world(), world().publisher, "uploads", { json: bad });
  assertEquals([status, body.code], [400, "invalid_request"]);
  const paths = body.errors.map(({ path }: { path: string }) => path).sort();
  assertEquals(paths, ["checksum", "extra", "file_name", "file_size", "file_type", "version"]);
  const text = await call(world(), world().publisher, "uploads", {
    json: { ...good, content_type: "image/png" },
  });
  assertEquals([text.status, text.body.errors[0].path], [400, "content_type"]);
  const large = await call(world(), world().publisher, "uploads", {
    json: { ...good, file_size: 104857601 },
  });
  assertEquals([large.status, large.body.code, large.body.errors[0].path], [
    413,
    "file_too_large",
    "file_size",
  ]);
});

test("an upload beyond the company's quota is refused", async () => {
  const owner = await createUser(world().stack);
  const { data: company } = await owner.client.rpc("create_company", {
    slug: "small",
    name: "Small",
  });
  const appId = await createApp(owner, company.id);
  const { error } = await world().service.from("companies").update({ storage_quota_bytes: 100 }).eq(
    "id",
    company.id,
  );
  assertEquals(error, null);
  const bytes = archive("1");
  const { status, body } = await call(world(), owner, "uploads", {
    json: await declare(world(), bytes, { app_id: appId }),
  });
  assertEquals([status, body.code], [409, "quota_exceeded"]);
});

test("an outsider learns nothing of apps and uploads: hidden and missing are one answer", async () => {
  const appId = await newApp();
  const bytes = archive("1");
  const begin = await declare(world(), bytes, { app_id: appId });
  const begun = await call(world(), world().publisher, "uploads", { json: begin });
  const id = begun.body.upload.id;
  const outcome = async (path: string, method: string, json?: unknown) => {
    const { status, body } = await call(world(), world().outsider, path, { method, json });
    const { instance: _, ...rest } = body;
    return { status, rest };
  };
  const none = crypto.randomUUID();
  for (
    const [path, method, hidden, missing] of [
      ["uploads", "POST", begin, { ...begin, app_id: none }],
      [`uploads/:id/complete`, "POST"],
      [`uploads/:id`, "GET"],
      [`uploads/:id`, "DELETE"],
    ] as const
  ) {
    const seen = await outcome(path.replace(":id", id), method, hidden);
    assertEquals(seen.status, 404);
    assertEquals(seen, await outcome(path.replace(":id", none), method, missing));
    if (!hidden) assertEquals(seen, await outcome(path.replace(":id", "no-id"), method));
  }
  assertEquals(
    (await call(world(), world().publisher, `uploads/${id}`, { method: "GET" })).body.upload.status,
    "pending",
  );
});

test("a member of the publisher is told that the role does not suffice", async () => {
  const member = await createUser(world().stack);
  const { error } = await world().service.from("company_members")
    .insert({ company_id: world().companyId, user_id: member.id, role: "member" });
  assertEquals(error, null);
  const bytes = archive("1");
  const { status, body } = await call(world(), member, "uploads", {
    json: await declare(world(), bytes),
  });
  assertEquals([status, body.code], [403, "forbidden"]);
});

test("a signed URL that is used again while the file is verified changes nothing", async () => {
  const appId = await newApp();
  const [good, evil] = [archive("good"), archive("evil")];
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), good, { app_id: appId }),
  });
  await send(begun, good, "application/zip");
  const [done] = await Promise.all([
    call(world(), world().publisher, `uploads/${begun.body.upload.id}/complete`),
    ...Array.from({ length: 5 }, () => send(begun, evil, "application/zip")),
  ]);
  if (done.status === 200) {
    const { data } = await world().service.storage.from("app-storage").download(
      `app_${appId}/1.0.0/app.zip`,
    );
    assertEquals(
      await checksumOf(new Uint8Array(await data!.arrayBuffer())),
      begun.body.upload.checksum,
    );
  } else {
    // It was replaced before it was secured, or while.
    assert(["checksum_mismatch", "upload_not_received"].includes(done.body.code), done.body.code);
    assertEquals(await fileRows(world(), appId), []);
  }
});

test("with the secret key, and with the legacy one, the service uploads", async () => {
  for (const key of [world().stack.secretKey, world().stack.serviceRoleKey]) {
    const appId = await newApp();
    const bytes = archive("1");
    const begun = await call(world(), key, "uploads", {
      json: await declare(world(), bytes, { app_id: appId }),
    });
    assertEquals(begun.status, 201, JSON.stringify(begun.body));
    await send(begun, bytes, "application/zip");
    assertEquals(
      (await call(world(), key, `uploads/${begun.body.upload.id}/complete`)).status,
      200,
    );
  }
});
