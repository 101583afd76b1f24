/** What could be wrong with a policy, each as SQL that makes it so. */
import type { Session } from "./session.ts";

export interface Mutant {
  /** The policy and its table, for reports. */
  policy: string;
  /** Its table: without a schema in public, otherwise with one. */
  table: string;
  /** What was done to it. */
  change: "dropped" | "using (true)" | "with check (true)";
  sql: string;
}

interface Policy {
  table: string;
  name: string;
  qual: string | null;
  with_check: string | null;
}

/** Every policy dropped, and each of its conditions replaced by true: one change a mutant. */
export async function listMutants(session: Session): Promise<Mutant[]> {
  const policies = await session.query(`
    select
      case schemaname when 'public' then '' else schemaname || '.' end || tablename as table,
      policyname as name, qual, with_check
    from pg_policies
    where schemaname = 'public' or (schemaname, tablename) = ('storage', 'objects')
    order by schemaname, tablename, cmd, policyname`) as unknown as Policy[];
  return policies.flatMap(({ table, name, qual, with_check }) => {
    const policy = `"${name.replaceAll('"', '""')}" on ${table}`;
    const mutants: Mutant[] = [{ policy, table, change: "dropped", sql: `drop policy ${policy}` }];
    for (const change of ["using (true)", "with check (true)"] as const) {
      const condition = change === "using (true)" ? qual : with_check;
      if (condition === null) continue;
      mutants.push({ policy, table, change, sql: `alter policy ${policy} ${change}` });
    }
    return mutants;
  });
}
