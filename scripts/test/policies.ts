/** `npm run test:policies`: are there tests for every policy? */
import { runCommand } from "../command/command.ts";
import { availableCopies, copyDatabase } from "./database/copies.ts";
import { loadTestFiles, type TestFile } from "./database/files.ts";
import { listMutants, type Mutant } from "./database/mutants.ts";
import { withoutTransaction } from "./database/script.ts";
import { startTapDatabase } from "./database/server.ts";
import { openSession, type Session } from "./database/session.ts";
import { type FileResult, judge } from "./database/tap.ts";

/** Says what policies there must be, and would hide that behaviour goes untested. */
const STRUCTURE = "01_structure.test.sql";
/** The one that notices most, so it goes first. */
const MATRIX = "02_access.test.sql";

/** Runs the file inside the session's transaction, and takes back what it did. */
async function runInside(session: Session, file: TestFile): Promise<FileResult> {
  const text = withoutTransaction(file.script.text);
  await session.query("savepoint test_file");
  const outcome = await session.run({ text, locate: file.script.locate });
  await session.query("rollback to savepoint test_file");
  return judge(outcome);
}

/** The name of the first file that notices the mutant; nothing if it survives. */
async function findKiller(
  session: Session,
  mutant: Mutant,
  files: TestFile[],
): Promise<string | undefined> {
  await session.query("begin");
  try {
    await session.query(mutant.sql);
    // The cases of the table alone notice nearly everything, in a fraction of the time.
    await session.query("select set_config('stowage_tests.relation', $1, true)", [mutant.table]);
    const matrix = files.find(({ name }) => name === MATRIX);
    if (matrix && (await runInside(session, matrix)).failed > 0) return matrix.name;
    await session.query("select set_config('stowage_tests.relation', '', true)");
    for (const file of files) {
      if ((await runInside(session, file)).failed > 0) return file.name;
    }
    return undefined;
  } finally {
    await session.query("rollback");
  }
}

/** Tests that fail anyway would notice everything. */
async function requireGreen(session: Session, files: TestFile[]): Promise<void> {
  await session.query("begin");
  for (const file of files) {
    const { failures } = await runInside(session, file);
    if (failures.length > 0) {
      throw new Error(`${file.name} fails without any change:\n${failures.join("\n")}`);
    }
  }
  await session.query("rollback");
}

const COMMAND = {
  name: "test:policies",
  usage: "[NAME…]",
  help: `
Drops each policy in turn, and replaces each of its conditions by true, and runs the database tests on what is left. A change
that no test notices survives, and is a failure: either the policy is not needed, or a test is missing.

  NAME…   only policies whose names contain one of these`,
  options: {},
  words: true,
} as const;

await runCommand(COMMAND, async ({ words: names }) => {
  const all = await loadTestFiles();
  const files = all.filter(({ name }) => name !== STRUCTURE)
    .toSorted((a, b) => Number(b.name === MATRIX) - Number(a.name === MATRIX));
  const started = performance.now();
  const database = await startTapDatabase();
  try {
    // Changing a policy locks its table, so that each worker needs a database of its own.
    const urls = [database.url];
    for (let copy = 1; copy < availableCopies(); copy++) {
      urls.push(await copyDatabase(database.url, `copy_${copy}`));
    }
    const sessions = await Promise.all(urls.map(openSession));
    try {
      await requireGreen(sessions[0], files);
      const mutants = (await listMutants(sessions[0])).filter(({ policy }) =>
        names.length === 0 || names.some((name) => policy.includes(name))
      );
      const survivors: Mutant[] = [];
      const kills = new Map<string, number>();
      const queue = [...mutants];
      await Promise.all(sessions.map(async (session) => {
        for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
          const killer = await findKiller(session, mutant, files);
          if (killer) kills.set(killer, (kills.get(killer) ?? 0) + 1);
          else {
            survivors.push(mutant);
            console.log(`✗ survived: ${mutant.policy}: ${mutant.change}`);
          }
        }
      }));
      for (const [name, count] of [...kills].sort()) {
        console.log(`✓ ${name.padEnd(34)}${String(count).padStart(5)} changes noticed`);
      }
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      console.log(`\n${mutants.length} changes of policies in ${seconds} s`);
      console.log(`${mutants.length - survivors.length} passed, ${survivors.length} failed`);
      return survivors.length === 0 && mutants.length > 0 ? 0 : 1;
    } finally {
      await Promise.all(sessions.map((session) => session.close()));
    }
  } finally {
    await database.stop();
  }
});
