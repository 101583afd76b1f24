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

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/;
const HELLO_MD5 = '"5d41402abc4b2a76b9719d911017c592"';

interface Row {
  id: string;
  version: string;
  owner: string | null;
  owner_id: string | null;
  metadata: Record<string, unknown>;
  user_metadata: Record<string, unknown> | null;
}

async function row(bucket: string, name: string): Promise<Row | undefined> {
  const [found] = await server().sql<Row>(
    `select id, version, owner::text, owner_id, metadata, user_metadata
     from storage.objects where bucket_id = $1 and name = $2`,
    [bucket, name],
  );
  return found;
}

const filesOf = async (bucket: string) =>
  (await server().files()).filter((path) => path.startsWith(`${bucket}/`));

/** A form as browsers and the Node client send it, in pieces under our control. */
function form(
  fields: [string, string][],
  file?: { name: string; content: string; type?: string },
): FormData {
  const data = new FormData();
  for (const [name, value] of fields) data.append(name, value);
  if (file) data.append(file.name, new Blob([file.content], { type: file.type }), "file");
  return data;
}

test("a raw body is stored with its type, caching and metadata", async () => {
  const bucket = await makeBucket();
  const { data, error } = await server().service.storage.from(bucket).upload("a/b.txt", "hello", {
    contentType: "text/css",
    cacheControl: "60",
    metadata: { kind: "greeting", "ünï": "côdé" },
  });
  assertEquals(error, null);
  const stored = await row(bucket, "a/b.txt");
  assertEquals(data, { path: "a/b.txt", id: stored!.id, fullPath: `${bucket}/a/b.txt` });
  assertMatch(stored!.version, UUID);
  const { lastModified, ...metadata } = stored!.metadata;
  assertEquals(metadata, {
    eTag: HELLO_MD5,
    size: 5,
    mimetype: "text/css",
    cacheControl: "max-age=60",
    contentLength: 5,
    httpStatusCode: 200,
  });
  assert(Math.abs(Date.parse(String(lastModified)) - Date.now()) < 60_000);
  assertEquals(stored!.user_metadata, { kind: "greeting", "ünï": "côdé" });
  assertEquals(stored!.owner_id, null);
  assertEquals(await filesOf(bucket), [`${bucket}/a/b.txt/@${stored!.version}`]);
  assertEquals(
    await Deno.readTextFile(`${server().filesDir}/${bucket}/a/b.txt/@${stored!.version}`),
    "hello",
  );
});

test("a Blob, which comes as a form with an unnamed file, is stored with the Blob's type", async () => {
  const bucket = await makeBucket();
  const blob = new Blob(["hello"], { type: "application/json" });
  const { error } = await server().service.storage.from(bucket).upload("b.json", blob, {
    cacheControl: "7",
    metadata: { a: [1, { b: null }] },
  });
  assertEquals(error, null);
  const stored = await row(bucket, "b.json");
  assertEquals(stored!.metadata.mimetype, "application/json");
  assertEquals(stored!.metadata.cacheControl, "max-age=7");
  assertEquals(stored!.metadata.eTag, HELLO_MD5);
  assertEquals(stored!.user_metadata, { a: [1, { b: null }] });
});

test("FormData, streams and binary bodies all arrive byte for byte", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  const data = new FormData();
  data.append("file", new Blob([bytes]));
  const bodies: [string, Parameters<typeof files.upload>[1]][] = [
    ["form", data],
    ["array", bytes],
    ["buffer", bytes.buffer],
    ["stream", new Blob([bytes]).stream()],
  ];
  for (const [name, body] of bodies) {
    assertEquals((await files.upload(name, body, { duplex: "half" })).error, null, name);
    const { data: back } = await files.download(name);
    assertEquals(new Uint8Array(await back!.arrayBuffer()), bytes, name);
  }
});

test("an empty file is a file", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  assertEquals((await files.upload("raw", new Uint8Array())).error, null);
  assertEquals((await files.upload("form", new Blob([]))).error, null);
  for (const name of ["raw", "form"]) {
    assertEquals((await row(bucket, name))!.metadata.size, 0);
    assertEquals((await (await files.download(name)).data!.arrayBuffer()).byteLength, 0);
  }
});

test("a form's fields count when they come before the file", async () => {
  const bucket = await makeBucket();
  const post = (name: string, body: FormData) =>
    answer(call("POST", `/object/${bucket}/${name}`, { body }));
  const uploaded = await post(
    "all",
    form([
      ["cacheControl", "9"],
      ["contentType", "image/gif"],
      ["metadata", '{"x":1}'],
    ], { name: "", content: "hello", type: "text/plain" }),
  );
  assertEquals(uploaded.status, 200);
  const stored = await row(bucket, "all");
  assertEquals(uploaded.body, { Id: stored!.id, Key: `${bucket}/all` });
  assertEquals(stored!.metadata.mimetype, "image/gif");
  assertEquals(stored!.metadata.cacheControl, "max-age=9");
  assertEquals(stored!.user_metadata, { x: 1 });

  const late = form([], { name: "file", content: "hello", type: "text/plain" });
  late.append("contentType", "image/gif");
  assertEquals((await post("late", late)).status, 200);
  const plain = await row(bucket, "late");
  assertEquals(plain!.metadata.mimetype, "text/plain");
  assertEquals(plain!.metadata.cacheControl, "no-cache");

  assertEquals(
    (await post(
      "unreadable",
      form([["userMetadata", "{"]], { name: "f", content: "hello" }),
    )).status,
    200,
  );
  assertEquals((await row(bucket, "unreadable"))!.user_metadata, {});
});

test("a form without a file, or that is none, is refused", async () => {
  const bucket = await makeBucket();
  const noContent = (message: string) => ({
    status: 400,
    body: { statusCode: "400", error: "InvalidRequest", message, code: "InvalidRequest" },
  });
  const body = form([["metadata", "{}"]]);
  assertEquals(
    await answer(call("POST", `/object/${bucket}/a`, { body })),
    noContent("No content provided"),
  );
  const broken = await answer(
    call("POST", `/object/${bucket}/a`, {
      headers: { "content-type": "multipart/form-data" },
      body: "x",
    }),
  );
  assertEquals(broken, noContent("Multipart: Boundary not found"));
  assertEquals(await row(bucket, "a"), undefined);
});

test("a form with too many fields is refused", async () => {
  const bucket = await makeBucket();
  const fields = Array.from({ length: 11 }, (_, index): [string, string] => [`f${index}`, "x"]);
  const body = form(fields, { name: "", content: "hello" });
  const { status, body: error } = await answer(call("POST", `/object/${bucket}/a`, { body }));
  assertEquals([status, (error as { message: string }).message], [400, "reach fields limit"]);
});

test("a form that breaks off leaves nothing", async () => {
  const bucket = await makeBucket();
  const broken = await answer(
    call("POST", `/object/${bucket}/a`, {
      headers: { "content-type": "multipart/form-data; boundary=b" },
      body: '--b\r\nContent-Disposition: form-data; name=""; filename="f"\r\n\r\nhel',
    }),
  );
  assertEquals(broken, {
    status: 500,
    body: {
      statusCode: "500",
      error: "Error",
      message: "Unexpected end of multipart data",
      code: "InternalError",
    },
  });
  assertEquals(await row(bucket, "a"), undefined);
  assertEquals(await filesOf(bucket), []);
});

test("a form field is cut off at a megabyte, and user metadata that this breaks counts as none", async () => {
  const bucket = await makeBucket();
  const metadata = JSON.stringify({ x: "y".repeat(1024 * 1024) });
  const body = new FormData();
  body.append("metadata", metadata);
  body.append("file", new Blob(["hello"]));
  const { status } = await answer(call("POST", `/object/${bucket}/a`, { body }));
  assertEquals(status, 200);
  assertEquals((await row(bucket, "a"))!.user_metadata, {});
});

test("creating what exists is refused, replacing it makes a new version and drops the old file", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  await seed(bucket, "a.txt", "old");
  const before = await row(bucket, "a.txt");
  assertEquals(await answer(call("POST", `/object/${bucket}/a.txt`, { body: "new" })), {
    status: 400,
    body: {
      statusCode: "409",
      error: "Duplicate",
      message: "The resource already exists",
      code: "KeyAlreadyExists",
    },
  });
  assertEquals((await filesOf(bucket)).length, 1);

  assertEquals((await files.upload("a.txt", "new", { upsert: true })).error, null);
  const after = await row(bucket, "a.txt");
  assertEquals(after!.id, before!.id);
  assert(after!.version !== before!.version);
  assertEquals(await filesOf(bucket), [`${bucket}/a.txt/@${after!.version}`]);
  assertEquals(await (await files.download("a.txt")).data?.text(), "new");
});

test("update replaces content and metadata, and creates what is missing", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  await files.upload("a.txt", "old", { metadata: { a: 1 } });
  const { data, error } = await files.update("a.txt", "new", { metadata: { b: 2 } });
  assertEquals(error, null);
  assertEquals(data?.path, "a.txt");
  assertEquals((await row(bucket, "a.txt"))!.user_metadata, { b: 2 });
  assertEquals((await files.update("b.txt", "made")).error, null);
  assertEquals((await row(bucket, "b.txt"))!.user_metadata, {});
});

test("the uploader owns the object", async () => {
  const bucket = await makeBucket();
  const user = await server().user();
  await server().sql(
    `create policy "Users upload" on storage.objects for insert to authenticated with check (true)`,
  );
  const { error } = await user.client.storage.from(bucket).upload("mine.txt", "x");
  const odd = await server().token({ sub: "not-a-uuid", role: "authenticated" });
  const second = await call("POST", `/object/${bucket}/odd.txt`, { token: odd, body: "x" });
  await server().sql(`drop policy "Users upload" on storage.objects`);
  assertEquals(error, null);
  assertEquals(second.status, 200);
  await second.body?.cancel();
  const mine = await row(bucket, "mine.txt");
  assertEquals([mine!.owner, mine!.owner_id], [user.id, user.id]);
  const oddly = await row(bucket, "odd.txt");
  assertEquals([oddly!.owner, oddly!.owner_id], [null, "not-a-uuid"]);
});

test("names that no object may have are refused", async () => {
  const bucket = await makeBucket();
  const cases: [string, number, string, string][] = [
    ["%C3%A4", 400, "Invalid key: ä", "InvalidKey"],
    ["a%25b", 400, "Invalid key: a%b", "InvalidKey"],
    ["", 400, "Invalid key: ", "InvalidKey"],
    ["x".repeat(1025), 400, "KeyTooLongError", "S3Error"],
    ["a%zz", 400, `'/object/${bucket}/a%zz' is not a valid url component`, "InvalidRequest"],
  ];
  for (const [name, status, message, code] of cases) {
    const refused = await answer(call("POST", `/object/${bucket}/${name}`, { body: "x" }));
    const { message: told, code: named } = refused.body as { message: string; code: string };
    assertEquals([refused.status, told, named], [status, message, code]);
  }
  assertEquals(await filesOf(bucket), []);
  const nowhere = await answer(call("POST", "/object/no-such-bucket/a", { body: "x" }));
  assertEquals((nowhere.body as { code: string }).code, "NoSuchBucket");
});

test("names that would be tricks as paths stay inside their bucket, and distinct", async () => {
  const bucket = await makeBucket();
  const names = [
    "a/%2E%2E/b",
    "%2E%2E%2F%2E%2E%2Fescape",
    "a%2F%2E%2F%2Fb",
    "a",
    "a/b",
    "a//b",
    "a/",
    "@a",
    "a,b",
    "A",
    "y".repeat(900),
  ];
  // The URL parser itself resolves dot segments that are not hidden behind an encoded slash.
  const stored = new Map<string, string>();
  for (const name of names) {
    const response = await call("POST", `/object/${bucket}/${name}`, {
      body: name,
      headers: { "x-upsert": "true" },
    });
    assertEquals(response.status, 200, name);
    const { Key } = await response.json();
    stored.set(Key.slice(bucket.length + 1), name);
  }
  assert(stored.has("../../escape"));
  assert(stored.has("a/.//b"));
  const files = await server().files();
  assertEquals(files.filter((path) => !path.startsWith(`bucket-`)), []);
  assertEquals((await filesOf(bucket)).length, stored.size);
  for (const [name, content] of stored) {
    const response = await call("GET", `/object/${bucket}/${encodeURIComponent(name)}`);
    assertEquals(await response.text(), content, name);
  }
});

test("the global limit holds for raw bodies and forms, to the byte", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  const exact = new Uint8Array(FILE_SIZE_LIMIT);
  const beyond = new Uint8Array(FILE_SIZE_LIMIT + 1);
  const tooLarge = {
    status: 400,
    body: {
      statusCode: "413",
      error: "Payload too large",
      message: "The object exceeded the maximum allowed size",
      code: "EntityTooLarge",
    },
  };
  assertEquals((await files.upload("raw", exact)).error, null);
  assertEquals((await files.upload("form", new Blob([exact]))).error, null);
  assertEquals(await answer(call("POST", `/object/${bucket}/a`, { body: beyond })), tooLarge);
  const body = new FormData();
  body.append("", new Blob([beyond]), "blob");
  assertEquals(await answer(call("POST", `/object/${bucket}/a`, { body })), tooLarge);
  assertEquals((await files.upload("a", new Blob([beyond]))).error?.message, tooLarge.body.message);
  const unannounced = await files.upload("a", new Blob([beyond]).stream(), { duplex: "half" });
  assertEquals(unannounced.error?.message, tooLarge.body.message);
  assertEquals(await row(bucket, "a"), undefined);
  assertEquals((await filesOf(bucket)).length, 2);
});

test("the bucket's limit holds, and a replaced file survives a refused one", async () => {
  const bucket = await makeBucket({ fileSizeLimit: 5 });
  const files = server().service.storage.from(bucket);
  assertEquals((await files.upload("a", "12345")).error, null);
  const refused = await files.upload("a", new Blob(["123456"]), { upsert: true });
  assertEquals(refused.error?.message, "The object exceeded the maximum allowed size");
  assertEquals(await (await files.download("a")).data?.text(), "12345");
  assertEquals((await filesOf(bucket)).length, 1);
});

test("allowed types hold for raw bodies and forms", async () => {
  const bucket = await makeBucket({ allowedMimeTypes: ["image/*", "text/plain"] });
  const files = server().service.storage.from(bucket);
  assertEquals((await files.upload("a", "x", { contentType: "image/png" })).error, null);
  assertEquals((await files.upload("b", new Blob(["x"], { type: "text/plain" }))).error, null);
  const refused = {
    status: 400,
    body: {
      statusCode: "415",
      error: "invalid_mime_type",
      message: "mime type text/html is not supported",
      code: "InvalidMimeType",
    },
  };
  const headers = { "content-type": "text/html" };
  assertEquals(await answer(call("POST", `/object/${bucket}/c`, { body: "x", headers })), refused);
  const body = form([], { name: "f", content: "x", type: "text/html" });
  assertEquals(await answer(call("POST", `/object/${bucket}/c`, { body })), refused);
  const malformed = await answer(
    call("POST", `/object/${bucket}/c`, { body: "x", headers: { "content-type": "nonsense" } }),
  );
  assertEquals(malformed, {
    status: 400,
    body: {
      statusCode: "415",
      error: "invalid_mime_type",
      message: "Invalid Content-Type header",
      code: "InvalidMimeType",
    },
  });
});

test("a folder's placeholder has any type and no content", async () => {
  const bucket = await makeBucket({ allowedMimeTypes: ["image/png"] });
  const path = `/object/${bucket}/folder/.emptyFolderPlaceholder`;
  const post = (content: string) =>
    answer(call("POST", path, { body: form([], { name: "f", content, type: "text/plain" }) }));
  assertEquals((await post("x")).status, 400);
  assertEquals((await post("")).status, 200);
});

test("a robots tag is kept if it is valid and refused otherwise", async () => {
  const bucket = await makeBucket({ public: true });
  const put = (tag: string) =>
    call("PUT", `/object/${bucket}/a`, { body: "x", headers: { "x-robots-tag": tag } });
  assertEquals((await answer(put("noindex, nofollow"))).status, 200);
  const shown = await call("GET", `/object/public/${bucket}/a`, { token: null });
  assertEquals(shown.headers.get("x-robots-tag"), "noindex, nofollow");
  await shown.body?.cancel();
  assertEquals(await answer(put("invalidrule")), {
    status: 400,
    body: {
      statusCode: "400",
      error: "invalid_x_robots_tag",
      message: 'Invalid X-Robots-Tag header: Invalid X-Robots-Tag rule: "invalidrule"',
      code: "InvalidRequest",
    },
  });
});

test("an upload without a credential is refused", async () => {
  const bucket = await makeBucket();
  const { status, body } = await answer(
    call("POST", `/object/${bucket}/a`, { token: null, body: "x" }),
  );
  assertEquals(status, 400);
  assertEquals(
    (body as { message: string }).message,
    "headers must have required property 'authorization'",
  );
});

test("a row that cannot be written takes its file with it", async () => {
  const bucket = await makeBucket();
  await server().sql(`create function public.refuse() returns trigger language plpgsql as $$
    begin
      if new.version <> '1' then raise exception 'refused' using errcode = 'P0042'; end if;
      return new;
    end $$`);
  await server().sql(
    "create trigger refuse before insert on storage.objects for each row execute function public.refuse()",
  );
  const failed = await answer(call("POST", `/object/${bucket}/a`, { body: "x" }));
  await server().sql("drop trigger refuse on storage.objects");
  assertEquals(failed, {
    status: 500,
    body: {
      statusCode: "500",
      error: "DatabaseError",
      message: "database error, code: P0042",
      code: "DatabaseError",
    },
  });
  assertEquals(await filesOf(bucket), []);
});

test("removing answers the rows and takes the files", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  await files.upload("a/b.txt", "x", { metadata: { k: 1 } });
  await seed(bucket, "c.txt");
  const stored = await row(bucket, "a/b.txt");
  const { data, error } = await files.remove(["a/b.txt", "missing.txt"]);
  assertEquals(error, null);
  assertEquals(data!.length, 1);
  assertEquals(Object.keys(data![0]), [
    "name",
    "bucket_id",
    "owner",
    "owner_id",
    "version",
    "id",
    "updated_at",
    "created_at",
    "last_accessed_at",
    "metadata",
    "user_metadata",
  ]);
  const removed = data![0] as unknown as Record<string, unknown>;
  assertEquals(
    [removed.name, removed.id, removed.version, removed.owner, removed.user_metadata],
    ["a/b.txt", stored!.id, stored!.version, "", { k: 1 }],
  );
  assertEquals((await filesOf(bucket)).length, 1);
  assertEquals(await files.remove(["missing.txt"]), { data: [], error: null });
  assertEquals(
    await server().service.storage.from("no-such-bucket").remove(["a"]),
    { data: [], error: null },
  );
});

test("removing many checks its list", async () => {
  const bucket = await makeBucket();
  const message = async (json: unknown) => {
    const { status, body } = await answer(call("DELETE", `/object/${bucket}`, { json }));
    return [status, (body as { message: string }).message];
  };
  assertEquals(await message({}), [400, "body must have required property 'prefixes'"]);
  assertEquals(await message({ prefixes: [] }), [
    400,
    "body/prefixes must NOT have fewer than 1 items",
  ]);
  const many = { prefixes: Array.from({ length: 1001 }, (_, index) => `f${index}`) };
  assertEquals(await answer(call("DELETE", `/object/${bucket}`, { json: many })), {
    status: 200,
    body: [],
  });
});

test("removing one tells a missing object from a protected one", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt");
  const user = await server().user();
  assertEquals(await answer(call("DELETE", `/object/${bucket}/missing.txt`)), {
    status: 400,
    body: {
      statusCode: "404",
      error: "not_found",
      message: "Object not found",
      code: "NoSuchKey",
    },
  });
  assertEquals(await answer(call("DELETE", `/object/${bucket}/a.txt`, { token: user.token })), {
    status: 400,
    body: {
      statusCode: "403",
      error: "Unauthorized",
      message: "Access denied",
      code: "AccessDenied",
    },
  });
  assertEquals(await answer(call("DELETE", `/object/${bucket}/a.txt`)), {
    status: 200,
    body: { message: "Successfully deleted" },
  });
  assertEquals(await filesOf(bucket), []);
});

test("two writers of one object leave one row and one file", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  const contents = Array.from({ length: 12 }, (_, index) => `content ${index}`);
  const answers = await Promise.all(
    contents.map((content) => files.upload("a", content, { upsert: true })),
  );
  assertEquals(answers.map(({ error }) => error), contents.map(() => null));
  assertEquals((await filesOf(bucket)).length, 1);
  assert(contents.includes(await (await files.download("a")).data!.text()));
});
