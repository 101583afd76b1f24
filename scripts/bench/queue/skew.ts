/** Fairness and limits: one company queues many runs before 199 others queue five each. */
import { Client } from "pg";

export interface Skew {
  /** Runs served until the others' were all done. */
  served: number;
  /** Of these, the share of the big company. */
  bigShare: number;
  /** Most runs that a company had running at the same time, and what it was allowed. */
  mostRunning: number;
  allowed: number;
}

const WORKERS = 16;
const RUNS_EACH = 5;
const LIMIT = 4;

/** Runs on the companies and the app that the Stowage contender has made. */
export async function measureSkew(url: string, backlog: number): Promise<Skew> {
  const admin = new Client({ connectionString: url });
  const workers = Array.from({ length: WORKERS }, () => new Client({ connectionString: url }));
  await Promise.all([admin, ...workers].map((client) => client.connect()));
  try {
    const { rows } = await admin.query(
      "select c.id, a.app_id from public.companies c join public.app_assignments a on a.company_id = c.id",
    );
    const companies: string[] = rows.map((row) => row.id);
    const appId: string = rows[0].app_id;
    const { rows: [{ limit }] } = await admin.query(
      "select max(max_concurrent_runs) as limit from public.companies where id = any ($1)",
      [companies],
    );
    await admin.query("update public.companies set max_concurrent_runs = $1 where id = any ($2)", [
      LIMIT,
      companies,
    ]);
    const [big, ...others] = companies;
    const request = (companyId: string, runs: number) =>
      admin.query("select public.request_app_runs($1)", [
        JSON.stringify(
          Array.from({ length: runs }, () => ({ app_id: appId, company_id: companyId })),
        ),
      ]);
    for (let left = backlog; left > 0; left -= 10_000) await request(big, Math.min(left, 10_000));
    for (const company of others) await request(company, RUNS_EACH);

    let left = others.length * RUNS_EACH;
    let served = 0;
    let servedBig = 0;
    let mostRunning = 0;
    const running = new Map<string, number>();
    const change = (company: string, by: number) => {
      const now = (running.get(company) ?? 0) + by;
      running.set(company, now);
      mostRunning = Math.max(mostRunning, now);
    };
    await Promise.all(workers.map(async (worker) => {
      let held: { id: string; company_id: string }[] = [];
      while (left > 0 || held.length) {
        // Counted from the answer of the claim to before the call that finishes: held for certain.
        for (const run of held) change(run.company_id, -1);
        const { rows: [{ answer }] } = await worker.query({
          name: "next",
          text: "select public.finish_and_claim_app_runs('skew', $1, 1) as answer",
          values: [JSON.stringify(held.map(({ id }) => ({ run_id: id, status: "success" })))],
        });
        held = answer.claimed;
        for (const run of held) {
          change(run.company_id, 1);
          if (left > 0) {
            served++;
            if (run.company_id === big) servedBig++;
            else left--;
          }
        }
        await worker.query("select 1");
        if (left <= 0) {
          for (const run of held) change(run.company_id, -1);
          await worker.query("select public.release_app_runs('skew', $1)", [
            held.map(({ id }) => id),
          ]);
          held = [];
        }
      }
    }));
    await admin.query("update public.companies set max_concurrent_runs = $1 where id = any ($2)", [
      limit,
      companies,
    ]);
    return { served, bigShare: servedBig / served, mostRunning, allowed: LIMIT };
  } finally {
    await Promise.all([admin, ...workers].map((client) => client.end()));
  }
}
