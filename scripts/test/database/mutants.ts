/** What could be wrong with a policy, each as SQL that makes it so. */
import type { Session } from "./session.ts";

export interface Mutant {
  /** The policy and its table, for reports. */
  policy: string;
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
    select format('%I.%I', schemaname, tablename) as table, policyname as name, qual, with_check
    from pg_policies
    where schemaname = 'public' or (schemaname, tablename) = ('storage', 'objects')
    order by schemaname, tablename, cmd, policyname`) as unknown as Policy[];
  return policies.flatMap(({ table, name, qual, with_check }) => {
    const quoted = `"${name.replaceAll('"', '""')}" on ${table}`;
    const mutants: Mutant[] = [{
      policy: quoted,
      change: "dropped",
      sql: `drop policy ${quoted}`,
    }];
    if (qual !== null) {
      mutants.push({
        policy: quoted,
        change: "using (true)",
        sql: `alter policy ${quoted} using (true)`,
      });
    }
    if (with_check !== null) {
      mutants.push({
        policy: quoted,
        change: "with check (true)",
        sql: `alter policy ${quoted} with check (true)`,
      });
    }
    return mutants;
  });
}
