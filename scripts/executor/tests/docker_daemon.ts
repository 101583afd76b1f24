/**
 * A real container engine for tests: the one that DOCKER_HOST names, or one of their own, which leaves nothing behind.
 * As a program of its own, run by root: an engine for the user with the id that is its argument, until SIGTERM or SIGINT; prints
 * the value for that user's DOCKER_HOST.
 */
import { join } from "node:path";
import { Engine, engineSocket } from "../sandbox/docker_engine.ts";
import { buildImage } from "../image/build.ts";
import { allProcesses, commandLine, isDead, kill } from "../sandbox/processes.ts";
import { findProgram, type RuntimePaths } from "../sandbox/runtimes.ts";

const START_MS = 20_000;
const STOP_MS = 20_000;
const MISSING =
  "a Docker engine is needed: set DOCKER_HOST to one that this user may use, or as root install one: apt-get install docker.io";

export interface TestEngine {
  host: string;
  socket: string;
  /** Whether it was started here, so that what it does can be asserted. */
  own: boolean;
  /** Parent of the containers' control groups, where it is known. */
  cgroupParent?: string;
  /** For one that was started here: ends as if by accident, and starts again when told to. Containers live on meanwhile. */
  crash?(): Promise<{ start(): Promise<void> }>;
  stop(): Promise<void>;
}

/** @throws Error that says what to install */
export async function startTestEngine(runtimes: RuntimePaths): Promise<TestEngine> {
  const engine = await reachable() ?? await startDaemon();
  try {
    const client = new Engine(engine.socket);
    try {
      await buildImage(client, runtimes);
    } finally {
      client.close();
    }
    return engine;
  } catch (error) {
    await engine.stop();
    throw error;
  }
}

/** Whether there is an engine for this user, or can be. Only root can start one. */
export async function canHaveEngine(): Promise<boolean> {
  return Deno.uid() === 0 || await reachable() !== null;
}

async function reachable(): Promise<TestEngine | null> {
  const socket = engineSocket();
  if (typeof socket === "string") return null;
  const client = new Engine(socket.path);
  try {
    await client.info();
  } catch {
    return null;
  } finally {
    client.close();
  }
  return {
    host: `unix://${socket.path}`,
    socket: socket.path,
    own: false,
    stop: () => Promise.resolve(),
  };
}

async function startDaemon(): Promise<TestEngine> {
  const dockerd = findProgram("dockerd");
  if (dockerd === null || Deno.uid() !== 0) throw new Error(MISSING);
  const folder = await Deno.makeTempDir({ prefix: "stowage-docker-" });
  const cgroupParent = folder.split("/").pop()!;
  const socket = join(folder, "docker.sock");
  const config = join(folder, "daemon.json");
  await Deno.writeTextFile(config, "{}");
  const launch = () =>
    new Deno.Command("/bin/sh", {
      // The daemon's log is of interest only when it does not start.
      args: ["-c", 'exec "$@" >>"$0" 2>&1', join(folder, "log"), dockerd, ...[
        ...["--config-file", config, "--host", `unix://${socket}`],
        ...["--data-root", join(folder, "data"), "--exec-root", join(folder, "exec")],
        ...["--pidfile", join(folder, "pid"), "--cgroup-parent", cgroupParent],
        ...["--bridge=none", "--iptables=false", "--ip6tables=false"],
        ...["--ip-forward=false", "--ip-masq=false"],
      ]],
      env: { PATH: `${Deno.env.get("PATH")}:/usr/sbin:/sbin` },
      detached: true,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  let child = launch();
  const isGone = () => isDead(child.pid);
  const stop = async () => {
    if (!isGone()) child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await child.status;
    clearTimeout(timer);
    // What an engine that crashed, and did not start again, has left.
    for (const pid of processesNaming(`${folder}/`)) kill(pid, "SIGKILL");
    await unmountBelow(folder);
    await removeGroups(cgroupParent);
    await Deno.remove(folder, { recursive: true });
  };
  const answering = async () => {
    const deadline = Date.now() + START_MS;
    while (true) {
      try {
        return (await Deno.connect({ transport: "unix", path: socket })).close();
      } catch {
        if (isGone() || Date.now() > deadline) {
          const log = await Deno.readTextFile(join(folder, "log"));
          await stop();
          throw new Error(`dockerd does not start:\n${log}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  await answering();
  const crash = async () => {
    child.kill("SIGKILL");
    await child.status;
    const start = async () => {
      // It died with the engine, which takes it for alive as long as nobody has collected it.
      await Deno.remove(join(folder, "exec/containerd/containerd.pid")).catch(() => {});
      child = launch();
      await answering();
    };
    return { start };
  };
  return { host: `unix://${socket}`, socket, own: true, cgroupParent, crash, stop };
}

/** Processes that run on, and have the text in their command line. */
function processesNaming(text: string): number[] {
  return allProcesses().filter((pid) => commandLine(pid).includes(text));
}

/** Lets a user in, too. */
export async function admit(engine: TestEngine, user: number): Promise<void> {
  await Deno.chmod(engine.socket.slice(0, engine.socket.lastIndexOf("/")), 0o711);
  await Deno.chown(engine.socket, user, user);
}

/** Mount points below the folder, the deepest first. */
export function mountsBelow(folder: string): string[] {
  return Deno.readTextFileSync("/proc/self/mountinfo").split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length);
}

async function unmountBelow(folder: string): Promise<void> {
  for (const point of mountsBelow(folder)) {
    await new Deno.Command("umount", { args: ["-l", point] }).output();
  }
}

/** Directories of control groups of that name, in whatever hierarchies there are. */
export function groupFolders(name: string): string[] {
  const root = "/sys/fs/cgroup";
  const candidates = [root, ...[...Deno.readDirSync(root)].map((each) => join(root, each.name))];
  return candidates.map((each) => join(each, name)).filter((path) => {
    try {
      return Deno.statSync(path).isDirectory;
    } catch {
      return false;
    }
  });
}

async function removeGroups(name: string): Promise<void> {
  for (const folder of groupFolders(name)) await removeGroup(folder);
}

async function removeGroup(folder: string): Promise<void> {
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.isDirectory) await removeGroup(join(folder, entry.name));
  }
  await Deno.remove(folder).catch(() => {});
}

if (import.meta.main) {
  const user = Number(Deno.args[0]);
  if (!Number.isInteger(user)) throw new Error("the argument is the numeric id of a user");
  const engine = await startDaemon();
  await admit(engine, user);
  console.log(engine.host);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, resolve);
  });
  await engine.stop();
  Deno.exit();
}
