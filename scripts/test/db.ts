/** `npm run test:db`: runs the pgTAP files in supabase/tests/database. */
import { runCommand } from "../command/command.ts";
import { CommandError, UsageError } from "../command/errors.ts";
import { loadTestFiles, type TestFile } from "./database/files.ts";
import { startTapDatabase } from "./database/server.ts";
import { openSession, type Session } from "./database/session.ts";
import { type FileResult, judge } from "./database/tap.ts";

const COMMAND = {
  name: "test:db",
  usage: "[--db-url URL] [FILE…]",
  help: `
Runs the pgTAP files in supabase/tests/database. Without psql and Docker, but as "supabase test db" would: each file whole,
in the transaction that it opens and rolls back.

  --db-url URL   test this database (migrated already; nothing stays in it) instead of one of our own
  FILE…          only files whose name contains one of these

Exit codes: 0 all passed; 1 something failed; 2 nothing could be tested.`,
  options: { "db-url": { type: "string" } },
  words: true,
  failed: 2,
} as const;

/** Files run side by side, and some alter tables: Postgres may end one, which then runs again. */
const DEADLOCK = "40P01";
const MAX_DEADLOCKS = 3;

async function runFile(session: Session, file: TestFile, deadlocks = 0): Promise<FileResult> {
  const outcome = await session.run(file.script);
  if (outcome.code === DEADLOCK && deadlocks < MAX_DEADLOCKS) {
    await session.query("rollback");
    return await runFile(session, file, deadlocks + 1);
  }
  const result = judge(outcome);
  const complain = (message: string) => {
    result.failures.push(message);
    result.failed++;
  };
  if (outcome.commands.includes("COMMIT")) complain("The file commits: it must end in rollback.");
  if (session.inTransaction()) {
    if (!outcome.error) complain("The file does not end its transaction.");
    await session.query("rollback");
  }
  return result;
}

function report(file: TestFile, result: FileResult, seconds: number): void {
  const counts = `${String(result.passed).padStart(5)} passed` +
    (result.failed ? `, ${result.failed} failed` : "");
  console.log(
    `${result.failed ? "✗" : "✓"} ${file.name.padEnd(34)}${counts}  ${seconds.toFixed(1)} s`,
  );
  for (const failure of result.failures) console.log(failure.replace(/^/gm, "    "));
}

/** Runs the files, several at a time, and returns the sums. */
async function runAll(url: string, files: TestFile[]): Promise<{ passed: number; failed: number }> {
  const sum = { passed: 0, failed: 0 };
  const queue = [...files];
  const work = async (session: Session) => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const started = performance.now();
      const result = await runFile(session, file);
      report(file, result, (performance.now() - started) / 1000);
      sum.passed += result.passed;
      sum.failed += result.failed;
    }
  };
  const first = await openSession(url).catch((error) => {
    throw new CommandError(`${placeOf(url)} cannot be used: ${error.message || error.code}`);
  });
  const sessions = [first];
  try {
    // Two transactions cannot both create an extension: the second waits for the first's end.
    const [{ ready }] = await first.query(
      "select exists (select from pg_extension where extname = 'pgtap') as ready",
    );
    const wanted = ready ? Math.min(navigator.hardwareConcurrency, files.length) : 1;
    while (sessions.length < wanted) sessions.push(await openSession(url));
    await Promise.all(sessions.map(work));
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
  return sum;
}

/** The server of a connection string, without the password in it. */
function placeOf(url: string): string {
  return URL.canParse(url) ? `The database at ${new URL(url).host || "localhost"}` : "The database";
}

await runCommand(COMMAND, async ({ values, words }) => {
  const files = await loadTestFiles(words);
  if (files.length === 0) throw new UsageError(`No test file is called ${words.join(" or ")}.`);
  const given = values["db-url"];
  if (given !== undefined && !/^postgres(ql)?:\/\/./.test(given)) {
    throw new UsageError(
      "--db-url takes a connection string: postgresql://user:password@host:port/name.",
    );
  }
  const database = given === undefined ? await startTapDatabase() : undefined;
  try {
    const { passed, failed } = await runAll(given ?? database!.url, files);
    console.log(`\n${passed} passed, ${failed} failed`);
    return failed === 0 ? 0 : 1;
  } finally {
    await database?.stop();
  }
});
