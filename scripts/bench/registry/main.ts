/**
 * `npm run bench -- registry [options]`: resolution beside npm's `semver`, downloads with and without the cache, hit ratios,
 * and an import that is killed and resumed.
 *
 *   --only PART,…   of resolution, hits, downloads, import
 *   --files N       of the import; 10,000 by default
 *   --strict        exits with 1 when a target is missed
 */
import { readOptions, wholeNumber } from "../../command/command.ts";
import { UsageError } from "../../command/errors.ts";
import { startTestStack } from "../../testing/stack.ts";
import { measureDownloads } from "./downloads.ts";
import { measureHits } from "./hits.ts";
import { measureImport } from "./import.ts";
import { measureResolution } from "./resolution.ts";

const PARTS = ["resolution", "hits", "downloads", "import"];

const { values } = readOptions({
  options: {
    only: { type: "string", default: PARTS.join(",") },
    files: { type: "string", default: "10000" },
    strict: { type: "boolean", default: false },
  },
}, Deno.args.slice(1));
const files = wholeNumber("files", values.files, 1);
const parts = values.only.split(",");
for (const part of parts) {
  if (!PARTS.includes(part)) throw new UsageError(`--only takes ${PARTS.join(", ")}, not ${part}.`);
}
const missed: string[] = [];
const want = (holds: boolean, what: string) => {
  console.log(`  ${holds ? "✓" : "✗"} ${what}`);
  if (!holds) missed.push(what);
};
const ms = (value: number) => `${value.toFixed(2)} ms`;
const percent = (value: number) => `${(100 * value).toFixed(1)} %`;

if (parts.includes("resolution")) {
  const { packages, edges, ours, plain, ratio } = measureResolution();
  console.log(`resolution of ${packages} packages, ${edges} needs`);
  console.log(
    `  ours ${ms(ours)}, plain npm semver ${ms(plain)}: ${ratio.toFixed(1)} times as fast`,
  );
  want(ratio >= 1, "at least as fast as npm's semver, written plainly");
}
if (parts.includes("hits")) {
  console.log("hit ratio, room for a tenth of 10,000 packages");
  for (const exponent of [1, 1.1, 1.2, 1.3]) {
    const { ratio, ideal, evictions } = await measureHits(exponent);
    console.log(
      `  Zipf ${exponent.toFixed(1)}: ${percent(ratio)} (at best ${
        percent(ideal)
      }), ${evictions} evictions`,
    );
    if (exponent === 1.2) want(ratio > 0.8, "over 80 % at Zipf 1.2");
  }
}
if (parts.includes("downloads") || parts.includes("import")) {
  const stack = await startTestStack({ seed: false });
  try {
    if (parts.includes("downloads")) {
      console.log("downloads of a version over HTTP");
      for (const { cache, median, p99, queries, ratio } of await measureDownloads(stack)) {
        console.log(
          `  ${cache.padEnd(7)} median ${ms(median)}, p99 ${ms(p99)}, ` +
            `${queries.toFixed(3)} database queries a request, ${ratio.toFixed(1)} times as fast`,
        );
        if (cache === "memory") {
          want(ratio >= 5, "5 times as fast as without the cache");
          want(median < 5, "under 5 ms at the median");
        }
      }
    }
    if (parts.includes("import")) {
      const { killed_at, stored, resumed, again } = await measureImport(stack, files);
      console.log(`import of ${files} files, killed when ${killed_at} were there`);
      console.log(
        `  resumed: ${resumed.migrated} migrated, ${resumed.skipped} skipped, ` +
          `${resumed.files_per_second.toFixed(0)} files a second`,
      );
      console.log(
        `  again: ${again.migrated} migrated, ${again.skipped} skipped, ` +
          `${again.files_per_second.toFixed(0)} files a second`,
      );
      want(stored === files && again.migrated === 0, "nothing lost, nothing doubled");
    }
  } finally {
    await stack.stop();
  }
}
if (values.strict && missed.length > 0) Deno.exit(1);
