/** One Edge Function's process: started when first asked for, ended when it is past its limits. */
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { freePort } from "./ports.ts";
import { PROJECT_DIR, projectPath } from "./project.ts";

export interface FunctionSource {
  name: string;
  entrypoint: string;
  importMap?: string;
  verifyJwt: boolean;
}

/** What one process may use before it is ended. */
export interface FunctionLimits {
  memoryBytes: number;
  /** Until the first byte of the answer. */
  requestMs: number;
}

export interface ProcessOptions {
  env: Record<string, string>;
  limits: FunctionLimits;
  /** Where the function may write. */
  tempDir: string;
  log: (line: string) => void;
}

/** What the platform says when a function, rather than its code, fails. */
export class WorkerError extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

const bootError = () =>
  new WorkerError(503, "BOOT_ERROR", "Function failed to start (please check logs)");
const workerError = () =>
  new WorkerError(500, "WORKER_ERROR", "Function exited due to an error (please check logs)");
const workerLimit = () =>
  new WorkerError(
    546,
    "WORKER_LIMIT",
    "Function failed due to not having enough compute resources (please check logs)",
  );
const idleTimeout = (ms: number) =>
  new WorkerError(
    504,
    "IDLE_TIMEOUT",
    `Request idle timeout limit (${Math.round(ms / 1000)}s) reached`,
  );

/** For the log at most: nobody is there to be told. */
const clientGone = () => new WorkerError(499, "CLIENT_GONE", "The client closed the connection");

const HOST = "127.0.0.1";
const BOOT_DEADLINE_MS = 30_000;
const BOOT_POLL_MS = 10;
const MEMORY_POLL_MS = 250;
const STOP_PATIENCE_MS = 2_000;
/** Headers that are about one connection, and must not travel to the next. */
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

export class FunctionProcess {
  /** False once it has ended, or is meant to: the next request gets a new one. */
  alive = true;
  #child: Deno.ChildProcess;
  #port = freePort(HOST);
  #ended: Promise<void>;
  #ready: Promise<void>;
  #reason: "exit" | "memory" = "exit";
  #pending = 0;
  #idle = Promise.withResolvers<void>();
  // A client of its own: closing it leaves no connection of a dead process in a shared pool.
  #client = Deno.createHttpClient({ poolMaxIdlePerHost: 32 });

  constructor(private readonly source: FunctionSource, private readonly options: ProcessOptions) {
    this.#child = this.#spawn();
    this.#pipe(this.#child.stdout);
    this.#pipe(this.#child.stderr);
    this.#ended = this.#child.status.then((status) => {
      this.alive = false;
      this.#client.close();
      if (!status.success && status.signal !== "SIGTERM") {
        this.options.log(
          `[${this.source.name}] ended with ${status.signal ?? `code ${status.code}`}`,
        );
      }
    });
    this.#ready = this.#waitUntilListening();
    // Whoever waits gets the error; nobody waiting must not be an unhandled rejection.
    this.#ready.catch(() => {});
    this.#watchMemory();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Passes the request on; bodies stream both ways. The function hears of it when the client goes away. */
  async fetch(request: Request): Promise<Response> {
    this.#pending++;
    try {
      await this.#ready;
      return await this.#forward(request);
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  async #forward(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const headers = new Headers(request.headers);
    for (const name of HOP_BY_HOP) headers.delete(name);
    headers.set("sb-request-id", crypto.randomUUID());
    const abort = new AbortController();
    const { requestMs } = this.options.limits;
    const timer = setTimeout(() => abort.abort(), requestMs);
    try {
      const response = await fetch(`http://${HOST}:${this.#port}${url.pathname}${url.search}`, {
        method: request.method,
        headers,
        body: request.body,
        redirect: "manual",
        signal: AbortSignal.any([abort.signal, request.signal]),
        client: this.#client,
      });
      return this.#respond(response);
    } catch {
      if (abort.signal.aborted) {
        // It may be in an endless loop, in which no signal but this is heard.
        this.#kill("SIGKILL");
        throw idleTimeout(requestMs);
      }
      if (request.signal.aborted) throw clientGone();
      // The connection broke: the process has just ended, or is about to.
      await Promise.race([this.#ended, delay(STOP_PATIENCE_MS, undefined, { ref: false })]);
      throw this.#reason === "memory" ? workerLimit() : workerError();
    } finally {
      clearTimeout(timer);
    }
  }

  #respond(response: Response): Response {
    const headers = new Headers(response.headers);
    for (const name of HOP_BY_HOP) headers.delete(name);
    // fetch has undone the encoding.
    if (headers.has("content-encoding")) {
      headers.delete("content-encoding");
      headers.delete("content-length");
    }
    const init = { status: response.status, statusText: response.statusText, headers };
    if (!response.body) {
      this.#release();
      return new Response(null, init);
    }
    // Over when it was read to its end, given up by who reads it, or broken off by who writes it.
    const release = () => this.#release();
    const transformer: Transformer & { cancel: () => void } = { flush: release, cancel: release };
    const body = response.body.pipeThrough(new TransformStream(transformer));
    return new Response(body, init);
  }

  #release(): void {
    if (--this.#pending === 0 && !this.alive) this.#idle.resolve();
  }

  /** Takes no more requests, answers those it has, and ends. */
  async retire(): Promise<void> {
    this.alive = false;
    if (this.#pending > 0) {
      const { requestMs } = this.options.limits;
      await Promise.race([
        this.#idle.promise,
        this.#ended,
        delay(requestMs, undefined, { ref: false }),
      ]);
    }
    await this.stop();
  }

  async stop(): Promise<void> {
    this.alive = false;
    this.#kill("SIGTERM");
    const timer = setTimeout(() => this.#kill("SIGKILL"), STOP_PATIENCE_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  #spawn(): Deno.ChildProcess {
    const { source, options } = this;
    const heap = Math.floor(options.limits.memoryBytes / 1024 ** 2);
    return new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--no-check",
        "--no-lock",
        `--config=${projectPath("deno.json")}`,
        ...(source.importMap ? [`--import-map=${source.importMap}`] : []),
        `--v8-flags=--max-old-space-size=${heap}`,
        "--allow-net",
        "--allow-env",
        "--allow-sys",
        "--allow-read",
        `--allow-write=${options.tempDir}`,
        fileURLToPath(new URL("function_bootstrap.ts", import.meta.url)),
        pathToFileURL(source.entrypoint).href,
      ],
      cwd: PROJECT_DIR,
      clearEnv: true,
      env: {
        ...cacheEnv(),
        NO_COLOR: "1",
        TMPDIR: options.tempDir,
        ...options.env,
        SB_EXECUTION_ID: crypto.randomUUID(),
        DENO_SERVE_ADDRESS: `tcp:${HOST}:${this.#port}`,
      },
      // The bootstrap ends the process when this pipe closes: a killed parent leaves no orphans.
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    }).spawn();
  }

  async #waitUntilListening(): Promise<void> {
    const deadline = Date.now() + BOOT_DEADLINE_MS;
    let ended = false;
    this.#ended.then(() => ended = true);
    while (!ended && Date.now() < deadline) {
      try {
        (await Deno.connect({ hostname: HOST, port: this.#port })).close();
        return;
      } catch {
        await delay(BOOT_POLL_MS);
      }
    }
    this.#kill("SIGKILL");
    throw bootError();
  }

  /** V8's own limit knows the heap only; buffers of bytes lie outside it. */
  async #watchMemory(): Promise<void> {
    if (Deno.build.os !== "linux") return;
    while (this.alive) {
      await Promise.race([this.#ended, delay(MEMORY_POLL_MS, undefined, { ref: false })]);
      const status = await Deno.readTextFile(`/proc/${this.#child.pid}/status`).catch(() => "");
      const kilobytes = Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
      if (kilobytes * 1024 > this.options.limits.memoryBytes) {
        this.#reason = "memory";
        this.options.log(`[${this.source.name}] memory limit exceeded`);
        this.#kill("SIGKILL");
        return;
      }
    }
  }

  async #pipe(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    for await (
      const text of stream.pipeThrough(new TextDecoderStream() as never) as ReadableStream<string>
    ) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (/heap out of memory|Reached heap limit/.test(line)) this.#reason = "memory";
        this.options.log(`[${this.source.name}] ${line}`);
      }
    }
    if (rest) this.options.log(`[${this.source.name}] ${rest}`);
  }

  #kill(signal: Deno.Signal): void {
    this.alive = false;
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended.
    }
  }
}

/** Where Deno keeps what it has compiled; without a home it would compile anew each time. */
function cacheEnv(): Record<string, string> {
  const names = ["DENO_DIR", "HOME", "XDG_CACHE_HOME"];
  return Object.fromEntries(names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value ? [[name, value]] : [];
  }));
}
