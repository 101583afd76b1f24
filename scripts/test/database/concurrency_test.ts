/** What must hold between transactions: pgTAP's files run in one each, so this takes several. */
import { Pool, type PoolClient } from "pg";
import { assertEquals, assertRejects } from "../../testing/assert.ts";
import { startTestDatabase } from "../../testing/database.ts";

const WAIT_MS = 20_000;

/** A database with connections to it, for all steps of one test. */
async function withDatabase(work: (world: World) => Promise<void>): Promise<void> {
  const database = await startTestDatabase();
  const pool = new Pool({ connectionString: database.url, max: 30 });
  // The pool's end does not wait for its connections', and the server stops right after.
  const closed: Promise<void>[] = [];
  pool.on("connect", (client) => {
    closed.push(new Promise((resolve) => client.once("end", () => resolve())));
  });
  try {
    await work(new World(pool));
  } finally {
    await pool.end();
    await Promise.all(closed);
    await database.stop();
  }
}

class World {
  constructor(readonly pool: Pool) {}

  /** The first value of the first row. */
  async value<T>(sql: string, values: unknown[] = []): Promise<T> {
    const { rows } = await this.pool.query({ text: sql, values, rowMode: "array" });
    return rows[0]?.[0] as T;
  }

  user(): Promise<string> {
    return this.value(
      "insert into auth.users (id, email) values (gen_random_uuid(), gen_random_uuid() || '@example.com') returning id",
    );
  }

  company(limits: { running?: number; queued?: number; bytes?: number } = {}): Promise<string> {
    return this.value(
      `insert into companies (slug, name, max_concurrent_runs, max_queued_runs, storage_quota_bytes)
       values ('c-' || gen_random_uuid(), 'Company', $1, $2, $3) returning id`,
      [limits.running ?? 10, limits.queued ?? 1000, limits.bytes ?? 1e9],
    );
  }

  /** An app of the company with a version 1.0.0 that is ready to be published, or is. */
  async app(company: string, status: "draft" | "published" = "published"): Promise<string> {
    const app = await this.value<string>(
      "insert into applications (slug, name, publisher_company_id) values ('a-' || gen_random_uuid(), 'App', $1) returning id",
      [company],
    );
    await this.pool.query(
      `insert into app_versions (app_id, version, manifest) values ($1, '1.0.0', '{"version": "1.0.0"}')`,
      [app],
    );
    await this.pool.query(insertFile, [app, "source.zip"]);
    if (status === "published") await this.pool.query(publish, [app]);
    return app;
  }

  /** Runs `work` in a transaction that stays open until it ends. */
  async transaction<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    try {
      await client.query("begin");
      const result = await work(client);
      await client.query("commit");
      return result;
    } catch (error) {
      await client.query("rollback");
      throw error;
    } finally {
      client.release();
    }
  }

  /** Resolves when some connection waits for a lock. */
  async someoneWaits(): Promise<void> {
    for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline;) {
      const waiting = await this.value<string>(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
      );
      if (Number(waiting) > 0) return;
    }
    throw new Error("Nobody waits for a lock.");
  }
}

const insertFile = `
  insert into app_storage (app_id, version, file_path, file_type, file_size, checksum)
  values ($1, '1.0.0', 'app_' || $1::uuid || '/1.0.0/' || $2::text, 'source', 1, 'sha256:' || repeat('0', 64))`;
const publish =
  "update app_versions set status = 'published' where app_id = $1 and version = '1.0.0'";

function codeOf(result: PromiseSettledResult<unknown>): string {
  return result.status === "fulfilled" ? "ok" : String(result.reason.code);
}

function tally(results: PromiseSettledResult<unknown>[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const code of results.map(codeOf)) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

Deno.test("what holds between transactions", async (t) => {
  await withDatabase(async (world) => {
    await t.step("of two owners who leave at once, one stays", async () => {
      const company = await world.company();
      const owners = [await world.user(), await world.user()];
      for (const owner of owners) {
        await world.pool.query("insert into company_members values ($1, $2, 'owner')", [
          company,
          owner,
        ]);
      }
      const leave = "delete from company_members where user_id = $1";
      let second: Promise<unknown> = Promise.resolve();
      await world.transaction(async (client) => {
        await client.query(leave, [owners[0]]);
        second = assertRejects(() => world.pool.query(leave, [owners[1]]), Error, "one owner");
        await world.someoneWaits();
      });
      await second;
      assertEquals(
        await world.value("select user_id from company_members where company_id = $1", [company]),
        owners[1],
      );
    });

    await t.step(
      "a file that comes while the version is released is in it, or refused",
      async () => {
        const company = await world.company();
        const early = await world.app(company, "draft");
        let released: Promise<unknown> = Promise.resolve();
        await world.transaction(async (client) => {
          await client.query(insertFile, [early, "early.js"]);
          released = world.pool.query(publish, [early]);
          await world.someoneWaits();
        });
        await released;
        assertEquals(
          await world.value(
            "select count(*)::int from app_storage where app_id = $1 and is_released",
            [early],
          ),
          2,
        );

        const late = await world.app(company, "draft");
        let refused: Promise<unknown> = Promise.resolve();
        await world.transaction(async (client) => {
          await client.query(publish, [late]);
          refused = assertRejects(
            () => world.pool.query(insertFile, [late, "late.js"]),
            Error,
            "Version 1.0.0 is published",
          );
          await world.someoneWaits();
        });
        await refused;
      },
    );

    await t.step("a version that comes while its number is spent is refused", async () => {
      const again = {
        "an insert": "insert into app_versions (app_id, version) values ($1, '1.0.0')",
        "an upload":
          "select begin_app_upload($1, '1.0.0', 'a.css', 'dist', 'text/css', 1, 'sha256:' || repeat('0', 64))",
        "another number":
          "update app_versions set version = '1.0.0' where app_id = $1 and version = '2.0.0'",
      };
      for (const [what, sql] of Object.entries(again)) {
        const app = await world.app(await world.company());
        await world.pool.query("update app_versions set status = 'archived' where app_id = $1", [
          app,
        ]);
        await world.pool.query("delete from app_storage where app_id = $1", [app]);
        await world.pool.query("insert into app_versions (app_id, version) values ($1, '2.0.0')", [
          app,
        ]);
        let second: Promise<PromiseSettledResult<unknown>[]> = Promise.resolve([]);
        await world.transaction(async (client) => {
          await client.query("delete from app_versions where app_id = $1 and version = '1.0.0'", [
            app,
          ]);
          second = Promise.allSettled([world.pool.query(sql, [app])]);
          await world.someoneWaits();
        });
        assertEquals((await second).map(codeOf), ["SW125"], what);
      }
    });

    await t.step("requests with one idempotency key get one run", async () => {
      const company = await world.company();
      const app = await world.app(company);
      const ids = await Promise.all(Array.from({ length: 20 }, () =>
        world.value(
          "select id from request_app_run($1, $2, idempotency_key => 'once')",
          [app, company],
        )));
      assertEquals(new Set(ids).size, 1);
    });

    await t.step(
      "a call for runs with keys of their own is answered again under its own key",
      async () => {
        const company = await world.company();
        const app = await world.app(company);
        const ask = (...keys: string[]) =>
          world.transaction(async (client) => {
            const headers = { "x-idempotency-key": `call for ${company}` };
            await client.query("select set_config('request.headers', $1, true)", [
              JSON.stringify(headers),
            ]);
            const runs = keys.map((key) => ({
              app_id: app,
              company_id: company,
              idempotency_key: key,
            }));
            const { rows } = await client.query("select * from request_app_runs($1)", [
              JSON.stringify(runs),
            ]);
            return rows.map((row) => row.request_app_runs);
          });
        const ids = await ask("a", "b");
        assertEquals(await ask("a", "b"), ids);
        const [another] = await Promise.allSettled([ask("a", "c")]);
        assertEquals(codeOf(another), "SW052");
        assertEquals(
          await world.value(
            "select array_agg(resource_id) from private.api_creations where idempotency_key = $1",
            [`call for ${company}`],
          ),
          [ids[0]],
        );
      },
    );

    await t.step("requests at once fill the queue to its limit and not beyond", async () => {
      const company = await world.company({ queued: 5 });
      const app = await world.app(company);
      const results = await Promise.allSettled(
        Array.from(
          { length: 20 },
          () => world.pool.query("select request_app_run($1, $2)", [app, company]),
        ),
      );
      assertEquals(tally(results), { ok: 5, SW041: 15 });
    });

    await t.step("uploads at once fill the quota to its limit and not beyond", async () => {
      const company = await world.company({ bytes: 1001 });
      const app = await world.app(company, "draft");
      const results = await Promise.allSettled(
        Array.from({ length: 12 }, (_, number) =>
          world.pool.query(
            "select begin_app_upload($1, '1.0.0', $2, 'dist', 'text/css', 200, 'sha256:' || repeat('0', 64))",
            [app, `${number}.css`],
          )),
      );
      assertEquals(tally(results), { ok: 5, SW030: 7 });
    });

    await t.step("of requests to verify an upload at once, one has it", async () => {
      const app = await world.app(await world.company(), "draft");
      const upload = await world.value(
        "select id from begin_app_upload($1, '1.0.0', 'a.css', 'dist', 'text/css', 200, 'sha256:' || repeat('0', 64))",
        [app],
      );
      const results = await Promise.allSettled(
        Array.from(
          { length: 8 },
          () => world.pool.query("select start_app_upload_verification($1)", [upload]),
        ),
      );
      assertEquals(tally(results), { ok: 1, SW032: 7 });
    });

    for (const name of ["other.css", "manifest.yaml"]) {
      await t.step(`an upload completes late while ${name} is begun`, async () => {
        const app = await world.app(await world.company(), "draft");
        const begin = (client: Pool | PoolClient, file: string) =>
          client.query(
            "select id from begin_app_upload($1, '1.0.0', $2, 'config', 'text/css', 200, 'sha256:' || repeat('0', 64))",
            [app, file],
          );
        const { rows: [{ id }] } = await begin(world.pool, "manifest.yaml");
        await world.pool.query("select start_app_upload_verification($1)", [id]);
        await world.pool.query(
          `update app_uploads set expires_at = now() - interval '1 second',
           verifying_until = now() - interval '1 second' where id = $1`,
          [id],
        );
        let begun: Promise<unknown> = Promise.resolve();
        await world.transaction(async (client) => {
          await client.query("select from app_uploads where id = $1 for no key update", [id]);
          begun = world.transaction(async (other) => {
            await other.query("select set_config('lock_timeout', $1, true)", [`${WAIT_MS}`]);
            await begin(other, name);
          });
          // Another file waits for nothing; the same one until it is known what is there.
          await (name === "manifest.yaml" ? world.someoneWaits() : begun);
          await client.query(
            `select complete_app_upload($1, 'text/css', '{}', '{"version": "1.0.0"}')`,
            [id],
          );
        });
        await begun;
        assertEquals(
          await world.value("select status from app_uploads where id = $1", [id]),
          "completed",
        );
      });
    }

    await t.step("a full company is noticed while its journal is folded", async () => {
      const company = await world.company({ bytes: 1_048_576 });
      const app = await world.app(company);
      const request = () => world.value("select id from request_app_run($1, $2)", [app, company]);
      const run = await request();
      await world.transaction(async (client) => {
        await client.query("select private.fold_storage_changes($1)", [company]);
        await world.pool.query(
          `insert into app_outputs (run_id, output_type, output_name, output_bucket, output_path, file_size)
           values ($1::uuid, 'file', 'large', 'app-storage', 'app_' || $2::uuid || '/runs/' || $1 || '/outputs/large', 1048576)`,
          [run, app],
        );
        await assertRejects(request, Error, "storage is full");
      });
    });
  });
});

Deno.test("limits that many reach at once", async (t) => {
  await withDatabase(async (world) => {
    await t.step("a company gets as many schedules as it may have, and no more", async () => {
      const company = await world.company();
      const app = await world.app(company);
      await world.pool.query("update companies set max_schedules = 5 where id = $1", [company]);
      const results = await Promise.allSettled(
        Array.from({ length: 12 }, () =>
          world.pool.query(
            "insert into app_cron_schedules (app_id, company_id, cron_expression) values ($1, $2, '@hourly')",
            [app, company],
          )),
      );
      assertEquals(tally(results), { ok: 5, SW053: 7 });
    });

    await t.step("a user founds as many companies as one may, and no more", async () => {
      const user = await world.user();
      const results = await Promise.allSettled(
        Array.from({ length: 25 }, () =>
          world.transaction(async (client) => {
            await client.query("select set_config('request.jwt.claims', $1, true)", [
              JSON.stringify({ sub: user, role: "authenticated" }),
            ]);
            await client.query("set local role authenticated");
            await client.query("select create_company('c-' || gen_random_uuid(), 'Company')");
          })),
      );
      assertEquals(tally(results), { ok: 20, SW011: 5 });
    });
  });
});

Deno.test("claims at once", async (t) => {
  await withDatabase(async (world) => {
    const companies: string[] = [];
    for (let number = 0; number < 4; number++) {
      const company = await world.company({ running: 3 });
      const app = await world.app(company);
      await world.pool.query(
        "insert into app_runs (app_id, company_id) select $1, $2 from generate_series(1, 20)",
        [app, company],
      );
      companies.push(company);
    }

    await t.step(
      "a claim takes what an open claim of another company leaves, at once",
      async () => {
        await world.transaction(async (first) => {
          const { rows: [mine] } = await first.query("select * from claim_app_runs('first')");
          const { rows: others } = await world.pool.query(
            "select * from claim_app_runs('second', 100)",
          );
          // Three of each of the other companies; the first one's lane is taken.
          assertEquals(others.length, 9);
          assertEquals(others.some((run) => run.company_id === mine.company_id), false);
        });
      },
    );

    await t.step("each run is executed once, and no company exceeds its limit", async () => {
      let most = 0;
      const executed: string[] = [];
      // What the steps before hold is given back.
      await world.pool.query(
        "select release_app_runs(e.id, (select array_agg(r.id) from app_runs r)) from executors e",
      );
      await Promise.all(
        Array.from({ length: 8 }, async (_, number) => {
          for (let empty = 0; empty < 50;) {
            const { rows: runs } = await world.pool.query(
              "select id from claim_app_runs($1, 2)",
              [`executor ${number}`],
            );
            empty = runs.length === 0 ? empty + 1 : 0;
            const running = await world.value<number>(
              `select coalesce(max(count), 0)::int from (
                 select count(*) from app_runs where status = 'running' group by company_id) counts`,
            );
            most = Math.max(most, running);
            for (const { id } of runs) {
              executed.push(id);
              const answer = await world.value(
                "select finish_app_run($1, $2, 'success')",
                [id, `executor ${number}`],
              );
              assertEquals(answer, "finished");
            }
          }
        }),
      );
      assertEquals(executed.length, 80);
      assertEquals(new Set(executed).size, 80);
      assertEquals(most <= 3, true, `${most} runs of one company at once`);
      assertEquals(
        await world.value("select count(*)::int from app_runs where status <> 'success'"),
        0,
      );
    });

    await t.step("of those who finish a run at once, one does", async () => {
      const run = await world.value(
        `insert into app_runs (app_id, company_id)
         select id, publisher_company_id from applications where publisher_company_id = $1 returning id`,
        [companies[0]],
      );
      await world.pool.query("select claim_app_runs('last')");
      const answers = await Promise.all(
        Array.from(
          { length: 8 },
          () => world.value("select finish_app_run($1, 'last', 'success')", [run]),
        ),
      );
      assertEquals(answers.sort(), ["finished", ...Array(7).fill("not_held")]);
    });
  });
});

const suspend = "update applications set status = 'suspended' where id = $1";
const unassign = "delete from app_assignments where app_id = $1";

Deno.test("an app that is taken away while a run is asked for", async (t) => {
  await withDatabase(async (world) => {
    /** Runs that wait and schedules that are on, of an app that nobody may run any more. */
    const left = (app: string) =>
      world.value<string>(
        `select (select count(*) from app_runs where app_id = $1 and status = 'pending') || ' runs, ' ||
           (select count(*) from app_cron_schedules where app_id = $1 and is_active) || ' schedules'`,
        [app],
      );
    const assigned = async () => {
      const app = await world.app(await world.company());
      const company = await world.company();
      await world.pool.query("insert into app_assignments (app_id, company_id) values ($1, $2)", [
        app,
        company,
      ]);
      return { app, company };
    };
    const requests = {
      "a request": "select request_app_run($1, $2)",
      "a request of many":
        "select request_app_runs(jsonb_build_array(jsonb_build_object('app_id', $1::uuid, 'company_id', $2::uuid)))",
      "a new schedule":
        "insert into app_cron_schedules (app_id, company_id, cron_expression) values ($1, $2, '@hourly')",
    };
    const losses = { "the app's suspension": suspend, "its unassignment": unassign };

    for (const [asking, request] of Object.entries(requests)) {
      for (const [losing, loss] of Object.entries(losses)) {
        await t.step(`${asking} waits for ${losing} under way, and is refused`, async () => {
          const { app, company } = await assigned();
          let refused: Promise<unknown> = Promise.resolve();
          await world.transaction(async (client) => {
            await client.query(loss, [app]);
            refused = assertRejects(
              () => world.pool.query(request, [app, company]),
              Error,
              "The app is not active, or it is not assigned",
            );
            await world.someoneWaits();
          });
          await refused;
          assertEquals(await left(app), "0 runs, 0 schedules");
        });

        await t.step(`${losing} waits for ${asking} under way, and stops it`, async () => {
          const { app, company } = await assigned();
          let lost: Promise<unknown> = Promise.resolve();
          await world.transaction(async (client) => {
            await client.query(request, [app, company]);
            lost = world.pool.query(loss, [app]);
            await world.someoneWaits();
          });
          await lost;
          assertEquals(await left(app), "0 runs, 0 schedules");
        });
      }
    }

    for (const [losing, loss] of Object.entries(losses)) {
      await t.step(`a tick that holds a schedule puts it off during ${losing}`, async () => {
        const { app, company } = await assigned();
        await world.pool.query(requests["a new schedule"], [app, company]);
        await world.pool.query(
          "update app_cron_schedules set next_run_at = now() - interval '1 second' where app_id = $1",
          [app],
        );
        let lost: Promise<unknown> = Promise.resolve();
        await world.transaction(async (tick) => {
          await tick.query("select from app_cron_schedules where app_id = $1 for no key update", [
            app,
          ]);
          lost = world.pool.query(loss, [app]);
          await world.someoneWaits();
          const { rows } = await tick.query("select * from enqueue_due_app_runs()");
          assertEquals(rows, []);
        });
        await lost;
        assertEquals(await left(app), "0 runs, 0 schedules");
        assertEquals(
          await world.value(
            "select count(*)::int from app_cron_skips join app_cron_schedules s on s.id = schedule_id where s.app_id = $1",
            [app],
          ),
          0,
        );
      });
    }
  });
});
