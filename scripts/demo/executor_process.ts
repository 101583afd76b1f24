/** The executor of the demo: the same program an operator starts, as a process of its own. */
import { projectPath } from "../stack/project.ts";
import type { Stack } from "../stack/mod.ts";

export interface ExecutorProcess {
  /** Name of the sandbox it uses. */
  sandbox: string;
  /** Why it is not an isolating one, if it is not. */
  warning?: string;
  stop(): Promise<void>;
}

/** How those that run now are stopped; undefined once there must be no more. */
let running: Set<() => Promise<void>> | undefined = new Set();

/** Stops what `startExecutor` started, and what it is about to start. */
export async function stopExecutors(): Promise<void> {
  const stops = [...running ?? []];
  running = undefined;
  await Promise.all(stops.map((stop) => stop()));
}

/** Exit code of an executor that found no sandbox. */
const EXIT_CONFIG = 2;

/**
 * Starts an executor with an isolating sandbox; on a machine that has none, with the trusted one,
 * which is enough for this repository's own app and for nothing else.
 */
export async function startExecutor(stack: Stack): Promise<ExecutorProcess> {
  const isolating = await start(stack, "auto");
  if (!("refusal" in isolating)) return isolating;
  const trusted = await start(stack, "trusted");
  if ("refusal" in trusted) throw new Error(trusted.refusal);
  return { ...trusted, warning: isolating.refusal };
}

async function start(
  stack: Stack,
  sandbox: string,
): Promise<ExecutorProcess | { refusal: string }> {
  if (!running) throw new Error("the demo is over");
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", projectPath("scripts/executor/main.ts")],
      ...["--sandbox", sandbox, "--poll-interval", "0.2", "--log-format", "json"],
    ],
    env: { SUPABASE_URL: stack.apiUrl, SUPABASE_SECRET_KEY: stack.secretKey },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const started = Promise.withResolvers<string>();
  const remarks: string[] = [];
  const reading = (async () => {
    const lines = child.stderr.pipeThrough(new TextDecoderStream());
    let rest = "";
    for await (const chunk of lines) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop()!;
      for (const line of parts) {
        if (line.startsWith("{") && JSON.parse(line).event === "executor started") {
          started.resolve(JSON.parse(line).sandbox);
        }
        remarks.push(line);
      }
    }
  })();
  const ended = child.status.then(async (status) => {
    await reading;
    running?.delete(stop);
    return status;
  });
  const stop = async () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended already.
    }
    await ended;
  };
  running.add(stop);
  const first = await Promise.race([started.promise, ended]);
  if (typeof first === "string") {
    return { sandbox: first, stop };
  }
  if (first.code === EXIT_CONFIG) return { refusal: remarks.join("\n") };
  throw new Error(`the executor ended with code ${first.code}:\n${remarks.join("\n")}`);
}
