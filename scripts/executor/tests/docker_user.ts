/** An ordinary user of the engine, in a copy of the sandbox that this user can reach. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assertStringIncludes } from "../../testing/assert.ts";
import { locateRuntimes, runnableByAll } from "../sandbox/runtimes.ts";
import { admit, type TestEngine } from "./docker_daemon.ts";
import type { RunOptions, RunResult } from "./run_app.ts";

const NOBODY = 65534;
const PARTS = ["sandbox", "egress", "image", "tests"];

export async function dockerAsOrdinaryUser(engine: TestEngine) {
  const folder = await Deno.makeTempDir({ prefix: "stowage tests of " });
  await Deno.chmod(folder, 0o755);
  const home = join(folder, "home");
  await Deno.mkdir(home);
  await Deno.chown(home, NOBODY, NOBODY);
  const from = fileURLToPath(new URL("..", import.meta.url));
  for (const part of PARTS) await copyReadable(join(from, part), join(folder, part));
  const runtimes = locateRuntimes();
  if (typeof runtimes === "string") throw new Error(runtimes);
  const deno = await runnableByAll(runtimes.deno, folder);
  const node = await runnableByAll(runtimes.node, folder);
  const start = async (options: RunOptions) => {
    const { success, stdout, stderr } = await new Deno.Command(deno, {
      args: [
        ...["run", "-A", "--no-config", "--no-lock", join(folder, "tests/docker_run.ts")],
        JSON.stringify({ host: engine.host, options }),
      ],
      uid: NOBODY,
      gid: NOBODY,
      cwd: home,
      clearEnv: true,
      env: {
        PATH: "/usr/bin:/bin",
        HOME: home,
        TMPDIR: home,
        DENO_DIR: join(home, ".deno"),
        STOWAGE_NODE: node,
        STOWAGE_TEST_SECRET: Deno.env.get("STOWAGE_TEST_SECRET") ?? "",
      },
      stdout: "piped",
      stderr: "piped",
    }).output();
    const text = new TextDecoder();
    return { success, stdout: text.decode(stdout), stderr: text.decode(stderr) };
  };
  return {
    /** As long as the engine is not this user's, it says so. */
    async refused(): Promise<void> {
      assertStringIncludes((await start({ app: "works" })).stderr, "usermod -aG docker");
    },
    admit: () => admit(engine, NOBODY),
    async run(options: RunOptions): Promise<RunResult> {
      const { success, stdout, stderr } = await start(options);
      if (!success) throw new Error(stderr);
      return JSON.parse(stdout);
    },
    close: () => Deno.remove(folder, { recursive: true }),
  };
}

async function copyReadable(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  await Deno.chmod(to, 0o755);
  for await (const entry of Deno.readDir(from)) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory) {
      await copyReadable(source, target);
    } else {
      await Deno.writeFile(target, await Deno.readFile(source));
      await Deno.chmod(target, 0o644);
    }
  }
}
