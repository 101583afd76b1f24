import { dirname, join } from "node:path";
import { ArchiveError, type EntryVisitor } from "./policy.ts";

/** Bounds of all that is written, however many archives it comes from. */
export interface TreeLimits {
  bytes: number;
  /** Files and folders. */
  entries: number;
}

/**
 * Writes checked entries below a directory that only this process writes to. Nothing here ever creates a link, so no path can lead out.
 * A file that an earlier archive of the same version brought is replaced by a later one.
 */
export class TreeWriter implements EntryVisitor {
  readonly #directories = new Set<string>([""]);
  #bytes = 0;
  #entries = 0;

  constructor(
    readonly root: string,
    readonly limits: TreeLimits = { bytes: Infinity, entries: Infinity },
  ) {}

  async directory(path: string): Promise<void> {
    if (this.#directories.has(path)) return;
    this.#count(0, 1);
    await Deno.mkdir(join(this.root, path), { recursive: true, mode: 0o755 }).catch((error) => {
      throw isTaken(error) ? conflict(path) : error;
    });
    this.#directories.add(path);
  }

  async file(path: string, content: AsyncIterable<Uint8Array>, executable: boolean): Promise<void> {
    const parent = dirname(path);
    await this.directory(parent === "." ? "" : parent);
    this.#count(0, 1);
    const target = join(this.root, path);
    const known = await Deno.lstat(target).catch(() => null);
    if (known?.isDirectory) throw conflict(path);
    if (known) await Deno.remove(target);
    const file = await Deno.open(target, {
      write: true,
      createNew: true,
      mode: executable ? 0o755 : 0o644,
    });
    try {
      for await (const chunk of content) {
        this.#count(chunk.length, 0);
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      }
    } finally {
      file.close();
    }
  }

  #count(bytes: number, entries: number): void {
    this.#bytes += bytes;
    this.#entries += entries;
    if (this.#bytes > this.limits.bytes || this.#entries > this.limits.entries) {
      throw new ArchiveError(
        "too_large",
        `the version holds more than ${this.limits.bytes} bytes, or ${this.limits.entries} entries, in all`,
      );
    }
  }
}

/** What one archive has as a file, another may have as a folder. */
function conflict(path: string): ArchiveError {
  return new ArchiveError("duplicate", "a file and a folder have the same name", path);
}

function isTaken(error: unknown): boolean {
  return error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory;
}
