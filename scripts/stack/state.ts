/** Which stack runs on a data directory: told by a lock that its process holds, described in a file. */
import { CommandError } from "../command/errors.ts";
import { join } from "node:path";
import type { Stack } from "./mod.ts";

export type StackState = Omit<Stack, "stop" | "databaseEnded"> & { pid: number };

/** Holds the directory for this process. Throws when another process does. */
export async function claimDirectory(dir: string): Promise<{ release(): void }> {
  const lock = await Deno.open(join(dir, "lock"), { create: true, read: true, write: true });
  // The system gives the lock back when its holder ends, kill -9 included.
  if (!await lock.tryLock(true)) {
    lock.close();
    const state = await readStateFile(dir);
    throw new CommandError(
      `A stack is already running on ${dir}${
        state ? ` (process ${state.pid}, ${state.apiUrl})` : ""
      }. ` +
        "Stop it, or start another one: npm start -- --data-dir DIR --port 0 --db-port 0.",
    );
  }
  return { release: () => lock.close() };
}

export async function writeState(dir: string, state: StackState): Promise<void> {
  const draft = join(dir, "state.json.new");
  // It has the keys in it.
  await Deno.writeTextFile(draft, JSON.stringify(state, null, 2) + "\n", { mode: 0o600 });
  await Deno.rename(draft, join(dir, "state.json"));
}

export async function clearState(dir: string): Promise<void> {
  await Deno.remove(join(dir, "state.json")).catch(() => {});
}

/** The stack that runs on the directory, or undefined when none does. */
export async function readState(dir: string): Promise<StackState | undefined> {
  const lock = await Deno.open(join(dir, "lock"), { read: true, write: true }).catch(() =>
    undefined
  );
  if (!lock) return undefined;
  try {
    if (await lock.tryLock(true)) return undefined;
  } finally {
    lock.close();
  }
  return await readStateFile(dir);
}

async function readStateFile(dir: string): Promise<StackState | undefined> {
  const text = await Deno.readTextFile(join(dir, "state.json")).catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text);
}
