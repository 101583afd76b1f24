import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from "yaml";
import type { Mistake } from "../errors.ts";
import {
  MAX_MANIFEST_ALIASES,
  MAX_MANIFEST_BYTES,
  MAX_MANIFEST_DEPTH,
  MAX_MANIFEST_NODES,
  MAX_YAML_TOKENS,
} from "../limits.ts";
import { mistake } from "../mistakes.ts";

export type ManifestFormat = "json" | "yaml";

/** Text as a value, and where each part of it stands. */
export interface ParsedText {
  value: unknown;
  /** The position of the value at a path, or of its key, or of the nearest one above it if it is not there. */
  locate(
    path: ReadonlyArray<PropertyKey>,
    part?: "value" | "key",
  ): { line: number; column: number };
}

/** What a text may be at most; `what` it is called in messages. */
export interface TextLimits {
  what: string;
  bytes: number;
  depth: number;
  /** Once aliases are expanded. */
  nodes: number;
  aliases: number;
}

const MANIFEST_LIMITS: TextLimits = {
  what: "manifest",
  bytes: MAX_MANIFEST_BYTES,
  depth: MAX_MANIFEST_DEPTH,
  nodes: MAX_MANIFEST_NODES,
  aliases: MAX_MANIFEST_ALIASES,
};

export type ParseResult = { ok: true; text: ParsedText } | { ok: false; errors: Mistake[] };

/**
 * Parses JSON or YAML 1.2 (core schema, no tags of its own, one document) within the limits, by default those for
 * manifests. JSON is read by the YAML parser too, for the positions; its value is what `JSON.parse` says.
 */
export function parseText(
  bytes: Uint8Array,
  format: ManifestFormat,
  limits: TextLimits = MANIFEST_LIMITS,
): ParseResult {
  if (bytes.length > limits.bytes) {
    return failed("too_large", `The ${limits.what} is larger than ${limits.bytes} bytes.`);
  }
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return failed("invalid_encoding", `The ${limits.what} is not UTF-8 text.`);
  }
  if (source.includes("\0")) {
    return failed("invalid_encoding", `The ${limits.what} contains a NUL character.`);
  }

  let json: unknown;
  if (format === "json") {
    try {
      json = JSON.parse(source);
    } catch (error) {
      return { ok: false, errors: [jsonSyntaxMistake(source, error as Error)] };
    }
  }
  if (hasMoreTokens(source, MAX_YAML_TOKENS)) {
    return failed("too_large", `The ${limits.what} has more than ${MAX_YAML_TOKENS} tokens.`);
  }
  const lines = new LineCounter();
  // Unique keys are checked below, in linear time.
  const document = parseDocument(source, {
    lineCounter: lines,
    uniqueKeys: false,
    merge: false,
    prettyErrors: false,
  });
  const at = (offset: number) => {
    const position = lines.linePos(offset);
    return { line: Math.max(position.line, 1), column: Math.max(position.col, 1) };
  };
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    const tooDeep = faults.find((fault) => fault.code === "RESOURCE_EXHAUSTION");
    if (tooDeep) return failed("too_deep", tooDeepMessage(limits), at(tooDeep.pos[0]));
    return {
      ok: false,
      errors: faults.slice(0, 20).map((fault) => ({
        ...mistake(
          "syntax",
          [],
          fault.code === "MULTIPLE_DOCS" ? "There is more than one document." : fault.message,
        ),
        ...at(fault.pos[0]),
      })),
    };
  }
  const targets = findTargets(document);
  const survey = new Survey(document, targets, at, limits);
  survey.walk();
  if (survey.errors.length > 0) return { ok: false, errors: survey.errors };
  // The survey has counted what aliases expand to.
  const value = format === "json" ? json : document.toJS({ maxAliasCount: -1 });
  return {
    ok: true,
    text: { value, locate: (path, part = "value") => locate(document, targets, path, part, at) },
  };
}

/** The parser takes about a kilobyte a token, and a mistake a token at worst: it gets no more than it has room for. */
function hasMoreTokens(source: string, most: number): boolean {
  let tokens = 0;
  for (const _ of new Lexer().lex(source)) if (++tokens > most) return true;
  return false;
}

function tooDeepMessage({ what, depth }: TextLimits): string {
  return `The ${what} nests deeper than ${depth} levels.`;
}

type Position = { line: number; column: number };
type Targets = ReadonlyMap<Alias, Node>;

/** What each alias stands for, found in one walk: `Alias.resolve` walks the whole document each time that it is asked. */
function findTargets(document: Document.Parsed): Targets {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, {
    Alias(_, alias) {
      const target = anchors.get(alias.source);
      if (target) targets.set(alias, target);
    },
    Value(_, node) {
      if (node.anchor) anchors.set(node.anchor, node);
    },
  });
  return targets;
}

function failed(code: string, message: string, position?: Position): ParseResult {
  return { ok: false, errors: [{ ...mistake(code, [], message), ...position }] };
}

function jsonSyntaxMistake(source: string, error: Error): Mistake {
  const offset = /at position (\d+)/.exec(error.message);
  // Without a position, the text ended too early.
  const before = source.slice(0, offset ? Number(offset[1]) : source.length);
  const lastBreak = before.lastIndexOf("\n");
  return {
    ...mistake(
      "syntax",
      [],
      `Not valid JSON: ${error.message.replace(/ in JSON at position.*/s, "")}.`,
    ),
    line: before.split("\n").length,
    column: before.length - lastBreak,
  };
}

/** Looks through a document before it becomes a value: depth, aliases, duplicate keys, keys that are not names. */
class Survey {
  readonly errors: Mistake[] = [];
  #nodes = 0;
  #aliases = 0;
  #stopped = false;

  constructor(
    readonly document: Document.Parsed,
    readonly targets: Targets,
    readonly at: (offset: number) => Position,
    readonly limits: TextLimits,
  ) {}

  walk(): void {
    if (this.document.contents) this.#node(this.document.contents, [], true);
  }

  #node(node: Node, path: PropertyKey[], original: boolean): void {
    if (this.#stopped) return;
    // Aliases are followed, so that what they expand to counts; a cycle runs into one of the limits.
    const { what, nodes, aliases, depth } = this.limits;
    if (++this.#nodes > nodes) {
      return this.#aliases > 0
        ? this.#stop(
          "alias_bomb",
          `The ${what} has more than ${nodes} nodes with its aliases expanded.`,
        )
        : this.#stop("too_many_nodes", `The ${what} has more than ${nodes} nodes.`);
    }
    if (path.length > depth) return this.#stop("too_deep", tooDeepMessage(this.limits), node);
    if (isAlias(node)) {
      if (original && ++this.#aliases > aliases) {
        return this.#stop(
          "too_many_aliases",
          `The ${what} has more than ${aliases} aliases.`,
          node,
        );
      }
      const target = this.targets.get(node);
      if (!target) return this.#stop("syntax", `The alias *${node.source} has no anchor.`, node);
      return this.#node(target, path, false);
    }
    if (isSeq(node)) {
      node.items.forEach((item, index) =>
        isNode(item) && this.#node(item, [...path, index], original)
      );
    }
    if (!isMap(node)) return;
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      if (this.#stopped) return;
      if (isNode(key) && !isScalar(key)) {
        return this.#stop("invalid_key", "Keys must be text.", key);
      }
      const name = String(isScalar(key) ? key.value : key);
      const keyPath = [...path, name];
      if (original && seen.has(name)) {
        this.#add(
          "duplicate_key",
          keyPath,
          `The key "${name}" is there twice.`,
          isNode(key) ? key : undefined,
        );
      }
      seen.add(name);
      if (name === "__proto__") {
        this.#add(
          "invalid_key",
          keyPath,
          'The key "__proto__" is not allowed.',
          isNode(key) ? key : undefined,
        );
      }
      if (isNode(value)) this.#node(value, keyPath, original);
    }
  }

  #add(code: string, path: PropertyKey[], message: string, node?: Node): void {
    this.errors.push({
      ...mistake(code, path, message),
      ...(node?.range && this.at(node.range[0])),
    });
  }

  #stop(code: string, message: string, node?: Node): void {
    this.#stopped = true;
    this.errors.length = 0;
    this.#add(code, [], message, node);
  }
}

function locate(
  document: Document.Parsed,
  targets: Targets,
  path: ReadonlyArray<PropertyKey>,
  part: "value" | "key",
  at: (offset: number) => Position,
): Position {
  let node: Node | null = document.contents;
  let found: Node | null = node;
  for (const [index, step] of path.entries()) {
    if (isAlias(node)) node = targets.get(node) ?? null;
    let next: Node | null = null;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) =>
        String(isScalar(key) ? key.value : key) === String(step)
      );
      if (!pair) break;
      const key = isNode(pair.key) ? pair.key : null;
      next = isNode(pair.value) ? pair.value : null;
      // Where a value is a block of its own, the line of its key is what people look for.
      const preferKey = index === path.length - 1 && (part === "key" || !isScalar(next));
      found = (preferKey ? key ?? next : next ?? key) ?? found;
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(step)];
      next = isNode(item) ? item : null;
      found = next ?? found;
    }
    if (!next) break;
    node = next;
  }
  return found?.range ? at(found.range[0]) : { line: 1, column: 1 };
}
