import { dirname, join } from "node:path";
import type { EntryVisitor } from "./policy.ts";

/**
 * Writes checked entries below a directory that only this process writes to. Nothing here ever creates a link, so no path can lead out.
 * A file that an earlier archive of the same version brought is replaced by a later one.
 */
export class TreeWriter implements EntryVisitor {
  readonly #directories = new Set<string>([""]);

  constructor(readonly root: string) {}

  async directory(path: string): Promise<void> {
    if (this.#directories.has(path)) return;
    await Deno.mkdir(join(this.root, path), { recursive: true, mode: 0o755 });
    this.#directories.add(path);
  }

  async file(path: string, content: AsyncIterable<Uint8Array>, executable: boolean): Promise<void> {
    const parent = dirname(path);
    await this.directory(parent === "." ? "" : parent);
    const target = join(this.root, path);
    await Deno.remove(target).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    const file = await Deno.open(target, {
      write: true,
      createNew: true,
      mode: executable ? 0o755 : 0o644,
    });
    try {
      for await (const chunk of content) {
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      }
    } finally {
      file.close();
    }
  }
}
