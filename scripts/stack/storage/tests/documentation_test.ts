/** `docs/storage-api.md` claims only what a test shows: each row names tests that exist, each client call has a row. */
import { createClient } from "@supabase/supabase-js";
import { assert, assertEquals } from "../../../testing/assert.ts";

const DOC = new URL("../../../../docs/storage-api.md", import.meta.url);

interface Row {
  call: string;
  tests: string[];
}

/** The rows of the tables whose last column is "Tests". */
async function rows(): Promise<Row[]> {
  const lines = (await Deno.readTextFile(DOC)).split("\n");
  const found: Row[] = [];
  let inTable = false;
  for (const line of lines) {
    const cells = line.startsWith("|")
      ? line.split("|").slice(1, -1).map((cell) => cell.trim())
      : [];
    if (cells.length === 0) inTable = false;
    else if (cells.at(-1) === "Tests") inTable = true;
    else if (inTable && !/^-+$/.test(cells[0])) {
      found.push({ call: cells[0], tests: cells.at(-1)!.split("<br>").map((name) => name.trim()) });
    }
  }
  return found;
}

/** Names of all tests beside this one, as they stand in the sources. */
async function testNames(): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const entry of Deno.readDir(new URL(".", import.meta.url))) {
    if (!entry.name.endsWith("_test.ts")) continue;
    const source = await Deno.readTextFile(new URL(entry.name, import.meta.url));
    for (const [, name] of source.matchAll(/^(?:Deno\.)?test\(\s*"([^"]+)"/gm)) names.add(name);
    // One test for each entry of a table.
    const [, table = ""] = /^const CALLS[^=]*= \[\n([\s\S]*?)^\];/m.exec(source) ?? [];
    for (const [, name] of table.matchAll(/^ {4}name: "([^"]+)"/gm)) names.add(name);
  }
  return names;
}

Deno.test("every row of the Storage API's table names tests that exist", async () => {
  const names = await testNames();
  const table = await rows();
  assert(table.length > 0);
  for (const { call, tests } of table) {
    assertEquals(tests.filter((name) => !names.has(name)), [], call);
  }
});

Deno.test("every call of the client's Storage API has a row", async () => {
  const { storage } = createClient("http://localhost", "key");
  const methods = (object: object, depth: number): string[] => {
    const prototype = Object.getPrototypeOf(object);
    const own = Object.getOwnPropertyNames(prototype).filter((name) =>
      name !== "constructor" && !Object.getOwnPropertyDescriptor(prototype, name)?.get
    );
    return depth === 1 ? own : [...own, ...methods(prototype, depth - 1)];
  };
  // Not calls: what builds requests, sets the client up, or leads to other services.
  const internal = new Set([
    "bucketLifecycleUrl",
    "uploadOrUpdate",
    "prepareUploadFormData",
    "encodeMetadata",
    "toBase64",
    "_getFinalPath",
    "_removeEmptyFolders",
    "applyTransformOptsToQuery",
    "listBucketOptionsToQueryString",
    "throwOnError",
    "setHeader",
    "handleOperation",
    "from",
  ]);
  const calls = [...methods(storage, 2), ...methods(storage.from("any"), 1)]
    .filter((name) => !internal.has(name));
  const documented = (await rows()).flatMap(({ call }) =>
    [...call.matchAll(/`(\w+)/g)].map(([, name]) => name)
  );
  assertEquals(calls.filter((name) => !documented.includes(name)), []);
});

Deno.test("every test of the Storage API stands in the table", async () => {
  const mentioned = new Set((await rows()).flatMap(({ tests }) => tests));
  const own = /Storage API('s table| stands| has a row)|client's Storage API/;
  assertEquals(
    [...await testNames()].filter((name) => !mentioned.has(name) && !own.test(name)),
    [],
  );
});
