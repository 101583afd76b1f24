/** Rules that stand in the database and here: both say the same of every boundary value. */
import pg from "pg";
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { MAX_FILE_BYTES } from "../_shared/limits.ts";
import { PERMISSION_TYPES } from "../_shared/manifest/schema.ts";
import { APP_STORAGE_TYPES, FILE_TYPES } from "../_shared/media_types.ts";
import { isSafePath } from "../_shared/safe_path.ts";
import { isSemver } from "../_shared/semver.ts";
import { test, withWorld } from "./world.ts";

const world = withWorld();

async function rows<Row extends pg.QueryResultRow>(
  sql: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: world().stack.dbUrl });
  await client.connect();
  try {
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

async function agrees(
  sqlFunction: string,
  rule: (value: string) => boolean,
  values: string[],
): Promise<void> {
  const answers = await rows<{ value: string; ok: boolean }>(
    `select value, private.${sqlFunction}(value) as ok from unnest($1::text[]) as value`,
    [values],
  );
  for (const { value, ok } of answers) {
    assertEquals(rule(value), ok, `${sqlFunction}(${JSON.stringify(value)})`);
  }
  assert(answers.some(({ ok }) => ok) && answers.some(({ ok }) => !ok));
}

test("safe paths", () =>
  agrees("is_safe_path", isSafePath, [
    "",
    "a",
    "a/b.js",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "./a",
    "../a",
    "a/../b",
    "a/..",
    "...",
    "a/.hidden",
    "a b",
    " a",
    "a ",
    "a /b",
    "a/ b",
    "a\\b",
    "a\tb",
    "a\nb",
    "a\n",
    "\u00e9",
    "a:b",
    "a?b",
    "a#b",
    "a%2e",
    "@x/y+z=1,(2)",
    "x".repeat(512),
    "x".repeat(513),
    "-",
    "_",
  ]));

test("semantic versions", () =>
  agrees("is_semver", isSemver, [
    "1.0.0",
    "0.0.0",
    "01.0.0",
    "1.0",
    "1",
    "1.0.0.0",
    "v1.0.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-01",
    "1.0.0-0a",
    "1.0.0-",
    "1.0.0+",
    "1.0.0+001",
    "1.0.0-a+b.c",
    "1.0.0-a..b",
    "1.0.0\n",
    " 1.0.0",
    "1.0.0-\u00e9",
    "10.20.30",
    "1.0.0-" + "a".repeat(58),
    "1.0.0-" + "a".repeat(59),
    "99999999999999999999.0.0",
    "",
  ]));

test("media types and the size of app-storage", async () => {
  const [bucket] = await rows<{ allowed_mime_types: string[]; file_size_limit: string }>(
    "select allowed_mime_types, file_size_limit from storage.buckets where id = 'app-storage'",
  );
  assertEquals(bucket.allowed_mime_types.toSorted(), [...APP_STORAGE_TYPES].sort());
  assertEquals(Number(bucket.file_size_limit), MAX_FILE_BYTES);
});

test("file types and permission types", async () => {
  for (
    const [constraint, values] of [
      ["app_storage_file_type", FILE_TYPES],
      ["app_uploads_file_type", FILE_TYPES],
      ["app_permissions_permission_type", PERMISSION_TYPES],
    ] as const
  ) {
    const [{ definition }] = await rows<{ definition: string }>(
      "select pg_get_constraintdef(oid) as definition from pg_constraint where conname = $1",
      [constraint],
    );
    assertEquals(
      [...definition.matchAll(/'(\w+)'/g)].map(([, value]) => value).sort(),
      [...values].sort(),
    );
  }
});

test("every error of the database is one of the catalogue", async () => {
  const migration = await Deno.readTextFile(
    new URL("../../migrations/20250710000000_create_foundations.sql", import.meta.url),
  );
  const { fromDatabase } = await import("../_shared/upstream_errors.ts");
  const listed = [...new Set([...migration.matchAll(/\bSW\d{3}\b/g)].map(([code]) => code))];
  assert(listed.length > 10);
  for (const code of listed) {
    const error = fromDatabase({ code, message: "m", details: '{"field":"f"}', hint: "" } as never);
    assertEquals(error.entry.fault, "caller", code);
  }
});
