/** A way to the server that can be cut. */

export interface Proxy {
  url: string;
  /** While true, connections are answered with nothing but an error. */
  away: boolean;
  close(): Promise<void>;
}

export function startProxy(target: string): Proxy {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      if (proxy.away) return new Response("away", { status: 503 });
      const { pathname, search } = new URL(request.url);
      return await fetch(`${target}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        body: request.body === null ? null : await request.arrayBuffer(),
      });
    },
  );
  const proxy: Proxy = {
    url: `http://127.0.0.1:${server.addr.port}`,
    away: false,
    close: () => server.shutdown(),
  };
  return proxy;
}

/** A network that can be lost: connections end in their middle, and no new ones come about. */
export interface Network {
  url: string;
  lose(): void;
  restore(): void;
  close(): Promise<void>;
}

export function startNetwork(target: string): Network {
  const { hostname, port } = new URL(target);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  let lost = false;
  const drop = () => {
    for (const connection of open) close(connection);
    open.clear();
  };
  const serve = async (client: Deno.Conn) => {
    if (lost) return close(client);
    open.add(client);
    try {
      const server = await Deno.connect({ hostname, port: Number(port) });
      open.add(server);
      if (lost) drop();
      await Promise.all([
        client.readable.pipeTo(server.writable),
        server.readable.pipeTo(client.writable),
      ]);
    } catch {
      // Lost, or closed by either side.
    }
  };
  const accepting = (async () => {
    for await (const client of listener) serve(client);
  })();
  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    lose() {
      lost = true;
      drop();
    },
    restore: () => void (lost = false),
    async close() {
      listener.close();
      await accepting;
      drop();
    },
  };
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
