/** What an import brought, line by line as it goes, so that it can be taken back. */
import { dirname, join } from "node:path";
import { CommandError, UsageError } from "../command/errors.ts";
import { answered } from "../command/project.ts";
import { type Service, takeBack } from "./registry.ts";

interface Line {
  run: string;
  version_id?: string;
  path?: string;
}

export class RollbackFile {
  #opened?: Promise<{ file: Deno.FsFile; isNew: boolean }>;
  #versions = 0;
  #encoder = new TextEncoder();
  #last: Promise<unknown> = Promise.resolve();

  /** Made when the first import begins; a resumed one adds to what is there. */
  constructor(readonly path: string) {}

  /** Notes that the run begins, once. */
  async begin(run: string): Promise<void> {
    this.#opened ??= this.#open(run);
    await this.#opened;
  }

  /** Notes a version; lines do not mix, whoever calls. */
  note(line: Line): Promise<void> {
    this.#versions++;
    const noted = this.#last.then(async () => this.#write((await this.#opened!).file, line));
    this.#last = noted.catch(() => {});
    return noted;
  }

  /**
   * @param isWhole the import came to its end, so that it brought what it noted and nothing else
   * @returns whether there is something to take back in the file; one that is new and says nothing is removed
   */
  async close(isWhole: boolean): Promise<boolean> {
    if (!this.#opened) return false;
    const { file, isNew } = await this.#opened;
    file.close();
    const needed = this.#versions > 0 || !isWhole;
    if (isNew && !needed) await Deno.remove(this.path);
    return needed;
  }

  async #open(run: string) {
    await Deno.mkdir(dirname(this.path), { recursive: true });
    const before = await Deno.readTextFile(this.path).catch(() => undefined);
    const file = await Deno.open(this.path, { create: true, append: true, mode: 0o600 });
    if (before && !before.endsWith("\n")) await file.write(this.#encoder.encode("\n"));
    const isNew = before === undefined;
    await this.#write(file, { run });
    return { file, isNew };
  }

  async #write(file: Deno.FsFile, line: Line): Promise<void> {
    await file.write(this.#encoder.encode(`${JSON.stringify(line)}\n`));
  }
}

/** Where they go unless somebody says where: the user's folder for what programs keep, which no checkout is. */
export function defaultRollbackPath(env: Record<string, string | undefined>): string {
  const home = env.XDG_STATE_HOME || (env.HOME && join(env.HOME, ".local/state"));
  if (!home) {
    throw new UsageError("--rollback-file is needed: there is neither HOME nor XDG_STATE_HOME.");
  }
  const time = new Date().toISOString().replaceAll(":", "-");
  return join(home, "stowage/imports", `${time}.rollback.jsonl`);
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
  const lines = await readLines(path);
  const report: RollbackReport = { removed: 0, gone: 0 };
  for (const { run, version_id } of lines) {
    if (version_id === undefined) continue;
    if (await takeBack(service, version_id, run)) report.removed++;
    else report.gone++;
  }
  for (const run of new Set(lines.map((line) => line.run))) {
    while (true) {
      const data = answered(
        await service.from("package_versions").select("id").eq("import_run", run).limit(100),
      );
      if (data.length === 0) break;
      for (const { id } of data) if (await takeBack(service, id, run)) report.removed++;
    }
  }
  return report;
}

async function readLines(path: string): Promise<Line[]> {
  const text = await Deno.readTextFile(path).catch((error) => {
    throw new CommandError(`${path} cannot be read: ${error.message}`);
  });
  const lines: Line[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const read = lineOf(line);
    if (read) lines.push(read);
    // A kill may have cut a line short; what it was to name is found by its run.
    else if (line !== "" && !'{"run":"'.startsWith(line.slice(0, 8))) {
      throw new CommandError(`${path}: line ${index + 1} is not one of a rollback file.`);
    }
  }
  if (lines.length === 0) {
    throw new CommandError(`${path} is no rollback file: it names no import.`);
  }
  return lines;
}

function lineOf(text: string): Line | undefined {
  try {
    const line = JSON.parse(text);
    return typeof line?.run === "string" ? line : undefined;
  } catch {
    return undefined;
  }
}
