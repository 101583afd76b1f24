/** The bad inputs: one folder each under fixtures/, named by what is wrong. */
import { type ArchiveDescription, buildArchive } from "./archives.ts";

export interface Fixture {
  name: string;
  about: string;
  /** What a caller says of the file; size and checksum are the real ones unless given here. */
  upload: {
    file_name: string;
    file_type: string;
    content_type: string;
    file_size?: number;
    checksum?: string;
  };
  expect: {
    code: string;
    status: number;
    /** Where mistakes are listed: all of them, by code and path. */
    errors?: Array<{ code: string; path: string; line?: number; column?: number }>;
  };
  content: Uint8Array<ArrayBuffer>;
}

interface CaseFile extends Omit<Fixture, "name" | "content"> {
  /** An archive that is built; without one, the bytes are the folder's file `content`. */
  archive?: ArchiveDescription;
}

/** All fixtures, by name. */
export async function loadFixtures(): Promise<Fixture[]> {
  const root = new URL("./fixtures/", import.meta.url);
  const names: string[] = [];
  for await (const entry of Deno.readDir(root)) if (entry.isDirectory) names.push(entry.name);
  return await Promise.all(
    names.sort().map(async (name) => {
      const folder = new URL(`${name}/`, root);
      const { archive, ...rest }: CaseFile = JSON.parse(
        await Deno.readTextFile(new URL("case.json", folder)),
      );
      const content = archive
        ? buildArchive(archive)
        : await Deno.readFile(new URL("content", folder));
      return { name, ...rest, content };
    }),
  );
}

/** `sha256:<hex>` of bytes. */
export async function checksumOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return "sha256:" + Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
