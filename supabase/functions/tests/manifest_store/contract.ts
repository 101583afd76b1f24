/** What the contract promises, case by case. Each gets an empty store of a started module. */
import { assert, assertEquals, assertRejects } from "../../../../scripts/testing/assert.ts";
import { AppError } from "../../_shared/errors.ts";
import type { ManifestStore, ManifestStoreModule } from "../../_shared/manifest_store/mod.ts";
import { BAD_INPUTS } from "./bad_inputs.ts";
import { graph, gtype, handler, hooks, metadata, step, transformer } from "./samples.ts";

interface Case {
  title: string;
  run(store: ManifestStore, module: ManifestStoreModule): Promise<void>;
}

export const METHODS = [
  "storeManifest",
  "getManifest",
  "getAllManifestVersions",
  "storeHookManifest",
  "getHookManifest",
  "listHookManifests",
  "storeGType",
  "getGType",
  "storeTransformer",
  "getTransformer",
  "getTransformersForVersions",
  "storeVersionGraph",
  "getVersionGraph",
  "storeTimescapeMetadata",
  "getTimescapeMetadata",
  "clear",
  "getStats",
] as const satisfies (keyof ManifestStore)[];

const EMPTY = {
  manifestCount: 0,
  gtypeCount: 0,
  transformerCount: 0,
  versionGraphCount: 0,
  timescapeMetadataCount: 0,
  hookManifestCount: 0,
};

async function storeOneOfEach(store: ManifestStore): Promise<void> {
  await store.storeManifest(handler());
  await store.storeHookManifest(hooks());
  await store.storeGType(gtype());
  await store.storeTransformer(transformer());
  await store.storeVersionGraph(graph());
  await store.storeTimescapeMetadata(metadata());
}

/** What the store answers about the documents of `storeOneOfEach`. */
async function readOneOfEach(store: ManifestStore): Promise<unknown[]> {
  return [
    await store.getManifest("user.create", "1.0.0"),
    await store.getHookManifest("user.create"),
    await store.getGType("CreateUserRequest"),
    await store.getTransformer("user.create:1.0.0->2.0.0"),
    await store.getVersionGraph("user.create"),
    await store.getTimescapeMetadata("user.create", "2.0.0"),
  ];
}

const ONE_OF_EACH = [handler(), hooks(), gtype(), transformer(), graph(), metadata()];

/** Ids of the transformers on the way, one after the other. */
async function way(store: ManifestStore, from: string, to: string): Promise<string> {
  const transformers = await store.getTransformersForVersions("user.create", from, to);
  return transformers.map(({ id }) => id).join(" ");
}

export const CASES: Case[] = [
  {
    title: "it is a module with a store of seventeen methods",
    async run(store, module) {
      assertEquals(Object.keys(store).sort(), [...METHODS].sort());
      assertEquals(METHODS.length, 17);
      assert(/^\d+\.\d+\.\d+$/.test(module.version));
      assert(module.name !== "" && module.description !== "");
      assert(Object.isFrozen(module) && Object.isFrozen(store));
      assertEquals(module.exports, store);
      await Promise.resolve();
    },
  },
  {
    title: "what is stored is what is read",
    async run(store) {
      await storeOneOfEach(store);
      assertEquals(await readOneOfEach(store), ONE_OF_EACH);
    },
  },
  {
    title: "what is not there is answered as such",
    async run(store) {
      assertEquals(await readOneOfEach(store), [
        undefined,
        null,
        undefined,
        undefined,
        undefined,
        undefined,
      ]);
      assertEquals(await store.getManifest("user.create"), undefined);
      assertEquals(await store.getAllManifestVersions("user.create"), []);
      assertEquals(await store.listHookManifests(), []);
      assertEquals(await way(store, "1.0.0", "2.0.0"), "");
      await store.storeManifest(handler());
      assertEquals(await store.getManifest("user.create", "1.0.1"), undefined);
      assertEquals(await store.getManifest("user.creat"), undefined);
      assertEquals(await store.getManifest("USER.CREATE"), undefined);
    },
  },
  {
    title: "the newest manifest is the one created last, then the greater version",
    async run(store) {
      const newest = async () => (await store.getManifest("user.create"))?.version;
      const put = (version: string, createdAt: number) =>
        store.storeManifest(handler({ version, createdAt }));
      await put("2.0.0", 2);
      await put("1.0.0", 1);
      assertEquals(await newest(), "2.0.0");
      await put("1.0.1", 3);
      assertEquals(await newest(), "1.0.1");
      await put("1.10.0-rc.2", 3);
      assertEquals(await newest(), "1.10.0-rc.2");
      await put("1.9.0", 3);
      assertEquals(await newest(), "1.10.0-rc.2");
      await put("1.10.0-rc.10", 3);
      assertEquals(await newest(), "1.10.0-rc.10");
      for (const build of ["a", "c", "b"]) await put(`1.10.0-rc.10+${build}`, 3);
      assertEquals(await newest(), "1.10.0-rc.10+c");
      await put("9007199254740991.0.0", 3);
      assertEquals(await newest(), "9007199254740991.0.0");
      // One that is stored again is as old as it says then.
      await put("9007199254740991.0.0", 0);
      assertEquals(await newest(), "1.10.0-rc.10+c");
      await store.storeManifest(handler({ handlerId: "other", createdAt: 9 }));
      assertEquals(await newest(), "1.10.0-rc.10+c");
      assertEquals(
        (await store.getAllManifestVersions("user.create")).map(({ version }) => version),
        [
          "9007199254740991.0.0",
          "1.0.0",
          "2.0.0",
          "1.0.1",
          "1.9.0",
          "1.10.0-rc.2",
          "1.10.0-rc.10",
          "1.10.0-rc.10+a",
          "1.10.0-rc.10+b",
          "1.10.0-rc.10+c",
        ],
      );
    },
  },
  {
    title: "storing again replaces the whole document and adds none",
    async run(store) {
      await storeOneOfEach(store);
      const { hash: _, ...sparse } = handler();
      const replaced = { ...sparse, hash: "sha256:new", policies: {}, method: "GET" };
      await store.storeManifest(replaced);
      await store.storeHookManifest(hooks({ version: "2.0.0", hooks: [] }));
      await store.storeGType({ ref: "CreateUserRequest", kind: "object" });
      await store.storeTransformer(transformer({ handlerId: "other", transformations: [] }));
      await store.storeVersionGraph(graph({ currentVersion: "2.0.0" }));
      const { metrics: _metrics, ...quiet } = metadata();
      await store.storeTimescapeMetadata(quiet);
      assertEquals(await readOneOfEach(store), [
        replaced,
        hooks({ version: "2.0.0", hooks: [] }),
        { ref: "CreateUserRequest", kind: "object" },
        transformer({ handlerId: "other", transformations: [] }),
        graph({ currentVersion: "2.0.0" }),
        quiet,
      ]);
      assertEquals(
        Object.values(await store.getStats()),
        [1, 1, 1, 1, 1, 1],
      );
      // The transformer belongs to the other handler now.
      assertEquals(await way(store, "1.0.0", "2.0.0"), "");
    },
  },
  {
    title: "hook manifests are listed by their handlers' ids",
    async run(store) {
      const ids = ["b", "a", "B", "a.b", "a-b", "~", "!", "a~"];
      for (const handlerId of ids) await store.storeHookManifest(hooks({ handlerId }));
      const listed = await store.listHookManifests();
      assertEquals(listed.map(({ handlerId }) => handlerId), [
        "!",
        "B",
        "a",
        "a-b",
        "a.b",
        "a~",
        "b",
        "~",
      ]);
      assertEquals(listed[0], hooks({ handlerId: "!" }));
    },
  },
  {
    title: "transformers lead from version to version, over several hops, forward and backward",
    async run(store) {
      const steps = [
        step("1.0.0", "2.0.0"),
        step("2.0.0", "3.0.0"),
        step("3.0.0", "4.0.0"),
        step("4.0.0", "3.0.0"),
        step("3.0.0", "1.0.0"),
        step("1.0.0", "9.0.0", { id: "other", handlerId: "other" }),
      ];
      // Neither the order in which they come nor their age makes a difference.
      for (const one of steps.toReversed()) await store.storeTransformer(one);
      assertEquals(await way(store, "1.0.0", "2.0.0"), "1.0.0->2.0.0");
      assertEquals(
        await way(store, "1.0.0", "4.0.0"),
        "1.0.0->2.0.0 2.0.0->3.0.0 3.0.0->4.0.0",
      );
      assertEquals(await way(store, "4.0.0", "1.0.0"), "4.0.0->3.0.0 3.0.0->1.0.0");
      assertEquals(
        await store.getTransformersForVersions("user.create", "4.0.0", "3.0.0"),
        [step("4.0.0", "3.0.0")],
      );
      // Forward and then back would pass versions that the target does not know.
      assertEquals(await way(store, "4.0.0", "2.0.0"), "");
      assertEquals(await way(store, "2.0.0", "1.0.0"), "");
      assertEquals(await way(store, "1.0.0", "1.0.0"), "");
      assertEquals(await way(store, "1.0.0", "9.0.0"), "");
      assertEquals(await way(store, "0.1.0", "1.0.0"), "");
    },
  },
  {
    title: "the shortest way is taken, then that through smaller versions; a hop has all its parts",
    async run(store) {
      const steps = [
        step("1.0.0", "1.1.0"),
        step("1.1.0", "2.0.0"),
        step("1.0.0", "1.2.0-rc.10"),
        step("1.2.0-rc.10", "2.0.0"),
        step("1.0.0", "1.2.0-rc.9"),
        step("1.2.0-rc.9", "2.0.0"),
      ];
      for (const one of steps.toReversed()) await store.storeTransformer(one);
      assertEquals(await way(store, "1.0.0", "2.0.0"), "1.0.0->1.1.0 1.1.0->2.0.0");
      await store.storeTransformer(step("1.1.0", "1.1.1", { id: "1.1.0->2.0.0" }));
      assertEquals(
        await way(store, "1.0.0", "2.0.0"),
        "1.0.0->1.2.0-rc.9 1.2.0-rc.9->2.0.0",
      );
      const part = (id: string, createdAt: number) =>
        store.storeTransformer(step("1.0.0", "2.0.0", { id, createdAt }));
      await part("b", 5);
      await part("c", 4);
      await part("a", 5);
      assertEquals(await way(store, "1.0.0", "2.0.0"), "c a b");
      // Versions of equal precedence have no greater one: either direction does, forward first.
      const sibling = { fromVersion: "1.0.0+a", toVersion: "1.0.0+b" };
      await store.storeTransformer(transformer({ ...sibling, id: "back", direction: "backward" }));
      assertEquals(await way(store, "1.0.0+a", "1.0.0+b"), "back");
      await store.storeTransformer(transformer({ ...sibling, id: "forth", direction: "forward" }));
      assertEquals(await way(store, "1.0.0+a", "1.0.0+b"), "forth");
    },
  },
  {
    title: "nothing is shared with the caller",
    async run(store) {
      const manifest = handler();
      const stored = store.storeManifest(manifest);
      manifest.hooks.before.push("later");
      manifest.hash = "later";
      await stored;
      const type = gtype();
      const storedType = store.storeGType(type);
      type.properties!.name.optional = true;
      await storedType;
      for (let again = 0; again < 2; again++) {
        const read = await store.getManifest("user.create");
        assertEquals(read, handler());
        read!.hooks.before.push("after");
        read!.policies.rateLimit!.limit = 0;
        const [first] = await store.getAllManifestVersions("user.create");
        assertEquals(first, handler());
        first.dependencies.modules.length = 0;
        const readType = await store.getGType("CreateUserRequest");
        assertEquals(readType, gtype());
        delete readType!.properties!.name;
      }
      await store.storeHookManifest(hooks());
      (await store.listHookManifests())[0].hooks.length = 0;
      assertEquals(await store.getHookManifest("user.create"), hooks());
    },
  },
  {
    title: "keys of objects come in order, and properties that are undefined not at all",
    async run(store) {
      const backward = Object.fromEntries(Object.entries(handler()).toReversed());
      await store.storeManifest({ ...backward, policies: { roles: undefined } } as never);
      const read = await store.getManifest("user.create");
      assertEquals(Object.keys(read!), Object.keys(read!).toSorted());
      assertEquals(JSON.stringify(read!.policies), "{}");
    },
  },
  {
    title: "any text and any number of JSON is kept as it is",
    async run(store) {
      const ids = [
        `a,b.c(d)"e"'f'`,
        "a%b_c*",
        "\\",
        "a&b=c?d#e",
        "{}[]<>;:@!$^|`~/",
        "null",
        "NULL",
        "true",
        "*",
        "10",
        "1e3",
        "{a}",
        '{"a":1}',
        `"a"`,
        "not.eq.x",
        "(a)",
      ];
      for (const id of ids) await store.storeGType({ ref: id, kind: "object", description: id });
      for (const id of ids) assertEquals((await store.getGType(id))?.description, id);
      const value = [
        "\u{1F600} é \u0001 \u2028 \uffff \\u0000 \u007f",
        { "9": 1, "10": 1, "": 0, a: {}, "ключ": [] },
        [1e308, 5e-324, 2 ** 53, 0.1, -0, 1e21, 123456789.123456789],
        [true, false, null],
      ];
      await store.storeGType(gtype({ validators: [{ type: "enum", value }] }));
      const read = await store.getGType("CreateUserRequest");
      assertEquals(JSON.stringify(read!.validators![0].value), JSON.stringify(value));
      const large = gtype({
        ref: "large",
        validators: [{ type: "enum", value: "é".repeat(130_000) }],
      });
      await store.storeGType(large);
      assertEquals(await store.getGType("large"), large);
    },
  },
  {
    title: "bad input is refused with every place named, and nothing is touched",
    async run(store) {
      await storeOneOfEach(store);
      for (const { what, call, paths } of BAD_INPUTS) {
        const error = await assertRejects(() => call(store), AppError, undefined, what);
        assertEquals(error.code, "invalid_request", what);
        assertEquals(error.options.errors?.map(({ path }) => path), paths, what);
        assert(error.message.includes(paths[0]), what);
      }
      assertEquals(Object.values(await store.getStats()), [1, 1, 1, 1, 1, 1]);
      assertEquals(await readOneOfEach(store), ONE_OF_EACH);
    },
  },
  {
    title: "it counts what it holds, and forgets everything when told to",
    async run(store) {
      assertEquals(await store.getStats(), EMPTY);
      await storeOneOfEach(store);
      await store.storeManifest(handler({ version: "1.1.0" }));
      await store.storeManifest(handler({ version: "1.1.0" }));
      await store.storeManifest(handler({ handlerId: "other" }));
      await store.storeGType(gtype({ ref: "Other" }));
      await store.storeTransformer(transformer({ id: "other" }));
      await store.storeTransformer(transformer({ id: "third" }));
      await store.storeTimescapeMetadata(metadata({ version: "3.0.0" }));
      assertEquals(await store.getStats(), {
        manifestCount: 3,
        gtypeCount: 2,
        transformerCount: 3,
        versionGraphCount: 1,
        timescapeMetadataCount: 2,
        hookManifestCount: 1,
      });
      await store.clear();
      assertEquals(await store.getStats(), EMPTY);
      assertEquals(await store.getManifest("user.create"), undefined);
      await storeOneOfEach(store);
      assertEquals(await readOneOfEach(store), ONE_OF_EACH);
    },
  },
  {
    title: "many writers at once leave one whole document a key, and lose none",
    async run(store) {
      const writers = Array.from({ length: 24 }, (_, writer) => writer);
      await Promise.all(writers.flatMap((writer) => [
        store.storeManifest(handler({ hash: `${writer}`, path: `/${writer}` })),
        store.storeManifest(handler({ handlerId: "many", version: `1.${writer}.0` })),
        store.storeTransformer(transformer({ hash: `${writer}`, createdAt: writer })),
      ]));
      const shared = await store.getManifest("user.create");
      assertEquals(shared?.path, `/${shared?.hash}`);
      const one = await store.getTransformer("user.create:1.0.0->2.0.0");
      assertEquals(`${one?.createdAt}`, one?.hash);
      assertEquals(
        (await store.getAllManifestVersions("many")).map(({ version }) => version),
        writers.map((writer) => `1.${writer}.0`),
      );
      assertEquals((await store.getStats()).manifestCount, 25);
    },
  },
  {
    title: "more documents than a page holds are answered whole",
    async run(store) {
      const count = 105;
      await Promise.all(
        Array.from({ length: count }, (_, index) =>
          store.storeTransformer(
            step(`1.${index}.0`, `1.${index + 1}.0`, { direction: "forward" }),
          )),
      );
      const found = await store.getTransformersForVersions("user.create", "1.0.0", `1.${count}.0`);
      assertEquals(
        found.map(({ toVersion }) => toVersion),
        Array.from({ length: count }, (_, index) => `1.${index + 1}.0`),
      );
    },
  },
  {
    title: "it answers while it is started, and says so when it is not",
    async run(store, module) {
      await module.init();
      await store.storeManifest(handler());
      await module.init();
      assertEquals(await store.getManifest("user.create"), handler());
      await module.shutdown();
      await module.shutdown();
      for (const method of METHODS) {
        const call = store[method] as (...args: unknown[]) => Promise<unknown>;
        const error = await assertRejects(
          () => call(...argumentsOf[method]),
          AppError,
          "not started",
        );
        assertEquals(error.code, "unavailable", method);
      }
      await Promise.all([module.init(), module.init()]);
      await store.clear();
      await store.storeManifest(handler());
      assertEquals(await store.getManifest("user.create"), handler());
    },
  },
];

const argumentsOf: Record<typeof METHODS[number], unknown[]> = {
  storeManifest: [handler()],
  getManifest: ["a"],
  getAllManifestVersions: ["a"],
  storeHookManifest: [hooks()],
  getHookManifest: ["a"],
  listHookManifests: [],
  storeGType: [gtype()],
  getGType: ["a"],
  storeTransformer: [transformer()],
  getTransformer: ["a"],
  getTransformersForVersions: ["a", "1.0.0", "1.0.0"],
  storeVersionGraph: [graph()],
  getVersionGraph: ["a"],
  storeTimescapeMetadata: [metadata()],
  getTimescapeMetadata: ["a", "1.0.0"],
  clear: [],
  getStats: [],
};
