/** Both ways of unpacking do the same, on what is whole, damaged, cut off, followed by something, or too much. */
import { Buffer } from "node:buffer";
import zlib from "node:zlib";
import { assert, assertEquals, assertRejects } from "../../../scripts/testing/assert.ts";
import {
  type CompressedFormat,
  CompressionError,
  createInflater,
  HandleInflater,
  StreamInflater,
} from "../uploads/content/inflate.ts";

const IMPLEMENTATIONS = [HandleInflater, StreamInflater];

function sample(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = 7;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    // Half of it repeats.
    bytes[index] = index % 64 < 32 ? index : state >>> 24;
  }
  return bytes;
}

async function unpack(
  Implementation: (typeof IMPLEMENTATIONS)[number],
  format: CompressedFormat,
  packed: Uint8Array,
  step = packed.length,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const inflater = new Implementation(format, (data) => parts.push(data.slice()));
  try {
    for (let start = 0; start < packed.length; start += step) {
      await inflater.write(packed.subarray(start, start + step));
    }
    await inflater.end();
  } finally {
    inflater.close();
  }
  return new Uint8Array(Buffer.concat(parts));
}

const PACK = { gzip: zlib.gzipSync, "deflate-raw": zlib.deflateRawSync };
const FORMATS = ["gzip", "deflate-raw"] as const;

Deno.test("whole data is unpacked, in pieces of any size", async () => {
  for (const Implementation of IMPLEMENTATIONS) {
    for (const format of FORMATS) {
      // Around the size of the output buffer, too.
      for (const length of [0, 1, 1000, 65_535, 65_536, 65_537, 131_072, 500_000]) {
        const bytes = sample(length);
        const packed = new Uint8Array(PACK[format](bytes));
        for (const step of [1, 7, 65_536, packed.length]) {
          if (step === 1 && length > 1000) continue;
          assertEquals(await unpack(Implementation, format, packed, step), bytes);
        }
      }
    }
    const zeros = new Uint8Array(3_000_000);
    assertEquals(await unpack(Implementation, "gzip", zlib.gzipSync(zeros)), zeros);
    const two = Buffer.concat([zlib.gzipSync("one"), zlib.gzipSync("two")]);
    assertEquals(Buffer.from(await unpack(Implementation, "gzip", two)).toString(), "onetwo");
  }
});

Deno.test("damaged and cut off data is a compression error, at every byte", async () => {
  const bytes = sample(3000);
  for (const format of FORMATS) {
    const packed = new Uint8Array(PACK[format](bytes));
    for (let at = 0; at < packed.length; at += 13) {
      const cut = packed.subarray(0, at);
      const damaged = packed.slice();
      damaged[at] ^= 0xff;
      const outcomes = [];
      for (const Implementation of IMPLEMENTATIONS) {
        await assertRejects(() => unpack(Implementation, format, cut), CompressionError);
        outcomes.push(
          await unpack(Implementation, format, damaged).then(
            (data) => data.length,
            (error) => {
              assert(error instanceof CompressionError, String(error));
              return "damaged";
            },
          ),
        );
      }
      // Raw data has no checksum: some damage is other data, but the same to both.
      assertEquals(outcomes[0], outcomes[1], `${format} at ${at}`);
      if (format === "gzip" && at >= 10) assertEquals(outcomes[0], "damaged");
    }
  }
});

Deno.test("what the receiver throws ends the unpacking", async () => {
  const bomb = zlib.gzipSync(new Uint8Array(50_000_000));
  for (const Implementation of IMPLEMENTATIONS) {
    let received = 0;
    const inflater = new Implementation("gzip", (data) => {
      received += data.length;
      if (received > 1_000_000) throw new RangeError("enough");
    });
    await assertRejects(async () => await inflater.write(bomb), RangeError, "enough");
    inflater.close();
    assert(received < 2_000_000, `${received}`);
  }
});

Deno.test("this runtime has what the faster way needs", () => {
  const inflater = createInflater("gzip", () => {});
  inflater.close();
  assert(inflater instanceof HandleInflater);
});
