/** The database goes away under requests, and comes back. */
import { assert, assertEquals } from "../../testing/assert.ts";
import { startTestStack } from "../../testing/stack.ts";
import { withClient } from "../database.ts";

const PATIENCE_MS = 30_000;
/** More than there are connections. */
const REQUESTS = 30;

const SCHEMA = `
  create function public.wait(seconds integer) returns text language sql volatile as $$ select 'waited' from pg_sleep(seconds) $$;
  grant execute on function public.wait(integer) to service_role;
  notify pgrst, 'reload schema';`;

Deno.test("requests that a dying database leaves behind are answered, and the next ones served", async (t) => {
  // Its crash recovery takes what was committed from the disk.
  const stack = await startTestStack({ functions: false, seed: false, durable: true });
  try {
    const query = (sql: string) => withClient(stack.dbUrl, (client) => client.query(sql));
    const call = async (name: string, body: unknown = {}) => {
      const response = await fetch(`${stack.apiUrl}/rest/v1/rpc/${name}`, {
        method: "POST",
        headers: { apikey: stack.secretKey, "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      return { status: response.status, body: await response.json() };
    };
    const eventually = async (what: string, reached: () => Promise<boolean>) => {
      for (const deadline = Date.now() + PATIENCE_MS; !await reached().catch(() => false);) {
        assert(Date.now() < deadline, what);
      }
    };
    const waiting = async (count: number) => {
      const { rows } = await query(
        "select count(*)::int as count from pg_stat_activity where wait_event = 'PgSleep'",
      );
      return rows[0].count >= count;
    };
    const served = async () => (await call("wait", { seconds: 0 })).status === 200;
    /** Ends one of the server's processes: it then ends all of them, and recovers. */
    const crash = async () => {
      const pid = await withClient(stack.dbUrl, async (client) => {
        client.on("error", () => {});
        const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
        Deno.kill(rows[0].pid, "SIGKILL");
        return rows[0].pid;
      });
      assert(pid > 0);
    };
    await query(SCHEMA);
    await eventually("the function is known", served);

    await t.step("those under way and those that wait for a connection get 503", async () => {
      const answers = Array.from({ length: REQUESTS }, () => call("wait", { seconds: 60 }));
      await eventually("every connection is in use", () => waiting(20));
      await crash();
      for (const { status, body } of await Promise.all(answers)) {
        assertEquals([status, body.code], [503, "PGRST001"]);
      }
    });

    await t.step("once it is back, all are served, on every connection", async () => {
      await eventually("the database is back", served);
      const answers = await Promise.all(
        Array.from({ length: REQUESTS }, () => call("wait", { seconds: 0 })),
      );
      assertEquals(answers, answers.map(() => ({ status: 200, body: "waited" })));
    });

    await t.step("changes of the schema are noticed as before", async () => {
      await query(
        `create function public.later() returns integer language sql as 'select 1';
         grant execute on function public.later() to service_role; notify pgrst, 'reload schema';`,
      );
      await eventually(
        "the new function is known",
        async () => (await call("later")).body === 1,
      );
    });

    await t.step(
      "none hangs, whatever it was at, when the database dies again and again",
      async () => {
        const seen = new Set<number>();
        let over = false;
        const clients = Array.from({ length: 16 }, async () => {
          while (!over) seen.add((await call("wait", { seconds: 0 })).status);
        });
        for (let crashes = 0; crashes < 3; crashes++) {
          await eventually("the database is back", served);
          await crash();
        }
        await eventually("the database is back", served);
        over = true;
        await Promise.all(clients);
        assertEquals([...seen].sort(), [200, 503]);
      },
    );

    await t.step("a connection that an operator ends is another's no loss for long", async () => {
      await eventually("the database is back", served);
      const answer = call("wait", { seconds: 60 });
      await eventually("it is under way", () => waiting(1));
      await query(
        "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'",
      );
      assertEquals((await answer).status, 503);
      assert(await served());
    });
  } finally {
    await stack.stop();
  }
});
