import { Buffer } from "node:buffer";
import zlib from "node:zlib";

export type CompressedFormat = "deflate-raw" | "gzip";

/**
 * Decompresses what is written, passing each piece to `onData` as it comes; a piece is valid until `onData` returns. An
 * error thrown by `onData` is thrown by the write that caused it.
 */
export interface Inflater {
  write(chunk: Uint8Array): Promise<void> | void;
  /** Ends the input. Throws if the compressed data is not complete. */
  end(): Promise<void> | void;
  close(): void;
}

/** The compressed data is damaged. */
export class CompressionError extends Error {
  constructor(cause: unknown) {
    super("The compressed data is damaged.", { cause });
    this.name = "CompressionError";
  }
}

/** How much is unpacked at once: little, so that the little that expands to a lot is noticed soon. */
const STEP = 64 * 1024;

export function createInflater(
  format: CompressedFormat,
  onData: (data: Uint8Array) => void,
): Inflater {
  handleWorks ??= probeHandle();
  return handleWorks ? new HandleInflater(format, onData) : new StreamInflater(format, onData);
}

let handleWorks: boolean | undefined;

/** What lies below Node's streams. It is no public API, though much relies on it: so it is tried first. */
interface Handle {
  _handle: {
    writeSync(
      flush: number,
      input: Uint8Array,
      inputOffset: number,
      inputLength: number,
      output: Uint8Array,
      outputOffset: number,
      outputLength: number,
    ): void;
    onerror: (message: string, code: number) => void;
  };
  /** After each write: the room left in the output, and the input not taken. */
  _writeState: Uint32Array;
  destroy(): void;
}

function probeHandle(): boolean {
  try {
    const text = "abcabcabc".repeat(STEP / 4);
    let unpacked = "";
    const inflater = new HandleInflater("gzip", (data) => unpacked += Buffer.from(data).toString());
    inflater.write(zlib.gzipSync(text));
    inflater.end();
    inflater.close();
    return unpacked === text;
  } catch {
    return false;
  }
}

function createStream(format: CompressedFormat): zlib.InflateRaw | zlib.Gunzip {
  const options = { chunkSize: STEP };
  return format === "gzip" ? zlib.createGunzip(options) : zlib.createInflateRaw(options);
}

/**
 * Unpacks into one buffer over and over. Streams allocate each piece anew, which would pile up to some 80 MB before the
 * garbage collector comes. Exported for its test.
 */
export class HandleInflater implements Inflater {
  #zlib: Handle;
  #output = new Uint8Array(STEP);
  #onData: (data: Uint8Array) => void;
  #failure: CompressionError | undefined;
  #ended = false;

  constructor(format: CompressedFormat, onData: (data: Uint8Array) => void) {
    this.#onData = onData;
    this.#zlib = createStream(format) as unknown as Handle;
    this.#zlib._handle.onerror = (message) => this.#failure = new CompressionError(message);
  }

  write(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length && !this.#ended;) {
      const left = this.#step(zlib.constants.Z_NO_FLUSH, chunk, offset);
      // What comes after the end of the compressed data is not part of it.
      this.#ended = left > 0 && this.#zlib._writeState[0] > 0;
      offset = chunk.length - left;
      if (offset === chunk.length) this.#drain(chunk);
    }
  }

  end(): void {
    this.#step(zlib.constants.Z_FINISH, this.#output, this.#output.length);
  }

  close(): void {
    this.#zlib.destroy();
  }

  /** The input may be taken, and more than one output be waiting. */
  #drain(chunk: Uint8Array): void {
    while (this.#zlib._writeState[0] === 0) {
      this.#step(zlib.constants.Z_NO_FLUSH, chunk, chunk.length);
    }
  }

  /** One buffer full at most. How much of the input was not taken. */
  #step(flush: number, input: Uint8Array, offset: number): number {
    const { _handle, _writeState } = this.#zlib;
    const output = this.#output;
    _handle.writeSync(flush, input, offset, input.length - offset, output, 0, output.length);
    if (this.#failure) throw this.#failure;
    const [room, left] = _writeState;
    if (room < output.length) this.#onData(output.subarray(0, output.length - room));
    return left;
  }
}

/** The same through Node's streams, for runtimes in which the handle is another. Exported for its test. */
export class StreamInflater implements Inflater {
  #stream: zlib.InflateRaw | zlib.Gunzip;
  #failure: unknown;
  #ended = false;
  #settle: () => void = () => {};

  constructor(format: CompressedFormat, onData: (data: Uint8Array) => void) {
    this.#stream = createStream(format);
    this.#stream.on("data", (data: Uint8Array) => {
      if (this.#failure !== undefined) return;
      try {
        onData(data);
      } catch (error) {
        this.#fail(error);
      }
    });
    this.#stream.on("error", (error: unknown) => this.#fail(new CompressionError(error)));
    // Also before the input ends, if something follows the compressed data.
    this.#stream.on("end", () => {
      this.#ended = true;
      this.#settle();
    });
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let start = 0; start < chunk.length; start += STEP) {
      await this.#step((done) => this.#stream.write(chunk.subarray(start, start + STEP), done));
    }
  }

  async end(): Promise<void> {
    await this.#step(() => this.#stream.end());
  }

  close(): void {
    this.#stream.destroy();
  }

  async #step(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    if (this.#failure === undefined && !this.#ended) {
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
