/** A request to publish, taken apart: the YAML, the other files, and what is said of them. */
import { Buffer } from "node:buffer";
import { mediaTypeOf, readBytes } from "../_shared/body.ts";
import { AppError, invalidField, type Mistake } from "../_shared/errors.ts";
import {
  MAX_MULTIPART_OVERHEAD_BYTES,
  MAX_PACKAGE_BYTES,
  MAX_PACKAGE_FILE_BYTES,
  MAX_PACKAGE_FILES,
  MAX_PACKAGE_YAML_BYTES,
  MAX_PUBLICATION_FIELDS,
} from "../_shared/limits.ts";
import { mistake } from "../_shared/mistakes.ts";
import { isSafePath } from "../_shared/safe_path.ts";
import type { SourceFile } from "../_shared/registry/imports.ts";
import { type PublicationOptions, readOptions } from "./schema.ts";

export interface Publication {
  yaml: Uint8Array<ArrayBuffer>;
  files: SourceFile[];
  options: PublicationOptions;
}

const YAML_TYPES = [
  "application/yaml",
  "application/x-yaml",
  "text/yaml",
  "text/x-yaml",
  "text/plain",
  "application/octet-stream",
];

/**
 * Reads raw YAML with options in the query, or a form: the YAML in the part `file`, other files in parts called `files`,
 * or by their paths, and options as fields.
 */
export async function readPublication(request: Request, url: URL): Promise<Publication> {
  const mediaType = mediaTypeOf(request);
  if (mediaType === "multipart/form-data") return await readForm(request, url);
  if (!YAML_TYPES.includes(mediaType)) {
    await request.body?.cancel();
    throw new AppError("unsupported_media_type", "Send application/yaml or multipart/form-data.");
  }
  const yaml = await readBytes(request, MAX_PACKAGE_YAML_BYTES);
  return { yaml, files: [], options: readOptions(url.searchParams) };
}

async function readForm(request: Request, url: URL): Promise<Publication> {
  const body = await readBytes(request, MAX_PACKAGE_BYTES + MAX_MULTIPART_OVERHEAD_BYTES);
  const contentType = request.headers.get("content-type") ?? "";
  if (hasMoreParts(body, contentType, MAX_PACKAGE_FILES + MAX_PUBLICATION_FIELDS)) {
    throw new AppError("invalid_request", "The form has more parts than a package has files.");
  }
  let form: FormData;
  try {
    const headers = { "content-type": contentType };
    form = await new Response(body, { headers }).formData();
  } catch {
    throw new AppError("invalid_request", "The body is not a multipart form.");
  }
  const fields: Array<[string, unknown]> = [...url.searchParams];
  const parts: Array<{ path: string; file: File }> = [];
  let yaml: File | undefined;
  for (const [name, value] of form) {
    if (typeof value === "string") {
      if (fields.some(([known]) => known === name)) {
        throw invalidField(name, "This field is there twice.");
      }
      if (fields.length === MAX_PUBLICATION_FIELDS) {
        throw new AppError("invalid_request", "The form has more fields than there are options.");
      }
      fields.push([name, value]);
    } else if (name === "file") {
      if (yaml) throw invalidField("file", "There is one YAML; other files go into files.");
      yaml = value;
    } else {
      parts.push({ path: name === "files" ? value.name : name, file: value });
    }
  }
  if (!yaml) throw invalidField("file", "The form needs the YAML in the part named file.");
  if (yaml.size > MAX_PACKAGE_YAML_BYTES) {
    throw new AppError("request_too_large", `The YAML takes ${MAX_PACKAGE_YAML_BYTES} bytes.`);
  }
  const options = readOptions(fields);
  return {
    yaml: new Uint8Array(await yaml.arrayBuffer()),
    files: await readFiles(parts),
    options,
  };
}

/** Each is looked for in the whole body: a form has one. */
const MAX_BOUNDARIES = 2;

/** The parser makes objects of parts, many times their size: they are counted before. */
function hasMoreParts(body: Uint8Array<ArrayBuffer>, contentType: string, most: number): boolean {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  // Whichever the parser takes, where there are several.
  const boundaries = [...contentType.matchAll(/boundary=(?:"([^"]*)"|([^;\s]*))/gi)];
  if (boundaries.length > MAX_BOUNDARIES) return true;
  for (const [, quoted, bare] of boundaries) {
    const delimiter = `--${quoted ?? bare}`;
    let parts = 0;
    for (let at = bytes.indexOf(delimiter); at >= 0; at = bytes.indexOf(delimiter, at + 1)) {
      // The last one ends the form, and begins no part.
      if (++parts > most + 1) return true;
    }
  }
  return false;
}

async function readFiles(parts: Array<{ path: string; file: File }>): Promise<SourceFile[]> {
  const errors: Mistake[] = [];
  const wrong = (code: string, path: string, message: string) =>
    errors.push(mistake(code, ["files", path], message));
  if (parts.length > MAX_PACKAGE_FILES) {
    wrong("too_many", "", `A package has ${MAX_PACKAGE_FILES} files at most.`);
  }
  const seen = new Set<string>();
  const files: SourceFile[] = [];
  for (const { path, file } of parts.slice(0, MAX_PACKAGE_FILES)) {
    if (!isSafePath(path)) {
      wrong(
        "path_unsafe",
        path,
        'must be a relative path of letters, digits and ._@+=,()- without ".."',
      );
    } else if (seen.has(path.toLowerCase())) {
      wrong("duplicate", path, "A file of this name, but for case, is there twice.");
    } else if (file.size > MAX_PACKAGE_FILE_BYTES) {
      wrong("too_large", path, `A file takes ${MAX_PACKAGE_FILE_BYTES} bytes.`);
    } else {
      const text = textOf(new Uint8Array(await file.arrayBuffer()));
      if (text === null) wrong("invalid_encoding", path, "must be UTF-8 text without NUL.");
      else files.push({ path, text });
    }
    seen.add(path.toLowerCase());
  }
  if (errors.length > 0) throw invalidPackage(errors);
  return files;
}

/** The text exactly as it came, a byte order mark included; null if it is none. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

/** 422 naming every mistake in a package. */
export function invalidPackage(errors: Mistake[]): AppError {
  const detail = errors.slice(0, 3)
    .map(({ path, message, line, column }) =>
      (line ? `${line}:${column} ` : "") + (path ? `${path}: ` : "") + message
    )
    .join(" ");
  return new AppError("package_invalid", detail, { errors });
}
