import { linearTrend } from "./statistics.js";

const WIDTH = 760;
const HEIGHT = 360;
const MARGIN = { top: 48, right: 96, bottom: 40, left: 64 };
const COLOURS = ["#2563eb", "#d97706", "#059669", "#be185d"];

/**
 * A line chart of monthly revenue with each region's trend, as SVG text.
 * @param {{region: string, months: string[], revenue: number[]}[]} regions
 */
export function drawChart(regions) {
  const months = regions[0].months;
  const top = Math.ceil(Math.max(...regions.flatMap(({ revenue }) => revenue)) / 1000) * 1000;
  const x = (index) =>
    round(MARGIN.left + index * (WIDTH - MARGIN.left - MARGIN.right) / (months.length - 1));
  const y = (value) =>
    round(HEIGHT - MARGIN.bottom - value / top * (HEIGHT - MARGIN.top - MARGIN.bottom));
  const line = (values) => values.map((value, index) => `${x(index)},${y(value)}`).join(" ");

  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) =>
    `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(top * part)}" y2="${
      y(top * part)
    }" stroke="#e5e7eb"/>
  <text x="${MARGIN.left - 8}" y="${y(top * part) + 4}" text-anchor="end">${
      Math.round(top * part / 1000)
    }k</text>`
  );
  const labels = months.flatMap((month, index) =>
    index % 6 ? [] : [
      `<text x="${x(index)}" y="${
        HEIGHT - MARGIN.bottom + 20
      }" text-anchor="middle">${month}</text>`,
    ]
  );
  const series = regions.map(({ region, revenue }, index) => {
    const colour = COLOURS[index % COLOURS.length];
    const { slope, intercept } = linearTrend(revenue);
    const last = revenue.length - 1;
    return `<polyline points="${line(revenue)}" fill="none" stroke="${colour}" stroke-width="2"/>
  <line x1="${x(0)}" y1="${y(intercept)}" x2="${x(last)}" y2="${
      y(intercept + slope * last)
    }" stroke="${colour}" stroke-dasharray="4 4" opacity="0.6"/>
  <text x="${x(last) + 8}" y="${
      y(revenue[last]) + 4
    }" fill="${colour}" font-weight="600">${region}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#374151">
  <rect width="100%" height="100%" fill="#ffffff"/>
  <text x="${MARGIN.left}" y="28" font-size="16" font-weight="600">Revenue by region, with trends</text>
  ${[...grid, ...labels, ...series].join("\n  ")}
</svg>
`;
}

function round(value) {
  return Math.round(value * 10) / 10;
}
