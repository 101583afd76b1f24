const { EdgeRuntime } = globalThis as {
  EdgeRuntime?: { waitUntil(work: Promise<unknown>): void };
};

/** Work that no answer waits for. The platform ends a process that answers nothing, unless it is told to wait. */
export function inBackground(work: Promise<unknown>): void {
  EdgeRuntime?.waitUntil(work);
}
