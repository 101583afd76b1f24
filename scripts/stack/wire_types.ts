/** How values of Postgres are read where their text is not what the API sends. */

/** A parser for postgres.js of the type with this id. */
export function textType<T>(
  oid: number,
  parse: (text: string) => T,
  serialize: (value: unknown) => string = String,
) {
  return { to: oid, from: [oid], serialize, parse };
}

/** A document as JSON; text is one already. */
export function jsonText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** `2026-11-21 04:16:51.27` as `2026-11-21T04:16:51.27`; `infinity` stays as it is. */
export function isoTime(text: string): string {
  return text.replace(" ", "T");
}

/** `2026-11-21 04:16:51.27+00` as `2026-11-21T04:16:51.27+00:00`, as in Postgres's JSON. */
export function isoTimeWithOffset(text: string): string {
  return isoTime(text).replace(/([+-]\d\d)$/, "$1:00");
}

/** A time in UTC, with or without saying so, as `2026-11-21T04:16:51.27Z`: the Auth server's form. */
export function isoTimeInUtc(text: string): string {
  return isoTime(text).replace(/(\+00)?$/, "Z");
}
