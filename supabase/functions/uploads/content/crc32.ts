import zlib from "node:zlib";

let table: Uint32Array | undefined;

function makeTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value;
  });
}

function crc32InScript(data: Uint8Array, previous: number): number {
  table ??= makeTable();
  let crc = ~previous;
  for (let index = 0; index < data.length; index++) {
    crc = (crc >>> 8) ^ table[(crc ^ data[index]) & 0xff];
  }
  return ~crc >>> 0;
}

/** CRC-32 of `data`, continuing from `previous`. Native where the runtime has it; older ones of the platform do not. */
export const crc32: (data: Uint8Array, previous: number) => number =
  typeof zlib.crc32 === "function" ? (data, previous) => zlib.crc32(data, previous) : crc32InScript;

export { crc32InScript };
