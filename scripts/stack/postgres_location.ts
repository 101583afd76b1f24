/**
 * Where a server's files go when root starts the stack in a place that others cannot enter
 * (`/root`, a 0700 temporary directory): Postgres runs as another user and must reach its data.
 */
import { join } from "node:path";

const BASE = "/var/lib/stowage";

/**
 * The directory that belongs to `dir`, created on first use. A random name kept in `dir` ties the
 * two together, so that removing `dir` makes a fresh start; `sweepServerDirectories` clears what is left.
 */
export async function serverDirectory(dir: string): Promise<string> {
  const name = await readName(dir) ?? crypto.randomUUID();
  const path = join(BASE, name);
  await makeReachable(BASE);
  await makeReachable(path);
  await Deno.writeTextFile(join(path, "belongs-to"), dir, { mode: 0o600 });
  await Deno.writeTextFile(nameFile(dir), name);
  return path;
}

/** Removes what `serverDirectory` made for `dir`; nothing if it made nothing. */
export async function removeServerDirectory(dir: string): Promise<void> {
  const name = await readName(dir);
  if (name) await Deno.remove(join(BASE, name), { recursive: true }).catch(() => {});
}

function nameFile(dir: string): string {
  return join(dir, "server-directory");
}

async function readName(dir: string): Promise<string | undefined> {
  const name = await Deno.readTextFile(nameFile(dir)).catch(() => "");
  return /^[0-9a-f-]{36}$/.test(name) ? name : undefined;
}

async function makeReachable(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true });
  await Deno.chmod(path, 0o755);
}

/** Removes the directories whose other half is gone. */
export async function sweepServerDirectories(): Promise<void> {
  const entries = await Array.fromAsync(Deno.readDir(BASE)).catch(() => []);
  for (const entry of entries) {
    const path = join(BASE, entry.name);
    const owner = await Deno.readTextFile(join(path, "belongs-to")).catch(() => "");
    // Without the note it may be one that another process is just making.
    if (owner === "" || await readName(owner) === entry.name) continue;
    const running = await Deno.stat(join(path, "data/postmaster.pid")).then(
      () => true,
      () => false,
    );
    if (!running) await Deno.remove(path, { recursive: true }).catch(() => {});
  }
}
