/**
 * Which rights each call needs: with exactly these policies it succeeds, and without any one of them it is refused, in the
 * words of the real server.
 */
import { assertEquals } from "../../../testing/assert.ts";
import { answer, call, makeBucket, server, test, withServer } from "./harness.ts";

withServer();

type Right = `${"objects" | "buckets"} ${"select" | "insert" | "update" | "delete"}`;

interface Situation {
  bucket: string;
  token: string;
}

interface Call {
  name: string;
  /** Objects that are there before. */
  objects?: string[];
  rights: Right[];
  run(situation: Situation): Promise<Response>;
  /** What is refused without a right: the answer's message, or the whole body of a 200 that shows nothing. */
  without: Partial<Record<Right, string | unknown[]>>;
}

const RLS = "new row violates row-level security policy";
const NO_OBJECT = "Object not found";
const NO_BUCKET = "Bucket not found";

const request = (
  { token }: Situation,
  method: string,
  path: string,
  rest: { json?: unknown; body?: BodyInit; headers?: HeadersInit } = {},
) => call(method, path, { token, ...rest });
const UPSERT = { "x-upsert": "true" };

const CALLS: Call[] = [
  {
    name: "uploading needs insert",
    rights: ["objects insert"],
    run: (s) => request(s, "POST", `/object/${s.bucket}/new`, { body: "x" }),
    without: { "objects insert": RLS },
  },
  {
    name: "upserting a new object needs insert and select",
    rights: ["objects insert", "objects select"],
    run: (s) => request(s, "POST", `/object/${s.bucket}/new`, { body: "x", headers: UPSERT }),
    without: { "objects insert": RLS, "objects select": RLS },
  },
  {
    name: "upserting an existing object needs insert, select and update",
    objects: ["old"],
    rights: ["objects insert", "objects select", "objects update"],
    run: (s) => request(s, "POST", `/object/${s.bucket}/old`, { body: "x", headers: UPSERT }),
    without: { "objects insert": RLS, "objects select": RLS, "objects update": RLS },
  },
  {
    name: "updating needs what upserting needs",
    objects: ["old"],
    rights: ["objects insert", "objects select", "objects update"],
    run: (s) => request(s, "PUT", `/object/${s.bucket}/old`, { body: "x" }),
    without: { "objects insert": RLS, "objects select": RLS, "objects update": RLS },
  },
  {
    name: "downloading needs select",
    objects: ["old"],
    rights: ["objects select"],
    run: (s) => request(s, "GET", `/object/${s.bucket}/old`),
    without: { "objects select": NO_OBJECT },
  },
  {
    name: "info needs select",
    objects: ["old"],
    rights: ["objects select"],
    run: (s) => request(s, "GET", `/object/info/${s.bucket}/old`),
    without: { "objects select": NO_OBJECT },
  },
  {
    name: "listing shows what select shows",
    objects: ["old"],
    rights: ["objects select"],
    run: (s) => request(s, "POST", `/object/list/${s.bucket}`, { json: { prefix: "" } }),
    without: { "objects select": [] },
  },
  {
    name: "signing a URL needs select",
    objects: ["old"],
    rights: ["objects select"],
    run: (s) => request(s, "POST", `/object/sign/${s.bucket}/old`, { json: { expiresIn: 60 } }),
    without: { "objects select": NO_OBJECT },
  },
  {
    name: "signing an upload needs insert",
    rights: ["objects insert"],
    run: (s) => request(s, "POST", `/object/upload/sign/${s.bucket}/new`),
    without: { "objects insert": RLS },
  },
  {
    name: "signing an upload that may overwrite needs insert, select and update",
    objects: ["old"],
    rights: ["objects insert", "objects select", "objects update"],
    run: (s) => request(s, "POST", `/object/upload/sign/${s.bucket}/old`, { headers: UPSERT }),
    without: { "objects insert": RLS, "objects select": RLS, "objects update": RLS },
  },
  {
    name: "removing one needs delete and select",
    objects: ["old"],
    rights: ["objects delete", "objects select"],
    run: (s) => request(s, "DELETE", `/object/${s.bucket}/old`),
    without: { "objects delete": "Access denied", "objects select": "Access denied" },
  },
  {
    name: "removing many removes what delete and select allow",
    objects: ["old"],
    rights: ["objects delete", "objects select"],
    run: (s) => request(s, "DELETE", `/object/${s.bucket}`, { json: { prefixes: ["old"] } }),
    without: { "objects delete": [], "objects select": [] },
  },
  {
    name: "moving needs select and update",
    objects: ["old"],
    rights: ["objects select", "objects update"],
    run: (s) =>
      request(s, "POST", "/object/move", {
        json: { bucketId: s.bucket, sourceKey: "old", destinationKey: "new" },
      }),
    without: { "objects select": NO_OBJECT, "objects update": NO_OBJECT },
  },
  {
    name: "copying needs select and insert",
    objects: ["old"],
    rights: ["objects select", "objects insert"],
    run: (s) =>
      request(s, "POST", "/object/copy", {
        json: { bucketId: s.bucket, sourceKey: "old", destinationKey: "new" },
      }),
    without: { "objects select": NO_OBJECT, "objects insert": RLS },
  },
  {
    name: "copying over an object needs select, insert and update",
    objects: ["old", "target"],
    rights: ["objects select", "objects insert", "objects update"],
    run: (s) =>
      request(s, "POST", "/object/copy", {
        json: { bucketId: s.bucket, sourceKey: "old", destinationKey: "target" },
        headers: UPSERT,
      }),
    without: { "objects select": NO_OBJECT, "objects insert": RLS, "objects update": RLS },
  },
  {
    name: "creating a bucket needs insert",
    rights: ["buckets insert"],
    run: (s) => request(s, "POST", "/bucket", { json: { name: `b-${crypto.randomUUID()}` } }),
    without: { "buckets insert": RLS },
  },
  {
    name: "reading a bucket needs select",
    rights: ["buckets select"],
    run: (s) => request(s, "GET", `/bucket/${s.bucket}`),
    without: { "buckets select": NO_BUCKET },
  },
  {
    name: "listing buckets shows what select shows",
    rights: ["buckets select"],
    run: (s) => request(s, "GET", `/bucket?search=${s.bucket}`),
    without: { "buckets select": [] },
  },
  {
    name: "updating a bucket needs select and update",
    rights: ["buckets select", "buckets update"],
    run: (s) => request(s, "PUT", `/bucket/${s.bucket}`, { json: { public: true } }),
    without: { "buckets select": NO_BUCKET, "buckets update": NO_BUCKET },
  },
  {
    name: "deleting a bucket needs select and delete",
    rights: ["buckets select", "buckets delete"],
    run: (s) => request(s, "DELETE", `/bucket/${s.bucket}`),
    without: { "buckets select": NO_BUCKET, "buckets delete": NO_BUCKET },
  },
];

/** Runs with policies that give authenticated users these rights, and nobody anything else. */
async function withRights<T>(rights: Right[], run: () => Promise<T>): Promise<T> {
  const policies = rights.map((right) => {
    const [table, command] = right.split(" ");
    const clause = command === "insert" ? "with check (true)" : "using (true)";
    return { name: `"Allow ${right}"`, table: `storage.${table}`, command, clause };
  });
  for (const { name, table, command, clause } of policies) {
    await server().sql(
      `create policy ${name} on ${table} for ${command} to authenticated ${clause}`,
    );
  }
  try {
    return await run();
  } finally {
    for (const { name, table } of policies) await server().sql(`drop policy ${name} on ${table}`);
  }
}

/** Does the call on a fresh bucket. */
async function attempt({ objects = [], run }: Call, rights: Right[]): Promise<Response> {
  const bucket = await makeBucket();
  for (const name of objects) {
    const { error } = await server().service.storage.from(bucket).upload(name, "content");
    if (error) throw error;
  }
  const { token } = await server().user();
  return await withRights(rights, () => run({ bucket, token }));
}

for (const each of CALLS) {
  test(each.name, async () => {
    const done = await attempt(each, each.rights);
    const body = await done.text();
    assertEquals(done.status, 200, body);
    if (each.rights.every((right) => Array.isArray(each.without[right]))) {
      assertEquals(JSON.parse(body).length, 1);
    }

    for (const missing of each.rights) {
      const rights = each.rights.filter((right) => right !== missing);
      const refused = await answer(attempt(each, rights));
      const expected = each.without[missing];
      if (Array.isArray(expected)) {
        assertEquals(refused, { status: 200, body: expected }, `without ${missing}`);
      } else {
        const { message } = refused.body as { message: string };
        assertEquals([refused.status, message], [400, expected], `without ${missing}`);
      }
    }
  });
}

const DENIED = {
  status: 400,
  body: { statusCode: "403", error: "Unauthorized", message: RLS, code: "AccessDenied" },
};

/** Uploads under one policy for insert with this check. */
async function uploadUnder(
  check: string,
  path: string,
  init: Parameters<typeof call>[2],
  method = "POST",
): Promise<{ status: number; body: unknown }> {
  const { token } = await server().user();
  await server().sql(
    `create policy "Checked" on storage.objects for insert to authenticated with check (${check})`,
  );
  try {
    return await answer(call(method, path, { token, ...init }));
  } finally {
    await server().sql(`drop policy "Checked" on storage.objects`);
  }
}

test("a policy sees the file's type, announced length and user metadata before it is stored", async () => {
  const bucket = await makeBucket();
  let count = 0;
  const upload = (check: string, init: Parameters<typeof call>[2]) =>
    uploadUnder(check, `/object/${bucket}/f${count++}`, init);
  const type = "metadata->>'mimetype' like 'image/%'";
  assertEquals(
    (await upload(type, { body: "x", headers: { "content-type": "image/png" } })).status,
    200,
  );
  assertEquals(await upload(type, { body: "x", headers: { "content-type": "text/css" } }), DENIED);

  const length = "(metadata->>'contentLength')::int <= 5";
  assertEquals((await upload(length, { body: "12345" })).status, 200);
  assertEquals(await upload(length, { body: "123456" }), DENIED);

  const department = "user_metadata->>'department' = 'engineering'";
  const metadata = (value: string) => ({
    body: "x",
    headers: { "x-metadata": btoa(`{"department":"${value}"}`) },
  });
  assertEquals((await upload(department, metadata("engineering"))).status, 200);
  assertEquals(await upload(department, metadata("marketing")), DENIED);

  const sign = (value: string) =>
    uploadUnder(department, `/object/upload/sign/${bucket}/s${count++}`, {
      headers: { "x-metadata": btoa(`{"department":"${value}"}`) },
    });
  assertEquals((await sign("engineering")).status, 200);
  assertEquals(await sign("marketing"), DENIED);
});

test("a policy sees the owner, the path and the request", async () => {
  const bucket = await makeBucket();
  const { token, id } = await server().user();
  await server().sql(
    `create policy "Own folder" on storage.objects for insert to authenticated with check (
       owner_id = (select auth.uid())::text
       and (storage.foldername(name))[1] = (select auth.jwt() ->> 'sub')
       and current_setting('request.method', true) = 'POST'
       and current_setting('request.path', true) like '/object/%'
       and current_setting('request.headers', true)::jsonb ->> 'x-note' = 'seen'
       and storage.allow_only_operation('object.upload')
     )`,
  );
  const upload = (path: string, note: string) =>
    answer(
      call("POST", `/object/${bucket}/${path}`, { token, body: "x", headers: { "x-note": note } }),
    );
  const own = await upload(`${id}/a`, "seen");
  const elsewhere = await upload("other/a", "seen");
  const unmarked = await upload(`${id}/b`, "unseen");
  await server().sql(`drop policy "Own folder" on storage.objects`);
  assertEquals(own.status, 200);
  assertEquals([elsewhere, unmarked], [DENIED, DENIED]);
});

test("a policy can tell listing from reading", async () => {
  const bucket = await makeBucket();
  await server().service.storage.from(bucket).upload("a", "x");
  const { token } = await server().user();
  await server().sql(
    `create policy "List only" on storage.objects for select to authenticated
     using (storage.allow_only_operation('object.list'))`,
  );
  const list = await answer(
    call("POST", `/object/list/${bucket}`, { token, json: { prefix: "" } }),
  );
  const read = await answer(call("GET", `/object/${bucket}/a`, { token }));
  await server().sql(`drop policy "List only" on storage.objects`);
  assertEquals((list.body as unknown[]).length, 1);
  assertEquals((read.body as { message: string }).message, NO_OBJECT);
});

test("moving is checked under the new name too", async () => {
  const bucket = await makeBucket();
  await server().service.storage.from(bucket).upload("open/a", "x");
  const { token } = await server().user();
  await server().sql(
    `create policy "Open folder" on storage.objects for all to authenticated
     using ((storage.foldername(name))[1] = 'open')`,
  );
  const move = (destinationKey: string) =>
    answer(
      call("POST", "/object/move", {
        token,
        json: { bucketId: bucket, sourceKey: "open/a", destinationKey },
      }),
    );
  const out = await move("closed/a");
  const within = await move("open/b");
  await server().sql(`drop policy "Open folder" on storage.objects`);
  assertEquals(out, DENIED);
  assertEquals(within.status, 200);
});

test("a broken policy is told as a schema mismatch", async () => {
  const bucket = await makeBucket();
  const { token } = await server().user();
  await server().sql(
    `create function public.broken() returns boolean language plpgsql as
     $$ begin return (select missing from storage.objects limit 1); end $$`,
  );
  await server().sql(
    `create policy "Broken" on storage.objects for insert to authenticated with check (public.broken())`,
  );
  const failed = await answer(call("POST", `/object/${bucket}/a`, { token, body: "x" }));
  await server().sql(`drop policy "Broken" on storage.objects`);
  const { statusCode, code, message } = failed.body as Record<string, string>;
  assertEquals([failed.status, statusCode, code], [400, "503", "DatabaseSchemaMismatch"]);
  assertEquals(
    message.startsWith("There is a database schema mismatch in a trigger or RLS policy: "),
    true,
  );
});

test("a role that the server may not take is refused", async () => {
  const token = await server().token({ role: "postgres" });
  const { status, body } = await answer(call("GET", "/bucket", { token }));
  assertEquals([status, (body as { code: string }).code], [400, "AccessDenied"]);
  const unknown = await server().token({ role: "nobody" });
  assertEquals((await answer(call("GET", "/bucket", { token: unknown }))).status, 500);
});
