/** Executors, users and operators who do anything at any time, each over a connection of its own. */
import type { Client } from "pg";
import { assert, assertEquals } from "../../testing/assert.ts";
import { seededRandom } from "../cron/cases.ts";
import { type ClaimedRun, takeTurn, type World } from "./world.ts";

/** Two connections of one executor see each other's runs, as those of a real one do. */
const EXECUTORS = 5;
/** A claim may be about to take the run: the direct write gives way (private.leave_queue). */
const LOCK_NOT_AVAILABLE = "55P03";

interface Result {
  run_id: string;
  attempt: number;
  status: string;
  retry: boolean;
}

/** What was asked for, and how each run ended, according to whoever ended it. */
export class Ledger {
  requested = 0;
  /** By id, the final status. Of all calls that end a run, one says that it did. */
  readonly ends = new Map<string, string>();
  /** Final statuses that somebody was told who may not have been the cause. */
  readonly told: [id: string, status: string][] = [];

  end(id: string, status: string): void {
    assert(!this.ends.has(id), `A run ended as ${this.ends.get(id)}, then as ${status}.`);
    this.ends.set(id, status);
  }

  endIfFinal({ id, status }: { id: string; status: string }): void {
    if (isFinal(status)) this.end(id, status);
  }
}

function isFinal(status: string): boolean {
  return status !== "pending" && status !== "running";
}

/** One connection and what it believes to hold, rightly or not. */
class Actor {
  private held: ClaimedRun[] = [];

  constructor(
    private client: Client,
    private executorId: string,
    private random: () => number,
    private world: World,
    private ledger: Ledger,
  ) {}

  /** Does one thing. The frequent ones are listed more than once. */
  act(): Promise<void> {
    return this.pick([
      this.turn,
      this.turn,
      this.turn,
      this.turnWithMany,
      this.turnWithMany,
      this.claim,
      this.finish,
      this.finish,
      this.giveBack,
      this.beat,
      this.reap,
      this.cancel,
      this.request,
      this.writeDirectly,
      this.writeDirectly,
    ]).call(this);
  }

  private pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.random() * values.length)];
  }

  private upTo(most: number): number {
    return 1 + Math.floor(this.random() * most);
  }

  private get lease(): string {
    return this.pick(["1 second", "60 seconds"]);
  }

  /** Lets go of up to so many of the runs held, and says what came of them. */
  private results(most: number, statuses: string[]): Result[] {
    return this.held.splice(0, most).map(({ id, attempt }) => (
      { run_id: id, attempt, status: this.pick(statuses), retry: this.random() < 0.7 }
    ));
  }

  /** A run that was lost without this one's knowing may come again: the later attempt counts. */
  private hold(runs: ClaimedRun[]): void {
    const ids = new Set(runs.map(({ id }) => id));
    this.held = [...this.held.filter(({ id }) => !ids.has(id)), ...runs];
  }

  private note(results: Result[], outcomes: Record<string, string>): void {
    assertEquals(Object.keys(outcomes).length, results.length);
    for (const { run_id, status } of results) {
      if (outcomes[run_id] === "finished") this.ledger.end(run_id, status);
    }
  }

  private hear(runs: { id: string; status: string }[]): void {
    for (const { id, status } of runs) if (isFinal(status)) this.ledger.told.push([id, status]);
  }

  private async turn(): Promise<void> {
    await this.finishAndClaim(this.results(1, ["success", "success", "cancelled", "failed"]), 1);
  }

  private async turnWithMany(): Promise<void> {
    const statuses = this.pick([["success"], ["success", "failed", "timeout", "cancelled"]]);
    await this.finishAndClaim(this.results(this.upTo(4), statuses), this.upTo(5));
  }

  private async finishAndClaim(results: Result[], maxRuns: number): Promise<void> {
    const { rows: [{ answer }] } = await this.client.query(
      "select public.finish_and_claim_app_runs($1, $2, $3, $4) as answer",
      [this.executorId, JSON.stringify(results), maxRuns, this.lease],
    );
    this.note(results, answer.finished);
    assert(answer.claimed.length <= maxRuns);
    this.hold(answer.claimed);
  }

  private async claim(): Promise<void> {
    const { rows } = await this.client.query(
      "select id, company_id, attempt from public.claim_app_runs($1, $2, $3)",
      [this.executorId, this.upTo(3), this.lease],
    );
    this.hold(rows);
  }

  private async finish(): Promise<void> {
    for (const result of this.results(1, ["success", "failed", "failed"])) {
      const { rows: [{ outcome }] } = await this.client.query(
        `select public.finish_app_run($1, $2, $3, attempt => $4, retry => $5) as outcome`,
        [result.run_id, this.executorId, result.status, result.attempt, result.retry],
      );
      this.note([result], { [result.run_id]: outcome });
    }
  }

  private async giveBack(): Promise<void> {
    const ids = this.held.splice(0, 2).map(({ id }) => id);
    await this.client.query("select public.release_app_runs($1, $2)", [this.executorId, ids]);
    // One that was asked to stop was cancelled; the other may have been claimed and ended by now.
    const { rows } = await this.client.query(
      "select id, status from public.app_runs where id = any ($1)",
      [ids],
    );
    this.hear(rows);
  }

  private async beat(): Promise<void> {
    await this.client.query("select public.extend_app_run_leases($1, $2, $3)", [
      this.executorId,
      this.held.map(({ id }) => id),
      this.lease,
    ]);
  }

  private async reap(): Promise<void> {
    const { rows } = await this.client.query(
      "select id, status from public.release_expired_app_runs($1)",
      [this.upTo(10)],
    );
    for (const run of rows) this.ledger.endIfFinal(run);
  }

  private async cancel(): Promise<void> {
    const { rows } = await this.client.query(
      `select c.id, c.status
       from (select id from public.app_runs where status in ('pending', 'running')
             order by hashtextextended(id::text, $1) limit 1) r,
       public.cancel_app_run(r.id) c`,
      [this.upTo(1_000_000)],
    );
    this.hear(rows);
  }

  private async request(): Promise<void> {
    const runs = this.upTo(4);
    await this.world.request(this.pick(this.world.companies), runs, this.client);
    this.ledger.requested += runs;
  }

  /** What the service may do to a run without the queue's functions. A start is not among it, which minds no limit. */
  private async writeDirectly(): Promise<void> {
    const [which, change] = this.pick([
      ["status = 'running'", "lease_expires_at = now() - interval '1 second'"],
      ["status = 'running'", "lease_expires_at = now() - interval '1 second'"],
      ["status = 'running'", "lease_expires_at = now() + interval '2 seconds'"],
      ["status = 'running'", `executor_id = 'executor ${this.upTo(EXECUTORS)}'`],
      [
        "status = 'running' and attempt < max_attempts",
        "status = 'pending', lease_expires_at = null",
      ],
      ["status = 'running'", "status = 'success'"],
      ["status = 'pending'", "status = 'failed'"],
      ["status = 'pending'", `priority = ${this.upTo(3)}`],
      ["status = 'pending'", "run_after = now()"],
    ]);
    try {
      const { rows } = await this.client.query(
        `update public.app_runs set ${change}
         where id = (select id from public.app_runs where ${which}
                     order by hashtextextended(id::text, $1) limit 1)
           and ${which}
         returning id, status`,
        [this.upTo(1_000_000)],
      );
      for (const run of rows) this.ledger.endIfFinal(run);
    } catch (error) {
      if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE) throw error;
    }
  }
}

/** So many actors do so many things each, at once. All of what they decide depends on the seed; who is first does not. */
export async function storm(
  world: World,
  seed: number,
  actors: number,
  deeds: number,
): Promise<Ledger> {
  const ledger = new Ledger();
  let failed = false;
  await Promise.all(Array.from({ length: actors }, async (_, number) => {
    const client = await world.connect();
    await client.query("set statement_timeout = '10s'");
    const executorId = `executor ${1 + number % EXECUTORS}`;
    const actor = new Actor(client, executorId, seededRandom(seed + number), world, ledger);
    for (let i = 0; i < deeds && !failed; i++) {
      try {
        await actor.act();
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  }));
  return ledger;
}

/** Loses what is held, and runs to its end whatever waits then. */
export async function drainAll(client: Client, ledger: Ledger): Promise<void> {
  await client.query(
    "update public.app_runs set lease_expires_at = now() - interval '1 second' where status = 'running'",
  );
  const { rows: lost } = await client.query(
    "select id, status from public.release_expired_app_runs(10000)",
  );
  for (const run of lost) ledger.endIfFinal(run);
  await client.query("update public.app_runs set run_after = now() where status = 'pending'");
  let held: ClaimedRun[] = [];
  do {
    const { outcomes, claimed } = await takeTurn(client, "drain", held, 100);
    for (const [id, outcome] of Object.entries(outcomes)) {
      assertEquals(outcome, "finished");
      ledger.end(id, "success");
    }
    held = claimed;
  } while (held.length > 0);
}
