/** The largest file, and one byte more; the function's memory does not grow with it. */
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { createHash } from "node:crypto";
import zlib from "node:zlib";
import { buildArchive, noise } from "./archives.ts";
import { cpuSeconds, peakMemory } from "./process.ts";
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

const MIB = 1024 * 1024;
const LIMIT = 100 * MIB;
/** What verifying any file may add to the memory of the idle process; the platform ends a process at 256 MB in all. */
const GROWTH_LIMIT = 64 * MIB;
/** The platform ends a request that took this much of the processor, in seconds. */
const CPU_LIMIT = 2;

const checksum = (bytes: Uint8Array) =>
  "sha256:" + createHash("sha256").update(bytes).digest("hex");

/** A zip of this many bytes: exactly, if it only stores; a little less, since noise does not grow much by deflating. */
function zipOf(size: number, method: 0 | 8): Uint8Array<ArrayBuffer> {
  const head = [{ name: "manifest.json", manifest: true as const }, {
    name: "index.js",
    text: "1",
  }];
  const build = (padding: number) =>
    buildArchive({
      format: "zip",
      entries: [...head, {
        name: "data.bin",
        bytes: noise(padding),
        method,
      }],
    });
  const overhead = build(0).length;
  return build(method === 0 ? size - overhead : Math.floor((size - overhead) * 0.999));
}

function tarOf(size: number): Uint8Array<ArrayBuffer> {
  const tar = new Uint8Array(size);
  // What is left after a tar's end is padding.
  tar.set(buildArchive({
    format: "tar",
    entries: [
      { name: "manifest.json", manifest: true },
      { name: "index.js", text: "1" },
      { name: "data.bin", bytes: noise(size - 16 * 1024) },
    ],
  }));
  return tar;
}

/** Files of each kind that is read in its own way, of about this size; those that can be have exactly it. */
function* filesOf(size: number) {
  // As much to look at as JSON can have: [1,1,1,…].
  const json = new Uint8Array(size);
  for (let index = 0; index < size; index++) json[index] = index % 2 === 0 ? 0x2c : 0x31;
  json[0] = 0x5b;
  json.fill(0x20, size - 2);
  json[size - 1] = 0x5d;
  yield [zipOf(size, 0), "stored.zip", "source", "application/zip"] as const;
  yield [zipOf(size, 8), "deflated.zip", "source", "application/zip"] as const;
  yield [tarOf(size), "app.tar", "source", "application/x-tar"] as const;
  const packed = new Uint8Array(zlib.gzipSync(tarOf(Math.floor(size * 0.85)), { level: 1 }));
  yield [packed, "app.tar.gz", "source", "application/gzip"] as const;
  yield [json, "data.json", "asset", "application/json"] as const;
  yield [noise(size), "data.bin", "asset", "application/octet-stream"] as const;
}

test("100 MiB are accepted, whatever they are, in memory that does not grow with them", async () => {
  const publish = async ([bytes, file_name, file_type, content_type]: Yielded) => {
    const appId = await createApp(world().publisher, world().companyId);
    const begin = {
      app_id: appId,
      version: "1.0.0",
      file_name,
      file_type,
      content_type,
      file_size: bytes.length,
      checksum: checksum(bytes),
    };
    const answer = await upload(world(), world().publisher, begin, new Blob([bytes]));
    assertEquals(answer.status, 200, `${file_name}: ${JSON.stringify(answer.body)}`);
    assertEquals((await fileRows(world(), appId))[0].file_size, bytes.length);
  };
  const nothing = crypto.randomUUID();
  const asked = await call(world(), world().publisher, `uploads/${nothing}`, { method: "GET" });
  assertEquals(asked.status, 404);
  const idle = await peakMemory("uploads");
  for (const file of filesOf(LIMIT)) {
    const before = await cpuSeconds("uploads");
    await publish(file);
    const seconds = await cpuSeconds("uploads") - before;
    const grown = await peakMemory("uploads") - idle;
    const text = `${file[1]}: ${Math.round(grown / MIB)} MiB above the idle process, ` +
      `${seconds.toFixed(2)} s of processor time`;
    console.log(text);
    assert(grown < GROWTH_LIMIT && seconds < CPU_LIMIT, text);
  }
});

type Yielded = ReturnType<typeof filesOf> extends Generator<infer T> ? T : never;

test("one byte more is refused: when declared, and when sent all the same", async () => {
  const appId = await createApp(world().publisher, world().companyId);
  const bytes = noise(LIMIT + 1);
  const begin = await declare(world(), bytes.slice(0, LIMIT), {
    app_id: appId,
    file_name: "data.bin",
    file_type: "asset",
    content_type: "application/octet-stream",
  });
  const declared = await call(world(), world().publisher, "uploads", {
    json: { ...begin, file_size: LIMIT + 1 },
  });
  assertEquals([declared.status, declared.body.code], [413, "file_too_large"]);
  const begun = await call(world(), world().publisher, "uploads", { json: begin });
  const sent = await fetch(begun.body.signed_url, {
    method: "PUT",
    headers: { "content-type": begin.content_type },
    body: new Blob([bytes]),
  });
  const refusal = await sent.json();
  assertEquals([sent.ok, refusal.statusCode], [false, "413"]);
  assertEquals(await objectNames(world(), appId), []);
  const early = await call(world(), world().publisher, `uploads/${begun.body.upload.id}/complete`);
  assertEquals(early.body.code, "upload_not_received");
  await send(begun, new Blob([bytes.slice(0, LIMIT)]), begin.content_type);
  assertEquals(
    (await call(world(), world().publisher, `uploads/${begun.body.upload.id}/complete`)).status,
    200,
  );
});
