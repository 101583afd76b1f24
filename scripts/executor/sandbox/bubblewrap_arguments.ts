/** What an app finds inside bubblewrap. */
import { join } from "node:path";
import type { BubblewrapOptions } from "./bubblewrap.ts";
import { appCommand, type Egress, EGRESS_SOCKET, FORWARDER, FORWARDER_PATH } from "./egress.ts";
import type { Limits } from "./limits.ts";
import { exists } from "./paths.ts";
import { runnableByAll, type RuntimePaths, sharedLibraries } from "./runtimes.ts";
import { seccompFilter } from "./seccomp.ts";
import type { Runtime, SandboxSpec } from "./types.ts";

const MIB = 1024 * 1024;
const APP = "/app";
const OUTPUT = "/output";
const CONFIG = "/stowage/config.json";
const PROGRAMS = "/usr/local/bin";
/** Inside; any but 0 would do. */
const USER = 1000;

/** On top of the memory limit, where only a resource limit per process holds it: stacks and the like count there. */
const DATA_SLACK_MEGABYTES = 512;

const DEVICES = ["null", "zero", "full", "random", "urandom"];
/** Files of /proc that tell of the host or its kernel, whatever the namespace. */
export const HIDDEN_FILES = [
  "cmdline",
  "kcore",
  "keys",
  "key-users",
  "kmsg",
  "kallsyms",
  "latency_stats",
  "modules",
  "sched_debug",
  "swaps",
  "partitions",
  "diskstats",
  "timer_list",
  "interrupts",
  "config.gz",
  "sysrq-trigger",
];
export const HIDDEN_FOLDERS = [
  "acpi",
  "asound",
  "bus",
  "driver",
  "fs",
  "irq",
  "scsi",
  "sysvipc",
  "tty",
];

/** Made once at start; files are readable by every user. */
export interface Fixture {
  bwrap: string;
  /** Compiled system call filter, where the architecture has one. */
  seccomp: string | null;
  disableUserNamespaces: boolean;
  programs: RuntimePaths & { prlimit: string };
  libraries: Record<Runtime, string[]>;
  etc: string;
  forwarder: string;
  hidden: { files: string[]; folders: string[] };
}

export async function prepareFixture(
  bwrap: string,
  prlimit: string,
  { workDir, runtimes }: BubblewrapOptions,
): Promise<Fixture> {
  const folder = join(workDir, "runtime");
  const etc = join(folder, "etc");
  await Deno.mkdir(etc, { recursive: true });
  for (const path of [folder, etc]) await Deno.chmod(path, 0o755);
  await publish(join(etc, "passwd"), `app:x:${USER}:${USER}:app:/tmp:/\n`);
  await publish(join(etc, "group"), `app:x:${USER}:\n`);
  await publish(join(etc, "hosts"), "127.0.0.1 localhost\n::1 localhost\n");
  const forwarder = join(folder, "forward.cjs");
  await publish(forwarder, await Deno.readFile(FORWARDER));
  const filter = seccompFilter();
  const seccomp = filter === null ? null : join(folder, "seccomp.bpf");
  if (seccomp !== null) await publish(seccomp, filter!);
  const asIs = Deno.uid() !== 0;
  const programs = {
    prlimit,
    node: asIs ? runtimes.node : await runnableByAll(runtimes.node, folder),
    deno: asIs ? runtimes.deno : await runnableByAll(runtimes.deno, folder),
  };
  const base = await sharedLibraries(prlimit);
  const librariesOf = async (program: string) => [
    ...new Set([...base, ...await sharedLibraries(program)]),
  ];
  return {
    bwrap,
    seccomp,
    // The filter refuses new namespaces already; without one the kernel has to.
    disableUserNamespaces: seccomp === null && await hasOption(bwrap, "--disable-userns"),
    programs,
    libraries: {
      node: await librariesOf(runtimes.node),
      deno: await librariesOf(runtimes.deno),
    },
    etc,
    forwarder,
    hidden: {
      files: HIDDEN_FILES.map((name) => `/proc/${name}`).filter(exists),
      folders: HIDDEN_FOLDERS.map((name) => `/proc/${name}`).filter(exists),
    },
  };
}

/** bubblewrap's options for one run. */
export function bubblewrapOptions(
  fixture: Fixture,
  spec: SandboxSpec,
  egress: Egress | null,
): string[] {
  const { runtime, limits } = spec;
  // The forwarder runs on Node, whatever the app runs on.
  const runtimes: Runtime[] = egress && runtime !== "node" ? [runtime, "node"] : [runtime];
  const libraries = new Set(runtimes.flatMap((each) => fixture.libraries[each]));
  const env: Record<string, string> = {
    PATH: PROGRAMS,
    HOME: "/tmp",
    TMPDIR: "/tmp",
    LANG: "C.UTF-8",
    ...(runtime === "deno" ? { DENO_DIR: "/tmp/.deno", DENO_NO_UPDATE_CHECK: "1" } : {}),
    ...spec.env,
    STOWAGE_CONFIG: CONFIG,
    STOWAGE_OUTPUT_DIR: OUTPUT,
  };
  return [
    ...["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"],
    ...["--hostname", "stowage", "--uid", `${USER}`, "--gid", `${USER}`],
    ...(fixture.seccomp ? ["--seccomp", "7"] : []),
    ...(fixture.disableUserNamespaces ? ["--disable-userns"] : []),
    ...["--json-status-fd", "9"],
    ...Object.entries(env).flatMap(([name, value]) => ["--setenv", name, value]),
    ...[...libraries].flatMap((path) => readOnly(path, path)),
    ...runtimes.flatMap((each) => readOnly(fixture.programs[each], `${PROGRAMS}/${each}`)),
    ...readOnly(fixture.programs.prlimit, `${PROGRAMS}/prlimit`),
    ...readOnly(fixture.etc, "/etc"),
    ...["--proc", "/proc"],
    ...fixture.hidden.files.flatMap((path) => readOnly("/dev/null", path)),
    ...fixture.hidden.folders.flatMap((path) => ["--tmpfs", path, "--remount-ro", path]),
    ...DEVICES.flatMap((name) => ["--dev-bind", `/dev/${name}`, `/dev/${name}`]),
    ...["--symlink", "/proc/self/fd", "/dev/fd"],
    ...["stdin", "stdout", "stderr"].flatMap((
      name,
      fd,
    ) => ["--symlink", `/proc/self/fd/${fd}`, `/dev/${name}`]),
    ...["--perms", "1777", "--size", `${limits.temporaryBytes}`, "--tmpfs", "/tmp"],
    ...readOnly(spec.appDir, APP),
    ...readOnly(spec.configFile, CONFIG),
    ...(egress
      ? [...readOnly(egress.socket, EGRESS_SOCKET), ...readOnly(fixture.forwarder, FORWARDER_PATH)]
      : []),
    ...["--bind", spec.outputDir, OUTPUT],
    ...["--chdir", APP],
    ...["--remount-ro", "/"],
  ];
}

/**
 * What bubblewrap starts: the app under resource limits.
 * @param limits of all processes inside
 * @param grouped a control group holds the memory limit
 */
export function bubblewrapCommand(
  spec: SandboxSpec,
  limits: Limits,
  { grouped, hasEgress }: { grouped: boolean; hasEgress: boolean },
): string[] {
  return [
    `${PROGRAMS}/prlimit`,
    ...resourceLimits(limits, grouped),
    "--",
    ...appCommand(spec, PROGRAMS, hasEgress),
  ];
}

/** Applied inside the namespace: processes are then counted there, not among the host's of the same user. */
function resourceLimits(limits: Limits, grouped: boolean): string[] {
  const seconds = limits.timeoutSeconds * navigator.hardwareConcurrency + limits.graceSeconds;
  return [
    // One byte, not none: only then does the kernel also spare a core_pattern that is a program, which would run as root on the host.
    "--core=1",
    `--nproc=${limits.processes}`,
    `--nofile=${limits.openFiles}`,
    `--fsize=${limits.fileBytes}`,
    `--cpu=${Math.ceil(seconds)}`,
    ...(grouped ? [] : [`--data=${(limits.memoryMegabytes + DATA_SLACK_MEGABYTES) * MIB}`]),
  ];
}

function readOnly(source: string, target: string): string[] {
  return ["--ro-bind", source, target];
}

async function publish(path: string, content: string | Uint8Array): Promise<void> {
  await Deno.writeFile(
    path,
    typeof content === "string" ? new TextEncoder().encode(content) : content,
  );
  await Deno.chmod(path, 0o644);
}

async function hasOption(bwrap: string, option: string): Promise<boolean> {
  const { stdout } = await new Deno.Command(bwrap, { args: ["--help"], stdout: "piped" }).output();
  return new TextDecoder().decode(stdout).includes(option);
}
