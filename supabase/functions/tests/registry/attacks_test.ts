/** The registry under attack: strangers who look for what is private, and publishers who are too quick. */
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { anonClient, createUser, type TestUser } from "../../../../scripts/testing/stack.ts";
import { type Answer, call, createCompany, test, withWorld } from "../world.ts";
import { until } from "./instance.ts";
import { claimNamespace, get, publishPackage, publishYaml, yamlOf } from "./world.ts";

const world = withWorld();
const KIB = 1024;
const large = (letter: string) => `text: "${letter.repeat(110 * KIB)}"\n`;

async function objects(space: string): Promise<number> {
  const { data, error } = await world().service.storage.from("packages").list(space);
  assertEquals(error, null);
  return data!.length;
}

/** What an answer says, but for what is another in every answer, and for the name that was asked for. */
function gist({ status, headers, body }: Answer, name: string): string {
  const kept = [...headers].filter(([key]) =>
    !/^(date|x-request-id|server-timing|sb-request-id)$/.test(key)
  );
  return JSON.stringify([status, kept, body])
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "id").replaceAll(name, "name");
}

test("to strangers a private package, a draft and a package that is not there are the same, on every route", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/public-one`, version: "1.0.0" });
  await publishPackage(world(), { id: `${space}/private-one`, version: "1.0.0" }, "");
  await publishPackage(
    world(),
    { id: `${space}/drafted-one`, version: "1.0.0" },
    "visibility=public&status=draft",
  );
  const reads = [
    "",
    "/versions",
    "/changelog",
    "/dependents",
    "/1.0.0",
    "/latest",
    "/%5E1.0.0",
    "/1.0.0/download",
    "/1.0.0/dependencies",
    "/1.0.0/files",
    "/1.0.0/files/a.proto",
  ];
  const writes: Array<[string, string, unknown?]> = [
    ["PATCH", "", { description: "x" }],
    ["POST", "/1.0.0/deprecate", { reason: "x" }],
    ["POST", "/1.0.0/archive", { reason: "x" }],
    ["POST", "/1.0.0/restore", {}],
    ["POST", "/1.0.0/publish", {}],
    ["DELETE", "/1.0.0"],
  ];
  const member = await createUser(world().stack);
  await createCompany(member);
  for (const who of [null, world().outsider, member]) {
    for (const path of reads) {
      const of = async (name: string) =>
        gist(
          await get(world(), `${space}/${name}${path}`, who, { "if-none-match": "*" }),
          name,
        );
      const absent = await of("nowhere-one");
      assert(absent.startsWith("[404"), absent);
      for (const name of ["private-one", "drafted-one"]) assertEquals(await of(name), absent, path);
    }
    for (const [method, path, json] of writes) {
      const of = async (name: string) =>
        gist(await call(world(), who, `packages/${space}/${name}${path}`, { method, json }), name);
      const absent = await of("nowhere-one");
      for (const name of ["private-one", "drafted-one"]) {
        assertEquals(await of(name), absent, `${method} ${path}`);
      }
    }
    const found = await get(world(), `search?namespace=${space}`, who);
    assertEquals(found.body.packages.map(({ name }: { name: string }) => name), ["public-one"]);
  }
});

test("what a private package needs is not told through a public one: dependents, tree, stored resolution", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/deep-secret`, version: "1.0.0" }, "");
  await publishPackage(world(), {
    id: `${space}/named-secret`,
    version: "1.4.0",
    dependencies: { "deep-secret": "*" },
  }, "");
  await publishPackage(world(), { id: `${space}/open`, version: "1.0.0" });
  // Whoever publishes it names one of them in a YAML that everybody reads, and is told what it resolves to.
  const made = await publishPackage(world(), {
    id: `${space}/shown`,
    version: "1.0.0",
    dependencies: { "named-secret": "^1.0.0", open: "*" },
  });
  assertEquals(made.body.resolution[`${space}/deep-secret`], "1.0.0");
  await publishPackage(world(), {
    id: `${space}/hidden-user`,
    version: "1.0.0",
    dependencies: { open: "*" },
  }, "");
  const client = anonClient(world().stack);
  for (const who of [null, world().outsider]) {
    for (const path of ["shown/1.0.0", "shown/1.0.0/dependencies", "shown/1.0.0/download"]) {
      for (let round = 0; round < 2; round++) {
        const { status, body } = await get(world(), `${space}/${path}`, who);
        const text = JSON.stringify(body);
        assertEquals([status, text.includes("deep-secret"), text.includes("1.4.0")], [
          200,
          false,
          false,
        ], path);
      }
    }
    const { body } = await get(world(), `${space}/open/dependents`, who);
    assertEquals(body.dependents.map(({ name }: { name: string }) => name), ["shown"]);
    assertEquals(body.total, 1);
  }
  const { data } = await client.from("package_versions").select("resolution, packages!inner(name)")
    .eq("packages.namespace", space).eq("packages.name", "shown").single();
  assertEquals(data!.resolution, { [`${space}/open`]: "1.0.0" });
  const own = await get(world(), `${space}/shown/1.0.0/dependencies`, world().publisher);
  assertEquals(own.body.versions[`${space}/deep-secret`], "1.0.0");
});

test("who published and who changed something is for members alone, in every table and every answer", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/signed`;
  await publishPackage(world(), { id, version: "1.0.0" });
  await call(world(), world().publisher, `packages/${id}/1.0.0/deprecate`, {
    json: { reason: "Old" },
  });
  const userId = world().publisher.id;
  const tables = [
    "package_namespaces",
    "packages",
    "package_versions",
    "package_files",
    "package_dependencies",
    "package_version_changes",
  ] as const;
  for (const client of [anonClient(world().stack), world().outsider.client]) {
    for (const table of tables) {
      const { data, error } = await client.from(table).select();
      assert(error === null || error.code === "42501", JSON.stringify(error));
      assert(!JSON.stringify(data).includes(userId), table);
    }
    const { data } = await client.rpc("list_package_changes", { namespace: space, name: "signed" });
    assertEquals((data as Array<{ change: string }>).map(({ change }) => change), [
      "deprecated",
      "published",
    ]);
    assert(!JSON.stringify(data).includes("changed_by"));
  }
  for (const path of ["", "/versions", "/changelog", "/1.0.0", "/1.0.0/dependencies"]) {
    const { status, body } = await get(world(), `${id}${path}`, world().outsider);
    assertEquals([status, JSON.stringify(body).includes(userId)], [200, false], path);
  }
  const mine = await get(world(), `${id}/changelog`, world().publisher);
  assertEquals(
    mine.body.changes.map(({ changed_by }: { changed_by: string }) => changed_by),
    [userId, userId],
  );
});

test("one tenant's private answer is never another's: no cache, whoever asks first, and at once", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/tenant`;
  await publishPackage(world(), { id, version: "1.0.0" }, "");
  for (const path of ["", "/1.0.0", "/1.0.0/download", "/versions"]) {
    const ask = (who: TestUser | null) => get(world(), `${id}${path}`, who);
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(
        [world().publisher, null, world().outsider, world().publisher, null].map(ask),
      );
      assertEquals(answers.map(({ status }) => status), [200, 404, 404, 200, 404], path);
      for (const { status, headers } of answers) {
        assert(status === 404 || /^private/.test(headers.get("cache-control")!), path);
        assert(status === 200 || !/public/.test(headers.get("cache-control") ?? ""), path);
        assertEquals(headers.get("x-cache") === "hit", false);
      }
    }
  }
  // What is public now is so for all at once.
  await call(world(), world().publisher, `packages/${id}`, {
    method: "PATCH",
    json: { visibility: "public" },
  });
  assertEquals((await get(world(), `${id}/1.0.0/download`)).status, 200);
});

test("a version under other build metadata fills no cache", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/built`;
  await publishPackage(world(), { id, version: "1.0.0" });
  const caches = async (version: string) => {
    await get(world(), `${id}/${encodeURIComponent(version)}`);
    return (await get(world(), `${id}/${encodeURIComponent(version)}`)).headers.get("x-cache");
  };
  assertEquals([await caches("1.0.0+else"), await caches("1.0.0")], ["miss", "hit"]);
});

test("a stranger's publication leaves nothing in somebody's namespace, not even for a moment", async () => {
  const space = await claimNamespace(world());
  const yaml = yamlOf({ id: `${space}/stolen`, version: "1.0.0", more: large("x") });
  for (const query of ["", "dry_run=true", "status=draft"]) {
    const answers = Promise.all(
      [world().outsider, world().outsider].map((who) => publishYaml(world(), who, yaml, query)),
    );
    let seen = 0;
    let over = false;
    const watch = (async () => {
      while (!over) seen = Math.max(seen, await objects(space));
    })();
    for (const { status, body } of await answers) {
      assertEquals([status, body.code, body.errors[0].path], [403, "forbidden", "namespace"]);
    }
    over = true;
    await watch;
    assertEquals(seen, 0);
  }
});

test("two publishers of the same version at once: one has it, the other is told, and nothing is left over", async () => {
  const space = await claimNamespace(world());
  const other = await createUser(world().stack);
  const { error } = await world().publisher.client.from("company_members")
    .insert({ company_id: world().companyId, user_id: other.id, role: "admin" });
  assertEquals(error, null);
  for (let round = 0; round < 5; round++) {
    const id = `${space}/race-${round}`;
    const yamls = ["a", "b"].map((letter) =>
      yamlOf({ id, version: "1.0.0", more: round % 2 ? large(letter) : `x: ${letter}\n` })
    );
    const who = [world().publisher, other];
    const answers = await Promise.all(
      yamls.map((yaml, index) => publishYaml(world(), who[index], yaml)),
    );
    const statuses = answers.map(({ status }) => status);
    assertEquals(statuses.toSorted(), [201, 409], JSON.stringify(answers.map(({ body }) => body)));
    const kept = await get(world(), `${id}/1.0.0/download`);
    assertEquals(kept.body, yamls[statuses.indexOf(201)]);
    const { data } = await world().service.storage.from("packages").list(`${id}/1.0.0`);
    assertEquals(data!.length, round % 2);
    const same = await Promise.all(
      [0, 1, 2].map(() => publishYaml(world(), other, kept.body)),
    );
    assertEquals(same.map(({ status }) => status), [200, 200, 200]);
  }
});

test("publishing while another version is archived: the latest is what is left, whoever comes second", async () => {
  const space = await claimNamespace(world());
  for (let round = 0; round < 8; round++) {
    const id = `${space}/turn-${round}`;
    await publishPackage(world(), { id, version: "1.0.0" });
    const archive = () =>
      call(world(), world().publisher, `packages/${id}/1.0.0/archive`, { json: { reason: "Old" } });
    const publish = () => publishYaml(world(), world().publisher, yamlOf({ id, version: "1.1.0" }));
    const again = () => publishYaml(world(), world().publisher, yamlOf({ id, version: "1.0.0" }));
    const answers = await Promise.all(
      (round % 2 ? [archive, publish, again] : [publish, again, archive]).map((work) => work()),
    );
    for (const { status, body } of answers) assert(status < 300, JSON.stringify(body));
    const { data } = await world().service.from("packages").select("latest_version")
      .eq("namespace", space).eq("name", `turn-${round}`).single();
    assertEquals(data!.latest_version, "1.1.0");
    await until(
      async () => (await get(world(), id)).body.latest_version === "1.1.0",
      "everybody sees it",
    );
  }
});

test("names that look alike to people are refused or not there: Unicode, case, separators", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/lib-one`, version: "1.0.0" });
  const names = {
    "lib\u2010one": 422, // a hyphen that is none
    "l\u0456b-one": 422, // a Cyrillic letter
    "lib-one\u200b": 422, // a blank without width
    "ｌib-one": 422, // a wide letter
    "lib-onе": 422, // another Cyrillic one
    "LIB-ONE": 409,
    "lib_one": 409,
    "lib.one": 409,
  };
  for (const [name, status] of Object.entries(names)) {
    const answer = await publishYaml(
      world(),
      world().publisher,
      yamlOf({ id: `${space}/${name}`, version: "2.0.0" }),
    );
    assertEquals(answer.status, status, name);
    const read = await get(world(), `${space}/${encodeURIComponent(name)}/1.0.0/download`);
    assertEquals([read.status, read.body.detail], [404, "Package not found"], name);
  }
  for (const name of [space.toUpperCase(), space.replace("-", "_"), `${space}\u200b`]) {
    const { error } = await world().outsider.client.from("package_namespaces")
      .insert({ name, company_id: await createCompany(world().outsider) });
    assert(error, name);
  }
});

test("malicious ranges in a path are refused at once", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/ranged`, version: "1.0.0" });
  for (const range of ["1||".repeat(1000) + "1", `1${" ".repeat(2000)}2`, "x.".repeat(2000)]) {
    const path = `${space}/ranged/${encodeURIComponent(range)}/download`;
    const { status, body } = await get(world(), path);
    assertEquals([status, body.errors?.[0].path ?? body.code], [400, "version"]);
  }
});
