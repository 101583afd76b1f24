/**
 * Descriptors that this process was started with, beyond the three standard ones, would be open in every app (a directory among
 * them is a way out of any sandbox). They are marked to be closed when a program is started.
 */

const FIRST = 3;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const O_CLOEXEC = 0o2000000;

const LIBRARIES = ["libc.so.6", `libc.musl-${Deno.build.arch}.so.1`];

/** @throws Error where such descriptors exist and cannot be marked */
export function closeInheritedOnExec(): void {
  if (Deno.build.os !== "linux") return;
  const open = inheritable();
  if (open.length === 0) return;
  for (const library of LIBRARIES) {
    try {
      const c = Deno.dlopen(library, {
        fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
      });
      try {
        for (const fd of open) c.symbols.fcntl(fd, F_SETFD, FD_CLOEXEC);
      } finally {
        c.close();
      }
    } catch {
      continue;
    }
    break;
  }
  const left = inheritable();
  if (left.length > 0) {
    throw new Error(
      `descriptors ${
        left.join(", ")
      } were inherited and cannot be closed; start the executor without them`,
    );
  }
}

function inheritable(): number[] {
  const numbers: number[] = [];
  for (const entry of Deno.readDirSync("/proc/self/fdinfo")) {
    const fd = Number(entry.name);
    if (fd < FIRST) continue;
    try {
      const info = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
      const flags = parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? "0", 8);
      if ((flags & O_CLOEXEC) === 0) numbers.push(fd);
    } catch (error) {
      // The directory's own descriptor is gone by now.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return numbers;
}
