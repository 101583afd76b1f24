/**
 * The way out for an app with network permissions: a proxy outside of the sandbox, its socket inside, and between the two a forwarder
 * that the app is started by.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseGrant } from "../../../supabase/functions/_shared/manifest/network_scopes.ts";
import { type EgressEvent, type EgressOptions, startEgressProxy } from "../egress/proxy.ts";
import type { Limits } from "./limits.ts";
import { isolatedArguments } from "./runtimes.ts";
import { SandboxError, type SandboxSpec } from "./types.ts";

export interface EgressSettings {
  /** Told of every connection that an app makes. */
  logEgress?: (runId: string, event: EgressEvent) => void;
  /** How names are resolved and which addresses may be reached; the public Internet unless told. */
  egress?: Pick<EgressOptions, "resolve" | "isAllowedAddress" | "limits">;
}

export interface Egress {
  /** Where the proxy listens. */
  socket: string;
  close(): Promise<void>;
}

/** The program inside, on this host. */
export const FORWARDER = fileURLToPath(new URL("../image/forward.cjs", import.meta.url));
/** Where the app finds socket and program. */
export const EGRESS_SOCKET = "/stowage/egress.sock";
export const FORWARDER_PATH = "/stowage/forward.cjs";

/** What the forwarder needs, on top of the app's own. */
const FORWARDER_MEGABYTES = 64;
const FORWARDER_HEAP_MEGABYTES = 32;
const FORWARDER_PROCESSES = 16;

/** An app may try again and again; the log is for all. */
const MAX_LOGGED = 1000;

/** Starts the proxy of one run; null where its app may reach nothing. */
export async function openEgress(
  spec: SandboxSpec,
  settings: EgressSettings,
): Promise<Egress | null> {
  if (!spec.network?.length) return null;
  const grants = spec.network.map(parseGrant).filter((grant) => typeof grant !== "string");
  const socket = join(spec.scratchDir, "egress.sock");
  let logged = 0;
  try {
    const proxy = await startEgressProxy({
      ...settings.egress,
      socket,
      grants,
      log: (event) => {
        if (++logged <= MAX_LOGGED) settings.logEgress?.(spec.id, event);
      },
    });
    return { socket, close: () => proxy.close() };
  } catch (error) {
    throw new SandboxError(`the egress proxy does not start: ${(error as Error).message}`);
  }
}

/** The limits that hold for the app and the forwarder together. */
export function limitsWithEgress(limits: Limits): Limits {
  return {
    ...limits,
    memoryMegabytes: limits.memoryMegabytes + FORWARDER_MEGABYTES,
    processes: limits.processes + FORWARDER_PROCESSES,
  };
}

/** The command line of the app in its sandbox. */
export function appCommand(spec: SandboxSpec, programs: string, hasEgress: boolean): string[] {
  const { runtime, entrypoint, limits } = spec;
  const app = [`${programs}/${runtime}`, ...isolatedArguments(runtime, entrypoint, limits)];
  if (!hasEgress) return app;
  if (runtime === "node") app.splice(1, 0, "--require", FORWARDER_PATH);
  const heap = `--max-old-space-size=${FORWARDER_HEAP_MEGABYTES}`;
  return [`${programs}/node`, heap, FORWARDER_PATH, ...app];
}
