/** Keeps what an app writes to stdout and stderr, up to a bound. */

/** One stream's log on disk; log_shipper.ts sends what there is of it while it grows. */
export class LogFile {
  /** Bytes that the app wrote, those that were dropped included. */
  written = 0;
  #file: Deno.FsFile;
  #kept = 0;
  #size = 0;
  #closed = false;

  private constructor(readonly path: string, readonly limit: number, file: Deno.FsFile) {
    this.#file = file;
  }

  static async create(path: string, limit: number): Promise<LogFile> {
    return new LogFile(path, limit, await Deno.open(path, { write: true, createNew: true }));
  }

  get truncated(): boolean {
    return this.written > this.limit;
  }

  /** Bytes that are in the file. */
  get size(): number {
    return this.#size;
  }

  readonly append = async (chunk: Uint8Array): Promise<void> => {
    this.written += chunk.length;
    const kept = chunk.subarray(0, this.limit - this.#kept);
    this.#kept += kept.length;
    await this.#write(kept);
  };

  /** Ends the log, with a last line that says so if something was dropped. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (!this.truncated) return;
      const note = `\n[log truncated: ${this.#kept} of ${this.written} bytes kept]\n`;
      await this.#write(new TextEncoder().encode(note));
    } finally {
      this.#file.close();
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#file.write(bytes.subarray(at));
    this.#size += bytes.length;
  }
}
