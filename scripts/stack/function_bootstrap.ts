/** The main module of a function's process: runs its code, and ends it together with the stack. */

const parentGone = Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {});
parentGone.then(() => Deno.exit(0));

/** The platform's global; what it is asked to wait for runs on, because the process does. */
Object.assign(globalThis, {
  EdgeRuntime: {
    waitUntil(work: Promise<unknown>): void {
      work.catch((error) => console.error(error));
    },
  },
});

await import(Deno.args[0]);
