import fc from "fast-check";
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { projectPath } from "../../../../scripts/stack/project.ts";
import {
  MAX_DETAIL_LENGTH,
  MAX_MISTAKE_LENGTH,
  MAX_REPORTED_ERRORS,
} from "../../_shared/limits.ts";
import {
  type Actor,
  createApiWorld,
  makeApp,
  makeBuild,
  makeOutput,
  makeRun,
  makeSchedule,
  makeVersion,
  makeWebhook,
} from "../api/world.ts";
import type { ApiWorld } from "../api/world.ts";
import { test } from "../world.ts";
import { type BadRequest, badRequest, MARKER } from "./arbitraries.ts";
import { sendRaw } from "./raw.ts";
import { functionNames, targets } from "./targets.ts";

/** How many bad requests there are, and how many at the same time; the environment may ask for more, or for others. */
const REQUESTS = Number(Deno.env.get("STOWAGE_BAD_REQUESTS") ?? 10_000);
const SEED = Number(Deno.env.get("STOWAGE_BAD_REQUESTS_SEED") ?? 20250721);
const AT_ONCE = 50;
/** No answer for so long is a hang, even on a machine with much else to do. */
const PATIENCE_MS = 30_000;
/** Resident memory may grow by so much from one half of the requests to the next, and once by more. */
const GROWTH_BYTES = 40 * 1024 ** 2;
const MOST_ROUNDS = 3;
const PLATFORM_BYTES = 256 * 1024 ** 2;

let world: ApiWorld;
/** What there is of another tenant: its ids and names, none of which anybody else may ever be told. */
let foreign: string[];
let ids: string[];
const counted = new Map<number, number>();

Deno.test.beforeAll(async () => {
  world = await createApiWorld();
  const own = await everything("publisher");
  const others = await everything("victim");
  foreign = others;
  ids = [...own, ...others.filter((id) => /^[0-9a-f-]{36}$/.test(id)), crypto.randomUUID()];
});

Deno.test.afterAll(async () => await world?.stop());

/** One of each thing of a company: their ids, and of the victim the names too. */
async function everything(whose: "publisher" | "victim"): Promise<string[]> {
  const { database } = world;
  if (whose === "publisher") return await things(await makeApp(world));
  const name = `Victim ${crypto.randomUUID()}`;
  const slug = `victim-${crypto.randomUUID().slice(0, 13)}`;
  const { rows: [company] } = await database.query(
    "insert into companies (slug, name) values ($1, $2) returning id",
    [slug, name],
  );
  const victim = { ...world, publisherId: company.id };
  const { rows: [app] } = await database.query(
    "insert into applications (slug, name, publisher_company_id) values ($1, $2, $3) returning id",
    [slug, name, company.id],
  );
  return [company.id, name, slug, app.id, ...(await things(app.id, victim)).slice(1)];
}

async function things(appId: string, of = world): Promise<string[]> {
  const file = await makeVersion(of, appId);
  const run = await makeRun(of, appId);
  return [
    ...[appId, file, run, await makeOutput(of, run)],
    ...[await makeBuild(of, appId), await makeSchedule(of, appId), await makeWebhook(of, appId)],
  ];
}

test("every function is among those that bad requests are sent to", async () => {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(projectPath("supabase/functions"))) {
    const index = projectPath(`supabase/functions/${name}/index.ts`);
    if (await Deno.stat(index).then(() => true, () => false)) found.push(name);
  }
  assertEquals(functionNames.toSorted(), found.sort(), "add it to targets.ts");
});

test(`${REQUESTS} bad requests: no fault of ours, no hang, nothing told, memory flat`, async () => {
  await sendMany(REQUESTS / 2, SEED);
  let before = await memory();
  // A process takes memory and gives it back as it likes; what leaks grows each time.
  let growing = [...before.keys()];
  for (let round = 1; round === 1 || (growing.length > 0 && round <= MOST_ROUNDS); round++) {
    await sendMany(REQUESTS / 2, SEED + round);
    const now = await memory();
    for (const [name, bytes] of now) {
      console.log(`${name}: ${megabytes(before.get(name) ?? 0)}, then ${megabytes(bytes)}`);
      assert(bytes < PLATFORM_BYTES, `${name} has ${megabytes(bytes)}`);
    }
    growing = growing.filter((name) => now.get(name)! - before.get(name)! > GROWTH_BYTES);
    before = now;
  }
  assertEquals(growing, [], `grew by more than ${megabytes(GROWTH_BYTES)} each time`);
  assertEquals(before.size, functionNames.length, "every function has answered");
  const sum = (entries: [number, number][]) => entries.reduce((total, [, n]) => total + n, 0);
  const statuses = [...counted].sort(([a], [b]) => a - b);
  console.log(statuses.map(([status, n]) => `${status}: ${n}`).join(", "));
  const refused = sum(statuses.filter(([status]) => status >= 400));
  assert(refused >= sum(statuses) * 0.8, `only ${refused} were bad`);
});

/** Sends so many bad requests, others for each seed. */
async function sendMany(count: number, seed: number): Promise<void> {
  const batch = fc.array(badRequest(targets, ids), { minLength: AT_ONCE, maxLength: AT_ONCE });
  const failures: string[] = [];
  const result = await fc.check(
    fc.asyncProperty(batch, async (requests) => {
      const failed = (await Promise.allSettled(requests.map(tryOut))).find((one) =>
        one.status === "rejected"
      );
      failures.push(...failed ? [String(failed.reason)] : []);
      return !failed;
    }),
    {
      numRuns: Math.ceil(count / AT_ONCE),
      seed,
      // Which of the requests it was is known: making the others smaller would take minutes, and tell nothing.
      endOnFailure: true,
      interruptAfterTimeLimit: 600_000,
      markInterruptAsFailure: true,
    },
  );
  assert(!result.failed, `seed ${seed}: ${failures[0] ?? "out of time"}`);
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MB`;
}

test("what is not even HTTP is refused, or the connection closed", async () => {
  for (const [what, status] of await sendRaw(world.stack.apiUrl)) {
    assert(
      status === null || (status >= 400 && status < 500) || status < 300,
      `${what}: ${status}`,
    );
  }
});

test("the functions' logs say nothing of callers, and of no fault", () => {
  const lines = world.logs.filter((line) => /^\[[a-z]+\] /.test(line)).join("\n");
  assert(!lines.includes('"level":"error"'), lines.slice(0, 2000));
  assert(!/ended with|memory limit/.test(lines), "no process ended");
  const { stack, users } = world;
  const secrets = [stack.secretKey, stack.serviceRoleKey, stack.jwtSecret, MARKER, "example.com"];
  for (
    const said of [
      ...secrets,
      ...Object.values(users).map((user) => user.accessToken),
      ...foreign,
    ]
  ) {
    assert(!lines.includes(said), said);
  }
  return Promise.resolve();
});

/** What went wrong with a request, and which one it was. */
async function tryOut(request: BadRequest): Promise<void> {
  try {
    await send(request);
  } catch (error) {
    const { target, body: _, ...rest } = request;
    const shown = { ...rest, function: target.function, body: bodyText(request).slice(0, 1000) };
    throw new Error(`${error instanceof Error ? error.message : error}\n${JSON.stringify(shown)}`);
  }
}

async function send(request: BadRequest): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch(
    `${world.stack.apiUrl}/functions/v1/${request.target.function}${request.path}`,
    {
      method: request.method,
      headers: [...request.headers, ...credentials(request.as)],
      body: request.body,
      redirect: "manual",
      signal,
    },
  );
  const text = await response.text();
  const { status, headers } = response;
  counted.set(status, (counted.get(status) ?? 0) + 1);
  const said = `${status} ${text.slice(0, 500)}`;
  assert(status < 500, said);
  // The server itself, or the gateway, refuses what no function gets to see.
  const ours = headers.has("x-request-id");
  if (ours) assertOurs(request, status, headers, text);
  assert(!/\bat .+\.[tj]s:\d+|node_modules|file:\/\/\//.test(text), `a stack trace: ${said}`);
  assert(!/\bpg_|violates|syntax error at|PGRST\d/.test(text), `the database's words: ${said}`);
  const sent = `${request.path} ${JSON.stringify(request.headers)} ${bodyText(request)}`;
  const all = text + JSON.stringify([...headers]);
  for (const thing of foreign) {
    if (all.includes(thing)) assert(sent.includes(thing), `told of another tenant: ${said}`);
  }
}

function assertOurs(request: BadRequest, status: number, headers: Headers, text: string): void {
  assertEquals(headers.get("x-content-type-options"), "nosniff");
  assert(headers.get("content-security-policy")?.includes("default-src 'none'"));
  assert(headers.has("referrer-policy") && headers.has("cache-control"));
  assert(!headers.has("x-injected"));
  if (status < 400 || request.method === "HEAD") return;
  assertEquals(headers.get("content-type"), "application/problem+json", text);
  const { status: inBody, code, type, detail = "", errors = [] } = JSON.parse(text);
  assertEquals([inBody, type], [status, `urn:stowage:error:${code}`]);
  // What was sent is repeated shortly, if at all.
  assert(detail.length <= MAX_DETAIL_LENGTH && errors.length <= MAX_REPORTED_ERRORS, text);
  for (const { message, path, pointer } of errors) {
    for (const said of [message, path, pointer]) assert(said.length <= MAX_MISTAKE_LENGTH, text);
  }
}

function bodyText({ body }: BadRequest): string {
  return typeof body === "string" ? body : body ? new TextDecoder().decode(body) : "";
}

const FORGED = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl";

function credentials(as: BadRequest["as"]): [string, string][] {
  const { stack, users } = world;
  if (as === "nobody") return [];
  if (as === "publishable") return [["apikey", stack.publishableKey]];
  const token = as === "forged" ? FORGED : users[as as Actor].accessToken;
  return [["apikey", stack.publishableKey], ["authorization", `Bearer ${token}`]];
}

/** Resident memory of each function's process, in bytes. They are our children. */
async function memory(): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for await (const { name: pid } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const read = (file: string) => Deno.readTextFile(`/proc/${pid}/${file}`).catch(() => "");
    const [status, command] = [await read("status"), await read("cmdline")];
    if (Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) !== Deno.pid) continue;
    const name = /\/functions\/(\w+)\/index\.ts/.exec(command)?.[1];
    const kilobytes = Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
    if (name) found.set(name, kilobytes * 1024);
  }
  return found;
}
