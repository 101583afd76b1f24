/** The limits of an app: what its manifest asks for, within what the operator allows. */
import { MIN_MEMORY_MEGABYTES } from "../../../supabase/functions/_shared/limits.ts";

const MIB = 1024 * 1024;

export interface Limits {
  /** Wall clock, then SIGTERM. */
  timeoutSeconds: number;
  /** Between SIGTERM and SIGKILL. */
  graceSeconds: number;
  /** All processes of the app together. */
  memoryMegabytes: number;
  /** Processor cores, on average. */
  cpus: number;
  /** Processes and threads. */
  processes: number;
  openFiles: number;
  /** One file. */
  fileBytes: number;
  /** All files in the output directory. */
  outputBytes: number;
  outputFiles: number;
  /** Kept of each of stdout and stderr; the rest is dropped. */
  logBytes: number;
  /** An app that writes more than this to stdout or stderr is ended: dropping costs processor time. */
  logFloodBytes: number;
  /** Written to disk in all, deleted files included. */
  diskWriteBytes: number;
  /** The app's temporary directory, in memory. */
  temporaryBytes: number;
  /** Files in it: each takes memory of the kernel, even an empty one. */
  temporaryFiles: number;
}

const BYTES_PER_TEMPORARY_FILE = 8 * 1024;

export interface LimitBounds {
  maxTimeoutSeconds: number;
  maxMemoryMegabytes: number;
  maxCpus: number;
}

export const DEFAULT_BOUNDS: LimitBounds = {
  maxTimeoutSeconds: 3600,
  maxMemoryMegabytes: 4096,
  maxCpus: 4,
};

const DEFAULT_TIMEOUT_SECONDS = 300;
const DEFAULT_MEMORY_MEGABYTES = 512;

/** The kernel takes no share below a hundredth, and none that small could start a runtime. */
export const MIN_CPUS = 0.05;

const FIXED = {
  graceSeconds: 5,
  processes: 128,
  openFiles: 512,
  fileBytes: 50 * MIB,
  outputBytes: 200 * MIB,
  outputFiles: 1000,
  logBytes: 10 * MIB,
  logFloodBytes: 160 * MIB,
  diskWriteBytes: 1024 * MIB,
};

/** Megabytes from a number of megabytes or a text such as "256MB", "512 MiB", "1GB"; undefined when it is neither. */
export function parseMegabytes(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) && value > 0 ? value : undefined;
  if (typeof value !== "string") return undefined;
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmg]?)i?b?\s*$/i.exec(value);
  if (!match) return undefined;
  const factor = { k: 1 / 1024, m: 1, "": 1, g: 1024 }[match[2].toLowerCase()]!;
  const megabytes = Number(match[1]) * factor;
  return megabytes > 0 ? megabytes : undefined;
}

function positive(value: unknown): number | undefined {
  const number = typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) && number > 0 ? number : undefined;
}

/**
 * Limits of a run from `config` of the manifest ({timeout s, memory_limit MB or text, cpu_limit cores}).
 * What is missing or unusable has its default; what is too much is cut to the bounds.
 */
export function limitsOf(
  config: Record<string, unknown>,
  bounds: LimitBounds = DEFAULT_BOUNDS,
): Limits {
  const memory = parseMegabytes(config.memory_limit) ?? DEFAULT_MEMORY_MEGABYTES;
  const memoryMegabytes = Math.ceil(
    Math.min(Math.max(memory, MIN_MEMORY_MEGABYTES), bounds.maxMemoryMegabytes),
  );
  const temporaryBytes = Math.min(64 * MIB, Math.floor(memoryMegabytes * MIB / 4));
  return {
    ...FIXED,
    timeoutSeconds: Math.min(
      positive(config.timeout) ?? DEFAULT_TIMEOUT_SECONDS,
      bounds.maxTimeoutSeconds,
    ),
    memoryMegabytes,
    cpus: Math.min(Math.max(positive(config.cpu_limit) ?? 1, MIN_CPUS), bounds.maxCpus),
    temporaryBytes,
    temporaryFiles: Math.ceil(temporaryBytes / BYTES_PER_TEMPORARY_FILE),
  };
}

/** V8's heap bound: below the whole, since buffers, code and stacks are not in the heap. In megabytes. */
export function heapMegabytes(memoryMegabytes: number): number {
  return Math.max(32, Math.floor(memoryMegabytes * 0.8 - 16));
}
