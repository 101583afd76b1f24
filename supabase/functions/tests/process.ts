/** What the process that serves a function has used, from /proc; elsewhere nobody tells, and all is 0. */

/** Peak resident memory, in bytes. */
export async function peakMemory(name: string): Promise<number> {
  const status = await read(name, "status");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

/** Processor time of all its threads so far, in seconds. */
export async function cpuSeconds(name: string): Promise<number> {
  const stat = await read(name, "stat");
  // After the command's name, which may contain anything: state is the third field, utime and stime the 14th and 15th.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return stat === "" ? 0 : (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** sysconf(_SC_CLK_TCK), on every Linux that there is. */
const TICKS_PER_SECOND = 100;

async function read(name: string, file: "stat" | "status"): Promise<string> {
  if (Deno.build.os !== "linux") return "";
  for await (const { name: pid } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const [command, status, wanted] = await Promise.all(
      ["cmdline", "status", file].map((part) => Deno.readTextFile(`/proc/${pid}/${part}`)),
    ).catch(() => ["", "", ""]);
    // The stack runs in this process, its functions in children.
    if (command.includes(`/${name}/index.ts`) && status.includes(`PPid:\t${Deno.pid}\n`)) {
      return wanted;
    }
  }
  throw new Error(`The process that serves ${name} was not found.`);
}
