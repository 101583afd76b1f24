/**
 * A Unix socket that something hostile may connect to as often as it likes. No more connections are taken than are served: the others
 * wait with the kernel, and cost this process neither memory nor descriptors, which it has for all runs together.
 */

/** Before the next try, when no connection can be taken: descriptors are short, whoever uses them. */
const RETRY_MS = 50;

export interface Gate {
  /** Takes no more connections; resolves once `serve` is through with those there are, which the caller sees to. */
  close(): Promise<void>;
}

/**
 * Listens until closed.
 * @param path of the socket; anybody may connect who can get there
 * @param most connections at the same time
 * @param serve is given each connection, which it closes; what it throws ends that connection alone
 */
export async function openGate(
  path: string,
  most: number,
  serve: (connection: Deno.Conn) => Promise<void>,
): Promise<Gate> {
  const listener = Deno.listen({ transport: "unix", path });
  await Deno.chmod(path, 0o666);
  const open = new Set<Promise<void>>();
  let closed = false;
  let ended = () => {};
  const accepting = (async () => {
    while (!closed) {
      if (open.size >= most) await new Promise<void>((resolve) => ended = resolve);
      if (closed) break;
      try {
        const connection = await listener.accept();
        const served = serve(connection).catch(() => closeQuietly(connection)).finally(() => {
          open.delete(served);
          ended();
        });
        open.add(served);
      } catch {
        if (!closed) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    await Promise.all(open);
  })();
  return {
    async close() {
      closed = true;
      listener.close();
      ended();
      await accepting;
      await Deno.remove(path).catch(() => {});
    },
  };
}

/** Closes a connection that may be closed already. */
export function closeQuietly(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
