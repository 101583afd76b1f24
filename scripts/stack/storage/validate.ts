/**
 * Checks of request bodies and query strings against small schemas, in the order, with the conversions and in the words
 * of the validator that the real server uses, because its messages reach clients.
 */
import { errors } from "./errors.ts";

export type Schema =
  | { type: "string"; enum?: readonly string[]; pattern?: RegExp; nullable?: boolean }
  | { type: "integer"; minimum?: number; nullable?: boolean }
  | { type: "boolean" }
  | {
    type: "array";
    items: Schema;
    minItems?: number;
    maxItems?: number;
    nullable?: boolean;
  }
  | ObjectSchema
  | { anyOf: readonly Schema[] };

export interface ObjectSchema {
  type: "object";
  properties: Record<string, Schema>;
  required?: readonly string[];
  minProperties?: number;
  anyRequired?: readonly string[];
}

/** A message to be put behind the value's path, or nothing if it fits. */
type Verdict = { path: string; message: string } | undefined;

/** The value, converted; throws InvalidRequest naming the first misfit under `where` (`body`, `querystring`). */
export function validate<T>(where: "body" | "querystring", schema: Schema, value: unknown): T {
  const holder = { value };
  const verdict = check(schema, holder, "value", "");
  if (verdict) throw errors.invalidRequest(`${where}${verdict.path} ${verdict.message}`);
  return holder.value as T;
}

// deno-lint-ignore no-explicit-any
type Holder = any;

function check(schema: Schema, holder: Holder, key: string | number, path: string): Verdict {
  if ("anyOf" in schema) {
    const given = holder[key];
    let first: Verdict;
    for (const option of schema.anyOf) {
      holder[key] = given;
      const verdict = check(option, holder, key, path);
      if (!verdict) return undefined;
      first ??= verdict;
    }
    return first;
  }
  if ("nullable" in schema && schema.nullable && holder[key] === null) return undefined;
  holder[key] = convert(schema.type, holder[key]);
  const value = holder[key];
  const fail = (message: string): Verdict => ({ path, message });

  switch (schema.type) {
    case "string":
      if (typeof value !== "string") return fail("must be string");
      if (schema.pattern && !schema.pattern.test(value)) {
        return fail(`must match pattern "${schema.pattern.source}"`);
      }
      if (schema.enum && !schema.enum.includes(value)) {
        return fail("must be equal to one of the allowed values");
      }
      return undefined;
    case "integer":
      if (!Number.isInteger(value)) return fail("must be integer");
      return schema.minimum !== undefined && value < schema.minimum
        ? fail(`must be >= ${schema.minimum}`)
        : undefined;
    case "boolean":
      return typeof value === "boolean" ? undefined : fail("must be boolean");
    case "array":
      return checkArray(schema, value, path);
    case "object":
      return checkObject(schema, value, path);
  }
}

function checkArray(
  schema: Extract<Schema, { type: "array" }>,
  value: unknown,
  path: string,
): Verdict {
  const { minItems = 0, maxItems = Infinity } = schema;
  if (!Array.isArray(value)) return { path, message: "must be array" };
  if (value.length > maxItems) {
    return { path, message: `must NOT have more than ${maxItems} items` };
  }
  if (value.length < minItems) {
    return { path, message: `must NOT have fewer than ${minItems} items` };
  }
  return firstVerdict(
    value.keys(),
    (index) => check(schema.items, value, index, `${path}/${index}`),
  );
}

function checkObject(schema: ObjectSchema, value: unknown, path: string): Verdict {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { path, message: "must be object" };
  }
  if (Object.keys(value).length < (schema.minProperties ?? 0)) {
    return { path, message: `must NOT have fewer than ${schema.minProperties} properties` };
  }
  const missing = schema.required?.find((name) => !(name in value));
  if (missing !== undefined) {
    return { path, message: `must have required property '${missing}'` };
  }
  if (schema.anyRequired && !schema.anyRequired.some((name) => name in value)) {
    return { path, message: `must have required property '${schema.anyRequired[0]}'` };
  }
  return firstVerdict(
    Object.entries(schema.properties).filter(([name]) => name in value),
    ([name, property]) => check(property, value, name, `${path}/${name}`),
  );
}

function firstVerdict<T>(items: Iterable<T>, judge: (item: T) => Verdict): Verdict {
  for (const item of items) {
    const verdict = judge(item);
    if (verdict) return verdict;
  }
  return undefined;
}

/** The validator turns what obviously means the wanted type into it: query strings know texts only. */
function convert(type: string, value: unknown): unknown {
  if (type === "array") return isScalar(value) ? [value] : value;
  if (Array.isArray(value) && value.length === 1 && type !== "object") value = value[0];
  switch (type) {
    case "string":
      if (typeof value === "number" || typeof value === "boolean") return String(value);
      return value === null ? "" : value;
    case "integer":
      if (typeof value === "boolean") return Number(value);
      if (value === null) return 0;
      return typeof value === "string" && value.trim() !== "" && Number.isInteger(Number(value))
        ? Number(value)
        : value;
    case "boolean":
      if (value === "true" || value === 1) return true;
      return value === "false" || value === 0 || value === null ? false : value;
    default:
      return value;
  }
}

const isScalar = (value: unknown) =>
  value === null || ["string", "number", "boolean"].includes(typeof value);
