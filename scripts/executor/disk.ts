/**
 * The disk that runs are kept on. A full one fails whatever writes, and that is no app's fault: while it is short of room nothing is
 * claimed, and what failed while it was full is tried again.
 */
import { statfsSync } from "node:fs";
import type { Logger } from "./log.ts";

const MIB = 1024 * 1024;
/** As good as full: what a program writes at once may not fit. */
const FULL_BYTES = MIB;
const FULL_FILES = 16;
/** Room comes back as soon as a failed program removes what it wrote, so that a look at its end would be too late. */
const LOOK_MS = 100;

export class Disk {
  #fullAt = -Infinity;
  #short = false;

  /** @param reserveBytes what has to be free before more work is begun */
  constructor(readonly path: string, readonly reserveBytes: number, readonly log: Logger) {}

  /** Looks again and again, until the result is called. */
  watch(): () => void {
    const timer = setInterval(() => this.#look(), LOOK_MS);
    return () => clearInterval(timer);
  }

  /** Whether another piece of work may be begun. */
  hasRoom(): boolean {
    const free = this.#look();
    const short = free < this.reserveBytes;
    if (short !== this.#short) {
      const about = { work_dir: this.path, free_mb: Math.floor(free / MIB) };
      if (short) this.log.error("disk short of room, nothing is claimed", about);
      else this.log.info("room on the disk again", about);
    }
    this.#short = short;
    return !short;
  }

  /** @param started by performance.now() */
  wasFullSince(started: number): boolean {
    this.#look();
    return this.#fullAt >= started;
  }

  /** Bytes that an ordinary user may still write; none where no more files can be made. */
  #look(): number {
    const free = freeBytes(this.path);
    if (free < FULL_BYTES) this.#fullAt = performance.now();
    return free;
  }
}

function freeBytes(path: string): number {
  try {
    const { bavail, bsize, files, ffree } = statfsSync(path);
    // Some file systems make room for files as they go, and count none.
    return files > 0 && ffree < FULL_FILES ? 0 : bavail * bsize;
  } catch {
    // The folder is gone, and nothing can be put there.
    return 0;
  }
}
