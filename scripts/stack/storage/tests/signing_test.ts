import { assert, assertEquals, assertMatch } from "../../../testing/assert.ts";
import {
  answer,
  call,
  FILE_SIZE_LIMIT,
  makeBucket,
  seed,
  server,
  test,
  withServer,
} from "./harness.ts";

withServer();

/** The claims of a token, unchecked. */
function claims(token: string): Record<string, unknown> {
  return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
}

const tokenOf = (url: string) => new URL(url, "http://host").searchParams.get("token")!;
const seconds = () => Math.floor(Date.now() / 1000);
const refused = (code: string, message: string, error = code, statusCode = "400") => ({
  status: 400,
  body: { statusCode, error, message, code },
});

test("a signed URL reads one object until it expires", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a/b c.txt", "hello");
  const files = server().service.storage.from(bucket);
  const { data } = await files.createSignedUrl("a/b c.txt", 60, { download: "save me.txt" });
  const response = await fetch(data!.signedUrl);
  assertEquals(response.status, 200);
  assertEquals(await response.text(), "hello");
  const { url, scope, exp, iat, ...rest } = claims(tokenOf(data!.signedUrl));
  assertEquals([url, scope, rest], [`${bucket}/a/b c.txt`, "download", {}]);
  assertEquals(Number(exp) - Number(iat), 60);
  assertEquals(response.headers.get("expires"), new Date(Number(exp) * 1000).toUTCString());
  assertEquals(response.headers.get("cache-control"), null);
  assertMatch(response.headers.get("content-disposition") ?? "", /^attachment; filename=save%20me/);
});

test("a signed URL answers ranges and validators", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt", "hello");
  const { data } = await server().service.storage.from(bucket).createSignedUrl("a.txt", 60);
  const part = await fetch(data!.signedUrl, { headers: { range: "bytes=0-1" } });
  assertEquals([part.status, await part.text()], [206, "he"]);
  const again = await fetch(data!.signedUrl, {
    headers: { "if-none-match": part.headers.get("etag")! },
  });
  assertEquals(again.status, 304);
});

test("signing answers the path below the API and checks its options", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt");
  const sign = (json: unknown, name = "a.txt") =>
    answer(call("POST", `/object/sign/${bucket}/${name}`, { json }));
  const { status, body } = await sign({ expiresIn: 1 });
  assertEquals(status, 200);
  const { signedURL } = body as { signedURL: string };
  assert(signedURL.startsWith(`/object/sign/${bucket}/a.txt?token=`));

  const invalid = (message: string) => refused("InvalidRequest", message, "Error");
  assertEquals(await sign({}), invalid("body must have required property 'expiresIn'"));
  assertEquals(await sign({ expiresIn: 0 }), invalid("body/expiresIn must be >= 1"));
  assertEquals(await sign({ expiresIn: 1.5 }), invalid("body/expiresIn must be integer"));
  assertEquals(
    await sign({ expiresIn: 1e21 }),
    refused("InvalidParameter", "Invalid Parameter expiresIn"),
  );
  assertEquals(
    await sign({ expiresIn: 60 }, "missing"),
    refused("NoSuchKey", "Object not found", "not_found", "404"),
  );
});

test("only who sees an object signs it", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt");
  const user = await server().user();
  const files = user.client.storage.from(bucket);
  assertEquals((await files.createSignedUrl("a.txt", 60)).error?.message, "Object not found");
  const { data } = await files.createSignedUrls(["a.txt"], 60);
  assertEquals(data![0].signedUrl, null);
  const { status, body } = await answer(
    call("POST", `/object/sign/${bucket}/a.txt`, { token: null, json: { expiresIn: 60 } }),
  );
  assertEquals(
    [status, (body as { message: string }).message],
    [400, "headers must have required property 'authorization'"],
  );
});

test("many objects are signed at once, each for itself", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt", "A");
  await seed(bucket, "b/c.txt", "C");
  const files = server().service.storage.from(bucket);
  const { data, error } = await files.createSignedUrls(["b/c.txt", "missing", "a.txt"], 60, {
    download: true,
  });
  assertEquals(error, null);
  assertEquals(data!.map(({ path, error }) => [path, error]), [
    ["b/c.txt", null],
    ["missing", "Either the object does not exist or you do not have access to it"],
    ["a.txt", null],
  ]);
  assertEquals(data![1].signedUrl, null);
  const response = await fetch(data![0].signedUrl!);
  assertEquals(response.headers.get("content-disposition"), "attachment;");
  assertEquals(await response.text(), "C");

  const sign = async (json: unknown) =>
    (await answer(call("POST", `/object/sign/${bucket}`, { json }))).body as { message: string };
  assertEquals(
    (await sign({ expiresIn: 60, paths: [] })).message,
    "body/paths must NOT have fewer than 1 items",
  );
  assertEquals(
    (await sign({ expiresIn: 60, paths: Array(1001).fill("a") })).message,
    "body/paths must NOT have more than 1000 items",
  );
});

test("a token opens only what it was made for", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt", "A");
  await seed(bucket, "b.txt", "B");
  const url = `${bucket}/a.txt`;
  const read = async (name: string, query: string) =>
    await answer(call("GET", `/object/sign/${bucket}/${name}${query}`, { token: null }));
  const { token } = server();
  const good = await token({ url, scope: "download" });

  assertEquals(
    await read("b.txt", `?token=${good}`),
    refused("InvalidSignature", "Invalid signature"),
  );
  assertEquals(
    await read("a.txt", `?token=${await token({ url, scope: "upload", upsert: true })}`),
    refused("InvalidSignature", "Token is not scoped for download"),
  );
  assertEquals(
    await read("a.txt", `?token=${await token({ url, upsert: false })}`),
    refused("InvalidSignature", "Token is not scoped for download"),
  );
  assertEquals(
    await read("a.txt", `?token=${await token({ url, scope: "download" }, "-1s")}`),
    refused("InvalidJWT", '"exp" claim timestamp check failed'),
  );
  assertEquals(await read("a.txt", "?token=xxx"), refused("InvalidJWT", "Invalid Compact JWS"));
  assertEquals(
    await read("a.txt", ""),
    refused("InvalidRequest", "querystring must have required property 'token'", "Error"),
  );
  const legacy = await call("GET", `/object/sign/${bucket}/a.txt?token=${await token({ url })}`, {
    token: null,
  });
  assertEquals(await legacy.text(), "A");
  const gone = await token({ url: `${bucket}/gone`, scope: "download" });
  assertEquals((await read("gone", `?token=${gone}`)).body, {
    statusCode: "404",
    error: "not_found",
    message: "Object not found",
    code: "NoSuchKey",
  });
});

test("a signed upload URL stores one object for its maker", async () => {
  const bucket = await makeBucket();
  const user = await server().user();
  await server().sql(
    `create policy "Users upload" on storage.objects for insert to authenticated with check (true)`,
  );
  const { data, error } = await user.client.storage.from(bucket).createSignedUploadUrl("x/a.txt");
  await server().sql(`drop policy "Users upload" on storage.objects`);
  assertEquals(error, null);
  const { url, owner, upsert, scope, exp, iat } = claims(data!.token);
  assertEquals([url, owner, upsert, scope], [`${bucket}/x/a.txt`, user.id, false, "upload"]);
  assertEquals(Number(exp) - Number(iat), 7200);
  assertEquals(data!.path, "x/a.txt");
  assert(data!.signedUrl.endsWith(`/object/upload/sign/${bucket}/x/a.txt?token=${data!.token}`));

  // The right went into the link: nobody needs it any more.
  const anyone = server().client(server().anonToken).storage.from(bucket);
  const uploaded = await anyone.uploadToSignedUrl("x/a.txt", data!.token, "hello", {
    contentType: "text/css",
    metadata: { a: 1 },
  });
  assertEquals(uploaded.error, null);
  assertEquals(uploaded.data, { path: "x/a.txt", fullPath: `${bucket}/x/a.txt` });
  const [row] = await server().sql(
    `select owner_id, user_metadata, metadata ->> 'mimetype' as type from storage.objects
     where bucket_id = $1`,
    [bucket],
  );
  assertEquals(row, { owner_id: user.id, user_metadata: { a: 1 }, type: "text/css" });
});

test("a signed upload takes Blobs and plain PUTs and answers the key", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  const blob = await files.createSignedUploadUrl("blob");
  const viaBlob = await files.uploadToSignedUrl("blob", blob.data!.token, new Blob(["hello"]));
  assertEquals(viaBlob.error, null);
  const raw = await files.createSignedUploadUrl("raw");
  const response = await fetch(raw.data!.signedUrl, { method: "PUT", body: "hello" });
  assertEquals([response.status, await response.json()], [200, { Key: `${bucket}/raw` }]);
  for (const name of ["blob", "raw"]) {
    assertEquals(await (await files.download(name)).data?.text(), "hello");
  }
});

test("a signed upload overwrites only if it was made to", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  const once = await files.createSignedUploadUrl("a.txt");
  await files.uploadToSignedUrl("a.txt", once.data!.token, "first");
  const twice = await files.uploadToSignedUrl("a.txt", once.data!.token, "second", {
    upsert: true,
  });
  assertEquals(twice.error?.message, "The resource already exists");
  assertEquals(
    (await files.createSignedUploadUrl("a.txt")).error?.message,
    "The resource already exists",
  );
  const over = await files.createSignedUploadUrl("a.txt", { upsert: true });
  assertEquals((await files.uploadToSignedUrl("a.txt", over.data!.token, "third")).error, null);
  assertEquals(await (await files.download("a.txt")).data?.text(), "third");
});

test("a signed upload is held to the bucket's limits", async () => {
  const bucket = await makeBucket({ fileSizeLimit: 5, allowedMimeTypes: ["text/plain"] });
  const files = server().service.storage.from(bucket);
  const { data } = await files.createSignedUploadUrl("a.txt");
  const put = async (body: BodyInit, type: string) => {
    const response = await fetch(data!.signedUrl, {
      method: "PUT",
      body,
      headers: { "content-type": type },
    });
    return [response.status, (await response.json()).message];
  };
  const tooLarge = [400, "The object exceeded the maximum allowed size"];
  assertEquals(await put("123456", "text/plain"), tooLarge);
  assertEquals(await put(new Uint8Array(FILE_SIZE_LIMIT + 1), "text/plain"), tooLarge);
  assertEquals(await put("12345", "text/html"), [400, "mime type text/html is not supported"]);
  assertEquals(await put("12345", "text/plain"), [200, undefined]);
});

test("a signed upload needs a token made for it", async () => {
  const bucket = await makeBucket();
  const url = `${bucket}/a.txt`;
  const { token } = server();
  const put = (query: string, name = "a.txt") =>
    answer(
      call("PUT", `/object/upload/sign/${bucket}/${name}${query}`, { token: null, body: "x" }),
    );
  assertEquals(
    await put(""),
    refused("InvalidRequest", "querystring must have required property 'token'", "Error"),
  );
  assertEquals(await put("?token=xxx"), refused("InvalidJWT", "Invalid Compact JWS"));
  assertEquals(
    await put(`?token=${await token({ url, scope: "download" })}`),
    refused("InvalidSignature", "Token is not scoped for upload"),
  );
  assertEquals(
    await put(`?token=${await token({ url })}`),
    refused("InvalidSignature", "Token is not scoped for upload"),
  );
  assertEquals(
    await put(`?token=${await token({ url, scope: "upload", upsert: false })}`, "b.txt"),
    refused("InvalidSignature", "Invalid signature"),
  );
  assertEquals(
    await put(`?token=${await token({ url, scope: "upload" }, `${seconds() - 1}s ago`)}`),
    refused("InvalidJWT", '"exp" claim timestamp check failed'),
  );
  const legacy = await put(`?token=${await token({ url, upsert: false })}`);
  assertEquals(legacy, { status: 200, body: { Key: url } });
});

test("only who may insert signs an upload", async () => {
  const bucket = await makeBucket();
  const user = await server().user();
  const { error } = await user.client.storage.from(bucket).createSignedUploadUrl("a.txt");
  assertEquals(error?.message, "new row violates row-level security policy");
  const nowhere = await server().service.storage.from("no-such-bucket").createSignedUploadUrl("a");
  assertEquals(nowhere.error?.message, "The related resource does not exist");
});
