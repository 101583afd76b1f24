import { assertEquals, assertThrows } from "../../testing/assert.ts";
import { AppError } from "../../../supabase/functions/_shared/errors.ts";
import { readOptions, wholeNumber } from "../command.ts";
import { CommandError, explain, UsageError } from "../errors.ts";

Deno.test("only what somebody can act on becomes a line; a bug keeps its stack", () => {
  assertEquals(explain(new CommandError("Set it.")), "Set it.");
  assertEquals(explain(new TypeError("x is not a function")), undefined);
  assertEquals(explain(new Deno.errors.NotFound("x")), undefined);
  assertEquals(explain(undefined), undefined);
  const answer = { message: "bad\nworse", code: "22023", details: null, hint: null };
  assertEquals(explain(answer), "the project answers: bad (22023)");
  assertEquals(
    explain({ message: "Invalid API key", hint: "…" }),
    "the project refuses the key in SUPABASE_SECRET_KEY: Invalid API key",
  );
  const unreachable = { message: "ConnectionError: no connection to http://x: refused", code: "" };
  assertEquals(explain(unreachable), "no connection to http://x: refused");
  // The functions' errors keep to themselves what only the operator may know; here is the operator.
  const hidden = new AppError("unavailable", undefined, { cause: unreachable });
  assertEquals(explain(hidden), "no connection to http://x: refused");
  assertEquals(explain(new AppError("conflict", "Taken.")), "Taken.");
});

Deno.test("mistakes in options name the option, in the same words everywhere", () => {
  const options = { from: { type: "string" }, dry: { type: "boolean" } } as const;
  const mistakes: [string[], string][] = [
    [["--frm", "x"], "Unknown option '--frm'."],
    [["--from"], "Option '--from' takes a value."],
    [["--from", "--dry"], "Option '--from' takes a value."],
    [["--dry=1"], "Option '--dry' does not take an argument."],
    [["word"], "Unexpected argument 'word'."],
  ];
  for (const [args, message] of mistakes) {
    assertEquals(assertThrows(() => readOptions({ options }, args), UsageError).message, message);
  }
  assertEquals(readOptions({ options, words: true }, ["a", "--from", "b"]).words, ["a"]);
  for (const text of ["", "-1", "1.5", "0", "9", "1e1"]) {
    const { message } = assertThrows(() => wholeNumber("n", text, 1, 8), UsageError);
    assertEquals(message, `--n takes a whole number, from 1 to 8, not ${text}.`);
  }
  assertEquals(wholeNumber("n", "8", 1, 8), 8);
});
