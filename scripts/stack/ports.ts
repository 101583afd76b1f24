/** Ports of this machine. */
import { CommandError } from "../command/errors.ts";

/** Says which port is taken and which option chooses another. */
export class PortInUseError extends CommandError {
  override name = "PortInUseError";
  constructor(readonly port: number, readonly option: string) {
    super(
      `Port ${port} is in use. Stop what holds it, or choose another port: ` +
        `npm start -- ${option} ${port === 0 ? 0 : port + 10} (0 = any free one).`,
    );
  }
}

/** A port that was free a moment ago; whoever binds it must be ready to ask again. */
export function freePort(hostname: string): number {
  const listener = Deno.listen({ hostname, port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
