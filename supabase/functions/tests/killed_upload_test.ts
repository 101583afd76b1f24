/**
 * The function's process is killed at every step of an upload. Afterwards, with storage:check --repair: no object without a
 * row, no row without its object, usage that adds up; and the same upload works when it is repeated.
 */
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { withClient } from "../../../scripts/stack/database.ts";
import { FunctionProcess } from "../../../scripts/stack/function_process.ts";
import { auditStorage, type Finding } from "../../../scripts/storage/audit.ts";
import {
  type KillingProxy,
  type Moment,
  startKillingProxy,
} from "../../../scripts/testing/killing_proxy.ts";
import { sweepDeletions } from "../_shared/object_deletions.ts";
import { checksumOf } from "./fixtures.ts";
import { type Begin, createApp, fileRows, objectNames, test, withWorld } from "./world.ts";

const world = withWorld();

const OLD = new TextEncoder().encode('{"edition": "old"}');
const NEW = new TextEncoder().encode('{"edition": "a newer one"}');

/** A process of the function `uploads` whose calls to Supabase go through the proxy. */
class Uploads {
  #process?: FunctionProcess;

  private constructor(
    readonly proxy: KillingProxy,
    readonly env: Record<string, string>,
    readonly tempDir: string,
  ) {}

  static async start(): Promise<Uploads> {
    const { stack } = world();
    const proxy = startKillingProxy(stack.apiUrl);
    const keys = await fetch(`${stack.apiUrl}/auth/v1/.well-known/jwks.json`);
    return new Uploads(proxy, {
      SUPABASE_URL: proxy.url,
      SUPABASE_ANON_KEY: stack.anonKey,
      SUPABASE_SERVICE_ROLE_KEY: stack.serviceRoleKey,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: stack.publishableKey }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: stack.secretKey }),
      SUPABASE_JWKS: await keys.text(),
    }, await Deno.makeTempDir({ prefix: "stowage uploads " }));
  }

  get #alive(): FunctionProcess {
    if (!this.#process?.alive) {
      this.#process = new FunctionProcess({
        name: "uploads",
        entrypoint: fileURLToPath(new URL("../uploads/index.ts", import.meta.url)),
        importMap: fileURLToPath(new URL("../import_map.json", import.meta.url)),
        verifyJwt: false,
      }, {
        env: this.env,
        limits: { memoryBytes: 256 * 1024 ** 2, requestMs: 60_000 },
        tempDir: this.tempDir,
        log: () => {},
      });
    }
    return this.#process;
  }

  /** Kills the process that serves from now on, at this one of its calls. */
  arm(call: number, moment: Moment): void {
    this.proxy.arm(call, moment, () => this.#alive.pid);
  }

  /** The answer, or nothing when the process was killed over it. */
  // deno-lint-ignore no-explicit-any -- tests look into what comes
  async call(path: string, json: unknown): Promise<{ status: number; body: any } | undefined> {
    const process = this.#alive;
    try {
      const response = await process.fetch(
        new Request(`http://function/uploads${path}`, {
          method: "POST",
          body: JSON.stringify(json),
          headers: {
            apikey: world().stack.publishableKey,
            authorization: `Bearer ${world().publisher.accessToken}`,
            "content-type": "application/json",
          },
        }),
      );
      return { status: response.status, body: await response.json() };
    } catch (error) {
      assert(this.proxy.killedAt, String(error));
      await process.stop();
      return undefined;
    }
  }

  /** The whole upload, as a client does it; false when the process was killed on the way. */
  async upload(begin: Begin, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    const begun = await this.call("", begin);
    if (!begun) return false;
    assertEquals(begun.status, 201, JSON.stringify(begun.body));
    // The file goes straight to Storage.
    const signed = new URL(begun.body.signed_url);
    const sent = await fetch(world().stack.apiUrl + signed.pathname + signed.search, {
      method: "PUT",
      body: bytes,
      headers: { "content-type": begin.content_type },
    });
    assert(sent.ok, await sent.text());
    const completed = await this.call(`/${begun.body.upload.id}/complete`, {});
    if (!completed) return false;
    assertEquals(completed.status, 200, JSON.stringify(completed.body));
    return true;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    await this.proxy.close();
    await Deno.remove(this.tempDir, { recursive: true });
  }
}

const sql = (text: string, values: unknown[]) =>
  withClient(world().stack.dbUrl, (client) => client.query(text, values));

async function beginOf(appId: string, bytes: Uint8Array<ArrayBuffer>): Promise<Begin> {
  return {
    app_id: appId,
    version: "1.0.0",
    file_name: "data.json",
    file_type: "asset",
    content_type: "application/json",
    file_size: bytes.length,
    checksum: await checksumOf(bytes),
  };
}

async function check(options: { repair: boolean }): Promise<Finding[]> {
  const findings: Finding[] = [];
  const report = await auditStorage(world().service, {
    ...options,
    verifyChecksums: true,
    minAgeSeconds: 0,
    onFinding: (finding) => findings.push(finding),
  });
  assertEquals(
    [report.errors, options.repair ? report.left : 0],
    [[], 0],
    JSON.stringify(findings),
  );
  return findings;
}

async function usage() {
  const { data, error } = await world().service.rpc("company_storage_usage", {
    company_id: world().companyId,
  });
  assertEquals(error, null);
  const [{ used_bytes, file_bytes, upload_bytes, used_objects }] = data;
  return { used_bytes, file_bytes, upload_bytes, used_objects };
}

/**
 * What is there agrees: every row has its object, every object its row, or an upload that is under way and will write one;
 * and the usage is their sum.
 */
async function assertSound(appId: string, step: string): Promise<void> {
  assertEquals(await check({ repair: false }), [], step);
  const [rows, open, objects] = await Promise.all([
    fileRows(world(), appId),
    world().service.from("app_uploads").select().eq("app_id", appId)
      .in("status", ["pending", "verifying"]),
    objectNames(world(), appId),
  ]);
  const named = new Set(rows.map(({ file_path }) => file_path));
  const promised = new Set(open.data!.flatMap(({ file_path, staging_path }) => [
    file_path,
    staging_path,
    `${staging_path}.verifying`,
  ]));
  assertEquals([...named].filter((name) => !objects.includes(name)), [], step);
  assertEquals(objects.filter((name) => !named.has(name) && !promised.has(name)), [], step);
}

/** As if the time had passed that a request holds an upload for, or that an upload lives. */
async function letLeaseEnd(appId: string): Promise<void> {
  await sql(
    "update app_uploads set verifying_until = now() where app_id = $1 and status = 'verifying'",
    [appId],
  );
}
async function letUploadsEnd(appId: string): Promise<void> {
  await letLeaseEnd(appId);
  await sql(
    "update app_uploads set expires_at = now() - interval '1 second' where app_id = $1 and status in ('pending', 'verifying')",
    [appId],
  );
}

/** Takes back everything, so that the next step begins from the same usage. */
async function clear(appId: string): Promise<void> {
  await sql("delete from app_uploads where app_id = $1", [appId]);
  await sql("delete from app_storage where app_id = $1", [appId]);
  await sweepDeletions(world().service, Infinity);
  assertEquals(await objectNames(world(), appId), []);
  assertEquals((await usage()).used_bytes, 0);
}

/**
 * One step: a process is killed, and then somebody repeats the upload, or nobody does and its time runs out. Answers
 * whether the process came to the call at which it was to be killed.
 */
async function walk(
  uploads: Uploads,
  { replaces, call, moment, forgotten }: {
    replaces: boolean;
    call: number;
    moment: Moment;
    forgotten: boolean;
  },
): Promise<boolean> {
  const appId = await createApp(world().publisher, world().companyId);
  if (replaces) {
    uploads.arm(0, moment);
    assert(await uploads.upload(await beginOf(appId, OLD), OLD));
  }
  const begin = await beginOf(appId, NEW);
  uploads.arm(call, moment);
  const killed = !await uploads.upload(begin, NEW);
  const step = `${moment} call ${call}, ${uploads.proxy.killedAt}`;

  if (forgotten) await letUploadsEnd(appId);
  await check({ repair: true });
  await assertSound(appId, step);
  const { used_bytes, file_bytes, upload_bytes, used_objects } = await usage();
  const rows = await fileRows(world(), appId);
  const stored = rows.reduce((sum, { file_size }) => sum + file_size, 0);
  assertEquals([file_bytes, used_bytes], [stored, stored + upload_bytes], step);
  if (forgotten) assertEquals([upload_bytes, used_objects], [0, rows.length], step);

  await letLeaseEnd(appId);
  uploads.arm(0, moment);
  assert(await uploads.upload(begin, NEW), step);
  await sweepDeletions(world().service, Infinity);
  await assertSound(appId, step);
  assertEquals((await fileRows(world(), appId))[0].checksum, begin.checksum, step);
  assertEquals(await objectNames(world(), appId), [`app_${appId}/1.0.0/data.json`], step);
  assertEquals(await usage(), {
    used_bytes: NEW.length,
    file_bytes: NEW.length,
    upload_bytes: 0,
    used_objects: 1,
  }, step);
  await clear(appId);
  return killed;
}

for (const replaces of [false, true]) {
  const what = replaces ? "an upload that replaces a file" : "an upload";
  test(`a process killed at every step of ${what} leaves nothing that repair does not settle, and the upload can be repeated`, async () => {
    const uploads = await Uploads.start();
    try {
      // After a call and before the next one the server is in the same state: so each state is met by both.
      let calls = 0;
      for (const [moment, forgotten] of [["before", false], ["after", true]] as const) {
        for (calls = 0; await walk(uploads, { replaces, call: calls + 1, moment, forgotten });) {
          calls++;
        }
      }
      console.log(`killed before and after each of ${calls} calls`);
      assert(calls >= 12);
    } finally {
      await uploads.stop();
    }
  });
}
