/** What a test file's TAP says. */
import { Parser } from "tap-parser";
import type { ScriptOutcome } from "./session.ts";

export interface FileResult {
  passed: number;
  failed: number;
  /** Each failure in full: the test's line and its diagnostics, or what is wrong with the file. */
  failures: string[];
}

/** Counts tests; a wrong plan, an error and a file without tests are failures of their own. */
export function judge(outcome: ScriptOutcome): FileResult {
  const parser = new Parser();
  let passed = 0;
  parser.on("assert", (assert: { ok: boolean }) => passed += assert.ok ? 1 : 0);
  parser.end(`${outcome.output}\n`);
  const failures = failedTests(outcome.output);
  if (outcome.error) {
    failures.push(outcome.error);
  } else if (!parser.results?.plan || parser.results.plan.end === null) {
    failures.push("The file has no plan.");
  } else if (parser.results.count !== parser.results.plan.end) {
    failures.push(`Planned ${parser.results.plan.end} tests but ran ${parser.results.count}.`);
  } else if (parser.results.count === 0) {
    failures.push("The file has no tests.");
  } else if (!parser.results.ok && failures.length === 0) {
    failures.push(`The output is not valid TAP: ${JSON.stringify(parser.results.failures)}`);
  }
  return { passed, failed: failures.length, failures };
}

function failedTests(output: string): string[] {
  const failures: string[] = [];
  let inFailure = false;
  for (const line of output.split("\n")) {
    if (/^not ok\b/.test(line)) {
      failures.push(line);
      inFailure = true;
    } else if (inFailure && line.startsWith("#") && !/^# Looks like/.test(line)) {
      failures[failures.length - 1] += `\n${line}`;
    } else {
      inFailure = false;
    }
  }
  return failures;
}
