/** What the tests of the storage commands share: the commands as processes, and things to go wrong. */
import { assertEquals } from "../../testing/assert.ts";
import { withClient } from "../../stack/database.ts";
import { PROJECT_DIR } from "../../stack/project.ts";
import { buildArchive } from "../../../supabase/functions/tests/archives.ts";
import { createApp, declare, upload, type World } from "../../../supabase/functions/tests/world.ts";
import { auditStorage, type Finding } from "../audit.ts";

export interface Result {
  code: number;
  /** Lines of standard output. */
  lines: string[];
  stderr: string;
}

/** Of the project that `world` answers. */
export function commandsOn(world: () => World) {
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
    await sql(
      `update app_runs set status = 'running', attempt = 1, executor_id = 'x', started_at = now(),
         lease_expires_at = now() + interval '1 hour' where id = $1`,
      [id],
    );
    await sql("update app_runs set status = 'success', logs_path = $2 where id = $1", [
      id,
      `app_${appId}/runs/${id}/stdout.log`,
    ]);
    return id;
  }

  async function releasedApp(): Promise<string> {
    const appId = await createApp(world().publisher, world().companyId);
    await release(appId, "1.0.0");
    return appId;
  }

  async function runCheckInProcess(): Promise<Finding[]> {
    const findings: Finding[] = [];
    await auditStorage(world().service, {
      minAgeSeconds: 0,
      onFinding: (each) => findings.push(each),
    });
    return findings;
  }

  return {
    run,
    runCheck,
    runCheckInProcess,
    files,
    sql,
    put,
    addFile,
    release,
    releasedApp,
    addRun,
  };
}
