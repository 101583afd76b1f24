/** What an import brought, line by line as it goes, so that it can be taken back. */
import { type Service, takeBack } from "./registry.ts";

interface Line {
  run: string;
  version_id?: string;
  path?: string;
}

export class RollbackFile {
  #file: Deno.FsFile;
  #encoder = new TextEncoder();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Appends to the file: a resumed import adds to what is there. */
  static async open(path: string): Promise<RollbackFile> {
    return new RollbackFile(await Deno.open(path, { create: true, append: true, write: true }));
  }

  /** Notes a version, or with none that a run begins; lines do not mix, whoever calls. */
  note(line: Line): Promise<void> {
    const noted = this.#last.then(async () => {
      await this.#file.write(this.#encoder.encode(`${JSON.stringify(line)}\n`));
    });
    this.#last = noted.catch(() => {});
    return noted;
  }

  close(): void {
    this.#file.close();
  }
}

export interface RollbackReport {
  removed: number;
  /** Not there any more. */
  gone: number;
}

/**
 * Takes back what the file names, and what its runs brought besides: an import that was killed may have published more than
 * it noted. What was there before stays.
 */
export async function rollBack(service: Service, path: string): Promise<RollbackReport> {
  const lines = (await Deno.readTextFile(path)).split("\n").filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
  const report: RollbackReport = { removed: 0, gone: 0 };
  for (const { run, version_id } of lines) {
    if (version_id === undefined) continue;
    if (await takeBack(service, version_id, run)) report.removed++;
    else report.gone++;
  }
  for (const run of new Set(lines.map((line) => line.run))) {
    while (true) {
      const { data, error } = await service.from("package_versions").select("id")
        .eq("import_run", run).limit(100);
      if (error) throw error;
      if (data.length === 0) break;
      for (const { id } of data) if (await takeBack(service, id, run)) report.removed++;
    }
  }
  return report;
}
