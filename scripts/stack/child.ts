/** Programs that run to their end while the stack starts. */

/**
 * Runs the program in a session of its own: a terminal's Ctrl-C goes to all of its group, and would end in the middle what
 * this process wants to stop in good order. It does not outlive this process where that ends by itself.
 */
export async function runApart(
  program: string,
  options: Omit<Deno.CommandOptions, "detached" | "stdin" | "stdout" | "stderr">,
): Promise<Deno.CommandOutput> {
  const child = new Deno.Command(program, {
    ...options,
    detached: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const end = () => {
    try {
      // The whole group: the program may be a launcher of another.
      Deno.kill(-child.pid, "SIGTERM");
    } catch {
      // It has ended already.
    }
  };
  addEventListener("unload", end);
  try {
    return await child.output();
  } finally {
    removeEventListener("unload", end);
  }
}
