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

/** Elements that run, embed or redirect something, of SVG or of what may be put into it. */
const ACTIVE =
  /^(script|foreignobject|iframe|frame|frameset|object|embed|applet|handler|listener|html|body|meta|link|base|form)$/;

/** Throws unless the text is a plain SVG, read as a browser's XML parser reads it. Exported for its test. */
export function judgeSvg(text: string): void {
  if (text.includes("\0")) throw new AppError("content_mismatch", "The file is not text.");
  let root: string | undefined;
  for (const token of tokens(text)) {
    if (token.kind === "declaration") judgeDeclaration(token.body);
    else if (token.kind === "instruction") judgeInstruction(token.body);
    else if (token.kind === "tag") {
      const name = localName(/^[^\s/>]*/.exec(token.body)![0]);
      root ??= name;
      if (root !== "svg") break;
      judgeElement(name, token.body);
    }
  }
  if (root !== "svg") {
    throw new AppError("content_mismatch", "The file does not begin as an SVG does.");
  }
}

const unsafe = (what: string) => new AppError("content_unsafe", `The SVG contains ${what}.`);

interface Token {
  kind: "tag" | "declaration" | "instruction";
  body: string;
}

/** Markup in the order it stands. Comments and CDATA end where XML says that they do, whatever is in them. */
function* tokens(text: string): Generator<Token> {
  for (let at = text.indexOf("<"); at >= 0; at = text.indexOf("<", at)) {
    const skip = SKIPPED.find(([opening]) => text.startsWith(opening, at));
    if (skip) at = after(text, skip[1], at + skip[0].length);
    else if (text.startsWith("<?", at)) {
      const end = after(text, "?>", at + 2);
      yield { kind: "instruction", body: text.slice(at + 2, end - 2) };
      at = end;
    } else {
      const end = endOfTag(text, at + 1);
      const body = text.slice(at + 1, end - 1);
      if (body.startsWith("!")) yield { kind: "declaration", body };
      else if (!body.startsWith("/")) yield { kind: "tag", body };
      at = end;
    }
  }
}

const SKIPPED = [["<!--", "-->"], ["<![CDATA[", "]]>"]] as const;

function after(text: string, closing: string, from: number): number {
  const at = text.indexOf(closing, from);
  if (at < 0) throw new AppError("content_mismatch", "The SVG ends too early.");
  return at + closing.length;
}

function endOfTag(text: string, from: number): number {
  END_OF_TAG.lastIndex = from;
  if (!END_OF_TAG.test(text)) throw new AppError("content_mismatch", "The SVG ends too early.");
  return END_OF_TAG.lastIndex;
}

const END_OF_TAG = /(?:[^>"']|"[^"]*"|'[^']*')*>/y;

function judgeDeclaration(body: string): void {
  if (!/^!DOCTYPE\s/i.test(body) || body.includes("[")) throw unsafe("declarations of its own");
}

function judgeInstruction(body: string): void {
  if (!/^xml\s/i.test(body)) throw unsafe("a processing instruction");
  const encoding = /encoding\s*=\s*["']([^"']*)["']/i.exec(body)?.[1] ?? "utf-8";
  // In another encoding, the bytes would be other markup than the one judged here.
  if (!/^(utf-8|us-ascii)$/i.test(encoding)) {
    throw new AppError("content_mismatch", "The SVG is not in UTF-8.");
  }
}

function judgeElement(name: string, body: string): void {
  if (ACTIVE.test(name)) throw unsafe(`the element ${name}`);
  for (const [, attribute, quoted1, quoted2] of body.matchAll(ATTRIBUTE)) {
    const key = localName(attribute);
    const value = decoded(quoted1 ?? quoted2 ?? "").replace(/[\s\p{Cc}]/gu, "").toLowerCase();
    if (key.startsWith("on")) throw unsafe(`the attribute ${key}`);
    if (key === "attributename" && /^(on|.*href$)/.test(value)) {
      throw unsafe("an animation of a link or a handler");
    }
    if (/^(javascript|vbscript|data:text\/|data:image\/svg|data:application\/)/.test(value)) {
      throw unsafe("a link that runs script");
    }
  }
}

const ATTRIBUTE = /([^\s"'=<>/]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1).toLowerCase();
}

/** Character references resolved; of the named ones, those that hide a scheme. */
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
