/** What all commands of package.json have in common, seen from outside. */
import { assert, assertEquals, assertMatch, assertRejects } from "../../testing/assert.ts";
import { freePort } from "../../stack/ports.ts";
import { PROJECT_DIR } from "../../stack/project.ts";
import { fetchOrExplain } from "../reach.ts";

const { scripts } = JSON.parse(await Deno.readTextFile(`${PROJECT_DIR}/package.json`)) as {
  scripts: Record<string, string>;
};

/** Runs the script as npm does, but without npm. */
async function run(name: string, ...args: string[]) {
  const [, call] = /^(?:exec )?deno run -A (.+)$/.exec(scripts[name])!;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", ...call.split(" "), ...args],
    cwd: PROJECT_DIR,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

for (const name of Object.keys(scripts)) {
  Deno.test(`${name} explains itself, and refuses an option that it does not have`, async () => {
    const [help, wrong] = await Promise.all([run(name, "--help"), run(name, "--no-such-option")]);
    assertEquals([help.code, help.stderr], [0, ""]);
    const call = ["start", "test"].includes(name) ? `npm ${name}` : `npm run ${name}`;
    assert(help.stdout.startsWith(`Usage: ${call}`), help.stdout);
    assertEquals([wrong.code, wrong.stdout], [2, ""]);
    const [mistake, ...rest] = wrong.stderr.split("\n");
    assert(mistake.startsWith(`${name}: `) && mistake.includes("--no-such-option"), wrong.stderr);
    assertEquals(rest[0], help.stdout.split("\n")[0]);
    assertEquals(/^ +at /m.test(wrong.stderr), false, "a stack");
  });
}

Deno.test("a database that cannot be reached, or that refuses, is one line", async () => {
  const port = freePort("127.0.0.1");
  const { code, stderr } = await run(
    ...["test:db", "--db-url", `postgresql://postgres:secret@127.0.0.1:${port}/postgres`] as const,
  );
  assertEquals(code, 2);
  assertMatch(stderr, /^test:db: The database at 127\.0\.0\.1:\d+ cannot be used: .*REFUSED.*\n$/);
  assert(!stderr.includes("secret"), "the password is not repeated");
});

Deno.test("a connection that cannot be made is explained: which server, and why", async () => {
  const url = `http://127.0.0.1:${freePort("127.0.0.1")}`;
  const error = await assertRejects(() => fetchOrExplain(`${url}/rest/v1/x?select=id`), Error);
  assertMatch(error.message, new RegExp(`^no connection to ${url}: Connection refused`));
  // Whoever ends a call hears of that, and of nothing else.
  const reason = new Error("enough");
  const aborted = await fetchOrExplain(url, { signal: AbortSignal.abort(reason) })
    .catch((error) => error);
  assertEquals(aborted, reason);
});
