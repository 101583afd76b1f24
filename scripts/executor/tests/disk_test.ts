/** An executor on a disk that is full, or becomes so: no app is blamed for it, and all goes on once there is room. */
import { statfsSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../testing/assert.ts";
import { Disk } from "../disk.ts";
import { createLogger } from "../log.ts";
import { packTree } from "../pack.ts";
import { childrenOf, processTree } from "../sandbox/processes.ts";
import { findProgram, isReadableByAll, locateRuntimes } from "../sandbox/runtimes.ts";
import type { Entry } from "./archive_builders.ts";
import { isRoot } from "./places.ts";
import { startRegistry } from "./registry.ts";
import { eventually, type ExecutorProcess, type Row, World } from "./world.ts";

const MIB = 1024 * 1024;
const FAST = ["--sandbox", "bubblewrap", "--poll-interval", "0.05"];
/** On top of what an executor keeps there. */
const DISK_BYTES = 128 * MIB;
const TOO_LITTLE = "not the app's fault: there was too little room on its disk (";

Deno.test("an executor whose disk is full", async (t) => {
  const world = await World.start();
  const large = { "index.js": "module.exports = 1;", "data": noise(7 * MIB) };
  const registry = startRegistry([{ name: "large", version: "1.0.0", files: large }]);
  const workDir = await Deno.makeTempDir({ prefix: "a b" });
  await Deno.chmod(workDir, isRoot() ? 0o711 : 0o700);
  try {
    const executor = world.start(
      [
        ...[...FAST, "--concurrency", "1", "--builds", "1", "--work-dir", workDir],
        ...["--min-free", "8", "--registry", registry.url],
      ],
      {},
      undefined,
      onSmallDisk(workDir),
    );
    await executor.logged("executor started");
    const disk = new SmallDisk(executor, workDir);

    await t.step("claims nothing while there is too little room", async () => {
      disk.leave(2 * MIB);
      await executor.logged("disk short of room");
      const app = await world.app({ files: "works-as-module" });
      const ids = [await world.request(app), await world.request(app)];
      disk.leave(Infinity);
      for (const id of ids) {
        const run = await world.until(id, "success", "failed");
        assertEquals([run.status, run.attempt, run.attempt_history], ["success", 1, []]);
      }
    });

    const installs: Options = {
      files: [index(`require("large")`)],
      backend: { dependencies: { large: "1.0.0" } },
    };
    await t.step(
      "blames no build for package managers that cannot be copied, and tries it again",
      async () => {
        disk.leave(12 * MIB);
        const id = await world.build(await world.app(installs));
        const first = await eventually("the build is tried again", async () => {
          const { attempt_history } = await world.buildRow(id);
          return attempt_history.at(0);
        });
        assertEquals(first.outcome, "failed");
        assertStringIncludes(first.error, TOO_LITTLE);
        disk.leave(Infinity);
        assertEquals((await world.untilBuild(id, "success", "failed")).build_status, "success");
      },
    );
    for (const [room, apps] of rounds(installs)) {
      await t.step(`blames no app for it: ${Object.keys(apps).join(", ")}`, async () => {
        disk.leave(room);
        for (const [what, options] of Object.entries(apps)) {
          const run = await finished(world, options, { max_attempts: 1 });
          assertEquals(run.status, "failed", what);
          assertStringIncludes(run.error_message, TOO_LITTLE, what);
          if (what !== SPEAKS) continue;
          assertEquals(await world.object("app-logs", run.logs_path), "oh\n", "its log is kept");
        }
        disk.leave(Infinity);
        const run = await finished(world, { files: "works-as-module" });
        assertEquals([run.status, run.error_message], ["success", null], "there is room again");
      });
    }
    await t.step("nothing is left, and it ends as it should", async () => {
      await eventually("no run's folder is left", () => disk.runs().length === 0 || null);
      assertEquals(disk.deletedButOpen(), []);
      Deno.kill(disk.pid, "SIGTERM");
      assertEquals(await executor.exited, 0, executor.text);
    });
    await t.step("one whose log cannot be written works all the same", async () => {
      const silent = world.start([...FAST, "--work-dir", workDir], {}, undefined, [
        ...["sh", "-c", `exec "$@" 2>/dev/full`, "sh"],
      ]);
      const run = await finished(world, { files: "works-as-module" });
      assertEquals(run.status, "success", run.error_message);
      assertEquals(await silent.kill("SIGTERM"), 0);
    });
  } finally {
    await world.close();
    await registry.close();
    await Deno.remove(workDir, { recursive: true });
  }
});

Deno.test("a reserve that is not there holds claims back, and excuses no app", () => {
  const disk = new Disk(Deno.cwd(), Infinity, createLogger("text", () => {}));
  assertEquals([disk.hasRoom(), disk.wasShortSince(0)], [false, false]);
});

Deno.test("a build that cannot be packed leaves no file open", async () => {
  const root = await Deno.makeTempDir({ prefix: "a b" });
  try {
    for (const name of ["a", "b"]) await Deno.writeFile(join(root, name), noise(4 * MIB));
    const stopped = AbortSignal.abort(new Error("stopped"));
    await assertRejects(() => packTree(root, "/dev/full", new AbortController().signal));
    await assertRejects(() => packTree(root, "/dev/null", stopped));
    await eventually("no file is open", () => openFiles(Deno.pid, root).length === 0 || null);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

/** bubblewrap makes file systems with a bound, for whoever asks. */
function onSmallDisk(folder: string): string[] {
  const runtimes = locateRuntimes();
  assert(typeof runtimes !== "string");
  const copied = isRoot() ? Object.values(runtimes).filter((each) => !isReadableByAll(each)) : [];
  const size = copied.reduce((sum, path) => sum + Deno.statSync(path).size, DISK_BYTES);
  return [
    ...[findProgram("bwrap")!, "--die-with-parent", ...(isRoot() ? ["--cap-add", "ALL"] : [])],
    ...["--dev-bind", "/", "/", "--size", `${size}`, "--tmpfs", folder, "--"],
  ];
}

class SmallDisk {
  /** Of the executor itself. */
  readonly pid: number;
  readonly #root: string;

  constructor(executor: ExecutorProcess, folder: string) {
    this.pid = childrenOf(executor.pid)[0];
    this.#root = `/proc/${this.pid}/root${folder}`;
  }

  /** Fills it until so much is left. */
  leave(bytes: number): void {
    const path = join(this.#root, "ballast");
    Deno.writeFileSync(path, new Uint8Array());
    const { bavail, bsize } = statfsSync(this.#root);
    const size = Math.max(0, bavail * bsize - bytes);
    Deno.writeFileSync(path, new Uint8Array(bytes === Infinity ? 0 : size));
  }

  runs(): string[] {
    return [...Deno.readDirSync(this.#root)].filter(({ isDirectory }) => isDirectory)
      .flatMap(({ name }) => [...Deno.readDirSync(join(this.#root, name))])
      .map(({ name }) => name).filter((name) => name.startsWith("run-"));
  }

  /** Files that take room though nobody finds them. */
  deletedButOpen(): string[] {
    return processTree(this.pid).flatMap((pid) => openFiles(pid, "(deleted)"))
      .filter((path) => path.includes("/run-"));
  }
}

function openFiles(pid: number, text: string): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      return ""; // Closed meanwhile.
    }
  }).filter((path) => path.includes(text));
}

const SPEAKS = "an app that fails by itself, and says something";

type Options = Parameters<World["app"]>[0];

/**
 * Apps that do not fit, each at another place, and how much room there is for them. Few at a time: after each failure the executor
 * pauses longer, until something succeeds.
 */
function rounds(installs: Options): [number, Record<string, Options>][] {
  const data = noise(8 * MIB);
  const write = (size: number) =>
    `require("fs").writeFileSync(process.env.STOWAGE_OUTPUT_DIR + "/x", Buffer.alloc(${
      size * MIB
    }));`;
  const large = { name: "data", content: noise(13 * MIB), stored: true };
  return [
    [12 * MIB, {
      "an archive that is pulled": { files: [index(""), large] },
      "a zip that is extracted": {
        files: [index(""), { name: "data", content: data, stored: true }],
      },
      "a tar.gz that is extracted": {
        files: [index(""), { name: "data", content: data }],
        format: "tar.gz",
      },
    }],
    [9 * MIB, {
      "a log": { files: [index(`process.stdout.write(Buffer.alloc(9.9 * ${MIB}, "x"));`)] },
      "an output": { files: [index(write(13))] },
      [SPEAKS]: { files: [index(`${write(4)} console.log("oh"); process.exitCode = 1;`)] },
    }],
    [12 * MIB, { "packages that are installed": installs }],
  ];
}

async function finished(world: World, options: Options, values: Row = {}): Promise<Row> {
  const app = await world.app(options);
  return await world.until(await world.request(app, values), "success", "failed", "timeout");
}

function index(content: string): Entry {
  return { name: "index.js", content };
}

/** What does not become smaller when it is packed. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(length, at + 65_536)));
  }
  return bytes;
}
