/**
 * The standard library's assertions, with types.
 *
 * The npm package that carries the Deno standard library ships JavaScript only, so its parameters
 * have no types and look required. This is the one place where they are given back.
 */
import { assertAlmostEquals as almostEquals } from "@std/assert/almost_equals.js";
import { assertArrayIncludes as arrayIncludes } from "@std/assert/array_includes.js";
import { assert as isTrue } from "@std/assert/assert.js";
import { AssertionError } from "@std/assert/assertion_error.js";
import { assertEquals as equals } from "@std/assert/equals.js";
import { assertExists as exists } from "@std/assert/exists.js";
import { fail as failed } from "@std/assert/fail.js";
import { assertFalse as isFalse } from "@std/assert/false.js";
import { assertGreater as greater } from "@std/assert/greater.js";
import { assertGreaterOrEqual as greaterOrEqual } from "@std/assert/greater_or_equal.js";
import { assertInstanceOf as instanceOf } from "@std/assert/instance_of.js";
import { assertLess as less } from "@std/assert/less.js";
import { assertLessOrEqual as lessOrEqual } from "@std/assert/less_or_equal.js";
import { assertMatch as match } from "@std/assert/match.js";
import { assertNotEquals as notEquals } from "@std/assert/not_equals.js";
import { assertNotMatch as notMatch } from "@std/assert/not_match.js";
import { assertObjectMatch as objectMatch } from "@std/assert/object_match.js";
import { assertRejects as rejects } from "@std/assert/rejects.js";
import { assertStrictEquals as strictEquals } from "@std/assert/strict_equals.js";
import { assertStringIncludes as stringIncludes } from "@std/assert/string_includes.js";
import { assertThrows as throws } from "@std/assert/throws.js";

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

interface Throws<Returned, Result> {
  (run: () => Returned, message?: string): Result;
}

export { AssertionError };

export const assert: (condition: unknown, message?: string) => asserts condition = isTrue;
export const assertFalse: (condition: unknown, message?: string) => asserts condition is false =
  isFalse;
export const assertExists: <T>(
  actual: T,
  message?: string,
) => asserts actual is NonNullable<T> = exists;
export const assertEquals: <T>(actual: T, expected: T, message?: string) => void = equals;
export const assertNotEquals: <T>(actual: T, expected: T, message?: string) => void = notEquals;
export const assertStrictEquals: <T>(
  actual: unknown,
  expected: T,
  message?: string,
) => asserts actual is T = strictEquals;
export const assertAlmostEquals: (
  actual: number,
  expected: number,
  tolerance?: number,
  message?: string,
) => void = almostEquals;
export const assertGreater: <T>(actual: T, expected: T, message?: string) => void = greater;
export const assertGreaterOrEqual: <T>(actual: T, expected: T, message?: string) => void =
  greaterOrEqual;
export const assertLess: <T>(actual: T, expected: T, message?: string) => void = less;
export const assertLessOrEqual: <T>(actual: T, expected: T, message?: string) => void = lessOrEqual;
export const assertMatch: (actual: string, expected: RegExp, message?: string) => void = match;
export const assertNotMatch: (actual: string, expected: RegExp, message?: string) => void =
  notMatch;
export const assertStringIncludes: (actual: string, expected: string, message?: string) => void =
  stringIncludes;
export const assertArrayIncludes: <T>(
  actual: ArrayLike<T>,
  expected: ArrayLike<T>,
  message?: string,
) => void = arrayIncludes;
export const assertObjectMatch: (
  // deno-lint-ignore no-explicit-any
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  message?: string,
) => void = objectMatch;
export const assertInstanceOf: <E extends Error>(
  actual: unknown,
  expected: ErrorClass<E>,
  message?: string,
) => asserts actual is E = instanceOf;

/** Fails always, with the message. */
export const fail: (message?: string) => never = failed as never;

/** Asserts that `run` throws an `E` whose message contains `includes`; returns what was thrown. */
export const assertThrows:
  & Throws<unknown, unknown>
  & (<E extends Error = Error>(
    run: () => unknown,
    errorClass: ErrorClass<E>,
    includes?: string,
    message?: string,
  ) => E) = throws as never;

/** Asserts that `run` rejects with an `E` whose message contains `includes`; returns the reason. */
export const assertRejects:
  & Throws<PromiseLike<unknown>, Promise<unknown>>
  & (<E extends Error = Error>(
    run: () => PromiseLike<unknown>,
    errorClass: ErrorClass<E>,
    includes?: string,
    message?: string,
  ) => Promise<E>) = rejects as never;
