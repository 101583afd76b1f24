/** Downloads are counted in memory and told to the database together: one statement for many. */

const FLUSH_AFTER_MS = 2_000;
const MOST_COUNTED = 500;
/** What the database did not take is kept for the next time, up to so many versions. */
const MOST_KEPT = 5_000;

export class DownloadCounter {
  #counts = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #flushing: Promise<void> | undefined;

  constructor(
    private readonly save: (counts: Record<string, number>) => Promise<void>,
    /** Keeps the process alive for the promise, where it would otherwise be frozen after the answer. */
    private readonly keepAlive: (work: Promise<void>) => void = () => {},
  ) {}

  count(versionId: string): void {
    this.#counts.set(versionId, (this.#counts.get(versionId) ?? 0) + 1);
    if (this.#counts.size >= MOST_COUNTED) {
      this.keepAlive(this.flush());
    } else if (this.#timer === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#timer = setTimeout(() => this.flush().then(resolve), FLUSH_AFTER_MS);
      this.keepAlive(promise);
    }
  }

  /** Tells the database what was counted so far. Never fails. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#flushing;
    if (this.#counts.size === 0) return;
    const counts = this.#counts;
    this.#counts = new Map();
    this.#flushing = this.save(Object.fromEntries(counts)).catch(() => {
      if (this.#counts.size + counts.size > MOST_KEPT) return;
      for (const [id, count] of counts) this.#counts.set(id, (this.#counts.get(id) ?? 0) + count);
    });
    await this.#flushing;
  }
}
