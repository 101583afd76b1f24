import { join } from "node:path";
import { assert, assertEquals, assertMatch } from "../../testing/assert.ts";
import { LogFile } from "../log_files.ts";
import { collectOutputs, objectName } from "../outputs.ts";

/** What storage and the database take as the path of an object (private.is_safe_path). */
function isSafe(path: string): boolean {
  return path.length >= 1 && path.length <= 512 && /^[A-Za-z0-9._@+=,()/ -]+$/.test(path) &&
    !/(^|\/)(\.{1,2})?(\/|$)/.test(path) && !/(^|\/) | (\/|$)/.test(path);
}

async function inDirectory(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("every name becomes the name of an object, and different ones stay different", () => {
  const names = [
    "a.csv",
    "data/a.csv",
    "täble.csv",
    "tüble.csv",
    "a b.csv",
    "a  b .csv",
    "100%.txt",
    "..x",
    "a?b",
    "a*b",
    "日本.png",
    "x".repeat(500),
    `${"x".repeat(499)}y`,
    "a\nb",
    ".env",
    ". ./x",
    "-",
    " ",
    // Cut where half a name would begin with a dot, be ".." or look like one that was replaced.
    `${"x".repeat(50)}.${"y".repeat(99)}`,
    `a ${".".repeat(3)}/${["y", "z", "w"].map((each) => each.repeat(98)).join("/")}/v`,
    `${"é".repeat(6)}/${"..."}/${["y", "z", "w"].map((each) => each.repeat(97)).join("/")}/vw`,
    objectName("tëble.csv"),
    "tëble.csv",
    "\u{1f600}".repeat(200),
  ];
  const objects = names.map(objectName);
  for (const [i, object] of objects.entries()) assert(isSafe(object), `${names[i]} → ${object}`);
  assertEquals(new Set(objects).size, names.length);
  assertEquals(objectName("data/a.csv"), "data/a.csv");
  assertMatch(objectName("täble.csv"), /^t_ble-[0-9a-f]{8}\.csv$/);
});

Deno.test("files are collected, links and too many are not, the result is read", async () => {
  await inDirectory(async (dir) => {
    await Deno.writeTextFile(join(dir, "result.json"), '{"a":[1,null]}');
    await Deno.mkdir(join(dir, "deep/er"), { recursive: true });
    await Deno.writeTextFile(join(dir, "deep/er/x.png"), "x");
    await Deno.symlink("/etc/passwd", join(dir, "link"));
    await Deno.symlink("/etc", join(dir, "deep/etc"));
    const outputs = await collectOutputs(dir, 10);
    assertEquals(outputs.result, { a: [1, null] });
    assertEquals(outputs.files.map(({ name, contentType }) => [name, contentType]), [[
      "deep/er/x.png",
      "image/png",
    ]]);
    assertEquals(outputs.skipped.sort(), ["deep/etc", "link"]);
    for (let i = 0; i < 20; i++) await Deno.writeTextFile(join(dir, `f${i}`), "x");
    const many = await collectOutputs(dir, 10);
    assert(many.files.length <= 10 && many.skipped.length >= 12);
  });
});

Deno.test("a result that the database could not keep stays a file", async () => {
  for (
    const text of [
      String.raw`{"a":"\u0000"}`,
      String.raw`["\ud800"]`,
      "null",
      `"${"x".repeat(1024 * 1024)}"`,
      `${"[".repeat(5000)}${"]".repeat(5000)}`,
    ]
  ) {
    await inDirectory(async (dir) => {
      await Deno.writeTextFile(join(dir, "result.json"), text);
      const outputs = await collectOutputs(dir, 10);
      assertEquals([outputs.result, outputs.resultError, outputs.files.length], [
        undefined,
        undefined,
        1,
      ]);
    });
  }
});

Deno.test("hostile names and modes are no obstacle", async () => {
  await inDirectory(async (dir) => {
    const { success } = await new Deno.Command("/bin/sh", {
      // Two names that are no text, and one that is what both are read as.
      args: [
        "-c",
        `touch "$(printf '\\377')" "$(printf '\\376')" "$1" "$(printf 'a\\nb')"; mkfifo pipe`,
        "sh",
        "\ufffd",
      ],
      cwd: dir,
    }).output();
    assert(success);
    await Deno.writeTextFile(join(dir, "result.json"), "{}", { mode: 0 });
    const outputs = await collectOutputs(dir, 10);
    assertEquals(outputs.result, {});
    assertEquals(outputs.files.map(({ name }) => name).sort(), ["a\nb", "\ufffd"]);
    assertEquals(outputs.skipped.sort(), ["pipe", "\ufffd", "\ufffd"]);
  });
});

Deno.test("a log keeps what fits, counts the rest and says so", async () => {
  await inDirectory(async (dir) => {
    const path = join(dir, "log");
    const log = await LogFile.create(path, 10);
    const bytes = new TextEncoder();
    await log.append(bytes.encode("12345678"));
    assert(!log.truncated);
    await log.append(bytes.encode("90abc"));
    await log.append(bytes.encode("def"));
    await log.close();
    assertEquals([log.truncated, log.written], [true, 16]);
    assertEquals(
      await Deno.readTextFile(path),
      "1234567890\n[log truncated: 10 of 16 bytes kept]\n",
    );
  });
});
