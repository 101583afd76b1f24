import { assertEquals, assertMatch } from "../../../testing/assert.ts";
import { answer, call, makeBucket, seed, server, test, withServer } from "./harness.ts";

withServer();

const HELLO_MD5 = '"5d41402abc4b2a76b9719d911017c592"';
const NO_BUCKET = {
  status: 400,
  body: {
    statusCode: "404",
    error: "Bucket not found",
    message: "Bucket not found",
    code: "NoSuchBucket",
  },
};
const NO_OBJECT = {
  status: 400,
  body: { statusCode: "404", error: "not_found", message: "Object not found", code: "NoSuchKey" },
};

/** A bucket with the file `a.txt`, whose content is "hello". */
async function helloBucket(options: { public?: boolean } = {}): Promise<string> {
  const bucket = await makeBucket(options);
  const { error } = await server().service.storage.from(bucket).upload("a.txt", "hello", {
    contentType: "text/plain",
    cacheControl: "60",
    metadata: { someKey: "some value" },
  });
  if (error) throw error;
  return bucket;
}

/** The headers that say something of the file. */
function told(response: Response): Record<string, string> {
  return Object.fromEntries(
    [...response.headers].filter(([name]) => !["date", "vary", "keep-alive"].includes(name)),
  );
}

test("a file comes with its validators, caching and robots tag", async () => {
  const bucket = await helloBucket();
  const response = await call("GET", `/object/${bucket}/a.txt`);
  assertEquals(response.status, 200);
  const { "last-modified": lastModified, ...headers } = told(response);
  assertMatch(lastModified, /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
  assertEquals(headers, {
    "accept-ranges": "bytes",
    "cache-control": "max-age=60",
    "content-length": "5",
    "content-type": "text/plain",
    etag: HELLO_MD5,
    "x-robots-tag": "none",
  });
  assertEquals(await response.text(), "hello");
  const { data } = await server().service.storage.from(bucket).download("a.txt");
  assertEquals(await data?.text(), "hello");
});

test("a stream can be downloaded too", async () => {
  const bucket = await helloBucket();
  const { data } = await server().service.storage.from(bucket).download("a.txt").asStream();
  assertEquals(await new Response(data).text(), "hello");
});

test("HTML is served as text", async () => {
  const bucket = await makeBucket();
  await server().service.storage.from(bucket).upload("a.html", "<b>", { contentType: "text/html" });
  const response = await call("GET", `/object/${bucket}/a.html`);
  assertEquals(response.headers.get("content-type"), "text/plain");
  await response.body?.cancel();
});

test("a range is answered with its part", async () => {
  const bucket = await helloBucket();
  const part = async (range: string) => {
    const response = await call("GET", `/object/${bucket}/a.txt`, { headers: { range } });
    const { headers } = response;
    return [
      response.status,
      headers.get("content-range"),
      headers.get("content-length"),
      await response.text(),
    ];
  };
  assertEquals(await part("bytes=1-3"), [206, "bytes 1-3/5", "3", "ell"]);
  assertEquals(await part("bytes=3-"), [206, "bytes 3-4/5", "2", "lo"]);
  assertEquals(await part("bytes=-2"), [206, "bytes 3-4/5", "2", "lo"]);
  assertEquals(await part("bytes=0-99"), [206, "bytes 0-4/5", "5", "hello"]);
});

test("a range outside the file is a 416", async () => {
  const bucket = await helloBucket();
  for (const range of ["bytes=5-", "bytes=x", "bytes=3-1"]) {
    const refused = answer(call("GET", `/object/${bucket}/a.txt`, { headers: { range } }));
    assertEquals(await refused, {
      status: 416,
      body: {
        statusCode: "416",
        error: "invalid_range",
        message: "invalid range provided",
        code: "InvalidRange",
      },
    });
  }
});

test("what the client has already is not sent again", async () => {
  const bucket = await helloBucket();
  const ask = async (headers: HeadersInit) => {
    const response = await call("GET", `/object/${bucket}/a.txt`, { headers });
    return [response.status, await response.text(), response.headers.get("cache-control")];
  };
  const first = await call("GET", `/object/${bucket}/a.txt`);
  await first.body?.cancel();
  const lastModified = first.headers.get("last-modified")!;
  const earlier = new Date(Date.parse(lastModified) - 1000).toUTCString();
  assertEquals(await ask({ "if-none-match": HELLO_MD5 }), [304, "", "max-age=60"]);
  assertEquals(await ask({ "if-modified-since": lastModified }), [304, "", "max-age=60"]);
  assertEquals(await ask({ "if-modified-since": earlier }), [200, "hello", "max-age=60"]);
  assertEquals(await ask({ "if-none-match": '"other"', "if-modified-since": lastModified }), [
    200,
    "hello",
    "max-age=60, stale-while-revalidate=30",
  ]);
});

test("download names the file to save", async () => {
  const bucket = await helloBucket({ public: true });
  const disposition = async (query: string) => {
    const response = await call("GET", `/object/public/${bucket}/a.txt?${query}`, { token: null });
    await response.body?.cancel();
    return response.headers.get("content-disposition");
  };
  assertEquals(await disposition(""), null);
  assertEquals(await disposition("download"), "attachment;");
  assertEquals(
    await disposition("download=r%C3%A9sum%C3%A9 1.txt"),
    "attachment; filename=r%C3%A9sum%C3%A9%201.txt; filename*=UTF-8''r%C3%A9sum%C3%A9%201.txt",
  );
  const { data } = server().service.storage.from(bucket).getPublicUrl("a.txt", { download: "b" });
  const response = await fetch(data.publicUrl);
  await response.body?.cancel();
  assertEquals(
    response.headers.get("content-disposition"),
    "attachment; filename=b; filename*=UTF-8''b",
  );
});

test("public buckets are read by everyone on every way, private ones by nobody without a right", async () => {
  const open = await helloBucket({ public: true });
  const closed = await helloBucket();
  const user = await server().user();
  const read = async (path: string, token: string | null) => {
    const response = await call("GET", path, { token });
    return response.ok
      ? await response.text()
      : { status: response.status, body: await response.json() };
  };
  assertEquals(await read(`/object/public/${open}/a.txt`, null), "hello");
  assertEquals(await read(`/object/${open}/a.txt`, null), "hello");
  assertEquals(await read(`/object/${open}/a.txt`, "nonsense"), "hello");
  assertEquals(await read(`/object/authenticated/${open}/a.txt`, user.token), "hello");

  assertEquals(await read(`/object/public/${closed}/a.txt`, null), NO_BUCKET);
  assertEquals(await read(`/object/public/${closed}/a.txt`, server().serviceToken), NO_BUCKET);
  assertEquals(await read(`/object/${closed}/a.txt`, null), NO_BUCKET);
  assertEquals(await read(`/object/${closed}/a.txt`, "nonsense"), NO_BUCKET);
  assertEquals(await read(`/object/${closed}/a.txt`, server().anonToken), NO_OBJECT);
  assertEquals(await read(`/object/authenticated/${closed}/a.txt`, user.token), NO_OBJECT);
  assertEquals(await read(`/object/authenticated/${closed}/a.txt`, server().serviceToken), "hello");
  const { status, body } = await answer(
    call("GET", `/object/authenticated/${closed}/a.txt`, { token: null }),
  );
  assertEquals(
    [status, (body as { message: string }).message],
    [400, "headers must have required property 'authorization'"],
  );
});

test("missing objects and buckets are not found", async () => {
  const bucket = await makeBucket();
  assertEquals(await answer(call("GET", `/object/${bucket}/missing`)), NO_OBJECT);
  assertEquals(await answer(call("GET", `/object/info/${bucket}/missing`)), NO_OBJECT);
  assertEquals(await answer(call("GET", "/object/no-such-bucket/a")), NO_BUCKET);
  assertEquals((await answer(call("GET", `/object/${bucket}/%C3%A4`))).body, {
    statusCode: "400",
    error: "InvalidKey",
    message: "Invalid key: ä",
    code: "InvalidKey",
  });
});

test("a row whose file is gone is told so, and not cached", async () => {
  const bucket = await makeBucket();
  await server().sql(
    "insert into storage.objects (bucket_id, name, version) values ($1, 'ghost', 'v')",
    [bucket],
  );
  const response = await call("GET", `/object/${bucket}/ghost`);
  assertEquals(response.status, 400);
  assertEquals(response.headers.get("cache-control"), "no-store");
  assertEquals(await response.json(), {
    statusCode: "404",
    error: "Not found",
    message: "The resource was not found",
    code: "NoSuchKey",
  });
});

test("HEAD tells what GET would send", async () => {
  const bucket = await helloBucket();
  const open = await helloBucket({ public: true });
  for (
    const [path, token] of [
      [`/object/${bucket}/a.txt`, server().serviceToken],
      [`/object/authenticated/${bucket}/a.txt`, server().serviceToken],
      [`/object/${open}/a.txt`, null],
      [`/object/public/${open}/a.txt`, null],
    ] as const
  ) {
    const response = await call("HEAD", path, { token });
    assertEquals(response.status, 200, path);
    const { "last-modified": lastModified, ...headers } = told(response);
    assertMatch(lastModified, /GMT$/);
    assertEquals(headers, {
      "accept-ranges": "bytes",
      "cache-control": "max-age=60",
      "content-length": "5",
      "content-type": "text/plain",
      etag: HELLO_MD5,
      "x-robots-tag": "none",
    }, path);
    assertEquals(await response.text(), "");
  }
  const user = await server().user();
  assertEquals((await call("HEAD", `/object/${bucket}/a.txt`, { token: user.token })).status, 400);
  assertEquals((await call("HEAD", `/object/${bucket}/a.txt`, { token: null })).status, 400);
  assertEquals(
    (await call("HEAD", `/object/authenticated/${open}/a.txt`, { token: null })).status,
    400,
  );
});

test("info describes the object", async () => {
  const bucket = await helloBucket();
  const [stored] = await server().sql<{ id: string; version: string; updated_at: Date }>(
    "select id, version, updated_at from storage.objects where bucket_id = $1",
    [bucket],
  );
  const response = await call("GET", `/object/info/${bucket}/a.txt`);
  assertEquals(response.headers.get("etag"), HELLO_MD5);
  assertEquals(response.headers.get("cache-control"), "max-age=60");
  assertEquals(await response.json(), {
    id: stored.id,
    name: "a.txt",
    version: stored.version,
    bucket_id: bucket,
    size: 5,
    content_type: "text/plain",
    cache_control: "max-age=60",
    etag: HELLO_MD5,
    metadata: { someKey: "some value" },
    last_modified: stored.updated_at.toISOString(),
    created_at: stored.updated_at.toISOString(),
  });
  const { data } = await server().service.storage.from(bucket).info("a.txt");
  assertEquals([data?.id, data?.size, data?.bucketId], [stored.id, 5, bucket]);
});

test("info is given on the public way for public buckets only", async () => {
  const open = await helloBucket({ public: true });
  const closed = await helloBucket();
  const info = (way: string, bucket: string, token: string | null) =>
    answer(call("GET", `/object/info${way}/${bucket}/a.txt`, { token }));
  assertEquals((await info("/public", open, null)).status, 200);
  assertEquals((await info("", open, null)).status, 200);
  assertEquals((await info("/authenticated", closed, server().serviceToken)).status, 200);
  assertEquals(await info("/public", closed, null), NO_BUCKET);
  assertEquals(await info("", closed, server().anonToken), NO_OBJECT);
});

test("exists says yes, no, or why it cannot say", async () => {
  const bucket = await helloBucket();
  const files = server().service.storage.from(bucket);
  assertEquals(await files.exists("a.txt"), { data: true, error: null });
  const missing = await files.exists("missing");
  assertEquals([missing.data, missing.error?.message], [false, "Object not found"]);
  const refused = await server().service.storage.from("no-such-bucket").exists("a").catch((e) => e);
  assertEquals(refused.message, "Bucket not found");
});

test("transformed images are not to be had, as on a server without image transformation", async () => {
  const bucket = await helloBucket({ public: true });
  const files = server().service.storage.from(bucket);
  const { error } = await files.download("a.txt", { transform: { width: 10 } });
  assertEquals(
    error?.message,
    `Route GET:/render/image/authenticated/${bucket}/a.txt?width=10 not found`,
  );
  const { data } = files.getPublicUrl("a.txt", { transform: { width: 10 } });
  const response = await fetch(data.publicUrl);
  assertEquals(response.status, 404);
  await response.body?.cancel();
  const signed = await files.createSignedUrl("a.txt", 60, { transform: { width: 10 } });
  assertEquals(await (await fetch(signed.data!.signedUrl)).text(), "hello");
});

test("a reader keeps its version while the object is replaced and removed", async () => {
  const bucket = await makeBucket();
  const content = "x".repeat(3_000_000);
  await seed(bucket, "a", content);
  const response = await call("GET", `/object/${bucket}/a`);
  const files = server().service.storage.from(bucket);
  await files.update("a", "new");
  await files.remove(["a"]);
  assertEquals((await response.text()).length, content.length);
});
