import {
  assert,
  assertEquals,
  assertExists,
  AssertionError,
  assertRejects,
  assertThrows,
  fail,
} from "./assert.ts";

Deno.test("a failed assertion throws an AssertionError", () => {
  assertThrows(() => assertEquals([1], [2]), AssertionError, "not equal");
  assertThrows(() => assert(0), AssertionError);
  assertThrows(() => fail("told so"), AssertionError, "told so");
});

Deno.test("assertExists narrows, and assertRejects returns the reason", async () => {
  const value: string | undefined = ["a"].at(0);
  assertExists(value);
  assertEquals(value.length, 1);
  const reason = await assertRejects(() => Promise.reject(new TypeError("odd")), TypeError, "odd");
  assertEquals(reason.message, "odd");
});
