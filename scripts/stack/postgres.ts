/** A native Postgres server: created, started, taken over from a killed parent, stopped. */
import { CommandError } from "../command/errors.ts";
import { runApart } from "./child.ts";
import { dirname, join } from "node:path";
import { canReach, findProcessOwner, type ProcessOwner } from "./process_owner.ts";
import { buildRuntime } from "./postgres_runtime.ts";
import { serverDirectory, sweepServerDirectories } from "./postgres_location.ts";
import { endStaleServer } from "./postmaster.ts";
import { freePort, PortInUseError } from "./ports.ts";

/** The bootstrap superuser's name, as on the platform. */
export const SUPERUSER = "supabase_admin";
/** Every role's password, as with `supabase start`: the server listens on this machine only. */
export const PASSWORD = "postgres";
export const HOST = "127.0.0.1";

const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 15_000;
const BIND_ATTEMPTS = 5;

export interface PostgresOptions {
  /** Where the server's files go: `data`, `runtime`, `postgres.log`. Created if missing. */
  dir: string;
  /** TCP port on 127.0.0.1; 0 = any free one. */
  port: number;
  /** False trades safety against a machine's crash (not a process's) for speed. */
  durable?: boolean;
}

export interface Postgres {
  port: number;
  /** A connection string for a login role. */
  url(role?: string): string;
  /** Settles when the server has ended, whoever ended it. */
  ended: Promise<void>;
  stop(): Promise<void>;
}

/** Starts the server on the data in `options.dir`, creating the cluster first where there is none. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  await Deno.mkdir(options.dir, { recursive: true });
  const owner = await findProcessOwner(join(options.dir, "data"));
  const dir = owner && !await canReach(owner, options.dir)
    ? await serverDirectory(options.dir)
    : options.dir;
  if (owner) await sweepServerDirectories();
  const data = join(dir, "data");
  await endStaleServer(data);
  const bin = await buildRuntime(join(dir, "runtime"), owner);
  if (!await exists(data)) await createCluster(bin, data, owner);

  for (let attempt = 1;; attempt++) {
    const port = options.port || freePort(HOST);
    try {
      const server = await launch({
        bin,
        data,
        owner,
        port,
        logFile: join(options.dir, "postgres.log"),
        durable: options.durable ?? true,
      });
      return {
        port,
        url: (role = "postgres") => `postgresql://${role}:${PASSWORD}@${HOST}:${port}/postgres`,
        ...server,
      };
    } catch (error) {
      const retry = error instanceof PortInUseError && options.port === 0 &&
        attempt < BIND_ATTEMPTS;
      if (!retry) throw error;
    }
  }
}

/** initdb into a directory beside, moved into place when whole: a killed attempt leaves no ruin. */
async function createCluster(bin: string, data: string, owner?: ProcessOwner): Promise<void> {
  const draft = `${data}.new`;
  await Deno.remove(draft, { recursive: true }).catch(ignoreNotFound);
  await Deno.mkdir(draft, { mode: 0o700 });
  const passwordFile = `${data}.password`;
  await Deno.writeTextFile(passwordFile, PASSWORD, { mode: 0o600 });
  try {
    if (owner) {
      await Deno.chown(draft, owner.uid, owner.gid);
      await Deno.chown(passwordFile, owner.uid, owner.gid);
    }
    const { success, stderr } = await runApart(join(bin, "initdb"), {
      args: [
        `--pgdata=${draft}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=icu",
        "--icu-locale=en_US",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
      ],
      ...runAs(owner),
      cwd: dirname(data),
    });
    if (!success) throw new CommandError(`initdb failed:\n${new TextDecoder().decode(stderr)}`);
    await Deno.rename(draft, data);
  } finally {
    await Deno.remove(passwordFile).catch(ignoreNotFound);
  }
}

interface Launch {
  bin: string;
  data: string;
  owner?: ProcessOwner;
  port: number;
  logFile: string;
  durable: boolean;
}

async function launch(options: Launch): Promise<Pick<Postgres, "ended" | "stop">> {
  const settings: Record<string, string | number> = {
    port: options.port,
    listen_addresses: HOST,
    // No socket file: nothing to leave behind, and no limit on the length of the path.
    unix_socket_directories: "",
    max_connections: 200,
    wal_level: "logical",
    shared_preload_libraries: "pg_stat_statements",
    timezone: "UTC",
    log_timezone: "UTC",
    lc_messages: "C",
    "app.settings.jwt_exp": 3600,
    ...(options.durable
      ? {}
      : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }),
  };
  const child = new Deno.Command(join(options.bin, "postgres"), {
    args: [
      "-D",
      options.data,
      ...Object.entries(settings).flatMap(([k, v]) => ["-c", `${k}=${v}`]),
    ],
    ...runAs(options.owner),
    cwd: options.data,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    // A terminal's Ctrl-C goes to its whole group; the order of stopping is ours to keep.
    detached: true,
  }).spawn();
  const watchdog = watchParent(child.pid, options.owner);
  const log = await Deno.open(options.logFile, { write: true, create: true, append: true });
  const ready = Promise.withResolvers<void>();
  const tail: string[] = [];
  const copied = copyLines(child.stderr, log, (line) => {
    tail.push(line);
    if (tail.length > 20) tail.shift();
    if (line.includes("database system is ready to accept connections")) ready.resolve();
  });
  const ended = (async () => {
    await child.status;
    await copied;
    await watchdog.close();
    const text = tail.join("\n");
    ready.reject(
      /could not bind|could not create any TCP/.test(text)
        ? new PortInUseError(options.port, "--db-port")
        : new CommandError(`Postgres ended while starting:\n${text}`),
    );
  })();
  // A server that ends later must not be an unhandled rejection of a promise already resolved.
  ready.promise.catch(() => {});

  const timer = setTimeout(() => {
    ready.reject(new CommandError("Postgres was not ready within a minute."));
  }, START_DEADLINE_MS);
  const stop = async () => {
    signal(child, "SIGINT"); // fast shutdown
    const impatient = setTimeout(() => signal(child, "SIGQUIT"), STOP_DEADLINE_MS);
    await ended;
    clearTimeout(impatient);
  };
  try {
    await ready.promise;
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return { ended, stop };
}

/**
 * Ends the server when this process does, however it does: the small process reads a pipe of
 * which only we hold the other end.
 */
function watchParent(pid: number, owner?: ProcessOwner): { close(): Promise<void> } {
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", 'read -r line; [ "$line" = done ] || kill -INT "$1"', "sh", String(pid)],
    ...runAs(owner),
    cwd: "/",
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  return {
    async close() {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("done\n")).catch(() => {});
      await writer.close().catch(() => {});
      await child.status;
    },
  };
}

async function copyLines(
  from: ReadableStream<Uint8Array>,
  to: Deno.FsFile,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  const decoder = new TextDecoder();
  try {
    for await (const chunk of from) {
      await to.write(chunk);
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      lines.forEach(onLine);
    }
  } finally {
    to.close();
  }
}

/** Options of Deno.Command that make it run as the account, knowing nothing of the caller's. */
function runAs(
  owner?: ProcessOwner,
): Pick<Deno.CommandOptions, "uid" | "gid" | "clearEnv" | "env"> {
  const env = { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };
  return owner ? { uid: owner.uid, gid: owner.gid, clearEnv: true, env } : { clearEnv: true, env };
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch {
    // It has ended already.
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

function ignoreNotFound(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
