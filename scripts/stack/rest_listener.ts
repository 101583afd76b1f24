/** Migrations announce themselves as on the platform: `notify pgrst, 'reload schema'`. */
import { Client } from "pg";

const RETRY_MS = 200;

export interface Listener {
  end(): Promise<void>;
}

/**
 * Calls `reload` at each announcement. A connection that is lost is made anew, and what may have been announced in between
 * counts as announced.
 */
export async function listenForReloads(
  url: string,
  reload: () => Promise<void>,
  log: (line: string) => void,
): Promise<Listener> {
  let ended = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let client: Client;

  const tell = (error: Error) => log(`rest: ${error.message}`);
  const reloadNow = () => reload().catch(tell);

  async function listen(): Promise<void> {
    const fresh = new Client({ connectionString: url });
    client = fresh;
    fresh.on("error", tell);
    fresh.on("notification", reloadNow);
    await fresh.connect();
    fresh.once("end", again);
    await fresh.query("listen pgrst");
  }

  function again(): void {
    clearTimeout(timer);
    if (ended) return;
    timer = setTimeout(() => listen().then(reloadNow, again), RETRY_MS);
  }

  await listen();
  return {
    async end() {
      ended = true;
      clearTimeout(timer);
      await client.end();
    },
  };
}
