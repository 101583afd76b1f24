/** The registry's functions in the database, where they could wait for each other, or work without end. */
import type { Client } from "pg";
import { assertEquals, assertRejects } from "../../../../scripts/testing/assert.ts";
import { startTestDatabase, type TestDatabase } from "../../../../scripts/testing/database.ts";
import { until } from "./instance.ts";

async function withTwo(
  work: (one: Client, two: Client, watch: Client, connect: () => Promise<Client>) => Promise<void>,
) {
  const database: TestDatabase = await startTestDatabase();
  const clients: Client[] = [];
  const connect = async () => {
    const client = await database.connect();
    clients.push(client);
    return client;
  };
  try {
    const [one, two, watch] = [await connect(), await connect(), await connect()];
    await watch.query("insert into package_namespaces (name, is_reserved) values ('races', true)");
    await work(one, two, watch, connect);
  } finally {
    for (const client of clients) await client.end();
    await database.stop();
  }
}

const publish = (client: Client, name: string, version: string) =>
  client.query(
    `select outcome from publish_package(null, 'races', $1, $2, private.sha256_hex($2), length($2), $2)`,
    [name, version],
  );

const archive = (client: Client, name: string, version: string) =>
  client.query(
    `update package_versions v set status = 'archived' from packages p
     where p.id = v.package_id and p.name = $1 and v.version = $2`,
    [name, version],
  );

/** Waits until the client waits for a lock. */
async function waits(client: Client, watch: Client): Promise<void> {
  const { processID } = client as unknown as { processID: number };
  await until(async () => {
    const { rows } = await watch.query("select cardinality(pg_blocking_pids($1)) as blockers", [
      processID,
    ]);
    return rows[0].blockers > 0;
  }, "it waits");
}

Deno.test("archiving one version while another is published keeps the latest right, and nobody deadlocks", () =>
  withTwo(async (one, two, watch) => {
    const latest = async (name: string) =>
      (await watch.query("select latest_version from packages where name = $1", [name])).rows[0]
        .latest_version;

    await publish(watch, "a", "1.0.0");
    await one.query("begin");
    await publish(one, "a", "1.1.0");
    const archived = archive(two, "a", "1.0.0");
    await waits(two, watch);
    await one.query("commit");
    await archived;
    assertEquals(await latest("a"), "1.1.0");

    await publish(watch, "b", "1.0.0");
    await one.query("begin");
    await archive(one, "b", "1.0.0");
    const again = publish(two, "b", "1.0.0");
    await waits(two, watch);
    await one.query("commit");
    assertEquals((await again).rows[0].outcome, "unchanged");
    assertEquals(await latest("b"), null);

    await publish(watch, "c", "1.0.0");
    await one.query("begin");
    await one.query(
      "select count_package_downloads(jsonb_build_object(id, 1)) from package_versions where version = '1.0.0'",
    );
    const third = publish(two, "c", "1.0.0");
    await waits(two, watch);
    await one.query("commit");
    assertEquals((await third).rows[0].outcome, "unchanged");
  }));

Deno.test("what reaches more packages than anybody means is refused before it is collected", () =>
  withTwo(async (one) => {
    await publish(one, "hub", "1.0.0");
    await one.query(
      `insert into package_dependencies (version_id, dependency_namespace, dependency_name, version_range, source, resolution)
       select v.id, 'races', 'spoke-' || n, '*', 'yaml', 'package' from package_versions v, generate_series(1, 20000) n`,
    );
    const error = await assertRejects(() =>
      one.query("select list_package_candidates(array['races/hub'])")
    ) as Error & { code?: string };
    assertEquals([error.code, error.message], [
      "SW120",
      "More than 20000 packages can be reached from here.",
    ]);
  }));

Deno.test("the first public packages of a namespace are published at once, and nobody deadlocks", () =>
  withTwo(async (_one, _two, watch, connect) => {
    const { rows: [{ id }] } = await watch.query(
      "insert into companies (slug, name) values ('races', 'Races') returning id",
    );
    const clients = await Promise.all(Array.from({ length: 8 }, connect));
    for (const round of [1, 2, 3, 4, 5]) {
      const namespace = `open-${round}`;
      await watch.query("insert into package_namespaces (name, company_id) values ($1, $2)", [
        namespace,
        id,
      ]);
      const answers = await Promise.all(clients.map((client, index) =>
        client.query(
          `select outcome from publish_package(null, $1, $2, '1.0.0', private.sha256_hex('a'), 1, 'a',
             details => '{"visibility": "public"}')`,
          [namespace, `package-${index}`],
        )
      ));
      assertEquals(answers.map(({ rows }) => rows[0].outcome), clients.map(() => "published"));
    }
  }));
