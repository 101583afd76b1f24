/**
 * Objects' bytes on disk: `<root>/<bucket>/<name's segments>/@<version>`.
 *
 * A version is written once, under a temporary name, and renamed when it is complete, so that a reader never meets half
 * a file. Overwriting an object makes a new version; the old file goes after the row has changed.
 */
import { createHash } from "node:crypto";
import { errors } from "./errors.ts";

/** What a written file turned out to be. */
export interface StoredFile {
  /** Bytes. */
  size: number;
  /** Quoted MD5, as S3 gives it for a file uploaded in one piece. */
  eTag: string;
  lastModified: Date;
}

/** Both bounds included, as in a Range header. */
export interface ByteRange {
  from: number;
  to: number;
}

const CHUNK_BYTES = 256 * 1024;
/** Longest file name that we make; file systems take 255 bytes. */
const MAX_SEGMENT_LENGTH = 200;
/** Longest object name, as S3 has it. */
const MAX_NAME_BYTES = 1024;
const CONTINUED = "~";
const TEMPORARY_SUFFIX = ".part";

/**
 * One path segment that is safe on every file system and distinct for every input: letters, digits, `-`, `_` and `.`
 * stay, all else is percent-encoded; `.` and `..`, being directories of their own, and the empty segment are spelt out;
 * a long one is cut into nested directories.
 */
function encodeSegment(segment: string): string {
  if (segment === "") return "%";
  const encoded = /^\.{1,2}$/.test(segment)
    ? segment.replaceAll(".", "%2E")
    : segment.replace(/[^A-Za-z0-9._-]/g, (character) =>
      Array.from(new TextEncoder().encode(character), (byte) =>
        "%" + byte.toString(16).toUpperCase().padStart(2, "0")).join(""));
  const pieces = encoded.match(new RegExp(`.{1,${MAX_SEGMENT_LENGTH}}`, "g")) ?? [];
  return pieces.join(`${CONTINUED}/`);
}

/**
 * Writes synchronously: a chunk goes to the page cache faster than a thread could take it over, and Deno's request bodies
 * become slower with every chunk that waits for one.
 */
function writeAll(file: Deno.FsFile, chunk: Uint8Array): void {
  let written = 0;
  while (written < chunk.length) written += file.writeSync(chunk.subarray(written));
}

export class FileStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root.replace(/\/+$/, "");
  }

  #directory(bucket: string, name: string): string {
    return [this.#root, encodeSegment(bucket), ...name.split("/").map(encodeSegment)].join("/");
  }

  #path(bucket: string, name: string, version: string): string {
    return `${this.#directory(bucket, name)}/@${encodeSegment(version)}`;
  }

  /**
   * Writes a new version from a stream, holding one chunk at a time. On any failure, the stream's own included, nothing
   * is left. Throws EntityTooLarge as soon as `limit` (bytes) is passed.
   */
  async write(
    bucket: string,
    name: string,
    version: string,
    body: AsyncIterable<Uint8Array>,
    limit: number,
  ): Promise<StoredFile> {
    const path = this.#path(bucket, name, version);
    const temporary = path + TEMPORARY_SUFFIX;
    const hash = createHash("md5");
    let size = 0;
    const file = await this.#create(name, temporary);
    try {
      try {
        for await (const chunk of body) {
          size += chunk.length;
          if (size > limit) throw errors.tooLarge();
          hash.update(chunk);
          writeAll(file, chunk);
        }
      } finally {
        file.close();
      }
      await Deno.rename(temporary, path);
    } catch (error) {
      await this.#unlink(temporary);
      throw error;
    }
    const { mtime } = await Deno.stat(path);
    return { size, eTag: `"${hash.digest("hex")}"`, lastModified: mtime ?? new Date() };
  }

  /**
   * Gives a version's bytes to a new version, of the same or another object. Since a version never changes, both can be
   * one file on disk; where the file system has no links it is copied.
   */
  async copy(
    from: { bucket: string; name: string; version: string },
    to: { bucket: string; name: string; version: string },
  ): Promise<Date> {
    const source = this.#path(from.bucket, from.name, from.version);
    const path = this.#path(to.bucket, to.name, to.version);
    const temporary = path + TEMPORARY_SUFFIX;
    (await this.#create(to.name, temporary)).close();
    try {
      try {
        await Deno.link(source, path);
        await Deno.remove(temporary);
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) throw error;
        await Deno.copyFile(source, temporary);
        await Deno.rename(temporary, path);
      }
    } catch (error) {
      await this.#unlink(temporary);
      throw error instanceof Deno.errors.NotFound ? errors.fileMissing() : error;
    }
    return new Date();
  }

  /** Makes a file that has all its bytes already a new version, by moving it here. */
  async adopt(bucket: string, name: string, version: string, from: string): Promise<StoredFile> {
    const path = this.#path(bucket, name, version);
    const temporary = path + TEMPORARY_SUFFIX;
    const hash = createHash("md5");
    let size = 0;
    for await (const chunk of (await Deno.open(from)).readable) {
      hash.update(chunk);
      size += chunk.length;
    }
    // The directory has to be there, and to stay there until the file is in it.
    (await this.#create(name, temporary)).close();
    try {
      await Deno.rename(from, temporary);
      await Deno.rename(temporary, path);
    } catch (error) {
      await this.#unlink(temporary);
      throw error;
    }
    return { size, eTag: `"${hash.digest("hex")}"`, lastModified: new Date() };
  }

  /** The file's size in bytes, which opens the way to `read`. Throws fileMissing. */
  async open(
    bucket: string,
    name: string,
    version: string,
  ): Promise<{ size: number; file: Deno.FsFile }> {
    try {
      const file = await Deno.open(this.#path(bucket, name, version));
      return { size: (await file.stat()).size, file };
    } catch (error) {
      throw error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory
        ? errors.fileMissing()
        : error;
    }
  }

  /** Removes a version and the directories that it leaves empty. A missing one is no error. */
  async remove(bucket: string, name: string, version: string): Promise<void> {
    await this.#unlink(this.#path(bucket, name, version));
  }

  async #create(name: string, path: string): Promise<Deno.FsFile> {
    if (new TextEncoder().encode(name).length > MAX_NAME_BYTES) throw errors.keyTooLong();
    const directory = path.slice(0, path.lastIndexOf("/"));
    // A neighbour's removal may take the empty directory away between the two calls.
    for (let attempt = 1;; attempt++) {
      await Deno.mkdir(directory, { recursive: true });
      try {
        return await Deno.open(path, { write: true, createNew: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound) || attempt === 5) throw error;
      }
    }
  }

  async #unlink(path: string): Promise<void> {
    try {
      await Deno.remove(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    let directory = path.slice(0, path.lastIndexOf("/"));
    while (directory.length > this.#root.length) {
      try {
        await Deno.remove(directory);
      } catch {
        return; // Not empty, or another removal was faster.
      }
      directory = directory.slice(0, directory.lastIndexOf("/"));
    }
  }
}

/** A file's bytes as a stream that reads when asked, and closes the file at its end or when cancelled. */
export function streamFile(file: Deno.FsFile, range: ByteRange): ReadableStream<Uint8Array> {
  let position = range.from;
  return new ReadableStream<Uint8Array>({
    async start() {
      if (position > 0) await file.seek(position, Deno.SeekMode.Start);
    },
    async pull(controller) {
      const buffer = new Uint8Array(Math.min(CHUNK_BYTES, range.to - position + 1));
      const read = buffer.length === 0 ? null : await file.read(buffer);
      if (read === null) {
        file.close();
        controller.close();
        return;
      }
      position += read;
      controller.enqueue(buffer.subarray(0, read));
    },
    cancel() {
      file.close();
    },
  }, { highWaterMark: 0 });
}
