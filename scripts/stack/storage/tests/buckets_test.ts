import { assertEquals, assertMatch } from "../../../testing/assert.ts";
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

const name = () => `bucket-${crypto.randomUUID()}`;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

test("a bucket is created with its settings and read back", async () => {
  const id = name();
  const { storage } = server().service;
  const created = await storage.createBucket(id, {
    public: true,
    fileSizeLimit: "1MB",
    allowedMimeTypes: ["image/png", "", "text/*"],
  });
  assertEquals(created, { data: { name: id }, error: null });

  const { data } = await storage.getBucket(id);
  assertMatch(data?.created_at ?? "", ISO_TIME);
  assertMatch(data?.updated_at ?? "", ISO_TIME);
  assertEquals(data as unknown, {
    id,
    name: id,
    owner: "",
    public: true,
    file_size_limit: 1_000_000,
    allowed_mime_types: ["image/png", "text/*"],
    created_at: data?.created_at,
    updated_at: data?.updated_at,
  });
});

test("a bucket that a user creates is theirs", async () => {
  const user = await server().user();
  await server().sql(
    `create policy "Users create buckets" on storage.buckets for insert to authenticated with check (true)`,
  );
  const id = name();
  const { error } = await user.client.storage.createBucket(id);
  await server().sql(`drop policy "Users create buckets" on storage.buckets`);
  assertEquals(error, null);
  assertEquals(
    await server().sql("select owner::text, owner_id from storage.buckets where id = $1", [id]),
    [{ owner: user.id, owner_id: user.id }],
  );
});

test("creating answers what is wrong with a bucket", async () => {
  const existing = await makeBucket();
  const cases: [unknown, number, Record<string, string>][] = [
    [{}, 400, {
      statusCode: "400",
      error: "Error",
      message: "body must have required property 'name'",
      code: "InvalidRequest",
    }],
    [{ name: "a/b" }, 400, {
      statusCode: "400",
      error: "Invalid Input",
      message: "Bucket name invalid",
      code: "InvalidBucketName",
    }],
    [{ name: " padded " }, 400, {
      statusCode: "400",
      error: "Invalid Input",
      message: "Bucket name invalid",
      code: "InvalidBucketName",
    }],
    [{ name: existing }, 400, {
      statusCode: "409",
      error: "Duplicate",
      message: "The resource already exists",
      code: "BucketAlreadyExists",
    }],
    [{ name: name(), file_size_limit: FILE_SIZE_LIMIT + 1 }, 400, {
      statusCode: "413",
      error: "Payload too large",
      message: "The object exceeded the maximum allowed size",
      code: "EntityTooLarge",
    }],
    [{ name: name(), file_size_limit: -1 }, 400, {
      statusCode: "400",
      error: "Error",
      message: "body/file_size_limit must be >= 0",
      code: "InvalidRequest",
    }],
    [{ name: name(), allowed_mime_types: ["nonsense"] }, 400, {
      statusCode: "415",
      error: "invalid_mime_type",
      message: "mime type nonsense is not supported",
      code: "InvalidMimeType",
    }],
    [{ name: name(), type: "ANALYTICS" }, 400, {
      statusCode: "409",
      error: "FeatureNotEnabled",
      message:
        "The feature Iceberg buckets are not enabled for this tenant is not enabled for this resource",
      code: "FeatureNotEnabled",
    }],
  ];
  for (const [json, status, body] of cases) {
    assertEquals(await answer(call("POST", "/bucket", { json })), { status, body });
  }
});

test("row security decides who makes a bucket", async () => {
  const user = await server().user();
  assertEquals(
    await answer(call("POST", "/bucket", { token: user.token, json: { name: name() } })),
    {
      status: 400,
      body: {
        statusCode: "403",
        error: "Unauthorized",
        message: "new row violates row-level security policy",
        code: "AccessDenied",
      },
    },
  );
});

test("a bucket that is not there or not visible is not found", async () => {
  const notFound = {
    status: 400,
    body: {
      statusCode: "404",
      error: "Bucket not found",
      message: "Bucket not found",
      code: "NoSuchBucket",
    },
  };
  const user = await server().user();
  const id = await makeBucket();
  const { token } = user;
  const update = { json: { public: true } };
  assertEquals(await answer(call("GET", `/bucket/${name()}`)), notFound);
  assertEquals(await answer(call("GET", `/bucket/${id}`, { token })), notFound);
  assertEquals(await answer(call("PUT", `/bucket/${name()}`, update)), notFound);
  assertEquals(await answer(call("PUT", `/bucket/${id}`, { token, ...update })), notFound);
  assertEquals(await answer(call("DELETE", `/bucket/${name()}`)), notFound);
  assertEquals(await answer(call("DELETE", `/bucket/${id}`, { token })), notFound);
  assertEquals(await answer(call("POST", `/bucket/${name()}/empty`)), notFound);
});

test("buckets are listed with limit, offset, order and search", async () => {
  const run = crypto.randomUUID().slice(0, 8);
  const ids = ["a", "b", "c"].map((letter) => `list_${run}-${letter}`);
  const decoy = `listX${run}-d`;
  const { storage } = server().service;
  for (const id of [...ids, decoy]) await storage.createBucket(id);

  const listed = async (options: Parameters<typeof storage.listBuckets>[0]) =>
    (await storage.listBuckets(options)).data?.map((bucket) => bucket.id);
  const search = `LIST_${run}`;
  assertEquals(await listed({ search, sortColumn: "name", sortOrder: "asc" }), ids);
  assertEquals(
    await listed({ search, sortColumn: "created_at", sortOrder: "desc", limit: 1, offset: 1 }),
    [ids[1]],
  );

  const { data } = await storage.listBuckets({ search: ids[0] });
  assertEquals(Object.keys(data![0]), [
    "id",
    "name",
    "owner",
    "public",
    "type",
    "file_size_limit",
    "allowed_mime_types",
    "created_at",
    "updated_at",
  ]);
  assertEquals(data![0].type, "STANDARD");

  const user = await server().user();
  assertEquals(await user.client.storage.listBuckets(), { data: [], error: null });
});

test("listing buckets checks its options", async () => {
  const message = async (query: string) => {
    const { status, body } = await answer(call("GET", `/bucket?${query}`));
    return [status, (body as { message: string }).message];
  };
  assertEquals(await message("limit=0"), [400, "querystring/limit must be >= 1"]);
  assertEquals(await message("offset=-1"), [400, "querystring/offset must be >= 0"]);
  assertEquals(await message("sortColumn=owner"), [
    400,
    "querystring/sortColumn must be equal to one of the allowed values",
  ]);
});

test("a bucket's settings change one by one", async () => {
  const id = await makeBucket({ public: true, fileSizeLimit: 10, allowedMimeTypes: ["image/png"] });
  const settings = async (): Promise<unknown[]> => {
    const { data } = await server().service.storage.getBucket(id);
    return [data?.public, data?.file_size_limit, data?.allowed_mime_types];
  };
  const update = (json: unknown) => answer(call("PUT", `/bucket/${id}`, { json }));
  const updated = { status: 200, body: { message: "Successfully updated" } };

  assertEquals(await update({ public: false }), updated);
  assertEquals(await settings(), [false, 10, ["image/png"]]);
  assertEquals(await update({ file_size_limit: "2KB" }), updated);
  assertEquals(await settings(), [false, 2000, ["image/png"]]);
  assertEquals(await update({ allowed_mime_types: ["text/plain"] }), updated);
  assertEquals(await settings(), [false, 2000, ["text/plain"]]);
  assertEquals(await update({ file_size_limit: null, allowed_mime_types: null }), updated);
  assertEquals(await settings(), [false, null, null]);

  assertEquals(
    await server().service.storage.updateBucket(id, { public: true }),
    { data: { message: "Successfully updated" }, error: null },
  );
  assertEquals((await update({})).status, 400);
  assertEquals((await update({ unknown: 1 })).status, 400);
});

test("a bucket is deleted only when it is empty", async () => {
  const id = await makeBucket();
  await seed(id, "a.txt");
  assertEquals(await answer(call("DELETE", `/bucket/${id}`)), {
    status: 400,
    body: {
      statusCode: "409",
      error: "ResourceNotEmpty",
      message: "The bucket you tried to delete is not empty",
      code: "ResourceNotEmpty",
    },
  });
  await server().service.storage.from(id).remove(["a.txt"]);
  assertEquals(await server().service.storage.deleteBucket(id), {
    data: { message: "Successfully deleted" },
    error: null,
  });
  const { error } = await server().service.storage.getBucket(id);
  assertEquals(error?.message, "Bucket not found");
});

test("emptying removes every row and file, for the service only", async () => {
  const id = await makeBucket();
  await seed(id, "a.txt");
  await seed(id, "b/c.txt");
  const ownFiles = async () => (await server().files()).filter((path) => path.startsWith(id));
  assertEquals((await ownFiles()).length, 2);

  for (const token of [server().anonToken, (await server().user()).token]) {
    assertEquals(await answer(call("POST", `/bucket/${id}/empty`, { token })), {
      status: 403,
      body: {
        statusCode: "403",
        error: "Unauthorized",
        message: "Access denied: Invalid role",
        code: "AccessDenied",
      },
    });
  }
  assertEquals((await ownFiles()).length, 2);

  const emptied = await server().service.storage.emptyBucket(id);
  assertEquals(emptied, {
    data: { message: "Empty bucket has been queued. Completion may take up to an hour." },
    error: null,
  });
  assertEquals(await server().sql("select from storage.objects where bucket_id = $1", [id]), []);
  assertEquals(await ownFiles(), []);
  assertEquals((await server().service.storage.emptyBucket(id)).error, null);
});

test("a credential is asked for before anything else, and a bad one is named", async () => {
  for (
    const [method, path] of [["GET", "/bucket"], ["GET", "/bucket/x"], ["DELETE", "/bucket/x"]]
  ) {
    assertEquals(await answer(call(method, path, { token: null })), {
      status: 400,
      body: {
        statusCode: "400",
        error: "Error",
        message: "headers must have required property 'authorization'",
        code: "InvalidRequest",
      },
    });
  }
  const denied = (message: string) => ({
    status: 400,
    body: { statusCode: "403", error: "Unauthorized", message, code: "AccessDenied" },
  });
  assertEquals(
    await answer(call("GET", "/bucket", { token: "nonsense" })),
    denied("Invalid Compact JWS"),
  );
  const expired = await server().token({ role: "service_role" }, "-1s");
  assertEquals(
    await answer(call("GET", "/bucket", { token: expired })),
    denied('"exp" claim timestamp check failed'),
  );
  const forged = `${server().serviceToken.slice(0, -4)}AAAA`;
  assertEquals(
    await answer(call("GET", "/bucket", { token: forged })),
    denied("signature verification failed"),
  );
});

test("publishable and secret keys act as anon and the service", async () => {
  const id = await makeBucket();
  const secret = server().client("sb_secret_test");
  assertEquals((await secret.storage.getBucket(id)).data?.id, id);
  const publishable = server().client("sb_publishable_test");
  assertEquals((await publishable.storage.getBucket(id)).error?.message, "Bucket not found");
  const keyOnly = await fetch(`${server().url}/bucket/${id}`, {
    headers: { apikey: "sb_secret_test" },
  });
  assertEquals(keyOnly.status, 200);
  await keyOnly.body?.cancel();
  const unknown = await fetch(`${server().url}/bucket/${id}`, {
    headers: { apikey: "sb_secret_unknown" },
  });
  assertEquals(unknown.status, 400);
  assertEquals((await unknown.json()).message, "Invalid Compact JWS");
});

test("unknown routes answer a 404 that names them", async () => {
  assertEquals(await answer(call("GET", "/nowhere?x=1")), {
    status: 404,
    body: {
      statusCode: "404",
      error: "Not Found",
      message: "Route GET:/nowhere?x=1 not found",
      code: "InvalidRequest",
    },
  });
  assertEquals((await answer(call("GET", "/object/notfound"))).status, 404);
  assertEquals((await answer(call("PATCH", "/bucket/x"))).status, 404);
});

test("an unreadable JSON body is refused", async () => {
  const headers = { "content-type": "application/json" };
  const message = async (body: string) => {
    const { status, body: error } = await answer(call("POST", "/bucket", { headers, body }));
    return [status, (error as { message: string }).message];
  };
  assertEquals(await message(""), [
    400,
    "Body cannot be empty when content-type is set to 'application/json'",
  ]);
  assertEquals(await message("{"), [
    400,
    "Body is not valid JSON but content-type is set to 'application/json'",
  ]);
  assertEquals(await message(`{"name":"${"x".repeat(1024 * 1024)}"}`), [
    413,
    "Request body is too large",
  ]);
});

test("purging a cache answers as a server without a CDN", async () => {
  const { data, error } = await server().service.storage.from("any").purgeCache("a.txt");
  assertEquals(data, null);
  assertEquals(error?.message, "Missing Required Parameter CDN_PURGE_ENDPOINT_URL is not set");
  assertEquals(
    (await answer(call("DELETE", "/cdn/any/a.txt", { token: server().anonToken }))).status,
    403,
  );
});

test("the server tells that it is well", async () => {
  assertEquals((await call("GET", "/status", { token: null })).status, 200);
  assertEquals(await answer(call("GET", "/health", { token: null })), {
    status: 200,
    body: { healthy: true },
  });
});
