/** What the tests of the registry need besides the world: a namespace, and packages in it. */
import { assertEquals } from "../../../../scripts/testing/assert.ts";
import type { TestUser } from "../../../../scripts/testing/stack.ts";
import { type Answer, call, type World } from "../world.ts";

let serial = 0;

/** A namespace of the publisher's company. */
export async function claimNamespace(
  world: World,
  user: TestUser = world.publisher,
  companyId = world.companyId,
): Promise<string> {
  const name = `space-${++serial}`;
  const { error } = await user.client.from("package_namespaces")
    .insert({ name, company_id: companyId });
  assertEquals(error, null);
  return name;
}

export interface Yaml {
  id: string;
  version: string;
  dependencies?: Record<string, string>;
  more?: string;
}

/** The YAML of a package, as people write it. */
export function yamlOf({ id, version, dependencies = {}, more = "" }: Yaml): string {
  const needs = Object.entries(dependencies).map(([name, range]) => `  ${name}: "${range}"\n`);
  return `# ${id}\nid: ${id}\nversion: ${version}\n` +
    (needs.length ? `dependencies:\n${needs.join("")}` : "") + more;
}

/** Publishes YAML as it is. */
export function publishYaml(
  world: World,
  who: TestUser | string | null,
  yaml: BodyInit,
  query = "visibility=public",
): Promise<Answer> {
  return call(world, who, `packages?${query}`, {
    body: yaml,
    headers: { "content-type": "application/yaml" },
  });
}

/** Publishes a package of the publisher's, and wants that to work. */
export async function publishPackage(world: World, yaml: Yaml, query?: string): Promise<Answer> {
  const answer = await publishYaml(world, world.publisher, yamlOf(yaml), query);
  assertEquals(answer.status, 201, JSON.stringify(answer.body));
  return answer;
}

/** GET as anybody, or as somebody. */
export function get(
  world: World,
  path: string,
  who: TestUser | string | null = null,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return call(world, who, `packages/${path}`, { method: "GET", headers });
}
