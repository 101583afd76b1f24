import { Buffer } from "node:buffer";
import { Parser, type ReadEntry } from "tar";
import { AppError } from "../../_shared/errors.ts";
import { MAX_UNPACK_RATIO, MAX_UNPACKED_BYTES } from "../../_shared/limits.ts";
import type { Cursor } from "./cursor.ts";
import { Entries } from "./entries.ts";
import { CompressionError, createInflater } from "./inflate.ts";

const damaged = (detail: string) => new AppError("archive_invalid", detail);

const BLOCK = 512;

/** Whether a file that begins with these bytes is a tar: POSIX and GNU headers carry a mark, older ones a checksum. */
export function looksLikeTar(head: Uint8Array): boolean {
  if (head.length < BLOCK) return false;
  const mark = new TextDecoder("latin1").decode(head.subarray(257, 262));
  return mark === "ustar" && head[0] !== 0;
}

/** Inspects a tar, without extracting it, as its bytes pass. */
export async function inspectTar(cursor: Cursor, archiveBytes: number): Promise<Entries> {
  const tar = new TarWatcher(archiveBytes);
  for (let chunk = await cursor.some(); chunk; chunk = await cursor.some()) tar.write(chunk);
  return tar.end();
}

/**
 * Inspects a gzip whose content is a tar, in one pass. With `tarRequired` false, content of another kind is read to
 * its end, to see that it is whole and no bomb, and the answer is null.
 */
export async function inspectGzip(
  cursor: Cursor,
  archiveBytes: number,
  tarRequired: boolean,
): Promise<Entries | null> {
  let tar: TarWatcher | null = null;
  let head: Uint8Array | null = new Uint8Array(0);
  let unpacked = 0;
  const take = (data: Uint8Array) => {
    unpacked += data.length;
    // Headers and padding count too, which entries do not: so twice what entries may have.
    if (unpacked > 2 * MAX_UNPACKED_BYTES) {
      throw new AppError("archive_too_large", "It unpacks to more than is allowed.");
    }
    if (unpacked > TAR_RATIO_FROM && unpacked > archiveBytes * MAX_UNPACK_RATIO) {
      throw new AppError(
        "archive_bomb",
        `An archive may unpack to at most ${MAX_UNPACK_RATIO} times its size.`,
      );
    }
    if (head === null) return tar?.write(data);
    head = joined(head, data);
    if (head.length < BLOCK) return;
    if (looksLikeTar(head)) {
      tar = new TarWatcher(archiveBytes);
      tar.write(head);
    } else if (tarRequired) {
      throw new AppError("archive_required", "The gzip does not contain a tar.");
    }
    head = null;
  };
  const inflater = createInflater("gzip", take);
  try {
    for (let chunk = await cursor.some(); chunk; chunk = await cursor.some()) {
      await inflater.write(chunk);
    }
    await inflater.end();
  } catch (error) {
    if (error instanceof CompressionError) throw damaged("The gzip is damaged or cut off.");
    throw error;
  } finally {
    inflater.close();
  }
  const watcher = tar as TarWatcher | null;
  if (watcher === null && tarRequired) {
    throw new AppError("archive_required", "The gzip does not contain a tar.");
  }
  return watcher?.end() ?? null;
}

/** What the parser gets at once: it makes little of small pieces, and much memory of large ones. */
const PIECE = 16 * 1024;
const ZEROS = new Uint8Array(PIECE);
const TAR_RATIO_FROM = 10 * 1024 * 1024;

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** node-tar's parser under our rules. What it only warns of is an error here. */
class TarWatcher {
  readonly entries: Entries;
  #parser: Parser;
  #failure: unknown;
  #ended = false;
  #first = true;
  #block = new Uint8Array(BLOCK);
  #held = 0;

  constructor(archiveBytes: number) {
    this.entries = new Entries(archiveBytes);
    this.#parser = new Parser({
      brotli: false,
      zstd: false,
      maxMetaEntrySize: 64 * 1024,
      onwarn: (_code: string, message: string | Error) => {
        this.#failure ??= damaged(
          `The tar is damaged: ${message instanceof Error ? message.message : message}.`,
        );
      },
      onReadEntry: (entry: ReadEntry) => this.#enter(entry),
    });
    this.#parser.on("ignoredEntry", (entry: ReadEntry) => {
      this.#failure ??= new AppError(
        "archive_unsupported",
        `Entries of type ${entry.type} are not taken.`,
      );
    });
    this.#parser.on("eof", () => {
      this.#ended = true;
    });
  }

  write(data: Uint8Array): void {
    if (this.#first && data.length > 0) {
      this.#first = false;
      // The parser would unpack what looks compressed, with no regard for our limits.
      if (data[0] === 0x1f || data[0] === 0x28) {
        throw damaged("The tar begins like something else.");
      }
    }
    // The parser keeps what is no whole block, and `data` does not stay what it is: so it gets whole blocks.
    let start = 0;
    if (this.#held > 0) {
      start = Math.min(BLOCK - this.#held, data.length);
      this.#hold(data.subarray(0, start));
      if (this.#held < BLOCK) return;
      this.#held = 0;
      this.#feed(this.#block);
    }
    const end = data.length - (data.length - start) % BLOCK;
    for (; start < end; start += PIECE) {
      this.#feed(data.subarray(start, Math.min(start + PIECE, end)));
    }
    this.#hold(data.subarray(end));
  }

  #hold(part: Uint8Array): void {
    this.#block.set(part, this.#held);
    this.#held += part.length;
  }

  #feed(piece: Uint8Array): void {
    // The parser reads headers with Buffer's methods.
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    if (this.#ended) {
      if (!bytes.equals(ZEROS.subarray(0, bytes.length))) {
        throw damaged("There are bytes after the end of the tar.");
      }
      return;
    }
    this.#parser.write(bytes);
    if (this.#failure !== undefined) throw this.#failure;
  }

  end(): Entries {
    if (this.#held > 0) this.#feed(this.#block.subarray(0, this.#held));
    this.#parser.end();
    if (this.#failure !== undefined) throw this.#failure;
    return this.entries;
  }

  #enter(entry: ReadEntry): void {
    try {
      const collect = this.#judge(entry);
      if (collect && this.#failure === undefined) {
        entry.on("data", (chunk: Uint8Array) => collect(chunk));
      }
    } catch (error) {
      this.#failure ??= error;
    }
    entry.resume();
  }

  #judge(entry: ReadEntry): ((chunk: Uint8Array) => void) | null {
    const name = entry.path.slice(0, 120);
    switch (entry.type) {
      case "File":
      case "OldFile":
      case "ContiguousFile":
        if (entry.path.endsWith("/")) throw damaged("A file is named as a directory.");
        return this.entries.collector(this.entries.add(entry.path, "file", entry.size));
      case "Directory":
        this.entries.add(entry.path, "directory", 0);
        return null;
      case "Link":
      case "SymbolicLink":
        throw new AppError("archive_link", `"${name}" is a link.`);
      case "CharacterDevice":
      case "BlockDevice":
      case "FIFO":
        throw new AppError("archive_special_file", `"${name}" is not a file.`);
      default:
        throw new AppError("archive_unsupported", `Entries of type ${entry.type} are not taken.`);
    }
  }
}
