import zlib from "node:zlib";

/**
 * Decompresses what is written, passing each piece to `onData` as it comes; holds no more than a piece. An error
 * thrown by `onData` is thrown by the write that caused it.
 */
export class Inflater {
  #stream: zlib.InflateRaw | zlib.Gunzip;
  #failure: unknown;
  #settle: () => void = () => {};

  constructor(format: "deflate-raw" | "gzip", onData: (data: Uint8Array) => void) {
    const options = { chunkSize: STEP };
    this.#stream = format === "gzip" ? zlib.createGunzip(options) : zlib.createInflateRaw(options);
    this.#stream.on("data", (data: Uint8Array) => {
      if (this.#failure !== undefined) return;
      try {
        onData(data);
      } catch (error) {
        this.#fail(error);
      }
    });
    this.#stream.on("error", (error: unknown) => this.#fail(new CompressionError(error)));
  }

  async write(chunk: Uint8Array): Promise<void> {
    // Small steps, so that the little that expands to a lot is noticed soon.
    for (let start = 0; start < chunk.length; start += STEP) {
      await this.#step((done) => this.#stream.write(chunk.subarray(start, start + STEP), done));
    }
  }

  /** Ends the input. Throws if the compressed data is not complete. */
  async end(): Promise<void> {
    await this.#step((done) => {
      this.#stream.once("end", done);
      this.#stream.end();
    });
  }

  close(): void {
    this.#stream.destroy();
  }

  async #step(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    if (this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#settle = resolve;
        start((error) => error ? this.#fail(new CompressionError(error)) : resolve());
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#stream.destroy();
    this.#settle();
  }
}

const STEP = 64 * 1024;

/** The compressed data is damaged. */
export class CompressionError extends Error {
  constructor(cause: unknown) {
    super("The compressed data is damaged.", { cause });
    this.name = "CompressionError";
  }
}
