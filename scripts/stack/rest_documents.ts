/**
 * Values of JSON columns and arguments, on their way into @supabase/lite.
 *
 * lite binds objects as JSON text but strings as they are, and reads a column's string as JSON if it
 * can be read so: the string `"7"` would become the number 7, `"null"` nothing at all, and `true`
 * would not be accepted. Encoded here, every value reaches the database as the document that it is.
 */
import type { IntrospectResult } from "@supabase/lite";

const IS_DOCUMENT = /^jsonb?$/;

type Row = Record<string, unknown>;
type Encode = (value: unknown) => string;

/** The request with its JSON values encoded; the same one where there are none. */
export async function encodeDocuments(
  request: Request,
  schema: IntrospectResult,
  defaultSchema: string,
): Promise<Request> {
  if (!request.body || !/^application\/json\b/.test(request.headers.get("content-type") ?? "")) {
    return request;
  }
  const url = new URL(request.url);
  const names = documentNames(url, request.headers, schema, defaultSchema);
  if (names.size === 0) return request;
  const text = await request.text();
  // A column's value is decoded once by lite.
  const encode = url.pathname.startsWith("/rest/v1/rpc/")
    ? JSON.stringify
    : (value: unknown) => JSON.stringify(JSON.stringify(value));
  return new Request(request.url, {
    method: request.method,
    headers: request.headers,
    body: encodeBody(text, names, encode),
  });
}

/** The columns of the table, or arguments of the function, that hold documents. */
function documentNames(
  url: URL,
  headers: Headers,
  introspected: IntrospectResult,
  defaultSchema: string,
): Set<string> {
  const schema = headers.get("content-profile") ?? defaultSchema;
  const [first, second] = url.pathname.replace(/^\/rest\/v1\//, "").split("/").map(
    decodeURIComponent,
  );
  if (first !== "rpc") {
    const columns = introspected.columns.filter((column) =>
      column.schema === schema && column.table === first &&
      IS_DOCUMENT.test(column.pg_type ?? column.type)
    );
    return new Set(columns.map((column) => column.name));
  }
  const functions = (introspected.functions ?? []).filter((one) =>
    one.schema === schema && one.name === second
  );
  return new Set(
    functions.flatMap((one) =>
      one.arg_names.filter((_, at) => IS_DOCUMENT.test(one.arg_types[at] ?? ""))
    ),
  );
}

function encodeBody(text: string, names: Set<string>, encode: Encode): string {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // What is wrong with it is for the server to say.
    return text;
  }
  if (Array.isArray(body)) return JSON.stringify(body.map((row) => encodeRow(row, names, encode)));
  return JSON.stringify(encodeRow(body, names, encode));
}

function encodeRow(row: unknown, names: Set<string>, encode: Encode): unknown {
  if (typeof row !== "object" || row === null || Array.isArray(row)) return row;
  return Object.fromEntries(
    Object.entries(row as Row).map(([name, value]) =>
      names.has(name) && value !== null ? [name, encode(value)] : [name, value]
    ),
  );
}
