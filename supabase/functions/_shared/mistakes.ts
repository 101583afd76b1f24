import { z } from "zod";
import type { Mistake } from "./errors.ts";
import { MAX_MISTAKE_LENGTH } from "./limits.ts";

type Path = ReadonlyArray<PropertyKey>;

const KINDS: Record<string, string> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};
const COUNTED: Record<string, [one: string, several: string]> = {
  string: ["character", "characters"],
  array: ["entry", "entries"],
};

/** What is wrong in the words of this API, where a schema has none of its own: zod's are made for programmers. */
const inOurWords: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case "invalid_type":
      return Object.hasOwn(KINDS, issue.expected) ? `must be ${KINDS[issue.expected]}` : undefined;
    case "invalid_value":
      return `must be ${issue.values.length > 1 ? "one of " : ""}${issue.values.join(", ")}`;
    case "too_big":
      return bounded(
        issue.origin,
        issue.inclusive === false ? "less than" : "at most",
        issue.maximum,
      );
    case "too_small":
      return bounded(
        issue.origin,
        issue.inclusive === false ? "more than" : "at least",
        issue.minimum,
      );
    case "invalid_union":
      return "is not of a form that is taken here";
    default:
      return undefined;
  }
};
z.config({ customError: inOurWords });

function bounded(origin: string, bound: string, limit: number | bigint): string {
  return Object.hasOwn(COUNTED, origin)
    ? `must have ${bound} ${limit} ${COUNTED[origin][Number(limit) === 1 ? 0 : 1]}`
    : `must be ${bound} ${limit}`;
}

/** `["permissions", 0, "scope"]` as `permissions[0].scope`. */
export function dotted(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += (text === "" ? "" : ".") + String(part);
  }
  return text;
}

/** The same as an RFC 6901 JSON pointer. */
export function pointer(path: Path): string {
  return path.map((part) => "/" + String(part).replaceAll("~", "~0").replaceAll("/", "~1")).join(
    "",
  );
}

/** Names and values that are too long to be repeated end in an ellipsis. */
export function mistake(code: string, path: Path, message: string): Mistake {
  const said = (text: string) => shortened(text, MAX_MISTAKE_LENGTH);
  return { code, message: said(message), path: said(dotted(path)), pointer: said(pointer(path)) };
}

export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1).toWellFormed()}…` : text;
}

/** zod's issues as mistakes with their paths; each unknown key is one of its own. */
export function mistakesOf(issues: readonly z.core.$ZodIssue[]): Array<Mistake & { at: Path }> {
  return issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => {
        const at = [...issue.path, key];
        return { ...mistake("unrecognized_key", at, `There is no property "${key}" here.`), at };
      });
    }
    if (issue.code === "invalid_key") {
      const message = issue.issues[0]?.message ?? issue.message;
      return [{ ...mistake("invalid_key", issue.path, message), at: issue.path }];
    }
    const missing = issue.input === undefined &&
      /^invalid_(type|value|union)$/.test(issue.code ?? "");
    return [{
      ...mistake(
        missing ? "required" : issue.code,
        issue.path,
        missing ? "This is required." : issue.message,
      ),
      at: issue.path,
    }];
  });
}
