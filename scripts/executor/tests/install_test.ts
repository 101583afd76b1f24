/** What an installer makes of what its sandbox did, which is none here: an install of any hostility, at no cost. */
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "../../testing/assert.ts";
import { AppError, definitionOf } from "../definition.ts";
import { Installer } from "../install/mod.ts";
import { createLogger } from "../log.ts";
import { DEFAULT_BOUNDS } from "../sandbox/limits.ts";
import type { Outcome, Sandbox, SandboxSpec } from "../sandbox/types.ts";
import { makeRunDir, type RunDir } from "../work_dir.ts";

const MANIFEST = { runtime: { backend: { type: "node", dependencies: { left: "^1.0.0" } } } };

type Act = (spec: SandboxSpec) => Outcome | Promise<Outcome>;
type Install = (act: Act, check?: (dir: RunDir) => void) => Promise<void>;

/** The work gets a function that installs with a sandbox that does `act` in the place of a package manager. */
async function withInstaller(work: (install: Install) => Promise<void>): Promise<void> {
  const workDir = await Deno.makeTempDir({ prefix: "stowage " });
  let act: Act;
  const sandbox: Sandbox = {
    name: "none",
    isolating: false,
    check: () => Promise.resolve({ available: true, unenforced: [], details: {} }),
    run: async (spec) => await act(spec),
    close: () => Promise.resolve(),
  };
  const installer = new Installer(
    { sandbox, bounds: DEFAULT_BOUNDS, workDir, registry: "http://127.0.0.1:9/" },
    createLogger("text", () => {}),
  );
  const definition = definitionOf(MANIFEST, DEFAULT_BOUNDS);
  const sink = () => Promise.resolve();
  try {
    await work(async (next, check) => {
      act = next;
      const dir = await makeRunDir(workDir);
      await installer.install(definition, dir, "id", sink, new AbortController().signal);
      assertEquals([...Deno.readDirSync(dir.output)], [], "nothing is left to be taken for output");
      check?.(dir);
    });
  } finally {
    await Deno.remove(workDir, { recursive: true });
  }
}

const DONE: Outcome = { kind: "exited", code: 0 };

Deno.test("installs", async (t) => {
  await withInstaller(async (install) => {
    await t.step("an install has five minutes and a gigabyte, and says so past them", async () => {
      const ask: number[] = [];
      await assertRejects(
        () =>
          install(({ limits }) => {
            ask.push(limits.timeoutSeconds, limits.memoryMegabytes);
            return { kind: "timeout", seconds: limits.timeoutSeconds };
          }),
        AppError,
        "Installing the app's packages took longer than 300 s.",
      );
      assertEquals(ask, [300, 1024]);
      await assertRejects(
        () => install(() => ({ kind: "out_of_memory", megabytes: 1024 })),
        AppError,
        "more than 1024 MB of memory",
      );
    });
    await t.step("what a hostile install leaves leads nowhere", () => followNothing(install));
  });
});

async function followNothing(install: Install): Promise<void> {
  const host = await Deno.makeTempDir();
  const secret = join(host, "node_modules/secret.txt");
  const installed = ({ app }: RunDir) => {
    const folder = join(app, "node_modules");
    return exists(folder) ? [...Deno.readDirSync(folder)].map(({ name }) => name) : [];
  };
  try {
    await Deno.mkdir(join(host, "node_modules"));
    await Deno.writeTextFile(secret, "the host's");
    await install(async ({ outputDir }) => {
      await Deno.symlink(host, join(outputDir, "project"));
      return DONE;
    }, (dir) => assertEquals(installed(dir), []));
    await install(async ({ outputDir }) => {
      await Deno.mkdir(join(outputDir, "project"));
      await Deno.symlink(join(host, "node_modules"), join(outputDir, "project/node_modules"));
      return DONE;
    }, (dir) => assertEquals(installed(dir), []));
    await install(async ({ outputDir }) => {
      const folder = join(outputDir, "project/node_modules/left");
      await Deno.mkdir(folder, { recursive: true });
      await Deno.writeTextFile(join(folder, "index.js"), "");
      await Deno.symlink(join(host, "node_modules"), join(folder, "folder"));
      await Deno.symlink(secret, join(folder, "file"));
      return DONE;
    }, (dir) => {
      assertEquals(installed(dir), ["left"]);
      const left = [...Deno.readDirSync(join(dir.app, "node_modules/left"))];
      assertEquals(left.map(({ name }) => name), ["index.js"]);
    });
    assert(exists(secret), "the host keeps what is its own");
  } finally {
    await Deno.remove(host, { recursive: true });
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
