/**
 * The one way out of an install: package metadata and tarballs of one registry, read only, over a Unix socket that lies beside
 * the project. Whatever runs in the sandbox has no network; it cannot name a host, send anything but a package's name, or see
 * the operator's credentials.
 */
import { join } from "node:path";
import { closeQuietly, openGate } from "../egress/gate.ts";
import type { Logger } from "../log.ts";
import { Places } from "../egress/places.ts";
import { findProgram } from "../sandbox/runtimes.ts";

export interface RegistryOptions {
  /** Base address, such as http://packages.example.com/npm/. */
  url: string;
  /** Sent to the registry, and to no other host, as a bearer token. */
  token?: string;
}

export interface RegistryGateway {
  close(): Promise<void>;
}

/** Registries name packages so; a version, a tag or a tarball may follow. */
const NAME = "(?:@[a-z0-9~-][a-z0-9._~-]*(?:/|%2[fF]))?[A-Za-z0-9~-][A-Za-z0-9._~-]*";
const PACKAGE = new RegExp(`^/${NAME}(?:/[A-Za-z0-9._~+-]+)?$`);
const TARBALL = new RegExp(`^/${NAME}/-/(?:@[a-z0-9._~-]+/)?[A-Za-z0-9._~+-]+\\.tgz$`);
const ELSEWHERE = /^\/-\/elsewhere\/(\d+)\.tgz$/;

const METADATA_BYTES = 64 * 1024 * 1024;
/** Documents that are held in memory at the same time, in one install: a large one takes many times its size. */
const METADATA_AT_ONCE = 2;
/** More than package managers open, as they are told to. */
const CONNECTIONS = 64;
const TIMEOUT_MS = 120_000;
const SOCKET = "registry.sock";
/** What the kernel takes for the path of a Unix socket. */
const SOCKET_PATH_BYTES = 107;

/** The registry that npm on this host is configured with. */
export async function configuredRegistry(): Promise<string> {
  const npm = findProgram("npm");
  if (npm === null) throw new Error("npm is not installed, and no --registry is set");
  const { stdout, success } = await new Deno.Command(npm, {
    args: ["config", "get", "registry"],
    stdout: "piped",
    stderr: "null",
  }).output();
  const url = new TextDecoder().decode(stdout).trim();
  if (!success || !/^https?:\/\//.test(url)) {
    throw new Error("npm names no registry, and no --registry is set");
  }
  return url;
}

/**
 * Listens in `folder`, which the install can write to, until closed.
 * @param apart a folder that it cannot see
 */
export async function openRegistry(
  options: RegistryOptions,
  folder: string,
  apart: string,
  log: Logger,
): Promise<RegistryGateway> {
  const [path, inner] = [folder, apart].map((each) => join(each, SOCKET));
  if (new TextEncoder().encode(path).length > SOCKET_PATH_BYTES) {
    throw new Error(`the path of the working directory is too long for a socket: ${path}`);
  }
  const upstream = new Upstream(options);
  const server = Deno.serve({ path: inner, onListen: () => {} }, async (request) => {
    try {
      return await upstream.answer(request);
    } catch (error) {
      log.warn("registry not reached", { error: (error as Error).message });
      return Response.json({ error: "the registry was not reached" }, { status: 502 });
    }
  });
  // The server takes as many connections as there come; the install's are counted before.
  const open = new Set<Deno.Conn>();
  const gate = await openGate(path, CONNECTIONS, (client) => relay(client, inner, open))
    .catch(async (error) => {
      await server.shutdown();
      throw error;
    });
  return {
    async close() {
      // What is still being asked for, nobody waits for any more.
      upstream.close();
      for (const connection of open) closeQuietly(connection);
      await gate.close();
      await server.shutdown();
      await Deno.remove(inner).catch(() => {});
    },
  };
}

async function relay(client: Deno.Conn, path: string, open: Set<Deno.Conn>): Promise<void> {
  open.add(client);
  let server: Deno.Conn | undefined;
  try {
    server = await Deno.connect({ transport: "unix", path });
    open.add(server);
    await Promise.all([
      client.readable.pipeTo(server.writable),
      server.readable.pipeTo(client.writable),
    ]);
  } finally {
    for (const connection of [client, server]) {
      if (!connection) continue;
      open.delete(connection);
      closeQuietly(connection);
    }
  }
}

interface Answer {
  status: number;
  type: string;
  text: string;
}

const PIECE = 64 * 1024;

/** The text as a stream. @param done called once: when all of it was taken, or nobody wants it any more */
function inPieces(text: string, done: () => void): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(bytes.slice(at, at += PIECE));
      if (at < bytes.length) return;
      controller.close();
      done();
    },
    cancel: done,
  }, { highWaterMark: 0 });
}

class Upstream {
  readonly #base: string;
  /** Tarballs that metadata places outside of the registry, by the number that they are asked for with. */
  readonly #elsewhere: string[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #documents = new Places(METADATA_AT_ONCE);
  readonly #closed = new AbortController();

  constructor(readonly options: RegistryOptions) {
    this.#base = options.url.replace(/\/+$/, "");
  }

  close(): void {
    this.#closed.abort();
  }

  async answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (request.method !== "GET" && request.method !== "HEAD") return refused(405);
    const elsewhere = ELSEWHERE.exec(url.pathname);
    if (elsewhere) {
      const target = this.#elsewhere[Number(elsewhere[1])];
      return target ? await this.#tarball(target, request) : refused(404);
    }
    if (TARBALL.test(url.pathname)) {
      return await this.#tarball(`${this.#base}${url.pathname}`, request);
    }
    if (PACKAGE.test(url.pathname)) {
      return await this.#inPlace(() => this.#metadata(url.pathname, request));
    }
    return refused(404);
  }

  async #fetch(target: string, request: Request, headers: Headers): Promise<Response> {
    if (this.options.token && target.startsWith(`${this.#base}/`)) {
      headers.set("authorization", `Bearer ${this.options.token}`);
    }
    return await fetch(target, {
      method: request.method,
      headers,
      signal: AbortSignal.any([this.#closed.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  }

  async #tarball(target: string, request: Request): Promise<Response> {
    const response = await this.#fetch(target, request, new Headers());
    return new Response(response.body, {
      status: response.status,
      headers: { "content-type": "application/octet-stream" },
    });
  }

  /** Holds a place until the document was sent, not only made: who asks may read slowly. */
  async #inPlace(make: () => Promise<Answer>): Promise<Response> {
    await this.#documents.take();
    let answer: Answer;
    try {
      answer = await make();
    } catch (error) {
      this.#documents.giveBack();
      throw error;
    }
    const { status, type, text } = answer;
    const headers = { "content-type": type };
    return new Response(inPieces(text, () => this.#documents.giveBack()), { status, headers });
  }

  async #metadata(path: string, request: Request): Promise<Answer> {
    const headers = new Headers({ accept: request.headers.get("accept") ?? "application/json" });
    const response = await this.#fetch(`${this.#base}${path}`, request, headers);
    const type = response.headers.get("content-type") ?? "application/json";
    const text = await readAtMost(response, METADATA_BYTES);
    if (!response.ok) return { status: response.status, type, text };
    const document = JSON.parse(text);
    const host = `http://${request.headers.get("host")}`;
    for (const version of Object.values(document.versions ?? { only: document })) {
      const dist = (version as { dist?: { tarball?: string } }).dist;
      if (dist?.tarball) dist.tarball = this.#reachable(dist.tarball, host);
    }
    return { status: 200, type, text: JSON.stringify(document) };
  }

  /** The tarball's address as the sandbox can ask for it. */
  #reachable(tarball: string, host: string): string {
    if (tarball.startsWith(`${this.#base}/`)) return host + tarball.slice(this.#base.length);
    const number = this.#numbers.get(tarball) ?? this.#elsewhere.push(tarball) - 1;
    this.#numbers.set(tarball, number);
    return `${host}/-/elsewhere/${number}.tgz`;
  }
}

function refused(status: number): Response {
  return Response.json({ error: "only packages can be read here" }, { status });
}

async function readAtMost(response: Response, limit: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > limit) throw new Error("the registry's answer is too large");
    parts.push(part);
  }
  return await new Blob(parts as Uint8Array<ArrayBuffer>[]).text();
}
