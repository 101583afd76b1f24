/** The queue under many connections at once: limits hold, every run is run once, companies take turns. */
import { join } from "node:path";
import { assert, assertEquals } from "../../testing/assert.ts";
import { PROJECT_DIR } from "../../stack/project.ts";
import { startTestDatabase } from "../../testing/database.ts";
import { drainAll, storm } from "./storm.ts";
import { type ClaimedRun, createWorld, takeTurn, type World } from "./world.ts";

const CLAIMERS = 16;
const DEADLINE_MS = 60_000;

async function withWorld(limits: number[], test: (world: World) => Promise<void>): Promise<void> {
  const database = await startTestDatabase();
  try {
    const world = await createWorld(database.url, limits);
    try {
      await test(world);
    } finally {
      await world.close();
    }
  } finally {
    await database.stop();
  }
}

/** Claims until `runs` runs were finished; `onStart` and `onEnd` bracket the time in which a run is held for certain. */
async function drain(
  world: World,
  runs: number,
  batch: number,
  onStart: (run: ClaimedRun) => void,
  onEnd: (run: ClaimedRun) => void,
): Promise<void> {
  let finished = 0;
  const deadline = Date.now() + DEADLINE_MS;
  await Promise.all(Array.from({ length: CLAIMERS }, async (_, number) => {
    const client = await world.connect();
    let held: ClaimedRun[] = [];
    while (finished < runs) {
      assert(Date.now() < deadline, `Only ${finished} of ${runs} runs were finished in time.`);
      const turn = await takeTurn(client, `executor ${number}`, held, batch);
      assertEquals(Object.values(turn.outcomes), held.map(() => "finished"));
      finished += held.length;
      held = turn.claimed;
      held.forEach(onStart);
      // Others act while these are held.
      await client.query("select 1");
      held.forEach(onEnd);
    }
    await takeTurn(client, `executor ${number}`, held, 1);
  }));
}

for (const batch of [1, 7]) {
  Deno.test(`sixteen claimers by ${batch} run each run once and exceed no company's limit`, async () => {
    const limits = [1, 2, 3, 5, 50];
    await withWorld(limits, async (world) => {
      const runsEach = 120;
      for (const company of world.companies) await world.request(company, runsEach);
      const limitOf = new Map(world.companies.map((company, i) => [company, limits[i]]));
      const running = new Map<string, number>();
      const started = new Set<string>();
      const excesses: string[] = [];
      let most = 0;
      await drain(world, limits.length * runsEach, batch, (run) => {
        assert(!started.has(run.id), "a run was claimed twice");
        started.add(run.id);
        const now = (running.get(run.company_id) ?? 0) + 1;
        running.set(run.company_id, now);
        most = Math.max(most, now);
        const limit = limitOf.get(run.company_id)!;
        if (now > limit) excesses.push(`${now} of ${limit}`);
      }, (run) => running.set(run.company_id, running.get(run.company_id)! - 1));
      assertEquals(excesses, []);
      assertEquals(started.size, limits.length * runsEach);
      assert(most > 3, "the claimers did not work at the same time");

      const client = await world.connect();
      const { rows } = await client.query(
        `select status, attempt, count(*)::integer as runs from public.app_runs group by status, attempt`,
      );
      assertEquals(rows, [{ status: "success", attempt: 1, runs: limits.length * runsEach }]);
      const { rows: [left] } = await client.query(
        `select (select count(*) from private.waiting_runs)::integer as waiting,
                (select sum(private.count_held_runs(lane)) from private.lane_loads)::integer as held`,
      );
      assertEquals(left, { waiting: 0, held: 0 });
    });
  });
}

Deno.test("a company with a backlog does not hold up one that comes later", async () => {
  await withWorld(Array.from({ length: 20 }, () => 100), async (world) => {
    const [big, ...others] = world.companies;
    await world.request(big, 2_000);
    for (const company of others) await world.request(company, 5);
    const order: string[] = [];
    await drain(world, others.length * 5, 1, (run) => order.push(run.company_id), () => {});
    // Every connection goes round the ring by itself: one turn of each company for one of the big one's, a lap more at most.
    const lastOther = order.findLastIndex((company) => company !== big);
    const ofBig = order.slice(0, lastOther + 1).filter((company) => company === big).length;
    assert(
      ofBig <= 5 + CLAIMERS,
      `${ofBig} runs of the big company were served before the others were done`,
    );
  });
});

Deno.test("claims do not wait: not for a claim, a request or a change that is not committed yet", async () => {
  await withWorld([10, 10], async (world) => {
    for (const company of world.companies) await world.request(company, 4);
    const [one, two, three] = [await world.connect(), await world.connect(), await world.connect()];
    await one.query("begin");
    const [held] = (await takeTurn(one, "one", [], 1)).claimed;
    const other = world.companies.find((id) => id !== held.company_id);
    await three.query("begin");
    await three.query("select public.request_app_run($1, $2)", [world.appId, world.companies[0]]);
    await three.query("select public.request_app_run($1, $2)", [world.appId, world.companies[1]]);
    const { rows: [changed] } = await three.query(
      `update public.app_runs set metadata = '{"note": "being changed"}'
       where id = (select id from public.app_runs where company_id = $1 order by id limit 1)
       returning id`,
      [other],
    );
    await two.query("set statement_timeout = '2s'");
    // The other company's lane is free, and its next run too.
    const [next] = (await takeTurn(two, "two", [], 1)).claimed;
    assertEquals(next.company_id, other);
    assert(next.id !== changed.id);
    await one.query("rollback");
    await three.query("rollback");
    // What was rolled back waits again.
    const { claimed } = await takeTurn(two, "two", [], 100);
    assertEquals(claimed.length, 7);
  });
});

Deno.test("of a claim and a cancellation at once, one wins, and nothing is left half", async () => {
  await withWorld([1_000], async (world) => {
    await world.request(world.companies[0], 200);
    const [claimer, canceller] = [await world.connect(), await world.connect()];
    const { rows } = await canceller.query("select id from public.app_runs order by run_after, id");
    const claimed: ClaimedRun[] = [];
    await Promise.all([
      (async () => {
        for (let i = 0; i < 200; i++) {
          claimed.push(...(await takeTurn(claimer, "one", [], 1)).claimed);
        }
      })(),
      (async () => {
        for (const { id } of rows.reverse()) {
          await canceller.query("select public.cancel_app_run($1)", [id]);
        }
      })(),
    ]);
    const { rows: [result] } = await canceller.query(
      `select count(*) filter (where status = 'running' and cancel_requested_at is not null)::integer as asked,
              count(*) filter (where status = 'cancelled')::integer as cancelled,
              count(*) filter (where status not in ('running', 'cancelled'))::integer as others,
              (select count(*) from private.waiting_runs)::integer as waiting,
              (select sum(private.count_held_runs(lane)) from private.lane_loads)::integer as held
       from public.app_runs`,
    );
    assertEquals(result.asked, claimed.length);
    assertEquals(result.asked + result.cancelled, 200);
    assertEquals([result.others, result.waiting, result.held], [0, 0, claimed.length]);
  });
});

Deno.test("of a finish, a heartbeat and the reaper at once, each run has one outcome", async () => {
  await withWorld([1_000], async (world) => {
    const runs = 210;
    await world.request(world.companies[0], runs);
    const [finisher, reaper, heart] = [
      await world.connect(),
      await world.connect(),
      await world.connect(),
    ];
    const { claimed } = await takeTurn(finisher, "one", [], runs);
    assertEquals(claimed.length, runs);
    await finisher.query(
      "update public.app_runs set lease_expires_at = now() - interval '1 second'",
    );
    const finished: string[] = [];
    const lost: string[] = [];
    const groups = Array.from({ length: runs / 7 }, (_, i) => claimed.slice(i * 7, i * 7 + 7));
    await Promise.all([
      (async () => {
        for (const group of groups) {
          const results = group.map(({ id }) => ({ run_id: id, attempt: 1, status: "success" }));
          const { rows: [{ outcomes }] } = await finisher.query(
            "select public.finish_app_runs('one', $1) as outcomes",
            [JSON.stringify(results)],
          );
          for (const [id, outcome] of Object.entries(outcomes)) {
            if (outcome === "finished") finished.push(id);
            else assertEquals(outcome, "not_held");
          }
        }
      })(),
      (async () => {
        for (let i = 0; i < runs / 3; i++) {
          const { rows } = await reaper.query("select id from public.release_expired_app_runs(3)");
          lost.push(...rows.map(({ id }) => id));
        }
      })(),
      (async () => {
        for (const group of groups.toReversed()) {
          await heart.query("select public.extend_app_run_leases('one', $1)", [
            group.slice(0, 2).map(({ id }) => id),
          ]);
        }
      })(),
    ]);
    assert(lost.length > 0, "the reaper came too late to matter");
    assertEquals(new Set([...finished, ...lost]).size, runs);
    assertEquals(finished.length + lost.length, runs);
    const { rows: [result] } = await finisher.query(
      `select count(*) filter (where status = 'success' and attempt = 1 and attempt_history = '[]')::integer as finished,
              count(*) filter (where status = 'pending' and attempt_history -> 0 ->> 'outcome' = 'lost')::integer as lost,
              (select count(*) from private.waiting_runs)::integer as waiting,
              (select sum(private.count_held_runs(lane)) from private.lane_loads)::integer as held
       from public.app_runs`,
    );
    assertEquals(result, {
      finished: finished.length,
      lost: lost.length,
      waiting: lost.length,
      held: 0,
    });
  });
});

Deno.test("a queue that is full takes no more, whoever asks at the same time", async () => {
  await withWorld([1], async (world) => {
    const admin = await world.connect();
    await admin.query("update public.companies set max_queued_runs = 50 where id = $1", [
      world.companies[0],
    ]);
    const outcomes = await Promise.all(Array.from({ length: 8 }, async () => {
      const client = await world.connect();
      const codes: string[] = [];
      for (let i = 0; i < 10; i++) {
        await client.query("select public.request_app_run($1, $2)", [
          world.appId,
          world.companies[0],
        ])
          .then(() => codes.push("accepted"), (error) => codes.push(error.code));
      }
      return codes;
    }));
    const counts = outcomes.flat().reduce<Record<string, number>>(
      (all, code) => ({ ...all, [code]: (all[code] ?? 0) + 1 }),
      {},
    );
    assertEquals(counts, { accepted: 50, SW041: 30 });
    await takeTurn(await world.connect(), "one", [], 1);
    await admin.query("select public.request_app_run($1, $2)", [world.appId, world.companies[0]]);
  });
});

/** What the files of pgTAP ask for, too: a function of the session that runs this. */
const CONTRADICTIONS = join(PROJECT_DIR, "supabase/tests/database/queue_contradictions.inc");

/** Companies that have come to their limit, and those that are over it. */
const LIMITS = `
  select count(*) filter (where held = max_concurrent_runs)::integer as full,
    count(*) filter (where held > max_concurrent_runs)::integer as exceeded
  from (select max_concurrent_runs, private.count_held_runs(lane) as held from private.company_lanes) l`;

Deno.test("whatever happens at once, the queue and the runs say the same, and no company exceeds its limit", async () => {
  const seed = Number(Deno.env.get("QUEUE_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  const limits = [1, 2, 3, 4, 1, 2, 3, 4, 1, 2];
  await withWorld(limits, async (world) => {
    for (const company of world.companies) await world.request(company, 20);
    const observer = await world.connect();
    await observer.query(await Deno.readTextFile(CONTRADICTIONS));
    const contradictions = async () =>
      (await observer.query("select pg_temp.queue_contradictions() as text")).rows
        .map(({ text }) => text);
    let samples = 0;
    let fullCompanies = 0;
    let over = false;
    const observe = async () => {
      while (!over) {
        assertEquals(await contradictions(), []);
        const { rows: [{ full, exceeded }] } = await observer.query(LIMITS);
        assertEquals(exceeded, 0);
        fullCompanies += full;
        samples++;
      }
    };
    const [ledger] = await Promise.all([
      storm(world, seed, 12, 200).finally(() => over = true),
      observe(),
    ]);
    assert(samples > 20, `there were only ${samples} samples`);
    assert(fullCompanies > 0, "no company came to its limit");

    await drainAll(observer, ledger);
    assertEquals(await contradictions(), []);
    const { rows: runs } = await observer.query("select id, status from public.app_runs");
    assertEquals(runs.length, limits.length * 20 + ledger.requested);
    const statusOf = new Map(runs.map(({ id, status }) => [id, status]));
    for (const [id, status] of ledger.told) assertEquals(statusOf.get(id), status);
    const ends = new Map([...ledger.told, ...ledger.ends]);
    for (const { id, status } of runs) assertEquals(status, ends.get(id));
  }).catch((error) => {
    throw new Error(`With QUEUE_SEED=${seed}: ${error.message}`, { cause: error });
  });
});
