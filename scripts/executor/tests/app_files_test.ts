/** What comes from storage, of a server that is lost in the middle, lies, or was given more than a host can hold. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "../../testing/assert.ts";
import { IntegrityError, pullApp } from "../app_files.ts";
import { DEFAULT_ARCHIVE_LIMITS } from "../archives/mod.ts";
import { AppError } from "../definition.ts";
import type { AppFile, Service } from "../service.ts";
import { type Entry, zip } from "./archive_builders.ts";

const FOLDER = "app_x/1.0.0/";
const LIMITS = { ...DEFAULT_ARCHIVE_LIMITS, totalBytes: 10_000, entries: 20 };

interface Stored {
  file: AppFile;
  bytes: Uint8Array;
}

function stored(name: string, bytes: Uint8Array, type = "source"): Stored {
  const checksum = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  return {
    bytes,
    file: { file_path: FOLDER + name, file_type: type, file_size: bytes.length, checksum },
  };
}

function archive(name: string, entries: Entry[]): Stored {
  return stored(name, zip(entries));
}

/** Pulls with a server that answers so; the names of what was placed. */
async function pulled(
  files: Stored[],
  answer: (bytes: Uint8Array, call: number) => ReadableStream<Uint8Array>,
): Promise<string[]> {
  const dir = await Deno.makeTempDir({ prefix: "stowage test " });
  const [appDir, scratchDir] = ["app", "scratch"].map((name) => join(dir, name));
  let calls = 0;
  const service = {
    download: (path: string) =>
      Promise.resolve(
        answer(files.find(({ file }) => file.file_path === path)!.bytes, ++calls),
      ),
  } as unknown as Service;
  try {
    for (const path of [appDir, scratchDir]) await Deno.mkdir(path);
    await pullApp(
      service,
      files.map(({ file }) => file),
      { folder: FOLDER, appDir, scratchDir, limits: LIMITS },
      new AbortController().signal,
    );
    assertEquals([...Deno.readDirSync(scratchDir)], [], "nothing is left of the archives");
    return [...Deno.readDirSync(appDir)].map(({ name }) => name).sort();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const whole = (bytes: Uint8Array) => new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();

Deno.test("a download that breaks off is asked for again", async () => {
  const calls: number[] = [];
  const names = await pulled([archive("a.zip", [{ name: "x", content: "x" }])], (bytes, call) => {
    calls.push(call);
    if (call > 1) return whole(bytes);
    let begun = false;
    return new ReadableStream({
      pull(controller) {
        if (begun) return controller.error(new TypeError("connection reset"));
        begun = true;
        controller.enqueue(bytes.subarray(0, 10));
      },
    });
  });
  assertEquals([names, calls], [["x"], [1, 2]]);
});

Deno.test("what is shorter, longer or other than was uploaded is not placed", async () => {
  const file = archive("a.zip", [{ name: "x", content: "x" }]);
  const answers: ((bytes: Uint8Array) => ReadableStream<Uint8Array>)[] = [
    (bytes) => whole(bytes.subarray(0, -1)),
    (bytes) => whole(bytes.map((byte, at) => at === 40 ? byte + 1 : byte)),
    () => whole(new Uint8Array()),
  ];
  for (const answer of answers) await assertRejects(() => pulled([file], answer), IntegrityError);
  let taken = 0;
  const endless = () =>
    new ReadableStream({
      pull(controller) {
        taken++;
        controller.enqueue(new Uint8Array(1000));
      },
    });
  await assertRejects(() => pulled([file], endless), IntegrityError);
  assert(taken < 10, "no more is read than there should be");
});

Deno.test("all archives of a version together hold no more than two may", async () => {
  const content = crypto.getRandomValues(new Uint8Array(4500));
  const each = (name: string) => archive(`${name}.zip`, [{ name, content }]);
  assertEquals(await pulled(["a", "b", "c", "d"].map(each), whole), ["a", "b", "c", "d"]);
  const error = await assertRejects(
    () => pulled(["a", "b", "c", "d", "e"].map(each), whole),
    AppError,
  );
  assert(error.message.includes("more than 20000 bytes"), error.message);
  // What is small until it is extracted.
  const flat = (name: string) => archive(`${name}.zip`, [{ name, content: new Uint8Array(9000) }]);
  await assertRejects(() => pulled(["a", "b", "c"].map(flat), whole), AppError, "more than 20000");
  const many = (name: string) =>
    archive(
      `${name}.zip`,
      Array.from({ length: 15 }, (_, i) => ({ name: `${name}${i}`, content: "" })),
    );
  await assertRejects(() => pulled(["a", "b", "c"].map(many), whole), AppError, "40 entries");
});

Deno.test("a file of one archive that is a folder of another is the app's fault", async () => {
  const file = archive("a.zip", [{ name: "x", content: "" }]);
  const folder = archive("b.zip", [{ name: "x/y", content: "" }]);
  const single = stored("x", new Uint8Array(1), "asset");
  for (const files of [[file, folder], [folder, file], [folder, single]]) {
    await assertRejects(() => pulled(files, whole), AppError, "the same name");
  }
});
