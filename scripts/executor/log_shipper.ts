/** Sends a log to the bucket while it grows, so that it can be read before the work that writes it is over. */
import { sleep } from "./backoff.ts";
import type { LogFile } from "./log_files.ts";
import { persistently, type Service } from "./service.ts";

/** Between two looks at whether the log has grown. */
const INTERVAL_MS = 2000;
/** Of one part. The last one is written anew while it grows, so this bounds what is sent each time. */
export const PART_BYTES = 256 * 1024;

/** What of a log is in the bucket. */
export interface Progress {
  /** Objects, in order; all but the last have `PART_BYTES` bytes. */
  parts: string[];
  bytes: number;
}

interface Destination {
  partBytes: number;
  /** The object that part `number`, from 1, is. */
  name(number: number): string;
  /** Called after each time that something was sent. */
  sent(progress: Progress): Promise<void>;
}

/** `base.0001.log`, … */
export function partName(base: string, number: number): string {
  return `${base}.${String(number).padStart(4, "0")}.log`;
}

/** Whether an object's name is that of a part. */
export function isPart(path: string): boolean {
  return /\.\d{4}\.log$/.test(path);
}

export class LogShipper {
  readonly #ended = new AbortController();
  readonly #loop: Promise<void>;
  #shipped = 0;
  #parts: string[] = [];

  private constructor(
    readonly service: Service,
    readonly log: LogFile,
    readonly destination: Destination,
    readonly lost: AbortSignal,
  ) {
    this.#loop = this.#keep();
  }

  /** In parts beside `base`, as long as the work goes on. */
  static parts(
    service: Service,
    log: LogFile,
    base: string,
    sent: (progress: Progress) => Promise<void>,
    lost: AbortSignal,
  ): LogShipper {
    const name = (number: number) => partName(base, number);
    return new LogShipper(service, log, { partBytes: PART_BYTES, name, sent }, lost);
  }

  /** As one object that is written anew each time: for logs that stay small. */
  static whole(service: Service, log: LogFile, path: string, lost: AbortSignal): LogShipper {
    const sent = () => Promise.resolve();
    return new LogShipper(service, log, { partBytes: Infinity, name: () => path, sent }, lost);
  }

  /** The objects that were written. */
  get parts(): string[] {
    return this.#parts;
  }

  /** Ends the log, and sends what was not sent. */
  async close(): Promise<void> {
    await this.abandon();
    await persistently(() => this.#ship(), this.lost);
  }

  /** Ends the log, and sends no more. */
  async abandon(): Promise<void> {
    this.#ended.abort();
    await this.#loop;
    await this.log.close();
  }

  async #keep(): Promise<void> {
    const over = AbortSignal.any([this.#ended.signal, this.lost]);
    while (!over.aborted) {
      await sleep(INTERVAL_MS, over);
      if (over.aborted) return;
      // The server may be away: the next time sends more.
      await this.#ship().catch(() => {});
    }
  }

  async #ship(): Promise<void> {
    const { partBytes, name, sent } = this.destination;
    if (this.log.size === this.#shipped) return;
    while (this.#shipped < this.log.size) {
      const number = partBytes === Infinity ? 1 : Math.floor(this.#shipped / partBytes) + 1;
      const start = partBytes === Infinity ? 0 : (number - 1) * partBytes;
      const end = Math.min(this.log.size, start + partBytes);
      const path = name(number);
      const content = await readRange(this.log.path, start, end);
      await this.service.upload("app-logs", path, content, "text/plain", this.lost);
      if (!this.#parts.includes(path)) this.#parts.push(path);
      this.#shipped = end;
    }
    await sent({ parts: this.#parts, bytes: this.#shipped });
  }
}

async function readRange(path: string, start: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  using file = await Deno.open(path);
  await file.seek(start, Deno.SeekMode.Start);
  for (let at = 0; at < bytes.length;) {
    const n = await file.read(bytes.subarray(at));
    if (n === null) return bytes.subarray(0, at);
    at += n;
  }
  return bytes;
}
