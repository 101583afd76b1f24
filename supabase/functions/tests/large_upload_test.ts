/** The largest file, and one byte more; the function's memory does not grow with it. */
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { createHash } from "node:crypto";
import zlib from "node:zlib";
import { buildArchive } from "./archives.ts";
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
/** The platform ends a function's process at this much. */
const PROCESS_LIMIT = 256 * MIB;
/** What files of full size may add to the peak that files of an eighth of it have reached: not even one of them. */
const GROWTH_LIMIT = LIMIT;

/** Bytes that do not compress, the same each time. */
function noise(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

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
        method: 0,
      }],
    });
  const overhead = build(0).length;
  return build(method === 0 ? size - overhead : Math.floor((size - overhead) * 0.999));
}

/** Peak resident memory of the process that serves uploads, in bytes. */
async function peakMemory(): Promise<number> {
  // Elsewhere nobody tells; what is asserted of the files holds all the same.
  if (Deno.build.os !== "linux") return 0;
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const [command, status] = await Promise.all([
      Deno.readTextFile(`/proc/${name}/cmdline`),
      Deno.readTextFile(`/proc/${name}/status`),
    ]).catch(() => ["", ""]);
    if (!command.includes("/uploads/index.ts") || !status.includes(`PPid:\t${Deno.pid}\n`)) {
      continue;
    }
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) * 1024;
  }
  throw new Error("The process that serves uploads was not found.");
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
  const json = new Uint8Array(size).fill(0x20);
  json.set(new TextEncoder().encode('{"a": 1}'));
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
  for (const file of filesOf(LIMIT / 8)) await publish(file);
  const before = await peakMemory();
  for (const file of filesOf(LIMIT)) {
    await publish(file);
    const peak = await peakMemory();
    const text = `${file[1]}: from ${Math.round(before / MIB)} to ${Math.round(peak / MIB)} MiB`;
    console.log(text);
    assert(peak < PROCESS_LIMIT && peak - before < GROWTH_LIMIT, text);
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
