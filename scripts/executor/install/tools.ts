/** The package managers as a folder that a sandbox can be given: pnpm of this project, npm of this host, and what drives them. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { removeTree } from "../sandbox/remove_tree.ts";
import { findProgram } from "../sandbox/runtimes.ts";

export interface Tools {
  folder: string;
  pnpmVersion: string;
  /** Whether npm was found on this host. */
  npm: boolean;
}

export const DRIVER = "driver.cjs";
export const PROGRAMS = { pnpm: "pnpm/bin/pnpm.cjs", npm: "npm/bin/npm-cli.js" };

/** Copies them below `workDir`, readable by the users that installs run as. */
export async function prepareTools(workDir: string): Promise<Tools> {
  const folder = join(workDir, "tools");
  // What could not be finished once, for want of room on the disk.
  await removeTree(folder);
  const pnpm = pnpmFolder();
  const { version } = JSON.parse(await Deno.readTextFile(join(pnpm, "package.json")));
  await Deno.mkdir(folder, { mode: 0o755 });
  await Deno.chmod(folder, 0o755);
  await Deno.copyFile(fileURLToPath(new URL(DRIVER, import.meta.url)), join(folder, DRIVER));
  await Deno.chmod(join(folder, DRIVER), 0o644);
  await copyTree(pnpm, join(folder, "pnpm"));
  const npm = npmFolder();
  if (npm !== null) await copyTree(npm, join(folder, "npm"));
  return { folder, pnpmVersion: version, npm: npm !== null };
}

/** The folder of pnpm's package, which exports nothing but its own description. */
function pnpmFolder(): string {
  return dirname(fileURLToPath(import.meta.resolve("pnpm")));
}

/** The folder of npm's package, wherever Node was installed. */
function npmFolder(): string | null {
  const program = findProgram("npm");
  if (program === null) return null;
  const folder = dirname(dirname(Deno.realPathSync(program)));
  try {
    return Deno.statSync(join(folder, "bin/npm-cli.js")).isFile ? folder : null;
  } catch {
    return null;
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  await Deno.chmod(to, 0o755);
  for await (const entry of Deno.readDir(from)) {
    const source = join(from, entry.name);
    if (entry.isDirectory) await copyTree(source, join(to, entry.name));
    else if (entry.isFile) {
      await Deno.copyFile(source, join(to, entry.name));
      await Deno.chmod(join(to, entry.name), 0o755);
    }
  }
}
