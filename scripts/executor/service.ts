/** Everything that an executor asks of Supabase, with the secret key. */
import type { Database, Json } from "../../supabase/functions/_shared/database.types.ts";
import { type Client, createStatelessClient } from "../command/project.ts";
import { retry } from "./backoff.ts";
import { fetchWithin, uploading } from "./fetch.ts";
import type { Lease } from "./heartbeat.ts";

type Tables = Database["public"]["Tables"];
/** What it takes to execute a run. */
export type Run =
  & Pick<
    Tables["app_runs"]["Row"],
    "id" | "app_id" | "company_id" | "version" | "build_id" | "run_type" | "config" | "attempt"
  >
  & {
    /** An earlier attempt may have left logs and outputs. */
    was_held: boolean;
  };
export type Build = Database["public"]["Functions"]["claim_app_builds"]["Returns"][number];
/** A successful build, as far as a run needs it. */
export type ReadyBuild = Pick<
  Tables["app_builds"]["Row"],
  "id" | "build_path" | "file_size" | "checksum" | "source_checksum"
>;
export type AppFile = Pick<
  Tables["app_storage"]["Row"],
  "file_path" | "file_type" | "file_size" | "checksum"
>;
/** company_id is filled in by the database. */
export type Output = Omit<Tables["app_outputs"]["Insert"], "company_id">;
export type Bucket = "app-storage" | "app-logs";
export type FinalStatus = "success" | "failed" | "cancelled" | "timeout";

export interface Finish {
  status: FinalStatus;
  error_message?: string;
  logs_path?: string;
  output_path?: string;
  metadata?: Json;
  /** Try again, if attempts are left, instead of ending the run. */
  retry?: boolean;
}

export interface BuildFinish {
  status: "success" | "failed" | "cancelled";
  error_message?: string;
  build_path?: string;
  file_size?: number;
  checksum?: string;
  source_checksum?: string;
  /** Try again, if attempts are left, instead of ending the build. */
  retry?: boolean;
}

/** A call to Supabase failed. */
export class ServiceError extends Error {
  override name = "ServiceError";
  constructor(message: string, readonly status: number, readonly code?: string) {
    super(message);
  }

  /** Whether the same call may work later: the network, an overload, a restart. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** Whether the key is refused. */
  get unauthorized(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

/** More than a run's log has parts, and no fewer than it has outputs. */
const MAX_LISTED = 1000;
const RPC_TIMEOUT_MS = 30_000;
const TRANSFER_TIMEOUT_MS = 10 * 60_000;

export class Service {
  readonly #client: Client;

  /** @param patienceMs what a call may take; longer than a lease would be in vain */
  constructor(
    url: string,
    key: string,
    readonly executorId: string,
    patienceMs = RPC_TIMEOUT_MS,
  ) {
    const timeoutMs = Math.min(patienceMs, RPC_TIMEOUT_MS);
    this.#client = createStatelessClient(url, key, (input, init) => {
      const url = input instanceof Request ? input.url : String(input);
      const isTransfer = url.includes("/storage/v1/");
      return fetchWithin(isTransfer ? TRANSFER_TIMEOUT_MS : timeoutMs, input, init);
    });
  }

  async register(capacity: number, labels: Json, version: string): Promise<void> {
    await this.#rpc("register_executor", {
      executor_id: this.executorId,
      capacity,
      labels,
      version,
    });
  }

  /** The session of who registered last with this executor's id. */
  async session(): Promise<unknown> {
    const answer = await this.#client.from("executors").select("session:labels->session")
      .eq("id", this.executorId).maybeSingle();
    return check(answer)?.session;
  }

  async claim(maxRuns: number, leaseMs: number): Promise<Run[]> {
    const rows = await this.#rpc("claim_app_runs", {
      executor_id: this.executorId,
      max_runs: maxRuns,
      lease: interval(leaseMs),
    });
    return rows.map((row) => ({ ...row, was_held: (row.attempt_history as Json[]).length > 0 }));
  }

  /** The runs still held; those that are missing are lost. */
  async extendLeases(runIds: string[], leaseMs: number): Promise<Lease[]> {
    const rows = await this.#rpc("extend_app_run_leases", {
      executor_id: this.executorId,
      run_ids: runIds,
      lease: interval(leaseMs),
    });
    return rows.map((row) => ({ id: row.run_id, cancelRequested: row.cancel_requested }));
  }

  /** `finished`, `retrying`, or `not_held` when the run is another's by now. */
  async finish(run: Run, finish: Finish): Promise<string> {
    return await this.#rpc("finish_app_run", {
      run_id: run.id,
      executor_id: this.executorId,
      attempt: run.attempt,
      ...finish,
      error_message: storable(finish.error_message),
    });
  }

  /** Finishes the run and claims another in its place, in one call: what finish answers, and the run if there is one. */
  async finishAndClaim(
    run: Run,
    finish: Finish,
    leaseMs: number,
  ): Promise<{ answer: string; claimed: Run[] }> {
    const { finished, claimed } = await this.#rpc("finish_and_claim_app_runs", {
      executor_id: this.executorId,
      results: [{
        run_id: run.id,
        attempt: run.attempt,
        ...finish,
        error_message: storable(finish.error_message),
      }] as Json,
      max_runs: 1,
      lease: interval(leaseMs),
    }) as unknown as { finished: Record<string, string>; claimed: Run[] };
    return { answer: finished[run.id], claimed };
  }

  async release(runIds: string[]): Promise<void> {
    await this.#rpc("release_app_runs", { executor_id: this.executorId, run_ids: runIds });
  }

  /** How many runs of dead executors were given back. */
  async releaseExpired(): Promise<number> {
    return (await this.#rpc("release_expired_app_runs", {})).length;
  }

  /** Turns due times of schedules into runs; while the answer is not 0 there may be more. */
  async enqueueDue(): Promise<number> {
    return (await this.#rpc("enqueue_due_app_runs", {})).length;
  }

  async claimBuilds(maxBuilds: number, leaseMs: number): Promise<Build[]> {
    return await this.#rpc("claim_app_builds", {
      executor_id: this.executorId,
      max_builds: maxBuilds,
      lease: interval(leaseMs),
    });
  }

  /** The builds still held; one that is missing was cancelled, or lost. */
  async extendBuildLeases(buildIds: string[], leaseMs: number): Promise<Lease[]> {
    const rows = await this.#rpc("extend_app_build_leases", {
      executor_id: this.executorId,
      build_ids: buildIds,
      lease: interval(leaseMs),
    });
    return rows.map((row) => ({ id: row.build_id, cancelRequested: false }));
  }

  /** `finished`, `retrying`, or `not_held` when the build is another's by now, or was cancelled. */
  async finishBuild(build: Build, finish: BuildFinish): Promise<string> {
    return await this.#rpc("finish_app_build", {
      build_id: build.id,
      executor_id: this.executorId,
      attempt: build.attempt,
      ...finish,
      error_message: storable(finish.error_message),
    });
  }

  async releaseBuilds(buildIds: string[]): Promise<void> {
    await this.#rpc("release_app_builds", { executor_id: this.executorId, build_ids: buildIds });
  }

  /** How many builds of dead executors were given back. */
  async releaseExpiredBuilds(): Promise<number> {
    return (await this.#rpc("release_expired_app_builds", {})).length;
  }

  /** The newest successful build of the version that was made from these files. */
  async build(appId: string, version: string, sourceChecksum: string): Promise<ReadyBuild | null> {
    const answer = await this.#client.from("app_builds")
      .select("id, build_path, file_size, checksum, source_checksum")
      .eq("app_id", appId).eq("build_version", version).eq("build_status", "success")
      .eq("source_checksum", sourceChecksum)
      .order("completed_at", { ascending: false }).limit(1).maybeSingle();
    return check(answer);
  }

  /** Says which build the run runs. */
  async setBuild(run: Run, buildId: string): Promise<void> {
    check(
      await this.#client.from("app_runs").update({ build_id: buildId })
        .eq("id", run.id).eq("executor_id", this.executorId).eq("status", "running")
        .eq("attempt", run.attempt),
    );
  }

  async manifest(appId: string, version: string): Promise<Json> {
    const answer = await this.#client.from("app_versions").select("manifest")
      .eq("app_id", appId).eq("version", version).maybeSingle();
    return check(answer)?.manifest ?? null;
  }

  async files(appId: string, version: string): Promise<AppFile[]> {
    const answer = await this.#client.from("app_storage")
      .select("file_path, file_type, file_size, checksum")
      .eq("app_id", appId).eq("version", version).order("file_path");
    return check(answer) ?? [];
  }

  async download(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { data, error } = await this.#client.storage.from("app-storage")
      .download(path, {}, { signal }).asStream();
    if (error) throw storageError(error);
    return data as ReadableStream<Uint8Array>;
  }

  /**
   * Writes an object, over one that an earlier attempt may have left.
   * @param signal breaks it off: what arrived later could lie over what the next holder of the work has written
   */
  async upload(
    bucket: Bucket,
    path: string,
    content: Uint8Array,
    contentType: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { error } = await uploading.run(
      signal,
      () =>
        this.#client.storage.from(bucket)
          .upload(path, content as Uint8Array<ArrayBuffer>, { contentType, upsert: true }),
    );
    if (error) throw storageError(error);
  }

  /** Names of the objects below the folder, the folder included. */
  async list(bucket: Bucket, folder: string): Promise<string[]> {
    const { data, error } = await this.#client.storage.from(bucket).list(folder, {
      limit: MAX_LISTED,
    });
    if (error) throw storageError(error);
    const names = await Promise.all(data.map(({ name, id }) => {
      const path = `${folder}/${name}`;
      // What has no id is a folder.
      return id === null ? this.list(bucket, path) : [path];
    }));
    return names.flat();
  }

  async outputs(
    runId: string,
  ): Promise<Pick<Output, "output_bucket" | "output_path">[]> {
    const answer = await this.#client.from("app_outputs")
      .select("output_bucket, output_path").eq("run_id", runId);
    return check(answer) ?? [];
  }

  async deleteOutputs(runId: string): Promise<void> {
    check(await this.#client.from("app_outputs").delete().eq("run_id", runId));
  }

  /** Writes the rows; those of a call that was heard but not answered are written over. */
  async addOutputs(outputs: Output[]): Promise<void> {
    check(
      await this.#client.from("app_outputs").upsert(
        outputs as Tables["app_outputs"]["Insert"][],
        { onConflict: "run_id,output_type,output_name" },
      ),
    );
  }

  async remove(bucket: Bucket, paths: string[]): Promise<void> {
    if (paths.length === 0) return;
    const { error } = await this.#client.storage.from(bucket).remove(paths);
    if (error) throw storageError(error);
  }

  async #rpc<Name extends keyof Database["public"]["Functions"] & string>(
    name: Name,
    args: Database["public"]["Functions"][Name]["Args"],
  ): Promise<Database["public"]["Functions"][Name]["Returns"]> {
    // deno-lint-ignore no-explicit-any
    const answer = await this.#client.rpc(name as any, args as any);
    return check(answer as Answer<Database["public"]["Functions"][Name]["Returns"]>)!;
  }
}

/** The text without what Postgres keeps in none; messages may quote what an app wrote. */
export function storable<Text extends string | undefined>(text: Text): Text {
  return text?.replaceAll("\0", "\ufffd").toWellFormed() as Text;
}

/** Tries a call that may be repeated a few times, for as long as a blip lasts. */
export function persistently<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  return retry(call, {
    attempts: 6,
    firstMs: 200,
    maxMs: 5000,
    signal,
    isWorthRetrying: (error) => error instanceof ServiceError && error.temporary,
  });
}

interface Answer<T> {
  data: T | null;
  error: { message: string; code?: string; details?: string | null } | null;
  status: number;
}

function check<T>({ data, error, status }: Answer<T>): T | null {
  if (!error) return data;
  throw new ServiceError(error.message || error.details || `HTTP ${status}`, status, error.code);
}

function storageError(error: Error): ServiceError {
  const { status, statusCode } = error as { status?: number; statusCode?: string };
  // The real server answers some errors with 400 and the status that is meant in the body.
  return new ServiceError(`storage: ${error.message}`, Number(statusCode) || status || 0);
}

function interval(ms: number): string {
  return `${ms / 1000} seconds`;
}
