/** Tells the demo's story on the terminal: numbered steps with their time, indented facts, a verdict. */

const styled = Deno.stdout.isTerminal() && !Deno.noColor;
const paint = (code: string, text: string) => styled ? `\x1b[${code}m${text}\x1b[0m` : text;

export const bold = (text: string) => paint("1", text);
export const dim = (text: string) => paint("2", text);
export const green = (text: string) => paint("32", text);
export const yellow = (text: string) => paint("33", text);
export const red = (text: string) => paint("31", text);

let steps = 0;
let hushed = false;

/** Says nothing more of steps, which may be under way still. */
export function hush(): void {
  hushed = true;
}

/** Runs one step of the story; what it throws ends the story with the step named. */
export async function step<T>(title: string, action: () => Promise<T>): Promise<T> {
  const label = `${String(++steps).padStart(2)}. ${title}`;
  if (styled && !hushed) Deno.stdout.writeSync(new TextEncoder().encode(`${label} …`));
  const started = performance.now();
  try {
    const answer = await action();
    if (hushed) return answer;
    const time = dim(`${((performance.now() - started) / 1000).toFixed(1)} s`);
    console.log(`${styled ? "\r\x1b[K" : ""}${green("✓")} ${bold(label)} ${time}`);
    for (const line of pending.splice(0)) console.log(line);
    return answer;
  } catch (error) {
    if (hushed) throw error;
    console.log(`${styled ? "\r\x1b[K" : ""}${red("✗")} ${bold(label)}`);
    for (const line of pending.splice(0)) console.log(line);
    throw error;
  }
}

const pending: string[] = [];

/** A fact of the step under way; printed when the step is over. */
export function tell(text: string): void {
  for (const line of text.split("\n")) pending.push(`      ${line}`);
}

/** Fails the step unless the condition holds. */
export function expect(condition: unknown, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}
