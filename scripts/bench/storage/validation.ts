/** What verifying an archive costs: the real function, beside a process that only hashes the object, and one that copies it. */
import { createHash } from "node:crypto";
import { TextLineStream } from "@std/streams/text_line_stream.js";
import { buildArchive, noise } from "../../../supabase/functions/tests/archives.ts";
import { cpuSeconds, peakMemory } from "../../../supabase/functions/tests/process.ts";
import {
  call,
  createApp,
  createWorld,
  send,
  type World,
} from "../../../supabase/functions/tests/world.ts";
import { projectPath } from "../../stack/project.ts";
import { median, medianRatio } from "../queue/statistics.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

export interface ValidationCost {
  archive: string;
  /** Bytes. */
  size: number;
  /** Milliseconds, medians. */
  validate: number;
  hash: number;
  copy: number;
  /** Medians of the rounds' ratios. */
  toHash: number;
  toCopy: number;
  /** Processor time of the function for one, in seconds; and of the process that hashes. Means. */
  cpu: number;
  hashCpu: number;
  /** Bytes above the idle process, at the peak of everything so far. */
  memory: number;
  met: boolean;
}

/** What a function may use, and how much longer than hashing a large archive its verification may take. */
const MOST = { toHash: 1.5, cpu: 2, memory: 64 * MIB };
/** Bytes; small ones take the time of the requests around them. */
const LARGE = 50 * MIB;

/** Something like source code: it deflates to a quarter or so. */
function text(length: number): Uint8Array<ArrayBuffer> {
  const words =
    "export const function return await import from if else for of new this string number".split(
      " ",
    );
  const encoder = new TextEncoder();
  const bytes = new Uint8Array(length);
  let state = 7;
  for (let at = 0; at < length;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const word = encoder.encode(`${words[(state >>> 8) % words.length]}${state >>> 28} `);
    bytes.set(word.subarray(0, length - at), at);
    at += word.length;
  }
  return bytes;
}

function archive(content: Uint8Array<ArrayBuffer>, method: 0 | 8): Uint8Array<ArrayBuffer> {
  return buildArchive({
    format: "zip",
    entries: [
      { name: "manifest.json", manifest: true },
      { name: "index.js", text: "1" },
      { name: "data.bin", bytes: content, method },
    ],
  });
}

function* archives(quick: boolean): Generator<[string, Uint8Array<ArrayBuffer>, rounds: number]> {
  yield ["1 KB", archive(noise(300), 0), quick ? 5 : 41];
  yield ["1 MB", archive(noise(MIB - KIB), 8), quick ? 5 : 41];
  if (quick) return;
  yield ["100 MB, stored", archive(noise(100 * MIB - KIB), 0), 15];
  yield ["100 MB, deflated", archive(noise(Math.floor(99.9 * MIB)), 8), 15];
  yield ["70 MB, deflated from 300 MB of text", archive(text(300 * MIB), 8), 7];
}

export async function measureValidation(
  quick: boolean,
  tell: (line: string) => void,
): Promise<ValidationCost[]> {
  const world = await createWorld();
  const reader = await startReader();
  const costs: ValidationCost[] = [];
  try {
    const nothing = crypto.randomUUID();
    await call(world, world.publisher, `uploads/${nothing}`, { method: "GET" });
    const idle = await peakMemory("uploads");
    for (const [name, bytes, rounds] of archives(quick)) {
      costs.push(await measureOne(world, reader, name, bytes, rounds, idle));
      tell(`validation of ${name}`);
    }
  } finally {
    await reader.stop();
    await world.stop();
  }
  return costs;
}

async function measureOne(
  world: World,
  reader: Reader,
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  rounds: number,
  idle: number,
): Promise<ValidationCost> {
  const checksum = "sha256:" + createHash("sha256").update(bytes).digest("hex");
  const times = { validate: [] as number[], hash: [] as number[], copy: [] as number[] };
  const cpu = { validate: 0, hash: 0 };
  const bucket = world.service.storage.from("app-storage");
  // The first round warms up.
  for (let round = -1; round < rounds; round++) {
    const appId = await createApp(world.publisher, world.companyId);
    const begun = await call(world, world.publisher, "uploads", {
      json: {
        app_id: appId,
        version: "1.0.0",
        file_name: "app.zip",
        file_type: "source",
        content_type: "application/zip",
        file_size: bytes.length,
        checksum,
      },
    });
    await send(begun, new Blob([bytes]), "application/zip");
    const path = `app_${appId}/1.0.0/app.zip`;
    const other = `${path}.copy`;
    const linkTo = async (name: string) =>
      (await bucket.createSignedUrl(name, 600)).data!.signedUrl;
    const hash = async (name: string) => await reader.read("hash", await linkTo(name));
    // Whoever reads a new file first waits for the disk: each of the two in its turn.
    const hashedFirst = round % 2 === 0 ? await hash(begun.body.path) : null;
    const before = await cpuSeconds("uploads");
    const start = performance.now();
    const done = await call(world, world.publisher, `uploads/${begun.body.upload.id}/complete`);
    const validate = performance.now() - start;
    if (done.status !== 200) throw new Error(JSON.stringify(done.body));
    const after = await cpuSeconds("uploads");
    const hashed = hashedFirst ?? await hash(path);
    const target = await bucket.createSignedUploadUrl(other);
    const copied = await reader.read("copy", await linkTo(path), target.data!.signedUrl);
    await bucket.remove([path, other]);
    if (round < 0) continue;
    cpu.validate += (after - before) / rounds;
    cpu.hash += hashed.cpu / rounds;
    times.validate.push(validate);
    times.hash.push(hashed.ms);
    times.copy.push(copied.ms);
  }
  const toHash = medianRatio(times.validate, times.hash);
  const memory = await peakMemory("uploads") - idle;
  return {
    archive: name,
    size: bytes.length,
    validate: median(times.validate),
    hash: median(times.hash),
    copy: median(times.copy),
    toHash,
    toCopy: medianRatio(times.validate, times.copy),
    cpu: cpu.validate,
    hashCpu: cpu.hash,
    memory,
    met: cpu.validate <= MOST.cpu && memory <= MOST.memory &&
      (bytes.length < LARGE || toHash <= MOST.toHash),
  };
}

/** How long it took, in milliseconds, and the processor's share, in seconds. */
interface Reading {
  ms: number;
  cpu: number;
}

interface Reader {
  read(mode: "hash" | "copy", from: string, to?: string): Promise<Reading>;
  stop(): Promise<void>;
}

async function startReader(): Promise<Reader> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", projectPath("scripts/bench/storage/reader.ts")],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const input = child.stdin.getWriter();
  const answers = child.stdout.pipeThrough(new TextDecoderStream() as never)
    .pipeThrough(new TextLineStream() as unknown as TransformStream<string, string>).getReader();
  const next = async () => {
    const { value } = await answers.read();
    if (value === undefined) throw new Error("The reading process has ended.");
    return value;
  };
  await next();
  return {
    async read(mode, from, to) {
      await input.write(new TextEncoder().encode(JSON.stringify({ mode, from, to }) + "\n"));
      return JSON.parse(await next());
    },
    async stop() {
      await input.close();
      await child.status;
    },
  };
}
