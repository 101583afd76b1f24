// Fills the disk with a file that no listing shows, through children whose account nobody inherits: a parent that ignores their end
// (on Deno, which can) does not collect them.
const c = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
  signal: { parameters: ["i32", "usize"], result: "usize" },
  posix_spawn: {
    parameters: ["buffer", "buffer", "pointer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
});
const SIGCHLD = 17, IGNORED = 1n, CREATE = 0o102;
const text = (value) => new TextEncoder().encode(`${value}\0`);
const list = (texts) =>
  new BigUint64Array([
    ...texts.map((each) => Deno.UnsafePointer.value(Deno.UnsafePointer.of(each))),
    0n,
  ]);
c.symbols.signal(SIGCHLD, IGNORED);
const path = text(`${Deno.env.get("STOWAGE_OUTPUT_DIR")}/file`);
const pid = new Int32Array(1);
for (let i = 0; i < 8; i++) {
  const file = c.symbols.open(path, CREATE, 0o600);
  c.symbols.unlink(path);
  const write =
    `const b = Buffer.alloc(1 << 20, 1); const f = Deno.openSync("/proc/self/fd/${file}", { append: true }); for (let i = 0; i < 40; i++) f.writeSync(b);`;
  const program = text(Deno.execPath());
  const args = [program, text("eval"), text(write)];
  const failed = c.symbols.posix_spawn(
    pid,
    program,
    null,
    null,
    list(args),
    list([text("HOME=/tmp"), text("DENO_DIR=/tmp/.deno")]),
  );
  if (failed !== 0) throw new Error(`posix_spawn: ${failed}`);
  while (true) {
    try {
      Deno.statSync(`/proc/${pid[0]}`);
    } catch {
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
let held = 0;
for (const { name } of Deno.readDirSync("/proc/self/fd")) {
  try {
    if (Deno.readLinkSync(`/proc/self/fd/${name}`).includes("deleted")) {
      held += Deno.statSync(`/proc/self/fd/${name}`).size;
    }
  } catch { /* */ }
}
console.log(Deno.readTextFileSync("/proc/self/io").match(/^write_bytes.*$/m)[0], held);
