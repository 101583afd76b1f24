/** When the clocks of a zone change, found with `Intl` alone: nothing here asks Postgres. */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

export interface ClockChange {
  zone: string;
  /** The first instant after the change, in milliseconds since 1970. */
  at: number;
  /** Milliseconds by which the clock goes forward; negative: back. */
  shift: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** What the clock on the wall shows, as the instant at which a clock in UTC shows the same. */
export function wallClock(zone: string, instant: number): number {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(zone, format);
  }
  const part: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(instant)) part[type] = Number(value);
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second);
}

/** Milliseconds that the zone is ahead of UTC at an instant of whole seconds. */
export function offset(zone: string, instant: number): number {
  return wallClock(zone, instant) - instant;
}

/** All changes from one instant to another, in order. Two on one day are not told apart. */
export function clockChanges(zone: string, from: number, to: number): ClockChange[] {
  const changes: ClockChange[] = [];
  let before = offset(zone, from);
  for (let day = from; day < to; day += DAY) {
    const after = offset(zone, day + DAY);
    if (after === before) continue;
    let low = day;
    let high = day + DAY;
    while (high - low > 1000) {
      const middle = low + Math.floor((high - low) / 2000) * 1000;
      if (offset(zone, middle) === before) low = middle;
      else high = middle;
    }
    changes.push({ zone, at: high, shift: after - before });
    before = after;
  }
  return changes;
}
