/** Waiting and trying again. */

/** Milliseconds before the next try after `failures` failures: doubling, less up to a half at random. */
export function backoffMs(failures: number, firstMs: number, maxMs: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 20));
  return full * (0.5 + Math.random() / 2);
}

/** Resolves after the time, or at once when the signal aborts (it does not throw then). */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}

export interface RetryOptions {
  attempts: number;
  firstMs: number;
  maxMs: number;
  signal?: AbortSignal;
  isWorthRetrying: (error: unknown) => boolean;
}

/** Calls until it succeeds, fails in a way that will not change, the attempts are used up, or the signal aborts. */
export async function retry<T>(call: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let failures = 1;; failures++) {
    options.signal?.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      if (failures >= options.attempts || !options.isWorthRetrying(error)) throw error;
      await sleep(backoffMs(failures, options.firstMs, options.maxMs), options.signal);
    }
  }
}
