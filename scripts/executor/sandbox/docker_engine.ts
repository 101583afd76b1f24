/**
 * A container engine by its HTTP API over a Unix socket: Docker's, or one that speaks the same. The command line client is not needed,
 * would cost the start of a program for every call, and cannot hide paths.
 */
import { reasonOf } from "../../command/reach.ts";
import { unbroken } from "./unbroken.ts";

/** The engine answered with an error, or not at all (status 0). */
export class EngineError extends Error {
  override name = "EngineError";
  constructor(message: string, readonly status: number) {
    super(message);
  }
}

export interface EngineInfo {
  ServerVersion: string;
  OSType: string;
  CgroupVersion?: string;
  MemoryLimit: boolean;
  SwapLimit: boolean;
  CpuCfsQuota: boolean;
  PidsLimit: boolean;
  SecurityOptions: string[] | null;
}

export interface ContainerState {
  Running: boolean;
  Pid: number;
  ExitCode: number;
  OOMKilled: boolean;
  Error: string;
}

export interface ListedContainer {
  Id: string;
  State: string;
  Labels: Record<string, string>;
}

const CALL_TIMEOUT_MS = 60_000;
const IMPORT_TIMEOUT_MS = 10 * 60_000;
const DEFAULT_SOCKET = "/var/run/docker.sock";

/** The socket's path from DOCKER_HOST, or the usual one; an error text where containers could not see this host's files. */
export function engineSocket(host = Deno.env.get("DOCKER_HOST")): { path: string } | string {
  if (!host) return { path: DEFAULT_SOCKET };
  const path = /^unix:\/\/(\/.+)$/.exec(host)?.[1];
  return path === undefined
    ? `DOCKER_HOST is ${host}, but only an engine on this host can be used (unix:///path/of/docker.sock)`
    : { path };
}

export class Engine {
  readonly #client: Deno.HttpClient;

  constructor(readonly socket: string) {
    this.#client = Deno.createHttpClient({
      proxy: { transport: "unix", path: socket },
      // Every run keeps two calls open as long as it lasts.
      poolMaxIdlePerHost: 8,
    });
  }

  async info(): Promise<EngineInfo> {
    return await this.#json("GET", "/info");
  }

  async imageExists(name: string): Promise<boolean> {
    try {
      await this.#json("GET", `/images/${encodeURIComponent(name)}/json`);
      return true;
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return false;
      throw error;
    }
  }

  /** Makes an image of one layer from a tar stream. `changes` are lines of a Dockerfile. */
  async importImage(
    tar: ReadableStream<Uint8Array>,
    repository: string,
    tag: string,
    changes: string[],
  ): Promise<void> {
    const query = new URLSearchParams({ fromSrc: "-", repo: repository, tag });
    for (const change of changes) query.append("changes", change);
    const answer = await this.#send("POST", `/images/create?${query}`, {
      body: tar,
      signal: AbortSignal.timeout(IMPORT_TIMEOUT_MS),
    });
    // Failures after the first byte come in the body.
    const error = (await answer.text()).split("\n").filter(Boolean)
      .map((line) => JSON.parse(line).error).find(Boolean);
    if (error) throw new EngineError(`the image cannot be imported: ${error}`, 500);
  }

  async removeImage(name: string): Promise<void> {
    await this.#json("DELETE", `/images/${encodeURIComponent(name)}`);
  }

  async create(name: string, definition: Record<string, unknown>): Promise<string> {
    const { Id } = await this.#json<{ Id: string }>(
      "POST",
      `/containers/create?${new URLSearchParams({ name })}`,
      { json: definition },
    );
    return Id;
  }

  async start(id: string): Promise<void> {
    await this.#json("POST", `/containers/${id}/start`);
  }

  async state(id: string): Promise<ContainerState> {
    const { State } = await this.#json<{ State: ContainerState }>("GET", `/containers/${id}/json`);
    return State;
  }

  /** Resolves when the container, which may not be started yet, has ended. It does not when a container that never ran is removed. */
  async ended(id: string, signal: AbortSignal): Promise<number> {
    const answer = await this.#send("POST", `/containers/${id}/wait?condition=next-exit`, {
      signal,
    });
    const { StatusCode, Error: failure } = await answer.json().catch((error) => {
      throw brokenOff(error);
    });
    if (failure?.Message) throw new EngineError(failure.Message, 500);
    return StatusCode;
  }

  /** What the container writes from now on: frames of stdout and stderr, in order. As with `ended`, it needs a start to end. */
  async attach(id: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const answer = await this.#send(
      "POST",
      `/containers/${id}/attach?stream=1&stdout=1&stderr=1`,
      { signal },
    );
    return unbroken(answer.body!, brokenOff);
  }

  /** False when it runs no more. */
  async kill(id: string, signal: "SIGTERM" | "SIGKILL"): Promise<boolean> {
    try {
      await this.#json("POST", `/containers/${id}/kill?signal=${signal}`);
      return true;
    } catch (error) {
      if (error instanceof EngineError && (error.status === 404 || error.status === 409)) {
        return false;
      }
      throw error;
    }
  }

  /** Kills and removes the container with its volumes; one that is gone is no error. */
  async remove(id: string): Promise<void> {
    try {
      await this.#json("DELETE", `/containers/${id}?force=1&v=1`);
    } catch (error) {
      if (error instanceof EngineError && error.status === 404) return;
      throw error;
    }
  }

  /** All containers, ended ones too, that have the label (`name` or `name=value`). */
  async list(label: string): Promise<ListedContainer[]> {
    const filters = JSON.stringify({ label: [label] });
    return await this.#json(
      "GET",
      `/containers/json?${new URLSearchParams({ all: "1", filters })}`,
    );
  }

  close(): void {
    this.#client.close();
  }

  async #json<T>(method: string, path: string, options: { json?: unknown } = {}): Promise<T> {
    const answer = await this.#send(method, path, {
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) }),
    });
    const text = await answer.text();
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  async #send(
    method: string,
    path: string,
    { body, signal }: { body?: BodyInit; signal: AbortSignal },
  ): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(`http://engine${path}`, {
        method,
        body,
        headers: body === undefined
          ? {}
          : { "content-type": typeof body === "string" ? "application/json" : "application/x-tar" },
        signal,
        client: this.#client,
      });
    } catch (error) {
      throw new EngineError(`the engine does not answer: ${reasonOf(error)}`, 0);
    }
    if (answer.ok) return answer;
    const text = await answer.text();
    let message = text.trim();
    try {
      message = JSON.parse(text).message;
    } catch {
      // Not JSON; the text itself says it.
    }
    throw new EngineError(message || `HTTP ${answer.status}`, answer.status);
  }
}

function brokenOff(error: unknown): EngineError {
  return new EngineError(`the engine broke off: ${reasonOf(error)}`, 0);
}

const HEADER_BYTES = 8;

/**
 * Takes the frames of an attached stream apart: a byte that says which stream, three unused, four of length, then the content.
 * A sink is awaited before more is read, so that a slow one slows the container.
 */
export async function demultiplex(
  stream: AsyncIterable<Uint8Array>,
  sinks: {
    stdout: (chunk: Uint8Array) => void | Promise<void>;
    stderr: (chunk: Uint8Array) => void | Promise<void>;
  },
): Promise<void> {
  const header = new Uint8Array(HEADER_BYTES);
  let headerBytes = 0;
  let contentBytes = 0;
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length;) {
      if (contentBytes === 0) {
        const part = chunk.subarray(at, at + HEADER_BYTES - headerBytes);
        header.set(part, headerBytes);
        headerBytes += part.length;
        at += part.length;
        if (headerBytes < HEADER_BYTES) continue;
        headerBytes = 0;
        contentBytes = new DataView(header.buffer).getUint32(4);
      } else {
        const part = chunk.subarray(at, at + contentBytes);
        at += part.length;
        contentBytes -= part.length;
        await (header[0] === 2 ? sinks.stderr : sinks.stdout)(part);
      }
    }
  }
}
