/** Retention and repair while Storage is down, lies or forgets, and while others do the same. */
import { assert, assertEquals, assertMatch } from "../../testing/assert.ts";
import {
  createApp,
  objectNames,
  test,
  withWorld,
} from "../../../supabase/functions/tests/world.ts";
import { applyRetention } from "../apply_retention.ts";
import { auditStorage, type Finding } from "../audit.ts";
import { createServiceClient } from "../../command/project.ts";
import { commandsOn } from "./commands.ts";

const world = withWorld();
const { run, runCheckInProcess, files, sql, put, addFile, releasedApp, addRun } = commandsOn(world);

type Fault = (request: Request) => Response | undefined;

/** The project, but for what Storage answers. */
async function withFault<T>(fault: Fault, work: (url: string) => Promise<T>): Promise<T> {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const wrong = pathname.startsWith("/storage/") ? fault(request) : undefined;
    if (wrong) return wrong;
    const headers = new Headers(request.headers);
    for (const name of ["host", "content-length", "accept-encoding"]) headers.delete(name);
    const body = await request.arrayBuffer();
    const response = await fetch(world().stack.apiUrl + pathname + search, {
      method: request.method,
      headers,
      body: body.byteLength > 0 ? body : undefined,
    });
    return new Response(await response.arrayBuffer(), {
      status: response.status,
      headers: { "content-type": response.headers.get("content-type") ?? "text/plain" },
    });
  });
  try {
    return await work(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

const down: Fault = () =>
  Response.json({ statusCode: "500", error: "Internal", message: "The disk is on fire" }, {
    status: 500,
  });

/** As if the time of all claims had passed. */
const endClaims = () =>
  sql("update private.object_deletions set claimed_until = now() where claimed_until is not null");

/** Deletes what is queued, and answers how much is left: what may be written once more, and goes later. */
async function sweep(): Promise<number> {
  await endClaims();
  return (await applyRetention(world().service, { limit: 1000 })).queued_objects;
}

const clientOf = (url: string) => createServiceClient(url, world().stack.secretKey);

test("a file that Storage cannot read now is not taken for a damaged one", async () => {
  const appId = await createApp(world().publisher, world().companyId);
  const file = await addFile(appId, "a.json", "precious");
  const faults: Record<string, [Fault, RegExp]> = {
    "answers 500": [down, /could not be read: The disk is on fire/],
    "breaks off": [
      ({ method }) =>
        method === "GET"
          // Less than was announced: the connection closes.
          ? new Response(ReadableStream.from([new Uint8Array(100_000)]), {
            headers: { "content-length": "200000" },
          })
          : undefined,
      /could not be read/,
    ],
  };
  for (const [what, [fault, message]] of Object.entries(faults)) {
    const findings: Finding[] = [];
    const report = await withFault(fault, (url) =>
      auditStorage(clientOf(url), {
        repair: true,
        verifyChecksums: true,
        minAgeSeconds: 0,
        onFinding: (finding) => findings.push(finding),
      }));
    assertEquals([what, findings, report.left], [what, [], 0]);
    assertMatch(report.errors.join("\n"), message);
    // The command says so.
    const { code, stderr } = await withFault(
      fault,
      (url) => run("check", ["--verify-checksums"], { url }),
    );
    assertEquals([what, code], [what, 1]);
    assertMatch(stderr, message);
  }
  // An object that is not there is a finding, though.
  const { data } = await world().service.from("app_storage").select("id").eq("app_id", appId);
  assertEquals(data?.map(({ id }) => id), [file.id]);
  const missing: Fault = ({ method }) =>
    method === "GET"
      ? Response.json({ statusCode: "404", error: "not_found", message: "Object not found" }, {
        status: 400,
      })
      : undefined;
  const found: Finding[] = [];
  await withFault(missing, (url) =>
    auditStorage(clientOf(url), {
      verifyChecksums: true,
      minAgeSeconds: 0,
      onFinding: (finding) => found.push(finding),
    }));
  assertEquals(found.map(({ problem, name }) => [problem, name]), [
    ["checksum_mismatch", file.file_path],
  ]);
});

test("what Storage does not delete is told, and deleted by the next call", async () => {
  const faults: Record<string, Fault> = {
    "The disk is on fire": down,
    "has not deleted all that it was told to": ({ method }) =>
      method === "DELETE" ? Response.json([]) : undefined,
  };
  for (const [reason, fault] of Object.entries(faults)) {
    const appId = await releasedApp();
    const later = await sweep();
    await addRun(appId, 100);
    const before = await objectNames(world(), appId);
    assertEquals(before.length, 2);
    const { code, lines } = await withFault(
      fault,
      (url) => run("retention", ["--json"], { url }),
    );
    const report = JSON.parse(lines[0]);
    assertEquals([code, report.deleted_objects, report.failed_objects], [1, 0, 2]);
    assert(report.errors.join().includes(reason), report.errors.join());
    assertEquals(report.queued_objects, later + 2);
    assertEquals(await objectNames(world(), appId), before);
    assertEquals(await runCheckInProcess(), []);
    // Another one that comes at once leaves alone what is claimed, and is not in anybody's way.
    assertEquals((await applyRetention(world().service, { limit: 100 })).deleted_objects, 0);
    await endClaims();
    const rest = await applyRetention(world().service, { limit: 100 });
    assertEquals([rest.deleted_objects, rest.failed_objects, rest.queued_objects], [2, 0, later]);
    assertEquals((await objectNames(world(), appId)).length, 1);
  }
});

test("what is gone already is no error", async () => {
  const appId = await releasedApp();
  const later = await sweep();
  const id = await addRun(appId, 100);
  await files("app-logs").remove([`app_${appId}/runs/${id}/stdout.log`]);
  const report = await applyRetention(world().service, { limit: 100 });
  assertEquals([report.failed_objects, report.errors, report.queued_objects], [0, [], later]);
  const { data } = await world().service.from("app_outputs").select("id").eq("run_id", id);
  assertEquals(data, []);
  const { data: stripped } = await world().service.from("app_runs").select("logs_path").eq("id", id)
    .single();
  assertEquals(stripped, { logs_path: null });
});

test("several that apply policies or repair at once do it once", async () => {
  const appId = await releasedApp();
  await sweep();
  for (let i = 0; i < 6; i++) await addRun(appId, 100);
  const reports = await Promise.all(
    [1, 2, 3].map(() => applyRetention(world().service, { limit: 1000 })),
  );
  const sum = (numbers: number[]) => numbers.reduce((all, each) => all + each, 0);
  assertEquals(sum(reports.flatMap(({ retired }) => retired.map(({ rows }) => rows))), 12);
  assertEquals(sum(reports.map(({ deleted_objects }) => deleted_objects)), 12);
  assertEquals(sum(reports.map(({ failed_objects }) => failed_objects)), 0);
  assertEquals((await objectNames(world(), appId)).length, 1);

  await put(`app_${appId}/1.0.0/orphan`, "orphan");
  await sql(
    "insert into private.storage_changes (company_id, kind, bytes, objects) values ($1, 'files', 7, 1)",
    [world().companyId],
  );
  await Promise.all(
    [1, 2, 3].map(() =>
      auditStorage(world().service, { repair: true, minAgeSeconds: 0, onFinding: () => {} })
    ),
  );
  assertEquals(await runCheckInProcess(), []);
});

test("runs go with all that they left, when a company says so", async () => {
  const appId = await releasedApp();
  await sweep();
  const [old, young] = [await addRun(appId, 10), await addRun(appId, 10)];
  await sql(
    `alter table app_runs disable trigger guard_run`,
  );
  await sql(
    `update app_runs set created_at = now() - interval '9 days', started_at = now() - interval '9 days',
       completed_at = now() - interval '8 days' where id = $1`,
    [old],
  );
  await sql(`alter table app_runs enable trigger guard_run`);
  const { error } = await world().publisher.client.from("retention_policies")
    .insert({ company_id: world().companyId, app_id: appId, kind: "runs", keep_days: 7 });
  assertEquals(error, null);
  const { lines } = await run("retention", ["--json"]);
  const { retired, deleted_objects } = JSON.parse(lines[0]);
  assertEquals(
    retired.map(({ kind, rows, objects }: Record<string, unknown>) => [kind, rows, objects]),
    [["outputs of runs", 2, 2], ["runs", 1, 0]],
  );
  assertEquals(deleted_objects, 2);
  const { data } = await world().service.from("app_runs").select("id").eq("app_id", appId);
  assertEquals(data, [{ id: young }]);
  assertEquals((await objectNames(world(), appId)).length, 2);
  assertEquals(await runCheckInProcess(), []);
});
