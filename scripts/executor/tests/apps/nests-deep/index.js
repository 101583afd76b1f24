// Puts out folders inside each other until no path reaches them, and files that are therefore not seen.
const fs = require("node:fs");
process.chdir(process.env.STOWAGE_OUTPUT_DIR);
const name = "x".repeat(250);
for (let depth = 0; depth < 500; depth++) {
  fs.mkdirSync(name);
  process.chdir(name);
}
let number = 0;
setInterval(() => {
  for (let i = 0; i < 100; i++) fs.writeFileSync(`${number++}`, "");
}, 10);
