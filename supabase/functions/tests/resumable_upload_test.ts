/** Files sent by TUS: interrupted, resumed, and verified like any other. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { Upload } from "tus-js-client";
import { findBrowser, runPage } from "../../../scripts/testing/browser.ts";
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { buildArchive } from "./archives.ts";
import {
  type Answer,
  call,
  createApp,
  declare,
  fileRows,
  objectNames,
  test,
  withWorld,
} from "./world.ts";

const world = withWorld();

const MIB = 1024 * 1024;

const checksum = (bytes: Uint8Array) =>
  "sha256:" + createHash("sha256").update(bytes).digest("hex");

/** Sends the bytes as the beginning's answer says, until it ends or so much of them was sent. Its URL is kept in `state`. */
function sendResumably(
  begun: Answer,
  bytes: Uint8Array,
  state: { url: string | null },
  interruptAfter = Infinity,
): Promise<"done" | "interrupted"> {
  const { endpoint, headers, metadata, chunk_size: chunkSize } = begun.body.resumable;
  return new Promise((resolve, reject) => {
    const upload = new Upload(Buffer.from(bytes.buffer), {
      endpoint,
      headers,
      metadata,
      chunkSize,
      uploadUrl: state.url,
      retryDelays: null,
      onProgress: (sent) => {
        state.url = upload.url;
        if (state.url && sent >= interruptAfter && sent < bytes.length) {
          upload.abort().then(() => resolve("interrupted"), reject);
        }
      },
      onSuccess: () => resolve("done"),
      onError: reject,
    });
    upload.start();
  });
}

test("100 MiB, interrupted five times, complete and verify", async () => {
  const appId = await createApp(world().publisher, world().companyId);
  const bytes = new Uint8Array(100 * MIB);
  for (let at = 0; at < bytes.length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65536));
  }
  const begun = await call(world(), world().publisher, "uploads", {
    json: {
      app_id: appId,
      version: "1.0.0",
      file_name: "data.bin",
      file_type: "asset",
      content_type: "application/octet-stream",
      file_size: bytes.length,
      checksum: checksum(bytes),
    },
  });
  assertEquals(begun.status, 201);
  const state = { url: null as string | null };
  const outcomes: string[] = [];
  for (const after of [7, 20, 45, 62, 90]) {
    outcomes.push(await sendResumably(begun, bytes, state, after * MIB + 12345));
  }
  assertEquals(outcomes, new Array(5).fill("interrupted"));
  const early = await call(world(), world().publisher, `uploads/${begun.body.upload.id}/complete`);
  assertEquals([early.status, early.body.code], [409, "upload_not_received"]);
  assertEquals(await sendResumably(begun, bytes, state), "done");
  const done = await call(world(), world().publisher, `uploads/${begun.body.upload.id}/complete`);
  assertEquals([done.status, done.body.file?.checksum], [200, checksum(bytes)]);
  assertEquals(await objectNames(world(), appId), [`app_${appId}/1.0.0/data.bin`]);
});

test("a file sent by TUS is refused like any other", async () => {
  const appId = await createApp(world().publisher, world().companyId);
  const bytes = new TextEncoder().encode("<script>alert(1)</script>");
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), bytes, {
      app_id: appId,
      file_name: "logo.png",
      file_type: "asset",
      content_type: "image/png",
    }),
  });
  assertEquals(await sendResumably(begun, bytes, { url: null }), "done");
  const refused = await call(
    world(),
    world().publisher,
    `uploads/${begun.body.upload.id}/complete`,
  );
  assertEquals([refused.status, refused.body.code], [422, "content_mismatch"]);
  assertEquals([await objectNames(world(), appId), await fileRows(world(), appId)], [[], []]);
});

/** What the page does: begins, sends, goes away in the middle, finds the upload again, sends the rest, completes. */
const PAGE = `<!doctype html><script src="/tus.js"></script><script type="module">
const { api, key, token, begin, archive } = await (await fetch("/input.js")).json();
const call = async (path, body) => {
  const response = await fetch(api + "/functions/v1/" + path, {
    method: "POST",
    headers: { apikey: key, authorization: "Bearer " + token, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
};
const file = new File([Uint8Array.from(atob(archive), (c) => c.charCodeAt(0))], "app.zip");
const requests = [];
const send = (resumable, interrupt) => new Promise(async (resolve, reject) => {
  const upload = new tus.Upload(file, {
    endpoint: resumable.endpoint, headers: resumable.headers, metadata: resumable.metadata,
    chunkSize: resumable.chunk_size, retryDelays: null,
    onAfterResponse: (request, response) => requests.push(request.getMethod() + " " + response.getStatus()),
    onChunkComplete: () => { if (interrupt) upload.abort().then(() => resolve("interrupted"), reject); },
    onSuccess: () => resolve("done"),
    onError: reject,
  });
  const [previous] = await upload.findPreviousUploads();
  if (previous) upload.resumeFromPreviousUpload(previous);
  upload.start();
});
try {
  const begun = await call("uploads", begin);
  const outcomes = [await send(begun.body.resumable, true), await send(begun.body.resumable, false)];
  const completed = await call("uploads/" + begun.body.upload.id + "/complete", {});
  await fetch("/result", { method: "POST", body: JSON.stringify({ outcomes, requests, completed }) });
} catch (error) {
  await fetch("/result", { method: "POST", body: JSON.stringify({ error: String(error) }) });
}
</script>`;

const browser = findBrowser();
// A machine that decides has a browser; others may do without.
const skip = !browser && !Deno.env.get("CI");

Deno.test({
  name: `a page sends a file by TUS from another origin, is interrupted and resumes${
    skip ? " (skipped: no chromium on this machine)" : ""
  }`,
  ignore: skip,
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    assert(browser, "CI needs a chromium");
    const appId = await createApp(world().publisher, world().companyId);
    const data = new Uint8Array(8 * MIB);
    const archive = buildArchive({
      format: "zip",
      entries: [
        { name: "manifest.json", manifest: true },
        { name: "index.js", text: "1" },
        { name: "data.bin", bytes: data, method: 0 },
      ],
    });
    const library = new URL("../../../node_modules/tus-js-client/dist/tus.min.js", import.meta.url);
    const result = await runPage(browser, PAGE, {
      "tus.js": await Deno.readTextFile(library),
      "input.js": JSON.stringify({
        api: world().stack.apiUrl,
        key: world().stack.publishableKey,
        token: world().publisher.accessToken,
        begin: await declare(world(), archive, { app_id: appId }),
        archive: Buffer.from(archive.buffer).toString("base64"),
      }),
    });
    assertEquals(result.error, undefined);
    assertEquals(result.outcomes, ["interrupted", "done"]);
    assertEquals(result.requests, ["POST 201", "PATCH 204", "HEAD 200", "PATCH 204"]);
    assertEquals([result.completed.status, result.completed.body.upload?.status], [
      200,
      "completed",
    ]);
    assertEquals(await objectNames(world(), appId), [`app_${appId}/1.0.0/app.zip`]);
  },
});
