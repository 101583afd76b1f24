/** Input that somebody made to keep a function busy: whatever it is, a request's two seconds of CPU are far away. */
import process from "node:process";
import { Lexer } from "yaml";
import {
  assert,
  assertEquals,
  assertRejects,
  assertThrows,
} from "../../../../scripts/testing/assert.ts";
import { AppError } from "../../_shared/errors.ts";
import {
  MAX_PACKAGE_FILES,
  MAX_PACKAGE_YAML_BYTES,
  MAX_PUBLICATION_FIELDS,
  MAX_RANGE_LENGTH,
  MAX_YAML_TOKENS,
} from "../../_shared/limits.ts";
import { readPackageDocument } from "../../_shared/registry/document.ts";
import { readFiles } from "../../_shared/registry/imports.ts";
import { parseProto } from "../../_shared/registry/proto.ts";
import { compileRange } from "../../_shared/registry/ranges.ts";
import { type Candidates, resolve } from "../../_shared/registry/resolve.ts";
import { readWanted } from "../../packages/domain.ts";
import { readPublication } from "../../packages/publication.ts";

/** Half of what a hosted function has, so that the rest of the request has the other half. */
const MOST_CPU_MS = 1_000;

/** Milliseconds of CPU that the work takes, of all threads, garbage collection included. */
function cpuOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function isCheap(name: string, work: () => void): void {
  let cpu = cpuOf(work);
  // The first time pays for what is compiled on the way, and for others' garbage.
  if (cpu >= MOST_CPU_MS) cpu = cpuOf(work);
  assert(cpu < MOST_CPU_MS, `${name} took ${cpu.toFixed(0)} ms of CPU`);
}

const HEAD = "id: a/b\nversion: 1.0.0\n";
const list = (count: number, item: (index: number) => string, between = ",") =>
  Array.from({ length: count }, (_, index) => item(index)).join(between);

/** YAML of any size, by what is expensive in it. */
const YAML: Record<string, (size: number) => string> = {
  "a long list": (n) => `x: [${list(n, () => "1")}]\n`,
  "a long block": (n) => `x:\n${list(n, (i) => ` k${i}: 1\n`, "")}`,
  "empty maps": (n) => `x: [${list(n, () => "{}")}]\n`,
  "anchors everywhere": (n) => `x: [${list(n, (i) => `&a${i} 1`)}]\n`,
  "aliases of aliases in a long document": (n) =>
    `big: [${list(n, () => "1")}]\na0: &a0 [1]\n` +
    list(12, (i) => `a${i + 1}: &a${i + 1} [*a${i},*a${i}]\n`, ""),
  "more and more aliases of aliases": (n) =>
    `big: [${list(n, () => "1")}]\na0: &a0 [1]\n` +
    list(20, (i) => `a${i + 1}: &a${i + 1} [*a${i},*a${i}]\n`, ""),
  "aliases of nested anchors": (n) =>
    `z: &z 1\ny: ${list(40, (i) => `&a${i} [`, "")}${list(60, () => "*z")}${"]".repeat(40)}\n` +
    `r: [${list(40, (i) => `*a${i}`)}]\nq: [${list(n, () => "1")}]\n`,
  "an alias of itself": (n) => `x: &x [*x, ${list(n, () => "1")}]\n`,
  "nothing but mistakes": (n) => "]".repeat(n),
  "a key many times": (n) => `x: {${list(n, () => "a: 1")}}\n`,
  "dependencies that are none": (n) => `dependencies: [${list(n, () => "{}")}]\n`,
  "ranges of many alternatives": (n) =>
    `dependencies: {${list(n, (i) => `k${i}: "${"1||".repeat(80)}${i}"`)}}\n`,
  "keywords that are none": (n) => `keywords: [${list(n, () => '""')}]\n`,
  "many lines of text": (n) => `x: |\n${"  a\n".repeat(n * 10)}`,
  "tags of its own": (n) => `x: [${list(n, () => "!a 1")}]\n`,
};

/** As large as the limits allow, found by halving. */
function largest(make: (size: number) => string): Uint8Array<ArrayBuffer> {
  const encode = (size: number) => new TextEncoder().encode(HEAD + make(size));
  const fits = (size: number) => {
    if (encode(size).length > MAX_PACKAGE_YAML_BYTES) return false;
    let tokens = 0;
    for (const _ of new Lexer().lex(HEAD + make(size))) {
      if (++tokens > MAX_YAML_TOKENS) return false;
    }
    return true;
  };
  let [low, high] = [1, MAX_YAML_TOKENS];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return encode(low);
}

for (const [name, make] of Object.entries(YAML)) {
  Deno.test(`YAML as large as may be takes far less CPU than a request has: ${name}`, () => {
    const bytes = largest(make);
    const result = readPackageDocument(bytes);
    assert(result.valid || result.errors[0].code !== "too_large");
    isCheap(name, () => readPackageDocument(bytes));
  });
}

Deno.test("dependencies are counted before they are looked at, and too many are a named error", () => {
  for (const make of [(i: number) => `k${i}: 1`, (i: number) => `k${i}: nonsense`]) {
    const yaml = `${HEAD}dependencies: {${list(501, make)}}\n`;
    const result = readPackageDocument(new TextEncoder().encode(yaml));
    assertEquals(
      result.valid ? [] : result.errors.map(({ code, path, line }) => [code, path, line]),
      [["too_many", "dependencies", 3]],
    );
  }
});

Deno.test("a .proto file of lines, comments or imports takes little CPU, whatever is in it", () => {
  const imports = list(500, (i) => `import "a${i}.proto";`, "");
  const files = {
    "lines, then imports": "\n".repeat(1_000_000) + imports,
    "comments": "//\n".repeat(340_000) + imports,
    "comments that do not end": "/*".repeat(500_000),
    "words and blanks": ("a" + " ".repeat(1000)).repeat(1000),
    "dots": "a . ".repeat(250_000),
    "braces": "{}".repeat(500_000),
    "strings": '"a"'.repeat(330_000),
    "escapes": `"${"\\a".repeat(500_000)}`,
  };
  for (const [name, text] of Object.entries(files)) {
    isCheap(name, () => parseProto(text, "a.proto"));
  }
  const last = parseProto(`${"\n".repeat(1_000_000)}  import "a.proto";`, "a.proto");
  assertEquals(last.ok && last.imports[0], {
    path: "a.proto",
    kind: "plain",
    line: 1_000_001,
    column: 3,
  });
  const many = Array.from({ length: 10 }, (_, file) => ({ path: `f${file}.proto`, text: imports }));
  assertEquals(readFiles(many).errors.map(({ code, path }) => [code, path]), [[
    "too_many",
    "files",
  ]]);
});

Deno.test("malicious ranges end at once: length, alternatives, blanks, and thousands of them", () => {
  const texts = [
    `1${" ".repeat(8000)}2`,
    "1||".repeat(2600),
    "<".repeat(8000),
    "x.".repeat(4000),
    "1 - ".repeat(2000),
    "~ ".repeat(4000),
    `1.0.0-${"a.".repeat(4000)}`,
  ];
  for (const text of texts) {
    assertEquals(compileRange(text), null);
    assertThrows(() => readWanted(text), AppError, "neither a version, nor a range");
  }
  assert(compileRange("1||".repeat(85).slice(0, MAX_RANGE_LENGTH - 1)));
  isCheap("other ranges of many alternatives all the time", () => {
    for (let index = 0; index < 300; index++) compileRange(`${"1||".repeat(80)}${index}`);
  });
});

/** Graphs that nobody means, each by what it would keep busy. */
const GRAPHS: Record<string, () => [Candidates, Record<string, string>]> = {
  "ranges of which any two agree, and all do not": () => {
    const packages: Candidates = {
      "a/core": Array.from({ length: 1000 }, (_, minor) => ({
        version: `1.${minor}.0`,
        dependencies: {},
      })),
    };
    const needs: Record<string, string> = {};
    for (let index = 0; index < 3000; index++) {
      const without = `1.${index % 1000}.0`;
      needs[`a/p${index}`] = "*";
      packages[`a/p${index}`] = [{
        version: "1.0.0",
        dependencies: { "a/core": `<${without} || >${without} <9.${index}.0` },
      }];
    }
    packages["a/root"] = [{ version: "1.0.0", dependencies: needs }];
    return [packages, { "a/root": "*" }];
  },
  "choices that get older one by one": () => {
    const packages: Candidates = {};
    for (let index = 0; index < 300; index++) {
      packages[`a/p${index}`] = Array.from({ length: 500 }, (_, minor) => ({
        version: `1.${minor}.0`,
        dependencies: { [`a/p${(index + 1) % 300}`]: `<1.${minor}.0 || 1.${(minor * 7) % 500}.0` },
      }));
    }
    return [packages, { "a/p0": "*", "a/p150": "*" }];
  },
  "thousands of pre-releases that no range takes": () => {
    const alternatives = list(30, (index) => `<9.${index % 9}`, "||");
    const packages: Candidates = {
      "a/core": Array.from({ length: 5000 }, (_, patch) => ({
        version: `1.0.${patch}-a`,
        dependencies: {},
      })),
    };
    const needs: Record<string, string> = {};
    for (let index = 0; index < 500; index++) {
      needs[`a/p${index}`] = "*";
      packages[`a/p${index}`] = [{
        version: "1.0.0",
        dependencies: { "a/core": `${alternatives}||<8.${index}` },
      }];
    }
    packages["a/root"] = [{ version: "1.0.0", dependencies: needs }];
    return [packages, { "a/root": "*" }];
  },
};

for (const [name, make] of Object.entries(GRAPHS)) {
  Deno.test(`a huge dependency graph is resolved or refused in little time: ${name}`, () => {
    const [packages, roots] = make();
    isCheap(name, () => {
      try {
        resolve(packages, roots);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        assertEquals(error.code, "package_graph_too_large");
      }
    });
  });
}

Deno.test("a form of very many parts is refused before they are taken apart, and fields before they are compared", async () => {
  const refusal = async (count: number, more: string, boundary = "b") => {
    const part = (index: number) =>
      `--b\r\nContent-Disposition: form-data; name="f${index}"${more}\r\n\r\n\r\n`;
    const body = `${list(count, part, "")}--b--\r\n`;
    const headers = { "content-type": `multipart/form-data; boundary=${boundary}` };
    const request = new Request("http://localhost/packages", { method: "POST", body, headers });
    const before = process.cpuUsage();
    const error = await assertRejects(
      () => readPublication(request, new URL(request.url)),
      AppError,
    );
    const { user, system } = process.cpuUsage(before);
    assert((user + system) / 1000 < MOST_CPU_MS, `${user + system} µs of CPU`);
    return error.message;
  };
  const parts = "The form has more parts than a package has files.";
  assertEquals(await refusal(100_000, '; filename="a"'), parts);
  assertEquals(await refusal(100_000, ""), parts);
  assertEquals(await refusal(100_000, "", '"z"; boundary="b"'), parts);
  // Each would be looked for in the whole body.
  assertEquals(
    await refusal(1, "", list(2_000, (index) => `z${index}; boundary=`, "") + "b"),
    parts,
  );
  const most = MAX_PACKAGE_FILES + MAX_PUBLICATION_FIELDS;
  assertEquals(await refusal(most + 1, '; filename="a"'), parts);
  assertEquals(
    await refusal(most, '; filename="a"'),
    "The form needs the YAML in the part named file.",
  );
  assertEquals(
    await refusal(MAX_PUBLICATION_FIELDS + 1, ""),
    "The form has more fields than there are options.",
  );
});
