/** Requests that no HTTP client would send, written to the socket by hand. */

const PATIENCE_MS = 5_000;

const flood = Array.from({ length: 300 }, (_, at) => `x-${at}: ${at}`).join("\r\n");

/** What each is called, and its bytes; `#` stands for a byte that is no UTF-8. */
const REQUESTS: Record<string, string> = {
  "no HTTP at all": "hello\r\n\r\n",
  "a method of control characters": "\x01\x02 /functions/v1/api/apps HTTP/1.1\r\nhost: x\r\n\r\n",
  "a path of bytes that are no UTF-8": "GET /functions/v1/api/apps/## HTTP/1.1\r\nhost: x\r\n\r\n",
  "a path with a space": "GET /functions/v1/api/a b HTTP/1.1\r\nhost: x\r\n\r\n",
  "a path with NUL": "GET /functions/v1/api/a\0b HTTP/1.1\r\nhost: x\r\n\r\n",
  "an absolute address":
    "GET http://elsewhere.example/functions/v1/api/apps HTTP/1.1\r\nhost: x\r\n\r\n",
  "a header with NUL": "GET /functions/v1/api/apps HTTP/1.1\r\nhost: x\r\nx-a: a\0b\r\n\r\n",
  "a header without a name": "GET /functions/v1/api/apps HTTP/1.1\r\nhost: x\r\n: a\r\n\r\n",
  "a header of bytes that are no UTF-8":
    "GET /functions/v1/api/apps HTTP/1.1\r\nhost: x\r\nif-match: ##\r\n\r\n",
  "very many headers": `GET /functions/v1/api/apps HTTP/1.1\r\nhost: x\r\n${flood}\r\n\r\n`,
  "a very long header": `GET /functions/v1/api/apps HTTP/1.1\r\nhost: x\r\nx-a: ${
    "a".repeat(1_000_000)
  }\r\n\r\n`,
  "a very long path": `GET /functions/v1/api/${"a".repeat(100_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
  "two lengths":
    "POST /functions/v1/uploads HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
  "a length that is no number":
    "POST /functions/v1/uploads HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
  "a length and chunks":
    "POST /functions/v1/uploads HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
  "a chunk that is none":
    "POST /functions/v1/uploads HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  "another version": "GET /functions/v1/api/apps HTTP/9.9\r\nhost: x\r\n\r\n",
};

/** Sends each on a connection of its own: its name, and the status that came, or null where none did. */
export async function sendRaw(apiUrl: string): Promise<[string, number | null][]> {
  const { hostname, port } = new URL(apiUrl);
  return await Promise.all(
    Object.entries(REQUESTS).map(async ([what, text]): Promise<[string, number | null]> => {
      const bytes = Uint8Array.from(text, (char) => char === "#" ? 0xff : char.charCodeAt(0));
      return [what, await statusOf({ hostname, port: Number(port) }, bytes)];
    }),
  );
}

async function statusOf(address: Deno.ConnectOptions, bytes: Uint8Array): Promise<number | null> {
  const connection = await Deno.connect(address);
  // What waits for more than was sent waits for ever, unless we go.
  const timer = setTimeout(() => connection.close(), PATIENCE_MS);
  const answer = new Uint8Array(64);
  try {
    await connection.write(bytes);
    const length = await connection.read(answer);
    const line = new TextDecoder().decode(answer.subarray(0, length ?? 0));
    return Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1]) || null;
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
    try {
      connection.close();
    } catch {
      // The timer has.
    }
  }
}
