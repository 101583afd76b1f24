/** `npm run executor`: reads flags and environment, wires the parts, and listens to signals. */
import { concludeCommand } from "../command/command.ts";
import { COMMAND, ConfigError, HELP, readConfig } from "./config.ts";
import { Executor, EXECUTOR_VERSION } from "./executor.ts";
import { createLogger, type Logger } from "./log.ts";
import { locateRuntimes } from "./sandbox/runtimes.ts";
import { selectSandbox } from "./sandbox/select.ts";
import { startStatusServer } from "./status_server.ts";
import { openWorkDir } from "./work_dir.ts";

const EXIT_FAILED = 1;

async function main(): Promise<void> {
  const config = readConfig(Deno.args, Deno.env.toObject());
  if (config === null) {
    console.log(HELP);
    return;
  }
  const log = createLogger(config.logFormat);
  const runtimes = locateRuntimes();
  if (typeof runtimes === "string") throw new ConfigError(runtimes);
  // From the beginning: looking for a sandbox takes a while, and leaves something behind when it is broken off.
  const signals = listenToSignals((signal) => log.info("signal", { signal }));
  const workDir = await openWorkDir(config.workDir);
  try {
    const { sandbox, availability } = await selectSandbox(config.sandbox, {
      workDir: workDir.path,
      runtimes,
      image: config.dockerImage,
      logEgress: (run, event) => log.info("egress", { run, ...event }),
    });
    log.info("executor started", {
      id: config.id,
      version: EXECUTOR_VERSION,
      url: config.url,
      concurrency: config.concurrency,
      sandbox: sandbox.name,
      ...availability.details,
    });
    for (const sentence of availability.unenforced) {
      log.warn("not enforced here", { what: sentence });
    }
    const executor = new Executor(config, sandbox, workDir.path, log);
    const status = config.metrics && startStatusServer(config.metrics, executor, log);
    surviveAccidents(log);
    signals.tell(executor);
    try {
      await executor.run();
    } finally {
      await status?.close();
      await sandbox.close();
    }
  } finally {
    await workDir.close();
  }
}

/** What nobody waits for may fail in a way that nobody thought of: that is told, and does not take the runs of others with it. */
function surviveAccidents(log: Logger): void {
  const tell = (event: Event, error: unknown) => {
    event.preventDefault();
    log.error("unexpected", { error: String((error as Error)?.stack ?? error) });
  };
  addEventListener("unhandledrejection", (event) => tell(event, event.reason));
  addEventListener("error", (event) => tell(event, event.error));
}

/** One press of Ctrl-C comes twice when npm, too, passes it on. */
const SAME_SIGNAL_MS = 1000;

/**
 * The first signal stops in good order, a later one at once; those that come while the process ends change nothing. Until there is an
 * executor to tell, the first is kept for it, and a later one ends the process.
 */
function listenToSignals(report: (signal: string) => void): { tell(executor: Executor): void } {
  let asked: number | undefined;
  let executor: Executor | undefined;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(signal, () => {
      if (asked !== undefined && performance.now() - asked < SAME_SIGNAL_MS) return;
      report(signal);
      if (asked === undefined) executor?.stop();
      else if (executor) executor.stopNow();
      else Deno.exit(EXIT_FAILED);
      asked ??= performance.now();
    });
  }
  return {
    tell(started) {
      executor = started;
      if (asked !== undefined) executor.stop();
    },
  };
}

// Ends the process: listening to signals would keep it alive.
await concludeCommand(COMMAND, main);
