/** The test files. */
import { basename, join } from "node:path";
import { PROJECT_DIR } from "../../stack/project.ts";
import { loadScript, type SqlScript } from "./script.ts";

const FOLDER = join(PROJECT_DIR, "supabase/tests/database");

export interface TestFile {
  name: string;
  script: SqlScript;
}

/** Those whose name contains one of the filters; all without any. In the order of their names. */
export async function loadTestFiles(filters: string[] = []): Promise<TestFile[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(FOLDER)) {
    if (entry.isFile && entry.name.endsWith(".sql")) names.push(entry.name);
  }
  const chosen = names.sort().filter((name) =>
    filters.length === 0 || filters.some((filter) => name.includes(basename(filter)))
  );
  return await Promise.all(chosen.map(async (name) => ({
    name,
    script: await loadScript(join(FOLDER, name), (path) => path.slice(PROJECT_DIR.length + 1)),
  })));
}
