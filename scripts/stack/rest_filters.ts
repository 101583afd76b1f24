/**
 * Filters on text columns, on their way into @supabase/lite.
 *
 * PostgREST takes what follows `eq.` as it is. lite reads `null` as nothing, `10` as a number, `{a}` as a list, and takes
 * spaces and quotes away. Inside quotes it takes a value as it is, so that is where values go.
 */
import type { IntrospectResult } from "@supabase/lite";

const IS_TEXT = /^(text|varchar|character varying|bpchar|char|character)$/;
const COMPARISON = /^((?:not\.)?(?:eq|neq|gt|gte|lt|lte)\.)(.*)$/s;

/** The request with such filters quoted; the same one where there are none. */
export function quoteTextFilters(
  request: Request,
  schema: IntrospectResult,
  defaultSchema: string,
): Request {
  const url = new URL(request.url);
  const table = decodeURIComponent(url.pathname.replace(/^\/rest\/v1\//, ""));
  const profile = request.headers.get(
    request.method === "GET" ? "accept-profile" : "content-profile",
  );
  const isText = (name: string) =>
    schema.columns.some((column) =>
      column.schema === (profile ?? defaultSchema) && column.table === table &&
      column.name === name && IS_TEXT.test(column.pg_type ?? column.type)
    );
  let changed = false;
  const parameters = [...url.searchParams].map(([name, value]) => {
    const match = COMPARISON.exec(value);
    if (!match || !isText(name)) return [name, value];
    changed = true;
    return [name, `${match[1]}"${match[2]}"`];
  });
  if (!changed) return request;
  url.search = new URLSearchParams(parameters).toString();
  return new Request(url, request);
}
