/** The way out of a sandbox: what is let through, what is not, and that nothing is by default. */
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "../../testing/assert.ts";
import { isPublicAddress } from "../../../supabase/functions/_shared/addresses.ts";
import {
  type Grant,
  parseGrant,
  SCOPE_PATTERN,
  scopeRefusal,
} from "../../../supabase/functions/_shared/manifest/network_scopes.ts";
import { isForeignAddress } from "../egress/addresses.ts";
import { isGranted } from "../egress/grants.ts";
import { openEgress } from "../sandbox/egress.ts";
import type { SandboxSpec } from "../sandbox/types.ts";
import { type EgressEvent, type EgressOptions, startEgressProxy } from "../egress/proxy.ts";

Deno.test("only addresses of the public Internet are public, in no disguise", () => {
  const own = [
    ...["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1"],
    ...["2606:4700:4700::1111", "2a00:1450::1"],
  ];
  assertEquals(own.filter((address) => !isPublicAddress(address)), []);
  const others = [
    ...["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1"],
    ...["127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255"],
    ...["192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"],
    ...["198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"],
    ...["255.255.255.255"],
    // Spellings that some resolver reads as an address.
    ...[
      "127.1",
      "2130706433",
      "0x7f000001",
      "0177.0.0.1",
      "010.8.8.8",
      "8.8.8",
      "8.8.8.8.8",
      "8.8.8.256",
    ],
    ...["::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "100::1"],
    // IPv4 inside IPv6: mapped, compatible, translated, 6to4, Teredo, ISATAP's prefix.
    ...["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1", "::127.0.0.1", "::ffff:0:8.8.8.8"],
    ...["64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1", "2001::1"],
    ...["2001:db8::1", "3fff::1", "3ffe::1", "fe80::1%eth0", "2606:4700:4700::1111%eth0"],
    ...["", ":", ":::", "1::2::3", "12345::", "2606:4700:4700:0:0:0:0:0:1111", "::ffff:8.8.8.256"],
  ];
  assertEquals(others.filter(isPublicAddress), []);
  const addresses = Deno.networkInterfaces().map(({ address }) => address);
  assertEquals(addresses.filter(isForeignAddress), [], "none of this host's own");
});

Deno.test("a permission names hosts and ports, and never all of them", () => {
  const opened: Record<string, Grant> = {
    "api.example.com": { host: "api.example.com", subdomains: false, ports: [80, 443] },
    " API.Example.com. ": { host: "api.example.com", subdomains: false, ports: [80, 443] },
    "example.com:8443": { host: "example.com", subdomains: false, ports: [8443] },
    "*.example.com": { host: "example.com", subdomains: true, ports: [80, 443] },
    "*.example.com:8443": { host: "example.com", subdomains: true, ports: [8443] },
    "8.8.8.8:53": { host: "8.8.8.8", subdomains: false, ports: [53] },
    "2606:4700::1": { host: "2606:4700::1", subdomains: false, ports: [80, 443] },
    "[2606:4700::1]:853": { host: "2606:4700::1", subdomains: false, ports: [853] },
  };
  const pattern = new RegExp(SCOPE_PATTERN, "u");
  for (const [scope, grant] of Object.entries(opened)) {
    assertEquals(parseGrant(scope), grant, scope);
    assertEquals(scopeRefusal(scope), null, scope);
    assert(pattern.test(scope), `the schema that editors have takes ${scope}`);
  }
  const notPublic = ["10.0.0.1", "127.0.0.1:8080", "[::1]:80", "fe80::1", "169.254.169.254"];
  for (const scope of notPublic) {
    assertEquals(
      scopeRefusal(scope),
      `${JSON.stringify(scope)} is not an address of the public Internet`,
    );
  }
  const refused = [
    ...["", "*", "*.", "*.com", "*.8.8.8.8", "a.*.com", "*example.com", "example.com:0"],
    ...["example.com:65536", "example.com:x", "http://example.com", "example.com/path", "a b"],
    ...[
      "user@example.com",
      "-a.com",
      "a..com",
      "0x7f000001",
      "2130706433",
      "127.1",
      "[::1",
      "[example.com]",
      "[8.8.8.8]:80",
    ],
    "x".repeat(300),
  ];
  for (const scope of refused) {
    assertEquals(typeof parseGrant(scope), "string", scope);
    assertEquals(scopeRefusal(scope), parseGrant(scope), scope);
  }
  for (const scope of ["", "*", "*.com", "a.*.com", "http://example.com", "a b", "user@a.com"]) {
    assert(!pattern.test(scope), `the schema that editors have refuses ${scope}`);
  }
  const grants = ["api.example.com", "*.wild.example:8443"].map((scope) =>
    parseGrant(scope) as Grant
  );
  const asked: [string, number, boolean][] = [
    ["api.example.com", 443, true],
    ["api.example.com", 80, true],
    ["api.example.com", 22, false],
    ["x.api.example.com", 443, false],
    ["evilapi.example.com", 443, false],
    ["a.wild.example", 8443, true],
    ["a.b.wild.example", 8443, true],
    ["a.wild.example", 443, false],
    ["wild.example", 8443, false],
    ["evilwild.example", 8443, false],
  ];
  for (const [host, port, expected] of asked) {
    assertEquals(isGranted(grants, host, port), expected, `${host}:${port}`);
  }
});

interface World {
  /** What the proxy says to these bytes, to the end. */
  ask(text: string): Promise<string>;
  connect(): Promise<Deno.Conn>;
  events: EgressEvent[];
  close(): Promise<void>;
}

async function proxied(options: Partial<EgressOptions> & { scopes: string[] }): Promise<World> {
  const folder = await Deno.makeTempDir();
  const socket = join(folder, "egress.sock");
  const events: EgressEvent[] = [];
  const proxy = await startEgressProxy({
    socket,
    grants: options.scopes.map((scope) => parseGrant(scope) as Grant),
    log: (event) => events.push(event),
    ...options,
  });
  const connect = () => Deno.connect({ transport: "unix", path: socket });
  return {
    events,
    connect,
    async ask(text) {
      const connection = await connect();
      await connection.write(new TextEncoder().encode(text));
      return await new Response(connection.readable).text();
    },
    async close() {
      await proxy.close();
      assertEquals([...Deno.readDirSync(folder)], [], "the socket is gone");
      await Deno.remove(folder);
    },
  };
}

/** What is logged is logged once both sides have let go. */
async function eventually(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!isSo() && performance.now() < deadline) await new Promise((r) => setTimeout(r, 5));
  assert(isSo());
}

/** A server on loopback that says what it was asked. */
function startServer() {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) =>
      new Response(
        `${request.method} ${request.url} ${await request.text()} ${
          request.headers.get("proxy-authorization") ?? ""
        }`.trim(),
      ),
  );
  return { port: server.addr.port, close: () => server.shutdown() };
}

const loopback = {
  resolve: () => Promise.resolve(["127.0.0.1"]),
  isAllowedAddress: (address: string) => address === "127.0.0.1",
};

Deno.test("a granted host is reached, by CONNECT and by plain requests, at the checked address", async () => {
  const server = startServer();
  const asked: string[] = [];
  const world = await proxied({
    ...loopback,
    scopes: [`api.example.com:${server.port}`],
    resolve: (host) => {
      asked.push(host);
      // The second is not allowed, and never tried.
      return Promise.resolve(["10.0.0.1", "127.0.0.1"]);
    },
  });
  const authority = `api.example.com:${server.port}`;
  try {
    const plain = await world.ask(
      `POST http://${authority}/path?q=1 HTTP/1.1\r\nHost: other.example\r\nContent-Length: 4\r\n` +
        "Proxy-Authorization: secret\r\nProxy-Connection: keep-alive\r\n\r\nbody",
    );
    assertStringIncludes(plain, `POST http://${authority}/path?q=1 body`);
    assert(!plain.includes("secret"), "what is meant for the proxy stays there");
    const tunnel = await world.ask(
      `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n` +
        `GET /x HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`,
    );
    assert(tunnel.startsWith("HTTP/1.1 200 "), tunnel);
    assertStringIncludes(tunnel, `GET http://${authority}/x`);
    assertEquals(asked, ["api.example.com", "api.example.com"]);
    await eventually(() => world.events.length === 2);
    assertEquals(world.events.map(({ address, refused }) => [address, refused]), [
      ["127.0.0.1", undefined],
      ["127.0.0.1", undefined],
    ]);
    assert(
      world.events.every(({ sentBytes, receivedBytes }) => sentBytes > 0 && receivedBytes > 0),
    );
  } finally {
    await world.close();
    await server.close();
  }
});

Deno.test("what is not granted, and every address that is not public, is refused and named", async () => {
  const server = startServer();
  const { port } = server;
  const scopes = ["localhost", "127.0.0.1", "[::1]", "rebound.example", "[::ffff:127.0.0.1]"]
    .map((host) => `${host}:${port}`);
  // No policy of the test's own: this is what an app meets.
  const world = await proxied({ scopes, resolve: () => Promise.resolve(["127.0.0.1", "::1"]) });
  const connect = (target: string) => world.ask(`CONNECT ${target} HTTP/1.1\r\n\r\n`);
  try {
    for (
      const target of ["localhost", "127.0.0.1", "[::1]", "rebound.example", "[::ffff:127.0.0.1]"]
    ) {
      const answer = await connect(`${target}:${port}`);
      assertStringIncludes(answer, "HTTP/1.1 403 ", target);
      assertStringIncludes(answer, "no address of the public Internet", target);
    }
    for (const target of [`other.example:${port}`, "rebound.example:22", "169.254.169.254:80"]) {
      assertStringIncludes(
        await connect(target),
        "not among the app's network permissions",
        target,
      );
    }
    const bad: Record<string, string> = {
      "GET /path HTTP/1.1\r\n\r\n": "400",
      "GET https://rebound.example/ HTTP/1.1\r\n\r\n": "400",
      "GET http://user:secret@rebound.example/ HTTP/1.1\r\n\r\n": "400",
      "CONNECT nothing HTTP/1.1\r\n\r\n": "400",
      "CONNECT 0x7f000001:80 HTTP/1.1\r\n\r\n": "400",
      "nonsense\r\n\r\n": "400",
      [`GET http://a/ HTTP/1.1\r\nX: ${"x".repeat(20_000)}`]: "431",
    };
    for (const [request, status] of Object.entries(bad)) {
      assertStringIncludes(await world.ask(request), `HTTP/1.1 ${status} `, request.slice(0, 50));
    }
    await eventually(() => world.events.length === 8 + Object.keys(bad).length);
    assert(world.events.every(({ refused, address }) => refused !== undefined && !address));
  } finally {
    await world.close();
    await server.close();
  }
});

Deno.test("an app that tries again and again does not fill the log", async () => {
  const scratchDir = await Deno.makeTempDir();
  let lines = 0;
  const spec = { id: "a run", scratchDir, network: ["api.example.com"] } as SandboxSpec;
  const egress = await openEgress(spec, { logEgress: () => lines++ });
  const head = new TextEncoder().encode("CONNECT other.example.com:443 HTTP/1.1\r\n\r\n");
  try {
    for (let i = 0; i < 1100; i++) {
      const connection = await Deno.connect({ transport: "unix", path: egress!.socket });
      await connection.write(head);
      assertStringIncludes(await new Response(connection.readable).text(), "403");
    }
    await eventually(() => lines === 1000);
  } finally {
    await egress!.close();
    await Deno.remove(scratchDir, { recursive: true });
  }
});

Deno.test("bytes, time and connections are limited, and nothing outlives the proxy", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const held: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const connection of listener) held.push(connection);
  })();
  const { port } = listener.addr;
  const world = await proxied({
    ...loopback,
    scopes: [`a.example:${port}`],
    limits: { bytes: 100_000, idleSeconds: 0.2, connections: 2 },
  });
  const head = `CONNECT a.example:${port} HTTP/1.1\r\n\r\n`;
  try {
    assertStringIncludes(await world.ask(head), "200", "an idle connection is ended");
    const two = [await world.connect(), await world.connect()];
    for (const each of two) await each.write(new TextEncoder().encode(head));
    assertStringIncludes(await world.ask(head), "429", "a third at the same time");
    for (const each of two) await new Response(each.readable).text();
    const flood = await world.connect();
    await flood.write(new TextEncoder().encode(head));
    const answer = new Response(flood.readable).text().catch(() => "");
    await flood.write(new Uint8Array(200_000)).catch(() => {});
    await answer;
    await eventually(() => world.events.length === 5);
    assertStringIncludes(world.events.at(-1)!.refused ?? "", "100000 bytes");
    assertStringIncludes(await world.ask(head), "429", "nothing is left");
  } finally {
    await world.close();
    listener.close();
    await accepting;
    for (const each of held) each.close();
  }
});

Deno.test("who opens more connections than this process has descriptors for does not end it", async () => {
  const child = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      'ulimit -n 64 && exec "$@"',
      "sh",
      Deno.execPath(),
      ...["run", "-A", fileURLToPath(new URL("flooded_proxy.ts", import.meta.url))],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const complaints = new Response(child.stderr).text();
  const lines = createInterface({ input: Readable.fromWeb(child.stdout as never) })
    [Symbol.asyncIterator]();
  const { value: path } = await lines.next();
  const flood: Deno.Conn[] = [];
  try {
    assert(path, "it listens");
    const head = new TextEncoder().encode("CONNECT other.example:443 HTTP/1.1\r\n\r\n");
    for (let i = 0; i < 100; i++) flood.push(await Deno.connect({ transport: "unix", path }));
    // As soon as some of them are gone, others are answered.
    for (const connection of flood.splice(0)) connection.close();
    const connection = await Deno.connect({ transport: "unix", path });
    await connection.write(head);
    assertStringIncludes(await new Response(connection.readable).text(), "403");
  } finally {
    for (const connection of flood) connection.close();
    await child.stdin.close();
    assertEquals((await child.status).code, 0, await complaints);
    await lines.return?.();
  }
});

Deno.test("few names are looked up at the same time, and all in the end", async () => {
  let now = 0, most = 0;
  const world = await proxied({
    scopes: ["*.wild.example"],
    resolve: async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 5));
      now--;
      return ["10.0.0.1"];
    },
  });
  try {
    const answers = await Promise.all(
      Array.from(
        { length: 30 },
        (_, i) => world.ask(`CONNECT n${i}.wild.example:443 HTTP/1.1\r\n\r\n`),
      ),
    );
    for (const answer of answers) assertStringIncludes(answer, "no address of the public");
    assert(most <= 4, `${most} at once`);
  } finally {
    await world.close();
  }
});

Deno.test("a head that comes byte by byte is understood, and costs what it has bytes", async () => {
  const world = await proxied({ scopes: ["a.example"] });
  try {
    const connection = await world.connect();
    const answer = new Response(connection.readable).text();
    const text = `CONNECT b.example:443 HTTP/1.1\r\nX: ${"x".repeat(2000)}\r\n\r\n`;
    for (const byte of new TextEncoder().encode(text)) {
      await connection.write(Uint8Array.of(byte));
    }
    assertStringIncludes(await answer, "b.example:443 is not among");
  } finally {
    await world.close();
  }
});
