/** The throughput ratios as a bar chart for the README. */
import { GRAPHILE, GRAPHILE_BATCHED, OURS, PGBOSS, type Row } from "./report.ts";

const COLORS: Record<string, string> = {
  [OURS]: "#2f6f4f",
  [GRAPHILE]: "#7a8ca5",
  [GRAPHILE_BATCHED]: "#7a8ca5",
  [PGBOSS]: "#c9a66b",
};
const LABEL = 190;
const PLOT = 430;
const BAR = 14;
const GAP = 14;
const TOP = 56;

/** Jobs per second of every contender, ours as 1 in each group. */
export function drawChart(rows: Row[]): string {
  const groups = rows.filter((row) => row.unit === "jobs/s");
  const most = Math.max(...groups.flatMap((row) => Object.values(row.ratios).map((r) => 1 / r)), 1);
  const parts: string[] = [];
  let y = TOP;
  for (const row of groups) {
    const bars: [string, number][] = [
      [OURS, 1],
      ...Object.entries(row.ratios).map(([peer, ratio]): [string, number] => [peer, 1 / ratio]),
    ];
    const middle = y + bars.length * BAR / 2 + 4;
    parts.push(`<text x="${LABEL - 10}" y="${middle}" text-anchor="end">${row.name}</text>`);
    for (const [name, value] of bars) {
      const width = Math.max(1, value / most * PLOT);
      const jobs = Math.round(row.values[name]).toLocaleString("en");
      parts.push(
        `<rect x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 2}" fill="${
          COLORS[name]
        }"/>`,
        `<text class="value" x="${(LABEL + width + 5).toFixed(1)}" y="${
          y + BAR - 4
        }">${jobs}</text>`,
      );
      y += BAR;
    }
    y += GAP;
  }
  const legend = [[OURS, COLORS[OURS]], [GRAPHILE, COLORS[GRAPHILE]], [PGBOSS, COLORS[PGBOSS]]]
    .map(([name, color], i) =>
      `<rect x="${LABEL + i * 140}" y="30" width="12" height="12" fill="${color}"/>` +
      `<text x="${LABEL + i * 140 + 18}" y="40">${name}</text>`
    ).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LABEL + PLOT + 70} ${y}" ` +
    `font-family="system-ui, sans-serif" font-size="12">` +
    `<style>text{fill:#333}.value{font-size:10px;fill:#666}</style>` +
    `<rect width="100%" height="100%" fill="#fff"/>` +
    `<text x="${LABEL}" y="18" font-size="14" font-weight="600">Jobs per second; bars: medians of ratios within rounds</text>` +
    `${legend}${parts.join("")}</svg>\n`;
}
