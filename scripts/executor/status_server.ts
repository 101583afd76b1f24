/** Health and metrics over HTTP, for those who look after executors. */
import { ConfigError } from "./config.ts";
import type { Logger } from "./log.ts";
import type { Telemetry } from "./telemetry.ts";

const OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8";

export interface StatusSource {
  readonly state: "starting" | "working" | "full" | "stopping";
  readonly telemetry: Telemetry;
}

/**
 * Serves /healthz (200 as long as the process answers), /readyz (200 while it claims work, else 503) and /metrics.
 * @throws ConfigError where the address cannot be listened on
 */
export function startStatusServer(
  address: { hostname: string; port: number },
  executor: StatusSource,
  log: Logger,
): { close(): Promise<void> } {
  const answer = (request: Request) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
    }
    switch (new URL(request.url).pathname) {
      case "/healthz":
        return new Response(`${executor.state}\n`);
      case "/readyz":
        return new Response(`${executor.state}\n`, {
          status: executor.state === "working" ? 200 : 503,
        });
      case "/metrics":
        return new Response(executor.telemetry.render(), {
          headers: { "content-type": OPEN_METRICS },
        });
      default:
        return new Response(null, { status: 404 });
    }
  };
  try {
    const onListen = ({ hostname, port }: Deno.NetAddr) =>
      log.info("metrics served", { address: hostname, port });
    const server = Deno.serve({ ...address, onListen }, answer);
    return { close: () => server.shutdown() };
  } catch (error) {
    const where = `${address.hostname}:${address.port}`;
    throw new ConfigError(`metrics cannot be served on ${where}: ${(error as Error).message}`);
  }
}
