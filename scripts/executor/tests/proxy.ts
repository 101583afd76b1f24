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
