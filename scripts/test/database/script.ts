/** SQL test files as psql reads them: with `\ir`, and with places to point at when something fails. */
import { dirname, isAbsolute, join } from "node:path";

/** A file and what it includes, as one text. */
export interface SqlScript {
  text: string;
  /** The file and line (from 1) at a position (from 0) in the text. */
  locate(position: number): string;
}

interface Piece {
  from: number;
  file: string;
  line: number;
}

const INCLUDE = /^\\ir\s+(?:'([^']+)'|(\S+))\s*$/;

/** Reads the file, replacing each line `\ir name` by that file, relative to the including one. */
export async function loadScript(
  path: string,
  nameOf = (path: string) => path,
): Promise<SqlScript> {
  const pieces: Piece[] = [];
  let text = "";

  async function include(path: string, from: string[]): Promise<void> {
    if (from.includes(path)) throw new Error(`${nameOf(path)} includes itself.`);
    const lines = (await Deno.readTextFile(path)).split("\n");
    for (const [index, line] of lines.entries()) {
      const match = line.match(INCLUDE);
      if (match) {
        const name = match[1] ?? match[2];
        await include(isAbsolute(name) ? name : join(dirname(path), name), [...from, path]);
        continue;
      }
      if (/^\\[a-z]/.test(line)) {
        throw new Error(`${nameOf(path)}:${index + 1}: only \\ir is understood here: ${line}`);
      }
      pieces.push({ from: text.length, file: nameOf(path), line: index + 1 });
      text += `${line}\n`;
    }
  }

  await include(path, []);
  return {
    text,
    locate(position) {
      const piece = pieces.findLast((piece) => piece.from <= position);
      return piece ? `${piece.file}:${piece.line}` : nameOf(path);
    },
  };
}

/** The same text without the transaction around it: what is left can run inside another one. */
export function withoutTransaction(text: string): string {
  return text.replace(/^(begin|rollback);$/gm, (match) => " ".repeat(match.length));
}

/**
 * Where each statement begins. Only to say which one failed: the server gets the text whole, and
 * gives a position for a syntax error but none for what fails while it runs.
 */
export function statementStarts(text: string): number[] {
  const starts: number[] = [];
  const token =
    /--[^\n]*|\/\*|\bE'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_]\w*)?\$|;|\s+|\w+|./gsiy;
  let inside = false;
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const match = token.exec(text)!;
    if (match[0].startsWith("--") || /^\s/.test(match[0])) continue;
    if (match[0] === "/*") {
      token.lastIndex = endOfComment(text, token.lastIndex);
      continue;
    }
    if (match[0] === ";") {
      inside = false;
      continue;
    }
    if (!inside) starts.push(at);
    inside = true;
    if (/^\$.*\$$/s.test(match[0])) {
      const end = text.indexOf(match[0], token.lastIndex);
      token.lastIndex = end < 0 ? text.length : end + match[0].length;
    }
  }
  return starts;
}

/** Comments nest in Postgres. */
function endOfComment(text: string, from: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = from;
  for (let depth = 1; depth > 0;) {
    const match = mark.exec(text);
    if (!match) return text.length;
    depth += match[0] === "/*" ? 1 : -1;
  }
  return mark.lastIndex;
}
