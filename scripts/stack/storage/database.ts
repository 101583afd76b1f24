/**
 * Transactions in a caller's name, as the Storage server runs them: role, claims, headers and operation are set for the
 * transaction, so that policies see what they see on the platform.
 */
import type { Pool, PoolClient, QueryResultRow } from "pg";
import { errors, fromPostgres, isStorageError } from "./errors.ts";
import { type Identity, SERVICE } from "./auth.ts";

const STATEMENT_TIMEOUT = "30000ms";

/** What policies may learn of the request. */
export interface RequestFacts {
  method: string;
  /** Path and query. */
  path: string;
  /** JSON of all headers. */
  headers: string;
  /** Such as `storage.object.list`; see `storage.operation()`. */
  operation: string;
}

const SCOPE_SQL = `select
  set_config('role', $1, true),
  set_config('request.jwt.claim.role', $1, true),
  set_config('request.jwt', $2, true),
  set_config('request.jwt.claim.sub', $3, true),
  set_config('request.jwt.claims', $4, true),
  set_config('request.headers', $5, true),
  set_config('request.method', $6, true),
  set_config('request.path', $7, true),
  set_config('storage.operation', $8, true),
  set_config('storage.allow_delete_query', 'true', true),
  set_config('statement_timeout', '${STATEMENT_TIMEOUT}', true)`;

/** A running transaction. */
export class Transaction {
  constructor(private readonly client: PoolClient, private readonly facts: RequestFacts) {}

  async query<Row extends QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    try {
      return (await this.client.query<Row>(text, values)).rows;
    } catch (error) {
      throw fromPostgres(error);
    }
  }

  /** From here on, statements run as this identity. */
  async become(identity: Identity): Promise<void> {
    await this.query(SCOPE_SQL, [
      identity.role,
      identity.jwt,
      identity.owner ?? "",
      JSON.stringify(identity.claims),
      this.facts.headers,
      this.facts.method,
      this.facts.path,
      this.facts.operation,
    ]);
  }

  /** Waits for whoever writes the same object, until this transaction ends. */
  async lockObject(bucket: string, name: string): Promise<void> {
    await this.query("select set_config('lock_timeout', '5000ms', true)");
    const key = `${bucket}/${name}`;
    try {
      await this.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [key]);
    } catch (error) {
      throw isStorageError(error, "ResourceLocked") ? errors.lockTimeout() : error;
    }
  }
}

/** Ends a transaction without an error and without a trace. */
class RolledBack extends Error {}

/** The database as one request sees it. */
export class Database {
  constructor(
    private readonly pool: Pool,
    private readonly facts: RequestFacts,
    private readonly caller: Identity,
  ) {}

  /** Runs as the caller, under row security. */
  asCaller<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#run(this.caller, work);
  }

  /** Runs as the service, past row security. */
  asService<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#run(SERVICE, work);
  }

  /** Asks whether the caller may, by doing it and rolling back. */
  async probe(work: (tx: Transaction) => Promise<unknown>): Promise<void> {
    try {
      await this.asCaller(async (tx) => {
        await work(tx);
        throw new RolledBack();
      });
    } catch (error) {
      if (!(error instanceof RolledBack)) throw error;
    }
  }

  async #run<T>(identity: Identity, work: (tx: Transaction) => Promise<T>): Promise<T> {
    const client = await this.pool.connect().catch((error) => {
      throw fromPostgres(error);
    });
    let broken: Error | undefined;
    try {
      await client.query("begin");
      const tx = new Transaction(client, this.facts);
      await tx.become(identity);
      const result = await work(tx);
      await client.query("commit").catch((error) => {
        throw fromPostgres(error);
      });
      return result;
    } catch (error) {
      await client.query("rollback").catch((failure: Error) => (broken = failure));
      throw error;
    } finally {
      client.release(broken);
    }
  }
}
