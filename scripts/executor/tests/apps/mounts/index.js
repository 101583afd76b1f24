// Mounts, changes its root and makes namespaces in which it might (on Deno, which can call the kernel).
const c = Deno.dlopen("libc.so.6", {
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "usize"], result: "i32" },
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
  chroot: { parameters: ["buffer"], result: "i32" },
  unshare: { parameters: ["i32"], result: "i32" },
  mknod: { parameters: ["buffer", "u32", "u64"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
});
const errno = () => new Deno.UnsafePointerView(c.symbols.__errno_location()).getInt32();
const text = (value) => new TextEncoder().encode(`${value}\0`);
const REMOUNT_BIND = 0x1020,
  BIND = 0x1000,
  NEW_USER_AND_MOUNTS = 0x10020000,
  BLOCK_DEVICE = 0o60666;
const failure = (result) => result === -1 ? errno() : "done";
console.log(JSON.stringify({
  tmpfs: failure(c.symbols.mount(text("none"), text("/tmp"), text("tmpfs"), 0n, 0n)),
  bind: failure(c.symbols.mount(text("/proc"), text("/tmp"), text(""), BigInt(BIND), 0n)),
  writable: failure(
    c.symbols.mount(text("none"), text("/app"), text(""), BigInt(REMOUNT_BIND), 0n),
  ),
  unmount: failure(c.symbols.umount2(text("/app"), 2)),
  chroot: failure(c.symbols.chroot(text("/tmp"))),
  namespaces: failure(c.symbols.unshare(NEW_USER_AND_MOUNTS)),
  device: failure(c.symbols.mknod(text("/tmp/disk"), BLOCK_DEVICE, 0x800n)),
}));
