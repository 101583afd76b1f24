/** The results as tables for people, and as a chart. */
import type { RequestRate } from "./http.ts";
import type { QueryCost } from "./row_security.ts";
import type { ValidationCost } from "./validation.ts";

export interface Results {
  validation: ValidationCost[];
  requests: RequestRate[];
  rowSecurity: QueryCost[];
}

const MIB = 1024 * 1024;

export function printTables({ validation, requests, rowSecurity }: Results): void {
  if (validation.length > 0) {
    console.log(
      "\nVerifying an archive (the function), beside hashing and copying the same object, in ms\n",
    );
    console.table(Object.fromEntries(validation.map((one) => [one.archive, {
      validate: Math.round(one.validate),
      hash: Math.round(one.hash),
      copy: Math.round(one.copy),
      "× hash": round(one.toHash),
      "× copy": round(one.toCopy),
      "CPU s": round(one.cpu),
      "CPU s to hash": round(one.hashCpu),
      "MiB above idle": Math.round(one.memory / MIB),
      met: one.met,
    }])));
  }
  if (requests.length > 0) {
    console.log(
      `\nRequests, from ${requests[0].clients} clients at once (rate) and one alone (ms)\n`,
    );
    console.table(Object.fromEntries(requests.map((one) => [one.request, {
      "a second": Math.round(one.rate),
      p50: round(one.p50),
      p99: round(one.p99),
    }])));
  }
  if (rowSecurity.length > 0) {
    console.log(
      "\nRow security: a member of one company among 200, beside the service with the same filter, in ms\n",
    );
    console.table(rowSecurity.map((one) => ({
      rows: one.rows,
      query: one.query,
      member: round(one.member, 3),
      service: round(one.service, 3),
      ratio: round(one.ratio),
      "ratio in a request": round(one.requestRatio),
      met: one.met,
    })));
  }
}

function round(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}

const LABEL = 300;
const PLOT = 360;
const BAR = 13;
const COLORS = { ours: "#2f6f4f", other: "#7a8ca5" };

/** Pairs of bars: ours and what it is compared with, each pair on its own scale. */
export function drawChart({ validation, rowSecurity }: Results): string {
  const most = Math.max(...rowSecurity.map(({ rows }) => rows), 0);
  const pairs = [
    ...validation.map((one) => ({
      label: `verify ${one.archive}`,
      ours: one.validate,
      other: one.hash,
      note: `${one.toHash.toFixed(2)} × hashing it`,
    })),
    ...rowSecurity.filter(({ rows }) => rows === most).map((one) => ({
      label: one.query,
      ours: one.member,
      other: one.service,
      note: `${one.ratio.toFixed(2)} × the service`,
    })),
  ];
  let y = 56;
  const parts: string[] = [];
  for (const { label, ours, other, note } of pairs) {
    const scale = PLOT / Math.max(ours, other);
    parts.push(`<text x="${LABEL - 10}" y="${y + BAR + 3}" text-anchor="end">${label}</text>`);
    for (
      const [value, color, text] of [
        [ours, COLORS.ours, `${milliseconds(ours)}, ${note}`],
        [other, COLORS.other, milliseconds(other)],
      ] as const
    ) {
      const width = Math.max(1, value * scale);
      parts.push(
        `<rect x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${
          BAR - 2
        }" fill="${color}"/>`,
        `<text class="value" x="${(LABEL + width + 5).toFixed(1)}" y="${
          y + BAR - 4
        }">${text}</text>`,
      );
      y += BAR;
    }
    y += 10;
  }
  const legend = ([["with our checks", COLORS.ours], ["without", COLORS.other]] as const)
    .map(([name, color], index) =>
      `<rect x="${LABEL + index * 140}" y="30" width="12" height="12" fill="${color}"/>` +
      `<text x="${LABEL + index * 140 + 18}" y="40">${name}</text>`
    ).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LABEL + PLOT + 190} ${y}" ` +
    `font-family="system-ui, sans-serif" font-size="12">` +
    `<style>text{fill:#333}.value{font-size:10px;fill:#666}</style>` +
    `<rect width="100%" height="100%" fill="#fff"/>` +
    `<text x="${LABEL}" y="18" font-size="14" font-weight="600">What verification and row security cost (shorter is better)</text>` +
    `${legend}${parts.join("")}</svg>\n`;
}

function milliseconds(value: number): string {
  return value < 10 ? `${value.toFixed(2)} ms` : `${Math.round(value)} ms`;
}
