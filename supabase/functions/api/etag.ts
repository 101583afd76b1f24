/** A strong entity tag: a hash of the representation as it is sent. */
export async function etagOf(text: string): Promise<string> {
  const digest = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
  );
  return `"${digest.subarray(0, 18).toBase64({ alphabet: "base64url" })}"`;
}

/** Whether an If-Match or If-None-Match header names the tag (RFC 9110, 13.1), or anything by `*`. */
export function matches(header: string, etag: string): boolean {
  if (header.trim() === "*") return true;
  return header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}
