// Tells which scripts ran while its packages were installed: those of the app, and that of the package.
const fs = require("node:fs");
const own = [".", "node_modules", "node_modules/left"].flatMap((folder) => fs.readdirSync(folder))
  .filter((name) => name.startsWith("ran-"));
fs.writeFileSync(
  `${process.env.STOWAGE_OUTPUT_DIR}/result.json`,
  JSON.stringify({ own, left: require("left") }),
);
