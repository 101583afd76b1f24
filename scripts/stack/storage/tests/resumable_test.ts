/** Resumable uploads: the protocol's requests one by one, and a client that people use. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { DetailedError, Upload } from "tus-js-client";
import { assert, assertEquals, assertInstanceOf, assertMatch } from "../../../testing/assert.ts";
import { call, FILE_SIZE_LIMIT, makeBucket, server, test, withServer } from "./harness.ts";

withServer();

const PATH = "/upload/resumable";
const CHUNK = "application/offset+octet-stream";
const VERSION = { "tus-resumable": "1.0.0" };

function encode(metadata: Record<string, string>): string {
  return Object.entries(metadata).map(([key, value]) =>
    `${key} ${Buffer.from(value).toString("base64")}`
  ).join(",");
}

interface Creation {
  bucket: string;
  name?: string;
  size?: number;
  metadata?: Record<string, string>;
  headers?: Record<string, string>;
  token?: string | null;
  path?: string;
  body?: BodyInit;
}

/** The answer to the request that begins an upload. */
function create(
  { bucket, name = "a.txt", size = 5, metadata = {}, headers = {}, token, path = PATH, body }:
    Creation,
): Promise<Response> {
  return call("POST", path, {
    token,
    body,
    headers: {
      ...VERSION,
      "upload-length": String(size),
      "upload-metadata": encode({ bucketName: bucket, objectName: name, ...metadata }),
      ...headers,
    },
  });
}

/** A new upload, by the path that follows the API's. */
async function begin(creation: Creation): Promise<string> {
  const response = await create(creation);
  assertEquals([response.status, await response.text()], [201, ""]);
  return response.headers.get("location")!.slice(server().url.length);
}

function patch(
  path: string,
  offset: number | null,
  body: BodyInit,
  { headers = {}, token }: { headers?: Record<string, string>; token?: string | null } = {},
): Promise<Response> {
  return call("PATCH", path, {
    token,
    body,
    headers: {
      ...VERSION,
      "content-type": CHUNK,
      ...(offset !== null && { "upload-offset": String(offset) }),
      ...headers,
    },
  });
}

const head = (path: string, token?: string) => call("HEAD", path, { token, headers: VERSION });

async function refusal(response: Promise<Response>): Promise<[number, string]> {
  const { status, text } = await response.then(async (r) => ({
    status: r.status,
    text: await r.text(),
  }));
  return [status, text];
}

async function offsetOf(path: string): Promise<number> {
  const response = await head(path);
  assertEquals(response.status, 200);
  return Number(response.headers.get("upload-offset"));
}

async function rowOf(bucket: string, name = "a.txt") {
  const [row] = await server().sql<
    { metadata: Record<string, unknown>; user_metadata: unknown; owner_id: string | null }
  >("select * from storage.objects where bucket_id = $1 and name = $2", [bucket, name]);
  return row;
}

async function textOf(bucket: string, name = "a.txt"): Promise<string | undefined> {
  return await (await server().service.storage.from(bucket).download(name)).data?.text();
}

const unfinished = async () =>
  (await server().files()).filter((path) => path.startsWith("%resumable/"));

test("the protocol's options are told to whoever asks", async () => {
  const response = await call("OPTIONS", PATH, { token: null });
  assertEquals([response.status, await response.text()], [204, ""]);
  const { headers } = response;
  assertEquals([headers.get("tus-version"), headers.get("tus-max-size")], [
    "1.0.0",
    String(FILE_SIZE_LIMIT),
  ]);
  assertEquals(
    headers.get("tus-extension"),
    "creation,creation-with-upload,creation-defer-length,termination,expiration",
  );
  assertEquals(headers.get("access-control-allow-methods"), "POST, HEAD, PATCH, OPTIONS, DELETE");
  assertMatch(headers.get("access-control-allow-headers")!, /Upload-Offset.*X-Upsert.*x-signature/);
});

test("a resumable upload is created, told about, continued and becomes an object", async () => {
  const bucket = await makeBucket();
  const metadata = {
    contentType: "text/plain",
    cacheControl: "3600",
    metadata: JSON.stringify({ test: "yes" }),
  };
  const created = await create({ bucket, metadata });
  assertEquals([created.status, await created.text()], [201, ""]);
  const location = created.headers.get("location")!;
  const path = location.slice(server().url.length);
  const [, id] = /^\/upload\/resumable\/([\w-]+)$/.exec(path)!;
  assertMatch(
    Buffer.from(id, "base64url").toString(),
    new RegExp(`^${bucket}/a\\.txt/[0-9a-f-]{36}$`),
  );
  assertEquals(created.headers.get("tus-resumable"), "1.0.0");
  const expires = Date.parse(created.headers.get("upload-expires")!);
  assert(expires > Date.now() + 23 * 3600_000 && expires <= Date.now() + 24 * 3600_000);

  const first = await patch(path, 0, "ab");
  assertEquals([first.status, first.headers.get("upload-offset")], [204, "2"]);
  assert(first.headers.has("upload-expires"));
  assertEquals(await rowOf(bucket), undefined);
  const told = await head(path);
  assertEquals([told.status, await told.text()], [200, ""]);
  assertEquals(
    ["upload-offset", "upload-length", "cache-control", "upload-metadata"].map((name) =>
      told.headers.get(name)
    ),
    [
      "2",
      "5",
      "no-store",
      encode({
        bucketName: bucket,
        objectName: "a.txt",
        ...metadata,
        cacheControl: "max-age=3600",
      }),
    ],
  );

  const last = await patch(path, 2, "cde");
  assertEquals([last.status, last.headers.get("upload-offset")], [204, "5"]);
  assertEquals([last.headers.get("tus-complete"), last.headers.get("upload-expires")], ["1", null]);
  assertEquals(await textOf(bucket), "abcde");
  const row = await rowOf(bucket);
  assertEquals(row.user_metadata, { test: "yes" });
  const { lastModified, ...rest } = row.metadata;
  assertEquals(typeof lastModified, "string");
  assertEquals(rest, {
    eTag: `"${createHash("md5").update("abcde").digest("hex")}"`,
    size: 5,
    mimetype: "text/plain",
    cacheControl: "max-age=3600",
    contentLength: 5,
    httpStatusCode: 200,
  });
  // A client that missed the last answer asks, and learns that it is done.
  assertEquals(await offsetOf(path), 5);
  const upsert = { headers: { "x-upsert": "true" } };
  assertEquals((await patch(path, 5, "", upsert)).status, 204);
  assertEquals(await refusal(patch(path, 5, "f", upsert)), [413, "upload's size exceeded\n"]);
  // Whether one may is asked again with each request.
  assertEquals(await refusal(patch(path, 5, "")), [409, "The resource already exists"]);
});

test("a resumable upload brings its first bytes, or all, along", async () => {
  const bucket = await makeBucket();
  const some = await create({ bucket, headers: { "content-type": CHUNK }, body: "abc" });
  assertEquals([some.status, some.headers.get("upload-offset")], [201, "3"]);
  const all = await create({
    bucket,
    name: "b.txt",
    headers: { "content-type": CHUNK },
    body: "abcde",
  });
  assertEquals(
    ["upload-offset", "tus-complete", "upload-expires"].map((name) => all.headers.get(name)),
    ["5", "1", null],
  );
  assertEquals(await textOf(bucket, "b.txt"), "abcde");
  const { mimetype, cacheControl } = (await rowOf(bucket, "b.txt")).metadata;
  assertEquals([mimetype, cacheControl], ["application/octet-stream", "no-cache"]);
  const empty = await create({ bucket, name: "empty", size: 0 });
  assertEquals([empty.status, await textOf(bucket, "empty")], [201, ""]);
});

test("a resumable upload may tell its length later", async () => {
  const bucket = await makeBucket({ fileSizeLimit: 6 });
  const created = await call("POST", PATH, {
    headers: {
      ...VERSION,
      "upload-defer-length": "1",
      "upload-metadata": encode({ bucketName: bucket, objectName: "a.txt" }),
    },
  });
  assertEquals(created.status, 201);
  const path = created.headers.get("location")!.slice(server().url.length);
  await patch(path, 0, "abc");
  assertEquals((await head(path)).headers.get("upload-defer-length"), "1");
  const length = (size: number) => ({ headers: { "upload-length": String(size) } });
  assertEquals(await refusal(patch(path, 3, "", length(7))), [413, "Maximum size exceeded\n"]);
  const short = "Upload-Length or Upload-Defer-Length header required\n";
  assertEquals(await refusal(patch(path, 3, "", length(2))), [400, short]);
  assertEquals((await patch(path, 3, "de", length(5))).headers.get("tus-complete"), "1");
  assertEquals(await textOf(bucket), "abcde");
});

test("a resumable upload's requests are refused in the protocol's words", async () => {
  const bucket = await makeBucket();
  const path = await begin({ bucket });
  const without = await call("POST", PATH, { headers: { "upload-length": "5" } });
  assertEquals([without.status, await without.text()], [412, "Tus-Resumable Required\n"]);
  const cases: [Promise<Response>, number, string][] = [
    [create({ bucket, headers: { "tus-resumable": "0.2.2" } }), 400, "Invalid tus-resumable\n"],
    [create({ bucket, headers: { "upload-length": "-1" } }), 400, "Invalid upload-length\n"],
    [create({ bucket, headers: { "upload-metadata": "a ä" } }), 400, "Invalid upload-metadata\n"],
    [
      create({ bucket, headers: { "upload-defer-length": "1" } }),
      400,
      "Upload-Length or Upload-Defer-Length header required\n",
    ],
    [
      call("POST", PATH, { headers: { ...VERSION, "upload-length": "5" } }),
      400,
      "Metadata header is required",
    ],
    [
      create({ bucket, headers: { "upload-concat": "partial" } }),
      501,
      "Concatenation extension is not (yet) supported. Disable parallel uploads in the tus client.\n",
    ],
    [create({ bucket, name: "ü" }), 400, "Invalid key: ü"],
    [create({ bucket, name: "" }), 400, "Invalid key: "],
    [create({ bucket: "a/b" }), 400, "Bucket name invalid"],
    [create({ bucket: "nothing" }), 404, "Bucket not found"],
    [patch(path, null, "abc"), 403, "Upload-Offset header required\n"],
    [patch(path, 1, "bcde"), 409, "Upload-Offset conflict\n"],
    [
      patch(path, 0, "abc", { headers: { "content-type": "text/plain" } }),
      400,
      "Invalid content-type\n",
    ],
    [patch(path, 0, "abcdef"), 413, "upload's size exceeded\n"],
    [patch(PATH + "/", 0, "abc"), 404, "The file for this url was not found\n"],
  ];
  for (const [response, status, text] of cases) {
    assertEquals(await refusal(response), [status, text]);
  }
  const unknown = Buffer.from(`${bucket}/a.txt/${crypto.randomUUID()}`).toString("base64url");
  assertEquals(await refusal(patch(`${PATH}/${unknown}`, 0, "abc")), [
    404,
    "The file for this url was not found\n",
  ]);
  assertEquals((await head(`${PATH}/${unknown}`)).status, 404);
  const stranger = Buffer.from(
    Buffer.from(path.split("/").at(-1)!, "base64url").toString().replace("a.txt", "b.txt"),
  ).toString("base64url");
  assertEquals((await head(`${PATH}/${stranger}`)).status, 404);
  assertEquals(await offsetOf(path), 0);
});

test("a resumable upload is held to the bucket's limits", async () => {
  const bucket = await makeBucket({ fileSizeLimit: 10, allowedMimeTypes: ["text/plain"] });
  const max = "Maximum size exceeded\n";
  assertEquals(await refusal(create({ bucket, size: 11 })), [413, max]);
  assertEquals(await refusal(create({ bucket, size: FILE_SIZE_LIMIT + 1 })), [413, max]);
  assertEquals(await refusal(create({ bucket, metadata: { contentType: "image/png" } })), [
    415,
    "mime type image/png is not supported",
  ]);
  const path = await begin({ bucket, size: 10, metadata: { contentType: "text/plain" } });
  // Of unannounced length, so that only counting tells.
  const endless = () => ReadableStream.from([Buffer.from("0123456"), Buffer.from("789abc")]);
  assertEquals(await refusal(patch(path, 0, endless())), [413, max]);
  // What had come until then, and fitted, is there.
  assertEquals(await offsetOf(path), 10);
});

test("row security decides who begins a resumable upload, and who replaces", async () => {
  const bucket = await makeBucket();
  const { token, id } = await server().user();
  const policy = (name: string, command: string, clause: string) =>
    server().sql(
      `create policy "${name}" on storage.objects for ${command} to authenticated ${clause}`,
    );
  const denied = [403, "new row violates row-level security policy"] as [number, string];
  assertEquals(await refusal(create({ bucket, token })), denied);
  await policy(
    "Inserts small texts",
    "insert",
    `with check (bucket_id = '${bucket}' and owner_id = '${id}' and metadata ->> 'mimetype' = 'text/plain'
      and (metadata ->> 'contentLength')::integer <= 5 and user_metadata ->> 'kind' = 'note')`,
  );
  const metadata = { contentType: "text/plain", metadata: '{"kind": "note"}' };
  assertEquals(await refusal(create({ bucket, token, size: 6, metadata })), denied);
  const path = await begin({ bucket, token, metadata });
  const upsert = { "x-upsert": "true" };
  assertEquals(await refusal(create({ bucket, token, metadata, headers: upsert })), denied);
  await policy("Reads", "select", `using (bucket_id = '${bucket}')`);
  await begin({ bucket, token, metadata, headers: upsert });

  const other = await server().user();
  assertEquals(await refusal(patch(path, 0, "abcde", { token: other.token })), denied);
  const foreign = await call("DELETE", path, { token: other.token, headers: VERSION });
  assertEquals([foreign.status, await foreign.text()], denied);
  assertEquals((await patch(path, 0, "abcde", { token })).status, 204);
  assertEquals((await rowOf(bucket)).owner_id, id);
  // It is there now: creating is refused, and so is replacing without the right to update.
  assertEquals(await refusal(create({ bucket, token, metadata })), [
    409,
    "The resource already exists",
  ]);
  assertEquals(await refusal(create({ bucket, token, metadata, headers: upsert })), denied);
  for (const name of ["Inserts small texts", "Reads"]) {
    await server().sql(`drop policy "${name}" on storage.objects`);
  }
});

test("a resumable upload needs a token", async () => {
  const bucket = await makeBucket();
  for (const token of [null, "nonsense"]) {
    const response = await create({ bucket, token });
    const { statusCode, code } = await response.json();
    assertEquals([response.status, statusCode, code], [400, "403", "AccessDenied"]);
  }
});

test("a signed resumable upload needs nothing but its token", async () => {
  const bucket = await makeBucket();
  const { data, error } = await server().service.storage.from(bucket).createSignedUploadUrl(
    "a.txt",
  );
  assertEquals(error, null);
  const signed = { "x-signature": data!.token };
  const path = `${PATH}/sign`;
  const options = { bucket, path, token: null };
  assertEquals(await refusal(create(options)), [400, "Missing x-signature header"]);
  assertEquals(await refusal(create({ ...options, headers: { "x-signature": "invalid" } })), [
    400,
    "Invalid Compact JWS",
  ]);
  assertEquals(await refusal(create({ ...options, name: "b.txt", headers: signed })), [
    400,
    "Invalid signature",
  ]);
  const reading = await server().service.storage.from(bucket).createSignedUrls(["a.txt"], 60);
  assertEquals(reading.error, null);

  const location = await begin({ ...options, headers: signed });
  assertMatch(location, /^\/upload\/resumable\/sign\/[\w-]+$/);
  assertEquals(await refusal(patch(location, 0, "abc", { token: null })), [
    400,
    "Missing x-signature header",
  ]);
  assertEquals((await call("HEAD", location, { token: null, headers: VERSION })).status, 400);
  assertEquals((await patch(location, 0, "abc", { token: null, headers: signed })).status, 204);
  const told = await call("HEAD", location, { token: null, headers: { ...VERSION, ...signed } });
  assertEquals(told.headers.get("upload-offset"), "3");
  assertEquals((await patch(location, 3, "de", { token: null, headers: signed })).status, 204);
  assertEquals(await textOf(bucket), "abcde");
});

test("a resumable upload is given up as long as it is unfinished", async () => {
  const bucket = await makeBucket();
  const before = await unfinished();
  const path = await begin({ bucket });
  assertEquals((await unfinished()).length, before.length + 2);
  const gone = await call("DELETE", path, { headers: VERSION });
  assertEquals([gone.status, await gone.text()], [204, ""]);
  assertEquals(await unfinished(), before);
  assertEquals((await head(path)).status, 404);

  const finished = await begin({ bucket });
  await patch(finished, 0, "abcde");
  const upsert = { ...VERSION, "x-upsert": "true" };
  assertEquals(await refusal(call("DELETE", finished, { headers: upsert })), [
    400,
    "Cannot terminate an already completed upload",
  ]);
  assertEquals(await textOf(bucket), "abcde");
});

test("a resumable upload whose time is over is gone", async () => {
  const bucket = await makeBucket();
  const path = await begin({ bucket });
  const [, , version] = Buffer.from(path.split("/").at(-1)!, "base64url").toString().split("/");
  const file = `${server().filesDir}/%resumable/${version}.json`;
  const record = JSON.parse(await Deno.readTextFile(file));
  record.createdAt = new Date(Date.now() - 24 * 3600_000 - 1000).toISOString();
  await Deno.writeTextFile(file, JSON.stringify(record));
  assertEquals((await head(path)).status, 410);
  assertEquals(await refusal(patch(path, 0, "abcde")), [
    410,
    "The file for this url no longer exists\n",
  ]);
});

test("a finished resumable upload replaces what is there and drops its file", async () => {
  const bucket = await makeBucket();
  await server().service.storage.from(bucket).upload("a.txt", "old");
  const path = await begin({ bucket, headers: { "x-upsert": "true" } });
  assertEquals(await textOf(bucket), "old");
  assertEquals(
    (await patch(path, 0, "abcde", { headers: { "x-upsert": "true" } })).status,
    204,
  );
  assertEquals(await textOf(bucket), "abcde");
  const files = (await server().files()).filter((name) => name.startsWith(`${bucket}/`));
  assertEquals(files.length, 1);
});

/** Sends half of an announced body over a connection of its own. */
async function sendHalf(path: string): Promise<Deno.TcpConn> {
  const { hostname, port, pathname } = new URL(server().url + path);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const lines = [
    `PATCH ${pathname} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    `Authorization: Bearer ${server().serviceToken}`,
    "Tus-Resumable: 1.0.0",
    "Upload-Offset: 0",
    `Content-Type: ${CHUNK}`,
    "Content-Length: 5",
    "",
    "ab",
  ];
  await connection.write(new TextEncoder().encode(lines.join("\r\n")));
  return connection;
}

/** Waits until the file on disk has this many bytes. */
async function untilArrived(path: string, bytes: number): Promise<void> {
  const [, , version] = Buffer.from(path.split("/").at(-1)!, "base64url").toString().split("/");
  const deadline = Date.now() + 30_000;
  while ((await Deno.stat(`${server().filesDir}/%resumable/${version}.bin`)).size < bytes) {
    assert(Date.now() < deadline, "the bytes did not arrive");
    await delay(10);
  }
}

test("what came before a connection broke stays, and is continued", async () => {
  const bucket = await makeBucket();
  const path = await begin({ bucket });
  const connection = await sendHalf(path);
  await untilArrived(path, 2);
  connection.close();
  assertEquals(await offsetOf(path), 2);
  assertEquals((await patch(path, 2, "cde")).status, 204);
  assertEquals(await textOf(bucket), "abcde");
});

test("a client that comes back does not wait for its lost connection", async () => {
  const bucket = await makeBucket();
  const path = await begin({ bucket });
  const connection = await sendHalf(path);
  await untilArrived(path, 2);
  // The connection stays open, as one does whose other end lost power.
  assertEquals(await offsetOf(path), 2);
  assertEquals((await patch(path, 2, "cde")).status, 204);
  connection.close();
  assertEquals(await textOf(bucket), "abcde");
});

test("tus-js-client uploads in chunks, is interrupted, and resumes", async () => {
  const bucket = await makeBucket();
  const bytes = Buffer.alloc(FILE_SIZE_LIMIT, "0123456789abcdef-");
  let url: string | null = null;
  const run = (interruptAfter: number) =>
    new Promise<"done" | "interrupted">((resolve, reject) => {
      const upload = new Upload(bytes, {
        endpoint: server().url + PATH,
        uploadUrl: url,
        chunkSize: 1024 * 1024,
        retryDelays: null,
        headers: { authorization: `Bearer ${server().serviceToken}`, "x-upsert": "true" },
        metadata: {
          bucketName: bucket,
          objectName: "large.bin",
          contentType: "application/x-any",
        },
        onChunkComplete: (_size, accepted) => {
          url = upload.url;
          if (accepted >= interruptAfter && accepted < bytes.length) {
            upload.abort().then(() => resolve("interrupted"), reject);
          }
        },
        onSuccess: () => resolve("done"),
        onError: reject,
      });
      upload.start();
    });
  assertEquals(await run(2 * 1024 * 1024), "interrupted");
  assertEquals(await run(5 * 1024 * 1024), "interrupted");
  assertEquals(await run(Infinity), "done");
  const { data } = await server().service.storage.from(bucket).download("large.bin");
  const arrived = createHash("sha256").update(Buffer.from(await data!.arrayBuffer()));
  assertEquals(arrived.digest("hex"), createHash("sha256").update(bytes).digest("hex"));
});

test("tus-js-client is told why it is refused", async () => {
  const error = await new Promise<Error>((resolve, reject) => {
    new Upload(Buffer.from("abc"), {
      endpoint: server().url + PATH,
      retryDelays: null,
      headers: { authorization: `Bearer ${server().serviceToken}` },
      metadata: { bucketName: "nothing", objectName: "a" },
      onSuccess: () => reject(new Error("accepted")),
      onError: resolve,
    }).start();
  });
  assertInstanceOf(error, DetailedError);
  assertEquals(
    [error.originalResponse?.getStatus(), error.originalResponse?.getBody()],
    [404, "Bucket not found"],
  );
});
