/** `npm run types`: writes the types of the database for supabase-js. */
import { runCommand } from "../command/command.ts";
import { projectPath } from "../stack/project.ts";
import { supabase } from "../stack/supabase_cli.ts";
import { startTestDatabase } from "../testing/database.ts";
import { CHECK, writeGenerated } from "./generated.ts";

const TARGET = "supabase/functions/_shared/database.types.ts";

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

const COMMAND = {
  name: "types",
  usage: "[--check]",
  help: `
Writes ${TARGET}: the types of the database for supabase-js, as the Supabase CLI makes them from the migrations.

  --check   write nothing, and fail if the file is out of date`,
  options: CHECK,
};

await runCommand(COMMAND, async () => {
  const database = await startTestDatabase();
  try {
    const types = await supabase(
      ...["gen", "types", "typescript", `--remote=${database.url}`, "--schema", "public"],
    );
    await writeGenerated(TARGET, await format(types));
  } finally {
    await database.stop();
  }
});
