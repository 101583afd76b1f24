/** Runs a trivial app with each runtime, so that what is missing on this host shows before a run is claimed. */
import { join } from "node:path";
import { limitsOf } from "./limits.ts";
import type { RuntimeVersions, Sandbox } from "./types.ts";

const TIMEOUT_SECONDS = 30;
const APP = "console.log('works on', globalThis.Deno?.version.deno ?? process.versions.node);";

/**
 * @returns the versions of the runtimes, as they say themselves
 * @throws Error that says which runtime failed and how
 */
export async function tryOut(sandbox: Sandbox, workDir: string): Promise<RuntimeVersions> {
  const versions: RuntimeVersions = { node: "", deno: "" };
  for (const runtime of ["node", "deno"] as const) {
    const dir = await Deno.makeTempDir({ dir: workDir, prefix: "check-" });
    try {
      await Deno.chmod(dir, Deno.uid() === 0 ? 0o711 : 0o700);
      const [app, output, scratch] = ["app", "output", "scratch"].map((name) => join(dir, name));
      for (const path of [app, output, scratch]) await Deno.mkdir(path);
      await Deno.writeTextFile(join(app, "index.js"), APP);
      await Deno.writeTextFile(join(dir, "config.json"), "{}");
      const text = { stdout: "", stderr: "" };
      const decoder = new TextDecoder();
      const outcome = await sandbox.run({
        id: crypto.randomUUID(),
        runtime,
        appDir: app,
        entrypoint: "index.js",
        configFile: join(dir, "config.json"),
        outputDir: output,
        scratchDir: scratch,
        env: {},
        limits: { ...limitsOf({}), timeoutSeconds: TIMEOUT_SECONDS },
        stdout: (chunk) => void (text.stdout += decoder.decode(chunk)),
        stderr: (chunk) => void (text.stderr += decoder.decode(chunk)),
      }, new AbortController().signal);
      const [, version] = /^works on (\S+)\n$/.exec(text.stdout) ?? [];
      if (outcome.kind !== "exited" || outcome.code !== 0 || version === undefined) {
        throw new Error(
          `a trial with ${runtime} ended with ${JSON.stringify(outcome)}: ${text.stderr.trim()}`,
        );
      }
      versions[runtime] = version;
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  }
  return versions;
}
