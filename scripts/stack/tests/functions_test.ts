import { fileURLToPath } from "node:url";
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertRejects,
} from "../../testing/assert.ts";
import { anonClient, createUser, startTestStack } from "../../testing/stack.ts";
import { FunctionProcess, WorkerError } from "../function_process.ts";
import type { Stack } from "../mod.ts";

const MEBIBYTE = 1024 * 1024;
const FIXTURES = fileURLToPath(new URL("functions", import.meta.url));
/** More than a function may use. */
const SIZE_MIB = 300;

/** A body that is made while it is sent. */
function zeroes(mebibytes: number): ReadableStream<Uint8Array> {
  let left = mebibytes;
  return new ReadableStream({
    pull: (controller) =>
      left-- > 0 ? controller.enqueue(new Uint8Array(MEBIBYTE)) : controller.close(),
  });
}

async function withFunctions(
  work: (stack: Stack, dir: string, logs: string[]) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "stowage functions " });
  const logs: string[] = [];
  for await (const entry of Deno.readDir(FIXTURES)) {
    await Deno.mkdir(`${dir}/${entry.name}`);
    await Deno.copyFile(`${FIXTURES}/${entry.name}/index.ts`, `${dir}/${entry.name}/index.ts`);
  }
  await Deno.writeTextFile(
    `${dir}/.env`,
    'GREETING="hello there" # said to all\nSUPABASE_URL=no\n',
  );
  const stack = await startTestStack({
    functionsDir: dir,
    log: (line) => logs.push(line),
  });
  try {
    await work(stack, dir, logs);
  } finally {
    await stack.stop();
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("Edge Functions", async (t) => {
  await withFunctions(async (stack, dir, logs) => {
    const url = `${stack.apiUrl}/functions/v1`;
    const authorization = `Bearer ${stack.anonKey}`;
    const call = (path: string, init: RequestInit = {}) =>
      fetch(`${url}${path}`, { ...init, headers: { authorization, ...init.headers } });

    await t.step(
      "a function sees the request, what proxies add, and the platform's variables",
      async () => {
        const response = await call("/echo/some/where?x=1", { method: "POST", body: "payload" });
        assertEquals(response.status, 201);
        assertEquals(response.headers.get("x-function"), "echo");
        const seen = await response.json();
        assertEquals(seen.method, "POST");
        assertEquals(seen.path, "/echo/some/where?x=1");
        assertEquals(seen.body, "payload");
        assertEquals(seen.headers["x-forwarded-host"], new URL(stack.apiUrl).host);
        assertEquals(seen.headers["x-forwarded-proto"], "http");
        assertEquals(seen.headers["x-forwarded-for"], "127.0.0.1");
        assertEquals(seen.headers.authorization, authorization);
        assertEquals(seen.env.SUPABASE_URL, stack.apiUrl);
        assertEquals(seen.env.SUPABASE_DB_URL, stack.dbUrl);
        assertEquals(seen.env.SUPABASE_ANON_KEY, stack.anonKey);
        assertEquals(seen.env.SUPABASE_SERVICE_ROLE_KEY, stack.serviceRoleKey);
        assertEquals(JSON.parse(seen.env.SUPABASE_PUBLISHABLE_KEYS), {
          default: stack.publishableKey,
        });
        assertEquals(JSON.parse(seen.env.SUPABASE_SECRET_KEYS), { default: stack.secretKey });
        assertEquals(
          JSON.parse(seen.env.SUPABASE_JWKS).keys.map((key: { alg: string }) => key.alg),
          ["ES256", "HS256"],
        );
        assertEquals(seen.env.SUPABASE_FUNCTION_SLUG, "echo");
        assertEquals(seen.env.GREETING, "hello there");
      },
    );

    await t.step("supabase-js invokes it with the user's token", async () => {
      const user = await createUser(stack);
      const { data, error } = await user.client.functions.invoke("echo", { body: { a: 1 } });
      assertEquals(error, null);
      assertEquals(data.body, '{"a":1}');
      assertEquals(data.headers.authorization, `Bearer ${user.accessToken}`);
    });

    await t.step("verify_jwt refuses what is no token of this stack", async () => {
      for (
        const [headers, message] of [
          [{}, "Missing authorization header"],
          [{ authorization: "Bearer nonsense" }, "Invalid JWT"],
          [{ authorization: `Bearer ${stack.publishableKey}` }, "Invalid JWT"],
          [{ authorization: `Bearer ${stack.anonKey.slice(0, -3)}AAA` }, "Invalid JWT"],
        ] as const
      ) {
        const response = await fetch(`${url}/echo`, { headers });
        assertEquals(response.status, 401);
        assertEquals(await response.json(), { code: 401, message });
      }
    });

    await t.step("verify_jwt lets preflights through to the function", async () => {
      const response = await fetch(`${url}/echo`, { method: "OPTIONS" });
      assertEquals(response.status, 201);
      await response.body?.cancel();
    });

    await t.step("an unknown function is not found", async () => {
      for (const name of ["nothing", "../stack", "_shared", "%2e%2e"]) {
        const response = await call(`/${name}`);
        assertEquals(response.status, 404);
        await response.body?.cancel();
      }
    });

    await t.step("bodies stream in both directions at once", async () => {
      const sent = Promise.withResolvers<void>();
      const encoder = new TextEncoder();
      let step = 0;
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          if (step++ === 0) return controller.enqueue(encoder.encode("first"));
          // The second half is not sent before the first has come back.
          await sent.promise;
          controller.enqueue(encoder.encode("second"));
          controller.close();
        },
      });
      const response = await call("/echo/stream", { method: "POST", body });
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      assertEquals((await reader.read()).value, "first");
      sent.resolve();
      assertEquals((await reader.read()).value, "second");
      assertEquals((await reader.read()).done, true);
    });

    await t.step(
      "a function hears of it when its client goes away, and goes on to serve others",
      async () => {
        const heard = async () => await (await call("/patient/heard")).json() as string[];
        const pid = (await heard())[0];
        const until = async (what: string, has: (events: string[]) => boolean) => {
          const deadline = Date.now() + 60_000;
          for (let events: string[] = []; !has(events = await heard());) {
            assert(Date.now() < deadline, `${what}: ${events}`);
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        };
        for (
          const [path, init] of [
            ["wait", {}],
            ["read", { method: "POST", body: "all of it" }],
            ["stream", {}],
          ] as const
        ) {
          const client = new AbortController();
          const answer = call(`/patient/${path}`, { ...init, signal: client.signal })
            .then((response) => response.text());
          answer.catch(() => {});
          await until(`${path} has begun`, (events) => events.includes(`${path} begun`));
          assert(!(await heard()).includes(`${path} left`));
          client.abort();
          await assertRejects(() => answer, DOMException);
          await until(`${path} has heard`, (events) => events.includes(`${path} left`));
        }
        assertEquals((await heard())[0], pid);
        assertEquals(logs.filter((line) => /\bpatient\b|legacy|cancelled/.test(line)), []);
      },
    );

    await t.step("large bodies pass in both directions without being held", async () => {
      const used = () => {
        const { heapUsed, external } = Deno.memoryUsage();
        return heapUsed + external;
      };
      const before = used();
      let peak = 0;
      const timer = setInterval(() => peak = Math.max(peak, used()), 10);
      const up = await call("/echo/count", { method: "POST", body: zeroes(SIZE_MIB) });
      assertEquals((await up.json()).bytes, SIZE_MIB * MEBIBYTE);
      const down = await call(`/echo/big?mebibytes=${SIZE_MIB}`);
      let bytes = 0;
      for await (const chunk of down.body!) bytes += chunk.length;
      clearInterval(timer);
      assertEquals(bytes, SIZE_MIB * MEBIBYTE);
      // The function's own process is held to its limit, which is less than either body.
      assertLess(peak - before, SIZE_MIB / 2 * MEBIBYTE);
    });

    await t.step(
      "a function that ends answers as the platform does, and is started again",
      async () => {
        const first = await (await call("/crash")).json();
        const crashed = await call("/crash?now");
        assertEquals(crashed.status, 500);
        assertEquals((await crashed.json()).code, "WORKER_ERROR");
        const second = await (await call("/crash")).json();
        assertNotEquals(second.pid, first.pid);
        assert(logs.some((line) => line === "[crash] crashing as asked"));
        assert(logs.some((line) => line === "[crash] ended with code 3"));
      },
    );

    await t.step("a function that does not start says so", async () => {
      const response = await call("/boot");
      assertEquals(response.status, 503);
      assertEquals((await response.json()).code, "BOOT_ERROR");
      assert(logs.some((line) => line.includes("does not start")));
    });

    await t.step("a function that takes too much memory is ended", async () => {
      const response = await call("/greedy");
      assertEquals(response.status, 546);
      assertEquals((await response.json()).code, "WORKER_LIMIT");
    });

    await t.step("a function that does not answer is ended", async () => {
      const process = new FunctionProcess({
        name: "stuck",
        entrypoint: `${dir}/stuck/index.ts`,
        verifyJwt: false,
      }, {
        env: {},
        limits: { memoryBytes: 256 * MEBIBYTE, requestMs: 500 },
        tempDir: dir,
        log: (line) => logs.push(line),
      });
      const request = new Request("http://localhost/stuck");
      const error = await assertRejects(() => process.fetch(request), WorkerError);
      assertEquals([error.status, error.code], [504, "IDLE_TIMEOUT"]);
      // Ended, though it hears no polite signal.
      await process.stop();
      assertEquals(process.alive, false);
    });

    await t.step("a change of code takes effect", async () => {
      const code = 'Deno.serve(() => new Response("changed"));';
      await Deno.writeTextFile(`${dir}/crash/index.ts`, code);
      const deadline = Date.now() + 5_000;
      let text = "";
      while (text !== "changed" && Date.now() < deadline) {
        text = await (await call("/crash")).text();
      }
      assertEquals(text, "changed");
    });
  });
});

Deno.test("a stack without functions says so", async () => {
  const stack = await startTestStack({ functions: false });
  try {
    const { error } = await anonClient(stack).functions.invoke("manifests");
    assertEquals(error.context.status, 404);
    assertMatch(await error.context.text(), /without functions/);
  } finally {
    await stack.stop();
  }
});
