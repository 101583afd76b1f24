/** Runs every generator; with `--check`, fails if any file is out of date. */
import { projectPath } from "../stack/project.ts";

const GENERATORS = ["types", "access", "manifest_schema", "openapi", "api_coverage"];

for (const name of GENERATORS) {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", projectPath(`scripts/generate/${name}.ts`), ...Deno.args],
  }).output().then((output) => {
    Deno.stdout.writeSync(output.stdout);
    Deno.stderr.writeSync(output.stderr);
    return output;
  });
  if (!success) Deno.exit(1);
}
