import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "../../testing/assert.ts";
import { loadConfig, parseSize } from "../config.ts";
import { keyToRole, loadKeys } from "../keys.ts";
import { isServerOf } from "../postmaster.ts";
import { parsePasswd } from "../process_owner.ts";
import { sqlErrorStatus } from "../rest_errors.ts";
import { isoTimeInUtc, isoTimeWithOffset } from "../wire_types.ts";

Deno.test("sizes are read as the CLI reads them", () => {
  const sizes: [unknown, number][] = [
    ["100MiB", 104_857_600],
    ["50MB", 52_428_800],
    ["1 GB", 1024 ** 3],
    ["1.5k", 1536],
    ["7", 7],
    [7, 7],
  ];
  for (const [text, bytes] of sizes) assertEquals(parseSize(text), bytes, String(text));
  for (const text of ["", "many", "-1MB", "1XB"]) {
    assertThrows(() => parseSize(text), Error, "Not a size");
  }
});

Deno.test("the configuration is this checkout's, with the CLI's defaults", async () => {
  const config = await loadConfig();
  assertEquals(config.storage.fileSizeLimit, parseSize("100MiB"));
  const file = await Deno.makeTempFile({ suffix: ".toml" });
  try {
    await Deno.writeTextFile(file, 'project_id = "x"\n[functions.f]\nverify_jwt = false\n');
    const defaults = await loadConfig(file);
    assertEquals([defaults.api.port, defaults.db.port, defaults.api.maxRows], [54321, 54322, 1000]);
    assertEquals([defaults.functions.f.enabled, defaults.functions.f.verifyJwt], [true, false]);
    await Deno.writeTextFile(file, "project_id = ");
    await assertRejects(() => loadConfig(file), Error, file);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("keys are made once, kept, and worth a role", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const keys = await loadKeys(dir);
    assertEquals(await loadKeys(dir), keys);
    assertMatch(keys.publishableKey, /^sb_publishable_\w{22}_\w{8}$/);
    assertMatch(keys.secretKey, /^sb_secret_\w{22}_\w{8}$/);
    assert(keys.jwtSecret.length >= 32);
    if (Deno.build.os !== "windows") {
      assertEquals((await Deno.stat(`${dir}/keys.json`)).mode! & 0o777, 0o600);
    }
    const roleOf = keyToRole(keys);
    assertEquals([roleOf(keys.publishableKey), roleOf(keys.anonKey)], ["anon", "anon"]);
    assertEquals([roleOf(keys.secretKey), roleOf(keys.serviceRoleKey)], [
      "service_role",
      "service_role",
    ]);
    assertEquals([roleOf(""), roleOf("sb_secret_x")], [undefined, undefined]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("accounts are read from passwd, whatever else is in it", () => {
  const text =
    "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x::\npostgres:x:70:71::/:/bin/false\n";
  assertEquals(parsePasswd(text), [
    { name: "root", uid: 0, gid: 0 },
    { name: "postgres", uid: 70, gid: 71 },
  ]);
});

Deno.test("a process that is no Postgres of this directory is not taken for one", async () => {
  assertEquals(await isServerOf(Deno.pid, "/somewhere"), false);
  assertEquals(await isServerOf(0, "/somewhere"), false);
  assertEquals(await isServerOf(NaN, "/somewhere"), false);
});

Deno.test("SQLSTATEs become the statuses that PostgREST gives them", () => {
  const cases: [string, number][] = [
    ["SW001", 400],
    ["PT418", 418],
    ["PT999", 500],
    ["PTabc", 500],
    ["23503", 409],
    ["23514", 400],
    ["57P01", 503],
    ["08006", 503],
    ["42P17", 500],
    ["XX000", 500],
  ];
  for (const [code, status] of cases) {
    assertEquals(sqlErrorStatus({ code, message: "" }, true), status, code);
  }
});

Deno.test("times are written as each API writes them", () => {
  assertEquals(isoTimeWithOffset("2026-11-21 04:16:51.27+00"), "2026-11-21T04:16:51.27+00:00");
  assertEquals(isoTimeWithOffset("2026-11-21 04:16:51+05:30"), "2026-11-21T04:16:51+05:30");
  assertEquals(isoTimeWithOffset("infinity"), "infinity");
  assertEquals(isoTimeInUtc("2026-11-21 04:16:51.27+00"), "2026-11-21T04:16:51.27Z");
  assertEquals(isoTimeInUtc("2026-11-21 04:16:51.27"), "2026-11-21T04:16:51.27Z");
});
