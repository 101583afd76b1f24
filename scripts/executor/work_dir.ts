/** The executor's folder on disk: one for each executor, gone when it ends, and removed by the next one if it could not. */
import { join } from "node:path";
import { ConfigError } from "./config.ts";
import { removeTree } from "./sandbox/remove_tree.ts";

const PREFIX = "stowage-executor-";
const LOCK = "lock";
/** What the kernel takes for the path of a Unix socket, and the longest that a run has below the executor's folder. */
const SOCKET_PATH_BYTES = 107;
const LONGEST_SOCKET = "run-0123456789abcdef/output/registry.sock";

export interface WorkDir {
  path: string;
  close(): Promise<void>;
}

/**
 * Makes the folder below `parent`, after removing those of executors that are gone.
 * @throws ConfigError where the path is too long for what is to be in it
 */
export async function openWorkDir(parent: string): Promise<WorkDir> {
  await Deno.mkdir(parent, { recursive: true });
  await removeAbandoned(parent);
  const path = await Deno.makeTempDir({ dir: parent, prefix: PREFIX });
  const tooLong = new TextEncoder().encode(join(path, LONGEST_SOCKET)).length - SOCKET_PATH_BYTES;
  if (tooLong > 0) {
    await Deno.remove(path);
    throw new ConfigError(
      `--work-dir (or STOWAGE_WORK_DIR) is ${tooLong} bytes too long for Unix sockets below it: ${parent}`,
    );
  }
  // Apps run as other users when this process is root; they pass through, but cannot list.
  await Deno.chmod(path, Deno.uid() === 0 ? 0o711 : 0o700);
  const lock = await Deno.open(join(path, LOCK), { write: true, createNew: true });
  // Held as long as this process lives, however it ends.
  await lock.lock(true);
  return {
    path,
    async close() {
      await removeTree(path);
      lock.close();
    },
  };
}

async function removeAbandoned(parent: string): Promise<void> {
  for await (const entry of Deno.readDir(parent)) {
    if (!entry.isDirectory || !entry.name.startsWith(PREFIX)) continue;
    const path = join(parent, entry.name);
    if (await isAbandoned(path)) {
      await removeTree(path).catch(() => {});
    }
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  try {
    if ((await Deno.lstat(path)).uid !== Deno.uid()) return false;
    const lock = await Deno.open(join(path, LOCK), { write: true });
    try {
      return await lock.tryLock(true);
    } finally {
      lock.close();
    }
  } catch {
    // Not there yet, or not ours.
    return false;
  }
}

export interface RunDir {
  app: string;
  output: string;
  scratch: string;
  config: string;
  remove(): Promise<void>;
}

/** The folders of one run. */
export async function makeRunDir(workDir: string): Promise<RunDir> {
  const path = await Deno.makeTempDir({ dir: workDir, prefix: "run-" });
  const dir: RunDir = {
    app: join(path, "app"),
    output: join(path, "output"),
    scratch: join(path, "scratch"),
    config: join(path, "config.json"),
    remove: () => removeTree(path),
  };
  try {
    await Deno.chmod(path, Deno.uid() === 0 ? 0o711 : 0o700);
    await Deno.mkdir(dir.app);
    await Deno.chmod(dir.app, 0o755);
    await Deno.mkdir(dir.output, { mode: 0o700 });
    await Deno.mkdir(dir.scratch, { mode: 0o700 });
    return dir;
  } catch (error) {
    await dir.remove().catch(() => {});
    throw error;
  }
}
