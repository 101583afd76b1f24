/**
 * The driver's pool, made to fail where it would hang.
 *
 * When the server closes a connection, the driver (postgres.js) settles the statements under way and forgets who had reserved
 * the connection. What its holder sends next is written into nothing and never answered, or, once the pool has opened the
 * connection anew for somebody else, into that one's transaction; and bytes that were about to be sent spoil every later
 * attempt to connect. So a pool is given up whole when one of its connections closes: whatever it still does fails at once, and
 * the next request gets a new pool. No connection here ends by age or idleness, so that one that closes has always been lost.
 */
import postgres from "postgres";

const END_SECONDS = 1;

// deno-lint-ignore no-explicit-any -- the driver's own types say no more
type Rows = any;

/** What the query builder takes of the driver. */
export interface Reserved {
  unsafe(text: string, parameters?: unknown[]): Promise<Rows>;
  release(): void;
}

interface Generation {
  sql: postgres.Sql;
  /** Rejects when a connection has closed. */
  lost: Promise<never>;
  isLost: boolean;
}

export interface ReconnectingPool {
  /** A connection for a transaction. Rejects, as its statements do, when the database does not answer. */
  reserve(): Promise<Reserved>;
  end(): Promise<void>;
}

/**
 * Lets `driver` reserve connections from pools with its own options, one after the other.
 * @param onLost called in the context of whoever learns that the database is away
 * @param bind what each parameter becomes before it is sent
 */
export function makeReconnecting(
  driver: postgres.Sql,
  onLost: () => void,
  bind = (parameter: unknown) => parameter,
): ReconnectingPool {
  let ended = false;
  let current = open();
  globalThis.addEventListener("unhandledrejection", forgive);

  function open(): Generation {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    const generation: Generation = {
      sql: postgres({
        ...driver.options as unknown as postgres.Options<Record<never, never>>,
        max_lifetime: null,
        // The server says farewell on every connection; whoever asked is told by the status.
        onnotice: () => {},
        onclose() {
          if (generation.isLost || ended) return;
          generation.isLost = true;
          reject(new Error("The connection to the database was lost"));
          current = open();
          generation.sql.end({ timeout: 0 }).catch(() => {});
        },
      }),
      lost: promise,
      isLost: false,
    };
    return generation;
  }

  /** Whatever comes first: the answer, or the end of the pool. */
  async function unlessLost<T>(
    generation: Generation,
    work: () => Promise<T>,
    isUnavailable = isBroken,
  ): Promise<T> {
    try {
      if (generation.isLost) await generation.lost;
      return await Promise.race([work(), generation.lost]);
    } catch (error) {
      if (generation.isLost || isUnavailable(error)) onLost();
      throw error;
    }
  }

  const pool: ReconnectingPool = {
    async reserve() {
      const generation = current;
      const reserving = generation.sql.reserve();
      reserving.catch(() => {});
      const reserved = await unlessLost(generation, () => reserving, () => true);
      return {
        unsafe: (text, parameters) =>
          unlessLost(
            generation,
            () => Promise.resolve(reserved.unsafe(text, parameters?.map(bind) as never)),
          ),
        release() {
          if (!generation.isLost) reserved.release();
        },
      };
    },
    async end() {
      ended = true;
      // One that is connecting to a server in recovery may never say that it has ended.
      await Promise.all([driver, current.sql].map((sql) => sql.end({ timeout: END_SECONDS })));
      globalThis.removeEventListener("unhandledrejection", forgive);
    },
  };
  Object.assign(driver, { reserve: pool.reserve });
  return pool;
}

/** What a broken connection is told by, in place of an SQLSTATE. */
function isBroken(error: unknown): boolean {
  return /^(CONNECT|ECONN|EPIPE)/.test(String((error as { code?: unknown })?.code ?? ""));
}

/**
 * A connection that is lost while the driver reads the names of types for itself fails a promise that nobody holds, with its
 * own error or with the socket's, whose stack does not name the driver.
 */
function forgive(event: PromiseRejectionEvent): void {
  const stack = String(event.reason?.stack ?? "");
  if (isBroken(event.reason) || stack.includes("/node_modules/postgres/src/connection.js")) {
    event.preventDefault();
  }
}
