/** What the sandbox's image holds: both runtimes, the shared libraries that they load, and a few small files. Nothing else. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type RuntimePaths, sharedLibraries } from "../sandbox/runtimes.ts";

export const REPOSITORY = "stowage-sandbox";
/** Lines of a Dockerfile. */
export const IMAGE_CHANGES = ["ENV PATH=/usr/local/bin", "WORKDIR /app", "LABEL stowage.sandbox=1"];

export type Entry =
  | { path: string; type: "Directory"; mode: number }
  | { path: string; type: "File"; mode: number; content: Uint8Array }
  /** A file of this host. */
  | { path: string; type: "File"; mode: number; source: string; size: number };

const BLOCK = 512;
const MAX_NAME_BYTES = 100;
/** In whose namespaces apps run has no say in who they are: the run brings its own passwd. */
const ETC: Record<string, string> = {
  "etc/passwd": "root:x:0:0:root:/:/\n",
  "etc/group": "root:x:0:\n",
  "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
  "etc/resolv.conf": "",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
};

/** The image's entries, sorted by path. */
export async function imageEntries(runtimes: RuntimePaths): Promise<Entry[]> {
  const files = new Map<string, string>();
  for (const [name, program] of Object.entries(runtimes) as [string, string][]) {
    files.set(`usr/local/bin/${name}`, program);
    for (const library of await sharedLibraries(program)) files.set(library.slice(1), library);
  }
  const entries: Entry[] = [...files].map(([path, source]) => {
    const real = Deno.realPathSync(source);
    return { path, type: "File", mode: 0o755, source: real, size: Deno.statSync(real).size };
  });
  for (const [path, text] of Object.entries(ETC)) {
    entries.push({ path, type: "File", mode: 0o644, content: new TextEncoder().encode(text) });
  }
  // Places for what a run mounts: the root is read-only by then.
  for (const path of ["stowage/config.json", "stowage/egress.sock", "stowage/forward.cjs"]) {
    entries.push({ path, type: "File", mode: 0o644, content: new Uint8Array() });
  }
  const folders = new Set(["app", "output", "proc", "sys", "dev"]);
  for (const { path } of entries) {
    const parts = path.split("/");
    for (let i = 1; i < parts.length; i++) folders.add(parts.slice(0, i).join("/"));
  }
  for (const path of folders) entries.push({ path, type: "Directory", mode: 0o755 });
  entries.push({ path: "tmp", type: "Directory", mode: 0o1777 });
  return entries.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** The image's name: the same contents have the same one, on every host. */
export async function imageName(entries: Entry[]): Promise<{ repository: string; tag: string }> {
  const hash = createHash("sha256").update(IMAGE_CHANGES.join("\n"));
  for (const entry of entries) {
    hash.update(`\n${entry.type} ${entry.mode} ${entry.path}\n`);
    if (entry.type === "Directory") continue;
    if ("content" in entry) hash.update(entry.content);
    else for await (const chunk of createReadStream(entry.source)) hash.update(chunk);
  }
  return { repository: REPOSITORY, tag: hash.digest("hex").slice(0, 16) };
}

/** The entries as a tar stream; the same entries give the same bytes. */
export function imageTar(entries: Entry[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(blocks(entries));
}

async function* blocks(entries: Entry[]): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    const size = entry.type === "Directory"
      ? 0
      : "content" in entry
      ? entry.content.length
      : entry.size;
    yield header(entry, size);
    if (entry.type === "Directory") continue;
    if ("content" in entry) yield entry.content;
    else {
      let read = 0;
      for await (const chunk of createReadStream(entry.source)) {
        read += chunk.length;
        yield chunk;
      }
      if (read !== size) throw new Error(`${entry.source} changed while it was read`);
    }
    yield new Uint8Array((BLOCK - size % BLOCK) % BLOCK);
  }
  yield new Uint8Array(2 * BLOCK);
}

/** A header of the ustar format: fields at fixed places, numbers in octal, and a checksum over all. */
function header({ path, type, mode }: Entry, size: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const text = (at: number, value: string) => bytes.set(new TextEncoder().encode(value), at);
  const octal = (at: number, length: number, value: number) =>
    text(at, value.toString(8).padStart(length - 1, "0"));
  const name = type === "Directory" ? `${path}/` : path;
  if (new TextEncoder().encode(name).length > MAX_NAME_BYTES) {
    throw new Error(`the path ${path} is too long for an image`);
  }
  text(0, name);
  octal(100, 8, mode);
  for (const owner of [108, 116]) octal(owner, 8, 0);
  octal(124, 12, size);
  octal(136, 12, 0); // modified
  text(148, " ".repeat(8)); // the checksum counts itself as blanks
  text(156, type === "Directory" ? "5" : "0");
  text(257, "ustar\x0000");
  octal(148, 7, bytes.reduce((sum, byte) => sum + byte, 0));
  return bytes;
}
