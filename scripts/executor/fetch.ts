/** Calls that end: in time, and as soon as nobody wants their answer. */
import { AsyncLocalStorage } from "node:async_hooks";
import { fetchOrExplain } from "../command/reach.ts";

/** What breaks off the upload that is being made: the client takes no signal for it. */
export const uploading = new AsyncLocalStorage<AbortSignal>();

/**
 * `fetch`, whose time is that of headers and body together. Deno's own forgets its signal once the headers are there, with the next
 * collection of garbage: a body that stalls would be waited for without end.
 */
export async function fetchWithin(
  ms: number,
  input: RequestInfo | URL,
  init: RequestInit = {},
): Promise<Response> {
  const breaker = new AbortController();
  const late = new DOMException(`no whole answer within ${ms / 1000} s`, "TimeoutError");
  const timer = setTimeout(() => breaker.abort(late), ms);
  const sources = [init.signal, uploading.getStore()].filter((each) => !!each);
  const listeners = sources.map((source) => () => breaker.abort(source.reason));
  const over = () => {
    clearTimeout(timer);
    sources.forEach((source, n) => source.removeEventListener("abort", listeners[n]));
  };
  sources.forEach((source, n) => {
    source.addEventListener("abort", listeners[n]);
    if (source.aborted) listeners[n]();
  });
  try {
    const response = await fetchOrExplain(input, { ...init, signal: breaker.signal });
    if (response.body !== null) {
      return new Response(breakable(response.body, breaker.signal, over), response);
    }
    over();
    return response;
  } catch (error) {
    over();
    throw error;
  }
}

/** @param over called once: when the body was read, or will not be */
function breakable(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  over: () => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  // A read that waits then answers that there is no more.
  const breakOff = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", breakOff);
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        signal.throwIfAborted();
        if (!done) return controller.enqueue(value);
        over();
        controller.close();
      } catch (error) {
        over();
        throw error;
      }
    },
    async cancel(reason) {
      over();
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
