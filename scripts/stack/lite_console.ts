/** @supabase/lite prints what it thinks of errors to the console; here it goes to the log. */
import { AsyncLocalStorage } from "node:async_hooks";
import { format } from "node:util";

type Log = (line: string) => void;

const logs = new AsyncLocalStorage<Log>();
let patched = false;

/** Runs `work`; whatever it prints, also later, goes to `log`. Other code prints as before. */
export function routeConsole<T>(log: Log, work: () => T): T {
  patch();
  return logs.run(log, work);
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
        log(
          values.length === 1 && first instanceof Error
            ? `lite: ${first.message}`
            : `lite: ${format(...values)}`,
        )
      );
    };
  }
}
