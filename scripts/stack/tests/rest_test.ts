import { assert, assertEquals, assertMatch } from "../../testing/assert.ts";
import {
  anonClient,
  type AnyClient,
  createUser,
  serviceClient,
  startTestStack,
} from "../../testing/stack.ts";
import { withClient } from "../database.ts";
import type { Stack } from "../mod.ts";

/** The schema is made while the stack runs: what its cache knew before must be forgotten. */
async function createSchema(stack: Stack): Promise<void> {
  const sql = await Deno.readTextFile(new URL("schema.sql", import.meta.url));
  await withClient(stack.dbUrl, (client) => client.query(sql));
  const deadline = Date.now() + 5_000;
  for (;;) {
    const { error } = await serviceClient(stack).from("shelves").select().limit(0);
    if (!error || Date.now() > deadline) return assertEquals(error, null);
  }
}

/** Every privilege of the API's roles, one a line. */
async function privileges(stack: Stack): Promise<string[]> {
  return await withClient(stack.dbUrl, async (client) => {
    const { rows } = await client.query(`
      select 'schema ' || nspname as object, acl.grantee::regrole::text as grantee, privilege_type
      from pg_namespace, aclexplode(nspacl) as acl
      union all
      select c.oid::regclass::text, acl.grantee::regrole::text, privilege_type
      from pg_class as c, aclexplode(relacl) as acl
      where relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
      union all
      select 'default ' || coalesce(defaclnamespace::regnamespace::text, '') || ' ' || defaclobjtype::text
        || ' by ' || defaclrole::regrole, acl.grantee::regrole::text, privilege_type
      from pg_default_acl, aclexplode(defaclacl) as acl
      order by 1, 2, 3`);
    return rows.filter((row) => ["anon", "authenticated", "service_role"].includes(row.grantee))
      .map((row) => `${row.object}: ${row.grantee} ${row.privilege_type}`);
  });
}

Deno.test("the REST API", async (t) => {
  const stack = await startTestStack({ functions: false });
  try {
    const before = await privileges(stack);
    await createSchema(stack);
    const alice = await createUser(stack);
    const bob = await createUser(stack);
    const anon = anonClient(stack);
    const service = serviceClient(stack);
    const raw = (path: string, init: RequestInit = {}) =>
      fetch(`${stack.apiUrl}/rest/v1${path}`, {
        ...init,
        headers: { apikey: stack.secretKey, "content-type": "application/json", ...init.headers },
      });

    await t.step("inserts answer with the row as Postgres's JSON has it", async () => {
      const { data, error, status } = await alice.client.from("shelves")
        .insert({ name: "first", width: 1.1, tags: ["a", "b"], notes: { deep: [1, null] } })
        .select().single();
      assertEquals(error, null);
      assertEquals(status, 201);
      assertEquals(data, {
        id: 1,
        owner: alice.id,
        name: "first",
        width: 1.1,
        tags: ["a", "b"],
        notes: { deep: [1, null] },
        made_at: "2026-01-02T03:04:05.6+00:00",
      });
    });

    await t.step("row security is the caller's", async () => {
      assertEquals((await alice.client.from("shelves").select()).data?.length, 1);
      assertEquals((await bob.client.from("shelves").select()).data, []);
      assertEquals((await service.from("shelves").select()).data?.length, 1);
      const denied = await bob.client.from("shelves").insert({ name: "stolen", owner: alice.id });
      assertEquals(denied.status, 403);
      assertEquals(denied.error?.code, "42501");
      assertEquals(
        (await bob.client.from("shelves").update({ name: "x" }).eq("id", 1).select()).data,
        [],
      );
      assertEquals((await bob.client.from("shelves").delete().eq("id", 1).select()).data, []);
    });

    await t.step("a table that is not granted is refused, signed in or not", async () => {
      for (
        const [client, status] of [[anon, 401], [alice.client, 403], [service, 403]] as [
          AnyClient,
          number,
        ][]
      ) {
        const { error, status: actual } = await client.from("unexposed").select();
        assertEquals([actual, error?.code], [status, "42501"]);
        assertEquals(error?.message, "permission denied for table unexposed");
      }
    });

    await t.step("a table that is not there is not found", async () => {
      const { error, status } = await service.from("nowhere").select();
      assertEquals([status, error?.code], [404, "PGRST205"]);
    });

    await t.step("resources are embedded both ways, filtered and counted", async () => {
      const books = [{ shelf_id: 1, title: "A", pages: 10 }, {
        shelf_id: 1,
        title: "B",
        pages: 300,
      }];
      assertEquals((await alice.client.from("books").insert(books)).status, 201);
      const shelf = await alice.client.from("shelves").select("name, books(title)").order("title", {
        referencedTable: "books",
        ascending: false,
      }).single();
      assertEquals(shelf.data, { name: "first", books: [{ title: "B" }, { title: "A" }] });
      const book = await alice.client.from("books").select("title, shelf:shelves!inner(name)")
        .eq("shelves.name", "first").gt("pages", 100);
      assertEquals<unknown>(book.data, [{ title: "B", shelf: { name: "first" } }]);
      const total = await alice.client.from("shelves").select("name, books(count)").single();
      assertEquals(total.data, { name: "first", books: [{ count: 2 }] });
    });

    await t.step("counts come with ranges, and head requests without bodies", async () => {
      const { count, data } = await alice.client.from("books").select("title", { count: "exact" })
        .order("id").range(0, 0);
      assertEquals([count, data], [2, [{ title: "A" }]]);
      const head = await alice.client.from("books").select("*", { count: "exact", head: true });
      assertEquals([head.count, head.data], [2, null]);
      const response = await raw("/books?select=title&limit=1", {
        headers: { prefer: "count=exact" },
      });
      assertEquals(response.status, 206);
      assertEquals(response.headers.get("content-range"), "0-0/2");
      await response.body?.cancel();
    });

    await t.step("filters, order, limits and single rows", async () => {
      const titles = async (query: PromiseLike<{ data: { title: string }[] | null }>) =>
        (await query).data?.map((row) => row.title);
      const from = () => alice.client.from("books").select("title").order("title");
      assertEquals(await titles(from().in("title", ["A", "C"])), ["A"]);
      assertEquals(await titles(from().or("pages.lt.20,title.eq.B")), ["A", "B"]);
      assertEquals(await titles(from().ilike("title", "b%")), ["B"]);
      assertEquals(await titles(from().not("pages", "is", null)), ["A", "B"]);
      assertEquals(await titles(from().limit(1)), ["A"]);
      assertEquals((await alice.client.from("shelves").select("id").contains("tags", ["a"])).data, [
        { id: 1 },
      ]);
      assertEquals((await alice.client.from("shelves").select("deep:notes->deep").single()).data, {
        deep: [1, null],
      });
      const many = await from().single();
      assertEquals([many.status, many.error?.code], [406, "PGRST116"]);
      const none = await from().eq("title", "Z").maybeSingle();
      assertEquals([none.data, none.error], [null, null]);
    });

    await t.step("what a text is compared with is taken as it is", async () => {
      const names = [
        "null",
        "NULL",
        "true",
        "10",
        "1e3",
        "007",
        "{a}",
        '{"a":1}',
        '"q"',
        '"',
        " x ",
        "a&b=c",
        "not.eq.x",
        "é",
      ];
      const inserted = await alice.client.from("shelves").insert(names.map((name) => ({ name })));
      assertEquals(inserted.error, null);
      for (const name of names) {
        const { data, error } = await alice.client.from("shelves").select("name").eq("name", name);
        assertEquals([error, data], [null, [{ name }]]);
      }
      const others = await alice.client.from("shelves").select("name")
        .neq("name", "10").not("name", "eq", "null").gte("name", "1").lt("name", "2");
      assertEquals(others.data, [{ name: "1e3" }]);
      const first = await alice.client.from("shelves").select("name").eq("width", 0).eq(
        "name",
        "true",
      );
      assertEquals(first.data, [{ name: "true" }]);
      const removed = await alice.client.from("shelves").delete().in("name", names.slice(0, 2));
      assertEquals(removed.error, null);
      for (const name of names) await alice.client.from("shelves").delete().eq("name", name);
      assertEquals((await alice.client.from("shelves").select("name")).data, [{ name: "first" }]);
    });

    await t.step(
      "what is quoted in a logical filter is taken as it is, but for its escapes",
      async () => {
        const names = [
          'a"b',
          "a\\b",
          '\\"',
          '"),(',
          "a,b",
          "a)",
          "((",
          "{x",
          "}",
          'x",name.eq."y',
          "\\",
          "a.b",
        ];
        names.push("null", "10", "{a}", '"q"', " x ", "a&b=c", "é");
        // From the planes that are for private use, where the stack hides what lite would misread.
        const icon = "\u{f0001}\u{100041}\u{10ff22}";
        const inserted = await alice.client.from("shelves").insert(names.map((name) => ({ name })));
        assertEquals(inserted.error, null);
        const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
        const find = async (filter: string) => {
          const { data, error } = await alice.client.from("shelves").select("name").or(filter)
            .order("id");
          return error ?? data.map(({ name }) => name);
        };
        for (const name of names) {
          const value = quoted(name);
          assertEquals(await find(`name.eq.${value},width.eq.7`), [name]);
          assertEquals(await find(`and(name.eq.${value},width.eq.0),and(width.eq.7)`), [name]);
          assertEquals(await find(`width.eq.7,and(or(name.in.("x",${value}),width.gt.7))`), [name]);
          const { data } = await alice.client.from("shelves").select("name")
            .or(`name.neq.${value}`).in("name", [name, "first"]);
          assertEquals(data, [{ name: "first" }]);
        }
        assertEquals(
          await find(`name.like.${quoted('a"*')},name.like."*,*"`),
          names.filter((name) => /^a"|,/.test(name)),
        );
        const renamed = await alice.client.from("shelves").update({ name: icon })
          .or(`name.eq.${quoted('a"b')}`).select("name");
        assertEquals(renamed.data, [{ name: icon }]);
        const removed = await alice.client.from("shelves").delete().select("name")
          .or([...names, icon].map((name) => `name.eq.${quoted(name)}`).join(","));
        assertEquals(removed.data?.length, names.length);
      },
    );

    await t.step("upserts merge, or leave what is there", async () => {
      const merged = await alice.client.from("shelves")
        .upsert({ name: "first", width: 2 }, { onConflict: "name" }).select("id, width").single();
      assertEquals([merged.error, merged.data?.width], [null, 2]);
      const ignored = await alice.client.from("shelves")
        .upsert({ name: "first", width: 9 }, { onConflict: "name", ignoreDuplicates: true })
        .select();
      assertEquals([ignored.error, ignored.data], [null, []]);
    });

    await t.step("updates and deletes return what they touched", async () => {
      const updated = await alice.client.from("books").update({ pages: 11 }).eq("title", "A")
        .select("pages");
      assertEquals(updated.data, [{ pages: 11 }]);
      const silent = await alice.client.from("books").delete().eq("title", "A");
      assertEquals([silent.status, silent.data], [204, null]);
    });

    await t.step("constraints answer with their SQLSTATE", async () => {
      const cases: [Record<string, unknown>, number, string][] = [
        [{ name: "first" }, 409, "23505"],
        [{ name: "" }, 400, "23514"],
        [{ name: null }, 400, "23502"],
        [{ name: "wide", width: "wide" }, 400, "22P02"],
        [{ name: "x", nothing: 1 }, 400, "PGRST204"],
      ];
      for (const [row, status, code] of cases) {
        const { error, status: actual } = await alice.client.from("shelves").insert(row);
        assertEquals([actual, error?.code], [status, code], JSON.stringify(row));
      }
      const orphan = await service.from("books").insert({ shelf_id: 999, title: "C" });
      assertEquals([orphan.status, orphan.error?.code], [409, "23503"]);
      assertMatch(orphan.error?.details ?? "", /Key \(shelf_id\)=\(999\) is not present/);
    });

    await t.step("errors raised by functions keep code, detail and status", async () => {
      const cases: [string, number][] = [
        ["SW001", 400],
        ["P0001", 400],
        ["PT402", 402],
        ["PT404", 404],
        ["42501", 403],
        ["23505", 409],
        ["55000", 500],
        ["40001", 500],
        ["28000", 403],
        ["53300", 503],
      ];
      for (const [code, status] of cases) {
        const result = await alice.client.rpc("fail", { code, detail: '{"field": "x"}' });
        assertEquals([result.status, result.error?.code], [status, code]);
        assertEquals([result.error?.message, result.error?.details], [
          "as asked",
          '{"field": "x"}',
        ]);
      }
      assertEquals((await anon.rpc("fail", { code: "42501" })).status, 401);
    });

    await t.step(
      "functions: scalars, sets, defaults, filters, GET, and what is not there",
      async () => {
        assertEquals((await anon.rpc("add", { a: 2, b: 3 })).data, 5);
        assertEquals((await anon.rpc("add", { a: 2, b: 3 }, { get: true })).data, 5);
        assertEquals((await alice.client.rpc("list_shelves").select("name")).data, [{
          name: "first",
        }]);
        assertEquals((await alice.client.rpc("list_shelves", { at_least: 99 })).data, []);
        assertEquals(
          (await service.rpc("list_shelves").eq("name", "first").select("name").single()).data
            ?.name,
          "first",
        );
        const unknown = await anon.rpc("add", { a: 1, c: 2 });
        assertEquals([unknown.status, unknown.error?.code], [404, "PGRST202"]);
        const hidden = await alice.client.rpc("hidden");
        assertEquals([hidden.status, hidden.error?.code], [403, "42501"]);
      },
    );

    await t.step("a GET does not write", async () => {
      const { status, error } = await service.rpc("add_shelf", { name: "by GET" }, { get: true });
      assertEquals([status, error?.code], [405, "25006"]);
      const { count } = await service.from("shelves").select("*", { count: "exact", head: true });
      assertEquals(count, 1);
    });

    await t.step("JSON columns keep what they are given, whatever its type", async () => {
      for (
        const notes of ["text", "", "7", "null", "{}", 7, 1.5, true, [1, "a", { b: null }], {
          c: "d",
        }, []]
      ) {
        const { data, error } = await alice.client.from("shelves").update({ notes }).eq("id", 1)
          .select("notes").single();
        assertEquals([error, data?.notes], [null, notes]);
        const given = await alice.client.rpc("same", { value: notes });
        assertEquals([given.error, given.data], [null, notes]);
      }
    });

    await t.step("arrays, big numbers and times pass through functions and columns", async () => {
      const tags = ["", "null", "a,b", '"quoted"', "{braces}"];
      const { data } = await alice.client.from("shelves")
        .update({ tags, width: 12345678.25, made_at: "2026-05-06T07:08:09+02:00" }).eq("id", 1)
        .select("tags, width, made_at").single();
      assertEquals(data, { tags, width: 12345678.25, made_at: "2026-05-06T05:08:09+00:00" });
    });

    await t.step(
      "policies and functions see claims, headers and the caller's settings",
      async () => {
        const { data } = await alice.client.rpc("my_claims");
        assertEquals([data.sub, data.role, data.email], [alice.id, "authenticated", alice.email]);
        assertEquals(data.app_metadata, { provider: "email", providers: ["email"] });
        assertEquals((await anon.rpc("my_claims")).data.role, "anon");
        const header = await raw("/rpc/request_header?name=x-mine", {
          headers: { "x-mine": "yes" },
        });
        assertEquals(await header.json(), "yes");
      },
    );

    await t.step("the statement timeout of the caller's role holds", async () => {
      const { error, status } = await anon.rpc("sleep", { seconds: 20 });
      assertEquals([status, error?.code], [500, "57014"]);
    });

    await t.step("schemas that are not exposed do not exist", async () => {
      const { status, error } = await service.schema("private" as "public").from("shelves")
        .select();
      assertEquals([status, error?.code], [406, "PGRST106"]);
    });

    await t.step("an answer has no more rows than config.toml allows", async () => {
      const shelves = Array.from(
        { length: 1001 },
        (_, at) => ({ name: `bulk ${at}`, owner: bob.id }),
      );
      assertEquals((await service.from("shelves").insert(shelves)).error, null);
      const { data } = await service.from("shelves").select("id");
      assertEquals(data?.length, 1000);
      assertEquals((await service.from("shelves").delete().like("name", "bulk %")).error, null);
    });

    await t.step("bad and expired tokens are refused in PostgREST's words", async () => {
      const bad = await raw("/shelves", { headers: { authorization: "Bearer a.b.c" } });
      assertEquals([bad.status, (await bad.json()).code], [401, "PGRST301"]);
      const forged = alice.accessToken.slice(0, -4) + "AAAA";
      const refused = await raw("/shelves", { headers: { authorization: `Bearer ${forged}` } });
      assertEquals([refused.status, (await refused.json()).code], [401, "PGRST301"]);
    });

    await t.step("every kind of key works as key and as bearer; others do not", async () => {
      const status = async (headers: Record<string, string>, query = "") => {
        const response = await fetch(`${stack.apiUrl}/rest/v1/shelves?select=id${query}`, {
          headers,
        });
        await response.body?.cancel();
        return response.status;
      };
      for (const key of [stack.secretKey, stack.serviceRoleKey]) {
        assertEquals(await status({ apikey: key }), 200);
        assertEquals(await status({ apikey: key, authorization: `Bearer ${key}` }), 200);
        assertEquals(await status({}, `&apikey=${key}`), 200);
      }
      for (const key of [stack.publishableKey, stack.anonKey]) {
        assertEquals(await status({ apikey: key }), 401);
        assertEquals(
          await status({ apikey: key, authorization: `Bearer ${alice.accessToken}` }),
          200,
        );
      }
      assertEquals(await status({}), 401);
      assertEquals(await status({ apikey: "sb_secret_wrong" }), 401);
      assertEquals(
        await status({ apikey: stack.publishableKey, authorization: "Bearer sb_secret_wrong" }),
        401,
      );
    });

    await t.step("browsers may call from anywhere", async () => {
      const preflight = await fetch(`${stack.apiUrl}/rest/v1/shelves`, {
        method: "OPTIONS",
        headers: {
          origin: "http://example.com",
          "access-control-request-method": "PATCH",
          "access-control-request-headers": "apikey,x-client-info",
        },
      });
      await preflight.body?.cancel();
      assert(preflight.ok);
      assertEquals(preflight.headers.get("access-control-allow-origin"), "*");
      assertMatch(preflight.headers.get("access-control-allow-methods") ?? "", /PATCH/);
      assertEquals(preflight.headers.get("access-control-allow-headers"), "apikey,x-client-info");
      const response = await raw("/nowhere", { headers: { origin: "http://example.com" } });
      await response.body?.cancel();
      assertEquals(response.headers.get("access-control-allow-origin"), "*");
    });

    await t.step("serving requests has granted nothing", async () => {
      const after = await privileges(stack);
      const added = after.filter((line) => !before.includes(line));
      assertEquals(
        added.filter((line) => !/^(shelves|books|unexposed|\w+_id_seq): /.test(line)),
        [],
      );
      for (const role of ["authenticated", "service_role"]) {
        const table = added.filter((line) => line.startsWith(`shelves: ${role} `)).map((line) =>
          line.split(" ").at(-1)
        );
        assertEquals(
          table.filter((verb) => ["SELECT", "INSERT", "UPDATE", "DELETE"].includes(verb!)).length,
          4,
        );
      }
      const exposed = added.filter((line) => /^(unexposed|shelves: anon|books: anon)/.test(line));
      assertEquals(exposed.filter((line) => /(SELECT|INSERT|UPDATE|DELETE)$/.test(line)), []);
    });
  } finally {
    await stack.stop();
  }
});
