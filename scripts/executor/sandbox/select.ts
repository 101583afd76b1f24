/** Which sandbox an executor uses. */
import { BubblewrapSandbox } from "./bubblewrap.ts";
import { DockerSandbox } from "./docker.ts";
import type { EgressEvent } from "../egress/proxy.ts";
import type { RuntimePaths } from "./runtimes.ts";
import { CommandError } from "../../command/errors.ts";
import { TrustedSandbox } from "./trusted.ts";
import type { Availability, Sandbox } from "./types.ts";

export interface SandboxOptions {
  workDir: string;
  runtimes: RuntimePaths;
  /** For docker: another image than that of `npm run executor:image`. */
  image?: string;
  /** Told of every connection that an app with network permissions makes. */
  logEgress?: (runId: string, event: EgressEvent) => void;
}

type Make = (options: SandboxOptions) => Sandbox;

/** In the order in which `auto` prefers them; it never takes one that does not isolate. */
const SANDBOXES: Record<string, Make> = {
  docker: (options) => new DockerSandbox(options),
  bubblewrap: (options) => new BubblewrapSandbox(options),
  trusted: (options) => new TrustedSandbox(options),
};

export const SANDBOX_NAMES = ["auto", ...Object.keys(SANDBOXES)];

/** No sandbox that may be used works on this host. */
export class NoSandboxError extends CommandError {
  override name = "NoSandboxError";
  constructor(message: string) {
    super(message, 2);
  }
}

/**
 * Finds the sandbox of that name, or with `auto` the first isolating one that works here.
 * @throws NoSandboxError that says what to install
 */
export async function selectSandbox(
  name: string,
  options: SandboxOptions,
  sandboxes: Record<string, Make> = SANDBOXES,
): Promise<{ sandbox: Sandbox; availability: Availability }> {
  const candidates = Object.entries(sandboxes)
    .filter(([each]) => name === "auto" || each === name)
    .map(([, make]) => make(options))
    .filter((sandbox) => name !== "auto" || sandbox.isolating);
  const problems: string[] = [];
  for (const sandbox of candidates) {
    const availability = await sandbox.check();
    if (availability.available) return { sandbox, availability };
    problems.push(`${sandbox.name}: ${availability.problem}`);
  }
  throw new NoSandboxError(
    name === "auto"
      ? `No isolating sandbox works on this host, so no app is run.\n  ${problems.join("\n  ")}\n` +
        "For apps of your own, on your own machine: --sandbox trusted (it does not isolate)."
      : `The sandbox ${name} cannot be used. ${problems.join("\n")}`,
  );
}
