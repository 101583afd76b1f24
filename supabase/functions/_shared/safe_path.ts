/**
 * A relative path that every file system and the Storage API take. The same rule as `private.is_safe_path` in the
 * database: 1 to 512 characters, no empty, "." or ".." segment, no space at the edge of a segment.
 */
export function isSafePath(value: string): boolean {
  return value.length >= 1 && value.length <= 512 &&
    /^[A-Za-z0-9._@+=,()/ -]+$/.test(value) &&
    !/(^|\/)(\.{1,2})?(\/|$)/.test(value) &&
    !/(^|\/) | (\/|$)/.test(value);
}

/** The last segment of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
