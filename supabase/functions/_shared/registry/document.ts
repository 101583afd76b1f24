/** A package's YAML as what the registry knows of it. Everything else in it is the package's own affair. */
import { z } from "zod";
import type { Mistake } from "../errors.ts";
import {
  MAX_PACKAGE_DEPENDENCIES,
  MAX_PACKAGE_YAML_ALIASES,
  MAX_PACKAGE_YAML_BYTES,
  MAX_PACKAGE_YAML_DEPTH,
  MAX_PACKAGE_YAML_NODES,
  MAX_RANGE_LENGTH,
  MAX_REPORTED_ERRORS,
} from "../limits.ts";
import { findUnstorable } from "../json_values.ts";
import { type ParsedText, parseText } from "../manifest/text.ts";
import { mistake, mistakesOf } from "../mistakes.ts";
import { parseVersion } from "../semver.ts";
import { isPackageName, type PackageName, packageNameKey, parsePackageId } from "./names.ts";
import { compileRange } from "./ranges.ts";

export interface DeclaredDependency extends PackageName {
  range: string;
  /** Where its files are imported from, if that is said. */
  importPath: string | null;
}

export interface PackageDocument extends PackageName {
  version: string;
  kind?: string;
  description?: string;
  keywords?: string[];
  license?: string;
  homepage?: string;
  repository?: string;
  dependencies: DeclaredDependency[];
}

export type DocumentResult = { valid: true; document: PackageDocument } | {
  valid: false;
  errors: Mistake[];
};

const NAME = 'must be letters, digits and single ".", "-" and "_" between them';
const ID = "must be namespace/name";
const RANGE = "must be a range of versions as npm reads it, such as ^1.4.0 or >=1 <3";

/** YAML reads 1.10 as a number, and 1.1 is what is left of it. */
const text = (what: string) =>
  z.string({
    error: ({ input }) => typeof input === "number" ? `${what}: put it in quotes` : undefined,
  });

const name = z.string().refine(isPackageName, NAME);
const id = z.string().refine((value) => parsePackageId(value) !== null, ID);
const range = text("must be text").min(1).max(MAX_RANGE_LENGTH).refine(
  (value) => compileRange(value),
  RANGE,
);
const line = (max: number) => z.string().trim().max(max).regex(/^[^\p{Cc}]*$/u, "must be one line");
const link = z.string().max(2000).regex(/^https?:\/\/[^\s]+$/, "must be an http or https URL");

/** A package of another namespace, or by its name alone one of the same. */
const dependencyName = z.string().refine(
  (value) => isPackageName(value) || parsePackageId(value) !== null,
  "must be namespace/name, or the name of a package in the same namespace",
);

const dependencyList = z.array(z.strictObject({
  name: dependencyName,
  version: range,
  import_path: z.string().min(1).max(512).optional(),
}));
const dependencyMap = z.record(dependencyName, range, {
  error: "must be ranges by name, or a list of { name, version, import_path? }",
});

/** Ranges by name, or a list; by what is there, so that mistakes are those of the one that was meant. */
const dependencies = z.unknown().transform((value, context) => {
  const schema = Array.isArray(value) ? dependencyList : dependencyMap;
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  context.issues.push(...result.error.issues as never[]);
  return z.NEVER;
});

const documentSchema = z.looseObject({
  id: id.optional(),
  namespace: name.optional(),
  name: name.optional(),
  version: text("must be text").refine(
    (value) => parseVersion(value) !== null,
    "must be a semantic version such as 1.4.0",
  ),
  kind: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, "must be a lower-case word").optional(),
  description: z.string().trim().max(10_000).optional(),
  keywords: z.array(line(50).min(1)).max(50).optional(),
  license: line(200).optional(),
  homepage: link.optional(),
  repository: link.optional(),
  dependencies: dependencies.nullish(),
});

type Raw = z.output<typeof documentSchema>;
type Found = Mistake & { at: ReadonlyArray<PropertyKey> };

/**
 * Checks the bytes: limits, syntax, then every rule at once, each mistake with its path, line and column. `expected` is
 * what the caller says of the package; the document must not contradict it, and may leave out what is said there.
 */
export function readPackageDocument(
  bytes: Uint8Array,
  expected: Partial<PackageName> & { version?: string } = {},
): DocumentResult {
  const parsed = parseText(bytes, "yaml", {
    what: "package",
    bytes: MAX_PACKAGE_YAML_BYTES,
    depth: MAX_PACKAGE_YAML_DEPTH,
    nodes: MAX_PACKAGE_YAML_NODES,
    aliases: MAX_PACKAGE_YAML_ALIASES,
  });
  if (!parsed.ok) return { valid: false, errors: parsed.errors.slice(0, MAX_REPORTED_ERRORS) };
  // So many that looking at each is work that nobody should be given.
  if (countDependencies(parsed.text.value) > MAX_PACKAGE_DEPENDENCIES) {
    const message = `There are more than ${MAX_PACKAGE_DEPENDENCIES} dependencies.`;
    return refused([found("too_many", ["dependencies"], message)], parsed.text);
  }
  const result = documentSchema.safeParse(parsed.text.value, { reportInput: true });
  if (!result.success) {
    const { issues } = result.error;
    return refused(
      [...mistakesOf(issues), ...others(parsed.text.value, issues, expected)],
      parsed.text,
    );
  }
  const identity = identityOf(result.data, expected);
  const needs = dependenciesOf(result.data, identity.name);
  const { version, kind, description, keywords, license, homepage, repository } = result.data;
  const described = { version, kind, description, keywords, license, homepage, repository };
  // Escapes may say what the text itself may not contain, and what no database keeps.
  const unstorable = findUnstorable({ ...described, dependencies: result.data.dependencies });
  const wrong = [...identity.errors, ...needs.errors, ...(unstorable ? [unstorable] : [])];
  if (wrong.length > 0) return refused(wrong, parsed.text);
  return {
    valid: true,
    document: { ...identity.name, ...described, dependencies: needs.dependencies },
  };
}

/** What else is wrong with a document that breaks the schema: the rules between properties, by those that keep it. */
function others(
  value: unknown,
  issues: z.core.$ZodIssue[],
  expected: Partial<PackageName> & { version?: string },
): Found[] {
  if (issues.some(({ path }) => path.length === 0)) return [];
  const broken = new Set(issues.map(({ path }) => path[0]));
  const sound = Object.fromEntries(
    Object.entries(value as Raw).filter(([name]) => !broken.has(name)),
  ) as Raw;
  const { version: _, ...name } = expected;
  const identity = ["id", "namespace", "name"].some((part) => broken.has(part))
    ? { name: { namespace: "", name: "" }, errors: [] }
    : identityOf(sound, broken.has("version") ? name : expected);
  return [...identity.errors, ...dependenciesOf(sound, identity.name).errors];
}

function countDependencies(document: unknown): number {
  const { dependencies } = (document ?? {}) as { dependencies?: unknown };
  return typeof dependencies === "object" ? Object.keys(dependencies ?? {}).length : 0;
}

function refused(found: Found[], text: ParsedText): DocumentResult {
  const errors = found.slice(0, MAX_REPORTED_ERRORS).map(({ at, ...rest }) => ({
    ...rest,
    ...text.locate(at, /_key$/.test(rest.code) ? "key" : "value"),
  }));
  return { valid: false, errors };
}

function found(code: string, at: PropertyKey[], message: string): Found {
  return { ...mistake(code, at, message), at };
}

function identityOf(
  raw: Raw,
  expected: Partial<PackageName> & { version?: string },
): { name: PackageName; errors: Found[] } {
  const fromId = raw.id === undefined ? null : parsePackageId(raw.id);
  const errors: Found[] = [];
  const one = (part: "namespace" | "name"): string => {
    const said = [
      { at: "id", value: fromId?.[part] },
      { at: part, value: raw[part] },
      { at: "", value: expected[part] },
    ].filter(({ value }) => value !== undefined) as Array<{ at: string; value: string }>;
    if (said.length === 0) {
      errors.push(found("required", [part], "This is required, here, in id or in the request."));
      return "";
    }
    const last = said[said.length - 1];
    for (const { at, value } of said) {
      if (value === last.value) continue;
      const message = `says ${value}, but ${last.at || "the request"} says ${last.value}.`;
      errors.push(found("id_mismatch", [at], message));
    }
    return last.value;
  };
  const name = { namespace: one("namespace"), name: one("name") };
  if (expected.version !== undefined && expected.version !== raw.version) {
    const message = `says ${raw.version}, but the request says ${expected.version}.`;
    errors.push(found("id_mismatch", ["version"], message));
  }
  return { name, errors };
}

function dependenciesOf(
  raw: Raw,
  own: PackageName,
): { dependencies: DeclaredDependency[]; errors: Found[] } {
  const given = raw.dependencies ?? {};
  const entries = Array.isArray(given)
    ? given.map((entry, index) => ({ ...entry, at: ["dependencies", index] as PropertyKey[] }))
    : Object.entries(given).map(([name, version]) => ({
      name,
      version,
      import_path: undefined,
      at: ["dependencies", name] as PropertyKey[],
    }));
  const errors: Found[] = [];
  const seen = new Set<string>();
  const dependencies = entries.map(({ name, version, import_path, at }) => {
    const target = parsePackageId(name) ?? { namespace: own.namespace, name };
    const key = packageNameKey(`${target.namespace}/${target.name}`);
    if (key === packageNameKey(`${own.namespace}/${own.name}`)) {
      errors.push(found("self_dependency", at, "A package cannot depend on itself."));
    } else if (seen.has(key)) {
      errors.push(found("duplicate", at, `The dependency ${name} is there twice.`));
    }
    seen.add(key);
    return { ...target, range: version, importPath: import_path ?? null };
  });
  return { dependencies, errors };
}
