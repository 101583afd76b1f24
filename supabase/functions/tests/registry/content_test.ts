/** Where content lies, several processes with one database, and what happens when a part of it is down. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
} from "../../../../scripts/testing/assert.ts";
import { createHash } from "node:crypto";
import { createClient as createRedis } from "redis";
import { AppError } from "../../_shared/errors.ts";
import { readContent, sha256 } from "../../_shared/registry/content.ts";
import { call, createCompany, test, withWorld } from "../world.ts";
import { type Instance, redisServer, startInstance, startRedis, until } from "./instance.ts";
import { claimNamespace, get, publishPackage, yamlOf } from "./world.ts";

const world = withWorld();
const KIB = 1024;
const text = (bytes: number) => `text: "${"x".repeat(bytes)}"\n`;

async function settings(values: Record<string, unknown>): Promise<void> {
  const { error } = await world().service.rpc("change_package_settings", values);
  assertEquals(error, null);
}

async function row(space: string, name: string) {
  const { data, error } = await world().service.from("package_versions")
    .select("id, yaml_content, storage_path, packages!inner(name, namespace)")
    .eq("packages.namespace", space).eq("packages.name", name).single();
  if (error) throw error;
  return data;
}

async function place(space: string, name: string): Promise<"row" | "storage"> {
  const { yaml_content, storage_path } = await row(space, name);
  assertEquals((yaml_content === null) !== (storage_path === null), true);
  return yaml_content === null ? "storage" : "row";
}

function runJob(name: string, limit = 100) {
  return call(world(), world().stack.secretKey, `packages/jobs/${name}`, { json: { limit } });
}

test("content above the limit goes to object storage, below it into the row", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/small`, version: "1.0.0", more: text(90 * KIB) });
  await publishPackage(world(), { id: `${space}/large`, version: "1.0.0", more: text(110 * KIB) });
  assertEquals([await place(space, "small"), await place(space, "large")], ["row", "storage"]);
  const { storage_path } = await row(space, "large");
  assertMatch(
    storage_path,
    new RegExp(`^${space}/large/1\\.0\\.0/[0-9a-f-]{36}/large-1\\.0\\.0\\.yaml$`),
  );
  const { body } = await get(world(), `${space}/large/1.0.0/download`);
  assertEquals(body, yamlOf({ id: `${space}/large`, version: "1.0.0", more: text(110 * KIB) }));
});

test("the checksum is verified on every read: damaged content is never served", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), {
    id: `${space}/damaged`,
    version: "1.0.0",
    more: text(110 * KIB),
  });
  const { storage_path } = await row(space, "damaged");
  const { error } = await world().service.storage.from("packages")
    .update(storage_path, new Blob(["tampered"]), { contentType: "text/yaml" });
  assertEquals(error, null);
  const { status, body } = await get(world(), `${space}/damaged/1.0.0/download`);
  assertEquals([status, body.code], [500, "content_corrupted"]);
  assert(world().logs.some((line) => line.includes("is damaged in")));
});

/** As private.is_rolled_out says it, at fifty percent. */
function isRolledOut(id: string): boolean {
  return parseInt(createHash("md5").update(id).digest("hex").slice(0, 8), 16) % 100 < 50;
}

test("the background job moves content either way, for the part that is rolled out", async () => {
  const space = await claimNamespace(world());
  const ids = ["a", "b", "c", "d", "e", "f"];
  for (const name of ids) {
    await publishPackage(world(), {
      id: `${space}/${name}`,
      version: "1.0.0",
      more: text(5 * KIB),
    });
  }
  const places = () => Promise.all(ids.map((name) => place(space, name)));
  try {
    await settings({ inline_limit_bytes: KIB, move_percentage: 0 });
    assertEquals((await runJob("move")).body.done, 0);
    assertEquals(new Set(await places()), new Set(["row"]));
    // As many calls as it takes, each of which may be the last.
    const moveAll = () =>
      until(async () => {
        const { body } = await runJob("move", 2);
        assertEquals(body.errors, []);
        return !body.more;
      }, "nothing is left to move");
    await settings({ move_percentage: 50 });
    await moveAll();
    const isIn = await Promise.all(
      ids.map(async (name) => isRolledOut((await row(space, name)).id)),
    );
    assertEquals(await places(), isIn.map((rolledOut) => rolledOut ? "storage" : "row"));
    await settings({ move_percentage: 100 });
    await moveAll();
    assertEquals(new Set(await places()), new Set(["storage"]));
    for (const name of ids) {
      const { body } = await get(world(), `${space}/${name}/1.0.0/download`);
      assertEquals(body, yamlOf({ id: `${space}/${name}`, version: "1.0.0", more: text(5 * KIB) }));
    }
    await settings({ inline_limit_bytes: 100 * KIB });
    await moveAll();
    assertEquals(new Set(await places()), new Set(["row"]));
    const { data } = await world().service.storage.from("packages").list(space);
    assertEquals(data, []);
  } finally {
    await settings({ inline_limit_bytes: 100 * KIB, move_percentage: 0 });
  }
});

test("content that is damaged stays where it is, is reported, and holds up no other", async () => {
  const space = await claimNamespace(world());
  const names = ["bad-1", "bad-2", "bad-3", "good"];
  const more = text(110 * KIB);
  for (const name of names) {
    await publishPackage(world(), { id: `${space}/${name}`, version: "1.0.0", more });
  }
  const write = async (name: string, content: string) => {
    const { storage_path } = await row(space, name);
    const { error } = await world().service.storage.from("packages")
      .update(storage_path, new Blob([content]), { contentType: "text/yaml" });
    assertEquals(error, null);
  };
  for (const name of names.slice(0, 3)) await write(name, "tampered");
  try {
    await settings({ inline_limit_bytes: 200 * KIB, move_percentage: 100 });
    const errors: string[] = [];
    await until(async () => {
      errors.push(...(await runJob("move", 1)).body.errors);
      return await place(space, "good") === "row";
    }, "the good one is moved");
    await until(async () => {
      errors.push(...(await runJob("move", 1)).body.errors);
      return errors.length > 0;
    }, "a damaged one is reported");
    assert(errors.every((error) => /checksum/.test(error)), errors.join("\n"));
    assertEquals(await Promise.all(names.map((name) => place(space, name))), [
      ...["storage", "storage", "storage"],
      "row",
    ]);
    // Once they are as they were, they go where they belong.
    for (const name of names.slice(0, 3)) {
      await write(name, yamlOf({ id: `${space}/${name}`, version: "1.0.0", more }));
    }
    await until(async () => !(await runJob("move", 10)).body.more, "nothing is left to move");
    assertEquals(
      new Set(await Promise.all(names.map((name) => place(space, name)))),
      new Set(["row"]),
    );
  } finally {
    await settings({ inline_limit_bytes: 100 * KIB, move_percentage: 0 });
  }
});

/** The stack's API, in which a part can be switched off. */
function startProxy(): { url: string; down: { storage: boolean }; stop(): Promise<void> } {
  const down = { storage: false };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    if (down.storage && pathname.startsWith("/storage/")) {
      await request.body?.cancel();
      return new Response("down", { status: 503 });
    }
    return await fetch(world().stack.apiUrl + pathname + search, {
      method: request.method,
      headers: request.headers,
      body: request.body,
    });
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, down, stop: () => server.shutdown() };
}

test("while object storage is down, rows are read and writes fall back to the row", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/in-row`, version: "1.0.0" });
  await publishPackage(world(), {
    id: `${space}/in-storage`,
    version: "1.0.0",
    more: text(110 * KIB),
  });
  const proxy = startProxy();
  const instance = await startInstance(world().stack, { SUPABASE_URL: proxy.url });
  try {
    proxy.down.storage = true;
    const readable = await instance.get(`${space}/in-row/1.0.0/download`);
    assertEquals([readable.status, await readable.text()], [
      200,
      yamlOf({ id: `${space}/in-row`, version: "1.0.0" }),
    ]);
    const unreadable = await instance.get(`${space}/in-storage/1.0.0/download`);
    assertEquals([unreadable.status, (await unreadable.json()).code], [503, "unavailable"]);
    const yaml = yamlOf({ id: `${space}/written`, version: "1.0.0", more: text(110 * KIB) });
    const written = await instance.post("?visibility=public", yaml, {
      "content-type": "text/yaml",
    });
    assertEquals(written.status, 201, await written.text());
    assertEquals(await place(space, "written"), "row");
    const back = await instance.get(`${space}/written/1.0.0/download`);
    assertEquals(await back.text(), yaml);
    await settings({ move_percentage: 100 });
    const job = await instance.post("/jobs/move", "{}", { "content-type": "application/json" });
    const report = await job.json();
    assertEquals([job.status, report.done, report.failed > 0], [200, 0, true]);
    assertEquals([await place(space, "written"), await place(space, "in-storage")], [
      "row",
      "storage",
    ]);
    proxy.down.storage = false;
    assertEquals((await runJob("move")).body.errors, []);
    assertEquals(await place(space, "written"), "storage");
    const later = await instance.get(`${space}/in-storage/1.0.0/download`);
    assertEquals(later.status, 200);
    await later.body?.cancel();
  } finally {
    await settings({ move_percentage: 0 });
    await instance.stop();
    await proxy.stop();
  }
});

test("the background job parses versions that have no dependencies yet, and says what it cannot", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/lib`, version: "1.0.0" });
  const store = async (name: string, yaml: string) => {
    const { error } = await world().service.rpc("publish_package", {
      actor: null,
      namespace: space,
      name,
      version: "1.0.0",
      sha256: Array.from(
        new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(yaml))),
        (byte) => byte.toString(16).padStart(2, "0"),
      ).join(""),
      size: yaml.length,
      yaml_content: yaml,
      details: { visibility: "public" },
    });
    assertEquals(error, null);
  };
  await store(
    "good",
    yamlOf({ id: `${space}/good`, version: "1.0.0", dependencies: { lib: "^1.0.0" } }),
  );
  await store("bad", "version: [1\n");
  const before = await get(world(), `${space}/good/1.0.0/dependencies`);
  assertEquals([before.body.parsed, before.body.nodes.length], [false, 1]);
  const { body } = await runJob("parse");
  assertEquals([body.done >= 2, body.failed], [true, 0]);
  // The caches hear of it.
  await until(
    async () => (await get(world(), `${space}/good/1.0.0/dependencies`)).body.parsed === true,
    "the dependencies are known",
  );
  const after = await get(world(), `${space}/good/1.0.0/dependencies`);
  assertEquals(after.body.versions[`${space}/lib`], "1.0.0");
  const { data } = await world().service.from("package_versions").select(
    "parse_error, packages!inner(namespace, name)",
  )
    .eq("packages.namespace", space).eq("packages.name", "bad").single();
  assertMatch(data!.parse_error, /^\d+: /);
});

test("the background job finds imports in the packages that a version names, as far as its company reads them", async () => {
  const space = await claimNamespace(world());
  const strangers = await claimNamespace(
    world(),
    world().outsider,
    await createCompany(world().outsider),
  );
  const store = async (
    namespace: string,
    name: string,
    version: string,
    yaml: string,
    files: Record<string, string>,
    visibility = "private",
  ) => {
    const { error } = await world().service.rpc("publish_package", {
      ...{ actor: null as unknown as string, namespace, name, version },
      ...{ sha256: sha256(yaml), size: yaml.length, yaml_content: yaml, details: { visibility } },
      files: Object.entries(files).map(([path, content]) => ({
        ...{ path, content, sha256: sha256(content), size: content.length },
      })),
    });
    assertEquals(error, null);
  };
  const proto = 'syntax = "proto3";\n';
  await store(space, "common", "1.0.0", "x: 1\n", { "old.proto": proto });
  await store(space, "common", "1.5.0", "x: 1\n", { "money.proto": proto });
  await store(space, "common", "2.0.0", "x: 1\n", { "next.proto": proto });
  await store(strangers, "open", "1.0.0", "x: 1\n", { "open.proto": proto }, "public");
  await store(strangers, "closed", "1.0.0", "x: 1\n", { "closed.proto": proto });
  const paths = [
    "own.proto",
    "acme/common/money.proto",
    "old.proto",
    "next.proto",
    "open.proto",
    "closed.proto",
    "google/protobuf/any.proto",
  ];
  await store(
    space,
    "orders",
    "1.0.0",
    `version: 1.0.0\ndependencies:\n` +
      `  - { name: common, version: ^1.0.0, import_path: acme/common }\n` +
      `  - { name: ${strangers}/open, version: "*" }\n` +
      `  - { name: ${strangers}/closed, version: "*" }\n` +
      `  - { name: ${strangers}/none, version: "*" }\n`,
    { "order.proto": paths.map((path) => `import "${path}";\n`).join(""), "own.proto": proto },
  );
  await until(async () => {
    const { body } = await runJob("parse");
    assertEquals(body.errors, []);
    return !body.more;
  }, "all is parsed");
  const { body } = await get(world(), `${space}/orders/1.0.0`, world().publisher);
  assertEquals(body.parse_error, null);
  const found = body.dependencies.filter(({ source }: { source: string }) => source === "proto");
  assertEquals(
    Object.fromEntries(
      found.map((row: Record<string, string>) => [
        row.import_path,
        row.name ? `${row.resolution} ${row.name} ${row.range}` : row.resolution,
      ]),
    ),
    {
      "own.proto": "file",
      "acme/common/money.proto": "package common ^1.0.0",
      "old.proto": "unresolved",
      "next.proto": "unresolved",
      "open.proto": "package open *",
      "closed.proto": "unresolved",
      "google/protobuf/any.proto": "well_known",
    },
  );
});

const cases: Array<[string, (env: Record<string, string>) => Promise<Instance>, boolean]> = [
  ["memory", () => startInstance(world().stack), false],
  ["Redis", (env) => startInstance(world().stack, env), true],
];

for (const [name, start, needsRedis] of cases) {
  Deno.test({
    name: `${name}: a change through one instance, or straight in the database, is seen by all`,
    ignore: needsRedis && !redisServer,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      const space = await claimNamespace(world());
      const id = `${space}/shared`;
      await publishPackage(world(), { id, version: "1.0.0" });
      const redis = needsRedis ? await startRedis() : undefined;
      const env: Record<string, string> = redis ? { REDIS_URL: redis.url } : {};
      const instances = await Promise.all([start(env), start(env)]);
      const ask = async (instance: Instance, path = id) => {
        const response = await instance.get(path);
        return { hit: response.headers.get("x-cache") === "hit", body: await response.json() };
      };
      try {
        const allCached = () =>
          until(
            async () =>
              (await Promise.all(instances.map((one) => ask(one)))).every(({ hit }) => hit),
            "both serve it from their caches",
          );
        await allCached();
        // Far sooner than five minutes, and by being told: the entries are young.
        const { error } = await world().service.from("packages").update({ description: "Changed" })
          .eq("namespace", space);
        assertEquals(error, null);
        await until(
          async () =>
            (await Promise.all(instances.map((one) => ask(one))))
              .every(({ body }) => body.description === "Changed"),
          "both say what changed",
        );
        await allCached();
        const published = await instances[0].post(
          "?visibility=public",
          yamlOf({ id, version: "2.0.0" }),
          { "content-type": "text/yaml" },
        );
        assertEquals(published.status, 201, await published.text());
        assertEquals((await ask(instances[0])).body.latest_version, "2.0.0");
        await until(
          async () => (await ask(instances[1])).body.latest_version === "2.0.0",
          "the other sees it too",
        );
        const stats = await instances[1].stats();
        assert(
          stats.hits > 0 && stats.misses > 0 && stats.invalidations > 0,
          JSON.stringify(stats),
        );
        if (redis) {
          await allCached();
          await redis.stop();
          for (const instance of instances) {
            const { body, hit } = await ask(instance, `${id}/2.0.0`);
            assertEquals([body.version, hit], ["2.0.0", false]);
          }
        }
      } finally {
        await Promise.all(instances.map((instance) => instance.stop()));
        await redis?.stop();
      }
    },
  });
}

Deno.test({
  name: "Redis: the checksum is verified of what comes from the cache too",
  ignore: !redisServer,
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const space = await claimNamespace(world());
    const id = `${space}/kept`;
    const yaml = { id, version: "1.0.0", more: "text: genuine\n" };
    await publishPackage(world(), yaml);
    const redis = await startRedis();
    const instance = await startInstance(world().stack, { REDIS_URL: redis.url });
    const client = createRedis({ url: redis.url });
    try {
      const ask = async () => {
        const response = await instance.get(`${id}/1.0.0/download`);
        return [await response.text(), response.headers.get("x-cache")];
      };
      await until(async () => (await ask())[1] === "hit", "it is served from Redis");
      await client.connect();
      const key = `stowage:cache:entry:version:${id}@1.0.0`;
      await client.set(key, (await client.get(key))!.replaceAll("genuine", "tampered"));
      assertEquals(await ask(), [yamlOf(yaml), "miss"]);
      await until(async () => (await ask())[1] === "hit", "the right one is served from Redis");
      assertEquals((await ask())[0], yamlOf(yaml));
    } finally {
      if (client.isOpen) client.destroy();
      await instance.stop();
      await redis.stop();
    }
  },
});

Deno.test("content in a row that is not what its checksum says is refused, as in object storage", async () => {
  const objects = {
    get: () => Promise.resolve(new TextEncoder().encode("tampered")),
    put: () => Promise.resolve(),
    remove: () => Promise.resolve(),
  };
  const expected = sha256("genuine");
  const inRow = { sha256: expected, content: "tampered", storagePath: null };
  const inStorage = { sha256: expected, content: null, storagePath: "a" };
  for (const stored of [inRow, inStorage]) {
    const error = await assertRejects(() => readContent(stored, objects), AppError);
    assertEquals(error.code, "content_corrupted");
  }
  assertEquals(await readContent({ ...inRow, content: "genuine" }, objects), "genuine");
});

test("a new process is warmed with what is downloaded most", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/popular`, version: "1.0.0" });
  const { error } = await world().service.from("packages").update({ download_count: 1_000_000 }).eq(
    "namespace",
    space,
  );
  assertEquals(error, null);
  const instance = await startInstance(world().stack);
  try {
    await until(async () => {
      const { entries } = await instance.stats();
      return entries > 0;
    }, "it is warm");
    const response = await instance.get(`${space}/popular`);
    assertEquals(response.headers.get("x-cache"), "hit");
    await response.body?.cancel();
  } finally {
    await instance.stop();
  }
});
