/** What an executor counts about itself, and the text in which a monitoring system reads it. */

type Labels = Record<string, string>;

/** Seconds; from a trivial app to the longest that is allowed by default. */
const BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];

class Counter {
  readonly #values = new Map<string, { labels: Labels; value: number }>();

  constructor(readonly name: string, readonly help: string) {}

  add(labels: Labels, value = 1): void {
    const key = JSON.stringify(labels);
    const known = this.#values.get(key);
    if (known) known.value += value;
    else this.#values.set(key, { labels, value });
  }

  lines(): string[] {
    return [
      ...head(this.name, "counter", this.help),
      ...[...this.#values.values()].map(({ labels, value }) =>
        sample(`${this.name}_total`, labels, value)
      ),
    ];
  }
}

class Histogram {
  readonly #values = new Map<string, { labels: Labels; counts: number[]; sum: number }>();

  constructor(readonly name: string, readonly help: string) {}

  observe(labels: Labels, value: number): void {
    const key = JSON.stringify(labels);
    const known = this.#values.get(key) ??
      { labels, counts: Array<number>(BUCKETS.length + 1).fill(0), sum: 0 };
    this.#values.set(key, known);
    const bucket = BUCKETS.findIndex((bound) => value <= bound);
    known.counts[bucket < 0 ? BUCKETS.length : bucket]++;
    known.sum += value;
  }

  lines(): string[] {
    const lines = head(this.name, "histogram", this.help, "seconds");
    for (const { labels, counts, sum } of this.#values.values()) {
      let total = 0;
      for (const [index, count] of counts.entries()) {
        total += count;
        const le = index < BUCKETS.length ? openMetricsNumber(BUCKETS[index]) : "+Inf";
        lines.push(sample(`${this.name}_bucket`, { ...labels, le }, total));
      }
      lines.push(sample(`${this.name}_count`, labels, total));
      lines.push(sample(`${this.name}_sum`, labels, sum));
    }
    return lines;
  }
}

export type Failure = "claim" | "heartbeat" | "finish" | "infrastructure" | "housekeeping";

export class Telemetry {
  readonly #started = Date.now() / 1000;
  readonly #claims = new Counter("stowage_executor_claimed", "Runs and builds claimed.");
  readonly #claimCalls = new Counter("stowage_executor_claims", "Looks for work, by what came.");
  readonly #ended = new Counter(
    "stowage_executor_ended",
    "Runs and builds that ended here, by status (or retrying, released, lost, …).",
  );
  readonly #seconds = new Histogram(
    "stowage_executor_duration_seconds",
    "From the claim to the end.",
  );
  readonly #errors = new Counter("stowage_executor_errors", "Failures, by what failed.");
  readonly #slots: { kind: string; slots: number; used: () => number }[] = [];

  /** @param version of the executor */
  constructor(readonly labels: { id: string; version: string; sandbox: string }) {}

  watchSlots(kind: string, slots: number, used: () => number): void {
    this.#slots.push({ kind, slots, used });
  }

  claimed(kind: string, count: number): void {
    this.#claimCalls.add({ kind, found: count > 0 ? "some" : "none" });
    if (count > 0) this.#claims.add({ kind }, count);
  }

  ended(kind: string, status: string, seconds: number): void {
    this.#ended.add({ kind, status });
    this.#seconds.observe({ kind }, seconds);
  }

  failed(what: Failure): void {
    this.#errors.add({ what });
  }

  /** All of it as OpenMetrics 1.0 text. */
  render(): string {
    return [
      ...head("stowage_executor", "info", "Who this is."),
      sample("stowage_executor_info", this.labels, 1),
      ...head("stowage_executor_start_time_seconds", "gauge", "When it started.", "seconds"),
      sample("stowage_executor_start_time_seconds", {}, this.#started),
      ...head("stowage_executor_slots", "gauge", "What can be done at the same time."),
      ...this.#slots.map(({ kind, slots }) => sample("stowage_executor_slots", { kind }, slots)),
      ...head("stowage_executor_slots_used", "gauge", "What is being done."),
      ...this.#slots.map(({ kind, used }) =>
        sample("stowage_executor_slots_used", { kind }, used())
      ),
      ...this.#claimCalls.lines(),
      ...this.#claims.lines(),
      ...this.#ended.lines(),
      ...this.#seconds.lines(),
      ...this.#errors.lines(),
      "# EOF",
      "",
    ].join("\n");
  }
}

function head(name: string, type: string, help: string, unit?: string): string[] {
  return [
    `# TYPE ${name} ${type}`,
    ...(unit ? [`# UNIT ${name} ${unit}`] : []),
    `# HELP ${name} ${help}`,
  ];
}

function sample(name: string, labels: Labels, value: number): string {
  const list = Object.entries(labels).map(([key, text]) => `${key}="${escape(text)}"`).join(",");
  return `${name}${list ? `{${list}}` : ""} ${openMetricsNumber(value)}`;
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function openMetricsNumber(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}
