/** The Supabase CLI, as npm installed it. */
import { CommandError } from "../command/errors.ts";
import { runApart } from "./child.ts";
import { PROJECT_DIR, projectPath } from "./project.ts";

/** Nothing to ask, nobody to tell, no colours; and no remark among the answers that a local database has no TLS. */
const ENVIRONMENT = {
  SUPABASE_TELEMETRY_DISABLED: "1",
  DO_NOT_TRACK: "1",
  NO_COLOR: "1",
  CI: "1",
  PGSSLMODE: "disable",
};

/**
 * Runs the CLI in this project.
 * @returns what it printed on its standard output
 * @throws CommandError with all that it printed, if it fails
 */
export async function supabase(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await runApart(
    projectPath("node_modules/.bin/supabase"),
    { args: [...args, "--workdir", PROJECT_DIR], env: ENVIRONMENT },
  );
  const decoder = new TextDecoder();
  const printed = decoder.decode(stdout);
  if (success) return printed;
  throw new CommandError(
    `supabase ${args[0]} ${args[1]} failed:\n${printed}${decoder.decode(stderr)}`,
  );
}
