/** Of rounds and latencies. */

/** The value below which `share` (0 to 1) of the values lie; of none, NaN. */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export function median(values: number[]): number {
  return percentile(values, 0.5);
}

/** The median of the rounds' ratios: what disturbs one round disturbs both of its sides. */
export function medianRatio(ours: number[], theirs: number[]): number {
  return median(ours.map((value, round) => value / theirs[round]));
}
