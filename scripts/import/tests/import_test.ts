import { join } from "node:path";
import { assert, assertEquals } from "../../testing/assert.ts";
import { serviceClient, startTestStack } from "../../testing/stack.ts";
import { projectPath } from "../../stack/project.ts";
import type { Stack } from "../../stack/mod.ts";
import { dualRead } from "../../../supabase/functions/_shared/registry/dual_read.ts";
import { writeFile, writeLegacy } from "./legacy.ts";

const FILES = 600;
const DEADLINE_MS = 120_000;

let stack: Stack;
let dir: string;
let companyId: string;

Deno.test.beforeAll(async () => {
  stack = await startTestStack({ seed: false });
  dir = await Deno.makeTempDir({ prefix: "stowage legacy " });
  const { data, error } = await serviceClient(stack).from("companies")
    .insert({ slug: "legacy", name: "Legacy" }).select("id").single();
  if (error) throw error;
  companyId = data.id;
});

Deno.test.afterAll(async () => {
  await stack?.stop();
  if (dir) await Deno.remove(dir, { recursive: true });
});

function start(args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", projectPath("scripts/import/main.ts"), ...args],
    cwd: dir,
    env: {
      SUPABASE_URL: stack.apiUrl,
      SUPABASE_SECRET_KEY: stack.secretKey,
      // Where rollback files go that nobody names.
      XDG_STATE_HOME: join(dir, "state"),
    },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function run(args: string[]) {
  const report = join(dir, `report-${crypto.randomUUID()}.json`);
  const { code, stdout, stderr } = await start([...args, "--report", report]).output();
  const text = new TextDecoder().decode(stdout);
  const errors = new TextDecoder().decode(stderr);
  const written = await Deno.readTextFile(report).catch(() => null);
  assert(code < 2 && written !== null, errors);
  return { code, text, errors, report: JSON.parse(written) };
}

async function stored(prefix: string): Promise<string[]> {
  const rows: string[] = [];
  for (let from = 0;; from += 1000) {
    const { data, error } = await serviceClient(stack).from("package_versions")
      .select("version, packages!inner(namespace, name)").like("packages.namespace", `${prefix}-%`)
      .order("id").range(from, from + 999);
    if (error) throw error;
    for (
      const { version, packages } of data as unknown as Array<
        { version: string; packages: { namespace: string; name: string } }
      >
    ) {
      const { namespace, name } = packages;
      rows.push(`${namespace}/${name}/${version}/${name}-${version}.yaml`);
    }
    if (data.length < 1000) return rows.sort();
  }
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });

test("killed in the middle and begun again, an import loses nothing and doubles nothing", async () => {
  const from = join(dir, "killed");
  const rollback = join(dir, "killed.rollback.jsonl");
  const paths = await writeLegacy(from, FILES, "killed");
  const args = ["--from", from, "--company", companyId, "--rollback-file", rollback];

  const child = start(args);
  const output = child.output();
  const deadline = Date.now() + DEADLINE_MS;
  while ((await stored("killed")).length < FILES / 4) {
    assert(Date.now() < deadline, "the import got nowhere");
    await new Promise((done) => setTimeout(done, 20));
  }
  child.kill("SIGKILL");
  await output;
  const before = await stored("killed");
  assert(before.length < FILES, "it was not killed in the middle");

  const { report, text, errors, code } = await run(args);
  assertEquals(
    [code, report.migrated + report.skipped, report.total],
    [0, FILES, FILES],
    JSON.stringify(report),
  );
  assertEquals(await stored("killed"), paths.toSorted());
  // What was committed when it was killed, it skipped.
  assert(report.skipped >= before.length && report.migrated > 0, JSON.stringify(report));
  assert(/migrated +\d+/.test(text) && /files in .* a second/.test(text), text);
  assert(errors.includes(`${FILES}/${FILES} 100 %`), errors);

  const again = await run(args);
  assertEquals([again.report.migrated, again.report.skipped], [0, FILES]);
  const { data } = await serviceClient(stack).from("package_versions")
    .select("yaml_content, packages!inner(namespace, name)").eq("packages.namespace", "killed-3")
    .eq("packages.name", "pkg-2").eq("version", "1.1.0").single();
  const file = join(from, "killed-3/pkg-2/1.1.0/pkg-2-1.1.0.yaml");
  assertEquals(data!.yaml_content, await Deno.readTextFile(file));
  const dependencies = await serviceClient(stack).from("package_dependencies")
    .select("id", { count: "exact", head: true }).eq("dependency_namespace", "killed-0");
  assertEquals(dependencies.count, FILES);

  const { stdout } = await start(["--undo", rollback]).output();
  assert(new TextDecoder().decode(stdout).startsWith(`${FILES} versions taken back`));
  assertEquals(await stored("killed"), []);
});

test("many versions of one new package, published at once, are all there", async () => {
  const service = serviceClient(stack);
  await service.from("package_namespaces").insert({ name: "crowd", company_id: companyId });
  const digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
  for (let round = 0; round < 10; round++) {
    const results = await Promise.all(
      Array.from({ length: 16 }, (_, minor) =>
        service.rpc("publish_package", {
          ...{ actor: null, namespace: "crowd", name: `pkg-${round}`, version: `1.${minor % 8}.0` },
          ...{ sha256: digest, size: 1, yaml_content: "a" },
        })),
    );
    const outcomes = results.map(({ data, error }) => error?.message ?? data![0].outcome).sort();
    assertEquals(outcomes, [...Array(8).fill("published"), ...Array(8).fill("unchanged")]);
  }
});

test("a dry run changes nothing; what is wrong is reported, and what is there is never overwritten", async () => {
  const from = join(dir, "mixed");
  await writeLegacy(from, 20, "mixed");
  await writeFile(join(from, "mixed-0/broken/1.0.0/broken-1.0.0.yaml"), "version: [1\n");
  await writeFile(
    join(from, "mixed-0/other/1.0.0/other-1.0.0.yaml"),
    "id: mixed-0/else\nversion: 1.0.0\n",
  );
  await writeFile(join(from, "mixed-0/bad-version/v1/bad-version-v1.yaml"), "version: v1\n");
  await writeFile(join(from, "mixed-0/stray/1.0.0/stray-1.0.0.yaml"), "version: 1.0.0\n");
  await writeFile(join(from, "mixed-0/stray/1.0.0/notes.txt"), "x");
  await Deno.mkdir(join(from, "mixed-0/empty/2.0.0"), { recursive: true });
  await Deno.symlink("/etc", join(from, "mixed-0/link"));

  const nobody = await run(["--from", from, "--dry-run"]);
  assertEquals([nobody.report.migrated, nobody.report.invalid.length], [0, 26]);
  const dry = await run(["--from", from, "--dry-run", "--company", companyId]);
  assertEquals([dry.code, dry.report.migrated, (await stored("mixed")).length], [1, 21, 0]);
  const { report } = await run(["--from", from, "--company", companyId, "--visibility", "public"]);
  assertEquals(report.migrated, 21);
  assertEquals(report.missing.map(({ path }: { path: string }) => path), [
    "mixed-0/empty/2.0.0/empty-2.0.0.yaml",
  ]);
  assertEquals(report.invalid.map(({ path }: { path: string }) => path), [
    "mixed-0/bad-version/v1",
    "mixed-0/broken/1.0.0/broken-1.0.0.yaml",
    "mixed-0/link",
    "mixed-0/other/1.0.0/other-1.0.0.yaml",
    "mixed-0/stray/1.0.0/notes.txt",
  ]);

  const changed = join(from, "mixed-1/pkg-0/1.0.0/pkg-0-1.0.0.yaml");
  const original = await Deno.readTextFile(changed);
  await Deno.writeTextFile(changed, `${original}more: true\n`);
  const second = await run(["--from", from]);
  assertEquals([second.report.migrated, second.report.skipped], [0, 20]);
  assertEquals(second.report.conflicts.map(({ path }: { path: string }) => path), [
    "mixed-1/pkg-0/1.0.0/pkg-0-1.0.0.yaml",
  ]);
  const { data } = await serviceClient(stack).from("package_versions")
    .select("yaml_content, packages!inner(namespace, name)").eq("packages.namespace", "mixed-1").eq(
      "version",
      "1.0.0",
    ).single();
  assertEquals(data!.yaml_content, original);
});

/** Names of the rollback files that were put where nobody said. */
async function rollbackFiles(): Promise<string[]> {
  const folder = join(dir, "state/stowage/imports");
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  return entries.map(({ name }) => join(folder, name));
}

test("a dry run and a real one refuse the same, by name, and leave no file behind for nothing", async () => {
  const service = serviceClient(stack);
  const from = join(dir, "places");
  for (const path of await rollbackFiles()) await Deno.remove(path);
  const { data: other } = await service.from("companies")
    .insert({ slug: "neighbour", name: "Neighbour" }).select("id").single();
  await service.from("package_namespaces").insert([
    { name: "theirs", company_id: other!.id },
    { name: "Look.Alike", company_id: companyId },
  ]);
  const add = async (namespace: string, name: string, version = "1.0.0") =>
    await writeFile(
      join(from, `${namespace}/${name}/${version}/${name}-${version}.yaml`),
      `id: ${namespace}/${name}\nversion: ${version}\n`,
    );
  await add("theirs", "pkg");
  await add("look-alike", "pkg");
  await add("resolve", "pkg");
  await add("n".repeat(64), "pkg");
  await add("fresh", "a-b");
  await add("fresh", "a.b");
  const refused = [
    ["fresh/a.b", "The package a.b could be mistaken for a-b."],
    ["look-alike/pkg", "The namespace look-alike could be mistaken for Look.Alike."],
    [`${"n".repeat(64)}/pkg`, "A namespace has 63 characters at most."],
    ["resolve/pkg", "No namespace can be called resolve."],
    [
      "theirs/pkg",
      `The namespace theirs belongs to the company neighbour (${
        other!.id
      }), not to the one that --company names.`,
    ],
  ].map(([id, reason]) => ({ path: `${id}/1.0.0/${id.split("/")[1]}-1.0.0.yaml`, reason }));
  // What it says of names is what the table says of them.
  for (const name of ["look-alike", "resolve", "n".repeat(64)]) {
    const { error } = await service.from("package_namespaces").insert({
      name,
      company_id: companyId,
    });
    assert(error, name);
  }

  const args = ["--from", from, "--company", companyId];
  const dry = await run([...args, "--dry-run"]);
  assertEquals([dry.code, dry.report.migrated, dry.report.invalid], [1, 1, refused]);
  assertEquals([await rollbackFiles(), await stored("fresh")], [[], []]);
  const real = await run(args);
  assertEquals([real.code, real.report.migrated, real.report.invalid], [1, 1, refused]);
  const [rollback, ...more] = await rollbackFiles();
  assertEquals(more, []);
  assert(real.text.includes(`--undo '${rollback}'`), real.text);

  // In a namespace that is there, the database itself is asked, and takes it back.
  await add("fresh", "A-B", "2.0.0");
  await add("fresh", "next");
  const mistaken = "The package fresh/a-b exists, and A-B could be mistaken for it.";
  for (const dryRun of [["--dry-run"], []]) {
    const { report, text } = await run([...args, ...dryRun]);
    assertEquals(report.migrated, 1, text);
    const found = report.invalid.find(({ path }: { path: string }) =>
      path.startsWith("fresh/A-B/")
    );
    assert(found, JSON.stringify(report));
    assert([mistaken, "The package a-b could be mistaken for A-B."].includes(found.reason));
  }
  assertEquals((await rollbackFiles()).length, 2);
  const idle = await run(args);
  assertEquals([idle.report.migrated, (await rollbackFiles()).length], [0, 2]);
  assert(!idle.text.includes("--undo"), "there is nothing to take back");
});

test("what cannot be done at all is told in one line", async () => {
  const { secretKey } = stack;
  const nobody = crypto.randomUUID();
  await writeLegacy(join(dir, "few"), 1, "few");
  await writeFile(join(dir, "other.jsonl"), "one\n");
  const cases: [string[], string][] = [
    [
      ["--from", join(dir, "few"), "--company", nobody],
      `--company ${nobody}: there is no such company.`,
    ],
    [
      ["--from", join(dir, "few"), "--company", nobody, "--dry-run"],
      `--company ${nobody}: there is no`,
    ],
    [
      ["--from", join(dir, "nowhere")],
      `--from ${join(dir, "nowhere")}: there is no such directory.`,
    ],
    [["--undo", join(dir, "nowhere")], `${join(dir, "nowhere")} cannot be read: No such file`],
    [["--undo", join(dir, "other.jsonl")], `${join(dir, "other.jsonl")}: line 1 is not one of`],
  ];
  for (const [args, line] of cases) {
    const { code, stderr } = await start(args).output();
    const text = new TextDecoder().decode(stderr);
    assertEquals([code, text.split("\n").length], [2, 2], text);
    assert(text.startsWith(`import:packages: ${line}`) && !text.includes(secretKey), text);
  }
});

test("dual read: the database first, then the directory while the flag is on, and that is counted", async () => {
  const service = serviceClient(stack);
  const directory = join(dir, "dual");
  const name = { namespace: "dual-0", name: "pkg-0" };
  await writeLegacy(directory, 20, "dual");
  const settings = async () => {
    const { data, error } = await service.rpc("package_settings");
    if (error) throw error;
    return data;
  };
  const fallbacks: string[] = [];
  const read = (which = name, version = "1.0.0") =>
    dualRead(which, version, {
      directory,
      async database({ namespace, name }, version) {
        const { data, error } = await service.rpc("read_package_version", {
          namespace,
          name,
          version,
        });
        if (error) throw error;
        return data?.yaml_content ?? null;
      },
      enabled: async () => (await settings()).dual_read,
      onFallback: (id) => fallbacks.push(id),
    });
  const text = await Deno.readTextFile(join(directory, "dual-0/pkg-0/1.0.0/pkg-0-1.0.0.yaml"));
  assertEquals(await read(), { text, source: "directory" });
  assertEquals(fallbacks, ["dual-0/pkg-0@1.0.0"]);
  await service.rpc("count_package_fallbacks", { count: fallbacks.length });
  assertEquals((await settings()).fallback_count, 1);
  assertEquals(await read(name, "9.9.9"), null);
  assertEquals(await read({ namespace: "..", name: "dual-0" }), null);
  await service.rpc("change_package_settings", { dual_read: false });
  assertEquals(await read(), null);
  await service.rpc("change_package_settings", { dual_read: true });
  await run(["--from", directory, "--company", companyId]);
  assertEquals(await read(), { text, source: "database" });
  assertEquals(fallbacks.length, 1);
});
