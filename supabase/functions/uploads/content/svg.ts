import { AppError } from "../../_shared/errors.ts";
import { MAX_SVG_BYTES } from "../../_shared/limits.ts";
import type { Cursor } from "./cursor.ts";

/** Checks that a stream is an SVG image, and one without script: shown by a browser, it must only be a picture. */
export async function checkSvg(cursor: Cursor): Promise<void> {
  const parts: string[] = [];
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for (let chunk = await cursor.some(); chunk; chunk = await cursor.some()) {
      if (cursor.position > MAX_SVG_BYTES) {
        throw new AppError("file_too_large", `An SVG may have at most ${MAX_SVG_BYTES} bytes.`);
      }
      parts.push(decoder.decode(chunk, { stream: true }));
    }
    parts.push(decoder.decode());
  } catch (error) {
    throw error instanceof TypeError
      ? new AppError("content_mismatch", "The file is not UTF-8 text.")
      : error;
  }
  judgeSvg(parts.join(""));
}

/** Elements that run or embed something. */
const ACTIVE = /^(script|foreignobject|iframe|object|embed|handler|listener)$/;

/** Throws unless the text is a plain SVG. Exported for its test. */
export function judgeSvg(text: string): void {
  const body = text.replace(/^\ufeff/, "");
  if (body.includes("\0")) throw new AppError("content_mismatch", "The file is not text.");
  const unsafe = (what: string) => new AppError("content_unsafe", `The SVG contains ${what}.`);
  const withoutComments = body.replace(/<!--[\s\S]*?-->/g, "");
  if (/<!(DOCTYPE|ENTITY|ELEMENT|ATTLIST)[^>]*(\[|ENTITY)/i.test(withoutComments)) {
    throw unsafe("entity declarations");
  }
  if (/<\?xml-stylesheet/i.test(withoutComments)) throw unsafe("a reference to a style sheet");
  const prolog = /^\s*(<\?xml[^>]*\?>)?\s*(<!DOCTYPE[^>]*>)?\s*<([A-Za-z_][\w.-]*:)?svg[\s/>]/i;
  if (!prolog.test(withoutComments)) {
    throw new AppError("content_mismatch", "The file does not begin as an SVG does.");
  }
  // CDATA is text, but only to a parser of XML: to judge it as markup is the safe way to be wrong.
  for (const [, name, attributes] of withoutComments.matchAll(TAG)) {
    const local = name.slice(name.indexOf(":") + 1).toLowerCase();
    if (ACTIVE.test(local)) throw unsafe(`the element ${local}`);
    for (const [, attribute, quoted1, quoted2, bare] of attributes.matchAll(ATTRIBUTE)) {
      const key = attribute.slice(attribute.indexOf(":") + 1).toLowerCase();
      const value = decoded(quoted1 ?? quoted2 ?? bare ?? "").replace(/[\s\p{Cc}]/gu, "")
        .toLowerCase();
      if (key.startsWith("on")) throw unsafe(`the attribute ${key}`);
      if (key === "attributename" && /^(on|.*href$)/.test(value)) {
        throw unsafe("an animation of a link or a handler");
      }
      if (/^(javascript|vbscript|data:text\/html|data:image\/svg)/.test(value)) {
        throw unsafe("a link that runs script");
      }
    }
  }
}

const TAG = /<([A-Za-z_][\w.:-]*)((?:[^>"']|"[^"]*"|'[^']*')*)/g;
const ATTRIBUTE = /([A-Za-z_][\w.:-]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))/g;

function decoded(value: string): string {
  const named: Record<string, string> = { colon: ":", tab: "\t", newline: "\n", amp: "&" };
  return value.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w+));?/gi,
    (whole, decimal, hex, name) => {
      const code = decimal ? Number(decimal) : hex ? parseInt(hex, 16) : NaN;
      if (!Number.isNaN(code)) return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
      return named[String(name).toLowerCase()] ?? whole;
    },
  );
}
