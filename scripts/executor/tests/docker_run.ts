/** Runs a fixture app in a container, as a program of its own: engine and options as JSON in, result as JSON out. */
import { DockerSandbox } from "../sandbox/docker.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import { execute, type RunOptions } from "./run_app.ts";

const { host, options }: { host: string; options: RunOptions } = JSON.parse(Deno.args[0]);
const runtimes = locateRuntimes();
if (typeof runtimes === "string") throw new Error(runtimes);
const workDir = await Deno.makeTempDir({ prefix: "stowage test " });
await Deno.chmod(workDir, Deno.uid() === 0 ? 0o711 : 0o700);
const sandbox = new DockerSandbox({ workDir, runtimes, host });
try {
  const { available, problem } = await sandbox.check();
  if (!available) throw new Error(problem);
  console.log(JSON.stringify(await execute(sandbox, workDir, options)));
} finally {
  await sandbox.close();
  await Deno.remove(workDir, { recursive: true });
}
