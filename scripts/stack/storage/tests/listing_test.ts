import { assert, assertEquals } from "../../../testing/assert.ts";
import { answer, call, makeBucket, seed, server, test, withServer } from "./harness.ts";

withServer();

type Files = ReturnType<ReturnType<typeof server>["service"]["storage"]["from"]>;

/** A bucket with empty files of these names, created a second apart in this order, and updated in reverse. */
async function bucketOf(...names: string[]): Promise<{ bucket: string; files: Files }> {
  const bucket = await makeBucket();
  await server().sql(
    `insert into storage.objects (bucket_id, name, version, metadata, created_at, updated_at, last_accessed_at)
     select $1, name, 'v', '{"size": 0}', '2026-01-01'::timestamptz + place * interval '1s',
       '2026-02-01'::timestamptz - place * interval '1s', '2026-03-01'::timestamptz
     from unnest($2::text[]) with ordinality as listed (name, place)`,
    [bucket, names],
  );
  return { bucket, files: server().service.storage.from(bucket) };
}

/** Names as listed; a folder, which has no id, with a slash. */
async function listed(files: Files, ...options: Parameters<Files["list"]>): Promise<string[]> {
  const { data, error } = await files.list(...options);
  if (error) throw error;
  return data.map((entry) => (entry.id === null ? `${entry.name}/` : entry.name));
}

test("a folder lists its files and folders by their relative names", async () => {
  const { files } = await bucketOf("a.txt", "b/c.txt", "b/d/e.txt", "b/d/f.txt", "z.txt");
  assertEquals(await listed(files), ["a.txt", "b/", "z.txt"]);
  assertEquals(await listed(files, "b"), ["c.txt", "d/"]);
  assertEquals(await listed(files, "b/"), ["c.txt", "d/"]);
  assertEquals(await listed(files, "b/d"), ["e.txt", "f.txt"]);
  assertEquals(await listed(files, "nowhere"), []);
  assertEquals(await listed(server().service.storage.from("no-such-bucket")), []);
});

test("a listed file has its columns, a folder only its name", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "b/c.txt", "hello");
  await seed(bucket, "a.txt", "hello");
  const { data } = await server().service.storage.from(bucket).list();
  const [row] = await server().sql<{ id: string; created_at: Date }>(
    "select id, created_at from storage.objects where bucket_id = $1 and name = 'a.txt'",
    [bucket],
  );
  const { lastModified: _, ...metadata } = data![0].metadata!;
  const time = row.created_at.toISOString();
  assertEquals({ ...data![0], metadata } as unknown, {
    name: "a.txt",
    id: row.id,
    updated_at: time,
    created_at: time,
    last_accessed_at: time,
    metadata: {
      eTag: '"5d41402abc4b2a76b9719d911017c592"',
      size: 5,
      mimetype: "text/plain;charset=UTF-8",
      cacheControl: "max-age=3600",
      contentLength: 5,
      httpStatusCode: 200,
    },
  });
  assertEquals(data![1] as unknown, {
    name: "b",
    id: null,
    updated_at: null,
    created_at: null,
    last_accessed_at: null,
    metadata: null,
  });
});

test("limit and offset page through files and folders alike", async () => {
  const { files } = await bucketOf("a/1", "a/2", "b", "c/1", "d", "e/1/2");
  const all = ["a/", "b", "c/", "d", "e/"];
  assertEquals(await listed(files), all);
  const paged: string[] = [];
  for (let offset = 0; offset < 6; offset += 2) {
    paged.push(...await listed(files, "", { limit: 2, offset }));
  }
  assertEquals(paged, all);
  assertEquals(await listed(files, "", { limit: 2, offset: 1, sortBy: { order: "desc" } }), [
    "d",
    "c/",
  ]);
});

test("names are ordered bytewise, ignoring case, in both directions", async () => {
  const { files } = await bucketOf(
    "b.txt",
    "A.txt",
    "a-b",
    "a/x",
    "B/x",
    "_",
    "a.txt",
    "a2",
    "a 1",
  );
  const ascending = ["_", "a 1", "a-b", "A.txt", "a.txt", "a/", "a2", "b.txt", "B/"];
  assertEquals(await listed(files), ascending);
  assertEquals(await listed(files, "", { sortBy: { order: "desc" } }), [...ascending].reverse());
});

test("times order files, with folders before them", async () => {
  const { files } = await bucketOf("m.txt", "f2/x", "a.txt", "f1/x", "z.txt");
  const sorted = (column: string, order: string) =>
    listed(files, "", { sortBy: { column, order } });
  assertEquals(await sorted("created_at", "asc"), ["f1/", "f2/", "m.txt", "a.txt", "z.txt"]);
  assertEquals(await sorted("created_at", "desc"), ["f2/", "f1/", "z.txt", "a.txt", "m.txt"]);
  assertEquals(await sorted("updated_at", "asc"), ["f1/", "f2/", "z.txt", "a.txt", "m.txt"]);
});

test("a prefix ignores case", async () => {
  const { files } = await bucketOf("Public/a.txt", "public/b.txt", "private/c.txt");
  assertEquals(await listed(files, "PUBLIC"), ["a.txt", "b.txt"]);
  assertEquals(await listed(files, "PUBLIC", { sortBy: { column: "created_at" } }), [
    "a.txt",
    "b.txt",
  ]);
});

test("search narrows by the beginning of the name, across folders too", async () => {
  const { files } = await bucketOf("q/a/b/c/file.png", "q/a/other.png", "q/folder/sub/file.png");
  for (const column of ["name", "created_at"]) {
    const sortBy = { column };
    assertEquals(await listed(files, "q", { search: "fo", sortBy }), ["folder/"]);
    assertEquals(await listed(files, "q/a", { search: "b/c/file.png", sortBy }), ["b/c/file.png"]);
    assertEquals(await listed(files, "q/a", { search: "x/y", sortBy }), []);
    assertEquals(await listed(files, "", { search: "q/a/b/c/", sortBy }), ["q/a/b/c/file.png"]);
    assertEquals(await listed(files, "", { search: "q/folder/", sortBy }), ["q/folder/sub/"]);
    assertEquals(await listed(files, "", { search: "Q/A/O", sortBy }), ["q/a/other.png"]);
  }
});

test("wildcards of SQL are plain characters", async () => {
  const { files } = await bucketOf("a_b/x", "aXb/x", "plain/x");
  for (const column of ["name", "created_at"]) {
    const sortBy = { column };
    assertEquals(await listed(files, "a_b", { sortBy }), ["x"]);
    assertEquals(await listed(files, "", { search: "a_", sortBy }), ["a_b/"]);
    assertEquals(await listed(files, "", { search: "%", sortBy }), []);
    assertEquals(await listed(files, "%", { sortBy }), []);
  }
});

test("listing checks its options", async () => {
  const { bucket } = await bucketOf();
  const message = async (json: unknown) => {
    const { status, body } = await answer(call("POST", `/object/list/${bucket}`, { json }));
    return [status, (body as { message: string }).message];
  };
  assertEquals(await message({}), [400, "body must have required property 'prefix'"]);
  assertEquals(await message({ prefix: "", limit: 0 }), [400, "body/limit must be >= 1"]);
  assertEquals(await message({ prefix: "", offset: -1 }), [400, "body/offset must be >= 0"]);
  assertEquals(await message({ prefix: "", sortBy: { column: "size" } }), [
    400,
    "body/sortBy/column must be equal to one of the allowed values",
  ]);
  const { status } = await answer(
    call("POST", `/object/list/${bucket}`, { token: null, json: { prefix: "" } }),
  );
  assertEquals(status, 400);
});

test("a listing has a hundred entries unless told otherwise, and fifteen hundred at most", async () => {
  const names = Array.from({ length: 1600 }, (_, index) => `f${String(index).padStart(4, "0")}`);
  const { bucket, files } = await bucketOf(...names);
  assertEquals(await listed(files), names.slice(0, 100));
  const unlimited = await answer(call("POST", `/object/list/${bucket}`, { json: { prefix: "" } }));
  assertEquals((unlimited.body as unknown[]).length, 100);
  assertEquals(await listed(files, "", { limit: 5000 }), names.slice(0, 1500));
  const { data } = await files.listV2({ limit: 5000 });
  assertEquals([data?.objects.length, data?.hasNext], [1000, true]);
});

/** All pages of a version 2 listing, folders and files in one list as they come. */
async function pages(
  files: Files,
  options: NonNullable<Parameters<Files["listV2"]>[0]>,
): Promise<{ names: string[]; folders: string[]; count: number }> {
  const found: { names: string[]; folders: string[]; count: number } = {
    names: [],
    folders: [],
    count: 0,
  };
  let cursor: string | undefined;
  do {
    const { data, error } = await files.listV2({ ...options, ...(cursor ? { cursor } : {}) });
    if (error) throw error;
    assert(data.folders.length + data.objects.length <= (options.limit ?? 1000));
    found.names.push(...data.objects.map((object) => object.name));
    found.folders.push(...data.folders.map((folder) => folder.name));
    found.count++;
    assertEquals(data.hasNext, data.nextCursor !== undefined);
    cursor = data.nextCursor;
  } while (cursor);
  return found;
}

const MIXED = ["b.txt", "a/2", "A/1", "a", "a.txt", "a/1", "c/d/1", "c/e", "a-1", "z"];

test("version 2 lists everything below a prefix by full names, page by page", async () => {
  const { files } = await bucketOf(...MIXED);
  const sorted = [...MIXED].sort();
  for (const limit of [1, 3, 100]) {
    assertEquals((await pages(files, { limit })).names, sorted);
    assertEquals(
      (await pages(files, { limit, sortBy: { column: "name", order: "desc" } })).names,
      [...sorted].reverse(),
    );
    assertEquals((await pages(files, { limit, prefix: "a/" })).names, ["a/1", "a/2"]);
    assertEquals(
      (await pages(files, { limit, sortBy: { column: "created_at", order: "asc" } })).names,
      MIXED,
    );
    assertEquals(
      (await pages(files, { limit, sortBy: { column: "updated_at", order: "desc" } })).names,
      MIXED,
    );
  }
});

test("version 2 with a delimiter groups folders, and no page boundary loses an entry", async () => {
  const { files } = await bucketOf(...MIXED);
  const names = ["a", "a-1", "a.txt", "b.txt", "z"];
  const folders = ["A/", "a/", "c/"];
  for (const limit of [1, 2, 3, 4, 100]) {
    const up = await pages(files, { limit, with_delimiter: true });
    assertEquals([up.names, up.folders], [names, folders], `limit ${limit}`);
    const down = await pages(files, {
      limit,
      with_delimiter: true,
      sortBy: { column: "name", order: "desc" },
    });
    assertEquals(
      [down.names, down.folders],
      [[...names].reverse(), [...folders].reverse()],
      `limit ${limit}`,
    );
    const inside = await pages(files, { limit, with_delimiter: true, prefix: "c/" });
    assertEquals([inside.names, inside.folders], [["c/e"], ["c/d/"]]);
  }
});

test("version 2 sorts files and folders by time, a folder by its first file", async () => {
  const { files } = await bucketOf("m", "f2/x", "a", "f1/x", "f2/y", "z");
  for (const limit of [1, 2, 100]) {
    const sorted = (column: "created_at" | "updated_at", order: "asc" | "desc") =>
      pages(files, { limit, with_delimiter: true, sortBy: { column, order } });
    const created = await sorted("created_at", "asc");
    assertEquals([created.names, created.folders], [["m", "a", "z"], ["f2/", "f1/"]]);
    const reversed = await sorted("created_at", "desc");
    assertEquals([reversed.names, reversed.folders], [["z", "a", "m"], ["f1/", "f2/"]]);
    const updated = await sorted("updated_at", "asc");
    assertEquals([updated.names, updated.folders], [["z", "a", "m"], ["f2/", "f1/"]]);
  }
});

test("version 2 answers in its own shape", async () => {
  const { bucket, files } = await bucketOf("a.txt", "b/c.txt", "d.txt");
  const { data } = await files.listV2({ with_delimiter: true, limit: 2 });
  const [{ id }] = await server().sql(
    "select id from storage.objects where bucket_id = $1 and name = 'a.txt'",
    [bucket],
  );
  assertEquals(data as unknown, {
    hasNext: true,
    nextCursor: btoa("l:b/"),
    nextCursorKey: "b",
    folders: [{
      key: "b",
      name: "b/",
      id: null,
      updated_at: null,
      created_at: null,
      last_accessed_at: null,
      metadata: null,
    }],
    objects: [{
      key: "a.txt",
      name: "a.txt",
      id,
      updated_at: "2026-01-31T23:59:59.000Z",
      created_at: "2026-01-01T00:00:01.000Z",
      last_accessed_at: "2026-03-01T00:00:00.000Z",
      metadata: { size: 0 },
    }],
  });
  const flat = await files.listV2({ limit: 1 });
  assertEquals(Object.keys(flat.data!.objects[0]), [
    "id",
    "name",
    "metadata",
    "updated_at",
    "created_at",
    "last_accessed_at",
  ]);
});

test("version 2 refuses a cursor that is none", async () => {
  const { files } = await bucketOf("a");
  const { error } = await files.listV2({ cursor: "bm9uc2Vuc2U=" });
  assertEquals(error?.message, "Invalid Parameter continuation token");
});

test("a user lists what they see", async () => {
  const { bucket } = await bucketOf("open/a", "open/b", "secret/c", "d");
  const user = await server().user();
  await server().sql(
    `create policy "Users read what is open" on storage.objects for select to authenticated
     using ((storage.foldername(name))[1] = 'open')`,
  );
  const files = user.client.storage.from(bucket);
  const root = await listed(files);
  const open = await listed(files, "open");
  const flat = (await pages(files, {})).names;
  const grouped = (await pages(files, { with_delimiter: true })).folders;
  await server().sql(`drop policy "Users read what is open" on storage.objects`);
  assertEquals([root, open, flat, grouped], [
    ["open/"],
    ["a", "b"],
    ["open/a", "open/b"],
    ["open/"],
  ]);
  assertEquals(await listed(files), []);
});
