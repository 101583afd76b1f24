/** Collects what an app left in its output directory, once no process of the app is left. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { METRICS_NAME, readMetrics, type Report } from "./reported_metrics.ts";
import type { Json } from "../../supabase/functions/_shared/database.types.ts";

/** A file that the app put out. */
export interface OutputFile {
  /** Relative, with slashes, as the app named it. */
  name: string;
  path: string;
  size: number;
  /** As the bucket takes it. */
  contentType: string;
}

export interface Outputs {
  files: OutputFile[];
  /** Content of result.json, where it is small enough to be kept in the database. */
  result?: Json;
  /** Why result.json could not be used. */
  resultError?: string;
  /** What metrics.jsonl says; the file itself stays a file only if something in it could not be taken. */
  report: Report;
  /** Names of what was left out: links, special files, what exceeds a bound. */
  skipped: string[];
}

/** Of an app that put out nothing. */
export const NO_OUTPUTS: Outputs = {
  files: [],
  skipped: [],
  report: { metrics: [], mistakes: [] },
};

export const RESULT_NAME = "result.json";
const MAX_RESULT_BYTES = 1024 * 1024;
/** The bucket's bound for one object. */
const MAX_FILE_BYTES = 100 * 1024 * 1024;
const MAX_NAME_LENGTH = 512;
const MAX_DEPTH = 32;
/** The database reads a document by recursion; what is deeper stays a file. */
const MAX_RESULT_DEPTH = 200;
const OWNER_READS = 0o400;
const MAX_PART_LENGTH = 100;
const MAX_OBJECT_LENGTH = 300;

/** Types that the bucket takes; all else is kept as bytes. */
const CONTENT_TYPES: Record<string, string> = {
  json: "application/json",
  js: "text/javascript",
  html: "text/html",
  css: "text/css",
  zip: "application/zip",
  tar: "application/x-tar",
  gz: "application/gzip",
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  svg: "image/svg+xml",
};

/** Reads the directory. Links are never followed: the app could have made one to any file of the host. */
export async function collectOutputs(root: string, maxFiles: number): Promise<Outputs> {
  const outputs: Outputs = { ...NO_OUTPUTS, files: [], skipped: [] };
  const folders: { prefix: string; depth: number }[] = [{ prefix: "", depth: 0 }];
  // Names that are no text are read as one that is, and then as the same.
  const seen = new Set<string>();
  for (let folder = folders.shift(); folder; folder = folders.shift()) {
    for (const entry of listing(join(root, folder.prefix))) {
      const name = `${folder.prefix}${entry.name}`;
      if (seen.has(name)) outputs.skipped.push(name);
      else if (entry.isDirectory && folder.depth < MAX_DEPTH) {
        folders.push({ prefix: `${name}/`, depth: folder.depth + 1 });
      } else {
        addFile(outputs, join(root, name), name, maxFiles);
      }
      seen.add(name);
    }
  }
  await readResult(outputs);
  await readReport(outputs);
  return outputs;
}

function listing(path: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(path)].toSorted((a, b) => a.name < b.name ? -1 : 1);
  } catch (error) {
    // Its name is no text.
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function addFile(outputs: Outputs, path: string, name: string, maxFiles: number): void {
  let info: Deno.FileInfo;
  try {
    info = Deno.lstatSync(path);
  } catch {
    outputs.skipped.push(name); // A name that is not UTF-8 cannot be asked for.
    return;
  }
  const kept = info.isFile && info.size <= MAX_FILE_BYTES && name.length <= MAX_NAME_LENGTH &&
    outputs.files.length < maxFiles;
  if (!kept) {
    outputs.skipped.push(name);
    return;
  }
  // The app may have closed it to its owner, who this process can be.
  if ((info.mode! & OWNER_READS) === 0) Deno.chmodSync(path, OWNER_READS);
  outputs.files.push({ name, path, size: info.size, contentType: contentTypeOf(name) });
}

async function readResult(outputs: Outputs): Promise<void> {
  const file = outputs.files.find(({ name }) => name === RESULT_NAME);
  if (!file || file.size > MAX_RESULT_BYTES) return;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(file.path));
    if (depthOf(text) > MAX_RESULT_DEPTH) return void JSON.parse(text);
    const value: Json = JSON.parse(text);
    // Postgres keeps no NUL and no half of a surrogate pair; such a result stays a file.
    if (/\\u0000|\\ud[89a-f]/i.test(JSON.stringify(value))) return;
    // In a row it would be no document, but none at all.
    if (value === null) return;
    outputs.result = value;
    outputs.files = outputs.files.filter((each) => each !== file);
  } catch (error) {
    outputs.resultError = `${RESULT_NAME} is not valid JSON: ${(error as Error).message}`;
  }
}

/** Brackets inside each other in a JSON text, or in what may be none. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') quoted = !quoted;
    else if (quoted) at += character === "\\" ? 1 : 0;
    else if (character === "[" || character === "{") deepest = Math.max(deepest, ++depth);
    else if (character === "]" || character === "}") depth--;
  }
  return deepest;
}

async function readReport(outputs: Outputs): Promise<void> {
  const file = outputs.files.find(({ name }) => name === METRICS_NAME);
  if (!file) return;
  outputs.report = readMetrics(await Deno.readFile(file.path));
  if (outputs.report.mistakes.length === 0) {
    outputs.files = outputs.files.filter((each) => each !== file);
  }
}

function contentTypeOf(name: string): string {
  const extension = /\.([a-z0-9]+)$/i.exec(name)?.[1].toLowerCase() ?? "";
  return CONTENT_TYPES[extension] ?? "application/octet-stream";
}

/**
 * The name of an output as an object: what storage does not take is replaced, and then a part of the hash keeps names apart.
 * The name itself is kept in app_outputs.
 */
export function objectName(name: string): string {
  const parts = name.split("/").map((part) =>
    part.replaceAll(/[^A-Za-z0-9._@+=,()-]/g, "_").slice(-MAX_PART_LENGTH).replace(/^\.+/, "_")
  );
  let safe = parts.join("/").slice(-MAX_OBJECT_LENGTH);
  // Half a name at the beginning could be "..", or begin with a dot.
  if (safe.length === MAX_OBJECT_LENGTH) safe = safe.slice(safe.indexOf("/") + 1);
  if (safe === name && !MADE_UP.test(name)) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 8);
  const [, stem, extension] = /^(.*?)((?:\.[A-Za-z0-9]+)?)$/.exec(safe)!;
  return `${stem}-${hash}${extension}`;
}

/** What names that were replaced look like; others that do are replaced, too. */
const MADE_UP = /-[0-9a-f]{8}(\.[A-Za-z0-9]+)?$/;
