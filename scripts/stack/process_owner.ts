/** Whom the database server runs as, and what that user can reach. */
import { CommandError } from "../command/errors.ts";
import { dirname } from "node:path";

export interface ProcessOwner {
  name: string;
  uid: number;
  gid: number;
}

/**
 * Accounts that Postgres may run as when the stack is started by root, which Postgres refuses to
 * run as. `nobody` comes last: sandboxes use it too, and what runs there must not read the data.
 */
const CANDIDATES = ["postgres", "daemon", "nobody"];

/** The account to hand the server to, or undefined when the caller's own will do. */
export async function findProcessOwner(dataPath: string): Promise<ProcessOwner | undefined> {
  if (Deno.build.os === "windows" || Deno.uid() !== 0) return undefined;
  const accounts = parsePasswd(await Deno.readTextFile("/etc/passwd"));
  const current = await ownerOf(dataPath);
  const found = accounts.find((account) => account.uid === current && account.uid !== 0) ??
    CANDIDATES.flatMap((name) => accounts.filter((account) => account.name === name)).at(0);
  if (!found) {
    throw new CommandError(
      `Postgres does not run as root, and none of the accounts ${CANDIDATES.join(", ")} exists. ` +
        "Create one (useradd --system postgres) or start the stack as an ordinary user.",
    );
  }
  return found;
}

/** Lines of `/etc/passwd` as accounts; malformed ones are left out. */
export function parsePasswd(text: string): ProcessOwner[] {
  return text.split("\n").flatMap((line) => {
    const [name, , uid, gid] = line.split(":");
    if (!name || !/^\d+$/.test(uid ?? "") || !/^\d+$/.test(gid ?? "")) return [];
    return [{ name, uid: Number(uid), gid: Number(gid) }];
  });
}

/** Whether `owner` may pass through every directory on the way to `path`, and read the last. */
export async function canReach(owner: ProcessOwner, path: string): Promise<boolean> {
  for (let at = path, need = 0o5;; at = dirname(at), need = 0o1) {
    const info = await statOrNull(at);
    if (info && !allows(owner, info, need)) return false;
    if (at === dirname(at)) return true;
  }
}

function allows(owner: ProcessOwner, info: Deno.FileInfo, need: number): boolean {
  const mode = info.mode ?? 0o777;
  if (info.uid === owner.uid) return (mode >> 6 & need) === need;
  if (info.gid === owner.gid) return (mode >> 3 & need) === need;
  return (mode & need) === need;
}

async function ownerOf(path: string): Promise<number | null> {
  return (await statOrNull(path))?.uid ?? null;
}

async function statOrNull(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
