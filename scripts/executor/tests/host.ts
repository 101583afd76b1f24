/** What apps must not reach, and two servers that some may: on this host, for the time of a test. */
import dgram from "node:dgram";
import { once } from "node:events";
import { join } from "node:path";
import { assertEquals } from "../../testing/assert.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";

export interface Host {
  /** Of listeners on all addresses. */
  tcpPort: number;
  udpPort: number;
  /** Path of a Unix socket that everybody may connect to. */
  socket: string;
  /** Name of one that has no file. */
  abstract: string;
  /** Loopback, own addresses, the gateways that they suggest. */
  addresses: string[];
  /** Of servers on loopback that answer `hello from <host>`. */
  httpPort: number;
  httpsPort: number;
  /** How many connections and datagrams came to the listeners. */
  reached(): Promise<number>;
  close(): Promise<void>;
}

export async function openHost(): Promise<Host> {
  const folder = await Deno.makeTempDir();
  await Deno.chmod(folder, 0o755);
  const socket = join(folder, "socket");
  const tcp = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const unix = Deno.listen({ transport: "unix", path: socket });
  await Deno.chmod(socket, 0o777);
  const udp = dgram.createSocket("udp4").bind(0, "0.0.0.0");
  await once(udp, "listening");
  const name = `stowage-${crypto.randomUUID()}`;
  const abstract = await listenAbstract(name);
  let reached = 0;
  const accepting = [tcp, unix].map(async (listener) => {
    for await (const connection of listener as Deno.Listener) {
      reached++;
      connection.close();
    }
  });
  udp.on("message", () => reached++);
  const answer = (request: Request) => new Response(`hello from ${new URL(request.url).host}`);
  const local = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
  const read = (file: string) => Deno.readTextFile(new URL(`tls/${file}`, import.meta.url));
  const http = Deno.serve(local, answer);
  const tls = { cert: await read("server.pem"), key: await read("server.key") };
  const https = Deno.serve({ ...local, ...tls }, answer);
  const own = Deno.networkInterfaces()
    .filter((each) => each.family === "IPv4" && each.address !== "127.0.0.1")
    .map((each) => each.address);
  return {
    ...{ tcpPort: tcp.addr.port, udpPort: udp.address().port, socket, abstract: name },
    ...{ httpPort: http.addr.port, httpsPort: https.addr.port },
    addresses: [
      ...["127.0.0.1", ...own, ...own.map((address) => address.replace(/\d+$/, "1"))],
      ...["172.17.0.1", "169.254.169.254", "192.0.2.1"],
    ],
    async reached() {
      return reached + await abstract.connections();
    },
    async close() {
      for (const each of [tcp, unix, udp]) each.close();
      await Promise.all(accepting);
      await Promise.all([http.shutdown(), https.shutdown(), abstract.close()]);
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Listens on a socket without a file, which Deno cannot; says how many came when it is asked. */
async function listenAbstract(name: string) {
  const runtimes = locateRuntimes();
  if (typeof runtimes === "string") throw new Error(runtimes);
  const child = new Deno.Command(runtimes.node, {
    args: [
      "-e",
      `let n = 0;
       require("node:net").createServer(() => n++).listen("\\0" + process.argv[1], () => console.log("ready"));
       process.stdin.on("data", () => console.log(n)).on("end", () => process.exit(0));`,
      name,
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const writer = child.stdin.getWriter();
  assertEquals((await lines.read()).value, "ready\n");
  return {
    async connections(): Promise<number> {
      await writer.write(new TextEncoder().encode("\n"));
      return Number((await lines.read()).value);
    },
    async close(): Promise<void> {
      await writer.close();
      await lines.cancel();
      await child.status;
    },
  };
}
