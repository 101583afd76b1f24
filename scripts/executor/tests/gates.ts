/** A way to the server on which single calls can be held: before they are passed on, in the middle of their body, or with their answer. */

export interface Hold {
  /** Set when a call comes that is held from then on. */
  reached: boolean;
}

/** What of a call is held: all of it, half of what it sends or is sent, its answer (but for one that has nothing in it). */
export type Part = "whole" | "body" | "answer";

export interface Gates {
  url: string;
  /** @param call a regular expression, of `METHOD path body`; bodies only of calls of the database's API */
  hold(call: string, part: Part): Hold;
  /** What is held never goes on. */
  close(): Promise<void>;
}

interface Gate extends Hold {
  call: RegExp;
  part: Part;
  /** Rejects when the gates are closed. */
  pass(): Promise<never>;
  close(): void;
}

export function startGates(target: string): Gates {
  const gates = new Set<Gate>();
  const serve = async (request: Request) => {
    const { pathname, search } = new URL(request.url);
    const body = request.body === null ? null : new Uint8Array(await request.arrayBuffer());
    const isCall = pathname.startsWith("/rest/v1/") && body !== null;
    const text = `${request.method} ${pathname} ${isCall ? new TextDecoder().decode(body) : ""}`;
    const gate = [...gates].find(({ call }) => call.test(text));
    if (gate?.part === "whole") await gate.pass();
    const held = gate?.part === "body" ? gate : undefined;
    const answer = await fetch(`${target}${pathname}${search}`, {
      method: request.method,
      headers: request.headers,
      body: held && body ? halves(body, held) : body as Uint8Array<ArrayBuffer> | null,
    });
    if (gate?.part === "answer" && await answer.clone().text() !== "[]") await gate.pass();
    if (!held || body) return answer;
    return new Response(halves(new Uint8Array(await answer.arrayBuffer()), held), answer);
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => serve(request).catch(() => new Response("broken off", { status: 503 })),
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    hold(call, part) {
      const { promise, reject } = Promise.withResolvers<never>();
      promise.catch(() => {});
      const gate: Gate = {
        call: new RegExp(call),
        part,
        reached: false,
        pass() {
          gate.reached = true;
          return promise;
        },
        close: () => reject(new Error("the gates are closed")),
      };
      gates.add(gate);
      return gate;
    },
    async close() {
      for (const gate of gates) gate.close();
      await server.shutdown();
    },
  };
}

function halves(bytes: Uint8Array, gate: Gate): ReadableStream<Uint8Array> {
  const half = Math.floor(bytes.length / 2);
  return ReadableStream.from((async function* () {
    yield bytes.slice(0, half);
    await gate.pass();
    yield bytes.slice(half);
  })());
}
