/** The registry over HTTP: what each page of the documents promises is a test of its own. */
import { assert, assertEquals, assertMatch } from "../../../../scripts/testing/assert.ts";
import { anonClient, createUser } from "../../../../scripts/testing/stack.ts";
import { call, createCompany, test, withWorld } from "../world.ts";
import { claimNamespace, get, publishPackage, publishYaml, yamlOf } from "./world.ts";

const world = withWorld();

async function sha256(text: string): Promise<string> {
  const digest = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
  );
  return digest.toHex();
}

test("POST /packages takes raw YAML and answers success, package and version", async () => {
  const space = await claimNamespace(world());
  const yaml = yamlOf({ id: `${space}/http-client`, version: "1.0.0" });
  const answer = await publishYaml(world(), world().publisher, yaml);
  assertEquals(answer.status, 201, JSON.stringify(answer.body));
  const { success, package: name, version, sha256: digest, size } = answer.body;
  assertEquals([success, name, version, digest, size], [
    true,
    `${space}/http-client`,
    "1.0.0",
    await sha256(yaml),
    yaml.length,
  ]);
  assertEquals(
    answer.headers.get("location"),
    `/functions/v1/packages/${space}/http-client/1.0.0`,
  );
});

test("POST /packages takes a multipart file, and the rest of the identity from fields", async () => {
  const space = await claimNamespace(world());
  const form = new FormData();
  form.set("file", new File(["version: 2.0.0\n"], "anything.yaml"));
  form.set("namespace", space);
  form.set("name", "from-a-form");
  const answer = await call(world(), world().publisher, "packages", { body: form });
  assertEquals([answer.status, answer.body.package, answer.body.version], [
    201,
    `${space}/from-a-form`,
    "2.0.0",
  ]);
});

test("publishing the same again is 200 and changes nothing; other content is 409", async () => {
  const space = await claimNamespace(world());
  const yaml = { id: `${space}/same`, version: "1.0.0" };
  await publishPackage(world(), yaml);
  const again = await publishYaml(world(), world().publisher, yamlOf(yaml));
  assertEquals([again.status, again.body.outcome, again.body.success], [200, "unchanged", true]);
  const other = yamlOf({ ...yaml, more: "x: 1\n" });
  const refused = await publishYaml(world(), world().publisher, other);
  assertEquals([refused.status, refused.body.code, refused.body.errors[0].path], [
    409,
    "package_version_exists",
    "version",
  ]);
  const kept = await get(world(), `${space}/same/1.0.0/download`);
  assertEquals(kept.body, yamlOf(yaml));
});

test("download sends text/yaml, an attachment with a file name, ETag, and immutable caching", async () => {
  const space = await claimNamespace(world());
  const yaml = { id: `${space}/file`, version: "1.2.3-rc.1", more: "text: Grüße ✓\n" };
  await publishPackage(world(), yaml);
  const path = `${space}/file/1.2.3-rc.1/download`;
  const { status, headers, body } = await get(world(), path);
  assertEquals([status, body], [200, yamlOf(yaml)]);
  assertMatch(headers.get("content-type")!, /^text\/yaml/);
  assertEquals(headers.get("content-disposition"), 'attachment; filename="file-1.2.3-rc.1.yaml"');
  assertEquals(headers.get("cache-control"), "public, max-age=31536000, immutable");
  assertEquals(headers.get("etag"), `"${await sha256(yamlOf(yaml))}"`);
  for (
    const tag of [
      headers.get("etag")!,
      `W/${headers.get("etag")}`,
      `"a", ${headers.get("etag")}`,
      "*",
    ]
  ) {
    const fresh = await get(world(), path, null, { "if-none-match": tag });
    assertEquals([fresh.status, fresh.body], [304, ""], tag);
  }
  assertEquals((await get(world(), path, null, { "if-none-match": '"other"' })).status, 200);
});

test("what is not there is 404 Package not found", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/there`, version: "1.0.0" });
  for (
    const path of [
      `${space}/there/2.0.0/download`,
      `${space}/there/^2.0.0/download`,
      `${space}/gone/1.0.0/download`,
      `${space}/gone`,
      `nowhere/there/latest`,
      `${space}/..%2f..%2fetc/1.0.0/download`,
      `${space}/there/1.0.0/files/a.proto`,
      `${space}/there/1.0.0/files/..%2fa.proto`,
    ]
  ) {
    const { status, body } = await get(world(), path);
    const isVersion = path.startsWith(`${space}/there/`) && !path.includes("/files/");
    assertEquals(
      [status, body.code, body.title, body.detail],
      [
        404,
        "package_not_found",
        "Package not found",
        isVersion ? "Package not found: it has no such version." : "Package not found",
      ],
      path,
    );
  }
  const kind = await get(world(), "?kind=No%20kind");
  assertEquals([kind.status, kind.body.errors[0].path], [400, "kind"]);
  const { status, body } = await get(world(), `${space}/there/%5Ebanana/download`);
  assertEquals([status, body.code, body.errors[0].path], [400, "invalid_request", "version"]);
});

test("exact versions, ranges and latest are found, pre-releases as npm does", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/many`;
  for (const version of ["1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "2.0.0-rc.2", "0.9.0"]) {
    await publishPackage(world(), { id, version });
  }
  const cases = {
    "latest": "1.10.0",
    "1.0.0": "1.0.0",
    "^1.0.0": "1.10.0",
    "~1.2": "1.2.0",
    ">=1.0.0 <1.10.0": "1.2.0",
    "0.x || 1.0.x": "1.0.0",
    "2.0.0-rc.1": "2.0.0-rc.1",
    ">=2.0.0-rc.0": "2.0.0-rc.2",
    "*": "1.10.0",
  };
  for (const [wanted, version] of Object.entries(cases)) {
    const answer = await get(world(), `${id}/${encodeURIComponent(wanted)}`);
    assertEquals([answer.status, answer.body.version], [200, version], wanted);
  }
  const versions = await get(world(), `${id}/versions`);
  assertEquals(versions.body.versions.map(({ version }: { version: string }) => version), [
    "2.0.0-rc.2",
    "2.0.0-rc.1",
    "1.10.0",
    "1.2.0",
    "1.0.0",
    "0.9.0",
  ]);
  assertEquals(versions.body.latest_version, "1.10.0");
  const range = await get(world(), `${id}/${encodeURIComponent("^1.0.0")}/download`);
  assertEquals(range.headers.get("cache-control"), "public, max-age=300");
  assertEquals(range.headers.get("x-package-version"), "1.10.0");
});

test("metadata is cached for 5 minutes, versions for 1 hour", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), {
    id: `${space}/described`,
    version: "1.0.0",
    more: "description: Does things\nkeywords: [one, two]\nlicense: MIT\nkind: transformer\n" +
      "homepage: https://example.com/x\n",
  });
  const metadata = await get(world(), `${space}/described`);
  assertEquals(metadata.headers.get("cache-control"), "public, max-age=300");
  const { id, description, keywords, license, kind, homepage, latest_version } = metadata.body;
  assertEquals([id, description, keywords, license, kind, homepage, latest_version], [
    `${space}/described`,
    "Does things",
    ["one", "two"],
    "MIT",
    "transformer",
    "https://example.com/x",
    "1.0.0",
  ]);
  const version = await get(world(), `${space}/described/1.0.0`);
  assertEquals(version.headers.get("cache-control"), "public, max-age=3600");
  assert(!("yaml_content" in version.body) && !("company_id" in version.body));
});

test("deprecated: with a reason, still downloadable, warned, and restored", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/old`;
  await publishPackage(world(), { id, version: "1.0.0" });
  const change = (action: string, json?: unknown) =>
    call(world(), world().publisher, `packages/${id}/1.0.0/${action}`, json ? { json } : {});
  const silent = await change("deprecate", {});
  assertEquals([silent.status, silent.body.errors[0].path], [400, "reason"]);
  const { status, body } = await change("deprecate", { reason: 'Use "new"; see naïve' });
  assertEquals([status, body.success, body.status], [200, true, "deprecated"]);
  const download = await get(world(), `${id}/1.0.0/download`);
  assertEquals([download.status, download.headers.get("x-package-status")], [200, "deprecated"]);
  assertEquals(download.headers.get("warning"), '299 - "deprecated: Use \\"new\\"; see na?ve"');
  const described = await get(world(), `${id}/latest`);
  assertEquals(described.body.status_reason, 'Use "new"; see naïve');
  assertEquals((await change("restore")).status, 200);
  assertEquals((await get(world(), `${id}/1.0.0/download`)).headers.get("warning"), null);
});

test("archived: gone from resolution, still downloadable by its exact version", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/withdrawn`;
  await publishPackage(world(), { id, version: "1.0.0" });
  await publishPackage(world(), { id, version: "1.1.0" });
  await publishPackage(world(), {
    id: `${space}/user`,
    version: "1.0.0",
    dependencies: { [id]: "^1.0.0" },
  });
  const tree = async () =>
    (await get(world(), `${space}/user/1.0.0/dependencies`)).body.versions[id];
  assertEquals(await tree(), "1.1.0");
  const archived = await call(world(), world().publisher, `packages/${id}/1.1.0/archive`, {
    json: { reason: "Leaks" },
  });
  assertEquals(archived.status, 200, JSON.stringify(archived.body));
  assertEquals((await get(world(), `${id}/^1.0.0`)).body.version, "1.0.0");
  assertEquals((await get(world(), `${id}/latest`)).body.version, "1.0.0");
  assertEquals(await tree(), "1.0.0");
  const exact = await get(world(), `${id}/1.1.0/download`);
  assertEquals([exact.status, exact.body], [200, yamlOf({ id, version: "1.1.0" })]);
  const removed = await call(world(), world().publisher, `packages/${id}/1.1.0`, {
    method: "DELETE",
  });
  assertEquals([removed.status, removed.body.code], [409, "conflict"]);
});

test("a draft is its company's alone, is replaced, published, or deleted", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/draft`;
  const query = "visibility=public&status=draft";
  await publishPackage(world(), { id, version: "1.0.0" }, query);
  assertEquals((await get(world(), `${id}/1.0.0`)).status, 404);
  assertEquals((await get(world(), `${id}/1.0.0`, world().outsider)).status, 404);
  const mine = await get(world(), `${id}/1.0.0/download`, world().publisher);
  assertEquals([mine.status, mine.headers.get("cache-control")], [200, "private, max-age=0"]);
  const more = "description: Better\n";
  await publishPackage(world(), { id, version: "1.0.0", more }, query);
  const published = await call(world(), world().publisher, `packages/${id}/1.0.0/publish`);
  assertEquals([published.status, published.body.outcome], [200, "published"]);
  const now = await get(world(), `${id}/1.0.0/download`);
  assertEquals(now.body, yamlOf({ id, version: "1.0.0", more }));
  assertEquals((await get(world(), id)).body.description, "Better");
  await publishPackage(world(), { id, version: "2.0.0" }, query);
  const gone = await call(world(), world().publisher, `packages/${id}/2.0.0`, { method: "DELETE" });
  assertEquals(gone.status, 204);
  assertEquals((await get(world(), `${id}/2.0.0`, world().publisher)).status, 404);
});

test("a private package is there for its company alone, and never cached for others", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/secret`;
  await publishPackage(world(), { id, version: "1.0.0" }, "");
  const member = await createUser(world().stack);
  const { error } = await world().publisher.client.from("company_members")
    .insert({ company_id: world().companyId, user_id: member.id, role: "member" });
  assertEquals(error, null);
  for (
    const path of [
      id,
      `${id}/versions`,
      `${id}/1.0.0`,
      `${id}/1.0.0/download`,
      `${id}/1.0.0/dependencies`,
      `${id}/changelog`,
    ]
  ) {
    for (let round = 0; round < 2; round++) {
      const own = await get(world(), path, member);
      assertEquals(own.status, 200, path);
      assertMatch(own.headers.get("cache-control")!, /^private/);
      assertEquals((await get(world(), path)).status, 404, path);
      assertEquals((await get(world(), path, world().outsider)).status, 404, path);
    }
  }
  const found = (await get(world(), `search?q=secret&namespace=${space}`)).body.total;
  const foundByMember =
    (await get(world(), `search?q=secret&namespace=${space}`, member)).body.total;
  assertEquals([found, foundByMember], [0, 1]);
  const byMember = await call(world(), member, `packages/${id}/1.0.0/archive`, {
    json: { reason: "No" },
  });
  assertEquals([byMember.status, byMember.body.code], [403, "forbidden"]);
  const byStranger = await call(world(), world().outsider, `packages/${id}/1.0.0/archive`, {
    json: { reason: "No" },
  });
  assertEquals(byStranger.status, 404);
  const published = await publishYaml(world(), member, yamlOf({ id, version: "2.0.0" }));
  assertEquals([published.status, published.body.code], [403, "forbidden"]);
});

test("descriptive metadata is updated without a new version, and the changelog says so", async () => {
  const space = await claimNamespace(world());
  const id = `${space}/updated`;
  await publishPackage(world(), { id, version: "1.0.0" });
  const answer = await call(world(), world().publisher, `packages/${id}`, {
    method: "PATCH",
    json: { description: "New words", keywords: ["fresh"] },
  });
  assertEquals([answer.status, answer.body.description, answer.body.keywords], [200, "New words", [
    "fresh",
  ]]);
  assertEquals((await get(world(), id)).body.description, "New words");
  const wrong = await call(world(), world().publisher, `packages/${id}`, {
    method: "PATCH",
    json: { homepage: "javascript:alert(1)", latest_version: "9.9.9" },
  });
  assertEquals(wrong.status, 400);
  assertEquals(wrong.body.errors.map(({ path }: { path: string }) => path).sort(), [
    "homepage",
    "latest_version",
  ]);
  const hidden = await call(world(), world().publisher, `packages/${id}`, {
    method: "PATCH",
    json: { visibility: "private" },
  });
  assertEquals([hidden.status, hidden.body.errors[0].path], [409, "visibility"]);
  const others = await call(world(), world().outsider, `packages/${id}`, {
    method: "PATCH",
    json: { description: "Mine" },
  });
  assertEquals(others.status, 403);
  await call(world(), world().publisher, `packages/${id}/1.0.0/deprecate`, {
    json: { reason: "Old" },
  });
  const { body } = await get(world(), `${id}/changelog`);
  assertEquals(
    body.changes.map((
      { change, version, reason }: Record<string, string>,
    ) => [change, version, reason]),
    [
      ["deprecated", "1.0.0", "Old"],
      ["described", null, null],
      ["published", "1.0.0", null],
    ],
  );
  assertEquals(body.changes[1].details, { description: "New words", keywords: ["fresh"] });
});

test("lists and searches find packages by name, words and namespace", async () => {
  const space = await claimNamespace(world());
  const words = `zebra${space.replace("-", "")}`;
  await publishPackage(world(), {
    id: `${space}/stripes`,
    version: "1.0.0",
    more: `description: about ${words}\n`,
  });
  await publishPackage(world(), { id: `${space}/${words}`, version: "1.0.0" });
  await publishPackage(world(), {
    id: `${space}/other`,
    version: "1.0.0",
    more: `keywords: [${words}]\n`,
  });
  const found = await get(world(), `search?q=${words.toUpperCase()}`);
  assertEquals(found.status, 200, JSON.stringify(found.body));
  assertEquals([found.body.total, found.body.packages[0].name], [3, words]);
  assertEquals((await get(world(), `${space}?limit=2`)).body.packages.length, 2);
  assertEquals((await get(world(), `${space}?limit=2&offset=2`)).body.packages.length, 1);
  assertEquals((await get(world(), `?namespace=${space}&kind=protobuf`)).body.total, 0);
  assertEquals((await get(world(), `?limit=1000`)).status, 400);
});

test("the dependency tree, the dependents, and the graph as Graphviz and Mermaid", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/log`, version: "1.0.0" });
  await publishPackage(world(), {
    id: `${space}/lib`,
    version: "1.0.0",
    dependencies: { [`${space}/log`]: "^1.0.0" },
  });
  // By its name alone: the same namespace.
  const made = await publishPackage(world(), {
    id: `${space}/app`,
    version: "1.0.0",
    dependencies: { lib: "1.x", [`${space}/gone`]: "1" },
  });
  assertEquals(made.body.resolution, { [`${space}/lib`]: "1.0.0", [`${space}/log`]: "1.0.0" });
  assertEquals(made.body.warnings, [
    `There is no package ${space}/gone: ${space}/app@1.0.0 needs 1.`,
  ]);
  const { body } = await get(world(), `${space}/app/latest/dependencies`);
  assertEquals(body.nodes.length, 3);
  const [gone, lib] = body.tree.dependencies;
  assertEquals([gone.package, gone.version], [`${space}/gone`, null]);
  assertEquals([lib.version, lib.dependencies[0].package], ["1.0.0", `${space}/log`]);
  assertEquals(body.stored.resolution, made.body.resolution);
  const dot = await get(world(), `${space}/app/latest/dependencies?format=dot`);
  assertMatch(dot.headers.get("content-type")!, /graphviz/);
  assert(
    dot.body.includes(`"${space}/lib@1.0.0" -> "${space}/log@1.0.0" [label="^1.0.0"]`),
    dot.body,
  );
  const mermaid = await get(world(), `${space}/app/latest/dependencies?format=mermaid`);
  assertMatch(mermaid.body, /^graph LR\n/);
  const dependents = await get(world(), `${space}/log/dependents`);
  assertEquals([
    dependents.body.total,
    dependents.body.dependents[0].name,
    dependents.body.dependents[0].range,
  ], [1, "lib", "^1.0.0"]);
});

test("conflicting ranges are explained by both requirers", async () => {
  const space = await claimNamespace(world());
  for (const version of ["1.0.0", "2.0.0"]) {
    await publishPackage(world(), { id: `${space}/core`, version });
  }
  await publishPackage(world(), {
    id: `${space}/left`,
    version: "1.0.0",
    dependencies: { core: "^1.0.0" },
  });
  await publishPackage(world(), {
    id: `${space}/right`,
    version: "1.0.0",
    dependencies: { core: "^2.0.0" },
  });
  const made = await publishPackage(world(), {
    id: `${space}/both`,
    version: "1.0.0",
    dependencies: { left: "*", right: "*" },
  });
  const message = `No version of ${space}/core suits all: ${space}/left@1.0.0 needs ^1.0.0, ` +
    `${space}/right@1.0.0 needs ^2.0.0; there are 2.0.0, 1.0.0.`;
  assertEquals(made.body.warnings, [message]);
  const { body } = await get(world(), `${space}/both/1.0.0/dependencies`);
  assertEquals([body.ok, body.conflicts[0].message], [false, message]);
});

test("a version that would close a cycle is refused, the cycle named in order", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/a`, version: "1.0.0" });
  await publishPackage(world(), {
    id: `${space}/b`,
    version: "1.0.0",
    dependencies: { a: "^1.0.0" },
  });
  await publishPackage(world(), {
    id: `${space}/c`,
    version: "1.0.0",
    dependencies: { b: "^1.0.0" },
  });
  const refused = await publishYaml(
    world(),
    world().publisher,
    yamlOf({ id: `${space}/a`, version: "1.1.0", dependencies: { c: "*" } }),
  );
  assertEquals([refused.status, refused.body.code], [422, "package_dependency_cycle"]);
  assertEquals(
    refused.body.detail,
    `The package would depend on itself: ${space}/a@1.1.0 → ${space}/c@1.0.0 → ${space}/b@1.0.0 → ${space}/a@1.1.0.`,
  );
  assertEquals((await get(world(), `${space}/a/1.1.0`)).status, 404);
});

test("a protobuf module: packages and imports are parsed, each import resolved or reported", async () => {
  const space = await claimNamespace(world());
  const publishModule = async (yaml: string, files: Record<string, string>) => {
    const form = new FormData();
    form.set("file", new File([yaml], "module.yaml"));
    form.set("visibility", "public");
    for (const [path, text] of Object.entries(files)) form.set(path, new File([text], "x"));
    return await call(world(), world().publisher, "packages", { body: form });
  };
  const common = await publishModule(
    yamlOf({ id: `${space}/common`, version: "1.0.0", more: "kind: protobuf\n" }),
    { "acme/common/money.proto": 'syntax = "proto3";\npackage acme.common;\nmessage Money {}\n' },
  );
  assertEquals(common.status, 201, JSON.stringify(common.body));
  const orders = await publishModule(
    yamlOf({
      id: `${space}/orders`,
      version: "1.0.0",
      dependencies: { [`${space}/common`]: "^1.0.0" },
    }),
    {
      "acme/orders/order.proto": 'syntax = "proto3";\npackage acme.orders;\n' +
        'import "acme/common/money.proto";\nimport "acme/orders/line.proto";\n' +
        'import "google/protobuf/timestamp.proto";\nimport "acme/unknown.proto";\n',
      "acme/orders/line.proto": 'syntax = "proto3";\npackage acme.orders;\n',
    },
  );
  assertEquals(orders.status, 201, JSON.stringify(orders.body));
  assertEquals(orders.body.warnings, [
    "No file of this version or of its dependencies is acme/unknown.proto.",
  ]);
  const { body } = await get(world(), `${space}/orders/1.0.0`);
  assertEquals(
    body.files.map(({ path, proto_package }: Record<string, string>) => [path, proto_package]),
    [
      ["acme/orders/line.proto", "acme.orders"],
      ["acme/orders/order.proto", "acme.orders"],
    ],
  );
  const imports = body.dependencies.filter(({ source }: { source: string }) => source === "proto");
  assertEquals(
    imports.map((row: Record<string, string>) => [row.import_path, row.resolution, row.name])
      .sort(),
    [
      ["acme/common/money.proto", "package", "common"],
      ["acme/orders/line.proto", "file", null],
      ["acme/unknown.proto", "unresolved", null],
      ["google/protobuf/timestamp.proto", "well_known", null],
    ],
  );
  const file = await get(world(), `${space}/orders/1.0.0/files/acme/orders/line.proto`);
  assertEquals([file.status, file.headers.get("content-disposition")], [
    200,
    'attachment; filename="line.proto"',
  ]);
  assertMatch(file.body, /^syntax/);
  assertEquals(
    (await get(world(), `${space}/common/dependents`)).body.dependents[0].name,
    "orders",
  );
});

test("a dry run says what would be, and what would be refused, and stores nothing", async () => {
  const space = await claimNamespace(world());
  const yaml = yamlOf({ id: `${space}/dry`, version: "1.0.0" });
  const attempt = async (who = world().publisher, text = yaml) => {
    const { status, body } = await publishYaml(world(), who, text, "dry_run=true");
    return [status, body.outcome ?? body.code];
  };
  assertEquals(await attempt(), [200, "valid"]);
  assertEquals((await get(world(), `${space}/dry`, world().publisher)).status, 404);
  assertEquals(await attempt(world().outsider), [403, "forbidden"]);
  await publishPackage(world(), { id: `${space}/dry`, version: "1.0.0" });
  assertEquals(await attempt(), [200, "unchanged"]);
  assertEquals(await attempt(world().publisher, `${yaml}x: 1\n`), [409, "package_version_exists"]);
  const twin = yamlOf({ id: `${space}/DRY`, version: "2.0.0" });
  assertEquals(await attempt(world().publisher, twin), [409, "package_name_taken"]);
});

test("reserved namespaces are published in by superadmins, and public", async () => {
  const { error } = await world().service.from("package_namespaces").insert({
    name: "featured",
    is_reserved: true,
  });
  assertEquals(error, null);
  const yaml = yamlOf({ id: "featured/hello", version: "1.0.0" });
  const refused = await publishYaml(world(), world().publisher, yaml, "");
  assertEquals([refused.status, refused.body.code, refused.body.errors[0].path], [
    403,
    "forbidden",
    "namespace",
  ]);
  const superadmin = await createUser(world().stack);
  await world().service.from("superadmins").insert({ user_id: superadmin.id });
  assertEquals((await publishYaml(world(), superadmin, yaml, "")).status, 201);
  assertEquals((await get(world(), "featured/hello/latest/download")).status, 200);
});

test("supabase-js reads packages, with and without signing in", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/lib`, version: "1.0.0", more: "kind: manifest\n" });
  for (const client of [anonClient(world().stack), world().outsider.client]) {
    const { data, error } = await client.functions.invoke(`packages/${space}/lib`, {
      method: "GET",
    });
    assertEquals([error, data.latest_version], [null, "1.0.0"]);
    const rows = await client.from("package_versions").select(
      "version, yaml_content, packages!inner(name, namespace)",
    ).eq("packages.namespace", space);
    assertEquals([rows.error, rows.data?.length, rows.data?.[0].yaml_content.includes("lib")], [
      null,
      1,
      true,
    ]);
  }
});

test("downloads are counted", async () => {
  const space = await claimNamespace(world());
  await publishPackage(world(), { id: `${space}/counted`, version: "1.0.0" });
  for (let round = 0; round < 7; round++) await get(world(), `${space}/counted/1.0.0/download`);
  const count = async () => {
    const { data } = await world().service.from("packages").select("download_count").eq(
      "namespace",
      space,
    ).single();
    return data!.download_count;
  };
  const deadline = Date.now() + 30_000;
  while (await count() < 7 && Date.now() < deadline) {
    await new Promise((done) => setTimeout(done, 100));
  }
  assertEquals(await count(), 7);
});

test("jobs and statistics are the service's", async () => {
  for (const who of [null, world().publisher]) {
    const job = await call(world(), who, "packages/jobs/parse", { json: {} });
    assertEquals(job.status, who === null ? 401 : 403);
    assertEquals((await get(world(), "stats", who)).status, who === null ? 401 : 403);
  }
  const stats = await get(world(), "stats", world().stack.secretKey);
  assertEquals([stats.status, stats.body.cache.backend], [200, "memory"]);
});

test("strangers get nothing of another company's namespace", async () => {
  const space = await claimNamespace(world());
  const yaml = yamlOf({ id: `${space}/mine`, version: "1.0.0" });
  for (const [id, name] of [[space, "somebody else's"], ["no-such-space", "none"]]) {
    const answer = await publishYaml(world(), world().outsider, yaml.replaceAll(space, id));
    assertEquals([answer.status, answer.body.code, answer.body.errors[0].path], [
      403,
      "forbidden",
      "namespace",
    ], name);
  }
  assertEquals((await publishYaml(world(), null, yaml)).status, 401);
  await createCompany(world().outsider);
});
