/** Migrations, applied by the Supabase CLI as on a hosted project. */
import { supabase } from "./supabase_cli.ts";

/** Applies to the database at `url` what it does not have yet. */
export async function applyMigrations(url: string): Promise<void> {
  await supabase("db", "push", `--remote=${url}`, "--skip-vault", "--yes");
}
