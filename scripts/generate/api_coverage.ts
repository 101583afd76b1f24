/** Writes docs/api-coverage.md, what every operation of the API is tried with, from the cases that the tests walk. */
import {
  type Case,
  casesOf,
  KINDS,
  type Never,
  operations,
} from "../../supabase/functions/tests/api/cases.ts";
import { templateOf } from "../../supabase/functions/api/openapi.ts";
import { writeGenerated } from "./generated.ts";

/** Reasons why a case cannot exist, numbered as they come. */
const reasons: string[] = [];

function cell(tried: Case | Never): string {
  if (!("never" in tried)) {
    const { status, actor, field } = tried;
    return [
      String(status),
      ...(tried.code === "forbidden" && actor !== null ? [actor] : []),
      ...(field !== undefined ? [`\`${field}\``] : []),
    ].join(" ");
  }
  if (!reasons.includes(tried.never)) reasons.push(tried.never);
  return `– (${reasons.indexOf(tried.never) + 1})`;
}

const rows = operations.map((operation) => {
  const cases = casesOf(operation);
  return [
    `\`${operation.method} ${templateOf(operation.path)}\``,
    ...KINDS.map((kind) => cell(cases[kind])),
  ];
});
const cells = rows.flatMap((row) => row.slice(1));
const tried = cells.filter((text) => !text.startsWith("–")).length;

const table = [["operation", ...KINDS], ["---", ...KINDS.map(() => "---")], ...rows]
  .map((row) => `| ${row.join(" | ")} |`).join("\n");

await writeGenerated(
  "docs/api-coverage.md",
  `# What every operation of the API is tried with

Made from \`supabase/functions/tests/api/cases.ts\`, whose every line is a test: ${operations.length} operations, ${tried} cases, ${
    cells.length - tried
  } that cannot exist. The number is
the HTTP status; beside it stand the role that is refused, and the input that the error names.

${table}

${reasons.map((reason, at) => `${at + 1}. ${reason}`).join("\n")}
`,
);
