/** Queries end with the request that they are for, in the database too: real requests, real queries that take for ever. */
import { Client } from "pg";
import { assert, assertEquals, assertRejects } from "../../../../scripts/testing/assert.ts";
import { serviceClient } from "../../_shared/caller.ts";
import { AppError } from "../../_shared/errors.ts";
import { fetchUntil } from "../../_shared/queries.ts";
import { createRateLimit } from "../../_shared/rate_limit.ts";
import { createHandler, type ServeOptions } from "../../_shared/serve.ts";
import { routes } from "../../api/handler.ts";
import { checksumOf } from "../fixtures.ts";
import { test } from "../world.ts";
import { type Actor, api, environmentOf, makeApp, makeVersion, withApiWorld } from "./world.ts";

const world = withApiWorld();

/** How long something may take on a machine that is busy; nothing here would end by itself in ten times that. */
const PATIENCE_MS = 60_000;

let watcher: Client;

Deno.test.beforeAll(async () => {
  const { database, stack } = world();
  watcher = new Client({ connectionString: stack.dbUrl });
  await watcher.connect();
  await database.query(`
    create policy "Some apps take for ever to see" on public.applications as restrictive for select to authenticated
      using (slug not like 'slow-%' or (select true from pg_sleep(3600)));
    create function public.limits() returns text language sql as
      $$ select current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') $$;
    grant execute on function public.limits() to authenticated, service_role;
    alter role authenticated set statement_timeout = '1h';
    alter role authenticated set lock_timeout = '1h';
    alter role service_role set statement_timeout = '1h';
    alter role service_role set lock_timeout = '1h';
    notify pgrst, 'reload config'`);
  await until("what ends by itself does so much later", async () => {
    const { data } = await world().users.owner.client.rpc("limits");
    return data === "1h 1h";
  });
});

Deno.test.afterAll(async () => await watcher.end());

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!await isSo()) {
    assert(Date.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The Data API's backends that sleep or stand before a lock. */
async function stuck(): Promise<number[]> {
  const { rows } = await watcher.query(`
    select pid from pg_stat_activity
    where usename = 'authenticator' and state = 'active' and (wait_event = 'PgSleep' or wait_event_type = 'Lock')
    order by pid`);
  return rows.map(({ pid }) => pid);
}

const untilStuck = (count: number) =>
  until(`${count} are stuck`, async () => (await stuck()).length === count);

/** Runs while nobody else can do anything with the table. */
async function whileLocked(table: string, work: () => Promise<void>): Promise<void> {
  const { database } = world();
  await database.query(`begin; lock table ${table} in access exclusive mode`);
  try {
    await work();
  } finally {
    await database.query("rollback");
  }
}

async function makeSlowApp(): Promise<string> {
  const appId = await makeApp(world());
  await world().database.query("update applications set slug = 'slow-' || slug where id = $1", [
    appId,
  ]);
  return appId;
}

/** Asks, and can leave; `outcome` is the status, or that there was none. */
function ask(who: Actor, path: string, options: Parameters<typeof api>[3] = {}) {
  const client = new AbortController();
  const outcome = api(world(), who, path, { ...options, signal: client.signal })
    .then(({ status }) => String(status), (error) => (error as Error).name);
  return { leave: () => client.abort(), outcome };
}

/** Asks another function than the API, as a publisher's owner. */
function askOther(path: string, json?: unknown) {
  const { stack, users } = world();
  const client = new AbortController();
  const outcome = fetch(`${stack.apiUrl}/functions/v1/${path}`, {
    method: json === undefined ? "GET" : "POST",
    headers: {
      authorization: `Bearer ${users.owner.accessToken}`,
      apikey: stack.publishableKey,
      "content-type": "application/json",
    },
    body: json === undefined ? undefined : JSON.stringify(json),
    signal: client.signal,
  }).then((response) => response.text(), (error) => (error as Error).name);
  return { leave: () => client.abort(), outcome };
}

test("a read whose client goes away is cancelled, and others are served as before", async () => {
  const appId = await makeSlowApp();
  const other = await makeApp(world());
  const slow = ask("owner", `/apps/${appId}`);
  await untilStuck(1);
  assertEquals((await api(world(), "owner", `/apps/${other}`)).status, 200);
  slow.leave();
  await untilStuck(0);
  assertEquals(await slow.outcome, "AbortError");
  assertEquals((await api(world(), "owner", `/apps/${other}`)).status, 200);
  await until("no backend keeps the name of a query that is over", async () => {
    const { rows } = await watcher.query(
      "select from pg_stat_activity where application_name like 'query %'",
    );
    return rows.length === 0;
  });
});

test("a write whose client goes away is cancelled, and leaves nothing", async () => {
  const json = {
    slug: "slow-to-make",
    name: "Made",
    publisher_company_id: world().publisherId,
  };
  const made = async () => {
    const { rows } = await watcher.query(
      `select (select count(*) from applications where slug = 'slow-to-make') as apps,
         (select count(*) from private.api_creations where idempotency_key = 'made-once') as keys`,
    );
    return [Number(rows[0].apps), Number(rows[0].keys)];
  };
  const headers = { "idempotency-key": "made-once" };
  const slow = ask("owner", "/apps", { method: "POST", json, headers });
  // It has been written, and is being read for the answer.
  await untilStuck(1);
  slow.leave();
  await untilStuck(0);
  assertEquals(await slow.outcome, "AbortError");
  assertEquals(await made(), [0, 0]);
  const again = await api(world(), "owner", "/apps", {
    method: "POST",
    json: { ...json, slug: "quick-to-make" },
    headers,
  });
  assertEquals(again.status, 201, "the key is free");
});

test("of many queries, those of the client that goes away are cancelled, and nobody else's", async () => {
  const appId = await makeSlowApp();
  const headers = { "x-request-id": crypto.randomUUID(), "x-query-id": crypto.randomUUID() };
  const owners = ask("owner", `/apps/${appId}`, { headers });
  await untilStuck(1);
  const [pid] = await stuck();
  // Whatever id a request says it has.
  const customers = [1, 2, 3].map(() => ask("customer", `/apps/${appId}`, { headers }));
  await untilStuck(4);
  for (const customer of customers) customer.leave();
  await untilStuck(1);
  assertEquals(await stuck(), [pid]);
  owners.leave();
  await untilStuck(0);
});

test("a query is cancelled by the service, and by nobody else who knows its id", async () => {
  const { stack, users } = world();
  const id = crypto.randomUUID();
  const rest = (body: unknown, headers: Record<string, string>) =>
    fetch(`${stack.apiUrl}/rest/v1/rpc/cancel_query`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    }).then(async (response) => [response.status, await response.json()]);
  const slow = fetch(`${stack.apiUrl}/rest/v1/applications?id=eq.${await makeSlowApp()}`, {
    headers: {
      apikey: stack.publishableKey,
      authorization: `Bearer ${users.owner.accessToken}`,
      "x-query-id": id,
    },
  });
  await untilStuck(1);
  for (const who of ["owner", "customer", "outsider"] as const) {
    const [status, { code }] = await rest({ query_id: id }, {
      apikey: stack.publishableKey,
      authorization: `Bearer ${users[who].accessToken}`,
    });
    assertEquals([status, code], [403, "42501"], who);
  }
  const [status, { code }] = await rest({ query_id: id }, { apikey: stack.publishableKey });
  assertEquals([status, code], [401, "42501"]);
  const service = { apikey: stack.secretKey };
  assertEquals(await rest({ query_id: crypto.randomUUID() }, service), [200, false]);
  const own = crypto.randomUUID();
  assertEquals(await rest({ query_id: own }, { ...service, "x-query-id": own }), [200, false]);
  assertEquals((await stuck()).length, 1);
  assertEquals(await rest({ query_id: id }, service), [200, true]);
  const cancelled = await slow;
  assertEquals([cancelled.status, (await cancelled.json()).code], [500, "57014"]);
  assertEquals(await rest({ query_id: id }, service), [200, false]);
});

test("a session that is not the Data API's goes on, whatever it calls itself", async () => {
  const { stack } = world();
  const id = crypto.randomUUID();
  const session = new Client({
    connectionString: stack.dbUrl,
    application_name: `query ${id}`,
  });
  await session.connect();
  const seen = async () => {
    const { rows } = await watcher.query(
      "select pid, wait_event from pg_stat_activity where application_name = $1 and state = 'active'",
      [`query ${id}`],
    );
    return rows;
  };
  const asleep = session.query("select pg_sleep(3600)").then(() => "over", ({ code }) => code);
  await until("it sleeps", async () => (await seen())[0]?.wait_event === "PgSleep");
  const [before] = await seen();
  const { data, error } = await serviceClient(environmentOf(world())).rpc("cancel_query", {
    query_id: id,
  });
  assertEquals([data, error], [false, null]);
  assertEquals(await seen(), [before]);
  await watcher.query("select pg_cancel_backend($1)", [before.pid]);
  assertEquals(await asleep, "57014");
  await session.end();
});

test("the Data API by itself runs a query on, as PostgREST does", async () => {
  const { users } = world();
  const appId = await makeSlowApp();
  const client = new AbortController();
  const direct = users.owner.client.from("applications").select().eq("id", appId)
    .abortSignal(client.signal);
  const answer = direct.then(({ error }) => error);
  await untilStuck(1);
  const [pid] = await stuck();
  client.abort();
  assert(await answer);
  // By the time that another client's leaving has had its effect, this one's would have had it.
  const slow = ask("owner", `/apps/${appId}`);
  await untilStuck(2);
  slow.leave();
  await untilStuck(1);
  assertEquals(await stuck(), [pid]);
  await watcher.query("select pg_cancel_backend($1)", [pid]);
  await untilStuck(0);
});

test("a request that takes too long is cancelled, and so is a query", async () => {
  const { stack, users } = world();
  const path = `/apps/${await makeSlowApp()}`;
  const expired = async (deadlines: ServeOptions["deadlines"]) => {
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen: () => {} },
      createHandler("api", environmentOf(world()), routes, { deadlines }),
    );
    const response = await fetch(`http://127.0.0.1:${server.addr.port}/api${path}`, {
      headers: {
        apikey: stack.publishableKey,
        authorization: `Bearer ${users.owner.accessToken}`,
      },
    });
    const { code } = await response.json();
    await server.shutdown();
    return [response.status, code];
  };
  // On a machine that is busy the time may be over before the query has begun.
  for (let time = 1_000, seen = false; !seen; time *= 4) {
    assert(time < PATIENCE_MS, "the queries begin in time");
    let over = false;
    const answers = Promise.all([expired({ request: time }), expired({ query: time })])
      .finally(() => over = true);
    await until("the queries have begun, or their time is over", async () => {
      seen = (await stuck()).length === 2;
      return seen || over;
    });
    const outcomes = await answers;
    if (seen) assertEquals(outcomes, [[504, "timed_out"], [503, "unavailable"]]);
    await untilStuck(0);
  }
});

test("who waits for an answer that another request has asked for, asks when that one's client goes away", async () => {
  const admit = createRateLimit();
  const ended = new AbortController();
  const admitFor = (signal: AbortSignal) => {
    const client = serviceClient(
      environmentOf(world()),
      fetchUntil(signal, environmentOf(world())),
    );
    return admit({ caller: { kind: "service", id: null, client } } as never);
  };
  let second!: Promise<Record<string, string>>;
  await whileLocked("private.api_request_counts", async () => {
    const first = admitFor(ended.signal);
    second = admitFor(new AbortController().signal);
    await untilStuck(1);
    const [pid] = await stuck();
    ended.abort();
    await assertRejects(() => first, AppError);
    await until("the second asks by itself", async () => {
      const now = await stuck();
      return now.length === 1 && now[0] !== pid;
    });
  });
  assert((await second).ratelimit);
});

test("the other functions cancel what is read, and go on with what takes several steps", async () => {
  const { database } = world();
  const appId = await makeApp(world());
  const fileId = await makeVersion(world(), appId);
  for (
    const [table, ...asked] of [
      ["packages", "packages?q=x"],
      ["app_storage", "downloads", { file_id: fileId }],
    ] as [string, string, unknown?][]
  ) {
    await whileLocked(table, async () => {
      const slow = askOther(...asked);
      await untilStuck(1);
      slow.leave();
      await untilStuck(0);
      assertEquals(await slow.outcome, "AbortError", table);
    });
  }
  const bytes = new TextEncoder().encode("body { color: red }");
  await database.query("insert into app_versions (app_id, version) values ($1, '2.0.0')", [appId]);
  await whileLocked("app_uploads", async () => {
    const upload = askOther("uploads", {
      ...{ app_id: appId, version: "2.0.0", file_name: "main.css", file_type: "asset" },
      ...{ content_type: "text/css", file_size: bytes.length, checksum: await checksumOf(bytes) },
    });
    await untilStuck(1);
    upload.leave();
    assertEquals(await upload.outcome, "AbortError");
  });
  await until("the upload has begun", async () => {
    const { rows } = await watcher.query("select from app_uploads where app_id = $1", [appId]);
    return rows.length === 1;
  });
});
