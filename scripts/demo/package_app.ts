/** Packs the example app as a publisher would: a zip with the manifest at its root. */
import { encodeHex } from "@std/encoding/hex.js";
import { zipSync } from "fflate";
import { projectPath } from "../stack/project.ts";

const APP_FOLDER = projectPath("examples/regional-sales");

export interface PackedApp {
  fileName: string;
  files: string[];
  bytes: Uint8Array<ArrayBuffer>;
  /** sha256:<hex>, as uploads state it. */
  checksum: string;
  version: string;
}

/** The example app's files, zipped and hashed. */
export async function packApp(): Promise<PackedApp> {
  const entries: Record<string, Uint8Array> = {};
  for await (const { name, isFile } of Deno.readDir(APP_FOLDER)) {
    if (isFile) entries[name] = await Deno.readFile(`${APP_FOLDER}/${name}`);
  }
  const manifest = JSON.parse(new TextDecoder().decode(entries["manifest.json"]));
  const bytes = zipSync(entries) as Uint8Array<ArrayBuffer>;
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return {
    fileName: `${manifest.name}.zip`,
    files: Object.keys(entries).sort(),
    bytes,
    checksum: `sha256:${encodeHex(digest)}`,
    version: manifest.version,
  };
}
