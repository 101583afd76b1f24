/** What README and docs tell a newcomer to do, done: the commands, the scripts of `examples`, the manifest, the hints. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import * as uploads from "../../examples/uploads.ts";
import * as webhooks from "../../examples/webhooks.ts";
import { manifestJsonSchema } from "../../supabase/functions/_shared/manifest/json_schema.ts";
import { validateManifest } from "../../supabase/functions/_shared/manifest/validate.ts";
import { type ExecutorProcess, startExecutor } from "../demo/executor_process.ts";
import { publish } from "../publish/main.ts";
import { packApp } from "../publish/pack.ts";
import { SEED } from "../stack/hints.ts";
import type { Stack } from "../stack/mod.ts";
import { projectPath } from "../stack/project.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../testing/assert.ts";
import { anonClient, startTestStack } from "../testing/stack.ts";

const HARBOUR = "5eed0000-0000-4000-8000-00000000c002";
const NORTHWIND = "5eed0000-0000-4000-8000-00000000c001";
const REGIONAL_SALES = "5eed0000-0000-4000-8000-00000000a001";
const LEDGER_CHECK = "5eed0000-0000-4000-8000-00000000a002";
const STATUS = 'eval "$(npm run -s status -- --output env)"';
const PATIENCE_MS = 60_000;

const read = (path: string) => Deno.readTextFile(projectPath(path));

/** The blocks of a page in this language, in order. */
async function blocks(path: string, language: string): Promise<string[]> {
  const found = (await read(path)).matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"));
  return [...found].map(([, text]) => text);
}

/** Runs lines of a shell as they stand, and returns what they print. */
async function shell(script: string, cwd: string, env: Record<string, string>): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", script],
    cwd,
    env,
    stdin: "null",
  }).output();
  const [out, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert(success, `${script}\n${out}\n${errors}`);
  return out;
}

let stack: Stack;
let executor: ExecutorProcess;
const logs: string[] = [];

/** What `npm run status -- --output env` gives, and the names that the README gives to it. */
function environment(): Record<string, string> {
  return {
    API_URL: stack.apiUrl,
    PUBLISHABLE_KEY: stack.publishableKey,
    SUPABASE_URL: stack.apiUrl,
    SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
    SUPABASE_SECRET_KEY: stack.secretKey,
  };
}

async function signIn(email: string): Promise<SupabaseClient> {
  const client = anonClient(stack) as SupabaseClient;
  const { error } = await client.auth.signInWithPassword({ email, password: SEED.password });
  assertEquals(error, null, email);
  return client;
}

Deno.test.beforeAll(async () => {
  stack = await startTestStack({ log: (line) => logs.push(line) });
  executor = await startExecutor(stack);
});

Deno.test.afterAll(async () => {
  await executor?.stop();
  await stack?.stop();
});

/** Connections to the stack are kept for the next one. */
function test(name: string, fn: () => Promise<void>, ignore = false): void {
  Deno.test({ name, fn, ignore, sanitizeOps: false, sanitizeResources: false });
}

const hasCurl = await new Deno.Command("curl", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);

test("each script of examples stands in a page as it is", async () => {
  const pages = ["README.md"];
  for (const { name } of Deno.readDirSync(projectPath("docs"))) {
    if (name.endsWith(".md")) pages.push(`docs/${name}`);
  }
  const quoted = (await Promise.all(pages.map((page) => blocks(page, "ts")))).flat();
  for (const { name } of Deno.readDirSync(projectPath("examples"))) {
    if (!name.endsWith(".ts")) continue;
    assert(quoted.includes(await read(`examples/${name}`)), `${name} is in no page, or another`);
  }
});

test("README: publish the example, run it, see its log", async () => {
  const script = (await blocks("README.md", "sh")).find((block) => block.includes("publish:app"))!;
  const lines = script.trimEnd().split("\n");
  // What needs the ports of config.toml, and an executor that may find no sandbox, have their stand-ins above.
  assertEquals([lines[0], lines[3], lines[5]], [
    STATUS,
    "npm run executor & EXECUTOR=$!",
    "kill $EXECUTOR",
  ]);
  assertEquals(lines.length, 6);
  const published = await shell(lines[2], projectPath(""), environment());
  assertMatch(published, /^regional-sales 1\.0\.0 is released/m);
  const ran = await shell(lines[4], projectPath(""), environment());
  assertMatch(ran, /^success after \d+ ms/);
  assertStringIncludes(ran, "Read 96 rows from sales.csv");
});

test("docs/uploads.md: its commands upload, verify and release", async () => {
  const [first, ...rest] = await blocks("docs/uploads.md", "sh");
  assertStringIncludes(first, STATUS);
  const script = [first.slice(first.indexOf("\n")), ...rest].join("\n");
  const dir = await Deno.makeTempDir({ prefix: "stowage docs " });
  try {
    await Deno.writeFile(`${dir}/app.zip`, (await packVersion("0.2.0")).bytes);
    await shell(script, dir, environment());
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  const ada = await signIn("ada@northwind.example");
  const { data } = await ada.from("app_versions").select("status, app_storage(file_type)")
    .eq("app_id", LEDGER_CHECK).eq("version", "0.2.0").single();
  assertEquals(data as unknown, {
    status: "published",
    app_storage: [{ file_type: "source" }],
  });
}, !hasCurl);

/** The example app, as another version of itself. */
async function packVersion(version: string) {
  const dir = await Deno.makeTempDir({ prefix: "stowage docs " });
  try {
    const manifest = JSON.parse(await read("examples/regional-sales/manifest.json"));
    await Deno.writeTextFile(`${dir}/manifest.json`, JSON.stringify({ ...manifest, version }));
    await Deno.writeTextFile(`${dir}/index.js`, "console.log(1);");
    return await packApp(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

test("examples/uploads.ts: three ways to upload a file", async () => {
  const ada = await signIn("ada@northwind.example");
  const ways = [uploads.uploadAtOnce, uploads.uploadInSteps, uploads.uploadResumably];
  for (const [index, way] of ways.entries()) {
    const version = { app_id: LEDGER_CHECK, version: `0.4.${index}` };
    const { bytes, checksum } = await packVersion(version.version);
    const archive = new File([bytes], "app.zip", { type: "application/zip" });
    const { upload, file } = await way(ada, version, archive);
    assertEquals([upload.status, file.checksum], ["completed", checksum], way.name);
  }
});

test("examples/webhooks.ts: a signed delivery starts one run", async () => {
  const page = await read("docs/webhooks.md");
  const [, secret, id, sentAt, body, signature] =
    /secret `(\S+)`, id `(\S+)`, timestamp `(\d+)`, body `(\S+)` make\n`(\S+)`/.exec(page)!;
  assertEquals(webhooks.sign(secret, id, Number(sentAt), body), signature);

  const grace = await signIn("grace@harbour.example");
  const made = await grace.rpc("create_app_webhook", {
    app_id: REGIONAL_SALES,
    company_id: HARBOUR,
    name: "Orders",
  });
  assertEquals(made.error, null);
  const url = `${stack.apiUrl}/functions/v1/webhooks/${made.data.webhook_id}`;
  const first = await webhooks.deliver(url, made.data.secret, '{"order":7}', "msg_7");
  const receipt = await first.json();
  assertEquals([first.status, receipt.delivery_id], [202, "msg_7"]);
  const again = await webhooks.deliver(url, made.data.secret, '{"order":7}', "msg_7");
  assertEquals([again.status, await again.json()], [200, receipt]);
  const forged = await webhooks.deliver(url, secret, '{"order":7}', "msg_8");
  assertEquals([forged.status, (await forged.json()).code], [401, "webhook_unverified"]);
});

test("docs/apps.md: the app to begin from is published and runs", async () => {
  const [[code], [manifest]] = [
    await blocks("docs/apps.md", "js"),
    await blocks("docs/apps.md", "json"),
  ];
  const dir = await Deno.makeTempDir({ prefix: "stowage docs " });
  try {
    await Deno.writeTextFile(`${dir}/index.js`, code);
    await Deno.writeTextFile(`${dir}/manifest.json`, manifest);
    await publish(
      [dir, "--app", "hello", "--create", "northwind", "--email", "ada@northwind.example"],
      { ...environment(), STOWAGE_PASSWORD: SEED.password },
      () => {},
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  const ada = await signIn("ada@northwind.example");
  const { data: app } = await ada.from("applications").select("id").eq("slug", "hello").single();
  const { data: run, error } = await ada.rpc("request_app_run", {
    app_id: app!.id,
    company_id: NORTHWIND,
    config: { name: "Ada" },
  });
  assertEquals(error, null);
  const deadline = Date.now() + PATIENCE_MS;
  let status = run.status;
  while (["pending", "running"].includes(status)) {
    assert(Date.now() < deadline, `the run is still ${status}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    status = (await ada.from("app_runs").select("status").eq("id", run.id).single()).data?.status;
  }
  const outputs = await ada.from("app_outputs").select("output_data")
    .eq("run_id", run.id).eq("output_type", "result");
  assertEquals([status, outputs.data], ["success", [{ output_data: { greeted: "Ada" } }]]);
});

test("docs/apps.md: the manifest's example is valid, and every field is told", async () => {
  const [, example] = await blocks("docs/apps.md", "json");
  const result = validateManifest(new TextEncoder().encode(example), "json");
  assert(result.valid, JSON.stringify(result));
  const table = (await read("docs/apps.md")).split("### The manifest")[1].split("\n## ")[0];
  const told = table.split("\n").filter((line) => line.startsWith("| `"))
    .flatMap((line) => [...line.split("|")[1].matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  const fields = fieldsOf(manifestJsonSchema());
  assertEquals(told.toSorted(), fields.toSorted());
  const has = (name: string) =>
    name.split(".").reduce<Record<string, unknown>[]>(
      (values, part) => values.flatMap((value) => value?.[part.replace("[]", "")] ?? []) as never,
      [JSON.parse(example)],
    ).length > 0;
  assertEquals(fields.filter((name) => !has(name)), []);
});

interface Schema {
  properties?: Record<string, Schema>;
  items?: Schema;
}

/** Paths of the fields that have no fields themselves: `config.timeout`, `permissions[].type`. */
function fieldsOf({ properties, items }: Schema, path = ""): string[] {
  if (items?.properties) return fieldsOf(items, `${path}[]`);
  if (!properties) return [path];
  return Object.entries(properties).flatMap(([name, schema]) =>
    fieldsOf(schema, path ? `${path}.${name}` : name)
  );
}

test("everybody whom npm start names can sign in", async () => {
  for (const { email } of SEED.people) await signIn(email);
});

test("the local stack says that it has no Realtime, and its log what was asked", async () => {
  const url = `${stack.apiUrl}/realtime/v1/websocket?apikey=${stack.publishableKey}`;
  for (let time = 0; time < 2; time++) {
    const answer = await fetch(url);
    assertEquals(answer.status, 404);
    assertMatch((await answer.json()).message, /no Realtime server.*supabase start/);
  }
  assertEquals(logs.filter((line) => line.startsWith("realtime: ")).length, 1);
  const refused = await createClient(stack.apiUrl, stack.publishableKey)
    .from("applications").select();
  assertEquals(refused.status, 401);
  const expected = "lite: GET /rest/v1/applications: permission denied for table applications";
  assert(logs.includes(expected), logs.filter((line) => line.startsWith("lite")).join("\n"));
});
