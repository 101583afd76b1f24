/** Files that are made from something else: written anew, or with `--check` compared with what is there. */
import { projectPath } from "../stack/project.ts";

/** The one option of every generator. */
export const CHECK = { check: { type: "boolean", default: false } } as const;

const checking = Deno.args.includes("--check");

/** Writes the file, or with `--check` lets the process end with 1 if it is not what it would be written as. */
export async function writeGenerated(path: string, content: string): Promise<void> {
  const target = projectPath(path);
  const present = await Deno.readTextFile(target).catch(() => undefined);
  if (present === content) {
    console.log(`${path} is up to date`);
    return;
  }
  if (checking) {
    console.error(`${path} is out of date: run npm run generate, and commit what it writes`);
    Deno.exitCode = 1;
    return;
  }
  await Deno.writeTextFile(target, content);
  console.log(`${path} written`);
}
