/** Every bad package over HTTP: a named error, nothing stored, and a correct one that works then. */
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { type Answer, call, test, withWorld } from "../world.ts";
import { claimNamespace, publishYaml } from "./world.ts";

interface Case {
  about: string;
  /** Who publishes, if not the publisher. */
  who?: "outsider";
  query?: string;
  /** Packages that are there already. */
  before?: string[];
  files?: Record<string, string>;
  /** Filled up with a comment to so many bytes. */
  pad?: number;
  expect: {
    status: number;
    code: string;
    errors?: Array<{ code: string; path: string; line?: number; column?: number }>;
  };
}

const world = withWorld();
const root = new URL("./fixtures/", import.meta.url);
const names = [...Deno.readDirSync(root)].map(({ name }) => name).sort();

/** The bytes, with the namespace of this test in them. */
function fill(bytes: Uint8Array, space: string, pad = 0): Uint8Array<ArrayBuffer> {
  const text = new TextDecoder("latin1").decode(bytes).replaceAll("{space}", space);
  const padding = "# padding\n".repeat(Math.ceil(Math.max(0, pad - text.length) / 10));
  return Uint8Array.from(text + padding, (character) => character.charCodeAt(0));
}

async function attempt(
  { who, query = "visibility=public", files }: Case,
  yaml: Uint8Array<ArrayBuffer>,
): Promise<Answer> {
  const user = who === "outsider" ? world().outsider : world().publisher;
  if (!files) return await publishYaml(world(), user, yaml, query);
  const form = new FormData();
  form.set("file", new File([yaml], "package.yaml"));
  for (const [path, text] of Object.entries(files)) form.append(path, new File([text], "x"));
  return await call(world(), user, `packages?${query}`, { body: form });
}

async function stored(space: string): Promise<string[]> {
  const { data, error } = await world().service.from("package_versions")
    .select("version, sha256, packages!inner(name, namespace)").eq("packages.namespace", space);
  assertEquals(error, null);
  return data!.map((row) => JSON.stringify(row)).sort();
}

async function objects(space: string): Promise<number> {
  const { data, error } = await world().service.storage.from("packages").list(space);
  assertEquals(error, null);
  return data!.length;
}

for (const name of names) {
  test(`refuses ${name}, stores nothing, and takes a correct package then`, async () => {
    const folder = new URL(`${name}/`, root);
    const fixture: Case = JSON.parse(await Deno.readTextFile(new URL("case.json", folder)));
    const content = await Deno.readFile(new URL("content", folder));
    const space = await claimNamespace(world());
    for (const yaml of fixture.before ?? []) {
      const made = await publishYaml(world(), world().publisher, yaml.replaceAll("{space}", space));
      assertEquals(made.status, 201, JSON.stringify(made.body));
    }
    const before = await stored(space);

    const answer = await attempt(fixture, fill(content, space, fixture.pad));
    const { status, code, errors } = fixture.expect;
    assertEquals([answer.status, answer.body.code], [status, code], JSON.stringify(answer.body));
    if (errors) {
      const expected = errors.map((error) => ({
        ...error,
        path: error.path.replaceAll("{space}", space),
      }));
      const named = answer.body.errors.map((error: Record<string, unknown>, index: number) =>
        Object.fromEntries(
          Object.keys(expected[index] ?? { code: 0, path: 0 }).map((key) => [key, error[key]]),
        )
      );
      assertEquals(named, expected, JSON.stringify(answer.body.errors));
      assert(
        answer.body.errors.every((error: Record<string, unknown>) =>
          error.message && "pointer" in error
        ),
      );
    }
    assertEquals(await stored(space), before);
    assertEquals(await objects(space), 0);

    const right = await publishYaml(
      world(),
      world().publisher,
      `id: ${space}/right\nversion: 1.0.0\n`,
    );
    assertEquals(right.status, 201, JSON.stringify(right.body));
  });
}
