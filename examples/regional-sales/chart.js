import { linearTrend } from "./statistics.js";

const WIDTH = 760;
const HEIGHT = 360;
const MARGIN = { top: 48, right: 96, bottom: 40, left: 64 };
const GRID_STEP = 2500;
const LABEL_HEIGHT = 15;
const COLOURS = ["#2563eb", "#d97706", "#059669", "#be185d"];

/**
 * A line chart of monthly revenue with each region's trend, as SVG text.
 * @param {{region: string, months: string[], revenue: number[]}[]} regions
 */
export function drawChart(regions) {
  const months = regions[0].months;
  const step = GRID_STEP;
  const top = Math.ceil(Math.max(...regions.flatMap(({ revenue }) => revenue)) / step) * step;
  const x = (index) =>
    round(MARGIN.left + index * (WIDTH - MARGIN.left - MARGIN.right) / (months.length - 1));
  const y = (value) =>
    round(HEIGHT - MARGIN.bottom - value / top * (HEIGHT - MARGIN.top - MARGIN.bottom));
  const line = (values) => values.map((value, index) => `${x(index)},${y(value)}`).join(" ");

  const grid = Array.from({ length: top / step + 1 }, (_, index) => index * step).map((value) =>
    `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(value)}" y2="${
      y(value)
    }" stroke="#e5e7eb"/>
  <text x="${MARGIN.left - 8}" y="${y(value) + 4}" text-anchor="end">${value / 1000}k</text>`
  );
  const labels = months.flatMap((month, index) =>
    index % 6 ? [] : [
      `<text x="${x(index)}" y="${
        HEIGHT - MARGIN.bottom + 20
      }" text-anchor="middle">${month}</text>`,
    ]
  );
  const names = spread(regions.map(({ region, revenue }) => [region, y(revenue.at(-1)) + 4]));
  const series = regions.map(({ region, revenue }, index) => {
    const colour = COLOURS[index % COLOURS.length];
    const { slope, intercept } = linearTrend(revenue);
    const last = revenue.length - 1;
    return `<polyline points="${line(revenue)}" fill="none" stroke="${colour}" stroke-width="2"/>
  <line x1="${x(0)}" y1="${y(intercept)}" x2="${x(last)}" y2="${
      y(intercept + slope * last)
    }" stroke="${colour}" stroke-dasharray="4 4" opacity="0.6"/>
  <text x="${x(last) + 8}" y="${
      names.get(region)
    }" fill="${colour}" font-weight="600">${region}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#374151">
  <rect width="100%" height="100%" fill="#ffffff"/>
  <text x="${MARGIN.left}" y="28" font-size="16" font-weight="600">Revenue by region, with trends</text>
  ${[...grid, ...labels, ...series].join("\n  ")}
</svg>
`;
}

/** Moves labels down until none overlaps the one above it. */
function spread(labels) {
  let free = 0;
  return new Map(
    labels.toSorted(([, a], [, b]) => a - b).map(([name, y]) => {
      const placed = Math.max(y, free);
      free = placed + LABEL_HEIGHT;
      return [name, placed];
    }),
  );
}

function round(value) {
  return Math.round(value * 10) / 10;
}
