/**
 * A proxy that sees every call of a process to Supabase, and kills the process (SIGKILL) at one of them: before the call is
 * passed on, or once it was answered and before the process learns of it. Walked from the first call to the last, this is a
 * crash at every step.
 */
export type Moment = "before" | "after";

export interface KillingProxy {
  url: string;
  /** Calls since the last arming. */
  calls: number;
  /** Method and path of the call at which it killed. */
  killedAt: string | undefined;
  /** From now on: counts calls anew, and kills at this one; nothing is killed at call 0. */
  arm(call: number, moment: Moment, pid: () => number): void;
  close(): Promise<void>;
}

export function startKillingProxy(target: string): KillingProxy {
  let armed: { call: number; moment: Moment; pid: () => number } | undefined;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { method, headers, url } = request;
    const { pathname, search } = new URL(url);
    const now = ++proxy.calls === armed?.call ? armed : undefined;
    const kill = () => {
      proxy.killedAt = `${method} ${pathname}`;
      Deno.kill(now!.pid(), "SIGKILL");
      return new Response(null, { status: 503 });
    };
    // What it says is taken before anything is killed: a call is made whole or not at all.
    const body = await request.arrayBuffer();
    if (now?.moment === "before") return kill();
    const response = await fetch(target + pathname + search, {
      method,
      headers: withoutHost(headers),
      body: body.byteLength > 0 ? body : undefined,
      redirect: "manual",
    });
    const answer = await response.arrayBuffer();
    if (now) return kill();
    const answered = new Headers(response.headers);
    for (const name of ["content-encoding", "content-length"]) answered.delete(name);
    const empty = response.status === 204 || response.status === 304;
    return new Response(empty ? null : answer, { status: response.status, headers: answered });
  });
  const proxy: KillingProxy = {
    url: `http://127.0.0.1:${server.addr.port}`,
    calls: 0,
    killedAt: undefined,
    arm(call, moment, pid) {
      armed = { call, moment, pid };
      proxy.calls = 0;
      proxy.killedAt = undefined;
    },
    close: () => server.shutdown(),
  };
  return proxy;
}

function withoutHost(headers: Headers): Headers {
  const forwarded = new Headers(headers);
  for (const name of ["host", "content-length", "accept-encoding"]) forwarded.delete(name);
  return forwarded;
}
