/** What an answer says of how long it is good for, and whether the client has it already. */

/** RFC 9110, 13.1.2: weak comparison, several tags, or any. */
export function hasTag(request: Request, etag: string): boolean {
  const given = request.headers.get("if-none-match");
  if (given === null) return false;
  if (given.trim() === "*") return true;
  return given.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

/** `seconds` for everybody, or, where the answer depends on who asks, for their own cache alone. */
export function cacheControl(isShared: boolean, seconds: number): Record<string, string> {
  return {
    "cache-control": `${isShared ? "public" : "private"}, max-age=${seconds}`,
    vary: "authorization, apikey",
  };
}

const IMMUTABLE_SECONDS = 31_536_000;

/** For what never changes under its URL. */
export function immutable(isShared: boolean): Record<string, string> {
  const { vary, ...control } = cacheControl(isShared, IMMUTABLE_SECONDS);
  return {
    ...(isShared ? {} : { vary }),
    "cache-control": `${control["cache-control"]}, immutable`,
  };
}
