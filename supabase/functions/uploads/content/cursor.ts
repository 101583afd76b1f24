/**
 * Reads a stream forward, in pieces of whatever length the reader needs; every byte passes `onChunk` once. What is handed out
 * is valid until more is asked for: streams of bytes are read into one buffer over and over, since a new one for each
 * piece would pile up until the garbage collector comes.
 */
export class Cursor {
  /** Bytes handed out so far. */
  position = 0;
  #read: () => Promise<Uint8Array | null>;
  #cancel: () => Promise<void>;
  #chunk: Uint8Array = new Uint8Array(0);
  #onChunk: (chunk: Uint8Array) => void;

  constructor(stream: ReadableStream<Uint8Array>, onChunk: (chunk: Uint8Array) => void) {
    this.#onChunk = onChunk;
    const reader = byteReader(stream);
    if (reader) {
      let buffer = new ArrayBuffer(BUFFER_BYTES);
      this.#read = async () => {
        const { done, value } = await reader.read(new Uint8Array(buffer));
        if (value) buffer = value.buffer;
        return done ? null : value;
      };
      this.#cancel = () => reader.cancel();
    } else {
      const reader = stream.getReader();
      this.#read = async () => (await reader.read()).value ?? null;
      this.#cancel = () => reader.cancel();
    }
  }

  /** The next bytes, at least one and at most `max`; null at the end of the stream. */
  async some(max = Infinity): Promise<Uint8Array | null> {
    if (!await this.#fill()) return null;
    const taken = this.#chunk.subarray(0, Math.min(max, this.#chunk.length));
    this.#chunk = this.#chunk.subarray(taken.length);
    this.position += taken.length;
    return taken;
  }

  /** Exactly `length` bytes, or fewer if the stream ends. Meant for headers, not for content. */
  async exactly(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const part = await this.some(length - filled);
      if (!part) return bytes.subarray(0, filled);
      bytes.set(part, filled);
      filled += part.length;
    }
    return bytes;
  }

  /** The first bytes without consuming them, at most one chunk: enough to recognise a type by. */
  async peek(length: number): Promise<Uint8Array> {
    while (this.#chunk.length < length) {
      const value = await this.#read();
      if (!value) break;
      this.#onChunk(value);
      const joined = new Uint8Array(this.#chunk.length + value.length);
      joined.set(this.#chunk);
      joined.set(value, this.#chunk.length);
      this.#chunk = joined;
    }
    return this.#chunk.subarray(0, length);
  }

  /** Reads what is left, so that `onChunk` has seen everything. */
  async drain(): Promise<void> {
    while (await this.some());
  }

  /** Gives the stream up. */
  async cancel(): Promise<void> {
    await this.#cancel().catch(() => {});
  }

  async #fill(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const value = await this.#read();
      if (!value) return false;
      this.#onChunk(value);
      this.#chunk = value;
    }
    return true;
  }
}

const BUFFER_BYTES = 128 * 1024;

/** A reader that fills buffers of ours, if the stream is one of bytes, as bodies of responses are. */
function byteReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | null {
  try {
    return stream.getReader({ mode: "byob" });
  } catch (error) {
    if (error instanceof TypeError && !stream.locked) return null;
    throw error;
  }
}
