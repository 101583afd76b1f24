import { setTimeout as delay } from "node:timers/promises";
import { inBackground } from "./background.ts";
import { serviceClient } from "./caller.ts";
import type { Environment } from "./environment.ts";
import { QUERY_DEADLINE_MS } from "./limits.ts";

/**
 * When a query is asked to be cancelled, in milliseconds after it was given up: until it is found, since one that is still
 * on its way has no backend yet.
 */
const CANCELLED_AFTER_MS = [0, 200, 1_000];
const CANCELLING_DEADLINE_MS = 10_000;

/**
 * A fetch for clients that act for one request. All that it fetches ends with the signal, and queries when they take too
 * long; files may stream for longer. Since the REST server runs a query on when nobody waits for it any more, one that is
 * given up is cancelled in the database: it goes by an id that nobody else is told, see `cancel_query`.
 */
export function fetchUntil(
  signal: AbortSignal,
  environment: Environment,
  queryDeadlineMs = QUERY_DEADLINE_MS,
): typeof fetch {
  const api = `${environment.supabase.url}/rest/v1/`;
  return async (input, init = {}) => {
    const isRequest = input instanceof Request;
    const signals = init.signal ? [signal, init.signal] : [signal];
    if (!(isRequest ? input.url : String(input)).startsWith(api)) {
      return await fetch(input, { ...init, signal: AbortSignal.any(signals) });
    }
    const ends = AbortSignal.any([...signals, AbortSignal.timeout(queryDeadlineMs)]);
    ends.throwIfAborted();
    const id = crypto.randomUUID();
    const headers = new Headers(init.headers ?? (isRequest ? input.headers : undefined));
    headers.set("x-query-id", id);
    try {
      return await fetch(input, { ...init, headers, signal: ends });
    } catch (error) {
      if (ends.aborted) inBackground(cancelQuery(id, environment));
      throw error;
    }
  };
}

/** It may be over already. If it is neither found nor over, its role's `statement_timeout` ends it. */
async function cancelQuery(id: string, environment: Environment): Promise<void> {
  const service = serviceClient(environment, fetch);
  const begun = Date.now();
  for (const after of CANCELLED_AFTER_MS) {
    await delay(Math.max(0, begun + after - Date.now()));
    const { data, error } = await service.rpc("cancel_query", { query_id: id })
      .abortSignal(AbortSignal.timeout(CANCELLING_DEADLINE_MS));
    if (error) {
      console.warn(JSON.stringify({ level: "warning", message: "a query was not cancelled" }));
    }
    if (data || error) return;
  }
}
