/** @supabase/lite prints what it thinks of errors to the console; here it goes to the log. */
import { AsyncLocalStorage } from "node:async_hooks";
import { format } from "node:util";

type Log = (line: string) => void;

const logs = new AsyncLocalStorage<Log>();
let patched = false;

/** Runs what answers the request; whatever it prints, also later, goes to `log` with the request's method and path. */
export function routeConsole<T>(log: Log, request: Request, work: () => T): T {
  patch();
  const asked = `${request.method} ${new URL(request.url).pathname}`;
  return logs.run((line) => log(`lite: ${asked}: ${line}`), work);
}

function patch(): void {
  if (patched) return;
  patched = true;
  for (const level of ["log", "info", "warn", "error"] as const) {
    const print = console[level].bind(console);
    console[level] = (...values: unknown[]) => {
      const log = logs.getStore();
      if (!log) return print(...values);
      const [first] = values;
      // What the log does is not lite's doing any more.
      logs.exit(() =>
        log(values.length === 1 && first instanceof Error ? first.message : format(...values))
      );
    };
  }
}
