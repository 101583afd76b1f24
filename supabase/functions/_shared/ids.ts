import { AppError } from "./errors.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function isId(value: string): boolean {
  return UUID.test(value);
}

/** An id from a path. What is no id cannot be found: the same 404 as for one that is hidden or missing. */
export function idParam(value: string): string {
  if (!isId(value)) throw new AppError("not_found");
  return value;
}
