const WIDTH = 30;
const EVERY_MS = 250;
/** Where nobody watches, a line now and then. */
const LINE_EVERY_MS = 5_000;

/** Draws how far it is on standard error; a bar in a terminal, lines elsewhere. */
export function progressBar(): (done: number, total: number) => void {
  const isTerminal = Deno.stderr.isTerminal();
  const started = performance.now();
  let last = -Infinity;
  return (done, total) => {
    const now = performance.now();
    if (done < total && now - last < (isTerminal ? EVERY_MS : LINE_EVERY_MS)) return;
    last = now;
    const filled = Math.round(WIDTH * done / total);
    const rate = done / ((now - started) / 1000);
    const text = `[${"#".repeat(filled)}${"-".repeat(WIDTH - filled)}] ` +
      `${done}/${total} ${Math.floor(100 * done / total)} % ${rate.toFixed(0)}/s`;
    const line = isTerminal ? `\r${text}${done === total ? "\n" : ""}` : `${text}\n`;
    Deno.stderr.writeSync(new TextEncoder().encode(line));
  };
}
