/** A stack with publishers and apps, and executors as processes of their own. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type AnyClient, serviceClient, startTestStack } from "../../testing/stack.ts";
import type { Stack } from "../../stack/mod.ts";
import { type Entry, gzip, tar, zip } from "./archive_builders.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));
const VERSION = "1.0.0";

export interface App {
  id: string;
  companyId: string;
}

// deno-lint-ignore no-explicit-any
export type Row = Record<string, any>;

export interface AppOptions {
  /** Name of a fixture folder, or the files. */
  files: string | Entry[];
  format?: "zip" | "tar.gz";
  config?: Record<string, unknown>;
  backend?: Record<string, unknown>;
  permissions?: Row[];
  /** Overrides for the row of app_storage. */
  row?: Row;
  companyId?: string;
}

export class World {
  readonly client: AnyClient;
  readonly #executors = new Set<ExecutorProcess>();

  constructor(readonly stack: Stack) {
    this.client = serviceClient(stack);
  }

  /** @param durable whether what was committed outlives a crash of the database */
  static async start(durable = false): Promise<World> {
    return new World(await startTestStack({ functions: false, seed: false, durable }));
  }

  async close(): Promise<void> {
    for (const executor of this.#executors) await executor.kill("SIGKILL");
    await this.stack.stop();
  }

  async company(values: Row = {}): Promise<string> {
    const slug = `c-${crypto.randomUUID().slice(0, 8)}`;
    return one(await this.client.from("companies").insert({ slug, name: slug, ...values }).select())
      .id;
  }

  /** Publishes an app by rows and objects, past all that the uploads function would check. */
  async app(options: AppOptions): Promise<App> {
    const companyId = options.companyId ?? await this.company();
    const slug = `a-${crypto.randomUUID().slice(0, 8)}`;
    const id = one(
      await this.client.from("applications").insert({
        slug,
        name: slug,
        publisher_company_id: companyId,
      }).select(),
    ).id;
    const entries = typeof options.files === "string"
      ? await fixture(options.files)
      : options.files;
    const archive = options.format === "tar.gz" ? gzip(tar(entries)) : zip(entries);
    const path = `app_${id}/${VERSION}/app.${options.format ?? "zip"}`;
    const contentType = options.format === "tar.gz" ? "application/gzip" : "application/zip";
    succeeded(
      await this.client.storage.from("app-storage").upload(path, archive as BlobPart as Blob, {
        contentType,
      }),
    );
    succeeded(
      await this.client.from("app_storage").insert({
        app_id: id,
        version: VERSION,
        file_path: path,
        file_type: "source",
        file_size: archive.length,
        content_type: contentType,
        checksum: `sha256:${createHash("sha256").update(archive).digest("hex")}`,
        ...options.row,
      }),
    );
    const manifest = {
      name: slug,
      version: VERSION,
      type: "backend",
      runtime: { backend: { type: "node", entrypoint: "index.js", ...options.backend } },
      config: options.config ?? {},
      permissions: options.permissions ?? [],
    };
    const version = () => this.client.from("app_versions");
    succeeded(await version().update({ manifest }).eq("app_id", id));
    succeeded(await version().update({ status: "published" }).eq("app_id", id));
    return { id, companyId };
  }

  async request(app: App, values: Row = {}): Promise<string> {
    const answer = await this.client.rpc("request_app_run", {
      app_id: app.id,
      company_id: app.companyId,
      ...values,
    });
    succeeded(answer);
    return (answer.data as Row).id;
  }

  async row(runId: string): Promise<Row> {
    return one(await this.client.from("app_runs").select().eq("id", runId));
  }

  async outputs(runId: string): Promise<Row[]> {
    const answer = await this.client.from("app_outputs").select().eq("run_id", runId).order(
      "output_type",
    ).order("output_name");
    succeeded(answer);
    return answer.data as Row[];
  }

  async object(bucket: string, path: string): Promise<string> {
    const { data, error } = await this.client.storage.from(bucket).download(path);
    if (error) throw error;
    return await data.text();
  }

  /** The run's row once it is in one of the states. */
  async until(runId: string, ...states: string[]): Promise<Row> {
    return await eventually(`run becomes ${states.join(" or ")}`, async () => {
      const row = await this.row(runId);
      return states.includes(row.status) ? row : null;
    });
  }

  /** Asks for a build of the app's version. */
  async build(app: App): Promise<string> {
    return one(
      await this.client.from("app_builds").insert({ app_id: app.id, build_version: VERSION })
        .select(),
    ).id;
  }

  async buildRow(buildId: string): Promise<Row> {
    return one(await this.client.from("app_builds").select().eq("id", buildId));
  }

  /** The build's row once it is in one of the states. */
  async untilBuild(buildId: string, ...states: string[]): Promise<Row> {
    return await eventually(`build becomes ${states.join(" or ")}`, async () => {
      const row = await this.buildRow(buildId);
      return states.includes(row.build_status) ? row : null;
    });
  }

  /**
   * @param program another than the executor's own
   * @param wrapper a command that is given the executor's as its last arguments
   */
  start(
    args: string[],
    env: Record<string, string> = {},
    program?: string,
    wrapper: string[] = [],
  ): ExecutorProcess {
    const executor = new ExecutorProcess(this.stack, args, env, program, wrapper);
    this.#executors.add(executor);
    executor.exited.then(() => this.#executors.delete(executor));
    return executor;
  }

  /** Starts an executor and waits until it has its sandbox. */
  async executor(args: string[] = [], env: Record<string, string> = {}): Promise<ExecutorProcess> {
    const executor = this.start(args, env);
    await executor.logged("executor started");
    return executor;
  }
}

export class ExecutorProcess {
  readonly #child: Deno.ChildProcess;
  readonly lines: string[] = [];
  readonly exited: Promise<number>;
  #gone = false;

  constructor(
    stack: Pick<Stack, "apiUrl" | "secretKey">,
    args: string[],
    env: Record<string, string>,
    program: string = MAIN,
    wrapper: string[] = [],
  ) {
    const [command, ...rest] = [...wrapper, Deno.execPath(), "run", "-A", program, ...args];
    this.#child = new Deno.Command(command, {
      args: rest,
      cwd: PROJECT,
      env: { SUPABASE_URL: stack.apiUrl, SUPABASE_SECRET_KEY: stack.secretKey, ...env },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      detached: true,
    }).spawn();
    const read = this.#read();
    this.exited = this.#child.status.then(async ({ code }) => {
      this.#gone = true;
      await read;
      return code;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  get text(): string {
    return this.lines.join("\n");
  }

  count(text: string): number {
    return this.lines.filter((line) => line.includes(text)).length;
  }

  async logged(text: string): Promise<void> {
    await eventually(`the executor logs ${text}`, () => {
      if (this.count(text) > 0) return true;
      if (this.#gone) throw new Error(`the executor ended: ${this.text}`);
      return null;
    });
  }

  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It ended before.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  /** To the executor and all that are in its process group, as a terminal does. */
  signalGroup(signal: Deno.Signal): void {
    Deno.kill(-this.pid, signal);
  }

  async kill(signal: Deno.Signal): Promise<number> {
    this.signal(signal);
    return await this.exited;
  }

  async #read(): Promise<void> {
    const text = this.#child.stderr.pipeThrough(new TextDecoderStream());
    let rest = "";
    for await (const chunk of text) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop()!;
      this.lines.push(...parts);
    }
    if (rest) this.lines.push(rest);
  }
}

const PATIENCE_MS = 30_000;

/** Asks until the answer is neither null nor undefined. */
export async function eventually<T>(
  what: string,
  ask: () => T | null | undefined | Promise<T | null | undefined>,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const deadline = Date.now() + patienceMs;
  while (true) {
    const answer = await ask();
    if (answer !== null && answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`not within ${patienceMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function fixture(name: string): Promise<Entry[]> {
  const root = fileURLToPath(new URL(`apps/${name}`, import.meta.url));
  const entries: Entry[] = [];
  const walk = async (prefix: string) => {
    for await (const entry of Deno.readDir(join(root, prefix))) {
      const path = `${prefix}${entry.name}`;
      if (entry.isDirectory) await walk(`${path}/`);
      else entries.push({ name: path, content: await Deno.readFile(join(root, path)) });
    }
  };
  await walk("");
  return entries;
}

function succeeded(answer: { error: unknown }): void {
  if (answer.error) throw answer.error;
}

function one(answer: { data: unknown; error: unknown }): Row {
  succeeded(answer);
  const rows = answer.data as Row[];
  if (rows.length !== 1) throw new Error(`${rows.length} rows`);
  return rows[0];
}
