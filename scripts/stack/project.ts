/** The checkout that this stack serves. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Absolute path of the repository's root, without a slash at its end. */
export const PROJECT_DIR = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** Absolute path of a file in the repository. */
export function projectPath(...parts: string[]): string {
  return join(PROJECT_DIR, ...parts);
}
