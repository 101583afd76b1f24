/** A server that outlived the stack that started it. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const FAST_MS = 10_000;
const IMMEDIATE_MS = 5_000;
const POLL_MS = 20;

/**
 * Ends the server that runs on `data`, if one does: its parent was killed. A `postmaster.pid`
 * whose process is gone, or is by now another program's, is removed, because Postgres itself
 * refuses to start when any process has that id.
 */
export async function endStaleServer(data: string): Promise<void> {
  const file = join(data, "postmaster.pid");
  const text = await Deno.readTextFile(file).catch(() => "");
  if (text === "") return;
  const pid = Number(text.split("\n")[0]);
  if (await isServerOf(pid, data)) {
    // Fast shutdown, then immediate, then by force.
    for (const [signal, patience] of STEPS) {
      kill(pid, signal);
      if (await gone(pid, data, patience)) break;
    }
  }
  await Deno.remove(file).catch(() => {});
}

const STEPS: [Deno.Signal, number][] = [
  ["SIGINT", FAST_MS],
  ["SIGQUIT", IMMEDIATE_MS],
  ["SIGKILL", IMMEDIATE_MS],
];

/** Whether `pid` is a Postgres started with `-D data`. */
export async function isServerOf(pid: number, data: string): Promise<boolean> {
  if (!Number.isInteger(pid) || pid <= 1) return false;
  const args = await commandLine(pid);
  return /(^|\/)postgres$/.test(args[0] ?? "") && args.includes(data);
}

async function commandLine(pid: number): Promise<string[]> {
  if (Deno.build.os === "linux") {
    const text = await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => "");
    return text.split("\0");
  }
  const { stdout } = await new Deno.Command("ps", { args: ["-o", "command=", "-p", `${pid}`] })
    .output();
  const text = new TextDecoder().decode(stdout).trim();
  // ps does not tell arguments apart; everything after -D up to the next option is the directory.
  const match = /^(\S*postgres) -D (.*?) -c /.exec(text);
  return match ? [match[1], "-D", match[2]] : [];
}

async function gone(pid: number, data: string, patience: number): Promise<boolean> {
  const deadline = Date.now() + patience;
  while (await isServerOf(pid, data)) {
    if (Date.now() > deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}

function kill(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch {
    // It ended in the meantime.
  }
}
