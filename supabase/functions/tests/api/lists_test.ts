import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { test } from "../world.ts";
import { api, type ApiAnswer, makePublishedApp, makeRun, withApiWorld } from "./world.ts";

const world = withApiWorld();

const COUNT = 17;

/** Follows the cursors from page to page. */
async function walk(path: string, query: Record<string, string>): Promise<ApiAnswer["body"][]> {
  const found: ApiAnswer["body"][] = [];
  let cursor: string | null = null;
  do {
    const page: ApiAnswer = await api(world(), "owner", path, {
      query: { ...query, ...(cursor !== null && { cursor }) },
    });
    assertEquals(page.status, 200, page.text);
    assert(page.body.data.length <= Number(query.limit), "no page is longer than asked");
    found.push(...page.body.data);
    cursor = page.body.next_cursor;
    assertEquals(page.headers.has("link"), cursor !== null);
    assert(found.length <= 1000, "the pages end");
  } while (cursor !== null);
  return found;
}

test("pages follow each other without gaps and repetitions, in every order", async () => {
  const { database, publisherId } = world();
  // Many at the same time: the order of equals must hold from page to page.
  for (let at = 0; at < COUNT; at++) {
    await database.query(
      `insert into applications (slug, name, publisher_company_id, created_at)
       values ($1, $1, $2, timestamptz '2025-01-01 00:00:00.123456Z' + $3 * interval '1 second')`,
      [`paged-${at}`, publisherId, Math.floor(at / 5)],
    );
  }
  for (const sort of ["created_at", "-created_at", "slug", "-slug", "updated_at"]) {
    for (const limit of ["1", "4", "100"]) {
      const found = await walk("/apps", { sort, limit });
      const ids = found.map(({ id }) => id);
      assertEquals(new Set(ids).size, COUNT, `${sort} by ${limit}`);
      assertEquals(ids.length, COUNT, `${sort} by ${limit}`);
      const { rows } = await database.query(
        `select id from applications order by ${sort.replace("-", "")} ${
          sort.startsWith("-") ? "desc, id desc" : ", id"
        }`,
      );
      assertEquals(ids, rows.map(({ id }) => id), `${sort} by ${limit}`);
    }
  }
});

test("the next page is where the Link header says", async () => {
  const first = await api(world(), "owner", "/apps", { query: { limit: "3", sort: "slug" } });
  const link = /^<(.+)>; rel="next"$/.exec(first.headers.get("link") ?? "")?.[1];
  assert(link);
  const next = await api(world(), "owner", `/apps${link}`);
  assertEquals([next.status, next.body.data.length], [200, 3]);
  assert(
    next.body.data.every(({ id }: { id: string }) =>
      !first.body.data.some((seen: { id: string }) => seen.id === id)
    ),
  );
});

test("a cursor goes with its sort, and nothing but a cursor is one", async () => {
  const { body } = await api(world(), "owner", "/apps", { query: { limit: "1", sort: "slug" } });
  const encode = (value: unknown) =>
    new TextEncoder().encode(JSON.stringify(value)).toBase64({
      alphabet: "base64url",
      omitPadding: true,
    });
  const wrong = [
    [body.next_cursor, "-slug"],
    [body.next_cursor, "created_at"],
    [body.next_cursor.slice(0, -4), "slug"],
    [encode(["slug", { a: 1 }, "x"]), "slug"],
    [encode(["slug", "a\0b", "x"]), "slug"],
    [encode(["slug", 'a"b', "x"]), "slug"],
    [encode(["slug", "a\\b", "x"]), "slug"],
    [encode(["created_at", "yesterday", "x"]), "created_at"],
    [encode(["slug", "a", 'x"),or(id.gt.0']), "-slug"],
    ["💥", "slug"],
  ];
  for (const [cursor, sort] of wrong) {
    const answer = await api(world(), "owner", "/apps", { query: { cursor, sort } });
    assertEquals([answer.status, answer.body.errors?.[0].path], [400, "cursor"], cursor);
  }
});

test("a cursor of one's own making leads to nothing but its error", async () => {
  const appId = await makePublishedApp(world());
  const encode = (...parts: unknown[]) =>
    new TextEncoder().encode(JSON.stringify(parts)).toBase64({ alphabet: "base64url" });
  const [sort, time] = ["-created_at", "2025-01-01T00:00:00Z"];
  const id = crypto.randomUUID();
  const forged = [
    ...["x,company_id.eq.1", "1)", "*", "1", "__proto__"].map((key) => encode(sort, time, key)),
    ...["0000-01-01T00:00:00Z", "2025-01-01T00:00:00+23:59", "infinity"].map((value) =>
      encode(sort, value, id)
    ),
    ...[encode("__proto__", time, id), encode(sort, time, id, 1), encode(sort, { a: 1 }, id)],
  ];
  for (const cursor of forged) {
    const answer = await api(world(), "owner", `/apps/${appId}/runs`, { query: { cursor } });
    assertEquals([answer.status, answer.body.errors?.[0].path], [400, "cursor"], atob(cursor));
  }
});

test("a time that no database reads is refused by name", async () => {
  const appId = await makePublishedApp(world());
  for (
    const time of ["0000-01-01T00:00:00Z", "2025-01-01T00:00:00+16:00", "2025-01-01T00:00:00-23:59"]
  ) {
    for (const name of ["created_after", "created_before"]) {
      const query = { [name]: time };
      const answer = await api(world(), "owner", `/apps/${appId}/runs`, { query });
      assertEquals([answer.status, answer.body.errors?.[0].path], [400, name], time);
    }
    const run = await api(world(), "owner", `/apps/${appId}/runs`, {
      method: "POST",
      json: { company_id: world().publisherId, run_after: time },
    });
    assertEquals([run.status, run.body.errors?.[0].path], [400, "run_after"], time);
  }
  for (const time of ["0001-01-01T00:00:00+15:59", "9999-12-31T23:59:59-15:59"]) {
    const answer = await api(world(), "owner", `/apps/${appId}/runs`, {
      query: { created_after: time },
    });
    assertEquals(answer.status, 200, time);
  }
});

test("filters take one value or several, and combine", async () => {
  const appId = await makePublishedApp(world());
  const [pending, cancelled, failed] = [
    await makeRun(world(), appId),
    await makeRun(world(), appId, "cancelled"),
    await makeRun(world(), appId, "failed"),
  ];
  const ids = async (query: Record<string, string>) => {
    const { body, text, status } = await api(world(), "owner", `/apps/${appId}/runs`, { query });
    assertEquals(status, 200, text);
    return body.data.map(({ id }: { id: string }) => id).sort();
  };
  assertEquals(await ids({ status: "pending" }), [pending]);
  assertEquals(await ids({ status: "cancelled,failed" }), [cancelled, failed].sort());
  assertEquals(await ids({ status: "cancelled,failed", run_type: "test" }), []);
  assertEquals(
    await ids({ company_id: world().publisherId, version: "1.0.0" }),
    [pending, cancelled, failed].sort(),
  );
  assertEquals(await ids({ company_id: world().customerId }), []);
  assertEquals(await ids({ created_before: "2025-01-01T00:00:00Z" }), []);
  assertEquals((await ids({ created_after: "2025-01-01T00:00:00+05:30" })).length, 3);
});

test("what belongs to others is on no page", async () => {
  const appId = await makePublishedApp(world());
  await makeRun(world(), appId);
  const runs = await api(world(), "customer", `/apps/${appId}/runs`);
  assertEquals(
    [runs.status, runs.body.data],
    [200, []],
    "the publisher's runs are not the customer's",
  );
  const assignments = await api(world(), "customer", `/apps/${appId}/assignments`);
  assertEquals(assignments.body.data.map((row: { company_id: string }) => row.company_id), [
    world().customerId,
  ]);
});
