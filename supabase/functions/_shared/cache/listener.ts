import pg from "pg";

export interface Listener {
  /** Changes are being heard of at this moment. */
  readonly connected: boolean;
  close(): Promise<void>;
}

const RETRY_MS = 2_000;
/** A connection that died without a word is noticed after at most two of these. */
const PING_MS = 10_000;

/**
 * Hears what the database announces on a channel. `onConnect` is called whenever a connection begins to listen, since
 * nobody knows what was said before. Needs a connection of its own, direct or in session mode; without one, it goes on
 * trying.
 */
export function listen(
  databaseUrl: string,
  channel: string,
  onMessage: (payload: string) => void,
  onConnect: () => void,
): Listener {
  let client: pg.Client | undefined;
  let connected = false;
  let closed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const later = (work: () => void, ms: number) => {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(work, ms);
  };
  const lose = (lost: pg.Client) => {
    if (client !== lost) return;
    connected = false;
    client = undefined;
    lost.end().catch(() => {});
    later(connect, RETRY_MS);
  };
  const ping = (alive: pg.Client) => {
    alive.query("select 1").then(() => later(() => ping(alive), PING_MS), () => lose(alive));
  };
  const connect = async () => {
    const made = new pg.Client({
      connectionString: databaseUrl,
      application_name: "stowage package cache",
      connectionTimeoutMillis: PING_MS,
      query_timeout: PING_MS,
      keepAlive: true,
    });
    client = made;
    made.on("notification", ({ payload }) => onMessage(payload ?? ""));
    made.on("error", () => lose(made));
    made.on("end", () => lose(made));
    try {
      await made.connect();
      await made.query(`listen ${pg.escapeIdentifier(channel)}`);
      if (client !== made) return;
      connected = true;
      onConnect();
      later(() => ping(made), PING_MS);
    } catch {
      lose(made);
    }
  };
  connect();
  return {
    get connected() {
      return connected;
    },
    async close() {
      closed = true;
      connected = false;
      clearTimeout(timer);
      const last = client;
      client = undefined;
      await last?.end().catch(() => {});
    },
  };
}
