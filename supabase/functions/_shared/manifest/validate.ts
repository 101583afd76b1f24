import type { Mistake } from "../errors.ts";
import { findUnstorable } from "../json_values.ts";
import { MAX_REPORTED_ERRORS } from "../limits.ts";
import { mistake, mistakesOf } from "../mistakes.ts";
import { scopeRefusal } from "./network_scopes.ts";
import { type Manifest, manifestSchema } from "./schema.ts";
import { type ManifestFormat, type ParsedText, parseText } from "./text.ts";

export type ManifestResult = { valid: true; manifest: Manifest } | {
  valid: false;
  errors: Mistake[];
};

/** JSON for `.json` and for JSON media types, YAML for all else. */
export function formatOfName(name: string): ManifestFormat {
  return /\.json$/i.test(name) ? "json" : "yaml";
}

/**
 * Checks the bytes of a manifest: the limits, the syntax, then every rule at once, each mistake with its path and the
 * line and column it stands at. Pure; never throws on any input.
 */
export function validateManifest(bytes: Uint8Array, format: ManifestFormat): ManifestResult {
  const parsed = parseText(bytes, format);
  if (!parsed.ok) return { valid: false, errors: parsed.errors.slice(0, MAX_REPORTED_ERRORS) };
  const { value } = parsed.text;
  const result = manifestSchema.safeParse(value, { reportInput: true });
  const found = [
    ...(result.success ? [] : mistakesOf(result.error.issues)),
    ...missingRuntimes(value),
    ...unusableScopes(value),
    ...twins(value),
    ...(result.success ? unstorable(value) : []),
  ];
  if (result.success && found.length === 0) return { valid: true, manifest: result.data };
  return { valid: false, errors: inOrder(found, parsed.text).slice(0, MAX_REPORTED_ERRORS) };
}

type Found = Mistake & { at: ReadonlyArray<PropertyKey> };

/** The rules between properties. They look at the raw value, so that they are reported along with all others. */
function missingRuntimes(value: unknown): Found[] {
  const type = property(value, "type");
  const runtime = property(value, "runtime");
  if (typeof runtime !== "object" || runtime === null) return [];
  return (["backend", "frontend"] as const)
    .filter((side) => (type === side || type === "both") && property(runtime, side) === undefined)
    .map((side) => {
      const at = ["runtime", side];
      return { ...mistake("required", at, `An app of type "${type}" needs runtime.${side}.`), at };
    });
}

/** What no executor opens. An empty scope, or one that is no text, is a mistake by the schema. */
function unusableScopes(value: unknown): Found[] {
  return permissionsOf(value).flatMap((permission, index) => {
    const scope = property(permission, "scope");
    if (property(permission, "type") !== "network" || typeof scope !== "string") return [];
    const refusal = scope.trim() === "" ? null : scopeRefusal(scope);
    const at = ["permissions", index, "scope"];
    return refusal === null ? [] : [{ ...mistake("invalid_scope", at, `${refusal}.`), at }];
  });
}

function twins(value: unknown): Found[] {
  const seen = new Set<string>();
  return permissionsOf(value).flatMap((permission, index) => {
    const [type, scope] = [property(permission, "type"), property(permission, "scope")];
    if (typeof type !== "string" || typeof scope !== "string") return [];
    const key = `${type} ${scope.trim()}`;
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    const at = ["permissions", index];
    return [{
      ...mistake("duplicate", at, `The permission ${type} for "${scope}" is there twice.`),
      at,
    }];
  });
}

function permissionsOf(value: unknown): unknown[] {
  const permissions = property(value, "permissions");
  return Array.isArray(permissions) ? permissions : [];
}

/** Escapes may say what the text itself may not contain, and what no database keeps. */
function unstorable(value: unknown): Found[] {
  const wrong = findUnstorable(value);
  return wrong ? [wrong] : [];
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function inOrder(found: Found[], text: ParsedText): Mistake[] {
  return found
    .map(({ at, ...rest }) => ({
      ...rest,
      ...text.locate(at, /_key$/.test(rest.code) ? "key" : "value"),
    }))
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}
