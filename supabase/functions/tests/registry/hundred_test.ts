/** A hundred packages as a company has them, in layers: published, resolved, deprecated and archived by curl and supabase-js. */
import semver from "semver";
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { anonClient } from "../../../../scripts/testing/stack.ts";
import { seededRandom } from "../../../../scripts/test/cron/cases.ts";
import { test, withWorld } from "../world.ts";
import { claimNamespace, yamlOf } from "./world.ts";

const world = withWorld();
const PACKAGES = 100;
const LAYERS = ["core", "data", "service", "feature", "app"];

interface Release {
  name: string;
  version: string;
  dependencies: Record<string, string>;
}

/** Each layer needs packages of the layers below it; each package has up to three versions. */
function invent(): Release[] {
  const random = seededRandom(100);
  const int = (below: number) => Math.floor(random() * below);
  const names = Array.from({ length: PACKAGES }, (_, index) => {
    const layer = Math.floor(index / (PACKAGES / LAYERS.length));
    return `${LAYERS[layer]}-${index % (PACKAGES / LAYERS.length)}`;
  });
  return names.flatMap((name, index) =>
    Array.from({ length: 1 + int(3) }, (_, minor) => ({
      name,
      version: `1.${minor}.0`,
      dependencies: Object.fromEntries(
        Array.from({ length: index < 20 ? 0 : 1 + int(3) }, () => [
          names[int(Math.floor(index / 20) * 20)],
          ["^1.0.0", "1.x", ">=1.0.0 <2", "~1.0.0"][int(4)],
        ]),
      ),
    }))
  );
}

async function curl(args: string[], input?: string): Promise<{ status: number; body: string }> {
  const child = new Deno.Command("curl", {
    args: ["--silent", "--show-error", "--write-out", "\n%{http_code}", ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input ?? ""));
  await writer.close();
  const { stdout } = await child.output();
  const lines = new TextDecoder().decode(stdout).split("\n");
  return { status: Number(lines.pop()), body: lines.join("\n") };
}

const hasCurl = await new Deno.Command("curl", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);

Deno.test({
  name:
    "a hundred packages are published, resolved, deprecated and archived by curl and supabase-js",
  ignore: !hasCurl,
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const space = await claimNamespace(world());
    const releases = invent();
    assertEquals(new Set(releases.map(({ name }) => name)).size, PACKAGES);
    const { publisher, stack } = world();
    const url = `${stack.apiUrl}/functions/v1/packages`;
    const authorization = `Authorization: Bearer ${publisher.accessToken}`;

    for (const [index, { name, version, dependencies }] of releases.entries()) {
      const yaml = yamlOf({ id: `${space}/${name}`, version, dependencies });
      if (index % 2 === 0) {
        const { status, body } = await curl([
          `${url}?visibility=public`,
          "--header",
          authorization,
          "--header",
          "Content-Type: application/yaml",
          "--data-binary",
          "@-",
        ], yaml);
        assertEquals([status, JSON.parse(body).success], [201, true], body);
      } else {
        const form = new FormData();
        form.set("file", new File([yaml], `${name}.yaml`));
        form.set("visibility", "public");
        const { data, error } = await publisher.client.functions.invoke("packages", { body: form });
        assertEquals([error, data?.success, data?.version], [null, true, version]);
      }
    }

    // What npm would choose of what is published, all the way down.
    const anonymous = anonClient(stack);
    const retired = new Set<string>();
    const expected = (name: string, version: string, found: Record<string, string> = {}) => {
      found[name] = version;
      const { dependencies } = releases.find((one) =>
        one.name === name && one.version === version
      )!;
      for (const [needed, range] of Object.entries(dependencies)) {
        const versions = releases.filter((one) =>
          one.name === needed && !retired.has(`${needed}@${one.version}`)
        );
        const best = semver.maxSatisfying(versions.map((one) => one.version), range);
        if (best !== null && !(needed in found)) expected(needed, best, found);
      }
      return found;
    };
    let agreed = 0;
    const resolve = async (index: number, path: string) => {
      if (index % 2 === 0) return JSON.parse((await curl([`${url}/${path}`])).body);
      const { data, error } = await anonymous.functions.invoke(`packages/${path}`, {
        method: "GET",
      });
      assertEquals(error, null);
      return data;
    };
    const compare = async (apps: Release[]) => {
      for (const [index, { name, version }] of apps.entries()) {
        const data = await resolve(index, `${space}/${name}/${version}/dependencies`);
        assertEquals(data.cycles, []);
        // Where one range narrows another, npm would install two versions, and here is one: those are not compared.
        if (
          !data.ok || data.edges.some(({ range }: { range: string }) => range === "~1.0.0")
        ) continue;
        assertEquals(
          data.versions,
          Object.fromEntries(
            Object.entries(expected(name, version)).map((
              [key, value],
            ) => [`${space}/${key}`, value]),
          ),
        );
        agreed++;
      }
    };
    const apps = releases.filter(({ name }) =>
      name.startsWith("app-") || name.startsWith("feature-")
    );
    await compare(apps);
    assert(agreed >= 10, `${agreed} of ${apps.length}`);

    for (
      const [index, { name, version }] of releases.filter((one) => one.version === "1.2.0")
        .entries()
    ) {
      const action = index % 2 === 0 ? "deprecate" : "archive";
      const path = `${space}/${name}/${version}/${action}`;
      if (index % 4 < 2) {
        const { status, body } = await curl([
          `${url}/${path}`,
          "--header",
          authorization,
          "--header",
          "Content-Type: application/json",
          "--data",
          '{"reason": "Replaced"}',
        ]);
        assertEquals([status, JSON.parse(body).success], [200, true], body);
      } else {
        const { data, error } = await publisher.client.functions.invoke(`packages/${path}`, {
          body: { reason: "Replaced" },
        });
        assertEquals([error, data?.success], [null, true]);
      }
      if (action === "archive") retired.add(`${name}@${version}`);
      const download = await curl(["--include", `${url}/${space}/${name}/${version}/download`]);
      assert(
        download.status === 200 && download.body.includes(`warning: 299 - "${action}d: Replaced"`),
        download.body,
      );
    }
    await compare(apps.filter(({ name, version }) => !retired.has(`${name}@${version}`)));
    const { body } = await curl([`${url}/${space}?limit=100`]);
    assertEquals(JSON.parse(body).total, PACKAGES);
  },
});

test("what curl gets of a package that is not there", async () => {
  const { status, body } = await curl([
    `${world().stack.apiUrl}/functions/v1/packages/no/such/1.0.0/download`,
  ]);
  assertEquals([status, JSON.parse(body).detail], [404, "Package not found"]);
});
