/** Where fixture apps are run: as the user of the tests, and where that is root as an ordinary user as well. */
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { locateRuntimes, runnableByAll } from "../sandbox/runtimes.ts";
import { type Lab, openLab, type RunOptions, type Settings } from "./run_app.ts";

export const NOBODY = 65534;
/** What the sandboxes are made of, in the checkout. */
const EXECUTOR = "scripts/executor";
const PARTS = [
  ...["sandbox", "egress", "image", "tests"].map((part) => `${EXECUTOR}/${part}`),
  "scripts/command",
  "supabase/functions/_shared",
];

export interface Place extends Lab {
  name: string;
  kind: Settings["sandbox"];
  asRoot: boolean;
}

export function isRoot(): boolean {
  return Deno.uid() === 0;
}

export async function ownPlace(settings: Settings): Promise<Place> {
  return {
    ...await openLab(settings),
    name: isRoot() ? "root, which drops to a user" : "an ordinary user",
    kind: settings.sandbox,
    asRoot: isRoot(),
  };
}

/**
 * Another process, of an ordinary user, with a copy of the sandboxes and the apps, since it may not reach the checkout.
 * @throws Error that says what is missing for the sandbox
 */
export async function placeOfOrdinaryUser(settings: Settings): Promise<Place> {
  const folder = await Deno.makeTempDir({ prefix: "stowage as " });
  await Deno.chmod(folder, 0o755);
  const home = join(folder, "home");
  await Deno.mkdir(home);
  await Deno.chown(home, NOBODY, NOBODY);
  const from = fileURLToPath(new URL("../../..", import.meta.url));
  for (const part of PARTS) {
    await copyReadable(join(from, part), join(folder, part));
    for (let above = dirname(part); above !== "."; above = dirname(above)) {
      await Deno.chmod(join(folder, above), 0o755);
    }
  }
  const runtimes = locateRuntimes();
  if (typeof runtimes === "string") throw new Error(runtimes);
  const deno = await runnableByAll(runtimes.deno, folder);
  const node = await runnableByAll(runtimes.node, folder);
  const child = new Deno.Command(deno, {
    args: ["run", "-A", "--no-config", "--no-lock", join(folder, EXECUTOR, "tests/run_app.ts")],
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
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const complaints = new Response(child.stderr).text();
  const lines = createInterface({ input: Readable.fromWeb(child.stdout as never) })
    [Symbol.asyncIterator]();
  const writer = child.stdin.getWriter();
  const send = (message: unknown) =>
    writer.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
  await send(settings);
  return {
    name: "an ordinary user",
    kind: settings.sandbox,
    asRoot: false,
    async run(options: RunOptions) {
      await send(options).catch(() => {});
      const { value, done } = await lines.next();
      if (done) throw new Error(await complaints);
      return JSON.parse(value);
    },
    async close() {
      await writer.close().catch(() => {});
      await child.status;
      await complaints;
      await lines.return?.();
      await Deno.remove(folder, { recursive: true });
    },
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
