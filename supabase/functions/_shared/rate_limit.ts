import type { Caller } from "./caller.ts";
import { AppError } from "./errors.ts";
import { MAX_COUNTED_CALLERS, REQUESTS_TAKEN_AT_ONCE } from "./limits.ts";
import type { Context } from "./serve.ts";
import { fromDatabase } from "./upstream_errors.ts";

/** What this process knows of one caller's requests. */
interface Allowance {
  /** Taken from the database, and not used yet. */
  left: number;
  /** What the database had left when asked last. */
  remaining: number;
  limit: number;
  windowSeconds: number;
  /** When the window ends, in milliseconds of this process's clock. */
  endsAt: number;
}

type Headers = Record<string, string>;

/**
 * Counts requests by caller. The counts are the database's (`take_api_requests`), so that they hold for all processes
 * together; a process takes several at once, and asks again when they are used up. What a process that ends has not used is
 * lost until the window ends: the limit errs on the strict side.
 *
 * The headers are those of draft-ietf-httpapi-ratelimit-headers. Past the limit: 429 `rate_limited` with Retry-After.
 */
export function createRateLimit(): (context: Context) => Promise<Headers> {
  const allowances = new Map<string, Allowance>();
  const asking = new Map<string, Promise<Allowance>>();

  /** Those who have to wait for the database wait for one question, not each for its own. */
  const ask = (key: string, caller: Caller): Promise<Allowance> => {
    const asked = asking.get(key);
    // It ends with the request that asks: then whoever waited asks once, for itself.
    if (asked) return asked.catch(() => keep(key, caller));
    const answer = keep(key, caller).finally(() => asking.delete(key));
    asking.set(key, answer);
    return answer;
  };

  const keep = async (key: string, caller: Caller): Promise<Allowance> => {
    const allowance = await take(caller);
    allowances.delete(key);
    allowances.set(key, allowance);
    if (allowances.size > MAX_COUNTED_CALLERS) allowances.delete(allowances.keys().next().value!);
    return allowance;
  };

  return async ({ caller }) => {
    const key = caller.id ?? "service";
    let known = allowances.get(key);
    // More than one may have waited for what was taken: whoever got nothing of it asks again.
    while (!known || known.endsAt <= Date.now() || (known.left <= 0 && known.remaining > 0)) {
      known = await ask(key, caller);
    }
    if (known.left <= 0) {
      const wait = secondsLeft(known);
      throw new AppError(
        "rate_limited",
        `Wait ${wait} seconds: ${known.limit} requests are taken.`,
        {
          headers: { ...describe(known), "retry-after": String(wait) },
        },
      );
    }
    known.left--;
    return describe(known);
  };
}

async function take(caller: Caller): Promise<Allowance> {
  const { data, error } = await caller.client.rpc("take_api_requests", {
    requests: REQUESTS_TAKEN_AT_ONCE,
  }).single();
  if (error) throw fromDatabase(error);
  return {
    left: data.granted,
    remaining: data.remaining,
    limit: data.limit_requests,
    windowSeconds: data.window_seconds,
    endsAt: Date.now() + data.reset_seconds * 1000,
  };
}

function describe(allowance: Allowance): Headers {
  const { limit, windowSeconds, left, remaining } = allowance;
  return {
    "ratelimit-policy": `"caller";q=${limit};w=${windowSeconds}`,
    "ratelimit": `"caller";r=${Math.max(left, 0) + remaining};t=${secondsLeft(allowance)}`,
  };
}

function secondsLeft({ endsAt }: Allowance): number {
  return Math.max(Math.ceil((endsAt - Date.now()) / 1000), 1);
}
