/** `npm run storage:check` and `npm run storage:retention`, as processes, on a project that has all that can be wrong. */
import { assert, assertEquals, assertMatch } from "../../testing/assert.ts";
import { withClient } from "../../stack/database.ts";
import { PROJECT_DIR } from "../../stack/project.ts";
import { type Moment, startKillingProxy } from "../../testing/killing_proxy.ts";
import { buildArchive } from "../../../supabase/functions/tests/archives.ts";
import {
  call,
  createApp,
  declare,
  objectNames,
  test,
  upload,
  withWorld,
} from "../../../supabase/functions/tests/world.ts";
import { auditStorage, type Finding } from "../audit.ts";

const world = withWorld();

interface Result {
  code: number;
  /** Lines of standard output. */
  lines: string[];
  stderr: string;
}

async function run(
  command: "check" | "retention",
  args: string[],
  options: { url?: string; env?: Record<string, string>; spawned?(pid: number): void } = {},
): Promise<Result> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", `scripts/storage/${command}.ts`, ...args],
    cwd: PROJECT_DIR,
    env: options.env ?? {
      SUPABASE_URL: options.url ?? world().stack.apiUrl,
      SUPABASE_SECRET_KEY: world().stack.secretKey,
    },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  options.spawned?.(child.pid);
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, lines: text(stdout).trim().split("\n"), stderr: text(stderr) };
}

async function runCheck(...args: string[]) {
  const { code, lines } = await run("check", ["--json", "--min-age", "0", ...args]);
  const parsed = lines.map((line) => JSON.parse(line));
  const findings: Finding[] = parsed.flatMap(({ finding }) => finding ?? []);
  return { code, findings, report: parsed.at(-1).report };
}

const files = (bucket = "app-storage") => world().service.storage.from(bucket);
const sql = (text: string, values: unknown[] = []) =>
  withClient(world().stack.dbUrl, (client) => client.query(text, values));

async function put(name: string, content: string, bucket = "app-storage"): Promise<void> {
  const contentType = bucket === "app-logs" ? "text/plain" : "application/octet-stream";
  const { error } = await files(bucket).upload(name, content, { contentType, upsert: true });
  assertEquals(error, null);
}

/** A file of a version, uploaded and verified. */
async function addFile(appId: string, name: string, text: string, version = "1.0.0") {
  const bytes = new TextEncoder().encode(JSON.stringify(text));
  const begin = await declare(world(), bytes, {
    app_id: appId,
    version,
    file_name: name,
    file_type: "asset",
    content_type: "application/json",
  });
  const { status, body } = await upload(world(), world().publisher, begin, bytes);
  assertEquals(status, 200, JSON.stringify(body));
  return body.file;
}

async function release(appId: string, version: string): Promise<void> {
  const archive = buildArchive({
    format: "zip",
    entries: [{ name: "manifest.json", manifest: true }, { name: "index.js", text: "1" }],
  });
  const begin = await declare(world(), archive, { app_id: appId, version });
  const { status, body } = await upload(world(), world().publisher, begin, archive);
  assertEquals(status, 200, JSON.stringify(body));
  const { error } = await world().publisher.client.from("app_versions")
    .update({ status: "published" }).eq("app_id", appId).eq("version", version);
  assertEquals(error, null);
}

/** A finished run with a log and a file, each of some age. */
async function addRun(appId: string, days: number): Promise<string> {
  const { rows: [{ id }] } = await sql(
    "insert into app_runs (app_id, company_id) values ($1, $2) returning id",
    [appId, world().companyId],
  );
  for (
    const [type, bucket, name] of [["stdout", "app-logs", "stdout.log"], [
      "file",
      "app-storage",
      "outputs/a",
    ]]
  ) {
    const path = `app_${appId}/runs/${id}/${name}`;
    await put(path, "text", bucket);
    await sql(
      `insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size, created_at)
       values ($1, $2, $3, $4, $5, 4, now() - make_interval(days => $6))`,
      [id, type, name, bucket, path, days],
    );
  }
  await sql("update app_runs set status = 'cancelled' where id = $1", [id]);
  return id;
}

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
    "--min-age takes a whole number, 0 or more, not soon.",
  ]);
  const unknown = await run("retention", ["--force"]);
  assertEquals(unknown.code, 2);
  assertMatch(unknown.stderr, /--force/);
  const half = await run("check", [], {
    env: { SUPABASE_URL: "http://127.0.0.1:1", SUPABASE_SECRET_KEY: "" },
  });
  assertEquals([half.code, half.stderr.trim()], [
    2,
    "SUPABASE_URL and SUPABASE_SECRET_KEY belong together: set both.",
  ]);
});

async function releasedApp(): Promise<string> {
  const appId = await createApp(world().publisher, world().companyId);
  await release(appId, "1.0.0");
  return appId;
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
  await sql(
    "insert into private.storage_changes (company_id, kind, bytes, objects) values ($1, 'files', 7, 1)",
    [
      world().companyId,
    ],
  );

  const expected = [
    ["checksum_mismatch", changed.file_path, "removed"],
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
  assertEquals([repaired.code, repaired.report.left], [1, 1]);
  assertEquals(await objectNames(world(), draft), []);
  const again = await runCheck("--verify-checksums");
  assertEquals(summary(again.findings, false), [`row_without_object ${source}`]);

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

async function runCheckInProcess(): Promise<Finding[]> {
  const findings: Finding[] = [];
  await auditStorage(world().service, {
    minAgeSeconds: 0,
    onFinding: (each) => findings.push(each),
  });
  return findings;
}
