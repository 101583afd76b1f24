/** One line an event, for people (text) or machines (json). */

export type Fields = Record<string, string | number | boolean | null | undefined>;
export type Level = "debug" | "info" | "warn" | "error";

export interface Logger {
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
  /** The same with these fields in every line. */
  with(fields: Fields): Logger;
}

export function createLogger(
  format: "text" | "json",
  write: (line: string) => void = writeToStderr,
  common: Fields = {},
): Logger {
  const emit = (level: Level) => (event: string, fields: Fields = {}) => {
    const entries = Object.entries({ ...common, ...fields }).filter(([, value]) =>
      value !== undefined
    );
    const time = new Date().toISOString();
    write(
      format === "json" ? JSON.stringify({ time, level, event, ...Object.fromEntries(entries) }) : [
        time,
        level.padEnd(5),
        event,
        ...entries.map(([name, value]) => `${name}=${text(value)}`),
      ].join(" "),
    );
  };
  return {
    info: emit("info"),
    warn: emit("warn"),
    error: emit("error"),
    with: (fields) => createLogger(format, write, { ...common, ...fields }),
  };
}

/** What takes the lines may be a file on a full disk, or gone: no run ends for that. */
function writeToStderr(line: string): void {
  try {
    console.error(line);
  } catch {
    // The next line may fit.
  }
}

function text(value: unknown): string {
  const plain = String(value);
  // Control characters would reach the reader's terminal.
  return /^[^\s"=\p{Cc}]+$/u.test(plain) ? plain : JSON.stringify(plain);
}
