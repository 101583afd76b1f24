import { assertEquals, assertThrows } from "../../../testing/assert.ts";
import { decodeCursor, encodeCursor } from "../cursor.ts";
import { StorageError } from "../errors.ts";
import { assertMimeAllowed, assertMimeRules, bucketSizeLimit, fileSizeLimit } from "../limits.ts";
import { assertBucketName, assertNewBucketName, assertObjectKey } from "../names.ts";
import { parseRange } from "../render.ts";
import { assertRobotsTag } from "../robots.ts";
import { type Schema, validate } from "../validate.ts";

/** The message of the refusal. */
function refusal(run: () => unknown): string {
  return assertThrows(run, StorageError).message;
}

Deno.test("object keys take S3's safe characters and nothing else", () => {
  for (const key of ["a", "a/b/c.txt", "!-_.*'() &$=@;:+,?", "/", ".."]) assertObjectKey(key);
  for (const key of ["", "ä", "a%b", "a#b", "a\\b", "a\nb", "a[b]", "a~b", "日本"]) {
    assertEquals(refusal(() => assertObjectKey(key)), `Invalid key: ${key}`);
  }
});

Deno.test("bucket names are keys of at most a hundred characters without a slash", () => {
  for (const name of ["a", "avatars", "A b.c", "x".repeat(100)]) assertBucketName(name);
  for (const name of ["", "a/b", "x".repeat(101), "ü"]) {
    assertEquals(refusal(() => assertBucketName(name)), "Bucket name invalid");
  }
});

Deno.test("a new bucket's name has no space around it and no reserved ending", () => {
  assertNewBucketName("plain");
  for (const name of [" a", "a ", "analytics--table-s3"]) {
    assertEquals(refusal(() => assertNewBucketName(name)), "Bucket name invalid");
  }
});

Deno.test("a bucket's size limit is a number of bytes or a text with a decimal unit", () => {
  const cases: [number | string, number][] = [
    [17, 17],
    ["3b", 3],
    ["1.5kb", 1500],
    ["20MB", 20e6],
    ["1.23456GB", 1.23e9],
    ["0b", 0],
  ];
  for (const [given, bytes] of cases) assertEquals(bucketSizeLimit(given, 1e12), bytes);
  for (const given of ["20", "20TB", "MB", "-1MB", "1,5MB"]) {
    assertEquals(
      refusal(() => bucketSizeLimit(given, 1e12)),
      "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B",
    );
  }
  assertEquals(
    refusal(() => bucketSizeLimit("2kb", 1999)),
    "The object exceeded the maximum allowed size",
  );
});

Deno.test("a file is held to the lower limit, and a folder's placeholder to nothing", () => {
  assertEquals(fileSizeLimit("a", null, 10), 10);
  assertEquals(fileSizeLimit("a", 5, 10), 5);
  assertEquals(fileSizeLimit("a", 20, 10), 10);
  assertEquals(fileSizeLimit("a/.emptyFolderPlaceholder", 20, 10), 0);
});

Deno.test("MIME rules are types, type wildcards or an ending star", () => {
  assertMimeRules(["image/png", "image/*", "*", "text/plain; charset=utf-8", "image/svg+xml"]);
  for (const rule of ["image", "image/p ng", "/png", "x".repeat(1001)]) {
    assertEquals(refusal(() => assertMimeRules([rule])), `mime type ${rule} is not supported`);
  }
});

Deno.test("a file's type fits a rule exactly or by its major type", () => {
  assertMimeAllowed("image/png", ["image/*"], "a");
  assertMimeAllowed("image/png", ["text/plain", "image/png"], "a");
  assertMimeAllowed("anything", null, "a");
  assertMimeAllowed("anything", [], "a");
  assertMimeAllowed("text/html", ["image/*"], "a/.emptyFolderPlaceholder");
  const misfits: [string, string[]][] = [
    ["image/png", ["image/jpeg"]],
    ["image/png", ["*"]],
    ["image/png", ["*/*"]],
    ["image", ["image/*"]],
    ["text/plain;charset=utf-8", ["text/plain"]],
    ["IMAGE/png", ["image/png"]],
  ];
  for (const [type, rules] of misfits) {
    assertEquals(
      refusal(() => assertMimeAllowed(type, rules, "a")),
      `mime type ${type} is not supported`,
    );
  }
});

Deno.test("one byte range is understood, all else is refused", () => {
  const cases: [string, number, [number, number]][] = [
    ["bytes=0-0", 10, [0, 0]],
    ["bytes=2-4", 10, [2, 4]],
    ["bytes=7-", 10, [7, 9]],
    ["bytes=7-99", 10, [7, 9]],
    ["bytes=-3", 10, [7, 9]],
    ["bytes=-99", 10, [0, 9]],
  ];
  for (const [header, size, [from, to]] of cases) {
    assertEquals(parseRange(header, size), { from, to }, header);
  }
  for (
    const header of [
      "bytes=-",
      "bytes=5-4",
      "bytes=10-",
      "bytes=-0",
      "bytes=0-1,3-4",
      "items=0-1",
      "bytes=a-b",
      "bytes=99999999999999999999-",
    ]
  ) {
    const error = assertThrows(() => parseRange(header, 10), StorageError, undefined, header);
    assertEquals(error.httpStatus, 416);
  }
  assertThrows(() => parseRange("bytes=0-", 0), StorageError);
});

Deno.test("robots tags are checked rule by rule", () => {
  for (
    const tag of [
      "noindex",
      "noindex, nofollow",
      "max-snippet: -1",
      "max-image-preview: large, noindex",
      "unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, noindex",
      "googlebot: noindex, nofollow",
    ]
  ) assertRobotsTag(tag);
  const refused: Record<string, string> = {
    " ": "X-Robots-Tag header value must be a non-empty string",
    "noindex,,nofollow": "X-Robots-Tag header contains empty rule",
    "invalidrule": 'Invalid X-Robots-Tag rule: "invalidrule"',
    "max-snippet: -2": 'X-Robots-Tag "max-snippet" value must be an integer >= -1, got: "-2"',
    "max-image-preview: big":
      'X-Robots-Tag "max-image-preview" value must be one of: none, standard, large, got: "big"',
    "max-snippet:": 'X-Robots-Tag rule "max-snippet" requires a value',
    "googlebot:": 'X-Robots-Tag user agent "googlebot" has no rules specified',
    "unavailable_after: never":
      'X-Robots-Tag "unavailable_after" value must be a valid date, got: "never"',
  };
  for (const [tag, why] of Object.entries(refused)) {
    assertEquals(refusal(() => assertRobotsTag(tag)), `Invalid X-Robots-Tag header: ${why}`);
  }
});

Deno.test("a cursor survives the way to the client and back, and a forged one is refused", () => {
  const cursor = {
    startAfter: "a/b: c",
    sortOrder: "desc",
    sortColumn: "created_at",
    sortColumnAfter: "2026-01-01T00:00:00.123Z",
  } as const;
  assertEquals(decodeCursor(encodeCursor(cursor)), cursor);
  assertEquals(
    refusal(() => decodeCursor(btoa("nonsense"))),
    "Invalid Parameter continuation token",
  );
  const forged = decodeCursor(btoa("l:a\nc:name; drop table x\no:sideways"));
  assertEquals(forged.sortColumn, undefined);
  assertEquals(forged.sortOrder, "asc");
});

Deno.test("schemas convert what is meant and word a misfit as the real validator does", () => {
  const schema: Schema = {
    type: "object",
    properties: {
      limit: { type: "integer", minimum: 1 },
      flag: { type: "boolean" },
      names: { type: "array", items: { type: "string" }, minItems: 1, maxItems: 2 },
      order: { type: "string", enum: ["asc", "desc"] },
    },
    required: ["limit"],
  };
  assertEquals(validate("querystring", schema, { limit: "5", flag: "true" }), {
    limit: 5,
    flag: true,
  });
  const refused: [unknown, string][] = [
    [undefined, "body must be object"],
    [[], "body must be object"],
    [{}, "body must have required property 'limit'"],
    [{ limit: 0 }, "body/limit must be >= 1"],
    [{ limit: "x" }, "body/limit must be integer"],
    [{ limit: 1, flag: "x" }, "body/flag must be boolean"],
    [{ limit: 1, names: [] }, "body/names must NOT have fewer than 1 items"],
    [{ limit: 1, names: ["a", "b", "c"] }, "body/names must NOT have more than 2 items"],
    [{ limit: 1, names: ["a", {}] }, "body/names/1 must be string"],
    [{ limit: 1, order: "up" }, "body/order must be equal to one of the allowed values"],
  ];
  for (const [value, message] of refused) {
    assertEquals(refusal(() => validate("body", schema, value)), message);
  }
});
