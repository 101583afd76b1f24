/** An import of many files that is killed in the middle, begun again, and then once more. */
import { join } from "node:path";
import { writeLegacy } from "../../import/tests/legacy.ts";
import type { Stack } from "../../stack/mod.ts";
import { projectPath } from "../../stack/project.ts";
import { serviceClient } from "../../testing/stack.ts";

export interface ImportResult {
  files: number;
  killed_at: number;
  /** What was there in the end; as many as there are files, or something was lost or doubled. */
  stored: number;
  resumed: { migrated: number; skipped: number; files_per_second: number };
  again: { migrated: number; skipped: number; files_per_second: number };
}

export async function measureImport(stack: Stack, files: number): Promise<ImportResult> {
  const service = serviceClient(stack);
  const dir = await Deno.makeTempDir({ prefix: "stowage import " });
  try {
    const from = join(dir, "legacy");
    await writeLegacy(from, files, "import");
    const company = await service.from("companies").insert({ slug: "import", name: "Import" })
      .select("id").single();
    if (company.error) throw company.error;
    const start = (report: string) =>
      new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "-A", "--no-check", projectPath("scripts/import/main.ts"), "--from", from],
          ...["--company", company.data.id, "--report", report],
          ...["--rollback-file", join(dir, "rollback.jsonl")],
        ],
        env: { SUPABASE_URL: stack.apiUrl, SUPABASE_SECRET_KEY: stack.secretKey },
        stdout: "null",
        stderr: "inherit",
      }).spawn();
    const count = async () => {
      const { count, error } = await service.from("package_versions")
        .select("id, packages!inner(namespace)", { count: "exact", head: true })
        .like("packages.namespace", "import-%");
      if (error) throw error;
      return count!;
    };
    const killed = start(join(dir, "killed.json"));
    while (await count() < files / 2) await new Promise((done) => setTimeout(done, 100));
    killed.kill("SIGKILL");
    await killed.status;
    const killed_at = await count();
    const run = async (name: string) => {
      const report = join(dir, `${name}.json`);
      const { success } = await start(report).status;
      if (!success) throw new Error(`the import failed: ${await Deno.readTextFile(report)}`);
      const { migrated, skipped, files_per_second } = JSON.parse(await Deno.readTextFile(report));
      return { migrated, skipped, files_per_second };
    };
    const resumed = await run("resumed");
    const again = await run("again");
    return { files, killed_at, stored: await count(), resumed, again };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
