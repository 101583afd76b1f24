/** What the schemas of the resources are made of. */
import { z } from "zod";
import { MAX_VERSION_LENGTH, SEMVER } from "../_shared/semver.ts";

export const id = z.guid("must be an id");

/** Text of so many characters, as Postgres counts them, at least one of which is no space. */
export function text(max: number) {
  return z.string()
    .refine(
      (value) => /[^ ]/.test(value) && [...value].length <= max,
      `takes 1 to ${max} characters`,
    )
    .meta({ minLength: 1, maxLength: max });
}

export const slug = z.string().regex(
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
  "takes 1 to 63 lower-case letters, digits and inner hyphens",
);

export const version = z.string().max(MAX_VERSION_LENGTH).regex(
  SEMVER,
  "must be a semantic version such as 1.4.0",
);

/** A time with its offset, as the database writes it. */
export const time = z.iso.datetime({ offset: true });

/** A time that somebody says, which the database has to read as well. */
export const moment = time.refine(
  (value) => !value.startsWith("0000") && !/[+-](1[6-9]|2[0-9]):[0-9]{2}$/.test(value),
  "takes the years 0001 to 9999, and offsets of less than 16 hours",
);

/** A whole number in a query. */
export function count(minimum: number, maximum: number) {
  return z.string()
    .refine(
      (value) => /^[0-9]{1,9}$/.test(value) && Number(value) >= minimum && Number(value) <= maximum,
      `takes ${minimum} to ${maximum}`,
    )
    .transform(Number)
    .meta({ type: "integer", minimum, maximum });
}

/** A JSON object of the caller's own making. */
export const document = z.record(z.string(), z.unknown());

/** Whether a change says anything. */
export function notEmpty(value: object): boolean {
  return Object.values(value).some((part) => part !== undefined);
}
export const EMPTY_CHANGE = "Name at least one property to change.";

/** The schema of a change: all properties optional, at least one there. */
export function change<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape).partial().refine(notEmpty, EMPTY_CHANGE).meta({ minProperties: 1 });
}
