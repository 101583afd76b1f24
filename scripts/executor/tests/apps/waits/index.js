// Takes a while, and says so.
const fs = require("node:fs");
const { ms } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
console.log("waiting");
setTimeout(
  () =>
    fs.writeFileSync(
      `${process.env.STOWAGE_OUTPUT_DIR}/result.json`,
      JSON.stringify({ waited: ms }),
    ),
  ms,
);
