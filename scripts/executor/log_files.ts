/** Keeps what an app writes to stdout and stderr, up to a bound. */

/** One stream's log on disk. A later change can ship parts of it while it grows. */
export class LogFile {
  /** Bytes that the app wrote, those that were dropped included. */
  written = 0;
  #file: Deno.FsFile;
  #kept = 0;

  private constructor(readonly path: string, readonly limit: number, file: Deno.FsFile) {
    this.#file = file;
  }

  static async create(path: string, limit: number): Promise<LogFile> {
    return new LogFile(path, limit, await Deno.open(path, { write: true, createNew: true }));
  }

  get truncated(): boolean {
    return this.written > this.limit;
  }

  readonly append = async (chunk: Uint8Array): Promise<void> => {
    this.written += chunk.length;
    const kept = chunk.subarray(0, this.limit - this.#kept);
    this.#kept += kept.length;
    for (let at = 0; at < kept.length;) at += await this.#file.write(kept.subarray(at));
  };

  /** Ends the log, with a last line that says so if something was dropped. */
  async close(): Promise<void> {
    try {
      if (!this.truncated) return;
      const note = `\n[log truncated: ${this.#kept} of ${this.written} bytes kept]\n`;
      await this.#file.write(new TextEncoder().encode(note));
    } finally {
      this.#file.close();
    }
  }
}
