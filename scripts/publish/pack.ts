/** Packs the folder of an app as its publisher uploads it: a zip with the manifest at its root. */
import { CommandError } from "../command/errors.ts";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { zipSync } from "fflate";
import { MAX_FILE_BYTES, MAX_UNPACKED_BYTES } from "../../supabase/functions/_shared/limits.ts";
import { MANIFEST_NAMES } from "../../supabase/functions/_shared/manifest/schema.ts";
import {
  formatOfName,
  validateManifest,
} from "../../supabase/functions/_shared/manifest/validate.ts";

/** What is in a developer's folder, and no part of the app. */
const LEFT_OUT = /^(\.|node_modules$)/;
/** Of every entry, so that the same files make the same archive; the first that a zip can say. */
const MODIFIED_AT = new Date(1980, 0, 1);
const FILE_NAME = "app.zip";

export interface PackedApp {
  fileName: string;
  /** Paths in the archive. */
  files: string[];
  /** Paths that were not packed: names that begin with a dot, and node_modules. */
  leftOut: string[];
  bytes: Uint8Array<ArrayBuffer>;
  /** sha256:<hex>, as uploads state it. */
  checksum: string;
  /** Of the manifest. */
  name: string;
  version: string;
}

/** The folder's files, zipped and hashed. Throws an Error that names the folder, or each mistake of the manifest. */
export async function packApp(dir: string): Promise<PackedApp> {
  const files: string[] = [];
  const leftOut: string[] = [];
  let size = 0;
  async function walk(folder: string): Promise<void> {
    for await (const { name, isFile, isDirectory } of Deno.readDir(join(dir, folder))) {
      const path = folder + name;
      if (LEFT_OUT.test(name)) leftOut.push(path);
      else if (isDirectory) await walk(`${path}/`);
      else if (isFile) {
        files.push(path);
        size += (await Deno.stat(join(dir, path))).size;
      } else {throw new CommandError(
          `${join(dir, path)} is a link or a special file; apps take files.`,
        );}
    }
  }
  const info = await Deno.stat(dir).catch(() => undefined);
  if (!info?.isDirectory) throw new CommandError(`${dir} is no folder.`);
  await walk("");
  files.sort();
  if (size > MAX_UNPACKED_BYTES) throw tooLarge(`${dir} has`, size, MAX_UNPACKED_BYTES);
  const { name, version } = await readManifest(dir, files);
  const entries: Record<string, Uint8Array> = {};
  for (const file of files) entries[file] = await Deno.readFile(join(dir, file));
  const bytes = zipSync(entries, { mtime: MODIFIED_AT }) as Uint8Array<ArrayBuffer>;
  if (bytes.length > MAX_FILE_BYTES) {
    throw tooLarge("The archive has", bytes.length, MAX_FILE_BYTES);
  }
  const checksum = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  return { fileName: FILE_NAME, files, leftOut: leftOut.sort(), bytes, checksum, name, version };
}

async function readManifest(dir: string, files: string[]) {
  const found = MANIFEST_NAMES.filter((name) => files.includes(name));
  if (found.length === 0) {
    throw new CommandError(`${dir} has no manifest: write a ${MANIFEST_NAMES[0]} (docs/apps.md).`);
  }
  if (found.length > 1) {
    throw new CommandError(`${dir} has more than one manifest: ${found.join(", ")}.`);
  }
  const [name] = found;
  const result = validateManifest(await Deno.readFile(join(dir, name)), formatOfName(name));
  if (result.valid) return result.manifest;
  throw new CommandError(
    `${join(dir, name)} is not valid:\n` +
      result.errors.map(({ path, message, line, column }) =>
        `  ${line === undefined ? "" : `${line}:${column} `}${path ? `${path}: ` : ""}${message}`
      ).join("\n"),
  );
}

function tooLarge(what: string, bytes: number, most: number): Error {
  return new Error(`${what} ${bytes} bytes; the most that is taken is ${most}.`);
}
