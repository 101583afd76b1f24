/**
 * The disk that runs are kept on. A full one fails whatever writes, and that is no app's fault: while it is short of room nothing is
 * claimed, and what failed while it was full is tried again.
 */
import { statfsSync } from "node:fs";
import type { Logger } from "./log.ts";

const MIB = 1024 * 1024;
/** Less is as good as nothing, whatever was asked for. */
const LEAST_BYTES = MIB;
/** With more than this most writes succeed, and what fails has another reason, though a larger reserve is asked for. */
const SCARCE_BYTES = 16 * MIB;
const FULL_FILES = 16;
/** Room comes back when a program that failed removes what it wrote: a look at its end would be too late. */
const LOOK_MS = 100;

export class Disk {
  readonly #scarceBytes: number;
  #shortAt = -Infinity;
  #told = false;

  /** @param reserveBytes what has to be free before more work is begun */
  constructor(readonly path: string, readonly reserveBytes: number, readonly log: Logger) {
    this.#scarceBytes = Math.max(LEAST_BYTES, Math.min(reserveBytes, SCARCE_BYTES));
  }

  /** Looks again and again, until the result is called. */
  watch(): () => void {
    const timer = setInterval(() => this.#look(), LOOK_MS);
    return () => clearInterval(timer);
  }

  /** Whether another piece of work may be begun. */
  hasRoom(): boolean {
    const free = this.#look();
    const short = free < this.reserveBytes;
    if (short !== this.#told) {
      const about = { work_dir: this.path, free_mb: Math.floor(free / MIB) };
      if (short) this.log.error("disk short of room, nothing is claimed", about);
      else this.log.info("room on the disk again", about);
    }
    this.#told = short;
    return !short;
  }

  /**
   * Whether what failed may have failed for want of room: what is left when a write fails can be more than nothing.
   * @param started by performance.now()
   */
  wasShortSince(started: number): boolean {
    this.#look();
    return this.#shortAt >= started;
  }

  /** Bytes that an ordinary user may still write; none where no more files can be made. */
  #look(): number {
    const free = freeBytes(this.path);
    if (free < this.#scarceBytes) this.#shortAt = performance.now();
    return free;
  }
}

function freeBytes(path: string): number {
  try {
    const { bavail, blocks, bsize, files, ffree } = statfsSync(path);
    // Some file systems do not tell.
    if (blocks === 0) return Infinity;
    // Some file systems make room for files as they go, and count none.
    return files > 0 && ffree < FULL_FILES ? 0 : bavail * bsize;
  } catch {
    // The folder is gone, and nothing can be put there.
    return 0;
  }
}
