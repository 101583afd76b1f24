/** Looks at the file system that take what is not there, or not to be seen, for an answer. */

/** A link that leads nowhere is there. */
export function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** What the folder has in it; nothing if it is none. */
export function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch {
    return [];
  }
}
