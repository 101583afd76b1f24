import { assert, assertEquals, assertRejects } from "../../../testing/assert.ts";
import { makeBucket, seed, server, test, withServer } from "./harness.ts";

withServer();

/** The row's only value. */
async function value(expression: string, values: unknown[] = []): Promise<unknown> {
  const [row] = await server().sql<{ value: unknown }>(`select ${expression} as value`, values);
  return row.value;
}

test("path helpers split names as policies expect", async () => {
  const cases: [string, unknown][] = [
    ["storage.foldername('a/b/c.txt')", ["a", "b"]],
    ["storage.foldername('c.txt')", []],
    ["storage.filename('a/b/c.txt')", "c.txt"],
    ["storage.filename('a/')", ""],
    ["storage.extension('a/b/c.tar.gz')", "gz"],
    ["storage.extension('a.b/c')", "c"],
    ["storage.get_common_prefix('data/a/b.txt', 'data/', '/')", "data/a/"],
    ["storage.get_common_prefix('data/b.txt', 'data/', '/')", null],
    ["storage.get_common_prefix('data/a/', 'data/', '/')", "data/a/"],
  ];
  for (const [expression, expected] of cases) {
    assertEquals(await value(expression), expected, expression);
  }
});

test("operation helpers compare with and without the prefix", async () => {
  assertEquals(await value("storage.allow_only_operation('object.list')"), false);
  const asked = (expression: string) =>
    value(
      `(select ${expression} from set_config('storage.operation', 'storage.object.list', false))`,
    );
  assertEquals(await asked("storage.operation()"), "storage.object.list");
  for (
    const expression of [
      "storage.allow_only_operation('object.list')",
      "storage.allow_only_operation('storage.object.list')",
      "storage.allow_any_operation(array['object.copy', 'storage.object.list'])",
    ]
  ) assertEquals(await asked(expression), true, expression);
  for (
    const expression of [
      "storage.allow_only_operation('object.copy')",
      "storage.allow_only_operation('')",
      "storage.allow_only_operation(null)",
      "storage.allow_any_operation(array['', null, 'object.copy'])",
      "storage.allow_any_operation(array[]::text[])",
    ]
  ) assertEquals(await asked(expression), false, expression);
  await server().sql("select set_config('storage.operation', '', false)");
});

test("rows are not deleted by plain SQL, only where the flag says that the file goes too", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt");
  const message =
    "Direct deletion from storage tables is not allowed. Use the Storage API instead.";
  for (const table of ["objects", "buckets"]) {
    const error = await assertRejects(() => server().sql(`delete from storage.${table}`));
    assertEquals((error as Error).message, message);
    assertEquals((error as { code?: string }).code, "42501");
  }
  const deleted = await server().sql(
    `with allowed as materialized (select set_config('storage.allow_delete_query', 'true', true))
     delete from storage.objects using allowed where bucket_id = $1 returning name`,
    [bucket],
  ).catch((error) => error);
  // The statement's trigger runs before the flag is set: only an earlier statement can set it.
  assert(deleted instanceof Error);
  await server().sql(`do $$ begin
    perform set_config('storage.allow_delete_query', 'true', true);
    delete from storage.objects where bucket_id = '${bucket}';
  end $$`);
  assertEquals(
    await server().sql("select from storage.objects where bucket_id = $1", [bucket]),
    [],
  );
});

test("a migration makes buckets and policies as postgres, but does not alter the tables", async () => {
  assertEquals(
    await value("(select rolsuper from pg_roles where rolname = current_user)"),
    false,
  );
  const id = `migrated-${crypto.randomUUID()}`;
  await server().sql(
    `insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
     values ($1, $1, false, 104857600, array['application/zip'])
     on conflict (id) do update set file_size_limit = excluded.file_size_limit`,
    [id],
  );
  await server().sql(
    `create policy "Nobody reads this bucket" on storage.objects for select to authenticated
     using (bucket_id = '${id}' and false)`,
  );
  await server().sql(`drop policy "Nobody reads this bucket" on storage.objects`);
  const error = await assertRejects(() =>
    server().sql("alter table storage.objects add column extra text")
  );
  assertEquals((error as { code?: string }).code, "42501");
});

test("bucket names are cut off at a hundred characters by the database too", async () => {
  const name = "x".repeat(101);
  const error = await assertRejects(() =>
    server().sql("insert into storage.buckets (id, name) values ($1, $1)", [name])
  );
  assertEquals(
    (error as Error).message,
    `bucket name "${name}" is too long (101 characters). Max is 100.`,
  );
});

test("updated_at follows every change of an object", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt");
  const times = () =>
    server().sql<{ created_at: Date; updated_at: Date }>(
      "select created_at, updated_at from storage.objects where bucket_id = $1",
      [bucket],
    );
  const [before] = await times();
  assertEquals(before.created_at, before.updated_at);
  await server().sql("update storage.objects set metadata = '{}' where bucket_id = $1", [bucket]);
  const [after] = await times();
  assertEquals(after.created_at, before.created_at);
  assert(after.updated_at > before.updated_at);
});

test("API roles hold the platform's privileges, and row security has no policy to let them use them", async () => {
  const privileges = await server().sql<{ relname: string; acl: string[] }>(
    `select c.relname, array(
       select (a).grantee::regrole || ':' || string_agg((a).privilege_type, ',' order by (a).privilege_type)
       from (select aclexplode(c.relacl) as a) x
       where (a).grantee::regrole::text in ('anon', 'authenticated', 'service_role')
       group by (a).grantee::regrole order by 1
     ) as acl
     from pg_class c where c.relnamespace = 'storage'::regnamespace and c.relkind = 'r' order by 1`,
  );
  const all = "DELETE,INSERT,MAINTAIN,REFERENCES,SELECT,TRIGGER,TRUNCATE,UPDATE";
  const everything = [`anon:${all}`, `authenticated:${all}`, `service_role:${all}`];
  const readOnly = ["anon:SELECT", "authenticated:SELECT", `service_role:${all}`];
  assertEquals(Object.fromEntries(privileges.map((row) => [row.relname, row.acl])), {
    buckets: everything,
    buckets_analytics: everything,
    buckets_vectors: everything,
    migrations: everything,
    objects: everything,
    s3_multipart_uploads: readOnly,
    s3_multipart_uploads_parts: readOnly,
    vector_indexes: everything,
  });
  assertEquals(
    await value(
      `(select bool_and(relrowsecurity) from pg_class
        where relnamespace = 'storage'::regnamespace and relkind = 'r')`,
    ),
    true,
  );
  assertEquals(
    await value("(select count(*)::int from pg_policies where schemaname = 'storage')"),
    0,
  );
  assertEquals(
    await value(
      `(select array_agg(distinct tableowner) from pg_tables where schemaname = 'storage')::text[]`,
    ),
    ["supabase_storage_admin"],
  );
});

test("sizes are summed by bucket", async () => {
  const bucket = await makeBucket();
  await seed(bucket, "a.txt", "12345");
  await seed(bucket, "b/c.txt", "123");
  assertEquals(
    await value("(select size::int from storage.get_size_by_bucket() where bucket_id = $1)", [
      bucket,
    ]),
    8,
  );
});

test("can_insert_object always takes its row back", async () => {
  const bucket = await makeBucket();
  const error = await assertRejects(() =>
    server().sql("select storage.can_insert_object($1, 'a.txt', null, '{}')", [bucket])
  );
  assertEquals((error as { code?: string }).code, "PT200");
  assertEquals(
    await server().sql("select from storage.objects where bucket_id = $1", [bucket]),
    [],
  );
});
