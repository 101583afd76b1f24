/** A part of a file, both ends included. */
export interface ByteRange {
  from: number;
  to: number;
}

/**
 * The part that a Range header asks for (RFC 9110, 14). Null for the whole: without a header, and for what may be ignored,
 * which is other units, several ranges and what cannot be read. "unsatisfiable" when nothing of it is in the file.
 */
export function parseRange(
  header: string | null,
  size: number,
): ByteRange | "unsatisfiable" | null {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? "");
  if (!match) return null;
  const [first, last] = [match[1], match[2]].map((text) => text === "" ? null : Number(text));
  if (first === null && last === null) return null;
  if (first === null) {
    return last === 0 || size === 0
      ? "unsatisfiable"
      : { from: Math.max(size - last!, 0), to: size - 1 };
  }
  if (last !== null && last < first) return null;
  if (first >= size) return "unsatisfiable";
  return { from: first, to: Math.min(last ?? size - 1, size - 1) };
}

/** Whether what the client has is what it would get: If-None-Match by weak comparison (RFC 9110, 13.1.2). */
export function isUnchanged(request: Request, etag: string | null): boolean {
  const asked = request.headers.get("if-none-match");
  if (asked === null || etag === null) return false;
  const weak = (tag: string) => tag.trim().replace(/^W\//, "");
  return asked.trim() === "*" || asked.split(",").some((tag) => weak(tag) === weak(etag));
}

/** Whether a Range header counts: not if the client has a part of something else (RFC 9110, 13.1.5). */
export function rangeApplies(request: Request, etag: string | null): boolean {
  const condition = request.headers.get("if-range");
  return condition === null || (etag !== null && !etag.startsWith("W/") && condition === etag);
}
