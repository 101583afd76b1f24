/** `npm run generate`: runs every generator. */
import { runCommand } from "../command/command.ts";
import { projectPath } from "../stack/project.ts";
import { CHECK } from "./generated.ts";

const GENERATORS = ["types", "access", "manifest_schema", "openapi", "api_coverage"];

const COMMAND = {
  name: "generate",
  usage: "[--check]",
  help: `
Writes every file that is made from something else: ${GENERATORS.join(", ")}.

  --check   write nothing, and fail if any of them is out of date`,
  options: CHECK,
};

await runCommand(COMMAND, async () => {
  for (const name of GENERATORS) {
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", projectPath(`scripts/generate/${name}.ts`), ...Deno.args],
    }).output().then((output) => {
      Deno.stdout.writeSync(output.stdout);
      Deno.stderr.writeSync(output.stderr);
      return output;
    });
    if (!success) return 1;
  }
});
