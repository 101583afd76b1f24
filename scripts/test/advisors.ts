/**
 * The platform's own advisors (`supabase db advisors`), over a database made from the migrations.
 *
 * Every finding fails, however slight. The one exception is `unused_index`: a new database has
 * used none of its indexes.
 */
import { supabase } from "../stack/supabase_cli.ts";
import { startTestDatabase } from "../testing/database.ts";

interface Finding {
  name: string;
  level: string;
  detail: string;
}

async function advise(url: string): Promise<Finding[]> {
  const text = await supabase(
    ...["db", "advisors", `--remote=${url}`, "--type", "all", "--level", "info"],
  );
  return JSON.parse(text.slice(text.indexOf("["), text.lastIndexOf("]") + 1));
}

const database = await startTestDatabase();
try {
  const findings = await advise(database.url);
  // No unused index at all would mean that the advisors did not look at our database.
  if (!findings.some(({ name }) => name === "unused_index")) {
    throw new Error("the advisors found no unused index: they did not see the new database");
  }
  const failures = findings.filter(({ name }) => name !== "unused_index");
  for (const { name, level, detail } of failures) console.error(`✗ ${level} ${name}: ${detail}`);
  console.log(`${failures.length ? 0 : 1} passed, ${failures.length} failed`);
  Deno.exitCode = failures.length ? 1 : 0;
} finally {
  await database.stop();
}
