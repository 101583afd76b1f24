// Makes empty files until it is refused: they take no space, but the kernel's memory.
const fs = require("node:fs");
let made = 0;
try {
  while (made < 1_000_000) fs.closeSync(fs.openSync(`/tmp/${made++}`, "w"));
} catch (error) {
  console.log(JSON.stringify({ made, code: error.code }));
}
