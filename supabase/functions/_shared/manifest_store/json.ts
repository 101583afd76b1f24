/**
 * Documents as the store takes and gives them: plain JSON, copied, with the keys of every object in one order.
 *
 * What Postgres's jsonb cannot hold (NUL, half a surrogate pair) and what JSON text loses silently (functions, NaN, dates) is
 * refused by every backend, so that what was stored is what is read, whichever of them stored it.
 */
import type { Mistake } from "../errors.ts";
import { refuseText } from "../json_values.ts";
import { mistake } from "../mistakes.ts";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The deepest nesting of a document, which GTypes of GTypes reach first. */
export const MAX_DOCUMENT_DEPTH = 64;

/** The values in a document, and its text in UTF-8. */
export const MAX_DOCUMENT_VALUES = 50_000;
export const MAX_DOCUMENT_BYTES = 256 * 1024;

export type Copied = { ok: true; copy: Json } | { ok: false; mistakes: Mistake[] };

class NotPlain extends Error {
  constructor(readonly mistake: Mistake) {
    super(mistake.message);
  }
}

/**
 * A deep copy, or what is wrong first. Properties that are `undefined` are left out, as JSON text does it.
 */
export function copyPlain(value: unknown): Copied {
  try {
    const copy = copyValue(value, [], { values: 0 });
    const bytes = new TextEncoder().encode(JSON.stringify(copy)).length;
    if (bytes > MAX_DOCUMENT_BYTES) {
      throw refuse("too_big", [], `A document has ${MAX_DOCUMENT_BYTES} bytes of JSON at most.`);
    }
    return { ok: true, copy };
  } catch (error) {
    if (error instanceof NotPlain) return { ok: false, mistakes: [error.mistake] };
    throw error;
  }
}

/** The same value with the keys of every object in order, for documents that come from where order is lost. */
export function inOrder(value: Json): Json {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(keysOf(value).map((key) => [key, inOrder(value[key])]));
}

function keysOf(value: object): string[] {
  return Object.keys(value).sort(byCodeUnit);
}

export function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function refuse(code: string, path: PropertyKey[], message: string): NotPlain {
  return new NotPlain(mistake(code, path, message));
}

function copyValue(value: unknown, path: PropertyKey[], seen: { values: number }): Json {
  if (++seen.values > MAX_DOCUMENT_VALUES) {
    throw refuse("too_big", [], `A document has ${MAX_DOCUMENT_VALUES} values at most.`);
  }
  if (path.length > MAX_DOCUMENT_DEPTH) {
    // The place itself is too long to be told.
    throw refuse("too_deep", path.slice(0, 3), `must nest ${MAX_DOCUMENT_DEPTH} deep at most`);
  }
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") return requireText(value, path);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw refuse("not_json", path, "must be a finite number");
    return value;
  }
  if (Array.isArray(value)) {
    return Array.from(value, (item, index) => copyValue(item, [...path, index], seen));
  }
  if (typeof value === "object" && isPlain(value)) return copyObject(value, path, seen);
  const kind = value === undefined
    ? "undefined"
    : typeof value === "object"
    ? `a ${value.constructor?.name ?? "object of a class"}`
    : `a ${typeof value}`;
  throw refuse("not_json", path, `must be plain JSON, not ${kind}`);
}

function copyObject(
  value: Record<string, unknown>,
  path: PropertyKey[],
  seen: { values: number },
): Json {
  const copy: { [key: string]: Json } = {};
  for (const key of keysOf(value)) {
    const at = [...path, key];
    requireText(key, at);
    if (key === "__proto__") throw refuse("not_json", at, 'must not be called "__proto__"');
    if (value[key] !== undefined) copy[key] = copyValue(value[key], at, seen);
  }
  return copy;
}

function requireText(text: string, path: PropertyKey[]): string {
  const message = refuseText(text);
  if (message) throw refuse("not_json", path, message);
  return text;
}

function isPlain(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
