/** What stands for a character that the fallback cannot show. */
const REPLACEMENT = "_";

/** Nothing that is not seen, and no path; marks that join letters and emoji stay. */
const UNSHOWN = /[/\\\p{Cc}\p{Zl}\p{Zp}]|(?![\u200c\u200d])\p{Cf}/gu;

/**
 * A Content-Disposition that saves a file under this name, whatever is in it (RFC 6266). Names beyond plain ASCII come
 * twice: as RFC 8187 says, and for clients that do not know it in a `filename` that needs no escapes.
 */
export function attachment(name: string): string {
  const clean = name.toWellFormed().replace(UNSHOWN, REPLACEMENT).trim() || "download";
  const fallback = clean.normalize("NFKD").replace(/\p{M}/gu, "")
    // A percent sign would be decoded by some, a quote misread by others; taking characters apart may lead to a path again.
    .replace(/[^\x20-\x7e]+|["%/\\]/g, REPLACEMENT) || REPLACEMENT;
  const plain = `attachment; filename="${fallback}"`;
  return fallback === clean ? plain : `${plain}; filename*=UTF-8''${encodeExtended(clean)}`;
}

/** RFC 8187's ext-value characters: what encodeURIComponent leaves, but for four that have a meaning there. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text).replace(
    /['()*]/g,
    (character) => "%" + character.charCodeAt(0).toString(16).toUpperCase(),
  );
}
