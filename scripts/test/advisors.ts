/**
 * The platform's own advisors (`supabase db advisors`), over a database made from the migrations.
 *
 * Every finding fails, however slight. The one exception is `unused_index`: a new database has
 * used none of its indexes.
 */
import { startStack } from "../stack/mod.ts";
import { projectPath } from "../stack/project.ts";

interface Finding {
  name: string;
  level: string;
  detail: string;
}

async function advise(url: string): Promise<Finding[]> {
  const { success, stdout, stderr } = await new Deno.Command(
    projectPath("node_modules/.bin/supabase"),
    {
      args: ["db", "advisors", `--remote=${url}`, "--type", "all", "--level", "info"],
      env: { SUPABASE_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", PGSSLMODE: "disable" },
      stdin: "null",
    },
  ).output();
  if (!success) {
    throw new Error(`supabase db advisors failed:\n${new TextDecoder().decode(stderr)}`);
  }
  const text = new TextDecoder().decode(stdout);
  const list = text.slice(text.indexOf("["), text.lastIndexOf("]") + 1);
  return JSON.parse(list);
}

const dataDir = await Deno.makeTempDir({ prefix: "stowage-advisors-" });
const stack = await startStack({
  dataDir,
  port: 0,
  dbPort: 0,
  functions: false,
  seed: false,
  durable: false,
});
try {
  const findings = await advise(stack.dbUrl);
  // No unused index at all would mean that the advisors did not look at our database.
  if (!findings.some(({ name }) => name === "unused_index")) {
    throw new Error("the advisors found no unused index: they did not see the new database");
  }
  const failures = findings.filter(({ name }) => name !== "unused_index");
  for (const { name, level, detail } of failures) console.error(`✗ ${level} ${name}: ${detail}`);
  console.log(`${failures.length ? 0 : 1} passed, ${failures.length} failed`);
  Deno.exitCode = failures.length ? 1 : 0;
} finally {
  await stack.stop();
  await Deno.remove(dataDir, { recursive: true });
}
