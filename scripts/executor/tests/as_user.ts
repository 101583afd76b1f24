/** Runs fixture apps as the user of the tests, and where that is root as an ordinary user as well. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { locateRuntimes, runnableByAll } from "../sandbox/runtimes.ts";
import { runApp, type RunOptions, type RunResult } from "./run_app.ts";

const NOBODY = 65534;

export interface Runner {
  name: string;
  run(options: RunOptions): Promise<RunResult>;
  close(): Promise<void>;
}

export function isRoot(): boolean {
  return Deno.uid() === 0;
}

export const ownRunner: Runner = {
  name: isRoot() ? "root, which drops to a user" : "an ordinary user",
  run: runApp,
  close: () => Promise.resolve(),
};

/** A copy of the sandbox and the apps in a place that the user can reach, which the checkout may not be. */
export async function ordinaryRunner(): Promise<
  Runner & { start(options: RunOptions): Deno.ChildProcess }
> {
  const folder = await Deno.makeTempDir({ prefix: "stowage tests of " });
  await Deno.chmod(folder, 0o755);
  const home = join(folder, "home");
  await Deno.mkdir(home);
  await Deno.chown(home, NOBODY, NOBODY);
  const from = fileURLToPath(new URL("..", import.meta.url));
  for (const part of ["sandbox", "tests"]) await copyReadable(join(from, part), join(folder, part));
  const runtimes = locateRuntimes();
  if (typeof runtimes === "string") throw new Error(runtimes);
  const deno = await runnableByAll(runtimes.deno, folder);
  const node = await runnableByAll(runtimes.node, folder);
  const start = (options: RunOptions) =>
    new Deno.Command(deno, {
      args: [
        "run",
        "-A",
        "--no-config",
        "--no-lock",
        join(folder, "tests/run_app.ts"),
        JSON.stringify(options),
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
    }).spawn();
  return {
    name: "an ordinary user",
    start,
    async run(options) {
      const { code, stdout, stderr } = await start(options).output();
      if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
      return JSON.parse(new TextDecoder().decode(stdout));
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
