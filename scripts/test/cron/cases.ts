/** Random cron expressions, zones and instants: the same ones each time. */
import { type ClockChange, wallClock } from "./clock_changes.ts";

export interface Case {
  expression: string;
  zone: string;
  /** Milliseconds since 1970. */
  after: number;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const WEEKDAYS = "sun mon tue wed thu fri sat".split(" ");
const MACROS = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class Generator {
  constructor(private random: () => number) {}

  int(low: number, high: number): number {
    return low + Math.floor(this.random() * (high - low + 1));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.int(0, values.length - 1)];
  }

  /** Any expression; `hour` and `minute` may be given, to meet a clock change. */
  expression(hour?: string, minute?: string): string {
    if (hour === undefined && this.random() < 0.03) return this.pick(MACROS);
    const month = this.random() < 0.7 ? "*" : this.field(1, 12, MONTHS);
    // Only days that the months have: an expression that never comes true is refused.
    const lastDay = month === "*" || /^(jan|3|MAR|may|7|12|DEC)$/.test(month) ? 31 : 29;
    const day = this.random() < 0.55 ? this.anyDay() : this.field(1, lastDay);
    const weekday = this.random() < 0.55
      ? this.anyDay()
      : this.field(0, this.random() < 0.2 ? 7 : 6, WEEKDAYS);
    const fields = [
      minute ?? this.field(0, 59),
      hour ?? this.field(0, 23),
      day,
      month,
      weekday,
    ];
    return fields.join(" ");
  }

  /** An expression whose hours and minutes are near what the clock shows as it changes. */
  near(change: ClockChange): string {
    const shown = wallClock(change.zone, change.at) - this.int(-1, 2) * 30 * MINUTE;
    const hour = new Date(shown).getUTCHours();
    const minute = new Date(shown).getUTCMinutes();
    if (this.random() < 0.15) return `${this.int(0, 59)} ${hour} * * *`;
    const hours = this.pick([
      String(hour),
      String(hour),
      String(hour),
      "*",
      `${Math.max(0, hour - 2)}-${Math.min(23, hour + 2)}`,
      `${hour},${(hour + this.int(1, 23)) % 24}`,
      "*/2",
      this.field(0, 23),
    ]);
    const minutes = this.pick([
      String(minute),
      String(this.int(0, 59)),
      String(this.int(0, 59)),
      "*",
      "*/5",
      "*/15",
      "0,30",
      this.field(0, 59),
    ]);
    return this.expression(hours, minutes);
  }

  /** An instant near the change: in the hours around it, or a day or two before. */
  instantNear(change: ClockChange): number {
    const hours = this.random() < 0.8 ? this.int(-4, 2) : this.int(-49, -20);
    return change.at + hours * HOUR + this.int(0, 3600) * 1000 + this.pick([0, 0, 0, 1, 999]);
  }

  private anyDay(): string {
    return this.random() < 0.9 ? "*" : "?";
  }

  private field(low: number, high: number, names?: string[]): string {
    // A list of a step over everything would hide its other items; croner takes it, nobody writes it.
    if (this.random() < 0.2) return `*/${this.int(1, Math.min(high - low + 1, names ? 7 : 60))}`;
    const items = this.random() < 0.75 ? 1 : this.int(2, 4);
    return Array.from({ length: items }, () => this.item(low, high, names)).join(",");
  }

  private item(low: number, high: number, names?: string[]): string {
    const kind = this.random();
    const from = this.int(low, high);
    if (kind < 0.6) return this.value(from, low, names);
    const to = this.int(from, high);
    const range = `${this.value(from, low, names)}-${this.value(to, low, names)}`;
    return kind < 0.8 ? range : `${range}/${this.int(1, Math.max(1, Math.min(to - from + 1, 7)))}`;
  }

  private value(value: number, low: number, names?: string[]): string {
    const name = names?.[value - low];
    if (name && this.random() < 0.4) return this.random() < 0.5 ? name : name.toUpperCase();
    return this.random() < 0.1 ? String(value).padStart(2, "0") : String(value);
  }
}
