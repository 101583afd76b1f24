/** How every command here is told what to do, explains itself, and ends. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { CommandError, explain, UsageError } from "./errors.ts";

export type Options = NonNullable<ParseArgsConfig["options"]>;

export interface Command<T extends Options = Options> {
  /** Its script in package.json. */
  name: string;
  /** What may follow it, in a line or two. */
  usage: string;
  /** What it does, what its options and exit codes mean. */
  help: string;
  options: T;
  /** Takes words that are no options. */
  words?: boolean;
  /** Exit code where it could not do its work: 1, or another where 1 says something else. */
  failed?: number;
}

/** Options by their names, and the words that are none. */
export type Given<T extends Options> =
  & Pick<
    ReturnType<typeof parseArgs<{ options: T; strict: true; allowPositionals: true }>>,
    "values"
  >
  & { words: string[] };

/**
 * Runs the command and ends the process: with what `work` answers (nothing: Deno.exitCode), or on an error with one line and the exit
 * code 2 for a mistake in the call, `command.failed` for the rest. Only what nobody expected keeps its stack.
 */
export async function runCommand<T extends Options>(
  command: Command<T>,
  work: (given: Given<T>) => Promise<number | void>,
  args = Deno.args,
): Promise<never> {
  return await concludeCommand(command, async () => {
    if (asksForHelp(args)) {
      console.log(helpOf(command));
      return 0;
    }
    return await work(readOptions(command, args));
  });
}

/** `runCommand` for a command that reads its arguments itself. */
export async function concludeCommand(
  command: Pick<Command, "name" | "usage" | "failed">,
  work: () => Promise<number | void>,
): Promise<never> {
  try {
    Deno.exit(await work() ?? Deno.exitCode);
  } catch (error) {
    const line = explain(error);
    console.error(line === undefined ? error : `${command.name}: ${line}`);
    if (error instanceof UsageError) {
      console.error(`${usageOf(command)}\n--help says what it all means.`);
    }
    Deno.exit(error instanceof CommandError && error.exitCode || command.failed || 1);
  }
}

/**
 * What the arguments say.
 * @throws UsageError that names the option
 */
export function readOptions<T extends Options>(
  { options, words }: Pick<Command<T>, "options" | "words">,
  args: string[],
): Given<T> {
  try {
    const { values, positionals } = parseArgs({
      args,
      options,
      strict: true,
      allowPositionals: words ?? false,
    });
    return { values, words: positionals } as Given<T>;
  } catch (error) {
    throw new UsageError(mistakeOf(error as Error));
  }
}

export function asksForHelp(args: string[]): boolean {
  const options = args.includes("--") ? args.slice(0, args.indexOf("--")) : args;
  return options.includes("--help") || options.includes("-h");
}

export function helpOf(command: Pick<Command, "name" | "usage" | "help">): string {
  return `${usageOf(command)}\n\n${command.help.trim()}`;
}

function usageOf({ name, usage }: Pick<Command, "name" | "usage">): string {
  const call = name === "start" || name === "test" ? `npm ${name}` : `npm run ${name}`;
  return `Usage: ${call}${usage && ` -- ${usage}`}`;
}

/** A whole number that is at least `minimum`, and `maximum` at most. */
export function wholeNumber(
  option: string,
  text: string,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
    const range = maximum < Number.MAX_SAFE_INTEGER
      ? `from ${minimum} to ${maximum}`
      : `${minimum} or more`;
    throw new UsageError(`--${option} takes a whole number, ${range}, not ${text}.`);
  }
  return value;
}

/** What Node says of the arguments, without its advice for other programs. */
function mistakeOf({ message }: Error): string {
  const option = /'(?:-\w, )?(--?[\w-]+)[^']*' argument (?:missing|is ambiguous)/.exec(message)
    ?.[1];
  if (option) return `Option '${option}' takes a value.`;
  return `${message.split(/[.\n]/)[0]}.`;
}
