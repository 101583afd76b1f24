/**
 * A member of another company, a user in none, somebody who was removed, and anonymous: every table is empty, every object is
 * not there, every function refuses, and no answer tells what exists from what does not.
 *
 * What there is to try comes from the catalogue, and the folders of functions. Each request is made twice: for what exists, and for
 * its twin, which differs in the ids and does not. The two answers must be the same but for ids. A table without a row in the
 * world, an argument or a route that nothing is known to ask with, fails by its name: add it to isolation/world.ts, or below.
 */
import { SAMPLE } from "../../supabase/functions/api/samples.ts";
import { assert, assertEquals } from "../testing/assert.ts";
import {
  type Answer,
  ask,
  type Asker,
  leaks,
  outline,
  type Question,
  secretsOf,
  Twins,
} from "./isolation/asking.ts";
import {
  fingerprint,
  listFunctionRoutes,
  listRoutines,
  listTables,
  type Routine,
  type Table,
} from "./isolation/catalogue.ts";
import {
  createWorld,
  DRAFT,
  HIDDEN_PACKAGE,
  PUBLISHED,
  sure,
  type World,
} from "./isolation/world.ts";

// deno-lint-ignore no-explicit-any -- rows of any table
type Row = Record<string, any>;

/** Requests at the same time. */
const CONCURRENCY = 8;
const ROWS_PER_TABLE = 2;
/** Columns that an update is tried on. */
const COLUMNS_PER_TABLE = 2;

/**
 * Where the two answers may differ, and why that tells nothing that is not to be known.
 * `table constraint`, or `method path` of Storage.
 */
const TOLD_BY_INTENT = new Set([
  // An owner adds whoever they know the id of to a company of their own.
  "company_members company_members_user_id_fkey",
  // A namespace is one for all: whoever claims one learns that it is taken, as of the name of a package anywhere.
  "package_namespaces copy",
  "package_namespaces package_namespaces_company_id_fkey",
  // The real server's answer: 403 in the place of 404 (see routes/objects.ts of the local one).
  "DELETE /object/{bucket}/{name}",
]);

/** Arguments of functions and what they are tried with. Those that name something of another's have several values. */
function argumentValues(world: World): Record<string, unknown[]> {
  return {
    app_id: [world.appId, world.secretAppId],
    company_id: [world.customerId, world.publisherId, world.strangerId],
    run_id: [world.runId, world.pendingRunId, world.draftRunId],
    run_ids: [[world.runId, world.pendingRunId]],
    build_id: [world.buildId, world.pendingBuildId],
    build_ids: [[world.buildId]],
    upload_id: [world.openUploadId, world.completedUploadId],
    webhook_id: [world.webhookId],
    schedule_id: [world.scheduleId],
    version_id: [crypto.randomUUID()],
    id: [crypto.randomUUID()],
    query_id: [crypto.randomUUID()],
    file_id: [world.fileId, world.draftFileId, null],
    runs: [[{ app_id: world.appId, company_id: world.customerId }], [{
      app_id: world.appId,
      company_id: world.strangerId,
    }]],
    output_id: [world.outputId, null],
    token_id: [world.tokenId],
    items: [[{ file_id: world.fileId }], [{ output_id: world.outputId }]],
    before_id: [world.runId],
    results: [[{ run_id: world.runId, status: "success" }]],
    actor: [world.publisher.id],
    executor_id: ["executor-1"],
    version: [PUBLISHED, DRAFT],
    ...Object.fromEntries(
      Object.entries({
        ...{ file_name: "main.css", file_type: "asset", content_type: "text/css", file_size: 1 },
        ...{ checksum: `sha256:${"0".repeat(64)}`, sha256: "0".repeat(64), size: 1 },
        ...{ slug: "customer", name: HIDDEN_PACKAGE.name, namespace: HIDDEN_PACKAGE.namespace },
        ...{ config: {}, metadata: {}, labels: {}, headers: {}, details: {}, counts: [] },
        ...{ run_type: "manual", priority: 0, run_after: new Date(0), idempotency_key: "key" },
        ...{ max_downloads: 1, expires_in: "1 hour", label: null, secret_sha256: "0".repeat(64) },
        ...{ bytes: 1, before_created_at: new Date("2100-01-01") },
        ...{ retry_failures: false, fingerprint: "x", answer: {}, requests: 1 },
        ...{ max_attempts: 3, max_runs: 1, max_builds: 1, max_uploads: 1, max_schedules: 1 },
        ...{ lease: "60 seconds", grace: "0", capacity: 1, attempt: 1, retry: false },
        ...{ status: "success", error_message: "x", error_code: "x", error: "x" },
        ...{ logs_path: null, output_path: null, build_path: null, source_checksum: null },
        ...{ manifest: null, storage_path: null, yaml_content: null, dependencies: [], files: [] },
        ...{ max_deliveries_per_minute: 120, delivery_id: "delivery-1", sent_at: "1" },
        ...{ signatures: "v1,x", body: "", query: "", max_results: 10, skip: 0, kind: null },
        ...{ expression: "* * * * *", timezone: "UTC", after: new Date(0), count: 1 },
        ...{ roots: [`${HIDDEN_PACKAGE.namespace}/${HIDDEN_PACKAGE.name}`], part: "version" },
        ...{
          max_rows: 10,
          dry_run: false,
          bucket_id: "app-storage",
          max_objects: 10,
          min_age: "0",
        },
        ...{ source: "files", problem: "no_object", claim_id: crypto.randomUUID(), names: ["x"] },
        ...{ content: null, inline_limit_bytes: null, move_percentage: null, dual_read: null },
      }).map(([name, value]) => [name, [value]]),
    ),
  };
}

/** What has a name and no id, and its twin that nobody has. */
const NAMED = Object.entries(HIDDEN_PACKAGE).filter(([key]) => key !== "version")
  .map(([, name]) => [name, `no-such-${name}`] as const);

/** The longest first, as some contain others. */
const NAMES = NAMED.flat().toSorted((a, b) => b.length - a.length);

/** Functions that are about the caller's own things alone: they make a company, and count requests. */
const ABOUT_ONESELF = new Set(["create_company", "take_api_requests"]);

/** What Edge Functions are asked with: the values of named parts, and bodies. */
function functionQuestions(world: World): Record<string, unknown[]> {
  const begin = (app_id: string, version: string) => ({
    ...{ app_id, version, file_name: "main.css", file_type: "asset", content_type: "text/css" },
    ...{ file_size: 1, checksum: `sha256:${"0".repeat(64)}` },
  });
  const downloads = [
    ...[world.fileId, world.sourceId, world.draftFileId].map((file_id) => ({ file_id })),
    { output_id: world.outputId },
    { path: world.openUpload.path },
    { path: `app_${world.appId}/${PUBLISHED}/main.css` },
    { path: `app_${world.appId}/runs/${world.runId}/stdout.log`, bucket: "app-logs" },
  ];
  return {
    ":id": [world.openUploadId, world.completedUploadId],
    "downloads :id": [world.tokenId],
    // Whoever has one of these has what it opens.
    ":secret": ["x"],
    ":link": ["x"],
    "downloads POST /tokens": [
      ...[world.fileId, world.sourceId, world.draftFileId].map((file_id) => ({ file_id })),
      { output_id: world.outputId },
    ],
    ":webhookId": [world.webhookId],
    ":appId": [world.appId, world.secretAppId],
    ":version": [PUBLISHED, DRAFT],
    ":scheduleId": [world.scheduleId],
    ":runId": [world.runId, world.pendingRunId],
    ":outputId": [world.outputId],
    ":fileId": [world.fileId, world.draftFileId],
    ":companyId": [world.customerId],
    ":permissionId": [world.permissionId],
    ":namespace": [HIDDEN_PACKAGE.namespace],
    ":name": [HIDDEN_PACKAGE.name],
    "packages :version": [HIDDEN_PACKAGE.version, "latest"],
    ":path": ["a.txt"],
    ":buildId": [world.buildId, world.pendingBuildId],
    "downloads POST /": [...downloads, { items: downloads }],
    "uploads POST /": [begin(world.appId, DRAFT), begin(world.secretAppId, PUBLISHED)],
    "uploads POST /:id/complete": [undefined],
    "manifests POST /validate": [{ name: "x" }],
    "packages POST /": [{ ...HIDDEN_PACKAGE }],
    "packages PATCH /:namespace/:name": [{ description: "x" }],
    "packages POST /:namespace/:name/:version/deprecate": [{ reason: "x" }],
    "packages POST /:namespace/:name/:version/archive": [{ reason: "x" }],
    "packages POST /:namespace/:name/:version/publish": [undefined],
    "packages POST /:namespace/:name/:version/restore": [undefined],
    "packages POST /jobs/move": [{}],
    "packages POST /jobs/parse": [{}],
    "packages POST /jobs/warm": [{}],
    "webhooks POST /:webhookId": [{}],
  };
}

Deno.test("nobody sees more than they may, nor that there is more", async (t) => {
  const world = await createWorld();
  try {
    const { stack, stranger } = world;
    const tables = await listTables(world.db);
    const secrets = await secretsOf(world);
    const before = await fingerprint(world.db);
    const strangers: Record<string, Asker> = {
      "a member of another company": stranger,
      "a user without a company": world.nobody,
      "a former admin": world.removed,
      "anonymous": "anonymous",
    };
    const twins = new Twins();
    const foreign = await foreignRows(world, tables);

    /** Asks for what exists and for its twin. What differs, leaks or works is a finding, in words. */
    const compare = async (
      who: string,
      question: Question,
      twin: Question,
      names: string[] = [],
      shows = (_answer: Answer) => false,
    ): Promise<string[]> => {
      const asker = strangers[who];
      const found = await ask(stack, asker, question);
      const isAlike = JSON.stringify(question) === JSON.stringify(twin);
      const missing = isAlike ? found : await ask(stack, asker, twin);
      const findings: string[] = [];
      const told = leaks(found, question, secrets);
      if (told.length > 0) findings.push(`tells ${told.join(", ")}`);
      if (found.status >= 500) findings.push("fails");
      if (found.status < 400 && shows(found)) findings.push("is served");
      if (outline(found, names) !== outline(missing, names)) findings.push("is told apart");
      return findings.map((finding) =>
        [`${who} ${finding}`, describe(question), show(found), show(missing)].join("\n  ")
      );
    };

    await t.step("there is something in every table and in both buckets", () => {
      const empty = tables.filter(({ name }) => foreign.get(name)!.length === 0);
      assertEquals(empty.map(({ name }) => name), [], "tables without a row in isolation/world.ts");
      return world.db.query(
        "select distinct bucket_id from storage.objects order by 1",
      ).then(({ rows }) =>
        assertEquals(rows.map((row) => row.bucket_id), ["app-logs", "app-storage"])
      );
    });

    await t.step("supabase-js finds one's own rows and no other", async () => {
      for (const { name } of tables) {
        for (const [who, asker] of Object.entries(strangers)) {
          if (asker === "anonymous" || asker === null || "token" in asker) continue;
          const rows = await sure(asker.client.from(name).select()) as Row[];
          const told = leaks(
            { status: 200, headers: new Headers(), text: JSON.stringify(rows), body: rows },
            { path: "" },
            secrets,
          );
          assertEquals(told, [], `${who}, ${name}`);
          if (who !== "a member of another company") {
            assertEquals(rows.filter((row) => !isForAll(name, row)), [], `${who}, ${name}`);
          }
        }
      }
    });

    for (const who of Object.keys(strangers)) {
      // Whoever is nobody's gets the same answers as the member of another company, by the same rules: some are enough.
      const isThorough = who === "a member of another company";
      const some = <T>(values: T[], count: number) => isThorough ? values : values.slice(0, count);
      await t.step(
        `${who}: no row is read, counted, found, joined, changed or deleted`,
        async () => {
          const questions: [Question, Question, string[]][] = [];
          for (const table of tables) {
            const path = `/rest/v1/${table.name}`;
            for (const row of some(foreign.get(table.name)!, 1)) {
              const key = (of: Row) =>
                table.primaryKey.map((name) => `${name}=eq.${encodeURIComponent(of[name])}`).join(
                  "&",
                );
              const other = missingTwin(table, row, twins);
              const [mine, its] = [key(row), key(other)];
              const names = table.primaryKey.flatMap((name) => [row[name], other[name]]).map(
                String,
              );
              const both = (question: (key: string) => Question) =>
                questions.push([question(mine), question(its), names]);
              both((key) => ({ path: `${path}?${key}`, headers: { prefer: "count=exact" } }));
              both((key) => ({
                method: "HEAD",
                path: `${path}?${key}`,
                headers: { prefer: "count=exact" },
              }));
              both((key) => ({
                path: `${path}?or=(${key.replaceAll("=eq.", ".eq.").replaceAll("&", ",")})`,
              }));
              both((key) => ({
                path: `${path}?${key}`,
                headers: { accept: "application/vnd.pgrst.object+json" },
              }));
              for (
                const { target } of table.references.filter(({ target }) => !target.includes("."))
              ) {
                both((key) => ({ path: `${path}?${key}&select=*,${target}!inner(*)` }));
              }
              for (const prefer of ["return=representation,count=exact", "return=minimal"]) {
                both((key) => ({ method: "DELETE", path: `${path}?${key}`, headers: { prefer } }));
                for (const column of table.updatable.slice(0, COLUMNS_PER_TABLE)) {
                  both((key) => ({
                    method: "PATCH",
                    path: `${path}?${key}`,
                    json: { [column]: row[column] },
                    headers: { prefer },
                  }));
                }
              }
            }
          }
          const findings = await each(
            questions,
            ([question, twin, names]) => compare(who, question, twin, names),
          );
          assertEquals(findings, []);
        },
      );

      await t.step(`${who}: no insert, upsert or reference tells what is there`, async () => {
        const attempts: [Question, Question][] = [];
        for (const table of tables) {
          for (const row of some(foreign.get(table.name)!, 1)) {
            for (const { what, body, upsert } of insertions(world, table, row)) {
              if (TOLD_BY_INTENT.has(`${table.name} ${what}`)) continue;
              const query = upsert ? `?on_conflict=${upsert.columns}` : "";
              const question = (json: unknown): Question => ({
                method: "POST",
                path: `/rest/v1/${table.name}${query}`,
                json,
                headers: { prefer: `${upsert?.prefer ?? "missing=default"},return=representation` },
              });
              attempts.push([question(body), question(keepOwn(world, twins, body))]);
            }
          }
        }
        const findings = await each(
          attempts,
          ([question, twin]) => compare(who, question, twin),
        );
        assertEquals(findings, []);
      });

      await t.step(`${who}: no function tells what is there`, async () => {
        const values = argumentValues(world);
        const routines = await listRoutines(world.db);
        const unknown = routines.flatMap(({ name, arguments: list }) =>
          list.filter((argument) => !(argument.name in values))
            .map((argument) => `${name}(${argument.name} ${argument.type})`)
        );
        assertEquals(unknown, [], "arguments that this test has no value for");
        const calls = routines.filter(({ name }) => !ABOUT_ONESELF.has(name))
          .flatMap((routine) => combinations(routine, values).map((json) => ({ routine, json })));
        const findings = await each(calls, ({ routine, json }) => {
          const question = (json: unknown): Question => ({
            method: "POST",
            path: `/rest/v1/rpc/${routine.name}`,
            json,
          });
          return compare(
            who,
            question(json),
            question(renamed(keepOwn(world, twins, json))),
            NAMES,
          );
        });
        assertEquals(findings, []);
      });

      await t.step(`${who}: every object is not there`, async () => {
        const { rows: objects } = await world.db.query<{ bucket: string; name: string }>(
          "select bucket_id as bucket, name from storage.objects order by 1, 2",
        );
        const calls = objects.flatMap(({ bucket, name }) => {
          // Beside it, where a stranger would look; the folder may be the one thing that is there.
          const missing = sibling(name);
          const twin = storageQuestions(bucket, missing);
          return some(storageQuestions(bucket, name), 8).map((question, at) => ({
            question,
            twin: twin[at],
            names: [name, missing].flatMap((name) => [name, encodeURIComponent(name)]),
          }));
        }).filter(({ question }) => !TOLD_BY_INTENT.has(question.what));
        const findings = await each(calls, ({ question, twin, names }) => {
          return compare(who, question, twin, names, question.shows);
        });
        assertEquals(findings, []);
      });

      await t.step(`${who}: no route of an Edge Function tells what is there`, async () => {
        const known = functionQuestions(world);
        const calls: Question[] = [];
        for (const { name, method, path, example } of await listFunctionRoutes()) {
          const parts = path.match(/:\w+/g) ?? [];
          const plain = path.replace(/\{[^}]*\}/g, "");
          const bodies = known[`${name} ${method} ${path}`] ??
            (example?.body ? exampleBodies(world, example.body) : undefined) ??
            (method === "GET" || method === "DELETE" || example ? [undefined] : undefined);
          assert(bodies, `the route ${name} ${method} ${path} has no question in this test`);
          let paths = [plain];
          for (const part of parts) {
            const values = known[`${name} ${part}`] ?? known[part];
            assert(
              values,
              `the part ${part} of ${name} ${method} ${path} has no value in this test`,
            );
            paths = paths.flatMap((path) => values.map((id) => path.replace(part, String(id))));
          }
          for (const path of paths) {
            for (const json of bodies) {
              calls.push({ method, path: `/functions/v1/${name}${path.replace(/\/$/, "")}`, json });
            }
          }
        }
        const findings = await each(
          calls,
          (question) => compare(who, question, renamed(keepOwn(world, twins, question)), NAMES),
        );
        assertEquals(findings, []);
      });
    }

    await t.step("all of that has changed nothing", async () => {
      const after = await fingerprint(world.db);
      const changed = Object.keys(after).filter((name) => after[name] !== before[name]);
      assertEquals(changed, []);
    });
  } finally {
    await world.stop();
  }
});

/** The example's body about what there is here: for another's company, and for one's own. */
function exampleBodies(world: World, body: unknown): unknown[] {
  return [world.customerId, world.strangerId].map((company) =>
    JSON.parse(
      [
        [SAMPLE.harbour, company],
        [SAMPLE.northwind, world.publisherId],
        [SAMPLE.app, world.appId],
        [SAMPLE.privateApp, world.secretAppId],
        [SAMPLE.ada, world.publisher.id],
      ].reduce((text, [sample, id]) => text.replaceAll(sample, id), JSON.stringify(body)),
    )
  );
}

/** How long things are kept where no company says otherwise is nobody's, and everybody's to know. */
function isForAll(table: string, row: Row): boolean {
  return table === "retention_policies" && row.company_id === null;
}

/** Rows of each table that are not the stranger's, some of each. */
async function foreignRows(world: World, tables: Table[]): Promise<Map<string, Row[]>> {
  const own = new Set([
    world.strangerId,
    world.strangerAppId,
    world.stranger.id,
    world.publicAppId,
  ]);
  const found = new Map<string, Row[]>();
  for (const { name } of tables) {
    const { rows } = await world.db.query<{ row: Row }>(
      `select to_jsonb(t) as row from public.${name} t order by md5(t::text)`,
    );
    found.set(
      name,
      rows.map(({ row }) => row)
        .filter((row) =>
          !isForAll(name, row) && !Object.values(row).some((value) => own.has(value))
        )
        .slice(0, ROWS_PER_TABLE),
    );
  }
  return found;
}

/** A row like it that is not there: with other ids, or, where the key has none, another key. */
function missingTwin(table: Table, row: Row, twins: Twins): Row {
  const twin = twins.of(row);
  if (table.primaryKey.every((name) => twin[name] === row[name])) {
    for (const name of table.primaryKey) twin[name] = sibling(String(row[name]));
  }
  return twin;
}

interface Insertion {
  /** `copy`, or the reference that alone is another's. */
  what: string;
  body: Row;
  upsert?: { columns: string; prefer: string };
}

/** The row again, with what the caller may write and with all of it, plainly and as an upsert; and rows of the caller's own that refer to another's. */
function insertions(world: World, table: Table, row: Row): Insertion[] {
  const pick = (columns: string[]) => Object.fromEntries(columns.map((name) => [name, row[name]]));
  const own: Record<string, string> = {
    "companies": world.strangerId,
    "applications": world.strangerAppId,
    "auth.users": world.stranger.id,
  };
  const copy = pick(table.insertable);
  const found: Insertion[] = [{ what: "copy", body: copy }, { what: "whole", body: row }];
  for (const columns of table.unique) {
    for (const duplicates of ["merge", "ignore"]) {
      const upsert = { columns: columns.join(","), prefer: `resolution=${duplicates}-duplicates` };
      found.push({ what: "copy", body: copy, upsert });
    }
  }
  for (const { constraint, columns } of table.references) {
    if (!columns.every((name) => table.insertable.includes(name))) continue;
    const body = { ...copy };
    for (const other of table.references.filter((other) => other.constraint !== constraint)) {
      for (const name of other.columns) {
        if (!columns.includes(name) && name in body && own[other.target] && name !== "version") {
          body[name] = own[other.target];
        }
      }
    }
    found.push({ what: constraint, body });
  }
  return found;
}

/** The twin, in which the caller's own things stay what they are. */
function keepOwn<T>(world: World, twins: Twins, value: T): T {
  let text = JSON.stringify(twins.of(value));
  for (const id of [world.strangerId, world.strangerAppId, world.stranger.id]) {
    text = text.replaceAll(twins.of(id), id);
  }
  return JSON.parse(text);
}

/** The same with names that nobody has. */
function renamed<T>(value: T): T {
  return JSON.parse(
    NAMED.reduce(
      (text, [name, missing]) =>
        text.replaceAll(`"${name}"`, `"${missing}"`)
          .replaceAll(new RegExp(`(?<=/packages(?:/[^/"]+)?/)${name}(?=[/"])`, "g"), missing)
          .replaceAll(`"${name}/`, `"${missing}/`).replaceAll(`/${name}"`, `/${missing}"`),
      JSON.stringify(value),
    ),
  );
}

/** One call for each choice of what the function can be told of another's. */
function combinations({ arguments: list }: Routine, values: Record<string, unknown[]>): Row[] {
  return list.reduce<Row[]>(
    (calls, { name }) =>
      calls.flatMap((call) => values[name].map((value) => ({ ...call, [name]: value }))),
    [{}],
  );
}

/** A name of the same length in the same folder that nothing has. */
function sibling(name: string): string {
  return `${name.slice(0, -1)}${name.endsWith("~") ? "_" : "~"}`.replace(/~$/, "_");
}

interface StorageQuestion extends Question {
  /** Method and path in general. */
  what: string;
  /** Whether an answer that is no error gives the object away. */
  shows(answer: Answer): boolean;
}

/** Everything that Storage does with an object. */
function storageQuestions(bucket: string, name: string): StorageQuestion[] {
  const path = name.split("/").map(encodeURIComponent).join("/");
  const folder = name.slice(0, name.lastIndexOf("/"));
  const target = `app_${crypto.randomUUID()}/x`;
  const question = (
    what: string,
    more: Partial<Question> = {},
    shows = (_answer: Answer) => true,
  ): StorageQuestion => {
    const [method, route] = what.split(" ");
    const at = route.replace("{bucket}", bucket).replace("{name}", path);
    return { what, shows, method, path: `/storage/v1${at}`, ...more };
  };
  const lists = ({ body }: Answer) => body.length > 0;
  const listsPage = ({ body }: Answer) => body.objects.length + body.folders.length > 0;
  const signs = ({ body }: Answer) => body.some((one: Row) => one.signedURL);
  const bytes = { body: "x", headers: { "content-type": "text/css" } };
  const upsert = { body: "x", headers: { "content-type": "text/css", "x-upsert": "true" } };
  const metadata = `bucketName ${btoa(bucket)},objectName ${btoa(name)},contentType ${
    btoa("text/css")
  }`;
  return [
    ...[
      "GET /object/{bucket}/{name}",
      "GET /object/authenticated/{bucket}/{name}",
      "GET /object/public/{bucket}/{name}",
      "HEAD /object/{bucket}/{name}",
      "HEAD /object/authenticated/{bucket}/{name}",
      "GET /object/info/{bucket}/{name}",
      "GET /object/info/authenticated/{bucket}/{name}",
      "GET /object/info/public/{bucket}/{name}",
      "GET /render/image/authenticated/{bucket}/{name}",
      "GET /object/sign/{bucket}/{name}?token=x",
      "DELETE /object/{bucket}/{name}",
      "POST /object/upload/sign/{bucket}/{name}",
    ].map((what) => question(what)),
    question("GET /object/authenticated/{bucket}/{name}", { headers: { range: "bytes=0-0" } }),
    question("POST /object/sign/{bucket}/{name}", { json: { expiresIn: 60 } }),
    question("POST /object/sign/{bucket}", { json: { expiresIn: 60, paths: [name] } }, signs),
    question("POST /object/upload/sign/{bucket}/{name}", { headers: { "x-upsert": "true" } }),
    question("PUT /object/upload/sign/{bucket}/{name}?token=x", bytes),
    question("POST /object/{bucket}/{name}", bytes),
    question("POST /object/{bucket}/{name}", upsert),
    question("PUT /object/{bucket}/{name}", bytes),
    question("DELETE /object/{bucket}", { json: { prefixes: [name] } }, lists),
    ...["move", "copy"].flatMap((verb) => [
      question(`POST /object/${verb}`, {
        json: { bucketId: bucket, sourceKey: name, destinationKey: target },
      }),
      question(`POST /object/${verb}`, {
        json: { bucketId: bucket, sourceKey: target, destinationKey: name },
      }),
    ]),
    question("POST /object/list/{bucket}", { json: { prefix: folder } }, lists),
    question("POST /object/list/{bucket}", { json: { prefix: "" } }, lists),
    question("POST /object/list/{bucket}", {
      json: { prefix: folder, search: name.slice(folder.length + 1) },
    }, lists),
    question("POST /object/list-v2/{bucket}", { json: { prefix: name } }, listsPage),
    question("POST /upload/resumable", {
      headers: { "tus-resumable": "1.0.0", "upload-length": "1", "upload-metadata": metadata },
    }),
  ];
}

async function each<T>(values: T[], work: (value: T) => Promise<string[]>): Promise<string[]> {
  const findings: string[] = [];
  const queue = values.values();
  const worker = async () => {
    for (const value of queue) findings.push(...await work(value));
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return findings;
}

function describe({ method = "GET", path, json, headers }: Question): string {
  return [method, path, json && JSON.stringify(json), headers && JSON.stringify(headers)]
    .filter(Boolean).join(" ").slice(0, 700);
}

function show({ status, headers, text }: Answer): string {
  return `${status} ${headers.get("content-range") ?? ""} ${text.slice(0, 300)}`;
}
