/**
 * Reads what an app wants installed in a process of its own: its files are hostile, a lockfile of a few megabytes takes minutes and
 * gigabytes to read if it is made for that, and this process has other runs to look after. Also that process's program: the
 * question as JSON in its input, the answer in its output.
 */
import { fileURLToPath } from "node:url";
import { AppError } from "../definition.ts";
import { findProgram } from "../sandbox/runtimes.ts";
import { type Project, readProject, type Wanted } from "./project.ts";

interface Question {
  appDir: string;
  wanted: Wanted;
  pnpmVersion: string;
}

type Answer = { project: Project } | { refused: string };

const SECONDS = 60;
const HEAP_MEGABYTES = 512;
/** With what setpriv ends when it cannot start a program, or does not find it. */
const NOT_STARTED = [126, 127];
const PROJECT = fileURLToPath(new URL("../../..", import.meta.url));

/**
 * @param pnpmVersion the one that would be used
 * @throws AppError that names the file and what is wrong with it
 */
export async function readProjectApart(
  appDir: string,
  { packageManager, dependencies }: Wanted,
  pnpmVersion: string,
  signal: AbortSignal,
): Promise<Project> {
  const question: Question = { appDir, wanted: { packageManager, dependencies }, pnpmVersion };
  const limit = AbortSignal.timeout(SECONDS * 1000);
  const [program, ...first] = [...await (endingWithThis ??= findEndingWithThis()), Deno.execPath()];
  const child = new Deno.Command(program, {
    args: [
      ...first,
      ...["run", "--quiet", "--no-prompt", "--no-lock", "--allow-read", "--allow-env"],
      ...[`--v8-flags=--max-old-space-size=${HEAP_MEGABYTES}`, fileURLToPath(import.meta.url)],
    ],
    cwd: PROJECT,
    clearEnv: true,
    // Where this process has its own cache; nothing else of the environment.
    env: { HOME: Deno.env.get("HOME") ?? "/", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    signal: AbortSignal.any([signal, limit]),
  }).spawn();
  const asked = ReadableStream.from([JSON.stringify(question)]).pipeThrough(new TextEncoderStream())
    .pipeTo(child.stdin).catch(() => {});
  const [{ success, code, signal: endedBy, stdout }] = await Promise.all([child.output(), asked]);
  signal.throwIfAborted();
  if (!limit.aborted && (endedBy === "SIGKILL" || endedBy === "SIGTERM")) {
    // Not the app's doing: V8 ends otherwise when memory runs out.
    throw new Error(`package.json and the lockfile were not read: ${endedBy}`);
  }
  if (NOT_STARTED.includes(code)) {
    throw new Error(`package.json and the lockfile were not read: ${program} ended with ${code}`);
  }
  if (!success) {
    throw new AppError(
      "package.json or the lockfile is refused: it takes too much time or memory to read.",
    );
  }
  const answer: Answer = JSON.parse(new TextDecoder().decode(stdout));
  if ("refused" in answer) throw new AppError(answer.refused);
  return answer.project;
}

let endingWithThis: Promise<string[]> | undefined;

/** The words before a command that is to end with this process, since nobody else would end it; none where that cannot be had. */
async function findEndingWithThis(): Promise<string[]> {
  const setpriv = findProgram("setpriv");
  if (!setpriv) return [];
  const args = ["--pdeathsig", "KILL", "--"];
  // Not every setpriv knows the option.
  const tried = await new Deno.Command(setpriv, { args: [...args, "true"], stdin: "null" })
    .output().catch(() => null);
  return tried?.success ? [setpriv, ...args] : [];
}

if (import.meta.main) {
  const { appDir, wanted, pnpmVersion }: Question = await new Response(Deno.stdin.readable).json();
  let answer: Answer;
  try {
    answer = { project: await readProject(appDir, wanted, pnpmVersion) };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    answer = { refused: error.message };
  }
  await new Blob([JSON.stringify(answer)]).stream().pipeTo(Deno.stdout.writable);
}
