/** Reads what a client says first to an HTTP proxy: CONNECT, or a request with an absolute http URL. */

export interface ProxyRequest {
  host: string;
  port: number;
  tunnel: boolean;
  /** What to send to the server first, in place of what was read: nothing for a tunnel. */
  head: string;
  /** What the client sent after the head. */
  rest: Uint8Array;
}

/** The request is refused before anything is connected. */
export class RefusedRequest extends Error {
  override name = "RefusedRequest";
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

const MAX_HEAD_BYTES = 16 * 1024;
const CR = 13, LF = 10;
const NEWLINE = "\r\n";
/** Meant for the proxy itself, or set anew. */
const DROPPED = /^(proxy-[^:]*|connection|keep-alive|host|upgrade)\s*:/i;

/** @throws RefusedRequest; returns null when the client goes before it has said anything */
export async function readRequest(
  client: { read(into: Uint8Array): Promise<number | null> },
): Promise<ProxyRequest | null> {
  const bytes = new Uint8Array(MAX_HEAD_BYTES);
  let length = 0;
  while (true) {
    const read = await client.read(bytes.subarray(length));
    if (read === null) return null;
    // Only what is new, and the three bytes before it: a client may send one byte at a time.
    const end = endOfHead(bytes.subarray(0, length + read), Math.max(0, length - 3));
    length += read;
    if (end >= 0) return parseHead(latin1(bytes.subarray(0, end)), bytes.slice(end + 4, length));
    if (length === MAX_HEAD_BYTES) throw new RefusedRequest(431, "the request's head is too long");
  }
}

/** Where the empty line begins, looked for from `start` on; -1 if there is none. */
function endOfHead(bytes: Uint8Array, start: number): number {
  for (let at = start; at + 3 < bytes.length; at++) {
    if (
      bytes[at] === CR && bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF
    ) return at;
  }
  return -1;
}

/** One character is one byte. */
function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (code) => String.fromCharCode(code)).join("");
}

function parseHead(text: string, rest: Uint8Array): ProxyRequest {
  const [line, ...fields] = text.split(NEWLINE);
  const [method, target, version, ...more] = line.split(" ");
  if (!/^HTTP\/1\.[01]$/.test(version ?? "") || more.length > 0 || !/^[A-Za-z]+$/.test(method)) {
    throw new RefusedRequest(400, "this is not an HTTP/1.1 request");
  }
  if (method.toUpperCase() === "CONNECT") {
    const [, host, port] = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(target) ?? [];
    if (host === undefined) throw new RefusedRequest(400, "CONNECT takes host:port");
    return { host, port: Number(port), tunnel: true, head: "", rest };
  }
  let url: URL;
  try {
    url = new URL(target);
  } catch {
    throw new RefusedRequest(400, "a proxy takes absolute URLs only");
  }
  if (url.protocol !== "http:" || url.username !== "" || url.password !== "") {
    throw new RefusedRequest(400, "a proxy takes http:// URLs without credentials, or CONNECT");
  }
  const kept = fields.filter((field) => !DROPPED.test(field));
  // One request a connection: another could name another host.
  const head = [
    `${method} ${url.pathname}${url.search} HTTP/1.1`,
    `Host: ${url.host}`,
    ...kept,
    "Connection: close",
    "",
    "",
  ].join(NEWLINE);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? 80 : Number(url.port),
    tunnel: false,
    head,
    rest,
  };
}
