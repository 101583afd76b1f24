/** Bad requests, made from what good ones are like. */
import fc from "fast-check";
import type { Schema, Target } from "./targets.ts";

export interface BadRequest {
  target: Target;
  method: string;
  /** Below the function's name, percent-encoded, with the query. */
  path: string;
  headers: [string, string][];
  body?: string | Uint8Array<ArrayBuffer>;
  as: "owner" | "outsider" | "nobody" | "publishable" | "forged";
}

/** Occurs in what is sent, and must not occur in what is logged. */
export const MARKER = "Hunter2-must-not-be-logged";

const NASTY_TEXTS = [
  ...[
    "",
    " ",
    "null",
    "undefined",
    "true",
    "-1",
    "0",
    "1e999",
    "NaN",
    "__proto__",
    "constructor",
    "toString",
  ],
  ...[
    "\0",
    "a\0b",
    "\u202e\u2066",
    "\ufeff",
    "é",
    "🐳👩‍👩‍👧‍👦",
    "\ud800",
    "\udfff\ud800",
    "\uffff",
    "ﷺ".repeat(50),
  ],
  ...[
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "//",
    "\\",
    "%00",
    "%2e%2e%2f",
    "%ff",
    "%",
    "a/b/c",
    "C:\\",
  ],
  ...[
    "'; drop table app_runs; --",
    "' or '1'='1",
    '")),(id.gt.0',
    "*",
    "eq.1",
    "in.(1,2)",
    "{{7*7}}",
    "${7*7}",
  ],
  ...[
    "<script>alert(1)</script>",
    "\r\nx-injected: 1",
    "javascript:alert(1)",
    "$(id)",
    "`id`",
    "|id",
  ],
  ...[
    "2025-02-30T25:61:61Z",
    "0000-01-01T00:00:00Z",
    "999999-01-01T00:00:00Z",
    "2025-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "infinity",
    "now()",
  ],
  ...[
    "99999999999999999999",
    "-9223372036854775809",
    "1.0.0-".padEnd(300, "a.b"),
    "@every 1s",
    "* * * * * *",
  ],
  ...[MARKER, `Bearer ${MARKER}`, "x".repeat(3000), "٣", "Ⅷ", "ａ", "K", "ı"],
];

const nastyText = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...NASTY_TEXTS) },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
  { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 40 }) },
);

const deep = (depth: number, open: unknown): unknown => {
  let value = open;
  for (let level = 0; level < depth; level++) value = level % 2 ? [value] : { a: value };
  return value;
};

const nastyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: nastyText },
  {
    weight: 3,
    arbitrary: fc.constantFrom<unknown>(
      ...[null, true, false, 0, -0, 1.5, -1, 2 ** 31, 2 ** 53, 1e21, 1e308, 5e-324, [], {}],
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom(60, 70, 500, 3000).map((depth) => deep(depth, 1)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      Array.from({ length: 5000 }, () => 0),
      Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`k${at}`, at])),
      "y".repeat(100_000),
      JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'),
    ),
  },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
);

/** A value like the schema says, as far as that goes: what is near to being right gets furthest. */
function like(schema: Schema | undefined, ids: string[]): fc.Arbitrary<unknown> {
  if (!schema) return nastyValue;
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
  if ("const" in schema) return fc.constant(schema.const);
  const union = (schema.anyOf ?? schema.oneOf) as Schema[] | undefined;
  if (union) return fc.oneof(...union.map((part) => like(part, ids)));
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case "object": {
      const properties = schema.properties as Record<string, Schema> | undefined;
      if (!properties) {
        return fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }));
      }
      const required = (schema.required as string[] | undefined) ?? [];
      return fc.record(
        Object.fromEntries(
          Object.entries(properties).map(([name, part]) => [name, like(part, ids)]),
        ),
        { requiredKeys: required.filter((name) => name in properties) },
      );
    }
    case "array":
      return fc.array(like(schema.items as Schema, ids), { maxLength: 4 });
    case "integer":
    case "number":
      return fc.integer({
        min: Math.max(Number(schema.minimum ?? -1000), -(2 ** 31)),
        max: Math.min(Number(schema.maximum ?? 1000), 2 ** 31 - 1),
      });
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    default:
      return textLike(schema, ids);
  }
}

function textLike(schema: Schema, ids: string[]): fc.Arbitrary<string> {
  if (schema.format === "uuid") return fc.constantFrom(...ids);
  if (schema.format === "date-time") {
    return fc.constantFrom("2025-07-21T09:00:00Z", "2025-07-21T09:00:00.123456+05:30");
  }
  return fc.constantFrom(
    ...[
      "1.0.0",
      "2.0.0-rc.1+b",
      "dist/index.js",
      "@daily",
      "0 6 * * mon-fri",
      "Europe/Berlin",
      "Name",
      "a-slug",
    ],
    ...[`sha256:${"0".repeat(64)}`, "application/zip", "text/javascript", "https://example.com/"],
  );
}

/** The value with something in it replaced, taken away, or added. */
function spoil(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(
    value,
    nastyValue,
    fc.nat(),
    fc.constantFrom("replace", "remove", "add", "whole", "keep"),
  )
    .map(([good, bad, at, how]) => {
      if (typeof good !== "object" || good === null || how === "whole") {
        return how === "keep" ? good : bad;
      }
      const entries = Object.entries(good);
      if (how === "keep") return good;
      if (how === "add" || entries.length === 0) return { ...good, [`extra${at % 3}`]: bad };
      const [name] = entries[at % entries.length];
      if (how === "remove") return Object.fromEntries(entries.filter(([key]) => key !== name));
      return { ...good, [name]: bad };
    });
}

/** JSON that may be cut off, doubled, in another encoding, or no JSON at all. */
function text(value: fc.Arbitrary<unknown>): fc.Arbitrary<string | Uint8Array<ArrayBuffer>> {
  const json = value.map((value) => JSON.stringify(value) ?? "");
  return fc.oneof(
    { weight: 12, arbitrary: json },
    { weight: 1, arbitrary: json.map((text) => text.slice(0, -1)) },
    { weight: 1, arbitrary: json.map((text) => `${text}${text}`) },
    { weight: 1, arbitrary: json.map((text) => `\ufeff${text}`) },
    { weight: 1, arbitrary: json.map(utf16) },
    {
      weight: 1,
      arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes)),
    },
    { weight: 1, arbitrary: fc.constant("[".repeat(200_000)) },
    { weight: 1, arbitrary: fc.constant("x".repeat(300_000)) },
    { weight: 1, arbitrary: fc.constant('{"a":1e400,"b":"\\ud800","c":"\\u0000"}') },
    { weight: 1, arbitrary: nastyText },
  );
}

function utf16(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length * 2);
  for (let at = 0; at < text.length; at++) {
    bytes[2 * at] = text.charCodeAt(at) & 0xff;
    bytes[2 * at + 1] = text.charCodeAt(at) >> 8;
  }
  return bytes;
}

/** As `encodeURIComponent`, for any text. */
function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function pathOf(target: Target, ids: string[]): fc.Arbitrary<string> {
  const parts = target.path.split("/").slice(1).filter((part) => part !== "");
  const part = (name: string): fc.Arbitrary<string> => {
    if (!name.startsWith(":")) return fc.constant(name);
    return fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...ids, "1.0.0", "file.txt", "latest") },
      { weight: 2, arbitrary: nastyText.map(encoded) },
      // Percent signs that encode nothing, and bytes that are no UTF-8.
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          "%",
          "%zz",
          "%c3%28",
          "%ed%a0%80",
          "%00",
          "%2f%2e%2e",
          ";a=b",
          "+",
        ),
      },
    );
  };
  return fc.tuple(
    fc.tuple(...parts.map(part)),
    fc.oneof(
      { weight: 10, arbitrary: fc.constant("") },
      {
        weight: 1,
        arbitrary: fc.constantFrom("/", "//", "/..", "/extra", "/%00", "?", "/openapi.json"),
      },
    ),
  ).map(([parts, end]) => `/${parts.join("/")}${end}`);
}

function queryOf(target: Target, ids: string[]): fc.Arbitrary<string> {
  const names = [
    ...Object.keys(target.query),
    "apikey",
    "select",
    "or",
    "limit",
    "cursor",
    "__proto__",
  ];
  const pair = fc.constantFrom(...names).chain((name) =>
    fc.oneof(
      like(target.query[name] ?? { type: "string" }, ids).map(String),
      nastyText,
      fc.constantFrom("WyJjcmVhdGVkX2F0Iiwi", "W10", "bnVsbA", btoa('["created_at","x","y"]')),
    ).map((value) => `${encoded(name)}=${encoded(value)}`)
  );
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant("") },
    {
      weight: 3,
      arbitrary: fc.array(pair, { minLength: 1, maxLength: 4 }).map((pairs) => pairs.join("&")),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "%",
        "a=%zz",
        "&&&===",
        "=",
        "limit",
        `a=${"b".repeat(9000)}`,
        "limit=%ff",
      ),
    },
  );
}

const HEADERS = [
  ...["if-match", "if-none-match", "idempotency-key", "x-request-id", "range", "accept", "prefer"],
  ...[
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-http-method-override",
    "content-encoding",
    "cookie",
  ],
  ...[
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-client-info",
    "forwarded",
    "origin",
  ],
];

/** Header values are bytes: what cannot stand in one is taken out, which `fetch` would refuse to send. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e\x80-\xff]/g, "").trim().slice(0, 4000);
}

const headerPairs = fc.array(
  fc.tuple(
    fc.constantFrom(...HEADERS),
    fc.oneof(
      { weight: 20, arbitrary: nastyText.map(headerText) },
      { weight: 20, arbitrary: fc.constantFrom('"x"', "*", 'W/"', "bytes=0-", "1,2,,3") },
      { weight: 1, arbitrary: fc.constant("z".repeat(30_000)) },
    ),
  ),
  { maxLength: 3 },
);

const TYPES = [
  ...[
    "application/json",
    "application/json",
    "application/json",
    "application/json; charset=utf-16",
  ],
  ...[
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
  ],
  ...[
    "application/yaml",
    "text/yaml",
    "",
    "application/",
    "json",
    `application/json;${"a".repeat(500)}`,
  ],
];

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY"];

/** Bad requests to these targets. `ids` are those that a request may name: the caller's own, another's, and none. */
export function badRequest(targets: Target[], ids: string[]): fc.Arbitrary<BadRequest> {
  return fc.constantFrom(...targets).chain((target) => {
    const body = fc.oneof(
      { weight: 3, arbitrary: text(spoil(like(target.body, ids))) },
      { weight: 1, arbitrary: text(nastyValue) },
    );
    return fc.record({
      target: fc.constant(target),
      method: fc.oneof(
        { weight: 9, arbitrary: fc.constant(target.method) },
        { weight: 1, arbitrary: fc.constantFrom(...METHODS) },
      ),
      path: fc.tuple(pathOf(target, ids), queryOf(target, ids))
        .map(([path, query]) =>
          query === "" ? path : `${path}${path.includes("?") ? "&" : "?"}${query}`
        ),
      type: fc.constantFrom(...TYPES),
      headers: headerPairs,
      body,
      as: fc.oneof(
        { weight: 6, arbitrary: fc.constant("owner" as const) },
        { weight: 2, arbitrary: fc.constant("outsider" as const) },
        {
          weight: 1,
          arbitrary: fc.constantFrom("nobody" as const, "publishable" as const, "forged" as const),
        },
      ),
    }).map(({ type, headers, body, ...request }) => {
      const takesBody = !["GET", "HEAD", "OPTIONS"].includes(request.method);
      return {
        ...request,
        headers: takesBody ? [["content-type", type] as [string, string], ...headers] : headers,
        ...(takesBody && { body }),
      };
    });
  });
}
