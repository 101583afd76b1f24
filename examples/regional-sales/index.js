// Reads sales.csv, and writes result.json and revenue.svg to the folder that the executor names.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { drawChart } from "./chart.js";
import { linearTrend, outliers, sum } from "./statistics.js";

const config = JSON.parse(readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const outputDirectory = process.env.STOWAGE_OUTPUT_DIR;
const threshold = config.outlier_threshold ?? 3;

const [, ...lines] = readFileSync("sales.csv", "utf8").trim().split("\n");
const rows = lines.map((line) => {
  const [month, region, orders, revenue] = line.split(",");
  return { month, region, orders: Number(orders), revenue: Number(revenue) };
});
console.log(`Read ${rows.length} rows from sales.csv`);

const regions = [...new Set(rows.map((row) => row.region))].map((region) => {
  const months = rows.filter((row) => row.region === region);
  const revenue = months.map((row) => row.revenue);
  return {
    region,
    months: months.map((row) => row.month),
    revenue,
    total: Math.round(sum(revenue)),
    trendPerMonth: Math.round(linearTrend(revenue).slope),
    outliers: outliers(revenue, threshold).map((index) => months[index].month),
  };
});
regions.sort((a, b) => b.total - a.total);

for (const { region, total, trendPerMonth, outliers } of regions) {
  const trend = `${trendPerMonth < 0 ? "" : "+"}${trendPerMonth} a month`;
  console.log(`${region.padEnd(6)} ${String(total).padStart(8)}   ${trend}`);
  for (const month of outliers) console.error(`outlier: ${region} in ${month}`);
}

const result = {
  rows: rows.length,
  total_revenue: Math.round(sum(rows.map((row) => row.revenue))),
  best_region: regions[0].region,
  fastest_growing: [...regions].sort((a, b) => b.trendPerMonth - a.trendPerMonth)[0].region,
  regions: regions.map(({ region, total, trendPerMonth, outliers }) => ({
    region,
    total,
    trend_per_month: trendPerMonth,
    outliers,
  })),
};
writeFileSync(join(outputDirectory, "result.json"), JSON.stringify(result, null, 2));
writeFileSync(join(outputDirectory, "revenue.svg"), drawChart(regions));
console.log("Wrote result.json and revenue.svg");
