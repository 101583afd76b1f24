/** Writes the types of the database for supabase-js, as the Supabase CLI makes them from the migrations. */
import { startStack } from "../stack/mod.ts";
import { projectPath } from "../stack/project.ts";
import { writeGenerated } from "./generated.ts";

const TARGET = "supabase/functions/_shared/database.types.ts";

/** The CLI's answer for schema public of the database at `url`. */
async function generateTypes(url: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(
    projectPath("node_modules/.bin/supabase"),
    {
      args: ["gen", "types", "typescript", `--remote=${url}`, "--schema", "public"],
      // Without the mode, the CLI remarks on its standard output that the connection is not encrypted.
      env: {
        SUPABASE_TELEMETRY_DISABLED: "1",
        DO_NOT_TRACK: "1",
        NO_COLOR: "1",
        PGSSLMODE: "disable",
      },
      stdin: "null",
    },
  ).output();
  if (!success) throw new Error(`supabase gen types failed:\n${new TextDecoder().decode(stderr)}`);
  return await format(new TextDecoder().decode(stdout));
}

/** The CLI leaves lines of any length; formatted, a change of the schema is a readable diff. */
async function format(source: string): Promise<string> {
  const formatter = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--config", projectPath("deno.json"), "--ext", "ts", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const [{ success, stdout }] = await Promise.all([
    formatter.output(),
    ReadableStream.from([new TextEncoder().encode(source)]).pipeTo(formatter.stdin),
  ]);
  if (!success) throw new Error("deno fmt refused the generated types");
  return new TextDecoder().decode(stdout);
}

const dataDir = await Deno.makeTempDir({ prefix: "stowage-types-" });
const stack = await startStack({
  dataDir,
  port: 0,
  dbPort: 0,
  functions: false,
  seed: false,
  durable: false,
});
try {
  await writeGenerated(TARGET, await generateTypes(stack.dbUrl));
} finally {
  await stack.stop();
  await Deno.remove(dataDir, { recursive: true });
}
