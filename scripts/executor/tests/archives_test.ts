import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "../../testing/assert.ts";
import {
  ArchiveError,
  type ArchiveErrorCode,
  DEFAULT_ARCHIVE_LIMITS,
  extractArchive,
  sniffArchive,
} from "../archives/mod.ts";
import { type Entry, gzip, tar, zip } from "./archive_builders.ts";

async function withDirectory<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await Deno.makeTempDir({ prefix: "stowage test " });
  try {
    return await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function extracting(
  bytes: Uint8Array,
  root: string,
  limits = DEFAULT_ARCHIVE_LIMITS,
): Promise<void> {
  const path = join(root, "..", "archive");
  return Deno.mkdir(root).then(() => Deno.writeFile(path, bytes)).then(() =>
    extractArchive(path, root, { limits })
  );
}

const builders: Record<string, (entries: Entry[]) => Uint8Array> = {
  zip,
  tar,
  "tar.gz": (entries) => gzip(tar(entries)),
};

async function refused(
  bytes: Uint8Array,
  code: ArchiveErrorCode,
  limits = DEFAULT_ARCHIVE_LIMITS,
): Promise<void> {
  await withDirectory(async (dir) => {
    const error = await assertRejects(
      () => extracting(bytes, join(dir, "app"), limits),
      ArchiveError,
    );
    assertEquals(error.code, code, error.message);
    const outside = [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
    assertEquals(outside, ["app", "archive"], "nothing was written outside the root");
  });
}

for (const [format, build] of Object.entries(builders)) {
  Deno.test(`${format}: files, folders and the executable bit come out as they went in`, async () => {
    await withDirectory(async (dir) => {
      const root = join(dir, "app");
      const large = new Uint8Array(300_000).map((_, i) => (i * 7919) >> 3);
      await extracting(
        build(
          [
            { name: "./manifest.json", content: "{}" },
            { name: "lib/", type: "5", mode: 0o040755 },
            { name: "lib/deep/module.js", content: "export {}" },
            { name: "Grüße.txt", content: "ja" },
            { name: "tool.sh", content: "#!", mode: 0o100755 },
            { name: "large.bin", content: large },
            { name: "empty", content: "" },
          ].filter((entry) => format === "zip" || entry.name !== "Grüße.txt").map((entry) =>
            format === "zip" ? { ...entry, name: entry.name.replace("./", "") } : entry
          ),
        ),
        root,
      );
      assertEquals(await Deno.readTextFile(join(root, "manifest.json")), "{}");
      assertEquals(await Deno.readTextFile(join(root, "lib/deep/module.js")), "export {}");
      assertEquals(await Deno.readFile(join(root, "large.bin")), large);
      assertEquals((await Deno.stat(join(root, "empty"))).size, 0);
      assertEquals((await Deno.stat(join(root, "tool.sh"))).mode! & 0o111, 0o111);
      assertEquals((await Deno.stat(join(root, "manifest.json"))).mode! & 0o111, 0);
      if (format === "zip") assertEquals(await Deno.readTextFile(join(root, "Grüße.txt")), "ja");
      assertEquals(await sniffArchive(join(dir, "archive")), format);
    });
  });

  const names: [string, string][] = [
    ["a parent path", "../x"],
    ["a parent path inside", "lib/../../x"],
    ["an absolute path", "/etc/x"],
    ["a drive letter", "C:/x"],
    ["a backslash", "lib\\x"],
    ["an empty component", "lib//x"],
    ["a dot component", "lib/./x"],
    ["a control character", "a\nb"],
    ["a component too long", "n".repeat(99) + "/" + "n".repeat(40)],
  ];
  for (const [what, name] of names) {
    Deno.test(`${format}: ${what} in a name is refused`, async () => {
      const limits = { ...DEFAULT_ARCHIVE_LIMITS, nameBytes: 98 };
      await refused(build([{ name, content: "x" }]), "unsafe_path", limits);
    });
  }

  Deno.test(`${format}: equal names are refused, also when they differ only by case or by a folder's case`, async () => {
    await refused(build([{ name: "a", content: "1" }, { name: "a", content: "2" }]), "duplicate");
    await refused(
      build([{ name: "Index.js", content: "1" }, { name: "index.js", content: "2" }]),
      "duplicate",
    );
    await refused(
      build([{ name: "Lib/a", content: "1" }, { name: "lib/b", content: "2" }]),
      "duplicate",
    );
    await refused(build([{ name: "a", content: "1" }, { name: "a/b", content: "2" }]), "duplicate");
  });

  Deno.test(`${format}: too many entries, too large a file and too much in all are refused`, async () => {
    const many = Array.from({ length: 101 }, (_, i) => ({ name: `f${i}`, content: "x" }));
    await refused(build(many), "too_many_entries", { ...DEFAULT_ARCHIVE_LIMITS, entries: 100 });
    const parents = Array.from({ length: 60 }, (_, i) => ({ name: `d${i}/f`, content: "x" }));
    await refused(build(parents), "too_many_entries", { ...DEFAULT_ARCHIVE_LIMITS, entries: 100 });
    const noise = crypto.getRandomValues(new Uint8Array(40_000));
    const files = [{ name: "a", content: noise }, { name: "b", content: noise }];
    await refused(build(files), "too_large", { ...DEFAULT_ARCHIVE_LIMITS, fileBytes: 30_000 });
    await refused(build(files), "too_large", { ...DEFAULT_ARCHIVE_LIMITS, totalBytes: 70_000 });
  });

  Deno.test(`${format}: a truncated file is refused`, async () => {
    const whole = build([{ name: "a", content: crypto.getRandomValues(new Uint8Array(20_000)) }]);
    await refused(whole.subarray(0, 10_000), "unreadable");
  });
}

for (const format of ["zip", "tar.gz"]) {
  Deno.test(`${format}: a bomb is refused soon after its ratio is passed`, async () => {
    const bomb = builders[format]([{ name: "zeros", content: new Uint8Array(64 * 1024 * 1024) }]);
    assert(bomb.length < 100_000);
    await refused(bomb, "ratio_exceeded");
  });
}

Deno.test("zip: a symbolic link, a device and an encrypted entry are refused", async () => {
  await refused(
    zip([{ name: "link", content: "/etc/shadow", mode: 0o120777 }]),
    "unsupported_entry",
  );
  await refused(zip([{ name: "fifo", content: "", mode: 0o010644 }]), "unsupported_entry");
  await refused(zip([{ name: "secret", content: "x", flags: 1 }]), "encrypted");
});

Deno.test("zip: headers that disagree, wrong checksums, overlaps and lies about sizes are refused", async () => {
  await refused(zip([{ name: "a.js", localName: "../b", content: "x" }]), "corrupt");
  await refused(zip([{ name: "a.js", content: "x", crc: 1 }]), "corrupt");
  await refused(
    zip([{ name: "a", content: "x" }, { name: "b", content: "x", sameDataAs: 0, localName: "a" }]),
    "corrupt",
  );
  await refused(zip([{ name: "a", content: "x".repeat(5000), declaredSize: 10 }]), "unreadable");
});

Deno.test("tar: links and special files are refused", async () => {
  for (const type of ["1", "2", "3", "4", "6"]) {
    await refused(tar([{ name: "entry", type, linkName: "/etc/shadow" }]), "unsupported_entry");
  }
});

Deno.test("tar: a file below a link's name cannot be written, since the link is refused first", async () => {
  await refused(
    tar([{ name: "out", type: "2", linkName: "/tmp" }, { name: "out/x", content: "x" }]),
    "unsupported_entry",
  );
});

Deno.test("tar: two layers of compression are refused", async () => {
  await refused(gzip(gzip(tar([{ name: "a", content: "x" }]))), "unknown_format");
});

Deno.test("tar: many small files arrive whole and in order", async () => {
  await withDirectory(async (dir) => {
    const root = join(dir, "app");
    const files = Array.from(
      { length: 2000 },
      (_, i) => ({ name: `d${i % 7}/f${i}`, content: `${i}` }),
    );
    await extracting(gzip(tar(files)), root);
    for (const { name, content } of files) {
      assertEquals(await Deno.readTextFile(join(root, name)), content);
    }
  });
});

Deno.test("what is no archive is refused by its content", async () => {
  await refused(new TextEncoder().encode("<html>".repeat(200)), "unknown_format");
  await refused(new Uint8Array(), "unknown_format");
});
