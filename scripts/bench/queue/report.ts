/** The measurements as ratios, held against the targets. */
import type { Measurement } from "./scenarios.ts";
import type { Skew } from "./skew.ts";
import { median, medianRatio, percentile } from "./statistics.ts";

export const OURS = "Stowage";
export const GRAPHILE = "Graphile Worker";
export const GRAPHILE_BATCHED = "Graphile Worker, local queue";
export const PGBOSS = "pg-boss";

export interface Row {
  name: string;
  unit: string;
  /** Contender's name to its median (or percentile). */
  values: Record<string, number>;
  /** Peer's name to ours divided by theirs. */
  ratios: Record<string, number>;
  /** Peer's name to the ratio that must be reached (or, for latencies, not exceeded). */
  targets: Record<string, number>;
  met: boolean;
}

/** The least ratios for throughput; one at a time with one worker has none. */
function throughputTargets(name: string): Record<string, number> {
  if (/^one at a time, (4|16) /.test(name)) return { [GRAPHILE]: 1.3, [PGBOSS]: 2.5 };
  if (name.startsWith("batches of ")) return { [GRAPHILE_BATCHED]: 1.2, [PGBOSS]: 1.3 };
  if (name === "enqueue one") return { [GRAPHILE]: 1.8 };
  if (name.startsWith("enqueue 1,000")) return { [GRAPHILE]: 1.5 };
  return {};
}

export function throughputRow({ name, unit, values }: Measurement): Row {
  const targets = throughputTargets(name);
  const ratios = Object.fromEntries(
    Object.keys(values).filter((peer) => peer !== OURS)
      .map((peer) => [peer, medianRatio(values[OURS], values[peer])]),
  );
  return {
    name,
    unit,
    values: Object.fromEntries(Object.entries(values).map(([key, all]) => [key, median(all)])),
    ratios,
    targets,
    met: Object.entries(targets).every(([peer, least]) => ratios[peer] >= least),
  };
}

/** `share` 0.5 or 0.99; the 99th percentile of claims is held against the better peer. */
export function latencyRow({ name, unit, values }: Measurement, share: 0.5 | 0.99): Row {
  const at = Object.fromEntries(
    Object.entries(values).map(([key, all]) => [key, percentile(all, share)]),
  );
  const peers = Object.keys(at).filter((peer) => peer !== OURS);
  const ratios = Object.fromEntries(peers.map((peer) => [peer, at[OURS] / at[peer]]));
  const better = peers.reduce((best, peer) => at[peer] < at[best] ? peer : best);
  const hasTarget = share === 0.99 && /(100 k|1 M) pending/.test(name);
  const targets: Record<string, number> = hasTarget ? { [better]: 1.1 } : {};
  return {
    name: `${name}, p${share * 100}`,
    unit,
    values: at,
    ratios,
    targets,
    met: Object.entries(targets).every(([peer, most]) => ratios[peer] <= most),
  };
}

export function skewIsFair(skew: Skew): boolean {
  return skew.bigShare <= 0.02 && skew.mostRunning <= skew.allowed;
}

/** A table for people; ratios in the cells, our own figure beside. */
export function printTable(rows: Row[], skew: Skew | null): void {
  const peers = [GRAPHILE, GRAPHILE_BATCHED, PGBOSS];
  const cells = rows.map((row) => [
    row.name,
    `${
      row.unit === "ms"
        ? row.values[OURS].toFixed(2)
        : Math.round(row.values[OURS]).toLocaleString("en")
    } ${row.unit}`,
    ...peers.map((peer) => {
      const ratio = row.ratios[peer];
      if (ratio === undefined) return "";
      const target = row.targets[peer];
      const sign = row.unit === "ms" ? "≤" : "≥";
      return `${ratio.toFixed(2)}${target ? ` (${sign} ${target})` : ""}`;
    }),
    Object.keys(row.targets).length ? (row.met ? "met" : "missed") : "",
  ]);
  const head = ["ratio to the peer", OURS, ...peers, "target"];
  const widths = head.map((title, i) =>
    Math.max(title.length, ...cells.map((row) => row[i].length))
  );
  for (const row of [head, ...cells]) {
    console.log(row.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd());
  }
  if (!skew) return;
  console.log(
    `\nSkew: of ${skew.served} runs served until 199 companies were done, ` +
      `${(skew.bigShare * 100).toFixed(2)} % were of the company with the backlog (≤ 2 %). ` +
      `At most ${skew.mostRunning} of a company ran at once (≤ ${skew.allowed}).`,
  );
}
