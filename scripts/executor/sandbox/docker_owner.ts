/**
 * Whose containers are whose. Executors may share an engine, and each removes what a dead one left, but never what a living one
 * uses: a container's labels say which process made it, and until when it may run at the most.
 */
import type { Engine, ListedContainer } from "./docker_engine.ts";

export const OWNER_LABEL = "stowage.owner";
/** In seconds since the host was started: the clock of the day is set now and then, and living containers would seem overdue. */
const DEADLINE_LABEL = "stowage.deadline-uptime";
/** How far past its deadline a container must be before a stranger removes it. */
const OVERDUE_SECONDS = 5 * 60;

/** A process: the boot of its kernel, its namespace of process ids, its id there and when it started (ids are used again). */
export function ownerOf(pid: number): string | null {
  try {
    const boot = Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
    const namespace = Deno.readLinkSync("/proc/self/ns/pid").replace(/\D/g, "");
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : `${boot}/${namespace}/${pid}/${fields[19]}`;
  } catch {
    return null;
  }
}

/** @param lifeMs how long its executor lets the container run at the most */
export function ownerLabels(runId: string, lifeMs: number): Record<string, string> {
  return {
    [OWNER_LABEL]: ownerOf(Deno.pid)!,
    [DEADLINE_LABEL]: String(Deno.osUptime() + Math.ceil(lifeMs / 1000)),
    "stowage.run": runId,
  };
}

/** Whether the container's executor is gone, or has let it run longer than a living one does. */
export function isAbandoned(labels: Record<string, string>, uptime = Deno.osUptime()): boolean {
  const owner = labels[OWNER_LABEL] ?? "";
  const [boot, namespace, pid] = owner.split("/");
  const [ownBoot, ownNamespace] = ownerOf(Deno.pid)!.split("/");
  // The containers of an earlier boot ended with it.
  if (boot !== ownBoot) return true;
  if (uptime > Number(labels[DEADLINE_LABEL]) + OVERDUE_SECONDS) return true;
  // Processes of another namespace cannot be seen from here; the deadline decides.
  return namespace === ownNamespace && ownerOf(Number(pid)) !== owner;
}

/** Removes the containers of executors that are gone. */
export async function sweep(engine: Engine): Promise<void> {
  await removeAll(engine, (container) => isAbandoned(container.Labels));
}

/** Removes what is left of this process's own containers. */
export async function removeOwn(engine: Engine): Promise<void> {
  const own = ownerOf(Deno.pid);
  await removeAll(engine, (container) => container.Labels[OWNER_LABEL] === own);
}

async function removeAll(
  engine: Engine,
  which: (container: ListedContainer) => boolean,
): Promise<void> {
  for (const container of (await engine.list(OWNER_LABEL)).filter(which)) {
    // Another executor may be removing it at this moment.
    await engine.remove(container.Id).catch(() => {});
  }
}
