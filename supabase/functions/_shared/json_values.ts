import type { Mistake } from "./errors.ts";
import { MAX_JSON_BODY_DEPTH } from "./limits.ts";
import { mistake } from "./mistakes.ts";

type Path = (string | number)[];

/** A mistake, and the place it is at in full. */
export type Misplaced = Mistake & { at: Path };

/** How much of a path is shown: the keys are the caller's, and may be of any length. */
const SHOWN_KEYS = 8;
const SHOWN_KEY_LENGTH = 64;

/**
 * What no schema says, and the database does not take: the first text with NUL or half a surrogate pair in a JSON value,
 * the first number past what numbers hold, or the first place that is nested too deep; and the key `__proto__`, which would
 * get lost on the way, or do harm at its end. Does not recurse.
 */
export function findUnstorable(value: unknown): Misplaced | undefined {
  const waiting: { value: unknown; path: Path }[] = [{ value, path: [] }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { value, path } = next;
    const message = typeof value === "string" ? refuseText(value) : refuseNumber(value);
    if (message) return misplaced("invalid_value", path, message);
    if (typeof value !== "object" || value === null) continue;
    if (path.length >= MAX_JSON_BODY_DEPTH) {
      const message = `nests more than ${MAX_JSON_BODY_DEPTH} deep.`;
      return misplaced("too_deep", path, message);
    }
    const isArray = Array.isArray(value);
    for (const [key, child] of Object.entries(value)) {
      const message = refuseKey(key);
      if (message) return misplaced("invalid_key", path, `A key ${message}`);
      waiting.push({ value: child, path: [...path, isArray ? Number(key) : key] });
    }
  }
}

/** Whoever copies such a key into an object changes what the object is. */
function refuseKey(key: string): string | undefined {
  return key === "__proto__" ? "must not be __proto__." : refuseText(key);
}

/** Why a text cannot be stored, as the end of a sentence. */
export function refuseText(text: string): string | undefined {
  if (text.includes("\0")) return "must not contain the character NUL.";
  if (!text.isWellFormed()) return "must be well-formed Unicode.";
}

function refuseNumber(value: unknown): string | undefined {
  if (typeof value === "number" && !Number.isFinite(value)) return "is a number out of range.";
}

function misplaced(code: string, at: Path, message: string): Misplaced {
  return { ...mistake(code, shown(at), message), at };
}

function shown(path: Path): Path {
  return path.slice(0, SHOWN_KEYS).map((key) =>
    typeof key === "string" ? key.slice(0, SHOWN_KEY_LENGTH).toWellFormed() : key
  );
}
