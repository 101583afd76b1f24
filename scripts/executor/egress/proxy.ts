/**
 * The one way out of a sandbox: an HTTP proxy on a Unix socket, run by the executor for a single run. It resolves names itself,
 * connects to the very address that it has checked, and only to hosts and ports that the app's permissions name.
 *
 * It cannot look into TLS: where several hosts share an address, a granted one's server may be asked for another that it serves.
 */
import { lookup } from "node:dns/promises";
import { Places } from "./places.ts";
import { parseAddress } from "../../../supabase/functions/_shared/addresses.ts";
import {
  cleanHost,
  type Grant,
} from "../../../supabase/functions/_shared/manifest/network_scopes.ts";
import { isForeignAddress } from "./addresses.ts";
import { closeQuietly as close, openGate } from "./gate.ts";
import { isGranted } from "./grants.ts";
import { type ProxyRequest, readRequest, RefusedRequest } from "./requests.ts";

/** One connection that the app asked for. */
export interface EgressEvent {
  host: string;
  port: number;
  /** Connected to, once checked. */
  address?: string;
  /** Why not. */
  refused?: string;
  sentBytes: number;
  receivedBytes: number;
}

export interface EgressOptions {
  /** Path of the socket; at most 107 bytes, as the kernel has it. */
  socket: string;
  grants: Grant[];
  /** Called when a connection ends or is refused. */
  log?: (event: EgressEvent) => void;
  /** Addresses of a name. */
  resolve?: (host: string) => Promise<string[]>;
  /** Whether an address may be connected to; `isForeignAddress` unless told. */
  isAllowedAddress?: (address: string) => boolean;
  limits?: Partial<EgressLimits>;
}

export interface EgressLimits {
  connections: number;
  /** In both directions, all connections together. */
  bytes: number;
  connectSeconds: number;
  /** Without a byte in either direction. */
  idleSeconds: number;
}

export const EGRESS_LIMITS: EgressLimits = {
  connections: 64,
  bytes: 1024 * 1024 * 1024,
  connectSeconds: 10,
  idleSeconds: 60,
};

export interface EgressProxy {
  /** Ends all connections and removes the socket. */
  close(): Promise<void>;
}

const MAX_SOCKET_PATH = 107;
const BUFFER_BYTES = 64 * 1024;
/** Beyond the connections of a run: those that are told why they are refused. */
const REFUSED_AT_ONCE = 8;
/** Each holds one of this process's threads, which all runs share, for as long as a slow name server likes. */
const LOOKUPS_AT_ONCE = 4;
/** What names of the DNS have at most. */
const MAX_HOST_LOGGED = 253;
const MAX_REASON_LOGGED = 500;
/** Read from a client that is refused, while it still writes, and for how long at most. */
const MAX_DRAINED_BYTES = 1024 * 1024;
const MAX_DRAINED_MS = 1000;

export async function startEgressProxy(options: EgressOptions): Promise<EgressProxy> {
  if (new TextEncoder().encode(options.socket).length > MAX_SOCKET_PATH) {
    throw new Error(`the path of the egress socket is too long: ${options.socket}`);
  }
  const proxy = new Proxy(options);
  const most = proxy.limits.connections + REFUSED_AT_ONCE;
  // Only the run that the socket is mounted into gets to see it.
  const gate = await openGate(options.socket, most, (client) => proxy.serve(client));
  return {
    async close() {
      proxy.end();
      await gate.close();
    },
  };
}

class Proxy {
  readonly limits: EgressLimits;
  readonly #open = new Set<Deno.Conn>();
  readonly #lookups = new Places(LOOKUPS_AT_ONCE);
  #clients = 0;
  #bytes = 0;
  #ended = false;

  constructor(readonly options: EgressOptions) {
    this.limits = { ...EGRESS_LIMITS, ...options.limits };
  }

  end(): void {
    this.#ended = true;
    for (const connection of this.#open) close(connection);
  }

  async serve(client: Deno.Conn): Promise<void> {
    if (this.#ended) return close(client);
    this.#open.add(client);
    this.#clients++;
    const event: EgressEvent = { host: "", port: 0, sentBytes: 0, receivedBytes: 0 };
    let server: Deno.Conn | undefined;
    const idle = new IdleTimer(this.limits.idleSeconds * 1000, () => close(client));
    try {
      if (this.#clients > this.limits.connections) {
        throw new RefusedRequest(429, `more than ${this.limits.connections} connections at once`);
      }
      if (this.#bytes >= this.limits.bytes) throw this.#exhausted();
      const request = await readRequest(client);
      if (request === null) return;
      Object.assign(event, { host: request.host.slice(0, MAX_HOST_LOGGED), port: request.port });
      server = await this.#connect(request, event);
      this.#open.add(server);
      if (this.#ended) return;
      await send(
        request.tunnel ? client : server,
        request.tunnel ? "HTTP/1.1 200 Connection established\r\n\r\n" : request.head,
      );
      await this.#relay(client, server, request, event, idle);
    } catch (error) {
      if (error instanceof RefusedRequest) {
        event.refused = error.message.slice(0, MAX_REASON_LOGGED);
        await refuse(client, error).catch(() => {});
      } else if (!isDisconnect(error)) {
        event.refused = (error as Error).message;
      }
    } finally {
      idle.stop();
      this.#clients--;
      for (const connection of [client, server]) {
        if (!connection) continue;
        this.#open.delete(connection);
        close(connection);
      }
      if (event.host !== "" || event.refused !== undefined) this.options.log?.(event);
    }
  }

  async #connect({ host, port }: ProxyRequest, event: EgressEvent): Promise<Deno.Conn> {
    const name = cleanHost(host);
    if (name === null) throw new RefusedRequest(400, `${host} is not the name of a host`);
    if (!isGranted(this.options.grants, name, port)) {
      throw new RefusedRequest(403, `${name}:${port} is not among the app's network permissions`);
    }
    const deadline = AbortSignal.timeout(this.limits.connectSeconds * 1000);
    const addresses = parseAddress(name) ? [name] : await this.#resolve(name, deadline);
    const allowed = addresses.filter(this.options.isAllowedAddress ?? isForeignAddress);
    if (allowed.length === 0) {
      throw new RefusedRequest(403, `${name} has no address of the public Internet`);
    }
    let failure: unknown;
    for (const address of allowed) {
      try {
        // The checked address, not the name: that could have another one by now.
        const connection = await connectInTime(address, port, deadline);
        event.address = address;
        return connection;
      } catch (error) {
        failure = error;
      }
    }
    throw new RefusedRequest(
      502,
      `${name}:${port} cannot be reached: ${(failure as Error).message}`,
    );
  }

  async #resolve(name: string, deadline: AbortSignal): Promise<string[]> {
    const resolve = this.options.resolve ??
      (async (host: string) => (await lookup(host, { all: true })).map(({ address }) => address));
    try {
      return await Promise.race([this.#inTurn(() => resolve(name), deadline), aborted(deadline)]);
    } catch (error) {
      throw new RefusedRequest(502, `${name} cannot be resolved: ${(error as Error).message}`);
    }
  }

  async #inTurn<T>(look: () => Promise<T>, deadline: AbortSignal): Promise<T> {
    await this.#lookups.take();
    try {
      deadline.throwIfAborted();
      return await look();
    } finally {
      this.#lookups.giveBack();
    }
  }

  async #relay(
    client: Deno.Conn,
    server: Deno.Conn,
    request: ProxyRequest,
    event: EgressEvent,
    idle: IdleTimer,
  ): Promise<void> {
    const count = (bytes: number, direction: "sentBytes" | "receivedBytes") => {
      idle.touch();
      event[direction] += bytes;
      this.#bytes += bytes;
      if (this.#bytes > this.limits.bytes) throw this.#exhausted();
    };
    if (request.rest.length > 0) {
      count(request.rest.length, "sentBytes");
      await send(server, request.rest);
    }
    const sending = copy(client, server, (bytes) => count(bytes, "sentBytes"));
    const receiving = copy(server, client, (bytes) => count(bytes, "receivedBytes"));
    // Either direction may end by itself; a failure in one ends both.
    try {
      await Promise.all([
        sending,
        request.tunnel ? receiving : receiving.then(() => close(client)),
      ]);
    } catch (error) {
      close(client);
      close(server);
      await Promise.allSettled([sending, receiving]);
      if (error instanceof RefusedRequest) event.refused = error.message;
    }
  }

  #exhausted(): RefusedRequest {
    return new RefusedRequest(429, `more than ${this.limits.bytes} bytes were sent and received`);
  }
}

class IdleTimer {
  #timer: ReturnType<typeof setTimeout>;
  constructor(readonly ms: number, readonly onIdle: () => void) {
    this.#timer = setTimeout(onIdle, ms);
  }
  touch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.onIdle, this.ms);
  }
  stop(): void {
    clearTimeout(this.#timer);
  }
}

async function connectInTime(
  hostname: string,
  port: number,
  deadline: AbortSignal,
): Promise<Deno.Conn> {
  const connecting = Deno.connect({ hostname, port });
  try {
    return await Promise.race([connecting, aborted(deadline)]);
  } catch (error) {
    connecting.then(close, () => {});
    throw error;
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

async function copy(
  from: Deno.Conn,
  to: Deno.Conn,
  count: (bytes: number) => void,
): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  while (true) {
    const read = await from.read(buffer);
    if (read === null) break;
    count(read);
    await send(to, buffer.subarray(0, read));
  }
  await to.closeWrite().catch(() => {});
}

async function send(to: Deno.Conn, content: string | Uint8Array): Promise<void> {
  const bytes = typeof content === "string"
    ? Uint8Array.from(content, (character) => character.charCodeAt(0))
    : content;
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}

async function refuse(client: Deno.Conn, { status, message }: RefusedRequest): Promise<void> {
  const body = new TextEncoder().encode(`Stowage: ${message}.\n`);
  await send(
    client,
    `HTTP/1.1 ${status} Refused\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
  );
  await send(client, body);
  await client.closeWrite();
  // What is closed before it was read is reset, and the answer would be lost.
  const rest = new Uint8Array(BUFFER_BYTES);
  const patience = setTimeout(() => close(client), MAX_DRAINED_MS);
  try {
    for (let read = 0; read < MAX_DRAINED_BYTES;) {
      const more = await client.read(rest);
      if (more === null) return;
      read += more;
    }
  } finally {
    clearTimeout(patience);
  }
}

function isDisconnect(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionAborted;
}
