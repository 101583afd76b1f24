import { assert, assertEquals } from "../../../testing/assert.ts";
import { answer, call, makeBucket, seed, server, test, withServer } from "./harness.ts";

withServer();

interface Row {
  id: string;
  name: string;
  version: string;
  owner_id: string | null;
  metadata: Record<string, unknown>;
  user_metadata: Record<string, unknown> | null;
  created_at: Date;
}

const rows = (bucket: string) =>
  server().sql<Row>(
    `select id, name, version, owner_id, metadata, user_metadata, created_at
     from storage.objects where bucket_id = $1 order by name collate "C"`,
    [bucket],
  );

const filesOf = async (bucket: string) =>
  (await server().files()).filter((path) => path.startsWith(`${bucket}/`));

const text = async (bucket: string, name: string) =>
  await (await server().service.storage.from(bucket).download(name)).data?.text();

const refused = (statusCode: string, error: string, message: string, code: string) => ({
  status: 400,
  body: { statusCode, error, message, code },
});
const NOT_FOUND = refused("404", "not_found", "Object not found", "NoSuchKey");

test("a moved object keeps its row and content under the new name", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  await files.upload("a/b.txt", "hello", { metadata: { k: 1 }, cacheControl: "7" });
  const [before] = await rows(bucket);
  assertEquals(await files.move("a/b.txt", "c/d.txt"), {
    data: { message: "Successfully moved" },
    error: null,
  });
  const [after, ...others] = await rows(bucket);
  assertEquals(others, []);
  assertEquals(
    [after.id, after.name, after.user_metadata, after.created_at],
    [before.id, "c/d.txt", { k: 1 }, before.created_at],
  );
  assertEquals({ ...after.metadata, lastModified: 0 }, { ...before.metadata, lastModified: 0 });
  assert(after.version !== before.version);
  assertEquals(await filesOf(bucket), [`${bucket}/c/d.txt/@${after.version}`]);
  assertEquals(await text(bucket, "c/d.txt"), "hello");
});

test("an object moves to another bucket", async () => {
  const [from, to] = [await makeBucket(), await makeBucket()];
  await seed(from, "a.txt", "hello");
  const { error } = await server().service.storage.from(from)
    .move("a.txt", "b.txt", { destinationBucket: to });
  assertEquals(error, null);
  assertEquals([await rows(from), await filesOf(from)], [[], []]);
  assertEquals(await text(to, "b.txt"), "hello");
});

test("a move goes nowhere where something is, or from where nothing is", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt", "A");
  await seed(bucket, "b.txt", "B");
  const move = (json: unknown) => answer(call("POST", "/object/move", { json }));
  const bucketId = bucket;
  const files = await filesOf(bucket);
  assertEquals(
    await move({ bucketId, sourceKey: "a.txt", destinationKey: "b.txt" }),
    refused("409", "Duplicate", "The resource already exists", "ResourceAlreadyExists"),
  );
  assertEquals(
    await move({ bucketId, sourceKey: "missing", destinationKey: "c.txt" }),
    NOT_FOUND,
  );
  assertEquals(
    await move({ bucketId: "no-such-bucket", sourceKey: "a.txt", destinationKey: "c.txt" }),
    NOT_FOUND,
  );
  assertEquals(
    await move({ bucketId, sourceKey: "a.txt", destinationKey: "ä" }),
    refused("400", "InvalidKey", "Invalid key: ä", "InvalidKey"),
  );
  assertEquals(
    await move({
      bucketId,
      sourceKey: "a.txt",
      destinationKey: "c.txt",
      destinationBucket: "no-such-bucket",
    }),
    refused("404", "InvalidRequest", "The related resource does not exist", "InvalidRequest"),
  );
  assertEquals(
    await move({ bucketId, sourceKey: "a.txt" }),
    refused(
      "400",
      "Error",
      "body must have required property 'destinationKey'",
      "InvalidRequest",
    ),
  );
  assertEquals(await filesOf(bucket), files);
  assertEquals([await text(bucket, "a.txt"), await text(bucket, "b.txt")], ["A", "B"]);
});

test("moving an object to itself changes nothing", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt", "A");
  const before = await rows(bucket);
  const { error } = await server().service.storage.from(bucket).move("a.txt", "a.txt");
  assertEquals(error, null);
  assertEquals(await rows(bucket), before);
  assertEquals(await text(bucket, "a.txt"), "A");
});

test("a copy is an object of its own with the source's metadata", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  await files.upload("a.txt", "hello", { metadata: { k: 1 }, contentType: "text/css" });
  const { data, error } = await files.copy("a.txt", "b/c.txt");
  assertEquals(error, null);
  assertEquals(data, { path: `${bucket}/b/c.txt` });
  const [source, copy] = await rows(bucket);
  assert(source.id !== copy.id);
  assert(source.version !== copy.version);
  assertEquals(copy.user_metadata, { k: 1 });
  assertEquals({ ...copy.metadata, lastModified: 0 }, { ...source.metadata, lastModified: 0 });
  await files.remove(["a.txt"]);
  assertEquals(await text(bucket, "b/c.txt"), "hello");
});

test("copying answers the new row", async () => {
  const [from, to] = [await makeBucket(), await makeBucket()];
  await seed(from, "a.txt", "hello");
  const { status, body } = await answer(
    call("POST", "/object/copy", {
      json: { bucketId: from, sourceKey: "a.txt", destinationBucket: to, destinationKey: "b.txt" },
    }),
  );
  const [row] = await rows(to);
  assertEquals(status, 200);
  const { updated_at: _, created_at: __, last_accessed_at: ___, ...rest } = body as Row & {
    updated_at: string;
    last_accessed_at: string;
  };
  assertEquals(rest as unknown, {
    Id: row.id,
    Key: `${to}/b.txt`,
    name: "b.txt",
    bucket_id: to,
    owner: "",
    owner_id: "",
    version: row.version,
    id: row.id,
    metadata: row.metadata,
    user_metadata: {},
  });
});

test("a copy takes other metadata on request, and keeps what is not named", async () => {
  const bucket = await makeBucket();
  const files = server().service.storage.from(bucket);
  await files.upload("a.txt", "x", {
    contentType: "image/png",
    cacheControl: "60",
    metadata: { k: 1 },
  });
  const { error } = await files.copy("a.txt", "b.txt", {
    copyMetadata: false,
    metadata: { cacheControl: "max-age=999" },
  });
  assertEquals(error, null);
  const [, copy] = await rows(bucket);
  assertEquals(
    [copy.metadata.cacheControl, copy.metadata.mimetype, copy.user_metadata],
    ["max-age=999", "image/png", null],
  );
  const headers = { "x-metadata": btoa('{"new":true}'), "x-upsert": "true" };
  const json = {
    bucketId: bucket,
    sourceKey: "a.txt",
    destinationKey: "a.txt",
    copyMetadata: false,
    metadata: { mimetype: "image/gif" },
  };
  assertEquals((await answer(call("POST", "/object/copy", { json, headers }))).status, 200);
  const [self] = await rows(bucket);
  assertEquals([self.metadata.mimetype, self.user_metadata], ["image/gif", { new: true }]);
  assertEquals(await text(bucket, "a.txt"), "x");
  assertEquals((await filesOf(bucket)).length, 2);
});

test("a copy replaces what is there only on request", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt", "A");
  await seed(bucket, "b.txt", "B");
  const json = { bucketId: bucket, sourceKey: "a.txt", destinationKey: "b.txt" };
  assertEquals(
    await answer(call("POST", "/object/copy", { json })),
    refused("409", "Duplicate", "The resource already exists", "KeyAlreadyExists"),
  );
  assertEquals(await text(bucket, "b.txt"), "B");
  const headers = { "x-upsert": "true" };
  assertEquals((await answer(call("POST", "/object/copy", { json, headers }))).status, 200);
  assertEquals(await text(bucket, "b.txt"), "A");
  assertEquals((await filesOf(bucket)).length, 2);
});

test("copying from or to nowhere is refused", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt");
  const copy = (json: unknown) => answer(call("POST", "/object/copy", { json }));
  assertEquals(
    await copy({ bucketId: bucket, sourceKey: "missing", destinationKey: "c.txt" }),
    NOT_FOUND,
  );
  assertEquals(
    await copy({
      bucketId: bucket,
      sourceKey: "a.txt",
      destinationKey: "c.txt",
      destinationBucket: "no-such-bucket",
    }),
    refused("404", "InvalidRequest", "The related resource does not exist", "InvalidRequest"),
  );
  assertEquals((await filesOf(bucket)).length, 1);
});

test("whoever moves or copies owns the result", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt");
  await seed(bucket, "b.txt");
  const user = await server().user();
  await server().sql(
    `create policy "Users do everything" on storage.objects for all to authenticated using (true) with check (true)`,
  );
  const files = user.client.storage.from(bucket);
  const moved = await files.move("a.txt", "moved.txt");
  const copied = await files.copy("b.txt", "copied.txt");
  await server().sql(`drop policy "Users do everything" on storage.objects`);
  assertEquals([moved.error, copied.error], [null, null]);
  assertEquals((await rows(bucket)).map((row) => [row.name, row.owner_id]), [
    ["b.txt", null],
    ["copied.txt", user.id],
    ["moved.txt", user.id],
  ]);
});

test("a source without its file is not moved", async () => {
  const bucket = await makeBucket();
  await server().sql(
    "insert into storage.objects (bucket_id, name, version) values ($1, 'ghost', 'v')",
    [bucket],
  );
  const json = { bucketId: bucket, sourceKey: "ghost", destinationKey: "b.txt" };
  assertEquals(
    await answer(call("POST", "/object/move", { json })),
    refused("404", "Not found", "The resource was not found", "NoSuchKey"),
  );
  assertEquals((await rows(bucket)).map((row) => row.name), ["ghost"]);
  assertEquals(await filesOf(bucket), []);
});
