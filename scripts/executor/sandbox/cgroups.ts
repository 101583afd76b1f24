/**
 * Control groups, versions 1 and 2: the only way to limit memory, processes and processor time of a whole tree of processes at once.
 * Usable where this process may create groups below its own: as root, or in a unit with Delegate=yes.
 */
import { join } from "node:path";
import type { Limits } from "./limits.ts";
import { exists } from "./paths.ts";

const MIB = 1024 * 1024;
const PREFIX = "stowage-";
const CPU_PERIOD_US = 100_000;

export interface ControlGroup {
  add(pid: number): Promise<void>;
  processes(): Promise<number[]>;
  /** How many processes the kernel killed for want of memory. */
  memoryKills(): Promise<number>;
  remove(): Promise<void>;
}

export interface ControlGroups {
  readonly version: 1 | 2;
  /** Whether processor time can be limited; memory and processes always can. */
  readonly cpu: boolean;
  create(id: string, limits: Limits): Promise<ControlGroup>;
  /** Removes groups left by executors of this host that are gone. */
  sweep(): Promise<void>;
}

type Paths = Record<string, string>;

/** The groups below our own, or why there are none. */
export async function findControlGroups(): Promise<ControlGroups | string> {
  if (Deno.build.os !== "linux") return "the system is not Linux";
  try {
    const own = ownGroups(
      await Deno.readTextFile("/proc/self/cgroup"),
      await Deno.readTextFile("/proc/self/mountinfo"),
    );
    if (own.memory && own.pids) return await versionOne(own);
    if (own.unified) return await versionTwo(own.unified);
    return "no memory and pids controllers are mounted";
  } catch (error) {
    return `control groups cannot be created (${(error as Error).message})`;
  }
}

/** Directories of this process's groups by controller; `unified` is version 2's. */
export function ownGroups(cgroup: string, mountinfo: string): Paths {
  const paths: Paths = {};
  const mounts = mountinfo.trim().split("\n").map((line) => {
    const [before, after] = line.split(" - ");
    const [, , , root, point] = before.split(" ");
    const [type, , options] = after.split(" ");
    return { root, point, type, options: options.split(",") };
  });
  for (const line of cgroup.trim().split("\n")) {
    const [, names, ...rest] = line.split(":");
    const path = rest.join(":");
    for (const name of names === "" ? ["unified"] : names.split(",")) {
      const mount = mounts.find((each) =>
        name === "unified"
          ? each.type === "cgroup2"
          : each.type === "cgroup" && each.options.includes(name)
      );
      if (!mount) continue;
      const below = mount.root === "/"
        ? path
        : path.startsWith(mount.root)
        ? path.slice(mount.root.length)
        : "";
      paths[name] = join(mount.point, below);
    }
  }
  return paths;
}

async function versionOne(own: Paths): Promise<ControlGroups> {
  const controllers = ["memory", "pids", ...(own.cpu ? ["cpu"] : [])];
  const bases = [...new Set(controllers.map((name) => own[name]))];
  const probe = `${PREFIX}${Deno.pid}-probe`;
  for (const base of bases) {
    await Deno.mkdir(join(base, probe));
    await Deno.remove(join(base, probe));
  }
  return {
    version: 1,
    cpu: own.cpu !== undefined,
    sweep: () => sweep(bases),
    async create(id, limits) {
      const group = new Group(
        bases.map((base) => join(base, `${PREFIX}${Deno.pid}-${id}`)),
        join(own.memory, `${PREFIX}${Deno.pid}-${id}`, "memory.oom_control"),
      );
      const at = (controller: string, file: string) =>
        join(own[controller], `${PREFIX}${Deno.pid}-${id}`, file);
      return await group.made(async () => {
        const bytes = String(limits.memoryMegabytes * MIB);
        await write(at("memory", "memory.limit_in_bytes"), bytes);
        // Absent where the kernel does not account for swap.
        await write(at("memory", "memory.memsw.limit_in_bytes"), bytes).catch(() => {});
        await write(at("pids", "pids.max"), String(limits.processes));
        if (own.cpu) {
          await write(at("cpu", "cpu.cfs_period_us"), String(CPU_PERIOD_US));
          await write(
            at("cpu", "cpu.cfs_quota_us"),
            String(Math.ceil(limits.cpus * CPU_PERIOD_US)),
          );
        }
      });
    },
  };
}

async function versionTwo(base: string): Promise<ControlGroups | string> {
  const available = (await Deno.readTextFile(join(base, "cgroup.controllers"))).trim().split(" ");
  const wanted = ["memory", "pids", "cpu"].filter((name) => available.includes(name));
  if (!wanted.includes("memory") || !wanted.includes("pids")) {
    return "the memory and pids controllers are not delegated to this process (in a systemd unit: Delegate=yes)";
  }
  const enable = () =>
    write(join(base, "cgroup.subtree_control"), wanted.map((name) => `+${name}`).join(" "));
  try {
    await enable();
  } catch {
    // A group with processes of its own may not hand controllers down, so this process moves into a leaf.
    const leaf = join(base, `${PREFIX}${Deno.pid}-executor`);
    await Deno.mkdir(leaf);
    await write(join(leaf, "cgroup.procs"), String(Deno.pid));
    try {
      await enable();
    } catch (error) {
      await write(join(base, "cgroup.procs"), String(Deno.pid));
      await Deno.remove(leaf);
      throw error;
    }
  }
  const cpu = wanted.includes("cpu");
  return {
    version: 2,
    cpu,
    sweep: () => sweep([base]),
    async create(id, limits) {
      const path = join(base, `${PREFIX}${Deno.pid}-${id}`);
      return await new Group([path], join(path, "memory.events")).made(async () => {
        await write(join(path, "memory.max"), String(limits.memoryMegabytes * MIB));
        await write(join(path, "memory.swap.max"), "0").catch(() => {});
        await write(join(path, "memory.oom.group"), "1").catch(() => {});
        await write(join(path, "pids.max"), String(limits.processes));
        if (cpu) {
          await write(
            join(path, "cpu.max"),
            `${Math.ceil(limits.cpus * CPU_PERIOD_US)} ${CPU_PERIOD_US}`,
          );
        }
      });
    },
  };
}

class Group implements ControlGroup {
  constructor(readonly paths: string[], readonly eventsFile: string) {}

  async made(limit: () => Promise<void>): Promise<this> {
    try {
      for (const path of this.paths) await Deno.mkdir(path);
      await limit();
      return this;
    } catch (error) {
      await this.remove();
      throw error;
    }
  }

  async add(pid: number): Promise<void> {
    for (const path of this.paths) await write(join(path, "cgroup.procs"), String(pid));
  }

  async processes(): Promise<number[]> {
    return await processesOf(this.paths[0]);
  }

  async memoryKills(): Promise<number> {
    const events = await Deno.readTextFile(this.eventsFile);
    return Number(/^oom_kill (\d+)/m.exec(events)?.[1] ?? 0);
  }

  async remove(): Promise<void> {
    for (const path of this.paths) await removeGroup(path);
  }
}

async function sweep(bases: string[]): Promise<void> {
  for (const base of bases) {
    for await (const entry of Deno.readDir(base)) {
      const owner = /^stowage-(\d+)-/.exec(entry.name)?.[1];
      if (!entry.isDirectory || owner === undefined || exists(`/proc/${owner}`)) continue;
      await removeGroup(join(base, entry.name)).catch(() => {});
    }
  }
}

/** Kills what is in the group and removes it; the kernel lets go of dead processes a little late. */
async function removeGroup(path: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (true) {
    try {
      for (const pid of await processesOf(path)) {
        try {
          Deno.kill(pid, "SIGKILL");
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error;
        }
      }
      await Deno.remove(path);
      return;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

async function processesOf(path: string): Promise<number[]> {
  const text = await Deno.readTextFile(join(path, "cgroup.procs"));
  return text.split("\n").filter((line) => line !== "").map(Number);
}

async function write(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text, { create: false });
}
