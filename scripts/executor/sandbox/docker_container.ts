/** What an app finds in its container, in the words of the engine's API. */
import { join } from "node:path";
import { HIDDEN_FILES, HIDDEN_FOLDERS } from "./bubblewrap_arguments.ts";
import { seccompProfile } from "./docker_seccomp.ts";
import {
  appCommand,
  EGRESS_SOCKET,
  FORWARDER,
  FORWARDER_PATH,
  limitsWithEgress,
} from "./egress.ts";
import type { SandboxSpec } from "./types.ts";

const MIB = 1024 * 1024;
const APP = "/app";
const OUTPUT = "/output";
const STOWAGE = "/stowage";
const PROGRAMS = "/usr/local/bin";

/** The engine's first process in every container, which hands signals on and buries the dead; it counts as one. */
const INIT_PROCESSES = 1;

const CPU_PERIOD_US = 100_000;
/** What the kernel takes at the least. */
const MIN_CPU_QUOTA_US = 1000;

/** Kept from writing, where they are not hidden anyway. */
const READ_ONLY = ["/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"];
const HIDDEN = [...HIDDEN_FILES, ...HIDDEN_FOLDERS].map((name) => `/proc/${name}`);

/** Files that the sandbox makes for one run. */
export interface RunFiles {
  passwd: string;
  group: string;
  hosts: string;
  /** Where the proxy listens, if the app may reach anything. */
  egressSocket?: string;
}

export async function writeRunFiles(spec: SandboxSpec, user: number): Promise<RunFiles> {
  const write = async (name: string, text: string) => {
    const path = join(spec.scratchDir, name);
    await Deno.writeTextFile(path, text);
    await Deno.chmod(path, 0o644);
    return path;
  };
  return {
    passwd: await write("passwd", `app:x:${user}:${user}:app:/tmp:/\n`),
    group: await write("group", `app:x:${user}:\n`),
    hosts: await write("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
  };
}

/** The body of the call that creates the container. */
export function containerDefinition(
  spec: SandboxSpec,
  { image, user, files, labels }: {
    image: string;
    user: number;
    files: RunFiles;
    labels: Record<string, string>;
  },
): Record<string, unknown> {
  const hasEgress = files.egressSocket !== undefined;
  const limits = hasEgress ? limitsWithEgress(spec.limits) : spec.limits;
  const memory = limits.memoryMegabytes * MIB;
  const profile = seccompProfile();
  const seconds = limits.timeoutSeconds * navigator.hardwareConcurrency + limits.graceSeconds;
  const limit = (name: string, value: number) => ({ Name: name, Soft: value, Hard: value });
  return {
    Image: image,
    Cmd: appCommand(spec, PROGRAMS, hasEgress),
    Env: Object.entries(environment(spec)).map(([name, value]) => `${name}=${value}`),
    User: `${user}:${user}`,
    WorkingDir: APP,
    Hostname: "stowage",
    Labels: labels,
    NetworkDisabled: true,
    HostConfig: {
      NetworkMode: "none",
      IpcMode: "none",
      CgroupnsMode: "private",
      Memory: memory,
      // Equal to the memory: no swap on top.
      MemorySwap: memory,
      // Not NanoCpus: that refuses more processors than there are.
      CpuPeriod: CPU_PERIOD_US,
      CpuQuota: Math.max(MIN_CPU_QUOTA_US, Math.ceil(limits.cpus * CPU_PERIOD_US)),
      PidsLimit: limits.processes + INIT_PROCESSES,
      // When the whole host is short of memory, apps go before its services.
      OomScoreAdj: 500,
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges", ...(profile === null ? [] : [`seccomp=${profile}`])],
      Init: true,
      LogConfig: { Type: "none" },
      RestartPolicy: { Name: "no" },
      Ulimits: [
        // One byte, not none: only then does the kernel also spare a core_pattern that is a program, which would run as root on the host.
        limit("core", 1),
        limit("nofile", limits.openFiles),
        limit("fsize", limits.fileBytes),
        limit("cpu", Math.ceil(seconds)),
      ],
      Tmpfs: {
        "/tmp": [
          "rw,nosuid,nodev,mode=1777",
          `size=${limits.temporaryBytes}`,
          `nr_inodes=${limits.temporaryFiles}`,
        ].join(","),
      },
      MaskedPaths: [...HIDDEN, "/sys"],
      ReadonlyPaths: READ_ONLY,
      Mounts: [
        mount(spec.appDir, APP),
        mount(spec.configFile, `${STOWAGE}/config.json`),
        mount(files.passwd, "/etc/passwd"),
        mount(files.group, "/etc/group"),
        // The engine would write those of the host, or its own.
        mount(files.hosts, "/etc/hosts"),
        mount("/dev/null", "/etc/resolv.conf"),
        mount(spec.outputDir, OUTPUT, false),
        ...(hasEgress
          ? [
            mount(files.egressSocket!, EGRESS_SOCKET),
            mount(FORWARDER, FORWARDER_PATH),
          ]
          : []),
      ],
    },
  };
}

function environment(spec: SandboxSpec): Record<string, string> {
  return {
    PATH: PROGRAMS,
    HOME: "/tmp",
    TMPDIR: "/tmp",
    LANG: "C.UTF-8",
    ...(spec.runtime === "deno" ? { DENO_DIR: "/tmp/.deno", DENO_NO_UPDATE_CHECK: "1" } : {}),
    ...spec.env,
    STOWAGE_CONFIG: `${STOWAGE}/config.json`,
    STOWAGE_OUTPUT_DIR: OUTPUT,
  };
}

function mount(source: string, target: string, readOnly = true): Record<string, unknown> {
  return {
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: "rprivate" },
  };
}
