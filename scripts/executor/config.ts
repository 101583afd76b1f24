/** What an executor is told: by flags, and for what they leave open by the environment. */
import { asksForHelp, helpOf, readOptions } from "../command/command.ts";
import { ConfigError, readSecretKey, readUrl } from "../command/project.ts";
import { DEFAULT_BOUNDS, type LimitBounds } from "./sandbox/limits.ts";
import { SANDBOX_NAMES } from "./sandbox/select.ts";

export interface ExecutorConfig {
  url: string;
  secretKey: string;
  id: string;
  sandbox: string;
  /** For docker: another image than that of `npm run executor:image`. */
  dockerImage?: string;
  /** Runs at the same time. */
  concurrency: number;
  /** Builds at the same time; 0: none here. */
  builds: number;
  /** Where packages come from; undefined: where npm on this host takes them from. */
  registry?: string;
  registryToken?: string;
  pollIntervalMs: number;
  leaseMs: number;
  /** Between looks at schedules; 0 leaves them to others. */
  tickIntervalMs: number;
  /** Between looks for what is older than it is kept; 0 leaves it to others. */
  retentionIntervalMs: number;
  /** What else register_executor is told of this executor. */
  labels: Record<string, string>;
  /** Where health and metrics are served; undefined: nowhere. Port 0: any free one. */
  metrics?: { hostname: string; port: number };
  /** What runs are given to finish in when the executor is asked to stop. */
  shutdownGraceMs: number;
  /** once: one run at most. drain: until nothing is left to claim. serve: until told to stop. */
  mode: "serve" | "once" | "drain";
  /** The folder in which the executor makes its own. */
  workDir: string;
  /** What has to be free on its disk before anything is claimed. */
  minFreeBytes: number;
  logFormat: "text" | "json";
  bounds: LimitBounds;
}

const MIB = 1024 * 1024;

export { ConfigError };

/** How the command is called; its options are FLAGS. */
export const COMMAND = {
  name: "executor",
  usage: "[--url URL] [--sandbox NAME] [--concurrency N] [--once|--drain] […]",
};

export const HELP = helpOf({
  ...COMMAND,
  help: `Stowage executor: claims runs and executes them in a sandbox.

Needs (environment, or flags):
  SUPABASE_URL           --url URL      the project's API, such as http://127.0.0.1:54321
  SUPABASE_SECRET_KEY                   a secret key (sb_secret_…), or the legacy service_role key. Only by environment:
                                        a flag would show in the list of processes

Flags (environment in brackets):
  --sandbox NAME         ${
    SANDBOX_NAMES.join(", ")
  } (default auto: an isolating one, or refuse to start) [STOWAGE_SANDBOX]
  --docker-image NAME    image for the sandbox docker, which finds its engine by DOCKER_HOST (default: the one that
                         "npm run executor:image" makes) [STOWAGE_DOCKER_IMAGE]
  --concurrency N        runs at the same time (default 2) [STOWAGE_CONCURRENCY]
  --builds N             builds at the same time, 0 for none (default 1) [STOWAGE_BUILDS]
  --registry URL         where packages are installed from (default: npm's own configuration) [STOWAGE_REGISTRY]; a token
                         for it only by environment: [STOWAGE_REGISTRY_TOKEN]
  --id ID                unique name of this executor, another for each replica: of two with one id the older one ends
                         (default: host name and a random part) [STOWAGE_EXECUTOR_ID]
  --poll-interval S      seconds between looks for work when there was none (default 1) [STOWAGE_POLL_INTERVAL]
  --lease S              seconds after which a run of a dead executor is another's, at least 1 (default 60) [STOWAGE_LEASE]
  --tick-interval S      seconds between looks for due schedules, 0 for never (default 10) [STOWAGE_TICK_INTERVAL]
  --retention-interval S seconds between looks for what is older than retention_policies keep it, 0 for never (default 0)
                         [STOWAGE_RETENTION_INTERVAL]
  --shutdown-grace S     seconds that runs may take to finish on SIGTERM before they are given back (default 30)
                         [STOWAGE_SHUTDOWN_GRACE]
  --max-timeout S        upper bound of an app's timeout, and an install's (default ${DEFAULT_BOUNDS.maxTimeoutSeconds}) [STOWAGE_MAX_TIMEOUT]
  --max-memory MB        upper bound of an app's memory (default ${DEFAULT_BOUNDS.maxMemoryMegabytes}) [STOWAGE_MAX_MEMORY]
  --max-cpus N           upper bound of an app's processors (default ${DEFAULT_BOUNDS.maxCpus}) [STOWAGE_MAX_CPUS]
  --work-dir DIR         where runs are kept while they run, a short path (default: the temporary directory) [STOWAGE_WORK_DIR]
  --min-free MB          nothing is claimed while less is free on the disk of the working directory (default 256)
                         [STOWAGE_MIN_FREE]
  --labels K=V,…         what the table executors says of this one, such as zone=a,tier=large [STOWAGE_LABELS]
  --metrics-port PORT    serve /healthz, /readyz and /metrics there, 0 for any free port (default: not) [STOWAGE_METRICS_PORT]
  --metrics-host ADDRESS address to serve them on (default 127.0.0.1) [STOWAGE_METRICS_HOST]
  --log-format FORMAT    text or json, one line an event (default text) [STOWAGE_LOG_FORMAT]
  --once                 execute one run, if there is one, and end
  --drain                execute what there is, and end
  --help                 this text

SIGTERM or SIGINT: claim no more, let runs finish for the grace period, give the rest back. A second one, a second later or
more: give all back at once.
Exit codes: 0 ended as asked, 1 failed, 2 wrong configuration, or another has the id.
`,
});

type Environment = Record<string, string | undefined>;

/**
 * Reads flags and environment.
 * @returns null when help was asked for
 * @throws UsageError for the flags themselves, ConfigError for what they and the environment say
 */
export function readConfig(args: string[], env: Environment): ExecutorConfig | null {
  if (asksForHelp(args)) return null;
  const flags = parseFlags(args);
  const value = (flag: string, variable: string) =>
    (flags[flag] as string | undefined) ?? env[variable];
  const seconds = (flag: string, variable: string, fallback: number, min: number) =>
    1000 * number(`--${flag} (or ${variable})`, value(flag, variable), fallback, min, 86_400);
  if (flags.once && flags.drain) throw new ConfigError("--once and --drain exclude each other");
  const sandbox = value("sandbox", "STOWAGE_SANDBOX") ?? "auto";
  if (!SANDBOX_NAMES.includes(sandbox)) {
    throw new ConfigError(
      `--sandbox takes ${SANDBOX_NAMES.join(", ")}, not ${JSON.stringify(sandbox)}`,
    );
  }
  const logFormat = value("log-format", "STOWAGE_LOG_FORMAT") ?? "text";
  if (logFormat !== "text" && logFormat !== "json") {
    throw new ConfigError(`--log-format takes text or json, not ${JSON.stringify(logFormat)}`);
  }
  const id = value("id", "STOWAGE_EXECUTOR_ID") ??
    `${Deno.hostname()}-${crypto.randomUUID().slice(0, 8)}`;
  if (id.length < 1 || id.length > 200) throw new ConfigError("--id takes 1 to 200 characters");
  return {
    url: readUrl(value("url", "SUPABASE_URL")),
    secretKey: readSecretKey(env.SUPABASE_SECRET_KEY),
    id,
    sandbox,
    dockerImage: value("docker-image", "STOWAGE_DOCKER_IMAGE"),
    concurrency: whole("--concurrency", value("concurrency", "STOWAGE_CONCURRENCY"), 2, 1000),
    builds: whole("--builds", value("builds", "STOWAGE_BUILDS"), 1, 100, 0),
    registry: readRegistry(value("registry", "STOWAGE_REGISTRY")),
    registryToken: env.STOWAGE_REGISTRY_TOKEN || undefined,
    pollIntervalMs: seconds("poll-interval", "STOWAGE_POLL_INTERVAL", 1, 0.01),
    leaseMs: seconds("lease", "STOWAGE_LEASE", 60, 1),
    tickIntervalMs: seconds("tick-interval", "STOWAGE_TICK_INTERVAL", 10, 0),
    retentionIntervalMs: seconds("retention-interval", "STOWAGE_RETENTION_INTERVAL", 0, 0),
    labels: readLabels(value("labels", "STOWAGE_LABELS")),
    metrics: readMetrics(
      value("metrics-host", "STOWAGE_METRICS_HOST"),
      value("metrics-port", "STOWAGE_METRICS_PORT"),
    ),
    shutdownGraceMs: seconds("shutdown-grace", "STOWAGE_SHUTDOWN_GRACE", 30, 0),
    mode: flags.once ? "once" : flags.drain ? "drain" : "serve",
    workDir: value("work-dir", "STOWAGE_WORK_DIR") ?? env.TMPDIR ?? "/tmp",
    minFreeBytes: MIB *
      number("--min-free", value("min-free", "STOWAGE_MIN_FREE"), 256, 0, 1_000_000_000),
    logFormat,
    bounds: {
      maxTimeoutSeconds: number(
        "--max-timeout",
        value("max-timeout", "STOWAGE_MAX_TIMEOUT"),
        DEFAULT_BOUNDS.maxTimeoutSeconds,
        1,
        86_400,
      ),
      maxMemoryMegabytes: number(
        "--max-memory",
        value("max-memory", "STOWAGE_MAX_MEMORY"),
        DEFAULT_BOUNDS.maxMemoryMegabytes,
        64,
        1_000_000,
      ),
      maxCpus: number(
        "--max-cpus",
        value("max-cpus", "STOWAGE_MAX_CPUS"),
        DEFAULT_BOUNDS.maxCpus,
        0.05,
        1024,
      ),
    },
  };
}

const TEXT_FLAGS = [
  ...["url", "sandbox", "concurrency", "id", "poll-interval", "lease", "shutdown-grace"],
  ...[
    "builds",
    "registry",
    "tick-interval",
    "retention-interval",
    "labels",
    "metrics-port",
    "metrics-host",
  ],
  ...[
    "max-timeout",
    "max-memory",
    "max-cpus",
    "work-dir",
    "min-free",
    "log-format",
    "docker-image",
  ],
];

const FLAGS = {
  ...Object.fromEntries(TEXT_FLAGS.map((name) => [name, { type: "string" as const }])),
  once: { type: "boolean" as const },
  drain: { type: "boolean" as const },
};

function parseFlags(args: string[]): Record<string, string | boolean | undefined> {
  return readOptions({ options: FLAGS }, args).values as Record<
    string,
    string | boolean | undefined
  >;
}

function number(
  name: string,
  text: string | undefined,
  fallback: number,
  min: number,
  max: number,
): number {
  if (text === undefined) return fallback;
  const value = text.trim() === "" ? NaN : Number(text);
  if (!(value >= min && value <= max)) {
    throw new ConfigError(
      `${name} takes a number from ${min} to ${max}, not ${JSON.stringify(text)}`,
    );
  }
  return value;
}

function whole(
  name: string,
  text: string | undefined,
  fallback: number,
  max: number,
  min = 1,
): number {
  const value = number(name, text, fallback, min, max);
  if (!Number.isInteger(value)) throw new ConfigError(`${name} takes a whole number`);
  return value;
}

function readLabels(text: string | undefined): Record<string, string> {
  if (!text) return {};
  return Object.fromEntries(
    text.split(",").map((part) => {
      const [, name, value] = /^\s*([A-Za-z][\w.-]{0,62})\s*=\s*(.{0,200}?)\s*$/.exec(part) ?? [];
      if (name === undefined) {
        throw new ConfigError(`--labels takes name=value, … and not ${JSON.stringify(part)}`);
      }
      return [name, value];
    }),
  );
}

function readMetrics(
  hostname = "127.0.0.1",
  port: string | undefined,
): ExecutorConfig["metrics"] {
  if (port === undefined) return undefined;
  const value = number("--metrics-port (or STOWAGE_METRICS_PORT)", port, 0, 0, 65_535);
  if (!Number.isInteger(value)) throw new ConfigError("--metrics-port takes a whole number");
  return { hostname, port: value };
}

function readRegistry(text: string | undefined): string | undefined {
  if (!text) return undefined;
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) {
    throw new ConfigError(`--registry is not an http URL: ${JSON.stringify(text)}`);
  }
  return text;
}
