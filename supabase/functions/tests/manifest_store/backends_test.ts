/** The manifest store: one contract, walked over every backend, and what each backend promises beside it. */
import fc from "fast-check";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import { createClient } from "@supabase/supabase-js";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "../../../../scripts/testing/assert.ts";
import {
  anonClient,
  createUser,
  serviceClient,
  startTestStack,
} from "../../../../scripts/testing/stack.ts";
import { AppError } from "../../_shared/errors.ts";
import {
  type ManifestStore,
  type ManifestStoreModule,
  startManifestStore,
} from "../../_shared/manifest_store/mod.ts";
import { nodeSqliteManifestStore } from "../../_shared/manifest_store/node_sqlite.ts";
import { sqlJsManifestStore } from "../../_shared/manifest_store/sqljs.ts";
import { supabaseManifestStore } from "../../_shared/manifest_store/supabase.ts";
import { backends, withStore } from "./backends.ts";
import { CASES, METHODS } from "./contract.ts";
import { type Operation, operations, outcome } from "./properties.ts";
import { gtype, handler, hooks } from "./samples.ts";

async function inTemporaryDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "manifest store " });
  try {
    await work(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Runs the work on started modules, and stops them. */
async function withModules(
  modules: ManifestStoreModule[],
  work: (...stores: ManifestStore[]) => Promise<void>,
): Promise<void> {
  try {
    for (const module of modules) await module.init();
    await work(...modules.map((module) => module.exports));
  } finally {
    for (const module of modules) await module.shutdown();
  }
}

Deno.test("the manifest store on every backend", (t) =>
  inTemporaryDirectory(async (directory) => {
    const stack = await startTestStack({ seed: false, functions: false });
    try {
      const all = backends(stack, directory);
      for (const backend of all) {
        for (const { title, run } of CASES) {
          await t.step(
            `${backend.title}: ${title}`,
            () => withStore(backend, (module) => run(module.exports, module)),
          );
        }
      }

      await t.step("random operations are answered alike by all", async () => {
        const used = new Map<string, { answered: number; refused: number }>();
        let longest = 0;
        // What a file adds, the contract shows.
        const compared = all.filter(({ title }) => !title.endsWith("in a file"));
        const modules = compared.map((backend) => backend.create());
        await withModules(modules, (...stores) =>
          fc.assert(
            fc.asyncProperty(operations, async (list: Operation[]) => {
              for (const store of stores) await store.clear();
              for (const operation of list) {
                const answers = await Promise.all(
                  stores.map((store) => outcome(store, operation)),
                );
                answers.forEach((answer, index) =>
                  assertEquals(answer, answers[0], `${compared[index].title}, ${operation.method}`)
                );
                const count = used.get(operation.method) ?? { answered: 0, refused: 0 };
                count[answers[0].startsWith("invalid_request") ? "refused" : "answered"]++;
                used.set(operation.method, count);
                if (operation.method === "getTransformersForVersions") {
                  const hops = answers[0].match(/"fromVersion"/g)?.length ?? 0;
                  longest = Math.max(longest, hops);
                }
              }
            }),
            { numRuns: 20, seed: 20250731 },
          ));
        // What was never asked was not compared.
        assertEquals([...used.keys()].sort(), [...METHODS].sort());
        assert([...used.values()].every(({ answered }) => answered > 0));
        assert([...used.values()].filter(({ refused }) => refused > 0).length >= 10);
        assert(longest >= 2, `the longest way had ${longest} transformers`);
      });

      await t.step(
        "Supabase: readers and superadmins read, and nobody but the service writes",
        async () => {
          const [reader, superadmin, outsider] = await Promise.all([
            createUser(stack),
            createUser(stack),
            createUser(stack),
          ]);
          const service = serviceClient(stack);
          const appointed = await service.from("superadmins").insert({ user_id: superadmin.id });
          assertEquals(appointed.error, null);
          const added = await superadmin.client.from("manifest_readers")
            .insert({ user_id: reader.id });
          assertEquals(added.error, null);
          await withModules(
            [service, reader.client, superadmin.client, outsider.client].map(supabaseManifestStore),
            async (store, ...readers) => {
              await store.clear();
              await store.storeManifest(handler());
              await store.storeHookManifest(hooks());
              for (const [index, other] of readers.entries()) {
                const mayRead = index < 2;
                const seen = mayRead ? handler() : undefined;
                assertEquals(await other.getManifest("user.create"), seen);
                assertEquals(await other.listHookManifests(), mayRead ? [hooks()] : []);
                assertEquals((await other.getStats()).manifestCount, mayRead ? 1 : 0);
                for (
                  const write of [
                    () => other.storeManifest(handler({ hash: "x" })),
                    () => other.clear(),
                  ]
                ) {
                  const error = await assertRejects(write, AppError);
                  assertEquals(error.code, "forbidden");
                }
              }
              assertEquals(await store.getManifest("user.create"), handler());
            },
          );
          const error = await assertRejects(
            () => startManifestStore(supabaseManifestStore(anonClient(stack))),
            AppError,
          );
          assertEquals(error.code, "forbidden");
        },
      );

      await t.step(
        "Supabase: of two transactions that store one key, the second waits and wins",
        async () => {
          const upsert =
            "insert into gtypes (document) values ($1) on conflict (ref) do update set document = excluded.document";
          const connect = async () => {
            const client = new Client({ connectionString: stack.dbUrl });
            await client.connect();
            return client;
          };
          const [first, second, watcher] = [await connect(), await connect(), await connect()];
          try {
            await withModules([supabaseManifestStore(serviceClient(stack))], async (store) => {
              await store.clear();
              await first.query("begin");
              await first.query(upsert, [gtype({ description: "first" })]);
              const { rows: [{ pid }] } = await second.query("select pg_backend_pid() as pid");
              const waiting = second.query(upsert, [gtype({ description: "second" })]);
              const deadline = Date.now() + 60_000;
              const isBlocked = async () =>
                (await watcher.query(
                  "select from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'",
                  [pid],
                )).rowCount === 1;
              while (!await isBlocked()) assert(Date.now() < deadline, "the second did not wait");
              // The store does not wait for either to read.
              assertEquals(await store.getGType("CreateUserRequest"), undefined);
              await first.query("commit");
              await waiting;
              assertEquals((await store.getGType("CreateUserRequest"))?.description, "second");
              assertEquals((await store.getStats()).gtypeCount, 1);
            });
          } finally {
            await Promise.all([first.end(), second.end(), watcher.end()]);
          }
        },
      );
    } finally {
      await stack.stop();
    }
  }));

Deno.test("Supabase: an address where nothing answers is told at the start", async () => {
  const client = createClient("http://127.0.0.1:1", "sb_secret_none", {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const error = await assertRejects(
    () => startManifestStore(supabaseManifestStore(client)),
    AppError,
  );
  assertEquals(error.code, "unavailable");
});

Deno.test("in memory is the default, and is forgotten at the end", async () => {
  const module = await startManifestStore();
  assertEquals(module.name, "memory");
  await module.exports.storeManifest(handler());
  await module.shutdown();
  await module.init();
  assertEquals(await module.exports.getManifest("user.create"), undefined);
  await module.shutdown();
});

for (const create of [nodeSqliteManifestStore, sqlJsManifestStore]) {
  Deno.test(`${create.name}: a file is there for the next store`, () =>
    inTemporaryDirectory(async (directory) => {
      const path = join(directory, "manifests.db");
      await withModules([create({ path })], async (store) => {
        await store.storeManifest(handler({ version: "1.0.0", createdAt: 1 }));
        await store.storeManifest(handler({ version: "2.0.0", createdAt: 2 }));
      });
      // What one library wrote, the other reads.
      for (const next of [nodeSqliteManifestStore, sqlJsManifestStore]) {
        await withModules([next({ path })], async (store) => {
          assertEquals((await store.getManifest("user.create"))?.version, "2.0.0");
          assertEquals((await store.getStats()).manifestCount, 2);
        });
      }
    }));

  Deno.test(`${create.name}: a file that is no database is refused and left alone`, () =>
    inTemporaryDirectory(async (directory) => {
      const path = join(directory, "manifests.db");
      await Deno.writeTextFile(path, "not a database, ".repeat(1000));
      const module = create({ path });
      const error = await assertRejects(() => module.init(), AppError);
      assertEquals(error.code, "unavailable");
      assertInstanceOf(error.cause, Error);
      await assertRejects(() => module.exports.getStats(), AppError, "not started");
      assertEquals((await Deno.readTextFile(path)).length, 16_000);
    }));
}

Deno.test("node:sqlite: a store waits for another process that has the file to itself", () =>
  inTemporaryDirectory(async (directory) => {
    const path = join(directory, "manifests.db");
    const other = new DatabaseSync(path);
    other.exec("create table theirs (id integer)");
    other.exec("begin exclusive");
    const module = nodeSqliteManifestStore({ path });
    const started = module.init();
    await new Promise((resolve) => setTimeout(resolve, 50));
    other.exec("commit");
    other.close();
    await started;
    await module.exports.storeGType(gtype());
    assertEquals((await module.exports.getStats()).gtypeCount, 1);
    await module.shutdown();
  }));

Deno.test("node:sqlite: stores of several processes write one file", () =>
  inTemporaryDirectory(async (directory) => {
    const path = join(directory, "manifests.db");
    const writer = `
      import { startManifestStore } from ${
      JSON.stringify(import.meta.resolve("../../_shared/manifest_store/mod.ts"))
    };
      import { nodeSqliteManifestStore } from ${
      JSON.stringify(import.meta.resolve("../../_shared/manifest_store/node_sqlite.ts"))
    };
      const [path, name] = Deno.args;
      const { exports: store, shutdown } = await startManifestStore(nodeSqliteManifestStore({ path }));
      for (let index = 0; index < 50; index++) {
        await store.storeGType({ ref: name + index, kind: "object" });
        await store.storeGType({ ref: "shared", kind: "object", description: name + index });
      }
      await shutdown();`;
    const script = join(directory, "writer.ts");
    await Deno.writeTextFile(script, writer);
    const config = new URL("../../../../deno.json", import.meta.url).pathname;
    const outputs = await Promise.all(["a", "b"].map((name) =>
      new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          "--no-check",
          "--config",
          decodeURIComponent(config),
          script,
          path,
          name,
        ],
        stdin: "null",
        stderr: "piped",
      }).output()
    ));
    for (const { success, stderr } of outputs) {
      assert(success, new TextDecoder().decode(stderr));
    }
    await withModules([nodeSqliteManifestStore({ path })], async (store) => {
      assertEquals((await store.getStats()).gtypeCount, 101);
      assert(["a49", "b49"].includes((await store.getGType("shared"))!.description!));
    });
  }));

Deno.test("sql.js: a second store on a file is refused until the first ends", () =>
  inTemporaryDirectory(async (directory) => {
    const path = join(directory, "manifests.db");
    const [first, second] = [sqlJsManifestStore({ path }), sqlJsManifestStore({ path })];
    await first.init();
    const error = await assertRejects(() => second.init(), AppError);
    assertEquals(error.code, "unavailable");
    await first.exports.storeManifest(handler());
    await first.shutdown();
    await second.init();
    assertEquals(await second.exports.getManifest("user.create"), handler());
    await second.shutdown();
  }));

Deno.test("sql.js: what cannot be written to the file is taken back", () =>
  inTemporaryDirectory(async (directory) => {
    const path = join(directory, "manifests.db");
    await withModules([sqlJsManifestStore({ path })], async (store) => {
      await store.storeManifest(handler());
      // A directory is in the way of the draft.
      await Deno.mkdir(`${path}.new`);
      const error = await assertRejects(
        () => store.storeManifest(handler({ hash: "x" })),
        AppError,
      );
      assertEquals(error.code, "unavailable");
      await assertRejects(() => store.clear(), AppError);
      assertEquals(await store.getManifest("user.create"), handler());
      await Deno.remove(`${path}.new`);
      await store.storeManifest(handler({ hash: "y" }));
    });
    await withModules([sqlJsManifestStore({ path })], async (store) => {
      assertEquals((await store.getManifest("user.create"))?.hash, "y");
    });
  }));
