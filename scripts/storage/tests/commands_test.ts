/** `npm run storage:check` and `npm run storage:retention`, as processes, on a project that has all that can be wrong. */
import { assert, assertEquals, assertMatch } from "../../testing/assert.ts";
import { freePort } from "../../stack/ports.ts";
import { type Moment, startKillingProxy } from "../../testing/killing_proxy.ts";
import { checksumOf } from "../../../supabase/functions/tests/fixtures.ts";
import {
  call,
  createApp,
  declare,
  objectNames,
  test,
  withWorld,
} from "../../../supabase/functions/tests/world.ts";
import { auditStorage, type Finding } from "../audit.ts";
import { commandsOn } from "./commands.ts";

const world = withWorld();
const { run, runCheck, runCheckInProcess, files, sql, put, addFile, releasedApp, addRun } =
  commandsOn(world);

test("what agrees is no finding, and a wrong call says what is wrong with it", async () => {
  const appId = await createApp(world().publisher, world().companyId);
  await addFile(appId, "a.json", "a");
  // One that is under way, with its bytes there.
  const bytes = new TextEncoder().encode('"b"');
  const begun = await call(world(), world().publisher, "uploads", {
    json: await declare(world(), bytes, {
      app_id: appId,
      file_name: "b.json",
      file_type: "asset",
      content_type: "application/json",
    }),
  });
  await put(begun.body.path, '"b"');
  await addRun(await releasedApp(), 0);
  const { code, findings, report } = await runCheck("--verify-checksums");
  assertEquals([code, findings], [0, []]);
  assert(report.objects >= 4 && report.rows >= 4 && report.checksums >= 2, JSON.stringify(report));

  const wrong = await run("check", ["--min-age", "soon"]);
  assertEquals([wrong.code, wrong.stderr.trim()], [
    2,
    [
      "storage:check: --min-age takes a whole number, 0 or more, not soon.",
      "Usage: npm run storage:check -- [--repair] [--verify-checksums] [--min-age S] [--json]",
      "--help says what it all means.",
    ].join("\n"),
  ]);
  const unknown = await run("retention", ["--force"]);
  assertEquals(unknown.code, 2);
  assertMatch(unknown.stderr, /--force/);
  const half = await run("check", [], {
    env: { SUPABASE_URL: "http://127.0.0.1:1", SUPABASE_SECRET_KEY: "" },
  });
  assertEquals([half.code, half.stderr.trim()], [
    2,
    "storage:check: SUPABASE_URL and SUPABASE_SECRET_KEY belong together: set both.",
  ]);
});

test("a project that is not there, and a key that is of no use, are told in one line", async () => {
  const { apiUrl, secretKey, publishableKey } = world().stack;
  const closed = `http://127.0.0.1:${freePort("127.0.0.1")}`;
  const cases: ["check" | "retention", string, string, string][] = [
    ["retention", closed, secretKey, `no connection to ${closed}: Connection refused`],
    ["check", apiUrl, publishableKey, "SUPABASE_SECRET_KEY holds a publishable key"],
    ["check", apiUrl, "sb_secret_other", "the project refuses the key in SUPABASE_SECRET_KEY"],
  ];
  for (const [command, SUPABASE_URL, SUPABASE_SECRET_KEY, line] of cases) {
    const { code, stderr } = await run(command, [], { env: { SUPABASE_URL, SUPABASE_SECRET_KEY } });
    assertEquals([code, stderr.split("\n").length], [2, 2], stderr);
    assert(stderr.startsWith(`storage:${command}: ${line}`), stderr);
  }
});

/** A published version whose content was changed, a draft whose content is lost, and an object of neither. */
async function addPackages() {
  const namespace = `space-${crypto.randomUUID().slice(0, 8)}`;
  await sql("insert into package_namespaces (name, company_id) values ($1, $2)", [
    namespace,
    world().companyId,
  ]);
  const publish = async (version: string, status: string) => {
    const yaml = `version: ${version}`;
    const storage_path = `${namespace}/lib/${version}/${crypto.randomUUID()}/lib.yaml`;
    await put(storage_path, yaml, "packages");
    const { error } = await world().service.rpc("publish_package", {
      actor: world().publisher.id,
      namespace,
      name: "lib",
      version,
      sha256: (await checksumOf(new TextEncoder().encode(yaml))).slice("sha256:".length),
      size: yaml.length,
      storage_path,
      details: { status },
    });
    assertEquals(error, null);
    return storage_path;
  };
  const damaged = await publish("1.0.0", "published");
  await put(damaged, "Version: 1.0.0", "packages");
  const lost = await publish("2.0.0", "draft");
  await files("packages").remove([lost]);
  const orphan = `${namespace}/lib/3.0.0/${crypto.randomUUID()}/lib.yaml`;
  await put(orphan, "orphan", "packages");
  return { damaged, lost, orphan };
}

test("what does not agree is found, and repaired as far as it can be", async () => {
  const draft = await createApp(world().publisher, world().companyId);
  const released = await releasedApp();
  const [lost, cut, changed] = await Promise.all(
    ["lost.json", "cut.json", "changed.json"].map((name) => addFile(draft, name, "content")),
  );
  await files().remove([lost.file_path]);
  await put(cut.file_path, "c");
  await put(changed.file_path, '"CONTENT"');
  const source = `app_${released}/1.0.0/app.zip`;
  await files().remove([source]);
  const run = await addRun(released, 0);
  await files("app-logs").remove([`app_${released}/runs/${run}/stdout.log`]);
  await put(`app_${released}/runs/${run}/outputs/a`, "longer text");
  const orphans = [
    `app_${draft}/1.0.0/never-written.bin`,
    `app_${draft}/staging/${crypto.randomUUID()}`,
    `app_${draft}/staging/${crypto.randomUUID()}.verifying`,
    `app_${draft}/builds/${crypto.randomUUID()}/build.tar.gz`,
  ];
  for (const name of orphans) await put(name, "orphan");
  const log = `app_${released}/runs/${crypto.randomUUID()}/stdout.log`;
  await put(log, "orphan", "app-logs");
  const packages = await addPackages();
  await sql(
    "insert into private.storage_changes (company_id, kind, bytes, objects) values ($1, 'files', 7, 1)",
    [
      world().companyId,
    ],
  );

  const expected = [
    ["checksum_mismatch", changed.file_path, "removed"],
    ["checksum_mismatch", packages.damaged, "kept"],
    ["object_without_row", packages.orphan, "queued"],
    ["row_without_object", packages.lost, "removed"],
    ["object_without_row", log, "queued"],
    ...orphans.map((name) => ["object_without_row", name, "queued"]),
    ["row_without_object", `app_${released}/runs/${run}/stdout.log`, "marked"],
    ["row_without_object", lost.file_path, "removed"],
    ["row_without_object", source, "kept"],
    ["size_mismatch", `app_${released}/runs/${run}/outputs/a`, "corrected"],
    ["size_mismatch", cut.file_path, "removed"],
    ["usage_mismatch", "files", "noted"],
  ];
  const summary = (findings: Finding[], repaired: boolean) =>
    findings.map(({ problem, name, source, repair }) =>
      [
        problem,
        name ?? source,
        ...(repaired ? [repair] : []),
      ].join(" ")
    ).sort();
  const found = await runCheck("--verify-checksums");
  assertEquals(found.code, 1);
  assertEquals(
    summary(found.findings, false),
    expected.map((each) => each.slice(0, 2).join(" ")).sort(),
  );
  // Small pages find the same.
  const paged: Finding[] = [];
  await auditStorage(world().service, {
    verifyChecksums: true,
    minAgeSeconds: 0,
    page: 2,
    onFinding: (finding) => paged.push(finding),
  });
  assertEquals(summary(paged, false), summary(found.findings, false));
  // What is young may be under way.
  assertEquals(
    (await runCheck("--min-age", "3600")).findings.filter(({ problem }) =>
      problem === "object_without_row"
    ),
    [],
  );

  const repaired = await runCheck("--verify-checksums", "--repair");
  assertEquals(summary(repaired.findings, true), expected.map((each) => each.join(" ")).sort());
  assertEquals([repaired.code, repaired.report.left], [1, 2]);
  assertEquals(await objectNames(world(), draft), []);
  const again = await runCheck("--verify-checksums");
  assertEquals(summary(again.findings, false), [
    `checksum_mismatch ${packages.damaged}`,
    `row_without_object ${source}`,
  ]);
  const { data: namespaces } = await files("packages").list();
  const { data: versions } = await files("packages").list(`${namespaces![0].name}/lib`);
  assertEquals(versions!.map(({ name }) => name), ["1.0.0"]);

  // Once nobody can run the version, its rows may go too.
  await sql("update app_versions set status = 'archived' where app_id = $1", [released]);
  assertEquals((await runCheck("--repair")).code, 0);
});

test("retention deletes rows and objects together, says so before, and is bounded", async () => {
  const appId = await releasedApp();
  for (const days of [100, 100, 1]) await addRun(appId, days);
  const dry = await run("retention", ["--dry-run", "--json"]);
  const planned = JSON.parse(dry.lines[0]);
  assertEquals(
    planned.retired.map((
      { kind, rows, objects, bytes }: Record<string, unknown>,
    ) => [kind, rows, objects, bytes]),
    [["logs", 2, 2, 8], ["outputs", 2, 2, 8]],
  );
  assertEquals((await objectNames(world(), appId)).length, 4);
  const text = await run("retention", ["--dry-run"]);
  assertEquals(text.lines.at(-1), "Nothing was deleted: this was a dry run.");

  const first = JSON.parse((await run("retention", ["--json", "--limit", "1"])).lines[0]);
  assertEquals([first.retired.length, first.retired[0].rows, first.deleted_objects], [1, 1, 1]);
  const rest = JSON.parse((await run("retention", ["--json"])).lines[0]);
  assertEquals(rest.retired.reduce((sum: number, { rows }: { rows: number }) => sum + rows, 0), 3);
  assertEquals((await objectNames(world(), appId)).length, 2);
  const nothing = await run("retention", []);
  assertEquals([nothing.code, nothing.lines[0]], [0, "Nothing is older than it is kept."]);
  assertEquals((await runCheck()).findings, []);
});

test("retention that is killed at every step goes on where it stopped, and leaves no orphan", async () => {
  const proxy = startKillingProxy(world().stack.apiUrl);
  try {
    let calls = 0;
    for (const moment of ["before", "after"] as Moment[]) {
      for (calls = 0;; calls++) {
        const appId = await releasedApp();
        await addRun(appId, 100);
        let pid = 0;
        proxy.arm(calls + 1, moment, () => pid);
        await run("retention", [], { url: proxy.url, spawned: (started) => pid = started });
        if (!proxy.killedAt) break;
        const step = `${moment} ${proxy.killedAt}`;
        // Whatever is left is named by a row, or queued.
        assertEquals((await runCheckInProcess()).length, 0, step);
        // As if the time of its claim had passed.
        await sql(
          "update private.object_deletions set claimed_until = now() where claimed_until is not null",
        );
        await run("retention", []);
        assertEquals(await objectNames(world(), appId), [`app_${appId}/1.0.0/app.zip`], step);
        assertEquals((await runCheckInProcess()).length, 0, step);
      }
    }
    console.log(`killed before and after each of ${calls} calls`);
    assert(calls >= 6);
  } finally {
    await proxy.close();
  }
});
