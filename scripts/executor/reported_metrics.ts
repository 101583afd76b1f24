/**
 * Metrics that an app reports: lines of JSON in the file metrics.jsonl of its output directory. The protocol is in docs/apps.md.
 */
import type { Json } from "../../supabase/functions/_shared/database.types.ts";

export const METRICS_NAME = "metrics.jsonl";

const MAX_BYTES = 1024 * 1024;
const MAX_NAMES = 100;
const MAX_POINTS = 10_000;
const MAX_MISTAKES = 20;
const MAX_LABELS = 10;
const NAME = /^[A-Za-z_][A-Za-z0-9_.:-]{0,119}$/;
const LABEL = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;
const MAX_TEXT = 200;
const FIELDS = new Set(["name", "value", "unit", "at", "labels"]);

/** What was reported under one name. */
export interface Metric {
  name: string;
  unit: string | null;
  points: Point[];
}

/** `at`: ISO 8601, or null where the app did not say. */
export interface Point {
  value: number;
  at: string | null;
  labels: Record<string, string>;
}

export interface Report {
  metrics: Metric[];
  /** What could not be taken, with the number of the line. */
  mistakes: string[];
}

/** @param content of metrics.jsonl; what follows the bounds is left out, and named among the mistakes */
export function readMetrics(content: Uint8Array): Report {
  const report: Report = { metrics: [], mistakes: [] };
  const byName = new Map<string, Metric>();
  let points = 0;
  const complain = (message: string) => {
    if (report.mistakes.length < MAX_MISTAKES) report.mistakes.push(message);
  };
  if (content.length > MAX_BYTES) {
    complain(`The file has more than ${MAX_BYTES} bytes; the rest is left out.`);
  }
  const lines = new TextDecoder().decode(content.subarray(0, MAX_BYTES)).split("\n");
  // The last line of a file that was cut is not whole.
  if (content.length > MAX_BYTES) lines.pop();
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const read = readLine(line);
    if (typeof read === "string") {
      complain(`Line ${index + 1}: ${read}`);
      continue;
    }
    const { name, unit, point } = read;
    const known = byName.get(name);
    if (++points > MAX_POINTS || (!known && byName.size >= MAX_NAMES)) {
      complain(
        `Line ${
          index + 1
        }: more than ${MAX_NAMES} names or ${MAX_POINTS} values; the rest is left out.`,
      );
      break;
    }
    if (known && unit !== null && known.unit !== null && unit !== known.unit) {
      complain(`Line ${index + 1}: ${name} was in ${known.unit} before, not in ${unit}.`);
      continue;
    }
    const metric = known ?? { name, unit, points: [] };
    metric.unit ??= unit;
    metric.points.push(point);
    byName.set(name, metric);
  }
  report.metrics = [...byName.values()];
  return report;
}

/** The row's output_data: the last value of its own, since that is what most readers want. */
export function metricData(metric: Metric): Json {
  return {
    unit: metric.unit,
    value: metric.points.at(-1)!.value,
    points: metric.points as unknown as Json,
  };
}

function readLine(
  line: string,
): { name: string; unit: string | null; point: Point } | string {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line);
  } catch {
    return "it is not JSON.";
  }
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) {
    return "an object is expected.";
  }
  const unknown = Object.keys(entry).find((field) => !FIELDS.has(field));
  if (unknown !== undefined) return `there is no field ${JSON.stringify(unknown.slice(0, 50))}.`;
  const { name, value, unit = null, at = null, labels = {} } = entry;
  if (typeof name !== "string" || !NAME.test(name)) {
    return "name takes a letter, then letters, digits and _ . : - (120 at most).";
  }
  if (typeof value !== "number" || !Number.isFinite(value)) return "value takes a number.";
  if (unit !== null && !(typeof unit === "string" && isPlain(unit))) {
    return `unit takes a text of up to ${MAX_TEXT} characters.`;
  }
  const time = at === null ? null : typeof at === "string" ? Date.parse(at) : NaN;
  if (Number.isNaN(time)) return "at takes a time such as 2025-07-20T12:00:00Z.";
  if (!areLabels(labels)) {
    return `labels takes an object of up to ${MAX_LABELS} names with texts of up to ${MAX_TEXT} characters.`;
  }
  return {
    name,
    unit: unit as string | null,
    point: { value, at: time === null ? null : new Date(time).toISOString(), labels },
  };
}

function areLabels(labels: unknown): labels is Record<string, string> {
  return typeof labels === "object" && labels !== null && !Array.isArray(labels) &&
    Object.keys(labels).length <= MAX_LABELS &&
    Object.entries(labels).every(([name, text]) =>
      LABEL.test(name) && typeof text === "string" && isPlain(text)
    );
}

/** Postgres keeps no NUL and no half of a surrogate pair. */
function isPlain(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return text.length <= MAX_TEXT && !/[\u0000-\u001f]/.test(text) && text.isWellFormed();
}
