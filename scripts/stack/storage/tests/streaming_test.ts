/** Large files: in constant memory, and without a trace when either side goes away. */
import { assert, assertEquals, assertLess } from "../../../testing/assert.ts";
import { call, makeBucket, server, test, withServer } from "./harness.ts";

const MIB = 1024 * 1024;
const LIMIT = 100 * MIB;
/** What a transfer may add to the process, both of whose ends are in it. */
const MAX_GROWTH = 64 * MIB;
const CHUNK: Uint8Array<ArrayBuffer> = new Uint8Array(64 * 1024).fill(7);

withServer({ fileSizeLimit: LIMIT });

/** `size` bytes that exist only one chunk at a time. */
function content(size: number, before = new Uint8Array(), after = new Uint8Array()) {
  return ReadableStream.from<Uint8Array<ArrayBuffer>>((function* () {
    if (before.length > 0) yield before;
    for (let left = size; left > 0; left -= CHUNK.length) {
      yield left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
    }
    if (after.length > 0) yield after;
  })());
}

async function count(stream: ReadableStream<Uint8Array>): Promise<number> {
  let total = 0;
  for await (const chunk of stream) total += chunk.length;
  return total;
}

/** By how many bytes the process grew at most while this ran, once it had run before: buffers of the runtime stay. */
async function growth(run: () => Promise<void>): Promise<number> {
  await run();
  const start = Deno.memoryUsage().rss;
  let peak = start;
  const timer = setInterval(() => {
    peak = Math.max(peak, Deno.memoryUsage().rss);
  }, 10);
  try {
    await run();
  } finally {
    clearInterval(timer);
  }
  return peak - start;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!await holds()) {
    if (Date.now() > deadline) throw new Error(`Not within ten seconds: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const filesOf = async (bucket: string) =>
  (await server().files()).filter((path) => path.startsWith(`${bucket}/`));

const rowsOf = (bucket: string) =>
  server().sql<{ size: number }>(
    "select (metadata ->> 'size')::int as size from storage.objects where bucket_id = $1",
    [bucket],
  );

test("100 MiB go up and down in constant memory", async () => {
  const bucket = await makeBucket();
  const path = `/object/${bucket}/large`;
  const grown = await growth(async () => {
    const up = await call("PUT", path, { body: content(LIMIT) });
    assertEquals(up.status, 200, await up.text());
    const down = await call("GET", path);
    assertEquals(await count(down.body!), LIMIT);
  });
  assertEquals(await rowsOf(bucket), [{ size: LIMIT }]);
  assertLess(grown, MAX_GROWTH);
});

test("100 MiB in a form go up in constant memory", async () => {
  const bucket = await makeBucket();
  const encode = (text: string) => new TextEncoder().encode(text);
  const head = encode('--b\r\nContent-Disposition: form-data; name=""; filename="f"\r\n\r\n');
  const grown = await growth(async () => {
    const up = await call("PUT", `/object/${bucket}/large`, {
      headers: { "content-type": "multipart/form-data; boundary=b" },
      body: content(LIMIT, head, encode("\r\n--b--\r\n")),
    });
    assertEquals(up.status, 200, await up.text());
  });
  assertEquals(await rowsOf(bucket), [{ size: LIMIT }]);
  assertLess(grown, MAX_GROWTH);
});

test("100 MiB and one byte are refused, announced or not, raw or in a form, and leave nothing", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  const bytes = new Uint8Array(LIMIT + 1);
  const message = "The object exceeded the maximum allowed size";
  for (const body of [bytes, new Blob([bytes]), content(LIMIT + 1)]) {
    const { error } = await files.upload("large", body, { duplex: "half" });
    assertEquals([error?.message, (error as { statusCode?: string }).statusCode], [message, "413"]);
  }
  assertEquals([await filesOf(bucket), await rowsOf(bucket)], [[], []]);
});

test("an upload that its client gives up leaves nothing", async () => {
  for (const type of ["text/plain", "multipart/form-data; boundary=b"]) {
    const bucket = await makeBucket();
    const started = Promise.withResolvers<void>();
    const abort = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        const head = '--b\r\nContent-Disposition: form-data; name=""; filename="f"\r\n\r\n';
        controller.enqueue(new TextEncoder().encode(head));
        for (let index = 0; index < 16; index++) controller.enqueue(CHUNK);
        await started.promise;
        abort.abort();
      },
    });
    const upload = fetch(`${server().url}/object/${bucket}/a`, {
      method: "POST",
      body,
      headers: { "content-type": type, authorization: `Bearer ${server().serviceToken}` },
      signal: abort.signal,
    }).then((response) => response.body?.cancel(), () => "aborted");
    await until("the upload has begun", async () => (await filesOf(bucket)).length === 1);
    started.resolve();
    assertEquals(await upload, "aborted");
    await until("the file is gone", async () => (await filesOf(bucket)).length === 0);
    assertEquals(await rowsOf(bucket), []);
  }
});

test("a download that its client gives up closes the file", async () => {
  const bucket = await makeBucket();
  const up = await call("POST", `/object/${bucket}/large`, { body: content(32 * MIB) });
  await up.body?.cancel();
  const response = await call("GET", `/object/${bucket}/large`);
  const reader = response.body!.getReader();
  await reader.read();
  if (Deno.build.os === "linux") assert((await openFiles(bucket)) > 0);
  await reader.cancel();
  if (Deno.build.os === "linux") {
    await until("the file is closed", async () => (await openFiles(bucket)) === 0);
  }
  const again = await call("GET", `/object/${bucket}/large`);
  assertEquals(await count(again.body!), 32 * MIB);
});

/** How many of the bucket's files this process has open. */
async function openFiles(bucket: string): Promise<number> {
  let open = 0;
  for await (const entry of Deno.readDir("/proc/self/fd")) {
    const target = await Deno.readLink(`/proc/self/fd/${entry.name}`).catch(() => "");
    if (target.includes(bucket)) open++;
  }
  return open;
}
