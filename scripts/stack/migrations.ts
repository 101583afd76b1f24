/** Migrations, applied by the Supabase CLI as on a hosted project. */
import { PROJECT_DIR, projectPath } from "./project.ts";

/** Applies to the database at `url` what it does not have yet. */
export async function applyMigrations(url: string): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(
    projectPath("node_modules/.bin/supabase"),
    {
      args: ["db", "push", `--remote=${url}`, "--workdir", PROJECT_DIR, "--skip-vault", "--yes"],
      env: {
        // Nothing to ask, nobody to tell, no colours in a log.
        SUPABASE_TELEMETRY_DISABLED: "1",
        DO_NOT_TRACK: "1",
        NO_COLOR: "1",
        CI: "1",
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    },
  ).output();
  if (success) return;
  const decoder = new TextDecoder();
  throw new Error(`supabase db push failed:\n${decoder.decode(stdout)}${decoder.decode(stderr)}`);
}
