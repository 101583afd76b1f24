/**
 * A process that reads objects and does the least with them. Takes lines `{"mode", "from", "to"}` and answers each with a line
 * `{"ms", "cpu"}`: "hash" is SHA-256 alone, "copy" sends the bytes on to another object; cpu is its processor time, in seconds.
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { TextLineStream } from "@std/streams/text_line_stream.js";

const BUFFER_BYTES = 128 * 1024;

async function hash(from: string): Promise<void> {
  const digest = createHash("sha256");
  const reader = (await fetch(from)).body!.getReader({ mode: "byob" });
  let buffer = new ArrayBuffer(BUFFER_BYTES);
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(buffer));
    if (done) break;
    digest.update(value);
    buffer = value.buffer;
  }
  digest.digest();
}

async function copy(from: string, to: string): Promise<void> {
  const { body, headers } = await fetch(from);
  const type = headers.get("content-type")!;
  const sent = await fetch(to, { method: "PUT", headers: { "content-type": type }, body });
  const text = await sent.text();
  if (!sent.ok) throw new Error(text);
}

const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream())
  .pipeThrough(new TextLineStream() as unknown as TransformStream<string, string>);
console.log("ready");
for await (const line of lines) {
  const { mode, from, to } = JSON.parse(line);
  const before = process.cpuUsage();
  const start = performance.now();
  await (mode === "hash" ? hash(from) : copy(from, to));
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  console.log(JSON.stringify({ ms, cpu: (user + system) / 1e6 }));
}
