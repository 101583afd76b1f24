/**
 * `npm run bench -- storage [--quick] [--json] [--strict] [--only validation|requests|rows]`: what verifying uploads costs, how
 * fast the functions answer, and what row security costs at 10 thousand, 100 thousand and a million rows. Writes
 * docs/bench-storage.svg unless it is quick or partial. --strict: exits with 1 when a target is missed.
 */
import { readOptions } from "../../command/command.ts";
import { UsageError } from "../../command/errors.ts";
import { projectPath } from "../../stack/project.ts";
import { measureRequests } from "./http.ts";
import { drawChart, printTables, type Results } from "./report.ts";
import { measureRowSecurity } from "./row_security.ts";
import { measureValidation } from "./validation.ts";

const { values: options } = readOptions({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
    only: { type: "string" },
  },
}, Deno.args.slice(1));
const { quick, only } = options;
if (only !== undefined && !["validation", "requests", "rows"].includes(only)) {
  throw new UsageError(`--only takes validation, requests or rows, not ${only}.`);
}
const tell = (line: string) => {
  if (!options.json) console.error(`  ${line}`);
};
const wanted = (part: string) => only === undefined || only === part;

const results: Results = {
  validation: wanted("validation") ? await measureValidation(quick, tell) : [],
  requests: wanted("requests") ? await measureRequests(quick, tell) : [],
  rowSecurity: wanted("rows")
    ? await measureRowSecurity(quick ? [10_000] : [10_000, 100_000, 1_000_000], tell)
    : [],
};
if (options.json) console.log(JSON.stringify(results, null, 2));
else printTables(results);
if (!quick && only === undefined) {
  await Deno.writeTextFile(projectPath("docs/bench-storage.svg"), drawChart(results));
}
const targets = [...results.validation, ...results.rowSecurity];
if (options.strict && targets.some(({ met }) => !met)) Deno.exit(1);
