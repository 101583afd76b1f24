/** Removes what an app may have written, however it made it: closed to its owner, or deeper than a process can follow. */

export async function removeTree(path: string): Promise<void> {
  try {
    return await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
  }
  // These two follow no links, and any depth.
  await run("chmod", ["-R", "u+rwX", "--", path]);
  const problem = await run("rm", ["-rf", "--", path]);
  if (problem !== null) throw new Error(`${path} cannot be removed: ${problem}`);
}

async function run(program: string, args: string[]): Promise<string | null> {
  const { success, stderr } = await new Deno.Command(program, {
    args,
    stdout: "null",
    stderr: "piped",
  }).output();
  return success ? null : new TextDecoder().decode(stderr).slice(0, 500).trim();
}
