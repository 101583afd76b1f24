/**
 * An executor whose sandbox is made of nothing: apps are a moment of waiting, so that thousands of runs cost little. All else is
 * what `npm run executor` is made of. Configured like it, but for --sandbox.
 */
import { join } from "node:path";
import { readConfig } from "../config.ts";
import { Executor } from "../executor.ts";
import { createLogger } from "../log.ts";
import type { Outcome, Sandbox, SandboxSpec } from "../sandbox/types.ts";
import { openWorkDir } from "../work_dir.ts";

const LONGEST_MS = 40;

class NoSandbox implements Sandbox {
  readonly name = "none";
  readonly isolating = false;
  readonly versions = { node: "20.0.0", deno: "2.0.0" };

  check() {
    return Promise.resolve({ available: true, unenforced: [], details: {} });
  }

  async run(spec: SandboxSpec, signal: AbortSignal): Promise<Outcome> {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * LONGEST_MS));
    if (signal.aborted) return { kind: "aborted" };
    await spec.stdout(new TextEncoder().encode(`run ${spec.env.STOWAGE_RUN_ID}\n`));
    await Deno.writeTextFile(join(spec.outputDir, "result.json"), JSON.stringify({ id: spec.id }));
    return { kind: "exited", code: 0 };
  }

  close() {
    return Promise.resolve();
  }
}

const config = readConfig(Deno.args, Deno.env.toObject())!;
const log = createLogger(config.logFormat);
const workDir = await openWorkDir(config.workDir);
const executor = new Executor(config, new NoSandbox(), workDir.path, log);
Deno.addSignalListener("SIGTERM", () => executor.stop());
log.info("executor started", { id: config.id });
await executor.run();
await workDir.close();
Deno.exit(0);
