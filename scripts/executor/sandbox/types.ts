/** What a sandbox is. Implementations: docker, bubblewrap, trusted. */
import type { Limits } from "./limits.ts";

export type Runtime = "node" | "deno";

/** Semantic versions of the runtimes as apps find them. */
export type RuntimeVersions = Record<Runtime, string>;

/** One execution of an app. All paths are the host's; the sandbox decides what the app sees them as. */
export interface SandboxSpec {
  /** A program of the executor's own, with Node: a sandbox without walls puts none of its own around it. */
  tool?: boolean;
  /** Unique on this host while it runs: names control groups and the like. */
  id: string;
  runtime: Runtime;
  /** The extracted app; it sees this read-only, as its working directory. */
  appDir: string;
  /** Relative to `appDir`, checked to be a file inside it. */
  entrypoint: string;
  /** Given to the app as STOWAGE_CONFIG, read-only. */
  configFile: string;
  /** Given to the app as STOWAGE_OUTPUT_DIR. Empty before; only the app writes to it until `run` returns. */
  outputDir: string;
  /** For the sandbox's own files of this execution. */
  scratchDir: string;
  /** The app's whole environment but for the variables named above and those that the runtime needs. */
  env: Record<string, string>;
  /** Hosts that the app may reach, as its network permissions say (`host`, `host:port`, `*.domain`); none without it. */
  network?: string[];
  limits: Limits;
  /** Receives what the app writes. Awaited before more is read, so that a slow sink slows the app. */
  stdout: (chunk: Uint8Array) => void | Promise<void>;
  stderr: (chunk: Uint8Array) => void | Promise<void>;
}

/** Which limit ended the app, beyond memory and time, which have outcomes of their own. */
export type ExceededLimit =
  | "output_size"
  | "output_files"
  | "output_depth"
  | "temporary_files"
  | "log_size"
  | "disk_writes"
  | "hidden_processes";

export type Outcome =
  /** `signal` is set where the code says that one ended the app. */
  | { kind: "exited"; code: number; signal?: string }
  | { kind: "timeout"; seconds: number }
  | { kind: "out_of_memory"; megabytes: number }
  | { kind: "limit"; limit: ExceededLimit; allowed: number }
  /** `signal` of the call was aborted; the app is gone. */
  | { kind: "aborted" };

export interface Availability {
  available: boolean;
  /** Why not, and what to install or change. */
  problem?: string;
  /** What this sandbox cannot enforce on this host, one sentence each. */
  unenforced: string[];
  /** How limits are enforced here, for the log. */
  details: Record<string, string>;
}

/** The sandbox itself failed, not the app: the run should be tried again, here or elsewhere. */
export class SandboxError extends Error {
  override name = "SandboxError";
}

export interface Sandbox {
  readonly name: string;
  /** Whether it holds against an app that means harm. */
  readonly isolating: boolean;
  /** Of what apps are run by; known once it was checked. */
  readonly versions: RuntimeVersions;
  /** Tries it on this host. Has to be called, and be available, before `run`. */
  check(): Promise<Availability>;
  /**
   * Runs the app to its end. When this returns, in whatever way, no process of the app is left.
   * @param signal kills the app: after SIGTERM and a grace period, or at once if the reason is a `KillNow`
   * @throws SandboxError
   */
  run(spec: SandboxSpec, signal: AbortSignal): Promise<Outcome>;
  /** Removes what executors that died left on this host; releases what `check` set up. */
  close(): Promise<void>;
}

/** An abort reason that leaves the app no time to end by itself. */
export class KillNow extends Error {
  override name = "KillNow";
}
