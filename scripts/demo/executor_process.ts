/** The executor of the demo: the same program an operator starts, as a process of its own. */
import { chooseSandbox } from "../executor/sandbox/mod.ts";
import { projectPath } from "../stack/project.ts";
import type { Stack } from "../stack/mod.ts";

export interface ExecutorProcess {
  /** Name of the sandbox it uses. */
  sandbox: string;
  /** Why it is not an isolating one, if it is not. */
  warning?: string;
  stop(): Promise<void>;
}

/**
 * Starts an executor with an isolating sandbox; on a machine that has none, with the trusted one,
 * which is enough for this repository's own app and for nothing else.
 */
export async function startExecutor(stack: Stack): Promise<ExecutorProcess> {
  const choice = await chooseSandbox("auto");
  const sandbox = choice.available ? choice.sandbox.name : "trusted";
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      projectPath("scripts/executor/main.ts"),
      "--sandbox",
      sandbox,
      "--poll-interval",
      "200",
    ],
    env: { SUPABASE_URL: stack.apiUrl, SUPABASE_SECRET_KEY: stack.secretKey },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    sandbox,
    warning: choice.available ? undefined : choice.reason,
    async stop() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
