/**
 * What a registry needs to know of a .proto file: its package and its imports. Not a compiler: messages and services are
 * skipped over, but comments, strings and braces are read as the language says, so that nothing inside them is taken for an
 * import. Source: the Protocol Buffers language specification, lexical elements and the statements `package` and `import`.
 */
import type { Mistake } from "../errors.ts";
import { MAX_PROTO_IMPORTS } from "../limits.ts";
import { mistake } from "../mistakes.ts";
import { isSafePath } from "../safe_path.ts";

export interface ProtoImport {
  path: string;
  kind: "plain" | "public" | "weak";
  line: number;
  column: number;
}

export type ProtoResult = { ok: true; package: string | null; imports: ProtoImport[] } | {
  ok: false;
  errors: Mistake[];
};

interface Token {
  kind: "word" | "string" | "symbol" | "end";
  text: string;
  offset: number;
}

/** Words run together with their dots: `acme.common.v1` is one. */
const WORD = /[A-Za-z_][A-Za-z0-9_]*(\s*\.\s*[A-Za-z_][A-Za-z0-9_]*)*/y;
const SPACE = /(?:\s+|\/\/[^\n]*|\/\*[^]*?\*\/)*/y;
const STRING = /"([^"\\\n]|\\[^\n])*"|'([^'\\\n]|\\[^\n])*'/y;

class ProtoError extends Error {
  constructor(readonly code: string, message: string, readonly offset: number) {
    super(message);
  }
}

function* tokens(source: string): Generator<Token> {
  let offset = 0;
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = offset;
    const found = pattern.exec(source);
    if (found) offset += found[0].length;
    return found && found[0];
  };
  while (true) {
    match(SPACE);
    const start = offset;
    if (offset >= source.length) {
      yield { kind: "end", text: "the end", offset };
      return;
    }
    if (source.startsWith("/*", offset)) {
      throw new ProtoError("syntax", "The comment does not end.", offset);
    }
    const word = match(WORD);
    if (word !== null) {
      yield { kind: "word", text: word.replaceAll(/\s/g, ""), offset: start };
      continue;
    }
    if (source[offset] === '"' || source[offset] === "'") {
      const text = match(STRING);
      if (text === null) throw new ProtoError("syntax", "The string does not end.", start);
      yield { kind: "string", text: text.slice(1, -1), offset: start };
      continue;
    }
    offset++;
    yield { kind: "symbol", text: source[start], offset: start };
  }
}

/** Reads a file. Errors carry the line and the column, and `file` as their path. */
export function parseProto(source: string, file: string): ProtoResult {
  const at = positions(source);
  try {
    return { ok: true, ...read(source, at) };
  } catch (error) {
    if (!(error instanceof ProtoError)) throw error;
    return {
      ok: false,
      errors: [{
        ...mistake(error.code, [file], `${file}: ${error.message}`),
        ...at(error.offset),
      }],
    };
  }
}

type Positions = (offset: number) => { line: number; column: number };

function read(
  source: string,
  at: Positions,
): { package: string | null; imports: ProtoImport[] } {
  const imports: ProtoImport[] = [];
  let name: string | null = null;
  let depth = 0;
  let isStart = true;
  const stream = tokens(source);
  const next = () => stream.next().value as Token;
  for (let token = next(); token.kind !== "end"; token = next()) {
    if (token.kind === "symbol" && token.text === "{") depth++;
    if (token.kind === "symbol" && token.text === "}" && --depth < 0) {
      throw new ProtoError("syntax", "There is no brace that this one closes.", token.offset);
    }
    if (depth === 0 && isStart && token.kind === "word" && token.text === "package") {
      if (name !== null) {
        throw new ProtoError("duplicate", "The package is named twice.", token.offset);
      }
      name = expect(next(), "word", "the name of the package").text;
      expectEnd(next());
    } else if (depth === 0 && isStart && token.kind === "word" && token.text === "import") {
      if (imports.length === MAX_PROTO_IMPORTS) {
        throw new ProtoError(
          "too_many",
          `There are more than ${MAX_PROTO_IMPORTS} imports.`,
          token.offset,
        );
      }
      imports.push(readImport(next, token, at));
    } else {
      isStart = token.kind === "symbol" && /[;{}]/.test(token.text);
    }
  }
  if (depth > 0) throw new ProtoError("syntax", "A brace is not closed.", source.length);
  return { package: name, imports };
}

function readImport(next: () => Token, keyword: Token, at: Positions): ProtoImport {
  let token = next();
  let kind: ProtoImport["kind"] = "plain";
  if (token.kind === "word" && (token.text === "public" || token.text === "weak")) {
    kind = token.text;
    token = next();
  }
  const path = expect(token, "string", "the path of the import").text;
  if (!isSafePath(path)) {
    throw new ProtoError(
      "path_unsafe",
      `"${path}" is not a relative path without "..".`,
      token.offset,
    );
  }
  expectEnd(next());
  return { path, kind, ...at(keyword.offset) };
}

function expect(token: Token, kind: Token["kind"], what: string): Token {
  if (token.kind === kind) return token;
  throw new ProtoError("syntax", `Here must be ${what}, not ${token.text}.`, token.offset);
}

function expectEnd(token: Token): void {
  if (token.kind === "symbol" && token.text === ";") return;
  throw new ProtoError("syntax", `Here must be a semicolon, not ${token.text}.`, token.offset);
}

/** Counts lines as it goes: each offset that it is asked for is at or after the one before. */
function positions(source: string): Positions {
  let line = 1;
  let start = 0;
  return (offset) => {
    for (
      let end = source.indexOf("\n", start);
      end >= 0 && end < offset;
      end = source.indexOf("\n", start)
    ) {
      line++;
      start = end + 1;
    }
    return { line, column: offset - start + 1 };
  };
}

const WELL_KNOWN = new Set([
  "any",
  "api",
  "compiler/plugin",
  "cpp_features",
  "descriptor",
  "duration",
  "empty",
  "field_mask",
  "go_features",
  "java_features",
  "source_context",
  "struct",
  "timestamp",
  "type",
  "wrappers",
].map((name) => `google/protobuf/${name}.proto`));

/** The import comes with every protobuf compiler. */
export function isWellKnownImport(path: string): boolean {
  return WELL_KNOWN.has(path);
}
