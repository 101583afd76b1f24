/** Files that are made from something else: written anew, or with `--check` compared with what is there. */
import { projectPath } from "../stack/project.ts";

export const checking = Deno.args.includes("--check");

/** Writes the file, or with `--check` exits with 1 if it is not what it would be written as. */
export async function writeGenerated(path: string, content: string): Promise<void> {
  const target = projectPath(path);
  const present = await Deno.readTextFile(target).catch(() => undefined);
  if (present === content) {
    console.log(`${path} is up to date`);
    return;
  }
  if (checking) {
    console.error(`${path} is out of date: run npm run generate, and commit what it writes`);
    Deno.exit(1);
  }
  await Deno.writeTextFile(target, content);
  console.log(`${path} written`);
}
