/**
 * `npm test`: everything that can be wrong with this repository, in one command.
 *
 * Each check is a process of its own whose output is passed on. A check that counts says so in its
 * last lines; one that does not counts as a single test. The last line adds all of them up.
 */
import { runCommand } from "../command/command.ts";
import { UsageError } from "../command/errors.ts";
import { PROJECT_DIR } from "../stack/project.ts";

interface Check {
  title: string;
  /** Arguments of Deno, which runs every one of them. */
  args: string[];
}

const SOURCES = ["scripts", "supabase/functions", "examples"];

/** What a folder has in it, but for some. */
function foldersOf(path: string, except: string[]): string[] {
  return [...Deno.readDirSync(`${PROJECT_DIR}/${path}`)]
    .filter(({ name, isDirectory }) => isDirectory && !except.includes(name))
    .map(({ name }) => `${path}/${name}`).toSorted();
}

/** One after the other, but for those in a list of their own: they wait more than they work, and run side by side. */
const CHECKS: (Check | Check[])[] = [
  { title: "format", args: ["fmt", "--check", ...SOURCES] },
  { title: "lint", args: ["lint", ...SOURCES] },
  { title: "types", args: ["check", ...SOURCES] },
  { title: "generated files", args: ["run", "-A", "scripts/generate/main.ts", "--check"] },
  { title: "database", args: ["run", "-A", "scripts/test/db.ts"] },
  { title: "policies", args: ["run", "-A", "scripts/test/policies.ts"] },
  { title: "advisors", args: ["run", "-A", "scripts/test/advisors.ts"] },
  [
    {
      title: "TypeScript",
      args: ["test", "-A", ...foldersOf("scripts", ["executor"]), "supabase/functions"],
    },
    { title: "executor", args: ["test", "-A", "scripts/executor"] },
  ],
];

interface Result {
  passed: number;
  failed: number;
  skipped: number;
}

type Sink = { writeSync(bytes: Uint8Array): unknown };

/** Runs the check, writing what it prints, and counts. */
async function run(check: Check, out: Sink, err: Sink): Promise<Result> {
  const child = new Deno.Command(Deno.execPath(), {
    args: check.args,
    cwd: PROJECT_DIR,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [stdout, , status] = await Promise.all([
    passOn(child.stdout, out),
    passOn(child.stderr, err),
    child.status,
  ]);
  const counted = count(stdout) ?? { passed: status.success ? 1 : 0, failed: 0, skipped: 0 };
  // A check that fails without a failed test (it crashed, or ran none) is a failure all the same.
  if (!status.success && counted.failed === 0) counted.failed = 1;
  return counted;
}

async function passOn(
  from: ReadableStream<Uint8Array>,
  to: Sink,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of from) {
    to.writeSync(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** What the last counting line says: our own form, or Deno's. */
function count(output: string): Result | undefined {
  // deno-lint-ignore no-control-regex -- colours
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const line = plain.split("\n").findLast((line) => /\b\d+ passed\b.*\b\d+ failed\b/.test(line));
  if (!line) return undefined;
  const number = (what: RegExp) => Number(line.match(what)?.[1] ?? 0);
  return {
    passed: number(/(\d+) passed/),
    failed: number(/(\d+) failed/),
    skipped: number(/(\d+) (?:ignored|skipped)/),
  };
}

const total: Result = { passed: 0, failed: 0, skipped: 0 };
const summary: string[] = [];

/** Runs the check and adds it up. Not at once passed on, its output comes in one piece at the end. */
async function runAndCount(check: Check, atOnce: boolean): Promise<void> {
  const heading = `\n── ${check.title}: deno ${check.args.join(" ")}`;
  if (atOnce) console.log(heading);
  const kept: Uint8Array[] = [];
  const later: Sink = { writeSync: (bytes) => kept.push(bytes.slice()) };
  const started = performance.now();
  const result = await run(check, atOnce ? Deno.stdout : later, atOnce ? Deno.stderr : later);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (!atOnce) console.log(heading + "\n" + await new Blob(kept as BlobPart[]).text());
  // Skipping is for machines that lack something; the one that decides lacks nothing.
  if (Deno.env.get("CI")) result.failed += result.skipped;
  total.passed += result.passed;
  total.failed += result.failed;
  total.skipped += result.skipped;
  summary.push(
    `${result.failed ? "✗" : "✓"} ${check.title.padEnd(16)} ${
      String(result.passed).padStart(5)
    } ok` +
      `${result.failed ? `, ${result.failed} not` : ""}, ${seconds} s`,
  );
}

const COMMAND = {
  name: "test",
  usage: "[CHECK…]",
  help: `
Everything that can be wrong with this repository, or only the checks that are named (in quotes where they have a space):
${CHECKS.flat().map(({ title }) => `  ${title}`).join("\n")}`,
  options: {},
  words: true,
};

await runCommand(COMMAND, async ({ words: only }) => {
  const unknown = only.find((name) => !CHECKS.flat().some(({ title }) => title === name));
  if (unknown !== undefined) throw new UsageError(`There is no check ${unknown}.`);
  for (const entry of CHECKS) {
    const checks = [entry].flat().filter(({ title }) => only.length === 0 || only.includes(title));
    await Promise.all(checks.map((check, index) => runAndCount(check, index === 0)));
  }
  console.log(`\n${summary.join("\n")}\n`);
  const skipped = total.skipped ? `, ${total.skipped} skipped` : "";
  console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
});
