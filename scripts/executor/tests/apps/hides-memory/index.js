// Takes memory that is no process's: files without a name, and segments that nobody is attached to (on Deno, which can).
const c = Deno.dlopen("libc.so.6", {
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  shmget: { parameters: ["i32", "usize", "i32"], result: "i32" },
  shmat: { parameters: ["i32", "usize", "i32"], result: "pointer" },
  shmdt: { parameters: ["pointer"], result: "i32" },
});
const chunk = new Uint8Array(8 * 1024 * 1024).fill(1);
const CREATE = 0o1600;
let taken = 0;
const name = new TextEncoder().encode("memory\0");
while (taken < 4096) {
  const file = c.symbols.memfd_create(name, 0);
  if (file >= 0 && c.symbols.write(file, chunk, BigInt(chunk.length)) > 0n) taken += 8;
  const segment = c.symbols.shmget(0, BigInt(chunk.length), CREATE);
  const at = segment < 0 ? null : c.symbols.shmat(segment, 0n, 0);
  if (at !== null && Deno.UnsafePointer.value(at) !== 0xffffffffffffffffn) {
    new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(at, chunk.length)).fill(1);
    c.symbols.shmdt(at);
    taken += 8;
  }
  if (file < 0 && segment < 0) break;
}
console.log(JSON.stringify({ taken }));
