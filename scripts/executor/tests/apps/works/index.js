// Reads its configuration, writes a result, a chart and a nested file.
const fs = require("node:fs");
const path = require("node:path");
const config = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const out = process.env.STOWAGE_OUTPUT_DIR;
console.log(`run ${process.env.STOWAGE_RUN_ID} of ${process.env.STOWAGE_APP_ID}`);
console.error("a word on stderr");
fs.writeFileSync(
  path.join(out, "result.json"),
  JSON.stringify({ sum: (config.numbers ?? []).reduce((a, b) => a + b, 0) }),
);
fs.writeFileSync(path.join(out, "chart.svg"), '<svg xmlns="http://www.w3.org/2000/svg"/>');
fs.mkdirSync(path.join(out, "data"));
fs.writeFileSync(path.join(out, "data", "täble.csv"), "a,b\n1,2\n");
