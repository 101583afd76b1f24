import { assertEquals, assertStrictEquals } from "../../../scripts/testing/assert.ts";
import { AppError } from "../_shared/errors.ts";
import type { FileType } from "../_shared/media_types.ts";
import { type Declared, inspect } from "../uploads/content/inspect.ts";
import type { ContentSource } from "../uploads/content/source.ts";
import { buildArchive, GOOD_MANIFEST } from "./archives.ts";
import { checksumOf, loadFixtures } from "./fixtures.ts";

/** Bytes in memory, streamed in pieces of a size that no structure is aligned to. */
function memorySource(bytes: Uint8Array, piece = 4099): ContentSource {
  return {
    size: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
    stream: () => {
      let offset = 0;
      return Promise.resolve(
        new ReadableStream<Uint8Array>({
          pull(controller) {
            if (offset >= bytes.length) return controller.close();
            controller.enqueue(bytes.slice(offset, offset + piece));
            offset += piece;
          },
        }),
      );
    },
  };
}

async function declare(
  bytes: Uint8Array<ArrayBuffer>,
  over: Partial<Declared> = {},
): Promise<Declared> {
  return {
    fileName: "app.zip",
    fileType: "source",
    contentType: "application/zip",
    size: bytes.length,
    checksum: await checksumOf(bytes),
    version: "1.0.0",
    ...over,
  };
}

async function refusal(bytes: Uint8Array, declared: Declared): Promise<AppError> {
  try {
    await inspect(memorySource(bytes), declared);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("The file was accepted.");
}

for (const fixture of await loadFixtures()) {
  Deno.test(`refuses ${fixture.name}`, async () => {
    const { upload } = fixture;
    const error = await refusal(
      fixture.content,
      await declare(fixture.content, {
        fileName: upload.file_name,
        fileType: upload.file_type as FileType,
        contentType: upload.content_type,
        ...(upload.file_size !== undefined && { size: upload.file_size }),
        ...(upload.checksum !== undefined && { checksum: upload.checksum }),
      }),
    );
    assertEquals(
      [error.code, error.entry.status],
      [fixture.expect.code, fixture.expect.status],
      error.detail,
    );
    const expected = fixture.expect.errors;
    if (!expected) return;
    const byPath = (a: { path: string }, b: { path: string }) => a.path < b.path ? -1 : 1;
    const found = (error.options.errors ?? []).toSorted(byPath);
    assertEquals(found.length, expected.length, JSON.stringify(found));
    for (const [index, wanted] of expected.toSorted(byPath).entries()) {
      assertEquals({ ...found[index], ...wanted }, found[index]);
    }
  });
}

const INDEX = { name: "index.js", text: "console.log(1)\n" };
const GOOD_ENTRIES = [{ name: "manifest.json", manifest: true as const }, INDEX, {
  name: "lib/",
  text: "",
}];

Deno.test("accepts a zip, a tar and a gzipped tar, and reads their manifest", async () => {
  for (
    const [format, contentType] of [
      ["zip", "application/zip"],
      ["tar", "application/x-tar"],
      ["tar.gz", "application/gzip"],
    ] as const
  ) {
    const bytes = buildArchive({ format, entries: GOOD_ENTRIES });
    const { manifest, metadata } = await inspect(
      memorySource(bytes),
      await declare(bytes, { contentType }),
    );
    assertEquals(manifest?.name, GOOD_MANIFEST.name, format);
    assertEquals(manifest?.runtime.backend, {
      type: "node",
      entrypoint: "index.js",
      package_manager: "pnpm",
    });
    assertEquals([metadata.entries, metadata.manifest], [3, "manifest.json"], format);
  }
});

Deno.test("accepts zips as streaming tools write them, with sizes after the content", async () => {
  const bytes = buildArchive({
    format: "zip",
    entries: GOOD_ENTRIES.map((entry) => ({
      ...entry,
      ...(entry.name === INDEX.name && { descriptor: true as const }),
    })),
  });
  assertEquals(
    (await inspect(memorySource(bytes), await declare(bytes))).manifest?.version,
    "1.0.0",
  );
});

Deno.test("accepts archives whose names begin with ./", async () => {
  const entries = [
    { name: "./" },
    ...GOOD_ENTRIES.map((entry) => ({ ...entry, name: `./${entry.name}` })),
  ];
  const bytes = buildArchive({ format: "tar", entries });
  const { manifest } = await inspect(
    memorySource(bytes),
    await declare(bytes, { contentType: "application/x-tar" }),
  );
  assertEquals(manifest?.version, "1.0.0");
});

Deno.test("reads the same from a stream of single bytes", async () => {
  for (
    const [format, contentType] of [["zip", "application/zip"], [
      "tar.gz",
      "application/gzip",
    ]] as const
  ) {
    const bytes = buildArchive({ format, entries: GOOD_ENTRIES });
    const { manifest } = await inspect(
      memorySource(bytes, 1),
      await declare(bytes, { contentType }),
    );
    assertEquals(manifest?.version, "1.0.0");
  }
});

Deno.test("an archive that is no source needs no manifest, but the same safety", async () => {
  const bytes = buildArchive({ format: "zip", entries: [INDEX] });
  const { manifest, metadata } = await inspect(
    memorySource(bytes),
    await declare(bytes, { fileType: "build" }),
  );
  assertStrictEquals(manifest, undefined);
  assertEquals(metadata, { entries: 1, unpacked_size: INDEX.text.length });
  const unsafe = buildArchive({ format: "zip", entries: [{ name: "../x", text: "x" }] });
  assertEquals(
    (await refusal(unsafe, await declare(unsafe, { fileType: "build" }))).code,
    "archive_path_unsafe",
  );
});

Deno.test("accepts plain files of each type", async () => {
  const png = Uint8Array.from(
    atob(
      "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    ),
    (c) => c.charCodeAt(0),
  );
  const text = (value: string) => new TextEncoder().encode(value);
  const cases: Array<[string, Uint8Array<ArrayBuffer>]> = [
    ["image/png", png],
    ["image/jpeg", Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0)],
    [
      "image/svg+xml",
      text('<?xml version="1.0"?>\n<!-- made by hand -->\n<svg width="1"><path d="M0 0"/></svg>'),
    ],
    [
      "image/svg+xml",
      text(
        '\ufeff<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">' +
          "<s:svg xmlns:s='http://www.w3.org/2000/svg'><!-- <script> --><style><![CDATA[a > b {}]]></style></s:svg>",
      ),
    ],
    ["application/json", text('{"a":[1,-2.5e+3,true,null,"\\u00e9\\n",{}],"b":[]}')],
    ["application/json", text(" 12 ")],
    ["text/html", text("\n<!doctype html><p>hi</p>")],
    ["text/css", text("a { color: red }")],
    ["application/javascript", text("if (1 < 2) {}")],
    ["application/octet-stream", Uint8Array.of(0, 1, 2)],
  ];
  for (const [contentType, bytes] of cases) {
    await inspect(memorySource(bytes), await declare(bytes, { fileType: "asset", contentType }));
  }
});
